//! What is on disk becomes a machine: the newest good snapshot, then the log after it. Must not
//! know elections.

use std::path::Path;
use std::sync::Arc;

use ottla_env::Disk;
use ottla_metadata::{ApplyError, Machine, Position, Replay, Settings, VersionedRecord};
use ottla_protocol::{Millis, Offset};
use ottla_raft::{LogEnd, QuorumState};
use ottla_records::{Batch, Scratch};
use tracing::warn;

use crate::batch::{self, Content, Control};
use crate::error::ControllerError;
use crate::metadata_log::{DIRECTORY, MetadataLog};
use crate::quorum_file;
use crate::snapshot::{self, BOOTSTRAP, Snapshot};
use crate::voters::{self, Voter};

/// What was found.
pub(crate) struct Loaded {
    pub(crate) log: MetadataLog,
    pub(crate) machine: Machine,
    pub(crate) quorum: QuorumState,
    /// What a new cluster begins with.
    pub(crate) bootstrap: Vec<VersionedRecord>,
    pub(crate) kraft_version: i16,
    /// Voters as the log or a snapshot says; none for a quorum given by settings.
    pub(crate) voters: Option<Vec<Voter>>,
    /// Whether the log itself has said who votes.
    pub(crate) voters_in_log: bool,
    /// Snapshots on disk, oldest first.
    pub(crate) snapshots: Vec<LogEnd>,
    /// Bytes of the log after the newest snapshot.
    pub(crate) bytes_after_snapshot: u64,
}

/// The part of a log that the quorum itself reads.
#[derive(Default)]
struct QuorumRecords {
    kraft_version: i16,
    voters: Option<Vec<Voter>>,
    in_log: bool,
}

pub(crate) fn load(
    disk: &Arc<dyn Disk>,
    metadata_dir: &Path,
    settings: Settings,
) -> Result<Loaded, ControllerError> {
    let dir = metadata_dir.join(DIRECTORY);
    disk.create_dir(&dir)?;
    // A process that was killed may have left names here that are in no cache but the system's.
    disk.sync_dir(metadata_dir)?;
    let mut snapshots = snapshot::list(disk.as_ref(), &dir)?;
    let Newest { id: from, snapshot, taken } = newest(disk.as_ref(), &dir, &mut snapshots)?;
    let mut quorum_records = QuorumRecords {
        kraft_version: snapshot.kraft_version,
        in_log: from != BOOTSTRAP,
        voters: snapshot.voters,
    };
    let mut bootstrap = taken.bootstrap;
    if from == BOOTSTRAP && bootstrap.is_empty() {
        let take = |record| bootstrap.push(VersionedRecord { record, version: 0 });
        snapshot::read_old_bootstrap(disk.as_ref(), metadata_dir, take)?;
    }
    let mut machine = Machine::new(settings, taken.image.latest().clone());
    drop(taken.image);
    let mut scratch = Scratch::new();
    let mut bytes_after_snapshot = 0_u64;
    let log = MetadataLog::open(Arc::clone(disk), &dir, from, |batch| {
        bytes_after_snapshot = bytes_after_snapshot.saturating_add(batch.size() as u64);
        replay(batch, from.offset, &mut scratch, &mut machine, &mut quorum_records)?;
        // What changed while loading is no news to anybody.
        drop(machine.take_delta());
        Ok(())
    })?;
    Ok(Loaded {
        log,
        machine,
        quorum: quorum_file::read(disk.as_ref(), &dir)?,
        bootstrap,
        kraft_version: quorum_records.kraft_version,
        voters: quorum_records.voters,
        voters_in_log: quorum_records.in_log,
        snapshots,
        bytes_after_snapshot,
    })
}

/// The snapshot that the log goes on from.
struct Newest {
    id: LogEnd,
    snapshot: Snapshot,
    taken: Taken,
}

/// The records of a snapshot, as they were read.
#[derive(Default)]
struct Taken {
    /// What a new cluster begins with.
    bootstrap: Vec<VersionedRecord>,
    /// Or the image.
    image: Replay,
    impossible: Option<ApplyError>,
}

/// Records of an image whose changes are forgotten at a time: they are no news to anybody.
const FORGET_EVERY: usize = 10_000;

/// The newest snapshot that can be read. One that cannot is passed over for an older one, and is
/// an error when there is none: the log before it may be gone.
fn newest(
    disk: &dyn Disk,
    dir: &Path,
    snapshots: &mut Vec<LogEnd>,
) -> Result<Newest, ControllerError> {
    let mut first_error = None;
    while let Some(id) = snapshots.last().copied() {
        let mut taken = Taken::default();
        let position = |timestamp| Position {
            offset: Offset(id.offset.get().saturating_sub(1)),
            epoch: id.epoch,
            timestamp,
        };
        let mut count = 0_usize;
        let take = |record| {
            if id == BOOTSTRAP {
                taken.bootstrap.push(VersionedRecord { record, version: 0 });
            } else if taken.impossible.is_none() {
                taken.impossible = taken.image.apply(position(Millis(-1)), &record).err();
                count += 1;
                if count.is_multiple_of(FORGET_EVERY) {
                    drop(taken.image.take_delta());
                }
            }
        };
        match snapshot::read(disk, dir, id, take) {
            Ok(snapshot) => {
                if let Some(error) = taken.impossible {
                    let offset = id.offset;
                    let what = format!("the snapshot at offset {offset} cannot be: {error}");
                    return Err(ControllerError::Damaged(what));
                }
                if id != BOOTSTRAP {
                    taken.image.pass(position(snapshot.timestamp.unwrap_or(Millis(-1))));
                }
                return Ok(Newest { id, snapshot, taken });
            }
            Err(ControllerError::Damaged(what)) => {
                warn!("{what}: an older one is looked for");
                first_error.get_or_insert(ControllerError::Damaged(what));
                snapshots.pop();
            }
            Err(error) => return Err(error),
        }
    }
    match first_error {
        Some(error) => Err(error),
        None => {
            Ok(Newest { id: BOOTSTRAP, snapshot: Snapshot::default(), taken: Taken::default() })
        }
    }
}

fn replay(
    batch: &Batch<'_>,
    from: Offset,
    scratch: &mut Scratch,
    machine: &mut Machine,
    quorum: &mut QuorumRecords,
) -> Result<(), ControllerError> {
    let (epoch, timestamp) = (batch.header().partition_leader_epoch, batch.header().max_timestamp);
    let damaged =
        |what: String| ControllerError::Damaged(format!("the metadata log is damaged: {what}"));
    batch::each(batch, scratch, damaged, |offset, content| {
        if offset < from {
            return Ok(());
        }
        match content {
            Content::Record(record) => machine
                .apply(Position { offset, epoch, timestamp }, &record)
                .map_err(|error| damaged(error.to_string()))?,
            Content::Control(control) => {
                match control {
                    Control::KRaftVersion(record) => quorum.kraft_version = record.kraft_version,
                    Control::Voters(record) => {
                        quorum.voters = Some(voters::from_record(&record));
                        quorum.in_log = true;
                    }
                    Control::LeaderChange(_)
                    | Control::SnapshotHeader(_)
                    | Control::SnapshotFooter(_)
                    | Control::Other => {}
                }
                machine.pass(offset, epoch, timestamp);
            }
        }
        Ok(())
    })
}
