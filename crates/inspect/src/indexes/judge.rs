//! Holds index entries against the batches of their segment, in one walk over both. Must not read
//! the log itself: batches are told to it in order.

use ottla_env::DiskError;
use ottla_log::{IndexEntry, OffsetEntry, TimeEntry};
use ottla_protocol::Offset;
use ottla_records::BatchHeader;

use super::entries::Entries;

/// Lies of one index that are kept in words; the others are only counted.
const LIES_KEPT: usize = 8;

/// What became of an index's entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Judged {
    pub(crate) bytes: u64,
    /// Entries before the padding.
    pub(crate) entries: u64,
    /// Entries that name what the log has.
    pub(crate) exact: u64,
    /// Entries that do not, but lead no reader astray.
    pub(crate) loose: u64,
    pub(crate) lies: u64,
    /// The first lies: the entry's number, and what is wrong.
    pub(crate) told: Vec<(u64, String)>,
    /// Entries of zeros at the end.
    pub(crate) padding: u64,
    /// Bytes after the last whole entry.
    pub(crate) torn: u64,
    /// Entries that a rebuild would give.
    pub(crate) rebuilt: u64,
}

impl Judged {
    fn lie(&mut self, number: u64, what: String) {
        self.lies += 1;
        if self.told.len() < LIES_KEPT {
            self.told.push((number, what));
        }
    }
}

/// Reads entries ahead of the batches, and tells padding from entries.
struct Ahead<E> {
    entries: Option<Entries<E>>,
    next: Option<E>,
    number: u64,
    /// Zeros seen; they are padding unless something follows.
    zeros: u64,
}

impl<E: IndexEntry> Ahead<E> {
    fn new(mut entries: Option<Entries<E>>) -> Result<Self, DiskError> {
        let next = match &mut entries {
            Some(entries) => entries.next()?,
            None => None,
        };
        let mut ahead = Self { entries, next, number: 0, zeros: 0 };
        ahead.skip_zeros()?;
        Ok(ahead)
    }

    fn advance(&mut self) -> Result<(), DiskError> {
        self.number += 1;
        self.next = match &mut self.entries {
            Some(entries) => entries.next()?,
            None => None,
        };
        self.skip_zeros()
    }

    fn skip_zeros(&mut self) -> Result<(), DiskError> {
        while self.next == Some(E::default()) {
            self.zeros += 1;
            self.number += 1;
            self.next = match &mut self.entries {
                Some(entries) => entries.next()?,
                None => None,
            };
        }
        Ok(())
    }

    fn sizes(&self, judged: &mut Judged) {
        if let Some(entries) = &self.entries {
            judged.bytes = entries.bytes;
            judged.torn = entries.torn();
        }
    }
}

/// Judges `.index`.
pub(crate) struct OffsetJudge {
    base: Offset,
    ahead: Ahead<OffsetEntry>,
    judged: Judged,
    before: Option<OffsetEntry>,
    last_offset: Option<Offset>,
    interval: u64,
    rebuilt_at: u64,
    /// Bytes of the log between entries, at most.
    pub(crate) widest: u64,
    covered: u64,
}

impl OffsetJudge {
    pub(crate) fn new(
        base: Offset,
        entries: Option<Entries<OffsetEntry>>,
        interval: u32,
    ) -> Result<Self, DiskError> {
        let ahead = Ahead::new(entries)?;
        let mut judged = Judged::default();
        ahead.sizes(&mut judged);
        Ok(Self {
            base,
            ahead,
            judged,
            before: None,
            last_offset: None,
            interval: interval.into(),
            rebuilt_at: 0,
            widest: 0,
            covered: 0,
        })
    }

    pub(crate) fn batch(&mut self, position: u64, header: &BatchHeader) -> Result<(), DiskError> {
        while let Some(entry) = self.ahead.next.filter(|e| u64::from(e.position) <= position) {
            self.judge(entry, Some((position, header)));
            self.ahead.advance()?;
        }
        if position - self.rebuilt_at > self.interval {
            self.judged.rebuilt += 1;
            self.rebuilt_at = position;
        }
        self.last_offset = Some(header.last_offset());
        Ok(())
    }

    /// No batches up to here: entries that point there are judged no further.
    pub(crate) fn skip(&mut self, to: u64) -> Result<(), DiskError> {
        while let Some(entry) = self.ahead.next.filter(|e| u64::from(e.position) < to) {
            self.judged.loose += 1;
            self.before = Some(entry);
            self.ahead.advance()?;
        }
        Ok(())
    }

    fn judge(&mut self, entry: OffsetEntry, batch: Option<(u64, &BatchHeader)>) {
        let number = self.ahead.number;
        let offset = self.base.plus(i64::from(entry.relative));
        let at = u64::from(entry.position);
        self.judged.entries += 1;
        let rises =
            self.before.is_none_or(|b| entry.relative > b.relative && entry.position > b.position);
        if !rises {
            let what = format!("offset {offset} at byte {at} does not rise above the one before");
            self.judged.lie(number, what);
            return;
        }
        self.before = Some(entry);
        match batch {
            Some((position, header)) if position == at => {
                if header.last_offset() == offset {
                    self.judged.exact += 1;
                } else if self.last_offset.is_none_or(|last| last < offset) {
                    self.judged.loose += 1;
                } else {
                    let last = header.last_offset();
                    let what = format!("byte {at} has the batch up to offset {last}, not {offset}");
                    self.judged.lie(number, what);
                    return;
                }
                self.widest = self.widest.max(at - self.covered);
                self.covered = at;
            }
            Some(_) => {
                let what = format!("byte {at}, named for offset {offset}, is no batch's beginning");
                self.judged.lie(number, what);
            }
            None => {
                let what = format!("byte {at}, named for offset {offset}, is beyond the batches");
                self.judged.lie(number, what);
            }
        }
    }

    /// The log ends at `end`.
    pub(crate) fn finish(mut self, end: u64) -> Result<(Judged, u64), DiskError> {
        while let Some(entry) = self.ahead.next {
            self.judge(entry, None);
            self.ahead.advance()?;
        }
        self.judged.padding = self.ahead.zeros;
        let widest = self.widest.max(end.saturating_sub(self.covered));
        Ok((self.judged, widest))
    }
}

/// Judges `.timeindex`.
pub(crate) struct TimeJudge {
    base: Offset,
    ahead: Ahead<TimeEntry>,
    judged: Judged,
    before: Option<TimeEntry>,
    /// The largest timestamp so far, and whether an entry names it.
    largest: i64,
    interval: u64,
    rebuilt_at: u64,
    rebuilt_last: i64,
}

impl TimeJudge {
    pub(crate) fn new(
        base: Offset,
        entries: Option<Entries<TimeEntry>>,
        interval: u32,
    ) -> Result<Self, DiskError> {
        let ahead = Ahead::new(entries)?;
        let mut judged = Judged::default();
        ahead.sizes(&mut judged);
        Ok(Self {
            base,
            ahead,
            judged,
            before: None,
            largest: -1,
            interval: interval.into(),
            rebuilt_at: 0,
            rebuilt_last: -1,
        })
    }

    fn offset(&self, entry: TimeEntry) -> Offset {
        self.base.plus(i64::from(entry.relative))
    }

    pub(crate) fn batch(&mut self, position: u64, header: &BatchHeader) -> Result<(), DiskError> {
        let last = header.last_offset();
        while let Some(entry) = self.ahead.next.filter(|e| self.offset(*e) <= last) {
            self.judge(entry, header);
            self.ahead.advance()?;
        }
        self.largest = self.largest.max(header.max_timestamp.0);
        if position - self.rebuilt_at > self.interval {
            self.rebuilt_at = position;
            self.rebuild_entry();
        }
        Ok(())
    }

    fn rebuild_entry(&mut self) {
        if self.largest > self.rebuilt_last {
            self.rebuilt_last = self.largest;
            self.judged.rebuilt += 1;
        }
    }

    /// Whether the entry rises above the one before; when not, that is told.
    fn rises(&mut self, entry: TimeEntry) -> bool {
        self.judged.entries += 1;
        let (number, offset) = (self.ahead.number, self.offset(entry));
        let rises = self
            .before
            .is_none_or(|b| entry.timestamp > b.timestamp && entry.relative >= b.relative);
        if rises {
            self.before = Some(entry);
        } else {
            let timestamp = entry.timestamp;
            let what = format!(
                "timestamp {timestamp} at offset {offset} does not rise above the one before"
            );
            self.judged.lie(number, what);
        }
        rises
    }

    fn judge(&mut self, entry: TimeEntry, header: &BatchHeader) {
        if !self.rises(entry) {
            return;
        }
        let (offset, timestamp) = (self.offset(entry), entry.timestamp);
        if header.last_offset() == offset
            && header.max_timestamp.0 == timestamp
            && self.largest <= timestamp
        {
            self.judged.exact += 1;
            return;
        }
        // Readers of later timestamps begin at the entry's offset: nothing before may be later.
        let here = if header.last_offset() == offset { header.max_timestamp.0 } else { -1 };
        if self.largest.max(here) <= timestamp {
            self.judged.loose += 1;
        } else {
            let largest = self.largest.max(here);
            let what = format!(
                "up to offset {offset} timestamps go to {largest}, not only to {timestamp}"
            );
            self.judged.lie(self.ahead.number, what);
        }
    }

    /// The segment's last offset and largest timestamp are known. Gives whether the last entry
    /// names the largest timestamp, too.
    pub(crate) fn finish(mut self) -> Result<(Judged, bool), DiskError> {
        while let Some(entry) = self.ahead.next {
            if self.rises(entry) {
                let offset = self.offset(entry);
                let what = format!("offset {offset} is beyond the batches");
                self.judged.lie(self.ahead.number, what);
            }
            self.ahead.advance()?;
        }
        self.rebuild_entry();
        self.judged.padding = self.ahead.zeros;
        let named =
            self.largest < 0 || self.before.is_some_and(|last| last.timestamp >= self.largest);
        Ok((self.judged, named))
    }
}
