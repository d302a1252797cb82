//! The indexes of a closed segment, when they are first used: checked from front to back, and
//! made anew from the batches when they do not hold. Must not know who looks something up.

use bytes::Bytes;
use ottla_env::{OpenMode, mark};
use ottla_records::{BatchHeader, HEADER_LEN};

use super::found;
use crate::error::LogError;
use crate::index::{self, Entry, OffsetEntry, TimeEntry};
use crate::names::{OFFSET_INDEX, TIME_INDEX};
use crate::scan::{Scan, ScanError};
use crate::segment::{Largest, Segment};

/// Bytes of batches between two entries that are made here: Kafka's default. Indexes are looked
/// up by what stands in them, so another setting does no harm.
const INTERVAL: u64 = 4096;
/// Bytes read at a time while walking over headers.
const WALK: usize = 16 * 1024;

/// What a segment's indexes hold.
#[derive(Debug, Default)]
pub(crate) struct Indexes {
    /// Entries in the files.
    pub(crate) offsets_on_disk: u32,
    pub(crate) times_on_disk: u32,
    /// Entries that are in no file: the batches after them cannot be read, or there is no space.
    pub(crate) offsets: Vec<OffsetEntry>,
    pub(crate) times: Vec<TimeEntry>,
}

/// Checks the indexes, and makes them anew when they are wrong.
pub(crate) fn look(segment: &Segment) -> Result<Indexes, LogError> {
    match check(segment)? {
        Some(sound) => Ok(sound),
        None => rebuild(segment, None),
    }
}

/// Makes the indexes anew from the batches; `old` stays when these cannot all be read.
pub(crate) fn rebuild(segment: &Segment, old: Option<Indexes>) -> Result<Indexes, LogError> {
    mark!("index-rebuilt");
    let mut making = Making::default();
    let file = segment.log_file()?;
    let written = segment.written();
    let mut scan = Scan::new(&*file, 0, written, WALK);
    loop {
        match scan.next_header() {
            Ok(Some((header, position))) => making.add(segment, &header, position),
            Ok(None) => break,
            Err(ScanError::Disk(error)) => return Err(error.into()),
            // Damage is told of when it is read. The old entries may lead behind it.
            Err(ScanError::Bad { .. }) => {
                making.finish(segment);
                return Ok(old.unwrap_or_else(|| making.in_memory()));
            }
        }
    }
    making.finish(segment);
    let written = write(segment, OFFSET_INDEX, index::encode_all(&making.offsets))
        .and_then(|()| write(segment, TIME_INDEX, index::encode_all(&making.times)));
    match written {
        Ok(()) => Ok(Indexes {
            offsets_on_disk: u32::try_from(making.offsets.len()).unwrap_or(u32::MAX),
            times_on_disk: u32::try_from(making.times.len()).unwrap_or(u32::MAX),
            ..Indexes::default()
        }),
        Err(error) if error.is_no_space() => Ok(making.in_memory()),
        Err(error) => Err(error),
    }
}

/// The entries of a file; `None` when there is no such file, or it has a torn entry, or more than
/// the batches can have.
fn read<E: Entry>(segment: &Segment, suffix: &str) -> Result<Option<Vec<E>>, LogError> {
    let most = segment.written() / HEADER_LEN as u64 + 1;
    let open = segment.dir.disk().open(&segment.path(suffix), OpenMode::Read);
    let Some(file) = found(open)? else { return Ok(None) };
    let count = index::count::<E>(file.len()?).filter(|count| u64::from(*count) <= most);
    let Some(count) = count else { return Ok(None) };
    let entries = index::read::<E>(&*file, 0, count)?;
    Ok((entries.len() == count as usize).then_some(entries))
}

/// How many entries there are, when all are in order and the last leads to its batch.
fn check(segment: &Segment) -> Result<Option<Indexes>, LogError> {
    let written = segment.written();
    let (Some(offsets), Some(times)) =
        (read::<OffsetEntry>(segment, OFFSET_INDEX)?, read::<TimeEntry>(segment, TIME_INDEX)?)
    else {
        return Ok(None);
    };
    // The first entry comes after some batches: zeros (Kafka sets room aside) are none.
    let rising = offsets.is_sorted_by(|a, b| a.relative < b.relative && a.position < b.position)
        && offsets.first().is_none_or(|first| first.position > 0);
    if !rising || !times.is_sorted_by(|a, b| a.timestamp < b.timestamp && a.relative <= b.relative)
    {
        return Ok(None);
    }
    // A closed segment has a final entry of the time index.
    if times.is_empty() && written > 0 {
        return Ok(None);
    }
    if let Some(last) = offsets.last() {
        let position = u64::from(last.position);
        let header = if position < written { segment.header_at(position)? } else { None };
        let offset = segment.base.plus(i64::from(last.relative));
        if header.is_none_or(|h| h.last_offset() != offset) {
            return Ok(None);
        }
    }
    Ok(Some(Indexes {
        offsets_on_disk: u32::try_from(offsets.len()).unwrap_or(u32::MAX),
        times_on_disk: u32::try_from(times.len()).unwrap_or(u32::MAX),
        ..Indexes::default()
    }))
}

fn write(segment: &Segment, suffix: &str, content: Vec<u8>) -> Result<(), LogError> {
    let file = segment.dir.disk().open(&segment.path(suffix), OpenMode::Create)?;
    let len = content.len() as u64;
    file.write_at(&[Bytes::from(content)], 0)?;
    file.set_len(len)?;
    Ok(file.sync_data()?)
}

#[derive(Default)]
struct Making {
    offsets: Vec<OffsetEntry>,
    times: Vec<TimeEntry>,
    last_entry: u64,
    largest: Option<Largest>,
}

impl Making {
    fn add(&mut self, segment: &Segment, header: &BatchHeader, position: u64) {
        let largest = self.largest.unwrap_or(Largest::NONE);
        if header.max_timestamp.0 > largest.timestamp {
            let offset = header.last_offset();
            self.largest = Some(Largest { timestamp: header.max_timestamp.0, offset });
        }
        if position - self.last_entry > INTERVAL
            && let Some(relative) = segment.relative(header.last_offset())
            && let Ok(at) = u32::try_from(position)
        {
            self.offsets.push(OffsetEntry { relative, position: at });
            self.finish(segment);
            self.last_entry = position;
        }
    }

    /// The entry of the time index for what was added.
    fn finish(&mut self, segment: &Segment) {
        let last = self.times.last().map_or(-1, |entry| entry.timestamp);
        if let Some(largest) = self.largest.filter(|largest| largest.timestamp > last)
            && let Some(relative) = segment.relative(largest.offset)
        {
            self.times.push(TimeEntry { timestamp: largest.timestamp, relative });
        }
    }

    fn in_memory(self) -> Indexes {
        Indexes { offsets: self.offsets, times: self.times, ..Indexes::default() }
    }
}
