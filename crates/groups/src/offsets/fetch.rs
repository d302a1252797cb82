//! OffsetFetch: what is committed, and what an open transaction keeps back. Must not know whether
//! the group lets its sender read; that has been asked.

use ottla_protocol::k09_offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponseGroup,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use ottla_protocol::{ErrorCode, StrBytes, TopicId};

use super::{Committed, Offsets};

/// The answer for one group. `exists`: whether the group does; if not, nothing is committed.
pub(crate) fn answer(
    offsets: &Offsets,
    request: &OffsetFetchRequestGroup,
    exists: bool,
    require_stable: bool,
) -> OffsetFetchResponseGroup {
    let reading = Reading { offsets, group: &request.group_id, exists, require_stable };
    let topics = match &request.topics {
        Some(topics) => topics.iter().map(|topic| reading.topic(topic)).collect(),
        None => reading.all_topics(),
    };
    OffsetFetchResponseGroup {
        group_id: request.group_id.clone(),
        topics,
        ..OffsetFetchResponseGroup::default()
    }
}

struct Reading<'a> {
    offsets: &'a Offsets,
    group: &'a StrBytes,
    exists: bool,
    require_stable: bool,
}

impl Reading<'_> {
    fn topic(&self, topic: &OffsetFetchRequestTopics) -> OffsetFetchResponseTopics {
        let partitions = topic.partition_indexes.iter().map(|index| {
            let committed = self
                .exists
                .then(|| self.offsets.committed().get(self.group, &topic.name, *index))
                .flatten()
                .filter(|committed| same_topic(committed.topic_id, topic.topic_id));
            self.partition(&topic.name, *index, committed)
        });
        OffsetFetchResponseTopics {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: partitions.collect(),
            ..OffsetFetchResponseTopics::default()
        }
    }

    fn all_topics(&self) -> Vec<OffsetFetchResponseTopics> {
        let topics = self.offsets.committed().group(self.group).filter(|_| self.exists);
        let topics = topics.into_iter().flatten().map(|(name, partitions)| {
            let partitions = partitions
                .iter()
                .map(|(index, committed)| self.partition(name, *index, Some(committed)));
            OffsetFetchResponseTopics {
                name: name.clone(),
                partitions: partitions.collect(),
                ..OffsetFetchResponseTopics::default()
            }
        });
        topics.collect()
    }

    fn partition(
        &self,
        topic: &str,
        partition_index: i32,
        committed: Option<&Committed>,
    ) -> OffsetFetchResponsePartitions {
        let nothing = OffsetFetchResponsePartitions {
            partition_index,
            committed_offset: -1,
            committed_leader_epoch: -1,
            metadata: Some(StrBytes::default()),
            ..OffsetFetchResponsePartitions::default()
        };
        if self.require_stable && self.offsets.is_unstable(self.group, topic, partition_index) {
            let error_code = ErrorCode::UnstableOffsetCommit.into();
            return OffsetFetchResponsePartitions { error_code, ..nothing };
        }
        match committed {
            None => nothing,
            Some(committed) => OffsetFetchResponsePartitions {
                committed_offset: committed.offset,
                committed_leader_epoch: committed.leader_epoch,
                metadata: Some(committed.metadata.clone()),
                ..nothing
            },
        }
    }
}

/// Whether an offset is one of the topic that is asked for; a namesake created anew has another
/// id. Where either is not known the name decides.
fn same_topic(committed: TopicId, asked: TopicId) -> bool {
    committed.is_zero() || asked.is_zero() || committed == asked
}
