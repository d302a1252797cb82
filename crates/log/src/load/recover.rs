//! Which segments are trusted and which are read again; reading one again: every batch checked,
//! indexes rebuilt, epochs and producers followed. Must not know the rules of either.

use std::sync::Arc;

use bytes::Bytes;
use ottla_env::{OpenMode, mark, planted};
use ottla_partition::{EpochCache, ProducerStates};
use ottla_protocol::{Millis, Offset};
use ottla_records::BatchHeader;

use super::{LoadReport, found, note_epoch, producers};
use crate::config::LogConfig;
use crate::error::LogError;
use crate::index::{self, OffsetEntry, TimeEntry};
use crate::names::{self, LOG, OFFSET_INDEX, TIME_INDEX, TXN_INDEX};
use crate::partition_log::OpenOptions;
use crate::producer_batch::producer_batch;
use crate::scan::{Scan, ScanError};
use crate::segment::{Found, Largest, Segment};
use crate::txn_index::{self, AbortedTransaction};

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// Loads the segments, reading again what must be. Returns the end of the log (as far as the
/// segments that were read again tell it; a trusted last segment is looked at by `resume`), `None`
/// without segments.
pub(super) fn recover(
    segments: &mut Vec<Arc<Segment>>,
    options: &OpenOptions,
    epochs: &mut EpochCache,
    report: &mut LoadReport,
) -> Result<Option<Offset>, LogError> {
    // As in Kafka the segment that holds the recovery point is the first that is read again.
    let floor = segments.partition_point(|s| s.base <= options.recovery_point).saturating_sub(1);
    let mut state: Option<ProducerStates> = None;
    let mut end = None;
    let mut next = 0;
    while let Some(segment) = segments.get(next).cloned() {
        let before = segments.get(..next).unwrap_or_default();
        next += 1;
        let is_last = next == segments.len();
        let untrusted = !options.clean && next > floor;
        if !untrusted && let Some(found) = trust(&segment, is_last)? {
            end = end.max(Some(found));
            continue;
        }
        if !untrusted {
            mark!("trust-refused");
        }
        let mut states = match state.take().filter(|s| s.end_offset() == segment.base) {
            Some(states) => states,
            None => producers::at(&segment.dir, before, segment.base, options)?,
        };
        let rebuilt = rebuild(&segment, &options.config, &mut states, epochs)?;
        report.recovered_segments += 1;
        end = end.max(Some(rebuilt.next_offset));
        let Some(bad) = rebuilt.bad else {
            state = Some(states);
            continue;
        };
        if !untrusted && !is_last {
            // Synced long ago: this is damage, and batches after it are good. Nothing is removed.
            report
                .warnings
                .push(format!("{bad}; batches from there to the next segment cannot be read"));
            continue;
        }
        if rebuilt.next_offset < options.recovery_point {
            report.warnings.push(format!(
                "batches up to {} were synced, but the log is damaged at {}: what follows is lost",
                options.recovery_point, rebuilt.next_offset
            ));
        }
        report.warnings.push(format!("{bad}; the log is cut there"));
        report.truncated_bytes += segment_len(&segment)? - rebuilt.valid;
        // From the end, and the cut last: what a crash leaves is a log without a hole.
        while segments.len() > next
            && let Some(later) = segments.pop()
        {
            report.truncated_bytes += segment_len(&later)?;
            report.removed_segments += 1;
            mark!("recover-removes-later-segment");
            crate::commit::remove(&later, true)?;
        }
        if planted("keep-torn-tail") {
            continue;
        }
        mark!("recover-torn-tail");
        let file = segment.log_file()?;
        file.set_len(rebuilt.valid)?;
        file.sync_data()?;
    }
    Ok(end)
}

fn segment_len(segment: &Segment) -> Result<u64, LogError> {
    Ok(segment.log_file()?.len()?)
}

/// Takes a segment's files as they are, and returns its end (for the last; for others at least
/// its base); `None` when its files do not allow it.
fn trust(segment: &Segment, is_last: bool) -> Result<Option<Offset>, LogError> {
    let disk = segment.dir.disk();
    let written = segment_len(segment)?;
    let open = |suffix: &str| found(disk.open(&segment.path(suffix), OpenMode::Read));
    let (Some(offset_file), Some(time_file)) = (open(OFFSET_INDEX)?, open(TIME_INDEX)?) else {
        return Ok(None);
    };
    let offsets = index::count::<OffsetEntry>(offset_file.len()?);
    let times = index::count::<TimeEntry>(time_file.len()?);
    let (Some(offsets), Some(times)) = (offsets, times) else { return Ok(None) };
    if offsets > 0 {
        // The first entry comes after some batches: zeros (Kafka's preallocation) are none.
        let last = index::read::<OffsetEntry>(&*offset_file, offsets - 1, 1)?;
        if !last
            .first()
            .is_some_and(|e| e.position > 0 && u64::from(e.position) < written && e.relative > 0)
        {
            return Ok(None);
        }
    }
    // A closed segment has a final entry, unless its records have no timestamps.
    if times == 0 && written > 0 {
        return Ok(None);
    }
    if times > 0 {
        let first = index::read::<TimeEntry>(&*time_file, 0, 1)?.pop();
        let last = index::read::<TimeEntry>(&*time_file, times - 1, 1)?.pop();
        let (Some(first), Some(last)) = (first, last) else { return Ok(None) };
        let rises = times == 1 || last.timestamp > first.timestamp;
        if !rises || last.timestamp <= 0 || written == 0 {
            return Ok(None);
        }
    }
    if let Some(bytes) = found(disk.read(&segment.path(TXN_INDEX)))?
        && txn_index::decode(&bytes).is_none()
    {
        return Ok(None);
    }
    segment.set_found(&Found { written, offsets, times, largest: None });
    if !is_last {
        return Ok(Some(segment.base));
    }
    // More entries will follow the last ones, so these must be right. (Those of closed segments
    // are held against the log when they are used.)
    let offsets_right = offsets == 0 || segment.position_before(Offset(i64::MAX))? > 0;
    if !offsets_right || (times > 0 && !segment.bears_out_last_time()?) {
        return Ok(None);
    }
    match super::resume(segment, Millis(0)) {
        Ok((_, end)) => Ok(Some(end)),
        // A last segment that does not end with a whole batch was not stopped cleanly after all.
        Err(LogError::Corrupt { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

struct Rebuilt {
    next_offset: Offset,
    /// What stands where the batches end, when it is not the end of the file.
    bad: Option<String>,
    /// Bytes of the batches before it.
    valid: u64,
}

/// Indexes in the making.
struct Building<'a> {
    segment: &'a Segment,
    interval: u64,
    last_entry: u64,
    largest: Largest,
    offsets: Vec<OffsetEntry>,
    times: Vec<TimeEntry>,
    aborted: Vec<u8>,
    next_offset: Offset,
}

impl Building<'_> {
    /// Why the batch cannot follow those before it.
    fn check(&self, header: &BatchHeader) -> Option<String> {
        if header.base_offset < self.next_offset {
            return Some(format!(
                "offset {} follows {}",
                header.base_offset,
                self.next_offset.plus(-1)
            ));
        }
        if header.last_offset_delta < 0 || self.segment.relative(header.last_offset()).is_none() {
            return Some(format!("a batch ends at offset {}", header.last_offset()));
        }
        None
    }

    fn add(&mut self, header: &BatchHeader, position: u64) {
        if header.max_timestamp.0 > self.largest.timestamp {
            self.largest =
                Largest { timestamp: header.max_timestamp.0, offset: header.last_offset() };
        }
        if position - self.last_entry > self.interval {
            let entry =
                self.segment.relative(header.last_offset()).zip(u32::try_from(position).ok());
            self.offsets
                .extend(entry.map(|(relative, position)| OffsetEntry { relative, position }));
            self.time_entry();
            self.last_entry = position;
        }
        self.next_offset = header.next_offset();
    }

    fn time_entry(&mut self) {
        let last = self.times.last().map_or(-1, |e| e.timestamp);
        if self.largest.timestamp > last
            && let Some(relative) = self.segment.relative(self.largest.offset)
        {
            self.times.push(TimeEntry { timestamp: self.largest.timestamp, relative });
        }
    }
}

/// Reads a segment again, from its beginning to the first bad batch; writes its indexes anew and
/// syncs all of it.
fn rebuild(
    segment: &Segment,
    config: &LogConfig,
    states: &mut ProducerStates,
    epochs: &mut EpochCache,
) -> Result<Rebuilt, LogError> {
    let file = segment.log_file()?;
    let len = file.len()?;
    let mut scan = Scan::new(&*file, 0, len, CHUNK);
    let mut building = Building {
        segment,
        interval: u64::from(config.index_interval_bytes),
        last_entry: 0,
        largest: Largest::NONE,
        offsets: Vec::new(),
        times: Vec::new(),
        aborted: Vec::new(),
        next_offset: segment.base,
    };
    let mut valid = 0;
    let bad = loop {
        let (batch, position) = match scan.next_batch() {
            Ok(Some(found)) => found,
            Ok(None) => break None,
            Err(ScanError::Bad { error, .. }) => break Some(error.to_string()),
            Err(ScanError::Disk(e)) => return Err(e.into()),
        };
        let header = batch.header();
        if let Some(what) = building.check(header) {
            break Some(what);
        }
        building.add(header, position);
        note_epoch(epochs, header.partition_leader_epoch, header.base_offset);
        let ended = states.apply(&producer_batch(header, batch.bytes()));
        if let Some(aborted) = ended.as_ref().and_then(AbortedTransaction::of) {
            building.aborted.extend(aborted.encode());
        }
        valid = position + batch.size() as u64;
    };
    building.time_entry();
    let bad = bad.map(|what| format!("{}: at byte {valid}, {what}", segment.path(LOG).display()));
    let next_offset = building.next_offset;
    write(segment, &building)?;
    segment.set_found(&Found {
        written: valid,
        offsets: u32::try_from(building.offsets.len()).unwrap_or(u32::MAX),
        times: u32::try_from(building.times.len()).unwrap_or(u32::MAX),
        largest: Some(building.largest),
    });
    if !planted("recovered-not-synced") {
        file.sync_data()?;
    }
    Ok(Rebuilt { next_offset, bad, valid })
}

/// Writes and syncs the indexes.
fn write(segment: &Segment, building: &Building<'_>) -> Result<(), LogError> {
    segment.close_files();
    replace(segment, OFFSET_INDEX, index::encode_all(&building.offsets))?;
    replace(segment, TIME_INDEX, index::encode_all(&building.times))?;
    if !building.aborted.is_empty() && !planted("txn-index-not-rebuilt") {
        replace(segment, TXN_INDEX, building.aborted.clone())?;
    } else {
        found(segment.dir.disk().remove_file(&segment.path(TXN_INDEX)))?;
    }
    Ok(())
}

fn replace(segment: &Segment, suffix: &str, content: Vec<u8>) -> Result<(), LogError> {
    let file = segment.dir.disk().open(&segment.path(suffix), OpenMode::CreateEmpty)?;
    file.write_at(&[Bytes::from(content)], 0)?;
    Ok(file.sync_data()?)
}

/// Takes the transactions that ended at or after `offset` out of a segment's index of them.
pub(crate) fn cut_txn_index(segment: &Segment, offset: Offset) -> Result<(), LogError> {
    let path = segment.path(names::TXN_INDEX);
    let Some(bytes) = found(segment.dir.disk().read(&path))? else { return Ok(()) };
    let entries = txn_index::decode(&bytes).unwrap_or_default();
    let kept: Vec<u8> =
        entries.iter().filter(|e| e.last_offset < offset).flat_map(|e| e.encode()).collect();
    replace(segment, TXN_INDEX, kept)
}
