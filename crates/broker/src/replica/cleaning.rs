//! What compaction needs of a partition on this broker. Must not know what it does with it.

use std::sync::Arc;

use ottla_log::{CompactionTarget, LogView, PartitionLog};
use ottla_metadata::Image;
use ottla_protocol::Offset;

use super::{HostedPartition, Partitions};

impl Partitions {
    /// The metadata that the partitions are being brought in line with.
    pub(crate) fn followed(&self) -> Arc<Image> {
        self.image.load_full()
    }
}

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
