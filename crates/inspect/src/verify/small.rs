//! The small files of a log directory or partition, each by itself. Must not compare them with
//! logs.

use std::path::Path;

use ottla_env::Disk;
use ottla_log::{MetaProperties, decode_offsets, decode_partition_metadata};
use ottla_protocol::QuorumStateData;

use super::finding::{Finding, Report, Severity};
use crate::error::InspectError;
use crate::kind::Kind;

pub(super) fn verify(
    disk: &dyn Disk,
    path: &Path,
    kind: Kind,
    report: &mut Report<'_, '_>,
) -> Result<(), InspectError> {
    let (severity, meaning) = match kind {
        Kind::OffsetCheckpoint => {
            (Severity::Repairable, "a start does without it: more is read again, nothing is lost")
        }
        Kind::MetaProperties => (
            Severity::Damage,
            "nothing tells whose directory this is, and no broker starts with it",
        ),
        Kind::PartitionMetadata => {
            (Severity::Damage, "nothing tells which topic's the directory is, and it is not opened")
        }
        Kind::QuorumState => {
            (Severity::Damage, "the node does not know whom it voted for, and may not start")
        }
        Kind::Passing => {
            let what = "it is on its way in or out";
            let meaning = "a start finishes or removes it";
            return report.found(&Finding::new(Severity::Note, path, what, meaning));
        }
        Kind::Other if is_unknown(path) => {
            let meaning = "brokers pass it over";
            let what = "neither Kafka nor Ottla has such a file";
            return report.found(&Finding::new(Severity::Note, path, what, meaning));
        }
        Kind::Log(_)
        | Kind::OffsetIndex(_)
        | Kind::TimeIndex(_)
        | Kind::TxnIndex(_)
        | Kind::Snapshot(_)
        | Kind::MetadataSnapshot
        | Kind::LeaderEpochs
        | Kind::CleanShutdown
        | Kind::Other => return Ok(()),
    };
    let content = disk.read(path)?;
    let fault = match std::str::from_utf8(&content) {
        Ok(text) => fault(text, kind),
        Err(_) => Some("it is no text".to_owned()),
    };
    match fault {
        Some(fault) => report.found(&Finding::new(severity, path, fault, meaning)),
        None => Ok(()),
    }
}

/// Private files begin with a dot.
fn is_unknown(path: &Path) -> bool {
    !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

fn fault(text: &str, kind: Kind) -> Option<String> {
    match kind {
        Kind::OffsetCheckpoint => decode_offsets(text).err(),
        Kind::MetaProperties => match MetaProperties::decode(text) {
            Ok(meta) if meta.node_id.is_none() => Some("it has no node.id".to_owned()),
            Ok(meta) if meta.cluster_id.is_none() => Some("it has no cluster.id".to_owned()),
            Ok(_) => None,
            Err(fault) => Some(fault),
        },
        Kind::PartitionMetadata => decode_partition_metadata(text).err(),
        Kind::QuorumState => QuorumStateData::from_json(text).err().map(|e| e.to_string()),
        Kind::Log(_)
        | Kind::OffsetIndex(_)
        | Kind::TimeIndex(_)
        | Kind::TxnIndex(_)
        | Kind::Snapshot(_)
        | Kind::MetadataSnapshot
        | Kind::LeaderEpochs
        | Kind::CleanShutdown
        | Kind::Passing
        | Kind::Other => None,
    }
}
