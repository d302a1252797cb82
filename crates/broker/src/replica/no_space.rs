//! A partition for whose records there was no space: it goes back to what is written, whoever waits
//! for more is told at once, and it takes no records until there is space. Must not know how that
//! is found out.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ottla_log::{LogError, PartitionLog};
use ottla_partition::Role;
use ottla_protocol::Millis;
use tracing::{error, info, warn};

use super::volume::Job;
use super::{HostedPartition, Partitions};

impl Partitions {
    /// There is space in a log directory: its partitions that had none take records again, and those
    /// that could not be opened are. Cheap while there are none.
    pub(crate) fn resume(self: &Arc<Self>, volume: usize, now: Millis) {
        let waiting: Vec<(usize, Job)> =
            self.without_space.lock().extract_if(.., |(index, _)| *index == volume).collect();
        let jobs = waiting.into_iter().map(|(_, job)| job);
        let jobs: Vec<Job> = jobs.filter(|job| self.announce_again(job.key)).collect();
        if !jobs.is_empty() {
            self.open_logs(volume, jobs, now);
        }
        let Some(dir) = self.volumes.get(volume).map(|volume| &volume.dir) else { return };
        if !dir.take_halted() {
            return;
        }
        for hosted in self.all().iter().filter(|hosted| hosted.dir() == volume) {
            match hosted.resume(now) {
                Ok(true) => {}
                // It is tried again the next time that space is measured.
                Ok(false) => dir.note_halted(),
                Err(error) if error.is_no_space() => {
                    dir.note_halted();
                    return dir.set_full(true);
                }
                Err(error) => {
                    dir.note_halted();
                    error!(partition = %hosted.name, %error, "it takes no records");
                }
            }
        }
    }
}

impl Partitions {
    /// A log directory has failed: its partitions answer with that. Gives how many did not before.
    pub(crate) fn fail_in(&self, volume: usize) -> usize {
        let all = self.all();
        let here = all.iter().filter(|hosted| hosted.dir() == volume && !hosted.has_failed());
        here.map(|hosted| hosted.retire()).count()
    }
}

impl HostedPartition {
    fn has_failed(&self) -> bool {
        self.state.lock().replica.role() == Role::Failed
    }

    /// From the committer: what it took was not written. Files are cut without the lock.
    pub(super) fn roll_back(&self, error: &LogError) {
        warn!(partition = %self.name, %error, "records are refused: there was no space for them");
        self.rollbacks.fetch_add(1, Ordering::AcqRel);
        let rollback = self.state.lock().log.begin_rollback();
        let cut = rollback.run();
        let mut effects = Vec::new();
        {
            let mut state = self.state.lock();
            let state = &mut *state;
            match state.log.finish_rollback(cut) {
                Ok(()) => {
                    state.replica.on_no_space(state.log.log_end(), &mut effects);
                }
                Err(error) => {
                    error!(partition = %self.name, %error, "what was half written stays");
                    state.replica.on_failure(&mut effects);
                }
            }
            state.heed(&effects);
        }
        self.committed.notify_all();
        self.deliver(effects);
        self.wake_fetches();
    }

    /// Takes records again, when it was without space. `false`: not yet.
    fn resume(self: &Arc<Self>, now: Millis) -> Result<bool, LogError> {
        if !self.with_log(PartitionLog::is_halted) {
            return Ok(true);
        }
        // Before its segments are looked at, which others may be replacing.
        let Some(_claim) = self.maintenance.claim() else { return Ok(true) };
        let Some(reload) = self.state.lock().log.begin_resume() else { return Ok(false) };
        let read = match reload.run(now) {
            // Its partition is being deleted.
            Err(error) if error.is_not_found() => return Ok(true),
            other => other?,
        };
        let needs_commit = {
            let mut state = self.state.lock();
            let high_watermark = state.replica.high_watermark();
            let needs_commit = state.log.finish_resume(read);
            if state.log.is_halted() {
                return Ok(false);
            }
            state.log.producers_mut().on_high_watermark(high_watermark);
            needs_commit
        };
        if needs_commit {
            self.commit_soon();
        }
        info!(partition = %self.name, "there is space: records are taken again");
        Ok(true)
    }
}
