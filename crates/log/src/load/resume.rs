//! The last segment, ready for appends: where it ends, what its indexes end with. Must not know
//! whether it can be trusted.

use ottla_protocol::{Millis, Offset};
use ottla_records::{BatchHeader, HEADER_LEN};

use crate::error::LogError;
use crate::index::{self, TimeEntry};
use crate::partition_log::Active;
use crate::scan::{Scan, ScanError};
use crate::segment::{Largest, Segment};

/// Walks from the last index entry to the end, over whole batches with good checksums. Returns the state for appends and the offset of the
/// next record.
pub(crate) fn resume(segment: &Segment, now: Millis) -> Result<(Active, Offset), LogError> {
    let mut active = Active::empty(now);
    let written = segment.written();
    let file = segment.log_file()?;
    let (_, times) = segment.entries_on_disk();
    if times > 0
        && let Some(last) =
            index::read::<TimeEntry>(&*segment.time_index_file()?, times - 1, 1)?.pop()
    {
        active.last_time_entry = last.timestamp;
        let offset = segment.base.plus(i64::from(last.relative));
        active.largest = Largest { timestamp: last.timestamp, offset };
    }
    let damaged = |position, what: String| {
        LogError::corrupt(file.path(), format!("at byte {position}, {what}"))
    };
    if written > 0 {
        let mut first = [0; HEADER_LEN];
        let n = file.read_at(&mut first, 0)?;
        let first = BatchHeader::parse(first.get(..n).unwrap_or_default())
            .map_err(|e| damaged(0, e.to_string()))?;
        active.first_timestamp = Some(first.max_timestamp.0);
    }
    let from = segment.position_before(Offset(i64::MAX))?;
    let mut scan = Scan::new(&*file, from, written, 64 * 1024);
    let mut end = segment.base;
    loop {
        match scan.next_batch() {
            Ok(Some((batch, position))) => {
                let header = batch.header();
                if header.base_offset < end || segment.relative(header.last_offset()).is_none() {
                    return Err(damaged(
                        position,
                        format!("a batch begins at offset {}", header.base_offset),
                    ));
                }
                if header.max_timestamp.0 > active.largest.timestamp {
                    let offset = header.last_offset();
                    active.largest = Largest { timestamp: header.max_timestamp.0, offset };
                }
                end = header.next_offset();
            }
            Ok(None) => break,
            Err(ScanError::Disk(e)) => return Err(e.into()),
            Err(ScanError::Bad { position, error }) => {
                return Err(damaged(position, error.to_string()));
            }
        }
    }
    active.size = written;
    // Entries come at the same places as if they were made again from the log: never fewer, which
    // Kafka would stumble over when an index is full.
    active.bytes_since_index = written.saturating_sub(from);
    Ok((active, end))
}
