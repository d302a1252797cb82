//! Snapshots of the image, and what they make superfluous. Must not know what is in them.

use std::sync::Arc;
use std::thread;

use ottla_env::mark;
use ottla_protocol::{Millis, Offset};
use ottla_raft::LogEnd;
use tracing::{info, warn};

use super::{Host, SNAPSHOTS_KEPT};
use crate::error::ControllerError;
use crate::handle::Message;
use crate::snapshot;

impl Host {
    /// Begins a snapshot when one is due; it is written by a thread of its own.
    pub(super) fn take_snapshot(&mut self) -> Result<(), ControllerError> {
        let now = self.now();
        let interval = i64::try_from(self.settings.snapshot_interval_ms).unwrap_or(i64::MAX);
        let is_time = interval > 0 && now.get().saturating_sub(self.snapshot_at.get()) >= interval;
        let due = self.bytes_after_snapshot >= self.settings.snapshot_bytes || is_time;
        if is_time {
            self.snapshot_at = now;
        }
        if !due
            || self.bytes_after_snapshot == 0
            || self.snapshot_thread.is_some()
            || self.snapshots_by_hand.as_ref().is_some_and(|waiting| !waiting.is_empty())
            || self.machine.in_transaction()
        {
            return Ok(());
        }
        self.log.roll()?;
        self.bytes_after_snapshot = 0;
        self.snapshot_at = now;
        let image = self.machine.visible().clone();
        let position = image.position();
        let id = LogEnd { epoch: position.epoch, offset: position.offset.plus(1) };
        let (disk, dir, voters) = (Arc::clone(&self.disk), self.dir.clone(), self.voters.clone());
        let (kraft_version, now, sender) =
            (self.kraft_version, Millis(self.clock.wall_ms()), self.sender.clone());
        let write = move || {
            let plan = snapshot::Plan {
                id,
                timestamp: position.timestamp,
                now,
                kraft_version,
                voters: &voters,
            };
            let outcome = snapshot::write_image(disk.as_ref(), &dir, &plan, &image).map(|_| id);
            // A controller that has stopped has no use for it before the next start.
            let _ = sender.send(Message::SnapshotDone(outcome));
        };
        if let Some(waiting) = &mut self.snapshots_by_hand {
            waiting.push(Box::new(write));
            return Ok(());
        }
        match thread::Builder::new().name("metadata-snapshot".to_owned()).spawn(write) {
            Ok(thread) => self.snapshot_thread = Some(thread),
            Err(error) => warn!("no snapshot of the metadata is taken now: {error}"),
        }
        Ok(())
    }

    /// A snapshot is there: older ones, and the log before the one to fall back on, can go.
    pub(super) fn snapshot_done(
        &mut self,
        outcome: Result<LogEnd, ControllerError>,
    ) -> Result<(), ControllerError> {
        self.wait_for_snapshot();
        let id = match outcome {
            Ok(id) => id,
            Err(error) => {
                // The log has everything still.
                mark!("metadata-snapshot-failed");
                warn!("a snapshot of the metadata failed: {error}");
                return Ok(());
            }
        };
        info!(
            offset = id.offset.get(),
            epoch = id.epoch.get(),
            "a snapshot of the metadata was written"
        );
        self.snapshots.push(id);
        while self.snapshots.len() > SNAPSHOTS_KEPT {
            snapshot::remove(self.disk.as_ref(), &self.dir, self.snapshots.remove(0));
        }
        let oldest = self.snapshots.first().map_or(Offset::ZERO, |oldest| oldest.offset);
        self.log.remove_before(oldest)
    }

    /// Waits until the thread that writes a snapshot, if there is one, is done.
    pub(super) fn wait_for_snapshot(&mut self) {
        if let Some(thread) = self.snapshot_thread.take()
            && thread.join().is_err()
        {
            warn!("the thread that wrote a snapshot of the metadata panicked");
        }
    }
}
