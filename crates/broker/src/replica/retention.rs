//! Old segments go: by time and size as the topic's settings say, and below the log's start. First
//! the new start is written down, then the files are let go of. Must not know Kafka's rules, which
//! are the log's, nor when this is called.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_log::{LogError, OffsetCheckpoint, PartitionLog};
use ottla_protocol::{Millis, Offset};
use tracing::{info, warn};

use super::attention::Due;
use super::{Courtesy, HostedPartition, Partitions, Volume};

/// Files are removed for so long before the thread looks at what else there is to do.
const REMOVE_TIME: Duration = Duration::from_secs(1);
/// While somebody commits, the device is left to others for so many times as long as a piece took.
const REMOVE_SHARE: u32 = 1;
/// The longest pause between two pieces of them.
const REMOVE_PAUSE_MAX: Duration = Duration::from_millis(20);

impl Partitions {
    /// Applies the retention settings of all partitions.
    pub(crate) fn retain(&self, now: Millis) {
        for hosted in self.attention.take(Due::Retention, HostedPartition::noted) {
            if let Err(error) = hosted.retain(now) {
                warn!(partition = %hosted.name, %error, "old segments are not looked for");
            }
            if !hosted.is_blank() {
                hosted.note(Due::Retention);
            }
        }
        self.remove_old_segments();
    }

    /// Lets go of the segments that lie below the start of their log, once that start is written
    /// down: after retention, and after DeleteRecords.
    pub(crate) fn remove_old_segments(&self) {
        let mut old: Vec<(Arc<HostedPartition>, Offset)> = Vec::new();
        for hosted in self.attention.take(Due::Start, HostedPartition::noted) {
            let found = |log: &PartitionLog| (log.old_segments() > 0).then(|| log.log_start());
            let start = hosted.with_log(found);
            // What is written down from here on has this start, or a later one.
            if let Some(volume) = self.volumes.get(hosted.dir()) {
                volume.progress.changed();
            }
            old.extend(start.map(|start| (hosted, start)));
        }
        for (index, volume) in self.volumes.iter().enumerate() {
            if volume.dir.failure().is_some()
                || !old.iter().any(|(hosted, _)| hosted.dir() == index)
            {
                continue;
            }
            // Without it a restart could find the start back where it was, and a hole behind it.
            if let Err(error) = self.checkpoint_volume(index, OffsetCheckpoint::LogStart) {
                let path = volume.dir.path().display();
                warn!(%path, %error, "old segments stay: where the logs begin is not written down");
                old.iter().filter(|(hosted, _)| hosted.dir() == index).for_each(|(hosted, _)| {
                    hosted.note(Due::Start);
                });
                continue;
            }
            for (hosted, start) in old.iter().filter(|(hosted, _)| hosted.dir() == index) {
                hosted.remove_segments_below(*start);
            }
        }
    }

    /// Removes the files that logs have let go of, when their time has come, gently and for a
    /// while; all of them at once in a log directory that is full. `now` is on the monotonic clock.
    /// Whether there is more to remove.
    pub(crate) fn remove_buried(&self, now: Millis) -> bool {
        let mut more = false;
        for (index, volume) in self.volumes.iter().enumerate() {
            if volume.dir.failure().is_some() {
                continue;
            }
            let full = volume.dir.is_full();
            let mut gently = Gently::new(volume);
            let removed = if full {
                volume.dir.remove_buried(now, true)
            } else {
                volume.dir.remove_buried_in_steps(now, &mut || gently.pause())
            };
            more |= gently.is_over();
            if let Err(error) = removed {
                warn!(%error, "a file of an old segment stays until the next start");
            }
            if full {
                self.hurry_aside(index);
            }
        }
        more
    }

    /// Deleted partitions of a log directory do not wait any longer.
    fn hurry_aside(&self, volume: usize) {
        let now = Instant::now();
        let mut aside = self.aside.lock();
        aside.iter_mut().filter(|(_, (index, _))| *index == volume).for_each(|(at, _)| *at = now);
        drop(aside);
        self.remove_due();
    }

    /// Forgets producers that have been idle for too long (`producer.id.expiration.ms`).
    pub(crate) fn expire_producers(&self, now: Millis) {
        for hosted in self.all() {
            hosted.state.lock().log.producers_mut().remove_expired(now);
        }
    }
}

/// Removing for a while, with pauses for those who commit.
struct Gently<'a> {
    volume: &'a Volume,
    ends: Instant,
    courtesy: Courtesy,
}

impl<'a> Gently<'a> {
    fn new(volume: &'a Volume) -> Self {
        let now = Instant::now();
        let courtesy = Courtesy::new(now, volume.syncs());
        Self { volume, ends: now + REMOVE_TIME, courtesy }
    }

    /// The time for this is over: the thread has other things to do.
    fn is_over(&self) -> bool {
        Instant::now() >= self.ends
    }

    /// Whether to go on.
    fn pause(&mut self) -> bool {
        let owed = self.courtesy.owed(Instant::now(), self.volume.syncs(), REMOVE_SHARE);
        std::thread::sleep(owed.min(REMOVE_PAUSE_MAX));
        self.courtesy.held_back(Instant::now(), self.volume.syncs());
        !self.is_over()
    }
}

impl HostedPartition {
    /// Moves the log's start over what its settings let go, and closes an idle last segment. While
    /// someone else works on the log's segments, it waits for the next time.
    fn retain(self: &Arc<Self>, now: Millis) -> Result<(), LogError> {
        let Some(_claim) = self.maintenance.try_claim() else { return Ok(()) };
        let (retention, up_to, rules) = {
            let state = self.state.lock();
            (state.log.retention(), state.last_stable(), state.config.retention)
        };
        let plan = match retention.plan(&rules, up_to, now) {
            // Its partition is being deleted.
            Err(error) if error.is_not_found() => return Ok(()),
            other => other?,
        };
        if let Some(future) = plan.as_ref().and_then(|plan| plan.from_the_future) {
            let timestamp = future.get();
            warn!(partition = %self.name, timestamp, "a record from the future keeps a segment");
        }
        let mut effects = Vec::new();
        let (moved, needs_commit, old) = {
            let mut state = self.state.lock();
            let state = &mut *state;
            let up_to = state.last_stable();
            let moved = plan.is_some_and(|plan| state.log.retain(&plan, up_to, now));
            if moved {
                state.replica.on_log_start(state.log.log_start(), &mut effects);
                state.heed(&effects);
            }
            let needs_commit = state.log.roll_idle(now);
            let old = state.log.old_segments() > 0;
            (moved.then(|| state.log.log_start()), needs_commit, old)
        };
        if moved.is_some() || old {
            self.note(Due::Start);
        }
        if needs_commit {
            self.commit_soon();
        }
        self.deliver(effects);
        if let Some(start) = moved {
            info!(partition = %self.name, start = start.get(), "old records go: the log begins anew");
        }
        Ok(())
    }

    fn remove_segments_below(self: &Arc<Self>, start: Offset) {
        let Some(_claim) = self.maintenance.try_claim() else { return self.note(Due::Start) };
        if self.state.lock().log.delete_old_segments(start) {
            self.commit_soon();
        }
    }
}
