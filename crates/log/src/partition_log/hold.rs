//! Moving to another log directory, the moments under the lock: the log is held, so that nothing of
//! it is being written; then the copy takes its place, with what came in meanwhile. Must not know
//! how the copy was made, nor what its directory is called.

use std::sync::Arc;

use bytes::Bytes;
use ottla_env::mark;
use ottla_protocol::{Millis, Offset};

use super::PartitionLog;
use crate::commit::Op;
use crate::error::{AppendError, LogError};
use crate::names;
use crate::read::ReadRequest;
use crate::segment::{PartitionDir, Stage};

impl PartitionLog {
    /// From here on nothing is given to the committer; when it is done with what it took
    /// ([`PartitionLog::is_committing`]), the files stay as they are. Appends and reads go on.
    ///
    /// # Errors
    /// When the log takes no appends.
    pub fn hold(&mut self) -> Result<(), LogError> {
        self.check()?;
        if self.halted {
            let reason = "there is no space for its records".into();
            return Err(LogError::Offline { path: self.dir.path.clone(), reason });
        }
        self.held = true;
        Ok(())
    }

    /// The committer gets what is queued again. Whether the host must tell it now.
    pub fn release(&mut self) -> bool {
        self.held = false;
        self.queued = false;
        self.queue()
    }

    /// Takes the place of `old`, which is held, and of which this is a copy up to its written end:
    /// what was appended since is appended here, and the producers, epochs and settings are taken
    /// over. Readers of `old`'s files look again. This log is held, until
    /// [`PartitionLog::release`]; `old` takes nothing any more. No I/O.
    ///
    /// # Errors
    /// When either takes no appends, or this is no copy of `old`: then `old` is as it was.
    pub fn take_over(&mut self, old: &mut Self, now: Millis) -> Result<(), AppendError> {
        assert!(old.held && !old.in_flight, "a log that moves is held");
        old.check_append()?;
        self.check_append()?;
        let copied = self.log_end == old.written_end && self.log_end >= old.tail.start();
        if !copied || self.log_start > old.log_start || self.topic_id != old.topic_id {
            let reason = format!("it is no copy of {}", old.dir.path.display()).into();
            return Err(LogError::Offline { path: self.dir.path.clone(), reason }.into());
        }
        self.config = old.config.clone();
        while self.log_end < old.log_end {
            let request = ReadRequest {
                from: self.log_end,
                up_to: old.log_end,
                max_bytes: usize::MAX,
                at_least_one: true,
            };
            let fetched = old.tail.read(&request);
            if fetched.batches.is_empty() {
                let reason = "the newest batches are not in memory".into();
                return Err(LogError::Offline { path: old.dir.path.clone(), reason }.into());
            }
            mark!("move-takes-the-tail-over");
            for run in &fetched.batches {
                self.append_as_replica(run, now)?;
            }
        }
        self.advance_log_start(old.log_start);
        std::mem::swap(&mut self.producers, &mut old.producers);
        std::mem::swap(&mut self.epochs, &mut old.epochs);
        self.epochs_unwritten = old.epochs_unwritten;
        self.compacted |= old.compacted;
        let content = Bytes::from(self.epochs.encode_checkpoint());
        self.pending.push(Op::Replace { name: names::LEADER_EPOCHS, content });
        std::mem::swap(&mut self.maintenance, &mut old.maintenance);
        self.at_rest = None;
        self.held = true;
        self.queued = true;
        // Marked before its directory gets another name: who opens a file afterwards sees it.
        for segment in old.segments.iter() {
            segment.set_stage(Stage::Replaced);
        }
        old.retire();
        Ok(())
    }

    /// Brings the end of a copy to where that of the log is, over offsets that compaction removed.
    pub(crate) fn skip_to(&mut self, offset: Offset, now: Millis) -> Result<(), LogError> {
        if offset <= self.log_end {
            return Ok(());
        }
        self.flush_now()?;
        self.roll(offset, now);
        self.flush_now()?;
        self.log_end = offset;
        self.written_end = offset;
        self.durable_end = offset;
        self.tail.restart(offset);
        Ok(())
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Arc<PartitionDir> {
        &self.dir
    }
}
