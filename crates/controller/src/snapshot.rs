//! Snapshots: `<offset>-<epoch>.checkpoint` beside the log, each the whole image at the offset
//! where it ends (KIP-630). The one at 0-0 is another thing: the records a new cluster begins with
//! (KIP-1170). Must not know what an image is for.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use ottla_env::{Disk, DiskError, EntryKind, mark};
use ottla_metadata::{Image, VersionedRecord};
use ottla_protocol::{
    KRaftVersionRecord, LeaderEpoch, MetadataRecord, Millis, Offset, SnapshotFooterRecord,
    SnapshotHeaderRecord,
};
use ottla_raft::LogEnd;
use ottla_records::Scratch;
use tracing::warn;

use crate::batch::{self, Content, Control};
use crate::error::ControllerError;
use crate::segment::{BatchReader, Found, write_renamed};
use crate::voters::{self, Voter};

const SUFFIX: &str = ".checkpoint";
const PART: &str = ".part";
const DELETED: &str = ".deleted";
/// The records a new cluster begins with, before 4.4 put them into the snapshot at 0-0.
const OLD_BOOTSTRAP: &str = "bootstrap.checkpoint";

/// Where the bootstrap snapshot stands.
pub(crate) const BOOTSTRAP: LogEnd = LogEnd { epoch: LeaderEpoch(0), offset: Offset::ZERO };

/// What a snapshot says, beside its records.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) kraft_version: i16,
    pub(crate) voters: Option<Vec<Voter>>,
    /// Time of the last record before it.
    pub(crate) timestamp: Option<Millis>,
}

fn file_name(id: LogEnd) -> String {
    format!("{:020}-{:010}{SUFFIX}", id.offset.get(), id.epoch.get())
}

fn id_of(name: &str) -> Option<LogEnd> {
    let (offset, epoch) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    if offset.len() != 20 || epoch.len() != 10 {
        return None;
    }
    Some(LogEnd { offset: Offset(offset.parse().ok()?), epoch: LeaderEpoch(epoch.parse().ok()?) })
}

/// The snapshots that are there, oldest first. What an earlier life did not finish is removed.
pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<LogEnd>, DiskError> {
    let mut found = Vec::new();
    for entry in disk.list(dir)? {
        if entry.kind != EntryKind::File {
            continue;
        }
        let unfinished = entry.name.contains(SUFFIX)
            && (entry.name.ends_with(PART) || entry.name.ends_with(DELETED));
        if unfinished {
            mark!("metadata-unfinished-snapshot-removed");
            disk.remove_file(&dir.join(&entry.name))?;
        }
        found.extend(id_of(&entry.name));
    }
    found.sort_unstable_by_key(|id| (id.offset, id.epoch));
    Ok(found)
}

/// Reads a snapshot whole, and gives its records to `take`: header first, footer last, every CRC
/// right. What was taken of one that is not so is worth nothing.
pub(crate) fn read(
    disk: &dyn Disk,
    dir: &Path,
    id: LogEnd,
    take: impl FnMut(MetadataRecord),
) -> Result<Snapshot, ControllerError> {
    read_file(disk, &dir.join(file_name(id)), take)
}

/// The records a new cluster begins with, as releases before 4.4 wrote them, if they are there.
pub(crate) fn read_old_bootstrap(
    disk: &dyn Disk,
    log_dir: &Path,
    take: impl FnMut(MetadataRecord),
) -> Result<(), ControllerError> {
    let path = log_dir.join(OLD_BOOTSTRAP);
    if disk.exists(&path)? { read_file(disk, &path, take).map(drop) } else { Ok(()) }
}

fn read_file(
    disk: &dyn Disk,
    path: &Path,
    mut take: impl FnMut(MetadataRecord),
) -> Result<Snapshot, ControllerError> {
    let damaged = |what: &str| {
        ControllerError::Damaged(format!("the snapshot {} is damaged: {what}", path.display()))
    };
    let mut reader = BatchReader::open(disk, path)?;
    let mut scratch = Scratch::new();
    let mut snapshot = Snapshot::default();
    let (mut begun, mut ended) = (false, false);
    loop {
        let batch = match reader.read_batch()? {
            Found::Batch(batch) => batch,
            Found::End => break,
            Found::Bad(why) => return Err(damaged(&why)),
        };
        batch::each(
            &batch,
            &mut scratch,
            |why| damaged(&why),
            |_, content| {
                if ended {
                    return Err(damaged("something follows its footer"));
                }
                let is_header = matches!(content, Content::Control(Control::SnapshotHeader(_)));
                if begun == is_header {
                    return Err(damaged(if begun {
                        "it has two headers"
                    } else {
                        "it does not begin with a header"
                    }));
                }
                begun = true;
                match content {
                    Content::Control(Control::SnapshotHeader(header)) => {
                        snapshot.timestamp = Some(Millis(header.last_contained_log_timestamp));
                    }
                    Content::Control(Control::KRaftVersion(record)) => {
                        snapshot.kraft_version = record.kraft_version
                    }
                    Content::Control(Control::Voters(record)) => {
                        snapshot.voters = Some(voters::from_record(&record))
                    }
                    Content::Control(Control::SnapshotFooter(_)) => ended = true,
                    Content::Control(Control::LeaderChange(_) | Control::Other) => {}
                    Content::Record(record) => take(record),
                }
                Ok(())
            },
        )?;
    }
    if ended { Ok(snapshot) } else { Err(damaged("it has no footer")) }
}

/// The files' content: header, records, footer.
struct Writer {
    batches: Vec<Bytes>,
    next: Offset,
    epoch: LeaderEpoch,
    now: Millis,
    pending: Vec<VersionedRecord>,
}

impl Writer {
    fn controls(&mut self, controls: &[Control]) -> Result<(), String> {
        self.batches.push(batch::controls(self.next, self.epoch, self.now, controls)?);
        self.next = self.next.plus(i64::try_from(controls.len()).unwrap_or(i64::MAX));
        Ok(())
    }

    fn record(&mut self, record: VersionedRecord) -> Result<(), String> {
        self.pending.push(record);
        if self.pending.len() >= batch::RECORDS_MAX { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), String> {
        let records = std::mem::take(&mut self.pending);
        if records.is_empty() {
            return Ok(());
        }
        self.batches.push(batch::records(self.next, self.epoch, self.now, &records)?);
        self.next = self.next.plus(i64::try_from(records.len()).unwrap_or(i64::MAX));
        Ok(())
    }
}

/// What a snapshot is made of.
pub(crate) struct Plan<'a> {
    pub(crate) id: LogEnd,
    /// Time of the last record before its end.
    pub(crate) timestamp: Millis,
    pub(crate) now: Millis,
    pub(crate) kraft_version: i16,
    pub(crate) voters: &'a [Voter],
}

/// Writes a snapshot of these records.
pub(crate) fn write(
    disk: &dyn Disk,
    dir: &Path,
    plan: &Plan<'_>,
    records: impl FnOnce(&mut dyn FnMut(VersionedRecord) -> Result<(), String>) -> Result<(), String>,
) -> Result<PathBuf, ControllerError> {
    let name = file_name(plan.id);
    let failed = |what: String| {
        ControllerError::Damaged(format!("the snapshot {name} cannot be written: {what}"))
    };
    let mut writer = Writer {
        batches: Vec::new(),
        next: Offset::ZERO,
        epoch: plan.id.epoch,
        now: plan.now,
        pending: Vec::new(),
    };
    let header = SnapshotHeaderRecord {
        last_contained_log_timestamp: plan.timestamp.get(),
        ..SnapshotHeaderRecord::default()
    };
    let mut head = vec![Control::SnapshotHeader(header)];
    if plan.kraft_version > 0 {
        let version = KRaftVersionRecord {
            kraft_version: plan.kraft_version,
            ..KRaftVersionRecord::default()
        };
        head.push(Control::KRaftVersion(version));
        head.push(Control::Voters(voters::to_record(plan.voters)));
    }
    writer.controls(&head).map_err(failed)?;
    records(&mut |record| writer.record(record)).map_err(failed)?;
    writer.flush().map_err(failed)?;
    writer.controls(&[Control::SnapshotFooter(SnapshotFooterRecord::default())]).map_err(failed)?;
    let path = dir.join(&name);
    write_renamed(disk, &dir.join(format!("{name}{PART}")), &path, &writer.batches)?;
    Ok(path)
}

/// Writes a snapshot of an image.
pub(crate) fn write_image(
    disk: &dyn Disk,
    dir: &Path,
    plan: &Plan<'_>,
    image: &Image,
) -> Result<PathBuf, ControllerError> {
    write(disk, dir, plan, |push| image.write_records(push))
}

/// Removes a snapshot; one that cannot be removed is left for the next time.
pub(crate) fn remove(disk: &dyn Disk, dir: &Path, id: LogEnd) {
    let path = dir.join(file_name(id));
    if let Err(error) = disk.remove_file(&path) {
        warn!("an old snapshot stays: {error}");
    }
}
