//! The checkpoints of a log directory: where its logs begin, up to where they are on stable
//! storage, their high watermarks. Must not know what is in the logs.

use std::sync::Arc;

use hashbrown::HashMap;
use ottla_log::{LoadPoints, LogError, OffsetCheckpoint, Offsets, PartitionLog, TopicPartition};
use ottla_protocol::Offset;
use tracing::warn;

use super::volume::{Key, Volume};
use super::{HostedPartition, Partitions};

/// What the files of a log directory hold, as far as it is known.
#[derive(Default)]
pub(super) struct Written {
    /// [`super::volume::Progress::changes`] when it was gathered.
    recovery: Option<u64>,
    high_watermark: Option<u64>,
    /// Few logs begin after their first segment does: the file is known whole.
    log_start: Option<Offsets>,
    log_start_at: Option<u64>,
    /// What the file of recovery points says of logs that are compacted.
    compacted: PointsOf,
}

/// Offsets of all logs of a log directory. In no order: to sort so many costs more than all else.
type OfAll = HashMap<TopicPartition, Offset, foldhash::fast::FixedState>;

/// Recovery points of logs, by topic id: a topic of the same name does not inherit.
type PointsOf = HashMap<Key, Offset, foldhash::fast::FixedState>;

impl Partitions {
    /// Writes one of the checkpoints that a restart begins from.
    pub(crate) fn checkpoint(&self, which: OffsetCheckpoint) {
        for index in 0..self.volumes.len() {
            self.checkpoint_one(index, which);
        }
    }

    /// Writes the recovery points of log directories to which much was appended since the last.
    pub(crate) fn checkpoint_wanted(&self) {
        for (index, volume) in self.volumes.iter().enumerate() {
            if volume.progress.take_wanted() {
                self.checkpoint_one(index, OffsetCheckpoint::RecoveryPoint);
            }
        }
    }

    /// Before a log is created: the files of the log directory forget one of the same name. Without
    /// that it must not be, as a start would take what they say for this one's.
    pub(super) fn forget_namesake(
        &self,
        index: usize,
        name: &TopicPartition,
    ) -> Result<(), LogError> {
        let Some(volume) = self.volumes.get(index) else { return Ok(()) };
        if let Err(error) = volume.dir.forget_cleaner_offset(name) {
            warn!(partition = %name, %error, "compaction still knows a deleted topic of that name");
        }
        // Held until it is written: another of those that it serves too must wait for that.
        let mut let_go = volume.let_go.lock();
        if let_go.contains(name) {
            self.checkpoint_all(index, volume)?;
            let_go.clear();
        }
        Ok(())
    }

    /// Writes all checkpoints of a log directory, of which something has changed.
    pub(super) fn checkpoint_all(&self, index: usize, volume: &Volume) -> Result<(), LogError> {
        volume.progress.changed();
        let mut all = OffsetCheckpoint::ALL.into_iter();
        all.try_for_each(|which| self.checkpoint_volume(index, which))
    }

    pub(super) fn checkpoint_one(&self, index: usize, which: OffsetCheckpoint) {
        let Some(volume) = self.volumes.get(index).filter(|v| v.dir.failure().is_none()) else {
            return;
        };
        let was_full = volume.dir.is_full();
        match self.checkpoint_volume(index, which) {
            // Once is enough: the old file stays until there is space.
            Err(error) if was_full && error.is_no_space() => {}
            Err(error) => {
                let (path, file) = (volume.dir.path().display(), which.file());
                warn!(%path, file, %error, "checkpoint not written");
            }
            Ok(()) => {}
        }
    }

    /// Writes a checkpoint, unless the file says it all already.
    pub(crate) fn checkpoint_volume(
        &self,
        index: usize,
        which: OffsetCheckpoint,
    ) -> Result<(), LogError> {
        let Some(volume) = self.volumes.get(index) else { return Ok(()) };
        // One at a time: they go through the same temporary file.
        let mut written = volume.written.lock();
        let changes = Some(volume.progress.changes());
        match which {
            OffsetCheckpoint::HighWatermark if written.high_watermark == changes => return Ok(()),
            OffsetCheckpoint::RecoveryPoint if written.recovery == changes => return Ok(()),
            OffsetCheckpoint::LogStart if written.log_start_at == changes => return Ok(()),
            OffsetCheckpoint::HighWatermark
            | OffsetCheckpoint::RecoveryPoint
            | OffsetCheckpoint::LogStart => {}
        }
        let appended = volume.dir.appended_bytes();
        let mut compacted = PointsOf::default();
        let offsets = self.offsets_of(index, volume, which, &mut compacted);
        // Of these there are few, and they change rarely.
        let starts = (which == OffsetCheckpoint::LogStart)
            .then(|| offsets.iter().map(|(name, offset)| (name.clone(), *offset)).collect());
        if starts.is_some() && written.log_start == starts {
            written.log_start_at = changes;
            return Ok(());
        }
        volume.dir.write_offsets(which, &offsets)?;
        match which {
            OffsetCheckpoint::HighWatermark => written.high_watermark = changes,
            OffsetCheckpoint::RecoveryPoint => {
                written.recovery = changes;
                written.compacted = compacted;
                volume.progress.on_recovery_points(appended);
            }
            OffsetCheckpoint::LogStart => {
                written.log_start = starts;
                written.log_start_at = changes;
            }
        }
        Ok(())
    }

    /// Makes sure that no start reads the log from below `end`: its recovery point in the file is
    /// there or above it already, or all are written. Not above what is durable.
    pub(crate) fn secure(&self, hosted: &HostedPartition, end: Offset) -> Result<(), LogError> {
        let Some(volume) = self.volumes.get(hosted.dir()) else { return Ok(()) };
        let key = (hosted.topic_id, hosted.name.partition);
        let known = volume.written.lock().compacted.get(&key).copied();
        if known.is_some_and(|point| point >= end) {
            return Ok(());
        }
        self.checkpoint_volume(hosted.dir(), OffsetCheckpoint::RecoveryPoint)
    }

    fn offsets_of(
        &self,
        index: usize,
        volume: &Volume,
        which: OffsetCheckpoint,
        compacted: &mut PointsOf,
    ) -> OfAll {
        let of = |hosted: &HostedPartition| match which {
            OffsetCheckpoint::HighWatermark => hosted.ends().0.high_watermark,
            OffsetCheckpoint::RecoveryPoint => hosted.with_log(PartitionLog::durable_end),
            OffsetCheckpoint::LogStart => hosted.ends().0.log_start,
        };
        let mut offsets = OfAll::default();
        // Those that are not open (yet) keep what the last run knew of them. First, as one that
        // is opened meanwhile is then seen below.
        let points = volume.points.read();
        let known = known(&points, which);
        for name in self.absent_in(index) {
            if let Some(offset) = known.get(&name) {
                offsets.insert(name, *offset);
            }
        }
        drop(points);
        let all = self.all();
        if which != OffsetCheckpoint::LogStart {
            offsets.reserve(all.len());
        }
        for hosted in all.iter().filter(|hosted| hosted.dir() == index) {
            let offset = of(hosted);
            if which == OffsetCheckpoint::RecoveryPoint {
                if hosted.config().cleaning.compact {
                    compacted.insert((hosted.topic_id, hosted.name.partition), offset);
                }
                hosted.keep_producers();
            }
            if which != OffsetCheckpoint::LogStart || offset != Offset::ZERO {
                offsets.insert(hosted.name.clone(), offset);
            } else {
                offsets.remove(&hosted.name);
            }
        }
        // One that is about to move here: after a crash it may be found here first.
        if let Some((hosted, end)) = self.moves.arriving_in(index) {
            let offset = match which {
                OffsetCheckpoint::RecoveryPoint => Offset(end),
                OffsetCheckpoint::HighWatermark | OffsetCheckpoint::LogStart => of(&hosted),
            };
            compacted.remove(&(hosted.topic_id, hosted.name.partition));
            offsets.insert(hosted.name.clone(), offset);
        }
        offsets
    }
}

impl HostedPartition {
    /// With recovery points: a start walks over no more than what came after both.
    fn keep_producers(self: &Arc<Self>) {
        let needs_commit = self.state.lock().log.keep_producers();
        if needs_commit {
            self.commit_soon();
        }
    }
}

/// What the last run's checkpoint said.
fn known(points: &LoadPoints, which: OffsetCheckpoint) -> &Offsets {
    match which {
        OffsetCheckpoint::HighWatermark => &points.high_watermark,
        OffsetCheckpoint::RecoveryPoint => &points.recovery,
        OffsetCheckpoint::LogStart => &points.log_start,
    }
}
