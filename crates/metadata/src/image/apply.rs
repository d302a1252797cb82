//! One record's effect on the image, as Kafka's controller replays it: strict, so that a record
//! that cannot follow from what came before is an error and not a guess. Must not know who wrote
//! the record.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_protocol::{
    BrokerRegistrationChangeRecord, ClientQuotaRecord, FeatureLevelRecord, LeaderEpoch,
    MetadataRecord, NodeId, Offset, PartitionChangeRecord, PartitionRecord, ProducerIdsRecord,
    RegisterBrokerRecord, RegisterControllerRecord, StrBytes, TopicId, TopicRecord, Uuid,
};

use super::{
    Broker, ConfigResource, Controller, Delta, Image, Listener, Partition, Position, ProducerIds,
    QuotaEntity, QuotaEntityPart, ResourceKind, Topic, VersionRange,
};
use crate::{feature_table, topic_name};

/// A record that cannot follow from what came before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the metadata record at offset {offset} is impossible: {reason}")]
pub struct ApplyError {
    /// Offset of the record.
    pub offset: Offset,
    /// What is wrong with it.
    pub reason: String,
}

type Applied = Result<(), String>;

impl Image {
    /// Applies a record and notes what it changed. Transaction records are [`super::Replay`]'s.
    pub(super) fn apply(
        &mut self,
        position: Position,
        record: &MetadataRecord,
        delta: &mut Delta,
    ) -> Result<(), ApplyError> {
        self.change(record, delta)
            .map_err(|reason| ApplyError { offset: position.offset, reason })?;
        self.position = position;
        Ok(())
    }

    pub(super) fn stand_at(&mut self, position: Position) {
        self.position = position;
    }

    fn change(&mut self, record: &MetadataRecord, delta: &mut Delta) -> Applied {
        match record {
            MetadataRecord::RegisterBroker(record) => self.register_broker(record, delta),
            MetadataRecord::UnregisterBroker(record) => {
                self.broker_of_epoch(record.broker_id, record.broker_epoch)?;
                Arc::make_mut(&mut self.brokers).remove(&NodeId(record.broker_id));
                delta.brokers.insert(NodeId(record.broker_id));
                Ok(())
            }
            MetadataRecord::FenceBroker(record) => self.fence(record.id, record.epoch, true, delta),
            MetadataRecord::UnfenceBroker(record) => {
                self.fence(record.id, record.epoch, false, delta)
            }
            MetadataRecord::BrokerRegistrationChange(record) => self.change_broker(record, delta),
            MetadataRecord::RegisterController(record) => {
                self.register_controller(record, delta);
                Ok(())
            }
            MetadataRecord::UnregisterController(record) => {
                let id = NodeId(record.controller_id);
                delta.controllers.insert(id);
                let removed = Arc::make_mut(&mut self.controllers).remove(&id);
                removed.map(drop).ok_or_else(|| format!("controller {id} is not registered"))
            }
            MetadataRecord::Topic(record) => self.create_topic(record, delta),
            MetadataRecord::Partition(record) => self.set_partition(record, delta),
            MetadataRecord::PartitionChange(record) => self.change_partition(record, delta),
            MetadataRecord::RemoveTopic(record) => self.remove_topic(record.topic_id, delta),
            MetadataRecord::ClearElr(record) => self.clear_elr(&record.topic_name, delta),
            MetadataRecord::Config(record) => {
                let kind = ResourceKind::from_wire(record.resource_type);
                let resource = ConfigResource { kind, name: record.resource_name.detached() };
                self.set_config(&resource, &record.name, record.value.as_ref());
                delta.configs.insert(resource);
                Ok(())
            }
            MetadataRecord::FeatureLevel(record) => self.set_feature(record, delta),
            MetadataRecord::ProducerIds(record) => self.give_producer_ids(record, delta),
            MetadataRecord::ZkMigrationState(record) => {
                self.zk_migration_state = Some(record.zk_migration_state);
                Ok(())
            }
            MetadataRecord::NoOp(_) => Ok(()),
            MetadataRecord::BeginTransaction(_)
            | MetadataRecord::EndTransaction(_)
            | MetadataRecord::AbortTransaction(_) => {
                Err("a transaction record stands inside a change".to_owned())
            }
            MetadataRecord::AccessControlEntry(_)
            | MetadataRecord::RemoveAccessControlEntry(_)
            | MetadataRecord::ClientQuota(_)
            | MetadataRecord::UserScramCredential(_)
            | MetadataRecord::RemoveUserScramCredential(_)
            | MetadataRecord::DelegationToken(_)
            | MetadataRecord::RemoveDelegationToken(_) => {
                delta.access = true;
                self.change_access(record)
            }
        }
    }

    fn register_broker(&mut self, record: &RegisterBrokerRecord, delta: &mut Delta) -> Applied {
        let id = NodeId(record.broker_id);
        let listeners = record.end_points.iter().map(|end| Listener {
            name: end.name.detached(),
            host: end.host.detached(),
            port: end.port,
            security_protocol: end.security_protocol,
        });
        let features = record.features.iter().map(|feature| {
            let range = VersionRange {
                min: feature.min_supported_version,
                max: feature.max_supported_version,
            };
            (feature.name.detached(), range)
        });
        let broker = Broker {
            id,
            epoch: record.broker_epoch,
            incarnation_id: record.incarnation_id,
            listeners: listeners.collect(),
            features: features.collect(),
            rack: record.rack.as_ref().map(StrBytes::detached),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            log_dirs: record.log_dirs.clone(),
            cordoned_log_dirs: record.cordoned_log_dirs.clone().unwrap_or_default(),
            is_migrating_zk_broker: record.is_migrating_zk_broker,
        };
        let before = Arc::make_mut(&mut self.brokers).insert(id, Arc::new(broker));
        delta.brokers.insert(id);
        match before {
            Some(before) if before.epoch > record.broker_epoch => Err(format!(
                "broker {id} registers with epoch {} after {}",
                record.broker_epoch, before.epoch
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn broker_of_epoch(&mut self, id: i32, epoch: i64) -> Result<&mut Broker, String> {
        let broker = Arc::make_mut(&mut self.brokers).get_mut(&NodeId(id));
        let broker = Arc::make_mut(broker.ok_or_else(|| format!("broker {id} is not registered"))?);
        if broker.epoch == epoch {
            Ok(broker)
        } else {
            Err(format!("broker {id} has epoch {}, not {epoch}", broker.epoch))
        }
    }

    fn fence(&mut self, id: i32, epoch: i64, fenced: bool, delta: &mut Delta) -> Applied {
        self.broker_of_epoch(id, epoch)?.fenced = fenced;
        delta.brokers.insert(NodeId(id));
        Ok(())
    }

    fn change_broker(
        &mut self,
        record: &BrokerRegistrationChangeRecord,
        delta: &mut Delta,
    ) -> Applied {
        let broker = self.broker_of_epoch(record.broker_id, record.broker_epoch)?;
        match record.fenced {
            1 => broker.fenced = true,
            -1 => broker.fenced = false,
            0 => {}
            other => return Err(format!("{other} says neither fenced nor unfenced")),
        }
        match record.in_controlled_shutdown {
            1 => broker.in_controlled_shutdown = true,
            0 => {}
            other => return Err(format!("{other} says nothing of a controlled shutdown")),
        }
        if !record.log_dirs.is_empty() {
            broker.log_dirs.clone_from(&record.log_dirs);
        }
        if let Some(cordoned) = &record.cordoned_log_dirs {
            broker.cordoned_log_dirs.clone_from(cordoned);
        }
        delta.brokers.insert(NodeId(record.broker_id));
        Ok(())
    }

    fn register_controller(&mut self, record: &RegisterControllerRecord, delta: &mut Delta) {
        let id = NodeId(record.controller_id);
        let listeners = record.end_points.iter().map(|end| Listener {
            name: end.name.detached(),
            host: end.host.detached(),
            port: end.port,
            security_protocol: end.security_protocol,
        });
        let features = record.features.iter().map(|feature| {
            let range = VersionRange {
                min: feature.min_supported_version,
                max: feature.max_supported_version,
            };
            (feature.name.detached(), range)
        });
        let controller = Controller {
            id,
            incarnation_id: record.incarnation_id,
            listeners: listeners.collect(),
            features: features.collect(),
            zk_migration_ready: record.zk_migration_ready,
        };
        Arc::make_mut(&mut self.controllers).insert(id, Arc::new(controller));
        delta.controllers.insert(id);
    }

    fn create_topic(&mut self, record: &TopicRecord, delta: &mut Delta) -> Applied {
        // What the image keeps must not keep a request or a batch of the log in memory.
        let (name, id) = (&record.name.detached(), record.topic_id);
        if self.names.contains_key(name) || self.topics.contains_key(&id) {
            return Err(format!("topic {name} with id {id} exists already"));
        }
        let topic =
            Topic { name: name.clone(), id, partitions: rpds::RedBlackTreeMapSync::new_sync() };
        self.topics.insert_mut(id, Arc::new(topic));
        self.names.insert_mut(name.clone(), id);
        if topic_name::has_collision_letters(name) {
            let unified = topic_name::unified(name);
            let mut names =
                self.collisions.get(&unified).map(|names| names.to_vec()).unwrap_or_default();
            names.push(name.clone());
            self.collisions.insert_mut(unified, Arc::new(names));
        }
        delta.topic(id, name).created = true;
        Ok(())
    }

    fn topic_mut(&mut self, id: TopicId) -> Result<&mut Topic, String> {
        let topic =
            self.topics.get_mut(&id).ok_or_else(|| format!("there is no topic with id {id}"))?;
        Ok(Arc::make_mut(topic))
    }

    fn set_partition(&mut self, record: &PartitionRecord, delta: &mut Delta) -> Applied {
        if !record.directories.is_empty() && record.directories.len() != record.replicas.len() {
            return Err(format!(
                "partition {} of topic {} has {} replicas in {} directories",
                record.partition_id,
                record.topic_id,
                record.replicas.len(),
                record.directories.len()
            ));
        }
        let partition = Partition {
            replicas: nodes(&record.replicas),
            directories: record.directories.clone(),
            isr: nodes(&record.isr),
            removing_replicas: nodes(&record.removing_replicas),
            adding_replicas: nodes(&record.adding_replicas),
            elr: nodes(record.eligible_leader_replicas.as_deref().unwrap_or_default()),
            last_known_elr: nodes(record.last_known_elr.as_deref().unwrap_or_default()),
            leader: NodeId(record.leader),
            leader_recovery_state: record.leader_recovery_state,
            leader_epoch: LeaderEpoch(record.leader_epoch),
            partition_epoch: record.partition_epoch,
        };
        let topic = self.topic_mut(record.topic_id)?;
        topic.partitions.insert_mut(record.partition_id, partition);
        let name = topic.name.clone();
        delta.topic(record.topic_id, &name).partitions.insert(record.partition_id);
        Ok(())
    }

    fn change_partition(&mut self, record: &PartitionChangeRecord, delta: &mut Delta) -> Applied {
        let topic = self.topic_mut(record.topic_id)?;
        let name = topic.name.clone();
        let partition = topic.partitions.get_mut(&record.partition_id);
        let partition = partition
            .ok_or_else(|| format!("topic {name} has no partition {}", record.partition_id))?;
        merge(partition, record)?;
        delta.topic(record.topic_id, &name).partitions.insert(record.partition_id);
        Ok(())
    }

    fn remove_topic(&mut self, id: TopicId, delta: &mut Delta) -> Applied {
        let topic = self
            .topics
            .get(&id)
            .cloned()
            .ok_or_else(|| format!("there is no topic with id {id}"))?;
        self.topics.remove_mut(&id);
        self.names.remove_mut(&topic.name);
        if topic_name::has_collision_letters(&topic.name) {
            let unified = topic_name::unified(&topic.name);
            let names =
                self.collisions.get(&unified).map(|names| names.to_vec()).unwrap_or_default();
            let names: Vec<StrBytes> =
                names.into_iter().filter(|name| *name != topic.name).collect();
            if names.is_empty() {
                self.collisions.remove_mut(&unified);
            } else {
                self.collisions.insert_mut(unified, Arc::new(names));
            }
        }
        let resource = ConfigResource { kind: ResourceKind::Topic, name: topic.name.clone() };
        if self.configs.remove_mut(&resource) {
            delta.configs.insert(resource);
        }
        let change = delta.topic(id, &topic.name);
        if change.created {
            delta.topics.remove(&id);
        } else {
            change.deleted = true;
            change.partitions = topic.partitions.keys().copied().collect();
        }
        Ok(())
    }

    /// Forgets eligible leader replicas, of one topic or with an empty name of all (KIP-966).
    fn clear_elr(&mut self, name: &str, delta: &mut Delta) -> Applied {
        let ids: Vec<TopicId> = if name.is_empty() {
            self.topics.keys().copied().collect()
        } else {
            vec![*self.names.get(name).ok_or_else(|| format!("there is no topic {name}"))?]
        };
        for id in ids {
            let Some(topic) = self.topics.get(&id) else { continue };
            let touched: Vec<i32> = topic
                .partitions()
                .filter(|(_, partition)| {
                    !partition.elr.is_empty() || !partition.last_known_elr.is_empty()
                })
                .map(|(index, _)| index)
                .collect();
            for index in touched {
                let topic = self.topic_mut(id)?;
                if let Some(partition) = topic.partitions.get_mut(&index) {
                    partition.elr.clear();
                    partition.last_known_elr.clear();
                    partition.partition_epoch = partition.partition_epoch.saturating_add(1);
                }
                let name = topic.name.clone();
                delta.topic(id, &name).partitions.insert(index);
            }
        }
        Ok(())
    }

    fn set_config(&mut self, resource: &ConfigResource, name: &StrBytes, value: Option<&StrBytes>) {
        let Some(configs) = self.configs.get_mut(resource) else {
            if let Some(value) = value {
                let configs = BTreeMap::from([(name.detached(), value.detached())]);
                self.configs.insert_mut(resource.clone(), Arc::new(configs));
            }
            return;
        };
        let configs = Arc::make_mut(configs);
        match value {
            Some(value) => {
                configs.insert(name.detached(), value.detached());
            }
            None => {
                configs.remove(name);
            }
        }
        if configs.is_empty() {
            self.configs.remove_mut(resource);
        }
    }

    fn set_feature(&mut self, record: &FeatureLevelRecord, delta: &mut Delta) -> Applied {
        let (name, level) = (&record.name, record.feature_level);
        let feature =
            feature_table::find(name).ok_or_else(|| format!("feature {name} is unknown"))?;
        if level != 0 && !(feature.min..=feature.max_known).contains(&level) {
            return Err(format!(
                "feature {name} is at level {level}; known are {} to {}",
                feature.min, feature.max_known
            ));
        }
        self.features.set(name, level);
        delta.features = true;
        Ok(())
    }

    fn give_producer_ids(&mut self, record: &ProducerIdsRecord, delta: &mut Delta) -> Applied {
        if let Some(before) =
            self.producer_ids.filter(|before| record.next_producer_id <= before.next)
        {
            return Err(format!(
                "producer ids go on at {} after {}",
                record.next_producer_id, before.next
            ));
        }
        self.producer_ids = Some(ProducerIds {
            broker_id: record.broker_id,
            broker_epoch: record.broker_epoch,
            next: record.next_producer_id,
        });
        delta.producer_ids = true;
        Ok(())
    }

    fn change_access(&mut self, record: &MetadataRecord) -> Applied {
        let access = &mut self.access;
        let unknown = |what: &str| format!("there is no {what} to remove");
        #[expect(clippy::wildcard_enum_match_arm, reason = "the caller passes these records alone")]
        match record {
            MetadataRecord::AccessControlEntry(record) => {
                match Arc::make_mut(&mut access.entries)
                    .insert(record.id, Arc::new(record.as_ref().clone()))
                {
                    Some(_) => Err(format!("access control entry {} exists already", record.id)),
                    None => Ok(()),
                }
            }
            MetadataRecord::RemoveAccessControlEntry(record) => {
                let removed = Arc::make_mut(&mut access.entries).remove(&record.id);
                removed.map(drop).ok_or_else(|| unknown("access control entry"))
            }
            MetadataRecord::UserScramCredential(record) => {
                let key = (record.mechanism, record.name.clone());
                Arc::make_mut(&mut access.scram).insert(key, Arc::new(record.as_ref().clone()));
                Ok(())
            }
            MetadataRecord::RemoveUserScramCredential(record) => {
                let removed = Arc::make_mut(&mut access.scram)
                    .remove(&(record.mechanism, record.name.clone()));
                removed.map(drop).ok_or_else(|| unknown("credential"))
            }
            MetadataRecord::DelegationToken(record) => {
                Arc::make_mut(&mut access.tokens)
                    .insert(record.token_id.clone(), Arc::new(record.as_ref().clone()));
                Ok(())
            }
            MetadataRecord::RemoveDelegationToken(record) => {
                let removed = Arc::make_mut(&mut access.tokens).remove(&record.token_id);
                removed.map(drop).ok_or_else(|| unknown("delegation token"))
            }
            MetadataRecord::ClientQuota(record) => {
                set_quota(Arc::make_mut(&mut access.quotas), record);
                Ok(())
            }
            _ => Err("not a record of access".to_owned()),
        }
    }
}

fn set_quota(
    quotas: &mut BTreeMap<QuotaEntity, BTreeMap<StrBytes, f64>>,
    record: &ClientQuotaRecord,
) {
    let parts = record.entity.iter().map(|part| QuotaEntityPart {
        entity_type: part.entity_type.detached(),
        name: part.entity_name.as_ref().map(StrBytes::detached),
    });
    let mut entity: QuotaEntity = parts.collect();
    entity.sort();
    let values = quotas.entry(entity.clone()).or_default();
    if record.remove {
        values.remove(&record.key);
    } else {
        values.insert(record.key.detached(), record.value);
    }
    if values.is_empty() {
        quotas.remove(&entity);
    }
}

/// A change's effect on a partition. The leader's epoch rises when the record names a leader, also
/// the same one; the partition's always.
fn merge(partition: &mut Partition, record: &PartitionChangeRecord) -> Applied {
    if let Some(replicas) = &record.replicas {
        partition.replicas = nodes(replicas);
    }
    if let Some(directories) =
        record.directories.as_deref().filter(|directories| !directories.is_empty())
    {
        partition.directories = directories.to_vec();
    }
    let set = |field: &mut Vec<NodeId>, new: &Option<Vec<i32>>| {
        if let Some(new) = new {
            *field = nodes(new);
        }
    };
    set(&mut partition.isr, &record.isr);
    set(&mut partition.removing_replicas, &record.removing_replicas);
    set(&mut partition.adding_replicas, &record.adding_replicas);
    set(&mut partition.elr, &record.eligible_leader_replicas);
    set(&mut partition.last_known_elr, &record.last_known_elr);
    const SAME_LEADER: i32 = -2;
    if record.leader != SAME_LEADER {
        partition.leader = NodeId(record.leader);
        partition.leader_epoch = LeaderEpoch(partition.leader_epoch.get().saturating_add(1));
    }
    match record.leader_recovery_state {
        -1 => {}
        state @ (0 | 1) => partition.leader_recovery_state = state,
        other => return Err(format!("{other} is no state of a leader's recovery")),
    }
    partition.partition_epoch = partition.partition_epoch.saturating_add(1);
    let (replicas, directories) = (partition.replicas.len(), partition.directories.len());
    // Before directories were known there are none; an id that says so fills the gap.
    if directories != 0 && directories != replicas {
        if record.directories.is_some() {
            return Err(format!("{replicas} replicas are in {directories} directories"));
        }
        partition.directories.resize(replicas, Uuid::ZERO);
    }
    Ok(())
}

fn nodes(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}
