//! Looking up offsets and timestamps in a segment's indexes. An entry counts when the log bears it
//! out: indexes carry no checksum. Those that were found at start are looked at when they are first
//! needed. Must not know who looks something up.

use ottla_env::{mark, planted};
use ottla_protocol::Offset;
use ottla_records::{BatchHeader, HEADER_LEN};

use super::{Hint, Largest, Look, Segment};
use crate::error::LogError;
use crate::index::{self, OffsetEntry, TimeEntry};
use crate::load::{self, Indexes};
use crate::scan::{Scan, ScanError};

/// Bytes read at a time while walking over headers.
const SCAN: usize = 16 * 1024;

/// Where to begin to look for an offset, and what is known of the batch there: no checksum covers
/// its base offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) position: u64,
    /// It begins here or later.
    pub(crate) begins_from: Offset,
    /// Where it ends, when an index says so.
    pub(crate) ends_at: Option<Offset>,
}

impl Segment {
    /// Lets `check` hold the index of aborted transactions, as it was found, against the log, when
    /// nobody has done so yet. Others wait for it.
    pub(crate) fn check_aborted(
        &self,
        check: impl FnOnce() -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        if !self.state.lock().aborted_unchecked {
            return Ok(());
        }
        let looking = self.looking.lock();
        if self.state.lock().aborted_unchecked {
            check()?;
            self.state.lock().aborted_unchecked = false;
        }
        drop(looking);
        Ok(())
    }

    /// Looks at the indexes as they were found, when nobody has done so yet.
    pub(crate) fn look(&self) -> Result<(), LogError> {
        if self.state.lock().look != Look::NotYet {
            return Ok(());
        }
        let looking = self.looking.lock();
        if self.state.lock().look == Look::NotYet {
            let found = load::look(self)?;
            self.set_indexes(found, Look::Checked);
        }
        drop(looking);
        Ok(())
    }

    /// An entry of an index that was found leads nowhere: makes the indexes anew, once. Returns
    /// whether that was done now.
    fn look_again(&self) -> Result<bool, LogError> {
        let looking = self.looking.lock();
        let old = {
            let state = self.state.lock();
            if state.look != Look::Checked {
                return Ok(false);
            }
            Indexes {
                offsets_on_disk: state.offsets_on_disk,
                times_on_disk: state.times_on_disk,
                offsets: state.offsets.clone(),
                times: state.times.clone(),
            }
        };
        let found = load::rebuild(self, Some(old))?;
        self.set_indexes(found, Look::Known);
        drop(looking);
        Ok(true)
    }

    /// As [`Segment::look`], for the last segment, whose indexes are going to get more entries:
    /// those that are there must be right and whole. From here on they are this process's.
    pub(crate) fn look_as_last(&self) -> Result<(), LogError> {
        self.look()?;
        let last = self.time_floor(i64::MAX)?;
        let whole = match last {
            Some((largest, false)) => self.holds(largest, true)?,
            Some((_, true)) | None => true,
        };
        if !whole {
            self.look_again()?;
        }
        let mut state = self.state.lock();
        state.look = Look::Known;
        state.aborted_unchecked = false;
        Ok(())
    }

    fn set_indexes(&self, found: Indexes, look: Look) {
        let mut state = self.state.lock();
        state.look = look;
        state.offsets_on_disk = found.offsets_on_disk;
        state.times_on_disk = found.times_on_disk;
        state.offsets = found.offsets;
        state.times = found.times;
    }

    /// A position from which walking forward finds the first batch that ends at or after `offset`.
    /// An index entry that the log does not bear out is not used: indexes carry no checksum.
    pub(crate) fn position_before(&self, offset: Offset) -> Result<u64, LogError> {
        Ok(self.place_before(offset)?.position)
    }

    /// As [`Segment::position_before`], with what the batch there must be.
    pub(crate) fn place_before(&self, offset: Offset) -> Result<Place, LogError> {
        self.look()?;
        let front = Place { position: 0, begins_from: self.base, ends_at: None };
        let entered = |entry: OffsetEntry| Place {
            position: u64::from(entry.position),
            begins_from: self.base,
            ends_at: Some(self.base.plus(i64::from(entry.relative))),
        };
        let target = u32::try_from(offset.0.saturating_sub(self.base.0).max(0)).unwrap_or(u32::MAX);
        let (on_disk, written) = {
            let state = self.state.lock();
            if let Some(position) = state.hint(offset) {
                return Ok(Place { position, begins_from: offset, ends_at: None });
            }
            if let Some(entry) = state.offsets.iter().rev().find(|e| e.relative <= target) {
                return Ok(entered(*entry));
            }
            (state.offsets_on_disk, state.written)
        };
        if on_disk == 0 {
            return Ok(front);
        }
        let file = self.offset_index_file()?;
        let (_, found) = index::search::<OffsetEntry>(&*file, on_disk, |e| e.relative <= target)?;
        let Some(entry) = found else { return Ok(front) };
        let position = u64::from(entry.position);
        let header = match position < written {
            true => self.header_at(position)?,
            false => None,
        };
        let last = self.base.plus(i64::from(entry.relative));
        if planted("trust-stale-index") {
            return Ok(Place { position, ..front });
        }
        if header.is_some_and(|h| h.last_offset() == last) {
            return Ok(entered(entry));
        }
        mark!("index-entry-not-borne-out");
        if self.look_again()? { self.place_before(offset) } else { Ok(front) }
    }

    /// The header at a position, when one is there.
    pub(crate) fn header_at(&self, position: u64) -> Result<Option<BatchHeader>, LogError> {
        let mut bytes = [0; HEADER_LEN];
        let n = self.log_file()?.read_at(&mut bytes, position)?;
        Ok(bytes.get(..n).and_then(|b| BatchHeader::parse(b).ok()))
    }

    /// Where the first batch that ends at or after `offset` begins, if that was noted.
    pub(crate) fn known_place(&self, offset: Offset) -> Option<u64> {
        self.state.lock().hint(offset)
    }

    /// Notes that the batch at `position` is the first that ends at or after `offset`.
    pub(crate) fn remember(&self, offset: Offset, position: u64) {
        let Ok(position) = u32::try_from(position) else { return };
        let mut state = self.state.lock();
        let at = state.next_hint % state.hints.len();
        if let Some(hint) = state.hints.get_mut(at) {
            *hint = Hint { offset: offset.0, position };
        }
        state.next_hint = at + 1;
    }

    /// Where to begin to look for the first record of at least `timestamp`: all batches before
    /// have smaller timestamps.
    pub(crate) fn position_before_time(
        &self,
        timestamp: i64,
        log_start: Offset,
    ) -> Result<u64, LogError> {
        // Below, not at: where several batches have the timestamp, the first counts.
        let floor = self.time_floor(timestamp.saturating_sub(1))?;
        let from = match floor {
            Some((largest, true)) => largest.offset,
            Some((largest, false)) if self.bears_out(largest)? => largest.offset,
            Some(_) | None => self.base,
        };
        self.position_before(from.max(log_start))
    }

    /// The last entry of the time index of at most `timestamp`, and whether it was in memory.
    fn time_floor(&self, timestamp: i64) -> Result<Option<(Largest, bool)>, LogError> {
        self.look()?;
        let largest = |e: TimeEntry| Largest {
            timestamp: e.timestamp,
            offset: self.base.plus(i64::from(e.relative)),
        };
        let on_disk = {
            let state = self.state.lock();
            if let Some(entry) = state.times.iter().rev().find(|e| e.timestamp <= timestamp) {
                return Ok(Some((largest(*entry), true)));
            }
            state.times_on_disk
        };
        if on_disk == 0 {
            return Ok(None);
        }
        let file = self.time_index_file()?;
        let (_, found) = index::search::<TimeEntry>(&*file, on_disk, |e| e.timestamp <= timestamp)?;
        Ok(found.map(|e| (largest(e), false)))
    }

    /// Whether there is a batch that ends at this offset and has this largest timestamp.
    fn bears_out(&self, largest: Largest) -> Result<bool, LogError> {
        self.holds(largest, false)
    }

    /// As [`Segment::bears_out`], and with `to_end` no batch behind it has a larger one.
    fn holds(&self, largest: Largest, to_end: bool) -> Result<bool, LogError> {
        let from = self.position_before(largest.offset)?;
        let file = self.log_file()?;
        let mut scan = Scan::new(&*file, from, self.written(), SCAN);
        let mut found = false;
        loop {
            match scan.next_header() {
                Ok(Some((h, _))) if h.last_offset() < largest.offset => {}
                Ok(Some((h, _))) if h.last_offset() == largest.offset => {
                    if h.max_timestamp.0 != largest.timestamp || !to_end {
                        return Ok(h.max_timestamp.0 == largest.timestamp);
                    }
                    found = true;
                }
                Ok(Some((h, _))) if found && h.max_timestamp.0 <= largest.timestamp => {}
                Ok(None) => return Ok(found),
                Ok(Some(_)) | Err(ScanError::Bad { .. }) => return Ok(false),
                Err(ScanError::Disk(e)) => return Err(e.into()),
            }
        }
    }

    /// The largest timestamp, for a closed segment: the last entry of its time index, or, when
    /// the log does not bear that out, what its batches say.
    pub(crate) fn largest(&self) -> Result<Largest, LogError> {
        let known = self.state.lock().largest;
        if let Some(largest) = known {
            return Ok(largest);
        }
        let largest = match self.time_floor(i64::MAX)? {
            Some((largest, true)) => largest,
            // The last entries may be lost: then what follows has a larger one.
            Some((largest, false)) if self.holds(largest, true)? => largest,
            Some(_) | None => {
                mark!("largest-timestamp-from-batches");
                self.largest_of_batches()?
            }
        };
        self.set_largest(largest);
        Ok(largest)
    }

    fn largest_of_batches(&self) -> Result<Largest, LogError> {
        let file = self.log_file()?;
        let mut scan = Scan::new(&*file, 0, self.written(), SCAN);
        let mut largest = Largest::NONE;
        loop {
            match scan.next_header() {
                Ok(Some((h, _))) if h.max_timestamp.0 > largest.timestamp => {
                    largest = Largest { timestamp: h.max_timestamp.0, offset: h.last_offset() };
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(ScanError::Bad { .. }) => return Ok(largest),
                Err(ScanError::Disk(e)) => return Err(e.into()),
            }
        }
    }
}
