//! Short sequences of what a controller does, to be stopped at each of their disk operations. Must
//! not know what a power cut leaves.

use std::sync::Arc;

use ottla_controller::{ByHand, MetadataLogSettings};
use ottla_env::SeededRng;

use super::World;
use crate::Outcome;
use crate::disk::{FaultRates, SimDisk};
use crate::enumerate::{Crashed, Script, play_until_death};
use crate::violation::{Stop, Violation};

/// What a sequence is made of.
#[derive(Clone, Copy, Debug)]
enum Do {
    Format,
    Start,
    Register,
    Create,
    Delete,
    Snapshot,
    Tick,
    Kill,
}

use Do::{Create, Delete, Format, Kill, Register, Snapshot, Start, Tick};

struct Sequence {
    name: &'static str,
    segment_bytes: u64,
    snapshot_bytes: u64,
    before: &'static [Do],
    then: &'static [Do],
}

const LARGE: u64 = 1 << 20;
const ALL: &[Sequence] = &[
    Sequence {
        name: "format",
        segment_bytes: LARGE,
        snapshot_bytes: LARGE,
        before: &[],
        then: &[Format],
    },
    Sequence {
        name: "first controller",
        segment_bytes: LARGE,
        snapshot_bytes: LARGE,
        before: &[Format],
        then: &[Start, Register],
    },
    Sequence {
        name: "metadata append",
        segment_bytes: LARGE,
        snapshot_bytes: LARGE,
        before: &[Format, Start, Register],
        then: &[Create, Create, Delete, Create],
    },
    Sequence {
        name: "metadata roll",
        segment_bytes: 300,
        snapshot_bytes: LARGE,
        before: &[Format, Start, Register, Create],
        then: &[Create, Create, Create],
    },
    Sequence {
        name: "metadata snapshot",
        segment_bytes: 300,
        snapshot_bytes: 400,
        before: &[Format, Start, Register, Create, Snapshot, Tick, Create, Create],
        then: &[Create, Snapshot, Tick, Create, Create, Snapshot, Tick, Create],
    },
    Sequence {
        name: "controller again",
        segment_bytes: 300,
        snapshot_bytes: 400,
        before: &[Format, Start, Register, Create, Snapshot, Tick, Create, Create, Kill],
        then: &[Start, Create],
    },
];

struct MetadataScript(&'static Sequence);

pub(super) fn all() -> Vec<Box<dyn Script>> {
    ALL.iter().map(|sequence| Box::new(MetadataScript(sequence)) as Box<dyn Script>).collect()
}

impl Script for MetadataScript {
    fn name(&self) -> String {
        self.0.name.to_owned()
    }

    fn play(&self, operations: Option<u64>) -> Result<Box<dyn Crashed>, Violation> {
        let mut world = World::new(7, false);
        world.rates = FaultRates::default();
        world.settings = MetadataLogSettings {
            segment_bytes: self.0.segment_bytes,
            snapshot_bytes: self.0.snapshot_bytes,
            snapshot_interval_ms: 0,
            ..MetadataLogSettings::default()
        };
        let mut controller = None;
        let disk = world.disk.clone();
        let steps = (self.0.before, self.0.then);
        let play = |step| world.play(step, &mut controller);
        let operations = play_until_death(&disk, steps, operations, play)?;
        Ok(Box::new(CrashedController { world, operations }))
    }
}

struct CrashedController {
    world: World,
    operations: u64,
}

impl Crashed for CrashedController {
    fn disk(&self) -> &SimDisk {
        &self.world.disk
    }

    fn operations(&self) -> u64 {
        self.operations
    }

    fn start_from(&self, disk: SimDisk) -> Result<(), Violation> {
        let mut world = self.world.after_cut(disk);
        match world.live(1) {
            Ok(()) | Err(Stop::Over) => Ok(()),
            Err(Stop::Violation(violation)) => Err(violation),
        }
    }
}

impl World {
    fn play(&mut self, step: Do, controller: &mut Option<ByHand>) -> Result<(), Stop> {
        self.clock.advance_ms(5);
        let running = controller.as_mut();
        match (step, running) {
            (Do::Format, _) => self.formatted().map(drop),
            (Do::Start, _) => {
                *controller = Some(self.started()?);
                Ok(())
            }
            (Do::Kill, _) => {
                *controller = None;
                self.disk.kill();
                Ok(())
            }
            (Do::Register, Some(running)) => self.register(running),
            (Do::Create, Some(running)) => self.create(running),
            (Do::Delete, Some(running)) => self.delete(running),
            (Do::Tick, Some(running)) => self.ticked(running),
            (Do::Snapshot, Some(running)) => {
                running.write_snapshots();
                Ok(())
            }
            (Do::Register | Do::Create | Do::Delete | Do::Tick | Do::Snapshot, None) => Ok(()),
        }
    }

    fn after_cut(&self, disk: SimDisk) -> Self {
        Self {
            disk,
            clock: Arc::clone(&self.clock),
            rng: Arc::new(SeededRng::new(11)),
            draw: self.draw.clone(),
            order: self.order,
            rates: self.rates,
            settings: self.settings,
            model: self.model.clone(),
            errors_before: 0,
            incarnation: self.incarnation,
            outcome: Outcome::default(),
            verbose: self.verbose,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_controller::{Contents, inspect};

    /// The world after a format that was killed after some operations, when it can be started
    /// from; and whether the format was told to be done.
    fn killed_after(operations: u64) -> Option<(World, bool)> {
        let mut world = World::new(7, false);
        world.rates = FaultRates::default();
        world.disk.die_after(Some(operations));
        let told = world.formatted().is_ok();
        world.disk.kill();
        is_formatted(&world.disk).then_some((world, told))
    }

    fn is_formatted(disk: &SimDisk) -> bool {
        matches!(inspect(disk, &World::dir()).unwrap(), Contents::Formatted(_))
    }

    fn after_a_cut(world: &World) -> World {
        let disk = world.disk.fork();
        disk.forget_unsynced();
        world.after_cut(disk)
    }

    #[test]
    fn what_a_killed_format_left_stays_when_it_was_used_and_may_go_before() {
        let (mut stays, mut goes) = (0, 0);
        for operations in 0..30 {
            let Some((mut world, told)) = killed_after(operations) else { continue };
            world.formatted().unwrap();
            let mut after = after_a_cut(&world);
            let is_there = is_formatted(&after.disk);
            assert!(is_there || !told, "{operations}");
            goes += u32::from(!is_there);
            after.formatted().unwrap();
            // The same, and a controller was started.
            drop(world.started().unwrap());
            let mut after = after_a_cut(&world);
            assert!(is_formatted(&after.disk), "{operations}");
            after.formatted().unwrap();
            stays += 1;
        }
        assert!(stays > goes && goes > 0, "{stays}, {goes}");
    }
}
