//! Group commit: what partitions have queued is gathered, written, synced, and reported. Must not
//! know who waits for the reports.

mod committer;
mod write_set;

pub use committer::{CommitTarget, Committer, Group, Stage};
pub use write_set::WriteSet;
pub(crate) use write_set::{Op, remove, write_index};

use ottla_protocol::Offset;

use crate::error::LogError;

/// What a partition is told of a commit; to be passed to [`crate::PartitionLog::on_commit`].
#[derive(Clone, Debug)]
pub enum CommitEvent {
    /// Batches below `end` are with the operating system: they survive the end of the process.
    Written {
        /// The offset after them.
        end: Offset,
    },
    /// Batches below `end` are on stable storage.
    Durable {
        /// The offset after them.
        end: Offset,
    },
    /// There is no space for what was taken: nothing of it counts as written. The log goes back to
    /// its written end and takes no appends until [`crate::PartitionLog::resume`]. A host that
    /// must not block under its lock uses [`crate::PartitionLog::begin_rollback`] instead of
    /// passing this on.
    NoSpace(LogError),
    /// The log directory failed. What was not reported as written or durable may be lost, and
    /// nothing more is written.
    Failed(LogError),
}
