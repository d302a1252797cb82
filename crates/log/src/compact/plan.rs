//! What of a log is dirty and may be cleaned, and which segments become one. Must not know what is
//! in the records.

use std::sync::Arc;

use ottla_protocol::{Millis, Offset};
use ottla_records::{BatchHeader, HEADER_LEN};

use crate::error::LogError;
use crate::index::{Entry, OffsetEntry, TimeEntry};
use crate::segment::Segment;
use crate::view::LogView;

/// Settings that say when a log is cleaned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CleaningRules {
    /// `min.cleanable.dirty.ratio`
    pub min_dirty_ratio: f64,
    /// `min.compaction.lag.ms`
    pub min_lag: Millis,
    /// `max.compaction.lag.ms`
    pub max_lag: Millis,
}

/// How dirty a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dirt {
    /// Records from here on were never cleaned.
    pub first_dirty: Offset,
    /// Records from here on are not cleaned now: the base of a segment.
    pub up_to: Offset,
    /// Bytes below `first_dirty`.
    pub clean_bytes: u64,
    /// Bytes between the two.
    pub dirty_bytes: u64,
    /// By how much `max.compaction.lag.ms` is passed; 0 for not.
    pub overdue: Millis,
    /// The checkpoint was none of this log's: what it said.
    pub invalid_checkpoint: Option<Offset>,
}

impl Dirt {
    /// Share of what could be cleaned that never was, 0 to 1.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        let total = self.clean_bytes + self.dirty_bytes;
        #[expect(clippy::cast_precision_loss, reason = "a ratio of sizes")]
        let ratio = self.dirty_bytes as f64 / total.max(1) as f64;
        ratio
    }

    /// Whether it is time to clean, by Kafka's rules: strictly above the ratio, or overdue.
    #[must_use]
    pub fn is_due(&self, rules: &CleaningRules) -> bool {
        self.clean_bytes + self.dirty_bytes > 0
            && ((self.overdue > Millis(0) && self.dirty_bytes > 0)
                || self.ratio() > rules.min_dirty_ratio)
    }
}

impl LogView {
    /// How dirty the log is: `checkpoint` is up to where it was cleaned, `last_stable` the last
    /// stable offset, which is not above the high watermark. Reads the ends of segments when a lag
    /// is set.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn dirt(
        &self,
        checkpoint: Option<Offset>,
        last_stable: Offset,
        rules: &CleaningRules,
        now: Millis,
    ) -> Result<Dirt, LogError> {
        let valid = checkpoint.filter(|o| (self.log_start..=self.log_end).contains(o));
        let first_dirty = valid.unwrap_or(self.log_start);
        let closed = self.closed();
        let mut limit = last_stable;
        // A segment that the committer is not done with yet is left alone.
        let unfinished = self.segments.iter().enumerate();
        let unfinished = unfinished.filter(|(i, s)| *i >= closed.len() || !s.is_sealed());
        limit = unfinished.map(|(_, s)| s.base).fold(limit, Offset::min);
        let dirty = dirty_from(closed, first_dirty);
        if rules.min_lag > Millis(0) {
            for segment in dirty {
                if segment.largest()?.timestamp > now.0.saturating_sub(rules.min_lag.0) {
                    limit = limit.min(segment.base);
                    break;
                }
            }
        }
        // Whole segments only.
        let whole = self.segments.partition_point(|s| s.base <= limit).saturating_sub(1);
        let up_to = self.segments.get(whole).map_or(first_dirty, |s| s.base);
        let below = |offset: Offset| {
            let segments = self.segments.iter().take_while(move |s| s.base < offset);
            segments.map(|s| s.written()).sum::<u64>()
        };
        // As Kafka counts, a segment that holds the first dirty offset is both.
        let floor = self.segments.partition_point(|s| s.base <= first_dirty).saturating_sub(1);
        let floor = self.segments.get(floor).map_or(first_dirty, |s| s.base);
        Ok(Dirt {
            first_dirty,
            up_to,
            clean_bytes: below(first_dirty),
            dirty_bytes: below(up_to).saturating_sub(below(floor)),
            overdue: overdue(dirty, rules, now)?,
            invalid_checkpoint: checkpoint.filter(|_| valid.is_none()),
        })
    }

    /// The offset at which the segment after this one begins.
    pub(super) fn end_of(&self, segment: &Segment) -> Offset {
        let next = self.segments.partition_point(|s| s.base <= segment.base);
        self.segments.get(next).map_or(self.log_end, |s| s.base)
    }

    fn closed(&self) -> &[Arc<Segment>] {
        self.segments.split_last().map_or(&[], |(_, closed)| closed)
    }

    /// The closed segments that hold offsets below `end`.
    pub(super) fn segments_below(&self, end: Offset) -> &[Arc<Segment>] {
        let closed = self.closed();
        closed.get(..closed.partition_point(|s| s.base < end)).unwrap_or_default()
    }
}

/// The segments from the one that holds `first_dirty` on.
pub(super) fn dirty_from(segments: &[Arc<Segment>], first_dirty: Offset) -> &[Arc<Segment>] {
    let floor = segments.partition_point(|s| s.base <= first_dirty).saturating_sub(1);
    segments.get(floor..).unwrap_or_default()
}

fn overdue(dirty: &[Arc<Segment>], rules: &CleaningRules, now: Millis) -> Result<Millis, LogError> {
    let clean_until = now.0.saturating_sub(rules.max_lag.0.max(0));
    let mut earliest = i64::MAX;
    if clean_until > 0 {
        for segment in dirty {
            let first = first_timestamp(segment)?;
            earliest = earliest.min(first.filter(|t| *t > 0).unwrap_or(i64::MAX));
        }
    }
    Ok(Millis(clean_until.saturating_sub(earliest).max(0)))
}

/// The largest timestamp of a segment's first batch.
fn first_timestamp(segment: &Segment) -> Result<Option<i64>, LogError> {
    let mut bytes = [0; HEADER_LEN];
    let read = segment.log_file()?.read_at(&mut bytes, 0)?;
    let header = bytes.get(..read).and_then(|b| BatchHeader::parse(b).ok());
    Ok(header.map(|h| h.max_timestamp.0))
}

/// Bounds of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) segment_bytes: u64,
    pub(super) index_bytes: u64,
}

/// Groups that fit into one segment each, by bytes of batches and of each index, and by the span
/// of offsets; `up_to` is the offset after the last segment. Looks at indexes that were not yet.
pub(super) fn groups(
    segments: &[Arc<Segment>],
    bounds: Bounds,
    up_to: Offset,
) -> Result<Vec<&[Arc<Segment>]>, LogError> {
    let sizes = |s: &Segment| {
        s.look()?;
        let (offsets, times) = s.entries();
        let bytes = |count: u32, size: usize| u64::from(count) * size as u64;
        Ok::<_, LogError>((
            s.written(),
            bytes(offsets, OffsetEntry::BYTES),
            bytes(times, TimeEntry::BYTES),
        ))
    };
    let mut groups = Vec::new();
    let mut rest = segments;
    while let Some(first) = rest.first() {
        let (mut log, mut offsets, mut times) = sizes(first)?;
        let mut count = 1;
        while let Some(next) = rest.get(count) {
            let (l, o, t) = sizes(next)?;
            let last = rest.get(count + 1).map_or(up_to, |s| s.base).plus(-1);
            let fits = log + l <= bounds.segment_bytes
                && offsets + o <= bounds.index_bytes
                && times + t <= bounds.index_bytes
                && (l == 0 || last.0.saturating_sub(first.base.0) <= i64::from(i32::MAX));
            if !fits {
                break;
            }
            (log, offsets, times) = (log + l, offsets + o, times + t);
            count += 1;
        }
        let (group, after) = rest.split_at(count);
        groups.push(group);
        rest = after;
    }
    Ok(groups)
}
