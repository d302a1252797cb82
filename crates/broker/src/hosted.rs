//! From a topic's name and a partition's number to the partition on this broker. Must not know
//! what is asked of it.

use std::sync::Arc;

use ottla_protocol::{ErrorCode, LeaderEpoch};

use crate::dispatch::Context;
use crate::replica::HostedPartition;

impl Context {
    /// The partition, when this broker has it; else what Kafka answers.
    pub(crate) fn hosted(
        &self,
        topic: &str,
        index: i32,
    ) -> Result<Arc<HostedPartition>, ErrorCode> {
        if let Some(hosted) = self.shared.partitions.by_name(topic, index) {
            return Ok(hosted);
        }
        let image = self.shared.image.load();
        match image.topic(topic).filter(|topic| topic.partition(index).is_some()) {
            Some(topic) => Err(self.shared.partitions.why_absent(topic.id, index)),
            None => Err(ErrorCode::UnknownTopicOrPartition),
        }
    }
}

/// The leader epoch that a request believes in, if it says one; any other number below 0 is an
/// epoch that has passed.
pub(crate) fn believed_epoch(epoch: i32) -> Option<LeaderEpoch> {
    let epoch = LeaderEpoch(epoch);
    (epoch != LeaderEpoch::NONE).then_some(epoch)
}
