//! A copy takes the log's place, in the order that `ottla_log::FutureLog` gives. Produce and fetch go
//! on; acknowledgements wait for the moments that it takes. Must not know how the copy was made.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ottla_log::{DirState, FutureLog, LogError, OffsetCheckpoint, PartitionLog};
use ottla_protocol::{Millis, Offset, Uuid};
use tracing::{info, warn};

use super::super::volume::Volume;
use super::copy::{CHUNK, Ended, Work, is_taken};
use crate::replica::HostedPartition;
use crate::shared::Shared;

/// The longest that a commit is waited for.
const COMMIT_WAIT: Duration = Duration::from_secs(30);

/// A log that is held; it goes on when this is dropped.
struct Held<'a>(&'a Arc<HostedPartition>);

impl<'a> Held<'a> {
    /// Nothing of the log is being written any more. Gives where it is written up to.
    fn hold(hosted: &'a Arc<HostedPartition>) -> Result<(Self, Offset), LogError> {
        let mut state = hosted.state.lock();
        state.log.hold()?;
        let held = Self(hosted);
        let busy = |state: &mut super::super::partition::State| state.log.is_committing();
        let late = hosted.committed.wait_while_for(&mut state, busy, COMMIT_WAIT).timed_out();
        let (path, end) = (state.log.log_dir().path().to_owned(), state.log.written_end());
        drop(state);
        if late {
            let reason = "its last commit does not end".into();
            return Err(LogError::Offline { path, reason });
        }
        Ok((held, end))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let needs_commit = self.0.state.lock().log.release();
        if needs_commit {
            self.0.commit_soon();
        }
    }
}

impl Work {
    /// The copy has everything that was written a moment ago, and the controller knows of it.
    pub(super) fn switch(&mut self, shared: &Shared, now: Millis) -> Result<(), Ended> {
        let moves = &shared.partitions.moves;
        // It may be wanted in the other directory again.
        let arriving = moves.arrive(self.key, &self.of).ok_or(Ended::Gone)?;
        let Some(copy) = self.copy.take() else { return Ok(()) };
        let hosted = Arc::clone(&self.of.hosted);
        let (source, target) = (hosted.dir(), self.of.target);
        let volumes = &shared.partitions.volumes;
        let (Some(from), Some(to)) = (volumes.get(source), volumes.get(target)) else {
            return Err(Ended::Gone);
        };
        let (held, end) = match Held::hold(&hosted) {
            Ok(held) => held,
            Err(error) => {
                self.copy = Some(copy);
                return Err(error.into());
            }
        };
        let log = self.complete(copy, end, shared, to, now)?;
        if let Err(error) = take_over(&hosted, log, (target, to), now) {
            put_away(shared, &hosted, (target, to));
            return Err(error);
        }
        from.partitions.fetch_sub(1, Ordering::Relaxed);
        to.partitions.fetch_add(1, Ordering::Relaxed);
        put_away(shared, &hosted, (source, from));
        drop(held);
        drop(arriving);
        for (index, volume) in [(source, from), (target, to)] {
            volume.progress.changed();
            for which in OffsetCheckpoint::ALL {
                shared.partitions.checkpoint_one(index, which);
            }
        }
        let (partition, path) = (&hosted.name, to.dir.path().display());
        info!(%partition, to = %path, "it is in another log directory now");
        Ok(())
    }

    /// The last batches; then the copy gets the partition's name. On failure the copy is gone, or
    /// out of the way.
    fn complete(
        &mut self,
        mut copy: FutureLog,
        end: Offset,
        shared: &Shared,
        to: &Volume,
        now: Millis,
    ) -> Result<PartitionLog, Ended> {
        let (target, hosted) = (self.of.target, Arc::clone(&self.of.hosted));
        let copied = loop {
            let (view, _) = hosted.view_for_moving();
            match copy.copy(&view, end, CHUNK, now) {
                Ok(_) if copy.log_end() >= end => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = copied {
            self.copy = Some(copy);
            return Err(error.into());
        }
        self.of.set_progress(end.get(), copy.size_bytes());
        if is_taken(to, &hosted.name) {
            self.copy = Some(copy);
            return Err(Ended::Taken);
        }
        // Before there are two: whichever is found after a crash begins where the log does.
        if let Err(error) = shared.partitions.checkpoint_all(target, to) {
            self.copy = Some(copy);
            return Err(error.into());
        }
        let name = copy.name().to_owned();
        let had_failed = to.dir.failure().is_some();
        let promoted = copy.promote().inspect_err(|error| {
            if had_failed || error.is_no_space() {
                let _stays = to.dir.remove(&name);
            } else {
                // A directory whose names cannot be changed or synced is not to be trusted, and what
                // is in it is left as it is.
                to.dir.fail(error);
            }
        })?;
        let opened = promoted.open(self.options(now)).inspect_err(|error| {
            if !error.is_no_space() {
                to.dir.fail(error);
            }
            put_away(shared, &hosted, (target, to));
        });
        Ok(opened?)
    }
}

/// Exchanges the logs.
fn take_over(
    hosted: &Arc<HostedPartition>,
    mut log: PartitionLog,
    (target, to): (usize, &Volume),
    now: Millis,
) -> Result<(), Ended> {
    let mut state = hosted.state.lock();
    if let Err(error) = log.take_over(&mut state.log, now) {
        drop(state);
        log.retire();
        return Err(Ended::Copy(error.into()));
    }
    let old = std::mem::replace(&mut state.log, log);
    hosted.set_dir(target, Arc::clone(&to.committer));
    drop(state);
    drop(old);
    Ok(())
}

/// The directory of this name is not the partition's any more: it is removed after a while.
fn put_away(shared: &Shared, hosted: &HostedPartition, (index, volume): (usize, &Volume)) {
    volume.forget(&hosted.name);
    let unique = Uuid(shared.rng.bytes16());
    match volume.dir.move_aside(&hosted.name, unique, DirState::Delete) {
        Ok(name) => {
            let config = shared.with_effective(|e| e.topic(&hosted.name.topic));
            let delay = Millis(config.file_delete_delay_ms);
            shared.partitions.remove_later(vec![(index, name)], delay);
        }
        Err(error) if error.is_not_found() => {}
        Err(error) => warn!(partition = %hosted.name, %error, "its old directory stays"),
    }
}
