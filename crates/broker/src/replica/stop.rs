//! The clean stop: every log closed, recovery points written, the marker last; and removing what
//! was deleted. Must not know what is in the logs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_log::{LogError, PartitionLog, SyncOn};
use ottla_protocol::Millis;
use tracing::warn;

use super::attention::Due;
use super::volume::Volume;
use super::{HostedPartition, Partitions};

/// So few logs sync their own files: less than one sync of the whole volume costs.
const EACH_MAX: usize = 4;
/// Logs that are worth a thread.
const THREAD_LOGS_MIN: usize = 8;

impl Partitions {
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

    /// Idle work: memory of idle tails, and of reads.
    pub(crate) fn tick(&self, now: Millis) {
        for volume in &self.volumes {
            volume.dir.give_back_idle();
        }
        for hosted in self.attention.take(Due::Tail, HostedPartition::noted) {
            hosted.on_tick(now);
            if hosted.with_log(PartitionLog::tail_bytes) > 0 {
                hosted.note(Due::Tail);
            }
        }
    }

    /// Stops: nothing is appended any more, everything is on disk. With `clean`, the broker's
    /// epoch, a restart need not look at the logs. Gives what went wrong, by log directory.
    pub(crate) fn stop(&self, clean: Option<i64>) -> BTreeMap<String, LogError> {
        for volume in &self.volumes {
            volume.opening.close();
        }
        let all = self.all();
        for hosted in &all {
            hosted.retire();
        }
        // What the start found half removed: Apache Kafka would warn of it.
        self.remove_due();
        let stop_one = |(index, volume): (usize, &Volume)| {
            if !volume.stop_committer() {
                warn!("the committer's thread has panicked");
                return None;
            }
            let broker_epoch = clean.filter(|_| volume.dir.failure().is_none())?;
            let here: Vec<_> = all.iter().filter(|hosted| hosted.dir() == index).collect();
            let closed = self.close_volume(index, volume, &here, broker_epoch);
            closed.err().map(|error| (volume.dir.path().display().to_string(), error))
        };
        std::thread::scope(|scope| {
            let (stop_one, mut volumes) = (&stop_one, self.volumes.iter().enumerate());
            let mine = volumes.next();
            let others: Vec<_> = volumes.map(|one| scope.spawn(move || stop_one(one))).collect();
            let mine = mine.and_then(stop_one);
            let others = others.into_iter().filter_map(|other| joined(other.join()));
            mine.into_iter().chain(others).collect()
        })
    }

    /// Logs, then checkpoints, then the marker: a crash in between is an unclean stop.
    fn close_volume(
        &self,
        index: usize,
        volume: &Volume,
        logs: &[&Arc<HostedPartition>],
        broker_epoch: i64,
    ) -> Result<(), LogError> {
        let sync = if logs.len() > EACH_MAX { SyncOn::Later } else { SyncOn::Open };
        if close_logs(logs, sync)? && sync == SyncOn::Later {
            volume.sync()?;
        }
        // What the logs know of themselves has changed by being closed.
        self.checkpoint_all(index, volume)?;
        // One that could not be opened must be looked at by the next start, and one that was not
        // opened in time is as the last stop left it.
        let was_clean = volume.points.read().clean.is_some();
        match self.all_sound_in(index, was_clean) {
            true => volume.dir.write_clean_shutdown(broker_epoch),
            false => Ok(()),
        }
    }
}

/// Closes logs, in parallel; whether anything was written.
fn close_logs(logs: &[&Arc<HostedPartition>], sync: SyncOn) -> Result<bool, LogError> {
    let close = |logs: &[&Arc<HostedPartition>]| {
        logs.iter().try_fold(false, |wrote, hosted| Ok(hosted.close(sync)? || wrote))
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(logs.len().div_ceil(THREAD_LOGS_MIN)).max(1);
    let share = logs.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let mut shares = logs.chunks(share);
        let mine = shares.next().unwrap_or_default();
        let others: Vec<_> = shares.map(|share| scope.spawn(move || close(share))).collect();
        let mut outcome = close(mine);
        for other in others {
            let theirs = joined(other.join());
            outcome = outcome.and_then(|wrote| Ok(theirs? || wrote));
        }
        outcome
    })
}

/// A panic goes on where the thread is waited for.
fn joined<T>(outcome: std::thread::Result<T>) -> T {
    match outcome {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
