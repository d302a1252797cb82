//! Starting and stopping the simulated process, by the broker's rules. Must not know what is in the
//! partitions.

use std::sync::Arc;

use ottla_env::{Disk, OpenMode};
use ottla_log::{
    Committer, LoadPoints, LogDir, LogError, OffsetCheckpoint, Offsets, OpenOptions, PartitionLog,
    SyncOn,
};
use ottla_protocol::Offset;

use super::host::Host;
use super::{Checkpoint, Live, World};
use crate::choose::Choose;
use crate::promise;
use crate::violation::{Stop, Violation};

const BROKER_EPOCH: i64 = 5;

impl Checkpoint {
    /// Whether a file with this content can be what is left of the writes to it (L4).
    fn allows(&self, found: &Offsets) -> bool {
        self.done == *found || self.begun.contains(found)
    }

    fn settle(&mut self, found: &Offsets) {
        self.done.clone_from(found);
        self.begun.clear();
    }
}

impl World {
    /// From what is on disk to serving partitions; everything is held against the models.
    pub(super) fn restart(&mut self) -> Result<(), Stop> {
        self.check_as_kafka()?;
        self.damage_derived();
        if self.swarm.beyond && self.outcome.lives > 0 {
            self.rot();
        }
        let mut opened = Vec::new();
        for dir in 0..self.dirs.len() {
            opened.push(self.open_dir(dir)?);
        }
        self.settle_found(&opened)?;
        for (dir, (log_dir, points)) in opened.into_iter().enumerate() {
            for slot in 0..self.slots_in(dir) {
                self.open_partition(dir, slot, &log_dir, &points)?;
            }
            let committer = Committer::new(&log_dir, 1).whole_from(self.swarm.whole_from);
            let live = Live { log_dir, committer, group: None, is_written: false };
            if let Some(dir) = self.dirs.get_mut(dir) {
                dir.live = Some(live);
            }
        }
        Ok(())
    }

    /// How many partitions a log directory has.
    pub(super) fn slots_in(&self, dir: usize) -> usize {
        self.dirs.get(dir).map_or(0, |dir| dir.slots.len())
    }

    fn open_dir(&mut self, dir: usize) -> Result<(Arc<LogDir>, LoadPoints), Stop> {
        let limits = self.swarm.limits;
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let Some(known) = self.dirs.get(dir) else { return Err(Stop::Over) };
        let opened = LogDir::open(disk, &known.path, limits);
        let marker_was_done = known.marker_done;
        let log_dir = opened.map_err(|error| self.failed("opening a log directory", &error))?;
        if let Some(known) = self.dirs.get_mut(dir) {
            known.marker_done = false;
        }
        let points =
            log_dir.begin_load().map_err(|error| self.failed("beginning to load", &error))?;
        let beyond = self.swarm.beyond;
        let Some(known) = self.dirs.get_mut(dir) else { return Err(Stop::Over) };
        promise!(
            "L4",
            points.warnings.is_empty() || beyond,
            "a checkpoint is torn: {}",
            points.warnings.join("; ")
        );
        promise!(
            "L4",
            beyond || known.recovery.allows(&points.recovery),
            "the recovery points are {:?}, neither what was written nor what was being written: {:?}",
            points.recovery,
            known.recovery
        );
        promise!(
            "L4",
            beyond || known.log_start.allows(&points.log_start),
            "the log starts are {:?}, neither what was written nor what was being written: {:?}",
            points.log_start,
            known.log_start
        );
        promise!(
            "L6",
            points.clean.is_none() || known.marker_begun,
            "the marker of a clean stop is there, but the process was not stopped cleanly"
        );
        promise!(
            "L6",
            points.clean.is_some() || !marker_was_done || beyond,
            "the process was stopped cleanly, but the marker is gone"
        );
        // From here on a crash is an unclean stop.
        known.marker_begun = false;
        known.recovery.settle(&points.recovery);
        known.log_start.settle(&points.log_start);
        Ok((log_dir, points))
    }

    fn open_partition(
        &mut self,
        dir: usize,
        slot: usize,
        log_dir: &Arc<LogDir>,
        points: &LoadPoints,
    ) -> Result<(), Stop> {
        let Some(known) = self.dirs.get(dir).and_then(|dir| dir.slots.get(slot)) else {
            return Err(Stop::Over);
        };
        let (name, doubted) = (known.name.clone(), known.doubted);
        let clean = points.clean.is_some() && !doubted;
        let at = |offsets: &Offsets| offsets.get(&name).copied().unwrap_or(Offset::ZERO);
        let options = OpenOptions {
            clean,
            recovery_point: if doubted { Offset::ZERO } else { at(&points.recovery) },
            log_start: at(&points.log_start),
            ..self.open_options(dir, slot)?
        };
        let opened = PartitionLog::open(log_dir, &name, options);
        self.outcome.recoveries += 1;
        if let (Err(_), Some(model)) = (&opened, self.model_mut(dir, slot)) {
            // What it would have said of a cut is lost with it.
            model.warned = true;
        }
        let (log, report) = match opened {
            Ok(opened) => opened,
            // Where nothing tells that it was not acknowledged, other content is damage.
            Err(LogError::Damaged { from, .. }) if self.swarm.stale => {
                let durable = self.model(dir, slot).map_or(0, |model| model.durable);
                promise!(
                    "L1",
                    from.0 >= durable || self.swarm.beyond,
                    "the log is damaged from {from} on, but up to {durable} was acknowledged"
                );
                self.outcome.refusals += 1;
                return Err(Stop::Over);
            }
            Err(error) if self.swarm.beyond => {
                self.outcome.refusals += 1;
                return Err(self.failed("opening a partition", &error));
            }
            Err(error) => return Err(self.failed("opening a partition", &error)),
        };
        if let Some(slot) = self.slot_mut(dir, slot) {
            slot.doubted = false;
        }
        self.check_opened(dir, slot, log, &report, clean)
    }

    /// Stops as the broker does: all logs closed, recovery points written, the marker last.
    pub(super) fn stop_cleanly(&mut self) -> Result<(), Stop> {
        for dir in 0..self.dirs.len() {
            self.drain(dir)?;
        }
        self.note_told();
        self.close_copies()?;
        for dir in 0..self.dirs.len() {
            self.close_dir(dir)?;
        }
        Ok(())
    }

    fn close_dir(&mut self, dir: usize) -> Result<(), Stop> {
        let Some(known) = self.dirs.get_mut(dir) else { return Ok(()) };
        let Some(live) = known.live.take() else { return Ok(()) };
        let mut offsets = Offsets::new();
        let mut failure: Option<LogError> = None;
        for slot in &mut known.slots {
            let Some(host) = slot.host.take() else { continue };
            let shut = {
                let mut log = host.log();
                log.shut(SyncOn::Open).map(|_wrote| log.log_end())
            };
            match shut {
                Ok(end) => {
                    slot.model.written = slot.model.end();
                    slot.model.durable = slot.model.end();
                    offsets.insert(slot.name.clone(), end);
                }
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            return Err(self.failed("closing a log", &error));
        }
        self.write_checkpoint(dir, OffsetCheckpoint::RecoveryPoint, offsets, &live.log_dir)?;
        if let Some(known) = self.dirs.get_mut(dir) {
            known.marker_begun = true;
        }
        live.log_dir
            .write_clean_shutdown(BROKER_EPOCH)
            .map_err(|error| self.failed("writing the marker", &error))?;
        if let Some(known) = self.dirs.get_mut(dir) {
            known.marker_done = true;
        }
        self.outcome.clean_stops += 1;
        Ok(())
    }

    pub(super) fn write_checkpoint(
        &mut self,
        dir: usize,
        which: OffsetCheckpoint,
        offsets: Offsets,
        log_dir: &Arc<LogDir>,
    ) -> Result<(), Stop> {
        let Some(known) = self.dirs.get_mut(dir) else { return Ok(()) };
        let checkpoint = match which {
            OffsetCheckpoint::RecoveryPoint => Some(&mut known.recovery),
            OffsetCheckpoint::LogStart => Some(&mut known.log_start),
            OffsetCheckpoint::HighWatermark => None,
        };
        if let Some(checkpoint) = checkpoint {
            checkpoint.begun.push(offsets.clone());
        }
        log_dir
            .write_offsets(which, &offsets)
            .map_err(|error| self.failed("writing a checkpoint", &error))?;
        let Some(known) = self.dirs.get_mut(dir) else { return Ok(()) };
        match which {
            OffsetCheckpoint::RecoveryPoint => known.recovery.settle(&offsets),
            OffsetCheckpoint::LogStart => known.log_start.settle(&offsets),
            OffsetCheckpoint::HighWatermark => {}
        }
        Ok(())
    }

    /// Loses or damages an index or a producer snapshot: no answer may change (L8).
    fn damage_derived(&mut self) {
        self.damaged_before_start = false;
        if !self.draw.permille(self.swarm.derived_damage) {
            return;
        }
        let files = self.disk.files();
        let derived: Vec<_> = files
            .iter()
            .filter(|(path, _)| {
                let ending = path.extension().and_then(|e| e.to_str());
                matches!(ending, Some("index" | "timeindex" | "snapshot"))
            })
            .collect();
        let Some((path, content)) = self.draw.pick(&derived) else { return };
        let len = content.len();
        self.damaged_before_start = true;
        self.outcome.derived_damaged += 1;
        let entries = len / 8;
        if path.extension().is_some_and(|e| e == "index") && entries > 2 && self.draw.one_in(3) {
            // An entry in the middle that leads a few bytes beside its batch: all look right.
            let (entry, bit) = (self.draw.below(entries - 1), self.draw.below(4));
            self.disk.rot(path, (entry * 8 + 7) as u64, u8::try_from(bit).unwrap_or(0));
            return;
        }
        match self.draw.below(6) {
            0 => drop(self.disk.remove_file(path)),
            1 => {
                let to = self.draw.below(len + 1);
                if let Ok(file) = self.disk.open(path, OpenMode::Write) {
                    drop(file.set_len(to as u64));
                }
            }
            2 => {
                if let Ok(file) = self.disk.open(path, OpenMode::Write) {
                    drop(file.set_len((len + 480) as u64));
                }
            }
            more => {
                // One bit, which may leave an entry that looks right, or several.
                for _ in 0..if more == 3 { 8 } else { 1 } {
                    let (at, bit) = (self.draw.below(len.max(1)), self.draw.below(8));
                    self.disk.rot(path, at as u64, u8::try_from(bit).unwrap_or(0));
                }
            }
        }
    }

    /// Flips bits anywhere.
    fn rot(&mut self) {
        let files = self.disk.files();
        let full: Vec<_> = files.iter().filter(|(_, content)| !content.is_empty()).collect();
        if let Some((path, content)) = self.draw.pick(&full) {
            for _ in 0..self.draw.range(1, 3) {
                let (at, bit) = (self.draw.below(content.len()), self.draw.below(8));
                if self.verbose {
                    eprintln!("rot: bit {bit} of byte {at} of {}", path.display());
                }
                self.disk.rot(path, at as u64, u8::try_from(bit).unwrap_or(0));
            }
        }
    }

    /// Takes a recovered log in.
    pub(super) fn serve(&mut self, dir: usize, slot: usize, log: PartitionLog) {
        if let Some(slot) = self.dirs.get_mut(dir).and_then(|dir| dir.slots.get_mut(slot)) {
            slot.host = Some(Arc::new(Host::new(log)));
        }
    }

    pub(super) fn broken(id: &'static str, what: String) -> Stop {
        Stop::Violation(Violation { id, what })
    }
}
