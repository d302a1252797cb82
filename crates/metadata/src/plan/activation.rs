//! What a new active controller appends before anything else: the bootstrap records of an empty
//! log, the abort of a transaction that its predecessor left open. Must not know elections.

use ottla_protocol::{
    AbortTransactionRecord, BeginTransactionRecord, ConfigRecord, EndTransactionRecord,
    MetadataRecord, StrBytes,
};

use super::Records;
use crate::feature_table::MetadataVersion;
use crate::image::{Replay, ResourceKind};
use crate::record::VersionedRecord;

pub(crate) fn records(replay: &Replay, bootstrap: &[VersionedRecord]) -> Records {
    let mut records = Vec::new();
    let reason = Some(StrBytes::from("Controller failover"));
    let abort = AbortTransactionRecord { reason, ..AbortTransactionRecord::default() };
    if replay.in_transaction() {
        records.push(VersionedRecord::new(MetadataRecord::AbortTransaction(Box::new(abort)), 0));
    }
    let empty = replay.visible().features().metadata_version() == 0;
    if !empty || bootstrap.is_empty() {
        return records;
    }
    let level = |name: &str| {
        bootstrap.iter().find_map(|record| {
            let MetadataRecord::FeatureLevel(level) = &record.record else { return None };
            (level.name == name).then_some(level.feature_level)
        })
    };
    let version = MetadataVersion(level("metadata.version").unwrap_or(0));
    if version.has_transactions() {
        let name = Some(StrBytes::from("Bootstrap records"));
        let begin = BeginTransactionRecord { name, ..BeginTransactionRecord::default() };
        records.push(VersionedRecord::new(MetadataRecord::BeginTransaction(Box::new(begin)), 0));
    }
    records.extend_from_slice(bootstrap);
    if level("eligible.leader.replicas.version").unwrap_or(0) > 0 {
        // With eligible leader replicas the cluster's own setting must exist (KIP-966).
        let all_brokers = ConfigRecord {
            resource_type: ResourceKind::Broker.wire_id(),
            resource_name: StrBytes::default(),
            name: StrBytes::from("min.insync.replicas"),
            value: Some(StrBytes::from("1")),
            ..ConfigRecord::default()
        };
        records.push(VersionedRecord::new(MetadataRecord::Config(Box::new(all_brokers)), 0));
    }
    if version.has_transactions() {
        let end = EndTransactionRecord::default();
        records.push(VersionedRecord::new(MetadataRecord::EndTransaction(Box::new(end)), 0));
    }
    records
}
