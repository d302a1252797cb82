//! `.index`, `.timeindex`, `.txnindex`: their entries, and which of them the log does not bear
//! out. Must not know what makes an entry harmful: that is `verify`.

use std::path::{Path, PathBuf};

use ottla_env::{Disk, DiskError};
use ottla_log::{OffsetEntry, TimeEntry};
use ottla_protocol::Offset;

use super::{DumpOptions, Trouble, row};
use crate::error::InspectError;
use crate::indexes::entries;
use crate::indexes::sanity;
use crate::json::Json;
use crate::out::Out;
use crate::walk::{Found, Walk};

/// How much is shown of an index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IndexMode {
    /// Each entry.
    #[default]
    Print,
    /// Only entries that the log does not bear out.
    VerifyOnly,
    /// Only whether a start would rebuild the index.
    SanityCheck,
}

/// The log that an index belongs to, when it is there.
fn log_of(disk: &dyn Disk, path: &Path, base: Offset) -> Result<Option<Walk>, DiskError> {
    let log: PathBuf = path.with_file_name(ottla_log::file_name(base, ".log"));
    if disk.exists(&log)? { Walk::open(disk, &log).map(Some) } else { Ok(None) }
}

fn sane(path: &Path, fault: Option<String>, out: &mut Out<'_>) -> Result<(), InspectError> {
    let shown = path.display();
    out.say(
        || match &fault {
            None => format!("{shown} passed sanity check."),
            Some(fault) => format!("{shown} did not pass the sanity check: {fault}"),
        },
        || {
            let fields = [("passed", fault.is_none().into()), ("fault", fault.clone().into())];
            row("sanityCheck", path, fields)
        },
    )
}

pub(super) fn offsets(
    disk: &dyn Disk,
    path: &Path,
    base: Offset,
    options: &DumpOptions,
    out: &mut Out<'_>,
    trouble: &mut Trouble,
) -> Result<(), InspectError> {
    if options.index == IndexMode::SanityCheck {
        return sane(path, sanity::offsets(disk, path)?, out);
    }
    let mut log = log_of(disk, path, base)?;
    let mut entries = entries::open::<OffsetEntry>(disk, path)?;
    if entries.is_empty() {
        return out.say(|| format!("{} is empty.", path.display()), || row("empty", path, []));
    }
    let mut mismatches = 0;
    let mut first = true;
    while let Some(entry) = entries.next()? {
        if entry.relative == 0 && !first {
            break;
        }
        first = false;
        let offset = base.plus(i64::from(entry.relative));
        let found = last_offset_at(log.as_mut(), entry.position.into(), options.max_message_size)?;
        if found != Some(offset) {
            let title = if mismatches == 0 {
                format!("Mismatches in :{}\n", path.display())
            } else {
                String::new()
            };
            mismatches += 1;
            let said = found.map_or_else(|| "none".to_owned(), |found| found.to_string());
            trouble.add(
                format!("{title}  Index offset: {offset}, log offset: {said}"),
                row(
                    "mismatch",
                    path,
                    [
                        ("indexOffset", offset.0.into()),
                        ("logOffset", found.map(|found| found.0).into()),
                    ],
                ),
            );
        }
        if options.index == IndexMode::Print && options.has(offset, offset) {
            out.say(
                || format!("offset: {offset} position: {}", entry.position),
                || {
                    let fields = [("offset", offset.0.into()), ("position", entry.position.into())];
                    row("offsetEntry", path, fields)
                },
            )?;
        }
    }
    Ok(())
}

/// The last offset of the batch at a position, when one is there.
fn last_offset_at(
    log: Option<&mut Walk>,
    position: u64,
    size_max: u64,
) -> Result<Option<Offset>, DiskError> {
    let Some(log) = log else { return Ok(None) };
    if position >= log.end() {
        return Ok(None);
    }
    log.go_to(position);
    Ok(match log.next()? {
        Some(Found::Batch { batch, .. }) if batch.size() as u64 <= size_max => {
            Some(batch.header().last_offset())
        }
        Some(Found::Batch { .. } | Found::Bad { .. }) | None => None,
    })
}

pub(super) fn times(
    disk: &dyn Disk,
    path: &Path,
    base: Offset,
    options: &DumpOptions,
    out: &mut Out<'_>,
    trouble: &mut Trouble,
) -> Result<(), InspectError> {
    if options.index == IndexMode::SanityCheck {
        return sane(path, sanity::times(disk, path, base)?, out);
    }
    let mut log = log_of(disk, path, base)?;
    let mut entries = entries::open::<TimeEntry>(disk, path)?;
    let mut before: Option<TimeEntry> = None;
    while let Some(entry) = entries.next()? {
        // Zeros that were set aside for entries.
        if entry.relative == 0 && before.is_some() {
            break;
        }
        let offset = base.plus(i64::from(entry.relative));
        check_time(log.as_mut(), path, entry, offset, trouble)?;
        if let Some(before) = before.filter(|before| before.timestamp >= entry.timestamp) {
            let (timestamp, earlier) = (entry.timestamp, before.timestamp);
            trouble.add(
                format!(
                    "Found out of order timestamp in :{}\n  Index timestamp: {timestamp}, \
                     Previously indexed timestamp: {earlier}",
                    path.display()
                ),
                row(
                    "timeOutOfOrder",
                    path,
                    [("timestamp", timestamp.into()), ("previous", earlier.into())],
                ),
            );
        }
        if options.index == IndexMode::Print && options.has(offset, offset) {
            out.say(
                || format!("timestamp: {} offset: {offset}", entry.timestamp),
                || {
                    let fields =
                        [("timestamp", entry.timestamp.into()), ("offset", offset.0.into())];
                    row("timeEntry", path, fields)
                },
            )?;
        }
        before = Some(entry);
    }
    Ok(())
}

/// Holds an entry against the batch it names. Entries ascend, so the log is walked but once.
fn check_time(
    log: Option<&mut Walk>,
    path: &Path,
    entry: TimeEntry,
    offset: Offset,
    trouble: &mut Trouble,
) -> Result<(), InspectError> {
    let mut found = None;
    if let Some(log) = log {
        loop {
            let position = log.position();
            match log.next()? {
                Some(Found::Batch { batch, .. }) => {
                    let header = batch.header();
                    if header.last_offset() >= offset {
                        found = Some((header.last_offset(), header.max_timestamp.0));
                        // The next entry may name the same batch.
                        log.go_to(position);
                        break;
                    }
                }
                Some(Found::Bad { .. }) | None => break,
            }
        }
    }
    match found {
        Some((last, timestamp)) if last == offset => {
            if timestamp != entry.timestamp {
                let indexed = entry.timestamp;
                trouble.add(
                    format!(
                        "Found timestamp mismatch in :{}\n  Index timestamp: {indexed}, log \
                         timestamp: {timestamp}",
                        path.display()
                    ),
                    row(
                        "timeMismatch",
                        path,
                        [("indexTimestamp", indexed.into()), ("logTimestamp", timestamp.into())],
                    ),
                );
            }
        }
        other => {
            let last = other.map_or(-1, |(last, _)| last.0);
            trouble.add(
                format!(
                    "The following indexed offsets are not found in the log.\nIndexed offset: \
                     {offset}, found log offset: {last}"
                ),
                row(
                    "timeOffsetNotFound",
                    path,
                    [("indexOffset", offset.0.into()), ("logOffset", last.into())],
                ),
            );
        }
    }
    Ok(())
}

pub(super) fn transactions(
    disk: &dyn Disk,
    path: &Path,
    out: &mut Out<'_>,
) -> Result<(), InspectError> {
    let read = entries::aborted(disk, path)?;
    for entry in &read.entries {
        let (version, txn) = (entry.version, &entry.txn);
        out.say(
            || {
                format!(
                    "version: {version} producerId: {} firstOffset: {} lastOffset: {} \
                     lastStableOffset: {}",
                    txn.producer_id, txn.first_offset, txn.last_offset, txn.last_stable_offset
                )
            },
            || {
                row(
                    "abortedTransaction",
                    path,
                    [
                        ("version", Json::Int(version.into())),
                        ("producerId", txn.producer_id.0.into()),
                        ("firstOffset", txn.first_offset.0.into()),
                        ("lastOffset", txn.last_offset.0.into()),
                        ("lastStableOffset", txn.last_stable_offset.0.into()),
                    ],
                )
            },
        )?;
    }
    if read.torn > 0 {
        out.say(
            || format!("Found {} invalid bytes at the end of {}", read.torn, path.display()),
            || row("invalid", path, [("bytes", read.torn.into())]),
        )?;
    }
    Ok(())
}
