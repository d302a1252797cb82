//! Reading: from the tail at once, or by a view that is used without the lock. Must not know what
//! readers may see: they say how far.

use std::sync::Arc;

use ottla_partition::EpochEnd;
use ottla_protocol::{LeaderEpoch, Offset};

use super::PartitionLog;
use crate::error::ReadError;
use crate::read::{Answer, Fetched, ReadRequest, TimestampOffset, timestamps};
use crate::view::LogView;

impl PartitionLog {
    /// Whole batches from the one that holds `request.from` on.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`].
    pub fn read(&self, request: &ReadRequest) -> Result<Answer<Fetched>, ReadError> {
        if request.from < self.log_start || request.from > self.log_end {
            return Err(ReadError::OutOfRange {
                offset: request.from,
                log_start: self.log_start,
                log_end: self.log_end,
            });
        }
        if request.from >= request.up_to.min(self.log_end) {
            return Ok(Answer::Ready(Fetched::empty(request.from)));
        }
        if request.from >= self.tail.start() {
            return Ok(Answer::Ready(self.tail.read(request)));
        }
        Ok(Answer::Lookup(self.view()))
    }

    /// Bytes of whole batches that a read from `from` to `up_to` could give; for "below min
    /// bytes". `None`: more than the tail holds.
    #[must_use]
    pub fn available_bytes(&self, from: Offset, up_to: Offset) -> Option<usize> {
        if from >= up_to.min(self.log_end) {
            return Some(0);
        }
        (from >= self.tail.start()).then(|| self.tail.bytes_between(from, up_to))
    }

    /// The log's files as they are now.
    #[must_use]
    pub fn view(&self) -> LogView {
        LogView {
            dir: Arc::clone(&self.dir),
            segments: Arc::clone(&self.segments),
            log_start: self.log_start,
            log_end: self.log_end,
            active_largest: self.active.largest,
            max_decompressed_bytes: self.config.max_decompressed_bytes,
            compact: self.config.compact || self.compacted,
        }
    }

    /// ListOffsets, as Apache Kafka 4.4 answers without tiered storage: special timestamps at
    /// once, others by the view. [`timestamps::LATEST`] gives the log's end: who may only see the
    /// high watermark or the last stable offset answers with that. `None`: there is none.
    #[must_use]
    pub fn list_offset(&self, timestamp: i64) -> Answer<Option<TimestampOffset>> {
        let special = |offset, leader_epoch| {
            Answer::Ready(Some(TimestampOffset { timestamp: -1, offset, leader_epoch }))
        };
        match timestamp {
            timestamps::EARLIEST | timestamps::EARLIEST_LOCAL => {
                let first = self.epochs.earliest().filter(|e| e.start_offset <= self.log_start);
                special(self.log_start, first.map(|e| e.epoch))
            }
            timestamps::LATEST => special(self.log_end, self.epochs.latest().map(|e| e.epoch)),
            timestamps::LATEST_TIERED | timestamps::EARLIEST_PENDING_UPLOAD => {
                special(Offset::NONE, Some(LeaderEpoch::NONE))
            }
            _ => Answer::Lookup(self.view()),
        }
    }

    /// Where `epoch` ends (OffsetForLeaderEpoch).
    #[must_use]
    pub fn offset_for_leader_epoch(&self, epoch: LeaderEpoch) -> EpochEnd {
        self.epochs.end_offset_for(epoch, self.log_end)
    }
}
