//! How good the indexes of segments are: coverage, density, entries that lie, zeros set aside,
//! and what a rebuild would give. Must not know how a reader gets by with a bad one.

pub(crate) mod entries;
pub(crate) mod judge;
pub(crate) mod sanity;

use std::path::{Path, PathBuf};

use ottla_env::{Disk, EntryKind};
use ottla_log::{IndexEntry, OffsetEntry, TimeEntry, file_name, parse_dir};
use ottla_protocol::Offset;

use crate::error::InspectError;
use crate::json::Json;
use crate::kind::Kind;
use crate::out::Out;
use crate::plan::start::METADATA_DIR;
use crate::target::Target;
use crate::walk::{Found, Walk};
use judge::{Judged, OffsetJudge, TimeJudge};

/// Says of each segment how good its indexes are. Returns how many indexes lie or are missing.
///
/// # Errors
/// When a file cannot be read, or the answer not be written.
pub fn indexes(
    disk: &dyn Disk,
    targets: &[Target],
    index_interval_bytes: u32,
    out: &mut Out<'_>,
) -> Result<u64, InspectError> {
    let mut bad = 0;
    for target in targets {
        for (dir, base) in segments(disk, target)? {
            bad += segment(disk, &dir, base, index_interval_bytes, out)?;
        }
    }
    out.finish()?;
    Ok(bad)
}

/// The segments that a target has: their directory and base.
fn segments(disk: &dyn Disk, target: &Target) -> Result<Vec<(PathBuf, Offset)>, InspectError> {
    let in_dir = |dir: &Path| -> Result<Vec<(PathBuf, Offset)>, InspectError> {
        let mut bases: Vec<Offset> = disk
            .list(dir)?
            .iter()
            .filter(|entry| entry.kind == EntryKind::File)
            .filter_map(|entry| match Kind::of(&entry.name) {
                Kind::Log(base) => Some(base),
                Kind::OffsetIndex(_)
                | Kind::TimeIndex(_)
                | Kind::TxnIndex(_)
                | Kind::Snapshot(_)
                | Kind::MetadataSnapshot
                | Kind::LeaderEpochs
                | Kind::PartitionMetadata
                | Kind::OffsetCheckpoint
                | Kind::MetaProperties
                | Kind::CleanShutdown
                | Kind::QuorumState
                | Kind::Passing
                | Kind::Other => None,
            })
            .collect();
        bases.sort_unstable();
        Ok(bases.into_iter().map(|base| (dir.to_owned(), base)).collect())
    };
    match target {
        Target::Partition(dir) => in_dir(dir),
        Target::LogDir(dir) => {
            let mut found = Vec::new();
            for entry in disk.list(dir)? {
                if entry.kind == EntryKind::Directory && parse_dir(&entry.name).is_some() {
                    found.extend(in_dir(&dir.join(entry.name))?);
                }
            }
            Ok(found)
        }
        Target::File(path) => {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
            let offset = name.as_deref().and_then(|name| Kind::of(name).offset());
            let Some(offset) = offset else {
                return Err(InspectError::Usage(format!(
                    "{} is no file of a segment",
                    path.display()
                )));
            };
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
            Ok(vec![(dir.unwrap_or(Path::new(".")).to_owned(), offset)])
        }
    }
}

/// Opens an index, when it is there.
pub(crate) fn open<E: IndexEntry>(
    disk: &dyn Disk,
    path: &Path,
) -> Result<Option<entries::Entries<E>>, InspectError> {
    match entries::open(disk, path) {
        Ok(entries) => Ok(Some(entries)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn segment(
    disk: &dyn Disk,
    dir: &Path,
    base: Offset,
    interval: u32,
    out: &mut Out<'_>,
) -> Result<u64, InspectError> {
    let path = |suffix: &str| dir.join(file_name(base, suffix));
    let log = path(".log");
    let mut walk = Walk::open(disk, &log)?;
    let offset_index = open::<OffsetEntry>(disk, &path(".index"))?;
    let time_index = open::<TimeEntry>(disk, &path(".timeindex"))?;
    let missing = (offset_index.is_none(), time_index.is_none());
    let mut offsets = OffsetJudge::new(base, offset_index, interval)?;
    let mut times = TimeJudge::new(base, time_index, interval)?;
    let mut batches = 0_u64;
    while let Some(found) = walk.next()? {
        match found {
            Found::Batch { batch, position } => {
                batches += 1;
                offsets.batch(position, batch.header())?;
                times.batch(position, batch.header())?;
            }
            Found::Bad { .. } => break,
        }
    }
    let (valid, bytes) = (walk.position(), walk.end());
    let (offsets, widest) = offsets.finish(valid)?;
    let (times, largest_named) = times.finish()?;
    let shown = log.display().to_string();
    out.say(
        || {
            let bad = if valid < bytes {
                format!(", {} no batches", bytes - valid)
            } else {
                String::new()
            };
            format!("{shown}: {bytes} bytes, {batches} batches{bad}")
        },
        || {
            Json::object([
                ("type", "segment".into()),
                ("file", shown.clone().into()),
                ("bytes", bytes.into()),
                ("batches", batches.into()),
                ("invalidBytes", (bytes - valid).into()),
            ])
        },
    )?;
    // Ottla keeps no indexes of the metadata log, which it reads whole.
    let needed = dir.file_name().is_none_or(|name| name != METADATA_DIR);
    let bad_offsets = (needed && missing.0) || offsets.lies > 0 || offsets.torn > 0;
    let bad_times = (needed && missing.1) || times.lies > 0 || times.torn > 0;
    index(&path(".index"), missing.0, &offsets, ("widestBytes", widest.into()), out)?;
    index(&path(".timeindex"), missing.1, &times, ("namesLargest", largest_named.into()), out)?;
    let txn = path(".txnindex");
    if disk.exists(&txn)? {
        let read = entries::aborted(disk, &txn)?;
        out.say(
            || format!("  .txnindex: {} aborted transactions", read.entries.len()),
            || {
                Json::object([
                    ("type", "index".into()),
                    ("file", txn.display().to_string().into()),
                    ("missing", false.into()),
                    ("entries", read.entries.len().into()),
                    ("tornBytes", read.torn.into()),
                ])
            },
        )?;
    }
    Ok(u64::from(bad_offsets) + u64::from(bad_times))
}

fn index(
    path: &Path,
    missing: bool,
    judged: &Judged,
    own: (&'static str, Json),
    out: &mut Out<'_>,
) -> Result<(), InspectError> {
    let suffix = path.extension().unwrap_or_default().to_string_lossy().into_owned();
    out.say(
        || {
            if missing {
                return format!("  .{suffix}: missing; a rebuild gives {} entries", judged.rebuilt);
            }
            let mut line = format!(
                "  .{suffix}: {} entries in {} bytes: {} exact, {} loose, {} lie; {} of padding; \
                 a rebuild gives {}",
                judged.entries,
                judged.bytes,
                judged.exact,
                judged.loose,
                judged.lies,
                judged.padding,
                judged.rebuilt
            );
            match &own {
                ("widestBytes", widest) => {
                    line.push_str(&format!("; at most {widest} bytes between entries"));
                }
                (_, Json::Bool(false)) => line.push_str("; the largest timestamp has no entry"),
                _ => {}
            }
            if judged.torn > 0 {
                line.push_str(&format!("; {} bytes of a torn entry", judged.torn));
            }
            for (number, what) in &judged.told {
                line.push_str(&format!("\n    entry {number}: {what}"));
            }
            let untold = judged.lies - judged.told.len() as u64;
            if untold > 0 {
                line.push_str(&format!("\n    and {untold} more"));
            }
            line
        },
        || {
            let lies = judged.told.iter().map(|(number, what)| {
                Json::object([("entry", (*number).into()), ("what", what.clone().into())])
            });
            let mut json = Json::object([
                ("type", "index".into()),
                ("file", path.display().to_string().into()),
                ("missing", missing.into()),
                ("bytes", judged.bytes.into()),
                ("entries", judged.entries.into()),
                ("exact", judged.exact.into()),
                ("loose", judged.loose.into()),
                ("lies", judged.lies.into()),
                ("padding", judged.padding.into()),
                ("tornBytes", judged.torn.into()),
                ("rebuilt", judged.rebuilt.into()),
                ("told", Json::List(lies.collect())),
            ]);
            json.put(own.0, own.1.clone());
            json
        },
    )
}
