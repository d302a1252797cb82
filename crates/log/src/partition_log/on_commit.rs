//! The committer's side of a log: it takes what is queued, and reports. Must not know what else is
//! in a group.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ottla_env::planted;
use ottla_protocol::Offset;

use super::PartitionLog;
use crate::commit::{CommitEvent, Op, WriteSet};
use crate::config::FlushMode;
use crate::error::LogError;
use crate::segment::Segment;

impl PartitionLog {
    /// Takes what is queued; `None` when it is nothing.
    pub fn take_pending(&mut self) -> Option<WriteSet> {
        if self.held || self.in_flight {
            // A committer may know a log twice; what came in meanwhile is what it knows it for next.
            return None;
        }
        self.queued = false;
        if self.pending.is_empty() {
            return None;
        }
        if self.dir.stale.swap(false, Ordering::AcqRel) {
            self.queue_epochs();
        }
        let ops = std::mem::take(&mut self.pending);
        self.active.index_queued = false;
        self.in_flight = true;
        self.taken_bytes = self.uncommitted_bytes;
        let mut set = WriteSet::new(&self.dir, ops, self.log_end);
        if self.config.flush_mode == FlushMode::Durable {
            set.sync_active = self.unsynced();
        } else {
            set.sync_batches = false;
            // Closed segments are synced in any mode.
            let sealed = set.ops.iter().any(|op| matches!(op, Op::Seal(_)));
            set.durable_end = if planted("os-mode-claims-durable") {
                self.log_end
            } else if sealed {
                self.active_segment().base
            } else {
                self.durable_end
            };
        }
        Some(set)
    }

    /// The last segment, when batches were written with `flush.mode=os` and are not synced yet.
    fn unsynced(&self) -> Option<Arc<Segment>> {
        (self.durable_end < self.written_end).then(|| Arc::clone(self.active_segment()))
    }

    /// The committer's report.
    pub fn on_commit(&mut self, event: &CommitEvent) {
        match event {
            CommitEvent::Written { end } => {
                assert!(*end <= self.log_end, "only what was appended can be written");
                self.written_end = self.written_end.max(*end);
            }
            CommitEvent::Durable { end } => {
                assert!(*end <= self.written_end, "only what is written can be durable");
                self.in_flight = false;
                self.uncommitted_bytes =
                    self.uncommitted_bytes.saturating_sub(std::mem::take(&mut self.taken_bytes));
                self.is_durable(*end);
            }
            CommitEvent::NoSpace(_) => {
                // It tells of its failure by itself.
                let _failed = self.roll_back();
            }
            CommitEvent::Failed(error) => {
                self.failure.get_or_insert_with(|| error.clone());
                self.in_flight = false;
            }
        }
    }

    /// A commit has come to its end.
    fn is_durable(&mut self, end: Offset) {
        self.durable_end = self.durable_end.max(end);
        self.note_durable_end();
        self.tail.evict(self.written_end, self.config.tail_bytes);
    }

    /// Gives back the memory of batches that are written, all of it, when nothing was appended
    /// since the last call: called now and then, it finds the logs that are idle.
    pub fn evict_tail(&mut self) {
        if std::mem::replace(&mut self.idle_from, self.log_end) == self.log_end {
            self.tail.evict(self.written_end, 0);
        }
    }

    /// Writes and syncs what is queued, here and now: blocks. For an owner that has no committer
    /// (the metadata log) and for stopping. No other commit may be in flight.
    ///
    /// # Errors
    /// [`LogError::is_no_space`]: the log goes back to its written end, as after
    /// [`CommitEvent::NoSpace`]. When the disk fails the log directory is out of service.
    pub fn flush_now(&mut self) -> Result<(), LogError> {
        self.check()?;
        assert!(!self.in_flight, "one commit of a log at a time");
        let mut set = WriteSet::new(&self.dir, std::mem::take(&mut self.pending), self.log_end);
        self.queued = false;
        self.active.index_queued = false;
        set.sync_active = self.unsynced();
        let path = self.dir.path.as_os_str().as_encoded_bytes();
        let is_unsynced = planted("move-copy-not-synced") && path.ends_with(b"-future");
        match if is_unsynced { set.write().and_then(|()| set.finish()) } else { set.run() } {
            Ok(()) => {
                self.written_end = self.log_end;
                self.uncommitted_bytes = 0;
                self.is_durable(self.log_end);
                Ok(())
            }
            Err(error) if error.is_no_space() => {
                self.dir.log_dir.set_full(true);
                self.fail_on(set.abandon())?;
                self.roll_back()?;
                Err(error)
            }
            Err(error) => self.fail_on(Err(error)),
        }
    }
}
