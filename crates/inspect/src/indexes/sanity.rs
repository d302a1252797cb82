//! The quick check of an index that Kafka does at start (`sanityCheck`), which decides whether
//! the index is rebuilt. Must not read the log.

use std::path::Path;

use ottla_env::{Disk, DiskError};
use ottla_log::{OffsetEntry, TimeEntry};
use ottla_protocol::Offset;

use super::entries;

/// Why the offset index would be rebuilt.
pub(crate) fn offsets(disk: &dyn Disk, path: &Path) -> Result<Option<String>, DiskError> {
    let entries = entries::open::<OffsetEntry>(disk, path)?;
    if entries.torn() != 0 {
        return Ok(Some(format!("its {} bytes are no whole number of entries", entries.bytes)));
    }
    let Some((_, last)) = entries::ends::<OffsetEntry>(disk, path)? else { return Ok(None) };
    // Relative offsets are signed for Kafka, so one beyond 2^31 lies below the base.
    Ok(i32::try_from(last.relative)
        .is_err()
        .then(|| "its last entry lies below the segment's first offset".to_owned()))
}

/// Why the time index would be rebuilt.
pub(crate) fn times(
    disk: &dyn Disk,
    path: &Path,
    base: Offset,
) -> Result<Option<String>, DiskError> {
    let entries = entries::open::<TimeEntry>(disk, path)?;
    if entries.torn() != 0 {
        return Ok(Some(format!("its {} bytes are no whole number of entries", entries.bytes)));
    }
    let Some((first, last)) = entries::ends::<TimeEntry>(disk, path)? else { return Ok(None) };
    if last.timestamp < first.timestamp {
        return Ok(Some(format!(
            "its last timestamp {} is below its first, {}",
            last.timestamp, first.timestamp
        )));
    }
    Ok(i32::try_from(last.relative)
        .is_err()
        .then(|| format!("its last entry lies below the segment's first offset {base}")))
}
