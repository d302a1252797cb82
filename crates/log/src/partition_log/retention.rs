//! What retention takes away, by Apache Kafka's rules (`UnifiedLog.deleteOldSegments`): segments
//! from the front, by time, by size, and below the log's start. Three steps, so that nothing is
//! read under the log's lock: [`PartitionLog::retention`], [`Retention::plan`] without the lock,
//! [`PartitionLog::retain`]. Then the host makes the log start durable, and only after that calls
//! [`PartitionLog::delete_old_segments`]. Must not know when the host looks, nor who reads.

use std::sync::Arc;

use ottla_protocol::{Millis, Offset};

use super::PartitionLog;
use crate::error::LogError;
use crate::segment::Segment;
use crate::view::LogView;

/// What of a topic's settings retention goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionRules {
    /// `cleanup.policy` has `delete`. Without it only what lies below the log's start goes.
    pub delete: bool,
    /// `retention.ms`; `None` for ever.
    pub retention_ms: Option<Millis>,
    /// `retention.bytes`; `None` for any size.
    pub retention_bytes: Option<u64>,
}

/// A log as retention sees it, to be judged without the log's lock.
#[derive(Clone, Debug)]
pub struct Retention {
    view: LogView,
    active_bytes: u64,
    uncommitted_bytes: u64,
}

/// What may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionPlan {
    /// Where the log begins when it has gone.
    pub log_start: Offset,
    /// The last segment goes too: its base, where the log begins if it may not.
    last: Option<Offset>,
    /// The log's end that the plan counts on, then.
    log_end: Offset,
    /// A segment that is kept because its newest record is from the future: that record's time.
    pub from_the_future: Option<Millis>,
}

impl PartitionLog {
    /// The log as it is now.
    #[must_use]
    pub fn retention(&self) -> Retention {
        // Of closed segments only what is written is seen.
        let unseen = self.closing.iter().map(|(s, bytes)| bytes.saturating_sub(s.written()));
        Retention {
            view: self.view(),
            active_bytes: self.active.size,
            uncommitted_bytes: self.uncommitted_bytes.saturating_sub(unseen.sum()),
        }
    }

    /// Moves the log's start over what may go, and closes the last segment when it is part of
    /// that. `up_to` is the smaller of the high watermark and the last stable offset: nothing goes
    /// that reaches beyond. Returns whether the start moved: then the host writes the checkpoint of
    /// log starts, and calls [`PartitionLog::delete_old_segments`] when that is durable.
    pub fn retain(&mut self, plan: &RetentionPlan, up_to: Offset, now: Millis) -> bool {
        if self.check().is_err() {
            return false;
        }
        let untouched = !self.halted && self.log_end == plan.log_end && self.log_end <= up_to;
        let start = match plan.last {
            // Appended to meanwhile, or there is no space for a new one: next time.
            Some(base) if !untouched => base,
            Some(_) | None => plan.log_start,
        };
        if start <= self.log_start || start > up_to {
            return false;
        }
        if plan.last.is_some() && untouched && self.active.size > 0 {
            self.roll(self.log_end, now);
        }
        self.advance_log_start(start)
    }

    /// Closes the last segment when it has waited for `segment.ms` and nobody appends. Returns
    /// whether a commit is needed.
    pub fn roll_idle(&mut self, now: Millis) -> bool {
        if self.halted || self.check().is_err() || self.active.size == 0 {
            return false;
        }
        let since = self.active.created.0.max(self.active.first_timestamp.unwrap_or(-1));
        let limit = self.config.segment_ms.0.saturating_sub(self.config.segment_jitter_ms.0);
        if now.0.saturating_sub(since) <= limit {
            return false;
        }
        self.roll(self.log_end, now);
        self.queue()
    }
}

impl Retention {
    /// What may go by `rules` at the time `now` (milliseconds since the Unix epoch), of what lies
    /// below `up_to`. `None`: nothing. May read files.
    ///
    /// # Errors
    /// When the disk fails; a file that is not there: the segment was removed meanwhile.
    pub fn plan(
        &self,
        rules: &RetentionRules,
        up_to: Offset,
        now: Millis,
    ) -> Result<Option<RetentionPlan>, LogError> {
        let eligible = self.eligible(up_to);
        let mut gone = 0;
        let mut bytes = self.bytes_from(0);
        let next = |index: usize| self.view.segments.get(index + 1).map(|s| s.base);
        while gone < eligible && next(gone).is_some_and(|base| base <= self.view.log_start) {
            bytes -= self.bytes_of(gone);
            gone += 1;
        }
        let mut from_the_future = None;
        if rules.delete {
            if let Some(limit) = rules.retention_bytes {
                // A crash may take what is not committed: so much must be left without it.
                let limit = limit.saturating_add(self.uncommitted_bytes);
                while gone < eligible && bytes.saturating_sub(limit) >= self.bytes_of(gone) {
                    bytes -= self.bytes_of(gone);
                    gone += 1;
                }
            }
            if let Some(limit) = rules.retention_ms {
                while gone < eligible {
                    let newest = self.newest(gone)?;
                    from_the_future = newest.filter(|newest| *newest > now);
                    if newest.is_none_or(|newest| now.0.saturating_sub(newest.0) <= limit.0) {
                        break;
                    }
                    gone += 1;
                }
            }
        }
        let Some(last_gone) = gone.checked_sub(1) else { return Ok(None) };
        let is_last = gone == self.view.segments.len();
        Ok(Some(RetentionPlan {
            log_start: next(last_gone).unwrap_or(self.view.log_end).max(self.view.log_start),
            last: self.view.segments.get(last_gone).filter(|_| is_last).map(|s| s.base),
            log_end: self.view.log_end,
            from_the_future,
        }))
    }

    /// How many segments, from the first, end at or below `up_to`; a last one without batches is
    /// none of them.
    fn eligible(&self, up_to: Offset) -> usize {
        let segments = &self.view.segments;
        let ends = segments.iter().skip(1).map(|s| s.base);
        let closed = ends.take_while(|end| *end <= up_to).count();
        let all_closed = closed + 1 == segments.len();
        let last = all_closed && self.active_bytes > 0 && self.view.log_end <= up_to;
        closed + usize::from(last)
    }

    fn segment(&self, index: usize) -> Option<&Arc<Segment>> {
        self.view.segments.get(index)
    }

    fn is_last(&self, index: usize) -> bool {
        index + 1 == self.view.segments.len()
    }

    fn bytes_of(&self, index: usize) -> u64 {
        if self.is_last(index) {
            return self.active_bytes;
        }
        self.segment(index).map_or(0, |s| s.written())
    }

    fn bytes_from(&self, first: usize) -> u64 {
        (first..self.view.segments.len()).map(|index| self.bytes_of(index)).sum()
    }

    /// The time of a segment's newest record; of one without timestamps, of its last change.
    fn newest(&self, index: usize) -> Result<Option<Millis>, LogError> {
        let Some(segment) = self.segment(index) else { return Ok(None) };
        let largest =
            if self.is_last(index) { self.view.active_largest } else { segment.largest()? };
        if largest.timestamp >= 0 {
            return Ok(Some(Millis(largest.timestamp)));
        }
        Ok(segment.log_file()?.modified_ms()?.map(Millis))
    }
}
