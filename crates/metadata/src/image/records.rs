//! The records that make an image, for a snapshot, in the order in which Kafka writes them and in
//! the versions of the image's `metadata.version`. Must not know how records are stored.

use ottla_protocol::client_quota_record::EntityData;
use ottla_protocol::{
    ClientQuotaRecord, ConfigRecord, FeatureLevelRecord, MetadataRecord, NodeId, PartitionRecord,
    ProducerIdsRecord, RegisterBrokerRecord, RegisterControllerRecord, TopicId, TopicRecord,
    ZkMigrationStateRecord, register_broker_record, register_controller_record,
};

use super::features::METADATA_VERSION;
use super::{Broker, Controller, Image, Partition};
use crate::feature_table::MetadataVersion;
use crate::record::VersionedRecord;

impl Image {
    /// Calls `write` with each record of a snapshot of this image; replayed on an empty image they
    /// give it again.
    ///
    /// # Errors
    /// The first error of `write`.
    pub fn write_records<E>(
        &self,
        mut write: impl FnMut(VersionedRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let version = MetadataVersion(self.features.metadata_version());
        // The level comes first: it says how to read the rest.
        let (first, rest): (Vec<_>, Vec<_>) =
            self.features.iter().partition(|(name, _)| **name == METADATA_VERSION);
        for (name, level) in first.into_iter().chain(rest) {
            let record = FeatureLevelRecord {
                name: name.clone(),
                feature_level: level,
                ..FeatureLevelRecord::default()
            };
            write(VersionedRecord::new(MetadataRecord::FeatureLevel(Box::new(record)), 0))?;
        }
        if let Some(zk_migration_state) = self.zk_migration_state {
            let record =
                ZkMigrationStateRecord { zk_migration_state, ..ZkMigrationStateRecord::default() };
            write(VersionedRecord::new(MetadataRecord::ZkMigrationState(Box::new(record)), 0))?;
        }
        for broker in self.brokers() {
            write(broker.to_record(version))?;
        }
        for controller in self.controllers() {
            write(controller.to_record())?;
        }
        for topic in self.topics() {
            let record = TopicRecord {
                name: topic.name.clone(),
                topic_id: topic.id,
                ..TopicRecord::default()
            };
            write(VersionedRecord::new(MetadataRecord::Topic(Box::new(record)), 0))?;
            for (index, partition) in topic.partitions() {
                write(partition.to_record(topic.id, index, version))?;
            }
        }
        self.write_configs(&mut write)?;
        self.write_access(&mut write)
    }

    fn write_configs<E>(
        &self,
        write: &mut impl FnMut(VersionedRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        for (resource, configs) in &self.configs {
            for (name, value) in configs.iter() {
                let record = ConfigRecord {
                    resource_type: resource.kind.wire_id(),
                    resource_name: resource.name.clone(),
                    name: name.clone(),
                    value: Some(value.clone()),
                    ..ConfigRecord::default()
                };
                write(VersionedRecord::new(MetadataRecord::Config(Box::new(record)), 0))?;
            }
        }
        Ok(())
    }

    fn write_access<E>(
        &self,
        write: &mut impl FnMut(VersionedRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        for (entity, values) in self.access().quotas.iter() {
            for (key, value) in values {
                let parts = entity.iter().map(|part| EntityData {
                    entity_type: part.entity_type.clone(),
                    entity_name: part.name.clone(),
                    ..EntityData::default()
                });
                let record = ClientQuotaRecord {
                    entity: parts.collect(),
                    key: key.clone(),
                    value: *value,
                    ..ClientQuotaRecord::default()
                };
                write(VersionedRecord::new(MetadataRecord::ClientQuota(Box::new(record)), 0))?;
            }
        }
        if let Some(ids) = self.producer_ids {
            let record = ProducerIdsRecord {
                broker_id: ids.broker_id,
                broker_epoch: ids.broker_epoch,
                next_producer_id: ids.next,
                ..ProducerIdsRecord::default()
            };
            write(VersionedRecord::new(MetadataRecord::ProducerIds(Box::new(record)), 0))?;
        }
        for record in self.access_control_entries() {
            write(VersionedRecord::new(
                MetadataRecord::AccessControlEntry(Box::new(record.clone())),
                0,
            ))?;
        }
        for (_, record) in self.scram_credentials() {
            write(VersionedRecord::new(
                MetadataRecord::UserScramCredential(Box::new(record.clone())),
                0,
            ))?;
        }
        for record in self.delegation_tokens() {
            write(VersionedRecord::new(
                MetadataRecord::DelegationToken(Box::new(record.clone())),
                0,
            ))?;
        }
        Ok(())
    }
}

impl Broker {
    /// The record of a registration in this state.
    pub(crate) fn to_record(&self, version: MetadataVersion) -> VersionedRecord {
        let end_points =
            self.listeners.iter().map(|listener| register_broker_record::BrokerEndpoint {
                name: listener.name.clone(),
                host: listener.host.clone(),
                port: listener.port,
                security_protocol: listener.security_protocol,
                ..register_broker_record::BrokerEndpoint::default()
            });
        let features =
            self.features.iter().map(|(name, range)| register_broker_record::BrokerFeature {
                name: name.clone(),
                min_supported_version: range.min,
                max_supported_version: range.max,
                ..register_broker_record::BrokerFeature::default()
            });
        let record = RegisterBrokerRecord {
            broker_id: self.id.get(),
            is_migrating_zk_broker: self.is_migrating_zk_broker,
            incarnation_id: self.incarnation_id,
            broker_epoch: self.epoch,
            end_points: end_points.collect(),
            features: features.collect(),
            rack: self.rack.clone(),
            fenced: self.fenced,
            in_controlled_shutdown: self.in_controlled_shutdown,
            log_dirs: if version.has_directories() { self.log_dirs.clone() } else { Vec::new() },
            cordoned_log_dirs: (version.has_cordoned_directories()
                && !self.cordoned_log_dirs.is_empty())
            .then(|| self.cordoned_log_dirs.clone()),
            ..RegisterBrokerRecord::default()
        };
        VersionedRecord::new(
            MetadataRecord::RegisterBroker(Box::new(record)),
            version.register_broker_record(),
        )
    }
}

impl Controller {
    fn to_record(&self) -> VersionedRecord {
        let end_points =
            self.listeners.iter().map(|listener| register_controller_record::ControllerEndpoint {
                name: listener.name.clone(),
                host: listener.host.clone(),
                port: listener.port,
                security_protocol: listener.security_protocol,
                ..register_controller_record::ControllerEndpoint::default()
            });
        let features = self.features.iter().map(|(name, range)| {
            register_controller_record::ControllerFeature {
                name: name.clone(),
                min_supported_version: range.min,
                max_supported_version: range.max,
                ..register_controller_record::ControllerFeature::default()
            }
        });
        let record = RegisterControllerRecord {
            controller_id: self.id.get(),
            incarnation_id: self.incarnation_id,
            zk_migration_ready: self.zk_migration_ready,
            end_points: end_points.collect(),
            features: features.collect(),
            ..RegisterControllerRecord::default()
        };
        VersionedRecord::new(MetadataRecord::RegisterController(Box::new(record)), 0)
    }
}

impl Partition {
    /// The record of a partition in this state.
    pub(crate) fn to_record(
        &self,
        topic: TopicId,
        index: i32,
        version: MetadataVersion,
    ) -> VersionedRecord {
        let some = |nodes: &[NodeId]| (version.has_elr() && !nodes.is_empty()).then(|| ids(nodes));
        let record = PartitionRecord {
            partition_id: index,
            topic_id: topic,
            replicas: ids(&self.replicas),
            isr: ids(&self.isr),
            removing_replicas: ids(&self.removing_replicas),
            adding_replicas: ids(&self.adding_replicas),
            leader: self.leader.get(),
            leader_recovery_state: self.leader_recovery_state,
            leader_epoch: self.leader_epoch.get(),
            partition_epoch: self.partition_epoch,
            directories: if version.has_directories() {
                self.directories.clone()
            } else {
                Vec::new()
            },
            eligible_leader_replicas: some(&self.elr),
            last_known_elr: some(&self.last_known_elr),
            ..PartitionRecord::default()
        };
        VersionedRecord::new(
            MetadataRecord::Partition(Box::new(record)),
            version.partition_record(),
        )
    }
}

pub(crate) fn ids(nodes: &[NodeId]) -> Vec<i32> {
    nodes.iter().map(|node| node.get()).collect()
}
