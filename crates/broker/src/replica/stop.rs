//! Checkpoints while the broker runs, and the clean stop: every log closed, recovery points
//! written, the marker last. Must not know what is in the logs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ottla_log::{LogError, OffsetCheckpoint, Offsets, PartitionLog};
use ottla_protocol::{Millis, Offset};
use tracing::warn;

use super::Partitions;

impl Partitions {
    /// Writes one of the checkpoints that a restart begins from.
    pub(crate) fn checkpoint(&self, which: OffsetCheckpoint) {
        for (index, volume) in self.volumes.iter().enumerate() {
            if volume.dir.failure().is_some() {
                continue;
            }
            if let Err(error) = self.checkpoint_volume(index, which) {
                let file = which.file();
                warn!(path = %volume.dir.path().display(), file, %error, "checkpoint not written");
            }
        }
    }

    fn checkpoint_volume(&self, index: usize, which: OffsetCheckpoint) -> Result<(), LogError> {
        let mut offsets = Offsets::new();
        for hosted in self.all().iter().filter(|hosted| hosted.dir == index) {
            let offset = match which {
                OffsetCheckpoint::HighWatermark => hosted.ends().0.high_watermark,
                OffsetCheckpoint::RecoveryPoint => hosted.with_log(PartitionLog::durable_end),
                OffsetCheckpoint::LogStart => hosted.ends().0.log_start,
            };
            if which == OffsetCheckpoint::LogStart && offset == Offset::ZERO {
                continue;
            }
            offsets.insert(hosted.name.clone(), offset);
        }
        let Some(volume) = self.volumes.get(index) else { return Ok(()) };
        volume.dir.write_offsets(which, &offsets)
    }

    /// Removes directories that were put aside, after a while (`file.delete.delay.ms`).
    pub(crate) fn remove_later(&self, aside: Vec<(usize, String)>, delay: Millis) {
        let wait = Duration::from_millis(u64::try_from(delay.get()).unwrap_or(0));
        let at = Instant::now().checked_add(wait);
        self.aside.lock().extend(aside.into_iter().filter_map(|dir| Some((at?, dir))));
    }

    /// Removes the directories whose time has come.
    pub(crate) fn remove_due(&self) {
        let now = Instant::now();
        let (due, later): (Vec<_>, Vec<_>) =
            self.aside.lock().drain(..).partition(|(at, _)| *at <= now);
        self.aside.lock().extend(later);
        for (_, (volume, name)) in due {
            let Some(volume) = self.volumes.get(volume) else { continue };
            if let Err(error) = volume.dir.remove(&name) {
                warn!(%name, %error, "a deleted partition's files cannot be removed");
            }
        }
    }

    /// Idle work: time-outs of producers, memory of idle tails.
    pub(crate) fn tick(&self, now: Millis) {
        for hosted in self.all() {
            hosted.on_tick(now);
        }
    }

    /// Stops: nothing is appended any more, everything is on disk. With `clean`, the broker's
    /// epoch, a restart need not look at the logs. Gives what went wrong, by log directory.
    pub(crate) fn stop(&self, clean: Option<i64>) -> BTreeMap<String, LogError> {
        let mut failures = BTreeMap::new();
        let all = self.all();
        for hosted in &all {
            hosted.retire();
        }
        for (index, volume) in self.volumes.iter().enumerate() {
            if !volume.stop_committer() {
                warn!("the committer's thread has panicked");
                continue;
            }
            if volume.dir.failure().is_some() {
                continue;
            }
            let Some(broker_epoch) = clean else { continue };
            if let Err(error) = self.close_volume(index, broker_epoch) {
                failures.insert(volume.dir.path().display().to_string(), error);
            }
        }
        failures
    }

    fn close_volume(&self, index: usize, broker_epoch: i64) -> Result<(), LogError> {
        let Some(volume) = self.volumes.get(index) else { return Ok(()) };
        for hosted in self.all().iter().filter(|hosted| hosted.dir == index) {
            hosted.close()?;
        }
        for which in [
            OffsetCheckpoint::RecoveryPoint,
            OffsetCheckpoint::LogStart,
            OffsetCheckpoint::HighWatermark,
        ] {
            self.checkpoint_volume(index, which)?;
        }
        volume.dir.write_clean_shutdown(broker_epoch)
    }
}
