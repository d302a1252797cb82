//! What compaction needs of a partition on this broker. Must not know what it does with it.

use ottla_log::{CompactionTarget, LogView, PartitionLog};
use ottla_protocol::Offset;

use super::HostedPartition;

impl HostedPartition {
    /// The log's files as they are now, and up to where its records are decided.
    pub(crate) fn view_for_cleaning(&self) -> (LogView, Offset) {
        let state = self.state.lock();
        (state.log.view(), state.last_stable())
    }
}

impl CompactionTarget for HostedPartition {
    fn with_log<R>(&self, work: impl FnOnce(&mut PartitionLog) -> R) -> R {
        work(&mut self.state.lock().log)
    }
}
