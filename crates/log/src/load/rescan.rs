//! Reading a segment again: from an index entry that the log bears out (or its front) to its end,
//! batches below the recovery point by their headers, all others with their checksums; epochs and
//! producers followed, indexes made on the way. Writes nothing but indexes, and these only when
//! told to. Must not know what becomes of a bad batch.

use std::sync::Arc;

use bytes::Bytes;
use ottla_env::{DiskFile, OpenMode, planted};
use ottla_partition::{EpochCache, ProducerStates};
use ottla_protocol::{Millis, Offset};
use ottla_records::{BatchHeader, HEADER_LEN};

use super::{found, note_epoch};
use crate::error::LogError;
use crate::index::{self, Entry, OffsetEntry, TimeEntry};
use crate::names::{OFFSET_INDEX, TIME_INDEX, TXN_INDEX};
use crate::partition_log::{Active, OpenOptions};
use crate::producer_batch::producer_batch;
use crate::scan::{Scan, ScanError};
use crate::segment::{Found, Largest, Segment};
use crate::txn_index::{self, AbortedTransaction};

/// Bytes read at a time where all are looked at, and where only headers are.
const CHUNK: usize = 1 << 20;
const WALK: usize = 16 * 1024;

/// Where reading begins, and what of the indexes stays.
#[derive(Clone, Debug)]
pub(super) struct Begin {
    position: u64,
    offsets: u32,
    times: u32,
    /// Up to the batch at `position`, that included.
    largest: Largest,
    /// Transactions that ended below stay in their index.
    aborted_below: Offset,
}

/// A batch that is none, or does not follow those before it.
#[derive(Clone, Debug)]
pub(super) struct Bad {
    pub(super) position: u64,
    /// What is wrong: half a sentence.
    pub(super) what: String,
    /// It is a batch, in the wrong place: no write that was cut short.
    pub(super) whole: bool,
}

/// What was read.
#[derive(Debug)]
pub(super) struct Scanned {
    /// The offset after the last good batch.
    pub(super) next_offset: Offset,
    /// Bytes up to there.
    pub(super) valid: u64,
    pub(super) bad: Option<Bad>,
    /// The first batch that was read has an epoch that nobody had written down.
    pub(super) epochs_behind: bool,
    begin: Begin,
    offsets: Vec<OffsetEntry>,
    times: Vec<TimeEntry>,
    aborted: Vec<u8>,
    largest: Largest,
    last_time: i64,
    last_entry: u64,
}

impl Begin {
    pub(super) const FRONT: Self = Self {
        position: 0,
        offsets: 0,
        times: 0,
        largest: Largest::NONE,
        aborted_below: Offset::ZERO,
    };
}

/// Finds where to begin so that all batches from `from` on are read; in doubt at the front.
pub(super) fn begin(segment: &Segment, len: u64, from: Offset) -> Result<Begin, LogError> {
    match indexed_begin(segment, len, from)? {
        Some(begin) => Ok(begin),
        // The producers are known up to `from`: entries for what ended before are not made again.
        None => Ok(Begin { aborted_below: from, ..Begin::FRONT }),
    }
}

fn indexed_begin(segment: &Segment, len: u64, from: Offset) -> Result<Option<Begin>, LogError> {
    let below = match from.0.checked_sub(segment.base.0).map(u32::try_from) {
        Some(Ok(below)) if below > 0 => below,
        Some(_) | None => return Ok(None),
    };
    let Some((offset_file, offsets)) = open::<OffsetEntry>(segment, OFFSET_INDEX, len)? else {
        return Ok(None);
    };
    let Some((time_file, times)) = open::<TimeEntry>(segment, TIME_INDEX, len)? else {
        return Ok(None);
    };
    // Zeros at the end (Kafka sets room aside) are no entries. What is above the recovery point
    // counts for nothing: indexes are not synced.
    let (times, last_time) =
        index::search::<TimeEntry>(&*time_file, times, |e| e.timestamp > 0 && e.relative < below)?;
    let Some(last_time) = last_time else { return Ok(None) };
    let up_to = last_time.relative.min(below - 1);
    let (offsets, entry) = index::search::<OffsetEntry>(&*offset_file, offsets, |e| {
        e.relative > 0 && e.relative <= up_to
    })?;
    let Some(entry) = entry else { return Ok(None) };
    let kept = index::read::<OffsetEntry>(&*offset_file, 0, offsets)?;
    let kept_times = index::read::<TimeEntry>(&*time_file, 0, times)?;
    let in_order = kept.len() == offsets as usize
        && kept_times.len() == times as usize
        && kept.is_sorted_by(|a, b| a.relative < b.relative && a.position < b.position)
        && kept_times.is_sorted_by(|a, b| a.timestamp < b.timestamp && a.relative <= b.relative);
    let log = segment.log_file()?;
    let bears_out = |e: TimeEntry| -> Result<bool, LogError> {
        let at = kept.partition_point(|o| o.relative <= e.relative);
        let from = at.checked_sub(1).and_then(|i| kept.get(i)).map_or(0, |o| u64::from(o.position));
        let offset = segment.base.plus(i64::from(e.relative));
        let header = batch_ending_at(&*log, (from, len), offset)?;
        Ok(header.is_some_and(|h| h.max_timestamp.0 == e.timestamp))
    };
    // The last time entry tells that none before it is lost.
    if !in_order || !bears_out(last_time)? {
        return Ok(None);
    }
    let times = kept_times.partition_point(|e| e.relative <= entry.relative);
    let Some(largest) = times.checked_sub(1).and_then(|i| kept_times.get(i)) else {
        return Ok(None);
    };
    let position = u64::from(entry.position);
    let offset = segment.base.plus(i64::from(entry.relative));
    let header = batch_ending_at(&*log, (position, len), offset)?;
    if !bears_out(*largest)? || header.is_none() {
        return Ok(None);
    }
    Ok(Some(Begin {
        position,
        offsets,
        times: u32::try_from(times).unwrap_or(0),
        largest: Largest {
            timestamp: largest.timestamp,
            offset: segment.base.plus(i64::from(largest.relative)),
        },
        aborted_below: from,
    }))
}

/// An index file, and how many whole entries it may have.
type IndexFile = (Arc<dyn DiskFile>, u32);

fn open<E: Entry>(
    segment: &Segment,
    suffix: &str,
    len: u64,
) -> Result<Option<IndexFile>, LogError> {
    let file = found(segment.dir.disk().open(&segment.path(suffix), OpenMode::Read))?;
    let Some(file) = file else { return Ok(None) };
    let most = len / HEADER_LEN as u64 + 1;
    let count = (file.len()? / E::BYTES as u64).min(most);
    Ok(Some((file, u32::try_from(count).unwrap_or(u32::MAX))))
}

/// The header of the batch that ends at `offset`, walking from one position to another.
fn batch_ending_at(
    file: &dyn DiskFile,
    (from, to): (u64, u64),
    offset: Offset,
) -> Result<Option<BatchHeader>, LogError> {
    let mut scan = Scan::new(file, from, to, WALK);
    loop {
        match scan.next_header() {
            Ok(Some((header, _))) if header.last_offset() < offset => {}
            Ok(Some((header, _))) => return Ok(Some(header).filter(|h| h.last_offset() == offset)),
            Ok(None) | Err(ScanError::Bad { .. }) => return Ok(None),
            Err(ScanError::Disk(error)) => return Err(error.into()),
        }
    }
}

/// Reads a segment of `len` bytes from `begin` on. `states` has the producers as they were at
/// `begin` or later; `next` is where the next segment begins.
pub(super) fn scan(
    segment: &Segment,
    (len, next): (u64, Option<Offset>),
    options: &OpenOptions,
    begin: Begin,
    states: &mut ProducerStates,
    epochs: &mut EpochCache,
) -> Result<Scanned, LogError> {
    let file = segment.log_file()?;
    let mut scan = Scan::new(&*file, begin.position, len, WALK);
    let mut scanned = Scanned::new(segment, begin);
    let mut first = true;
    loop {
        let (header, position) = match scan.next_header() {
            Ok(Some(found)) => found,
            Ok(None) => break,
            Err(error) => {
                scanned.bad = Some(scanned.not_a_batch(error)?);
                break;
            }
        };
        let is_above = header.last_offset() >= options.recovery_point;
        if is_above {
            scan.set_chunk(CHUNK);
        }
        let unknown = header.base_offset >= states.end_offset();
        let mut bytes: &[u8] = &[];
        if is_above || (unknown && header.attributes.is_control()) {
            match scan.batch(&header, position) {
                Ok(batch) => bytes = batch.bytes(),
                Err(error) => {
                    scanned.bad = Some(scanned.not_a_batch(error)?);
                    break;
                }
            }
        }
        if let Some(what) = scanned.out_of_place(segment, &header, next) {
            scanned.bad = Some(Bad { position, what, whole: true });
            break;
        }
        // At the front of a segment too: its epoch may have begun in the one before.
        if first {
            let epoch = header.partition_leader_epoch;
            scanned.epochs_behind = epochs.latest().is_none_or(|latest| epoch > latest.epoch);
        }
        first = false;
        scanned.add(segment, &header, position, u64::from(options.config.index_interval_bytes));
        note_epoch(epochs, header.partition_leader_epoch, header.base_offset);
        if unknown {
            let ended = states.apply(&producer_batch(&header, bytes));
            if let Some(aborted) = ended.as_ref().and_then(AbortedTransaction::of) {
                scanned.aborted.extend(aborted.encode());
            }
        }
        scanned.valid = position + header.size() as u64;
    }
    scanned.time_entry(segment);
    Ok(scanned)
}

impl Scanned {
    fn new(segment: &Segment, begin: Begin) -> Self {
        Self {
            next_offset: segment.base,
            valid: begin.position,
            bad: None,
            epochs_behind: false,
            offsets: Vec::new(),
            times: Vec::new(),
            aborted: Vec::new(),
            largest: begin.largest,
            last_time: begin.largest.timestamp,
            last_entry: begin.position,
            begin,
        }
    }

    fn not_a_batch(&self, error: ScanError) -> Result<Bad, LogError> {
        match error {
            ScanError::Disk(error) => Err(error.into()),
            ScanError::Bad { error, .. } => {
                Ok(Bad { position: self.valid, what: error.to_string(), whole: false })
            }
        }
    }

    /// Why the batch cannot follow those before it.
    fn out_of_place(
        &self,
        segment: &Segment,
        header: &BatchHeader,
        next: Option<Offset>,
    ) -> Option<String> {
        let (base, last) = (header.base_offset, header.last_offset());
        if base < self.next_offset {
            return Some(format!("offset {base} follows {}", self.next_offset.plus(-1)));
        }
        if header.last_offset_delta < 0 || segment.relative(last).is_none() {
            return Some(format!("a batch that begins at offset {base} ends at {last}"));
        }
        let next = next.filter(|next| last >= *next)?;
        Some(format!("a batch ends at offset {last}, and the next segment begins at {next}"))
    }

    fn add(&mut self, segment: &Segment, header: &BatchHeader, position: u64, interval: u64) {
        if header.max_timestamp.0 > self.largest.timestamp {
            self.largest =
                Largest { timestamp: header.max_timestamp.0, offset: header.last_offset() };
        }
        if position - self.last_entry > interval {
            let relative = segment.relative(header.last_offset());
            let entry = relative.zip(u32::try_from(position).ok());
            self.offsets
                .extend(entry.map(|(relative, position)| OffsetEntry { relative, position }));
            self.time_entry(segment);
            self.last_entry = position;
        }
        self.next_offset = header.next_offset();
    }

    fn time_entry(&mut self, segment: &Segment) {
        if self.largest.timestamp > self.last_time
            && let Some(relative) = segment.relative(self.largest.offset)
        {
            self.last_time = self.largest.timestamp;
            self.times.push(TimeEntry { timestamp: self.largest.timestamp, relative });
        }
    }

    /// Writes what the indexes lack, and tells the segment. With `sync`, all of it, the log
    /// included, is on stable storage when it returns.
    pub(super) fn write(&mut self, segment: &Segment, sync: bool) -> Result<(), LogError> {
        segment.close_files();
        let begin = &self.begin;
        put(segment, OFFSET_INDEX, begin.offsets, &self.offsets, sync)?;
        put(segment, TIME_INDEX, begin.times, &self.times, sync)?;
        self.write_aborted(segment, sync)?;
        let count = |kept: u32, more: usize| kept + u32::try_from(more).unwrap_or(0);
        segment.set_found(&Found {
            written: self.valid,
            offsets: count(begin.offsets, self.offsets.len()),
            times: count(begin.times, self.times.len()),
            largest: Some(self.largest),
        });
        self.offsets = Vec::new();
        self.times = Vec::new();
        if sync && !planted("recovered-not-synced") {
            segment.log_file()?.sync_data()?;
        }
        Ok(())
    }

    fn write_aborted(&self, segment: &Segment, sync: bool) -> Result<(), LogError> {
        let path = segment.path(TXN_INDEX);
        let old = found(segment.dir.disk().read(&path))?;
        let kept = kept_aborted(old.as_deref(), self.begin.aborted_below).unwrap_or_default();
        let content = [kept, self.aborted.clone()].concat();
        if content.is_empty() || planted("txn-index-not-rebuilt") {
            return match old {
                Some(_) => Ok(segment.dir.disk().remove_file(&path)?),
                None => Ok(()),
            };
        }
        if old.as_deref() == Some(content.as_slice()) {
            return match sync {
                true => Ok(segment.dir.disk().open(&path, OpenMode::Write)?.sync_data()?),
                false => Ok(()),
            };
        }
        // Whole or not at all: what is kept comes from batches that no start reads again.
        Ok(segment.dir.disk().write_atomically(&path, Bytes::from(content))?)
    }

    /// Bytes of the sound batches from `offset` on, as near as the index tells, or more.
    pub(super) fn bytes_from(&self, segment: &Segment, offset: Option<Offset>) -> u64 {
        let Some(offset) = offset.filter(|offset| *offset < self.next_offset) else { return 0 };
        let is_below = |e: &OffsetEntry| segment.base.plus(i64::from(e.relative)) < offset;
        let below = self.offsets.partition_point(is_below).checked_sub(1);
        let from = below.and_then(|at| self.offsets.get(at));
        self.valid.saturating_sub(from.map_or(self.begin.position, |e| u64::from(e.position)))
    }

    /// What an append needs to know, when the segment is the last.
    pub(super) fn active(&self, segment: &Segment, now: Millis) -> Result<Active, LogError> {
        let mut active = Active::empty(now);
        active.size = self.valid;
        active.bytes_since_index = self.valid - self.last_entry.min(self.valid);
        active.last_time_entry = self.last_time;
        active.largest = self.largest;
        if self.valid > 0 {
            active.first_timestamp = segment.header_at(0)?.map(|h| h.max_timestamp.0);
        }
        Ok(active)
    }
}

/// Whether the segment's index of aborted transactions can be kept below some offset.
pub(super) fn aborted_is_sound(segment: &Segment) -> Result<bool, LogError> {
    let old = found(segment.dir.disk().read(&segment.path(TXN_INDEX)))?;
    Ok(kept_aborted(old.as_deref(), Offset(i64::MAX)).is_some())
}

/// The entries below `offset`; `None` when there are some that cannot be read. A torn one at the
/// end is none.
fn kept_aborted(old: Option<&[u8]>, below: Offset) -> Option<Vec<u8>> {
    let old = old.unwrap_or_default();
    let whole = old.get(..old.len() - old.len() % txn_index::ENTRY).unwrap_or_default();
    let entries = txn_index::decode(whole)?;
    Some(entries.iter().filter(|e| e.last_offset < below).flat_map(|e| e.encode()).collect())
}

/// Writes entries after the first `kept` ones, and cuts the file there.
fn put<E: Entry>(
    segment: &Segment,
    suffix: &str,
    kept: u32,
    entries: &[E],
    sync: bool,
) -> Result<(), LogError> {
    let file = segment.dir.disk().open(&segment.path(suffix), OpenMode::Create)?;
    let content = index::encode_all(entries);
    let at = u64::from(kept) * E::BYTES as u64;
    let len = at + content.len() as u64;
    // Most often nothing is missing, and nothing is too much.
    if file.len()? != len {
        file.set_len(at)?;
    }
    if !content.is_empty() {
        file.write_at(&[Bytes::from(content)], at)?;
    }
    if sync { Ok(file.sync_data()?) } else { Ok(()) }
}
