//! The log's world: partitions in one or two log directories on a simulated disk, driven step by
//! step on one thread by clients, a committer and crashes, and held against a model after every
//! restart. Must not know the log's inside: only what it promises.

mod batches;
mod check;
mod compaction;
mod host;
mod kafka_check;
mod kafka_loader;
mod model;
mod moving;
mod restart;
mod scripts;
mod steps;
mod swarm;

use std::path::PathBuf;
use std::sync::Arc;

use ottla_env::ManualClock;
use ottla_log::{Committer, Group, LogConfig, LogDir, LogError, Offsets, TopicPartition};
use ottla_protocol::Millis;

use crate::Outcome;
use crate::choose::Draw;
use crate::disk::{FaultRates, SimDisk};
use crate::violation::{Stop, Violation};
use host::Host;
use model::Model;
use moving::Moving;
use swarm::Swarm;

const BEGIN_MS: i64 = 1_700_000_000_000;

/// A partition, in whatever state its process is.
struct Slot {
    name: TopicPartition,
    config: LogConfig,
    host: Option<Arc<Host>>,
    model: Model,
    /// Its copy in another log directory.
    moving: Option<Moving>,
    /// The log directory that the controller knows it in.
    noted: usize,
    /// It was a copy when it was found: it is read from its start.
    doubted: bool,
}

/// A log directory that is open.
struct Live {
    log_dir: Arc<LogDir>,
    committer: Committer<Host>,
    group: Option<Group<Host>>,
    /// The group was written and is to be synced.
    is_written: bool,
}

/// A checkpoint file: what it must hold, and what it may hold instead.
#[derive(Clone, Debug, Default)]
struct Checkpoint {
    done: Offsets,
    begun: Vec<Offsets>,
}

#[derive(Default)]
struct Dir {
    path: PathBuf,
    live: Option<Live>,
    slots: Vec<Slot>,
    recovery: Checkpoint,
    log_start: Checkpoint,
    /// The marker of a clean stop may be there, must be there.
    marker_begun: bool,
    marker_done: bool,
}

impl Dir {
    /// One that is empty.
    fn at(number: usize) -> Self {
        Self { path: PathBuf::from(format!("/d{number}")), ..Self::default() }
    }
}

/// One seed's world.
struct World {
    disk: SimDisk,
    clock: Arc<ManualClock>,
    draw: Draw,
    swarm: Swarm,
    dirs: Vec<Dir>,
    /// Errors injected when the present life began.
    errors_before: u64,
    /// Reads that lied when the present life began.
    lies_before: u64,
    /// What was only written may be gone: the power was cut, or a sync failed.
    only_synced_is_safe: bool,
    syncs_before: u64,
    damaged_before_start: bool,
    outcome: Outcome,
    /// Tell each step on stderr.
    verbose: bool,
}

/// Sequences to be stopped anywhere.
pub(crate) fn scripts() -> Vec<Box<dyn crate::enumerate::Script>> {
    scripts::all()
}

/// Runs one seed.
pub(crate) fn run(seed: u64, verbose: bool) -> (Outcome, Result<(), Violation>) {
    let mut world = World::new(seed, verbose);
    let result = world.run();
    (world.outcome.on(&world.disk), result)
}

impl World {
    fn new(seed: u64, verbose: bool) -> Self {
        let mut draw = Draw::new(seed);
        let clock = Arc::new(ManualClock::new(BEGIN_MS));
        let disk = SimDisk::new(draw.draw(), &clock);
        let swarm = Swarm::draw(&mut draw);
        if verbose {
            eprintln!("{swarm:?}");
            disk.tell(true);
        }
        let dirs = (0..swarm.dirs)
            .map(|dir| Dir {
                slots: (0..swarm.partitions)
                    .map(|number| Slot {
                        name: TopicPartition::new(
                            &format!("t{dir}"),
                            i32::try_from(number).unwrap_or(0),
                        ),
                        config: swarm.config(&mut draw),
                        host: None,
                        model: Model::default(),
                        moving: None,
                        noted: dir,
                        doubted: false,
                    })
                    .collect(),
                ..Dir::at(dir)
            })
            .collect();
        Self {
            disk,
            clock,
            draw,
            swarm,
            dirs,
            errors_before: 0,
            lies_before: 0,
            only_synced_is_safe: false,
            syncs_before: 0,
            damaged_before_start: false,
            outcome: Outcome::default(),
            verbose,
        }
    }

    fn run(&mut self) -> Result<(), Violation> {
        for _ in 0..self.swarm.lives {
            if !self.live()? {
                return Ok(());
            }
        }
        // No more faults: everything must be there, and the log must go on.
        self.begin_life(FaultRates::default(), None);
        match self.restart().and_then(|()| self.finish()) {
            Ok(()) => Ok(()),
            Err(Stop::Violation(violation)) => Err(violation),
            Err(Stop::Over) => Ok(()),
        }
    }

    /// From a start to a crash or a stop. False when nothing more can be expected.
    fn live(&mut self) -> Result<bool, Violation> {
        let dies = self.draw.permille(self.swarm.deaths);
        let operations = match self.draw.below_u64(3) {
            0 => self.draw.span(0, 60),
            1 => self.draw.span(0, 400),
            _ => self.draw.span(0, 2500),
        };
        let die_after = dies.then_some(operations.unsigned_abs());
        self.begin_life(self.swarm.rates, die_after);
        let outcome = self.restart().and_then(|()| self.work());
        self.outcome.lives += 1;
        match outcome {
            Ok(()) => {}
            Err(Stop::Over) => self.check_failed_dirs()?,
            Err(Stop::Violation(violation)) => return Err(violation),
        }
        if self.swarm.beyond && self.disk.injected().lies > self.lies_before {
            // A process that was lied to may have cut its log; nothing can be expected any more.
            return Ok(false);
        }
        self.crash();
        Ok(true)
    }

    fn begin_life(&mut self, rates: FaultRates, die_after: Option<u64>) {
        let injected = self.disk.injected();
        self.errors_before = injected.errors;
        self.lies_before = injected.lies;
        self.syncs_before = injected.syncs;
        self.disk.set_rates(rates);
        self.disk.die_after(die_after);
    }

    fn work(&mut self) -> Result<(), Stop> {
        let steps = self.draw.below_u64(self.swarm.steps_max as u64 + 1);
        for _ in 0..steps {
            self.step()?;
        }
        if self.draw.permille(self.swarm.clean_stops) {
            self.stop_cleanly()?;
        }
        Ok(())
    }

    /// The end of a life: everything in memory is gone, and what no sync covered perhaps too.
    fn crash(&mut self) {
        self.end_process();
        let cuts = self.draw.permille(self.swarm.power_cuts);
        self.only_synced_is_safe = cuts || self.disk.injected().syncs > self.syncs_before;
        if self.only_synced_is_safe {
            for slot in self.dirs.iter_mut().flat_map(|dir| &mut dir.slots) {
                slot.model.written = slot.model.durable;
            }
        }
        if self.verbose {
            eprintln!("{}", if cuts { "power cut" } else { "kill" });
        }
        if cuts {
            let mut draw = self.draw.fork();
            if self.swarm.stale {
                self.disk.power_cut_with_stale_blocks(self.swarm.order, &mut draw);
            } else {
                self.disk.power_cut(self.swarm.order, &mut draw);
            }
            self.outcome.power_cuts += 1;
        } else {
            self.disk.kill();
            self.outcome.kills += 1;
        }
    }

    /// Takes over into the models what the committers have told.
    fn note_told(&mut self) {
        for slot in self.dirs.iter_mut().flat_map(|dir| &mut dir.slots) {
            let Some(host) = &slot.host else { continue };
            let told = host.told();
            slot.model.written = slot.model.written.max(told.written);
            slot.model.durable = slot.model.durable.max(told.durable);
        }
    }

    fn now(&self) -> Millis {
        Millis(self.disk.now_ms())
    }

    /// Whether something was done to the present process that it may fail from.
    fn was_hurt(&self) -> bool {
        let injected = self.disk.injected();
        self.disk.is_dead()
            || injected.errors > self.errors_before
            || injected.lies > self.lies_before
    }

    /// An operation failed: fine when the disk failed, else a broken promise.
    fn failed(&self, what: &str, error: &LogError) -> Stop {
        if self.was_hurt() || (self.swarm.beyond && self.disk.injected().flips > 0) {
            return Stop::Over;
        }
        let what = format!("{what} failed although the disk did not: {error}");
        Stop::Violation(Violation { id: "L0", what })
    }
}
