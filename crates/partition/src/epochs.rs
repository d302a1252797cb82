//! Leader epochs of one partition and the offsets at which they began. Owns Kafka's lookup and
//! truncation rules and the text of `leader-epoch-checkpoint`. Must not know files.

use std::fmt::Write as _;

use ottla_protocol::{LeaderEpoch, Offset};
use thiserror::Error;

/// One leader epoch and the offset of its first record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    /// The epoch, never negative.
    pub epoch: LeaderEpoch,
    /// Offset of the first record that a leader of this epoch wrote, never negative.
    pub start_offset: Offset,
}

/// Answer to "where does this epoch end?" (OffsetForLeaderEpoch). Both fields are −1 when the
/// epoch is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// Largest known epoch that is not above the asked one; −1 is "unknown".
    pub epoch: LeaderEpoch,
    /// First offset after that epoch; −1 is "unknown".
    pub end_offset: Offset,
}

impl EpochEnd {
    /// The answer for an epoch that cannot be placed.
    pub const UNKNOWN: Self = Self { epoch: LeaderEpoch::NONE, end_offset: Offset::NONE };
}

/// Why the text of a `leader-epoch-checkpoint` was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// The first line is not the supported version 0.
    #[error("unsupported checkpoint version {0:?}")]
    Version(String),
    /// A line is not what its place asks for.
    #[error("malformed line {line} of the checkpoint: {text:?}")]
    Line {
        /// One-based line number.
        line: usize,
        /// The line as found.
        text: String,
    },
    /// The line count does not match the lines that follow.
    #[error("the checkpoint announces {announced} entries and has {found}")]
    Count {
        /// The number on the second line.
        announced: usize,
        /// The entries that follow it.
        found: usize,
    },
}

/// Leader epochs in ascending order, both by epoch and by start offset.
///
/// Whoever changes it writes the checkpoint again: each changing call says whether it changed
/// anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochCache {
    entries: Vec<EpochEntry>,
}

impl EpochCache {
    /// A cache without epochs.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// All entries, ascending.
    #[must_use]
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// Whether no epoch is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The newest epoch.
    #[must_use]
    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    /// The oldest epoch.
    #[must_use]
    pub fn earliest(&self) -> Option<EpochEntry> {
        self.entries.first().copied()
    }

    /// The newest epoch below `epoch`.
    #[must_use]
    pub fn previous(&self, epoch: LeaderEpoch) -> Option<EpochEntry> {
        let above = self.entries.partition_point(|e| e.epoch < epoch);
        self.entries.get(above.checked_sub(1)?).copied()
    }

    /// The oldest epoch above `epoch`.
    #[must_use]
    pub fn next(&self, epoch: LeaderEpoch) -> Option<EpochEntry> {
        self.entries.get(self.entries.partition_point(|e| e.epoch <= epoch)).copied()
    }

    /// The epoch in which the record at `offset` was written, `None` below the first entry.
    #[must_use]
    pub fn epoch_for_offset(&self, offset: Offset) -> Option<LeaderEpoch> {
        let above = self.entries.partition_point(|e| e.start_offset <= offset);
        self.entries.get(above.checked_sub(1)?).map(|e| e.epoch)
    }

    /// Notes that `epoch` began at `start_offset`; called for each appended batch and by a new
    /// leader at its log end. Returns whether the cache changed.
    ///
    /// Entries that would break the order (epoch or start offset not below the new one) go: the
    /// log was truncated below them, or they never got a record. A negative epoch or offset is
    /// no epoch and is ignored.
    pub fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        if epoch < LeaderEpoch(0) || start_offset < Offset::ZERO {
            return false;
        }
        if self.latest().is_some_and(|l| l.epoch == epoch && start_offset >= l.start_offset) {
            return false;
        }
        while self.latest().is_some_and(|l| l.epoch >= epoch || l.start_offset >= start_offset) {
            self.entries.pop();
        }
        self.entries.push(EpochEntry { epoch, start_offset });
        true
    }

    /// Where `requested` ends in a log that ends at `log_end` (OffsetForLeaderEpoch).
    ///
    /// The latest epoch ends at the log end; an epoch above all known ones is unknown; one below
    /// all known ones ends where the first known begins.
    #[must_use]
    pub fn end_offset_for(&self, requested: LeaderEpoch, log_end: Offset) -> EpochEnd {
        if requested == LeaderEpoch::NONE {
            return EpochEnd::UNKNOWN;
        }
        if self.latest().is_some_and(|l| l.epoch == requested) {
            return EpochEnd { epoch: requested, end_offset: log_end };
        }
        let Some(higher) = self.next(requested) else {
            return EpochEnd::UNKNOWN;
        };
        let at = self.entries.partition_point(|e| e.epoch <= requested);
        let floor = at.checked_sub(1).and_then(|i| self.entries.get(i));
        EpochEnd { epoch: floor.map_or(requested, |e| e.epoch), end_offset: higher.start_offset }
    }

    /// Drops entries that start at or after `end_offset`, the new log end. Returns whether the
    /// cache changed.
    pub fn truncate_from_end(&mut self, end_offset: Offset) -> bool {
        let keep = self.entries.partition_point(|e| e.start_offset < end_offset);
        let changed = end_offset >= Offset::ZERO && keep < self.entries.len();
        if changed {
            self.entries.truncate(keep);
        }
        changed
    }

    /// Drops entries below `start_offset`, the new log start; the one that covers it stays and
    /// begins there now. Returns whether the cache changed.
    pub fn truncate_from_start(&mut self, start_offset: Offset) -> bool {
        let covered = self.entries.partition_point(|e| e.start_offset <= start_offset);
        let Some(last) = covered.checked_sub(1) else {
            return false;
        };
        let Some(covering) = self.entries.get_mut(last) else {
            return false;
        };
        let changed = last > 0 || covering.start_offset != start_offset;
        covering.start_offset = start_offset;
        self.entries.drain(..last);
        changed
    }

    /// Drops everything (a log that starts anew). Returns whether the cache changed.
    pub fn clear(&mut self) -> bool {
        let changed = !self.entries.is_empty();
        self.entries.clear();
        changed
    }

    /// The text of `leader-epoch-checkpoint`: version 0, entry count, `epoch offset` lines.
    #[must_use]
    pub fn encode_checkpoint(&self) -> String {
        let mut text = format!("0\n{}\n", self.entries.len());
        for entry in &self.entries {
            let written = writeln!(text, "{} {}", entry.epoch, entry.start_offset);
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        }
        text
    }

    /// Reads the text of `leader-epoch-checkpoint`. Empty text is an empty cache, as in Kafka.
    ///
    /// # Errors
    /// [`CheckpointError`] for another version, a malformed or negative entry, a wrong count.
    pub fn decode_checkpoint(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.lines().enumerate();
        let Some((_, version)) = lines.next() else {
            return Ok(Self::new());
        };
        if version.trim() != "0" {
            return Err(CheckpointError::Version(version.to_owned()));
        }
        let malformed = |line: usize, text: &str| CheckpointError::Line {
            line: line.saturating_add(1),
            text: text.to_owned(),
        };
        let (at, count) = lines.next().unwrap_or((1, ""));
        let announced: usize = count.trim().parse().map_err(|_| malformed(at, count))?;
        let mut cache = Self::new();
        let mut found = 0_usize;
        for (at, line) in lines {
            let entry = parse_entry(line).ok_or_else(|| malformed(at, line))?;
            cache.assign(entry.epoch, entry.start_offset);
            found = found.saturating_add(1);
        }
        if found == announced {
            Ok(cache)
        } else {
            Err(CheckpointError::Count { announced, found })
        }
    }
}

fn parse_entry(line: &str) -> Option<EpochEntry> {
    let mut words = line.split_ascii_whitespace();
    let epoch: i32 = words.next()?.parse().ok()?;
    let start: i64 = words.next()?.parse().ok()?;
    (words.next().is_none() && epoch >= 0 && start >= 0)
        .then_some(EpochEntry { epoch: LeaderEpoch(epoch), start_offset: Offset(start) })
}
