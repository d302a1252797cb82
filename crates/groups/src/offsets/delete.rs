//! The end of offsets by request (OffsetDelete, DeleteGroups) or because their topic is deleted.
//! Must not know whether the group allows it; that has been asked.

use ottla_protocol::k47_offset_delete::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use ottla_protocol::{ErrorCode, OffsetDeleteRequest, OffsetDeleteResponse, StrBytes, TopicId};

use super::Offsets;
use crate::Record;
use crate::group::Group;

/// The records that delete the offsets, and each partition's answer: refused where the group
/// consumes the topic.
pub(crate) fn plan(
    offsets: &Offsets,
    group: &Group,
    request: &OffsetDeleteRequest,
    records: &mut Vec<Record>,
) -> OffsetDeleteResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let subscribed = group.is_subscribed(&topic.name);
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let index = partition.partition_index;
            if !subscribed && offsets.has_any(&request.group_id, &topic.name, index) {
                records.push(Record::offset_tombstone(&request.group_id, &topic.name, index));
            }
            let error =
                if subscribed { ErrorCode::GroupSubscribedToTopic } else { ErrorCode::None };
            partitions.push(OffsetDeleteResponsePartition {
                partition_index: index,
                error_code: error.into(),
            });
        }
        topics.push(OffsetDeleteResponseTopic { name: topic.name.clone(), partitions });
    }
    OffsetDeleteResponse { topics, ..OffsetDeleteResponse::default() }
}

impl Offsets {
    fn has_any(&self, group: &str, topic: &str, partition: i32) -> bool {
        self.committed.get(group, topic, partition).is_some()
            || self.is_unstable(group, topic, partition)
    }

    /// The records that delete all offsets of a group.
    pub(crate) fn delete_all(&self, group: &StrBytes, records: &mut Vec<Record>) {
        for (topic, partitions) in self.committed.group(group).into_iter().flatten() {
            for partition in partitions.keys() {
                records.push(Record::offset_tombstone(group, topic, *partition));
            }
        }
        for (topic, partitions) in self.open.group(group).into_iter().flatten() {
            for partition in partitions.keys() {
                if self.committed.get(group, topic, *partition).is_none() {
                    records.push(Record::offset_tombstone(group, topic, *partition));
                }
            }
        }
    }

    /// The records that delete all offsets of deleted topics; not those of a topic of the same
    /// name created since.
    pub(crate) fn delete_topics(&self, deleted: &[(StrBytes, TopicId)], records: &mut Vec<Record>) {
        let stores = std::iter::once(&self.committed).chain(self.pending.values());
        for (group, topics) in stores.flat_map(super::ByPartition::groups) {
            for (name, id) in deleted {
                for (partition, offset) in topics.get(name).into_iter().flatten() {
                    if offset.topic_id.is_zero() || offset.topic_id == *id {
                        records.push(Record::offset_tombstone(group, name, *partition));
                    }
                }
            }
        }
    }
}
