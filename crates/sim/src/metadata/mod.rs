//! The metadata log's world: a directory is formatted, a controller without threads decides,
//! appends, rolls and writes snapshots, and dies at any operation of the disk; after each start
//! everything that was answered must be there. Must not know the controller's inside.

mod commands;
mod scripts;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ottla_controller::{
    ByHand, Contents, ControllerError, ControllerOptions, Endpoint, FeatureChoice, FormatError,
    FormatOptions, MetaProperties, MetadataLogSettings, Voters, format, inspect,
};
use ottla_env::{Disk, ManualClock, SeededRng};
use ottla_metadata::configs::BrokerProperties;
use ottla_protocol::{Millis, NodeId, Uuid};

use crate::choose::Draw;
use crate::disk::{FaultRates, NameOrder, SimDisk};
use crate::violation::{Stop, Violation};
use crate::{Outcome, promise};

const BEGIN_MS: i64 = 1_700_000_000_000;
const CLUSTER: &str = "4L6g3nShT-eMCtK--X86sw";

/// What a topic may be: its id and number of partitions; `None` for "there is none".
type Fate = Option<(Uuid, usize)>;

/// What was answered, and what may have happened beyond.
#[derive(Clone, Debug, Default)]
struct Model {
    /// By name: what it must be.
    topics: BTreeMap<String, Fate>,
    /// By name: what an unanswered command may have made of it, beside that. `Some(None)`: gone;
    /// `Some(Some(n))`: there, with n partitions.
    open: BTreeMap<String, Option<usize>>,
    /// Leader epochs only grow.
    epoch: i32,
    /// Everything before was answered.
    offset: i64,
    meta: Option<MetaProperties>,
}

struct World {
    disk: SimDisk,
    clock: Arc<ManualClock>,
    rng: Arc<SeededRng>,
    draw: Draw,
    order: NameOrder,
    rates: FaultRates,
    settings: MetadataLogSettings,
    model: Model,
    errors_before: u64,
    incarnation: u8,
    outcome: Outcome,
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
        disk.tell(verbose);
        let mut rate = |of: u64| {
            if draw.one_in(of) { u32::try_from(draw.span(200, 8000)).unwrap_or(0) } else { 0 }
        };
        let rates = FaultRates {
            write: rate(6),
            sync: rate(4),
            read: rate(8),
            name: rate(8),
            no_space: rate(6),
            stall: rate(4),
            ..FaultRates::default()
        };
        let settings = MetadataLogSettings {
            segment_bytes: *draw.pick(&[300, 1000, 4000]).unwrap_or(&1000),
            snapshot_bytes: *draw.pick(&[500, 3000, 1 << 20]).unwrap_or(&3000),
            snapshot_interval_ms: *draw.pick(&[0, 400]).unwrap_or(&0),
            ..MetadataLogSettings::default()
        };
        Self {
            rng: Arc::new(SeededRng::new(draw.draw())),
            order: if draw.one_in(2) { NameOrder::Any } else { NameOrder::Kept },
            disk,
            clock,
            draw,
            rates,
            settings,
            model: Model::default(),
            errors_before: 0,
            incarnation: 0,
            outcome: Outcome::default(),
            verbose,
        }
    }

    fn run(&mut self) -> Result<(), Violation> {
        for _ in 0..self.draw.range(2, 5) {
            let operations = match self.draw.below_u64(3) {
                0 => self.draw.span(0, 40),
                1 => self.draw.span(0, 200),
                _ => self.draw.span(0, 800),
            };
            let dies = !self.draw.one_in(4);
            self.begin_life(self.rates, dies.then_some(operations.unsigned_abs()));
            let steps = self.draw.below_u64(60);
            let outcome = self.live(steps);
            self.outcome.lives += 1;
            match outcome {
                Ok(()) | Err(Stop::Over) => {}
                Err(Stop::Violation(violation)) => return Err(violation),
            }
            self.crash();
        }
        self.begin_life(FaultRates::default(), None);
        match self.live(5) {
            Ok(()) | Err(Stop::Over) => Ok(()),
            Err(Stop::Violation(violation)) => Err(violation),
        }
    }

    fn begin_life(&mut self, rates: FaultRates, die_after: Option<u64>) {
        self.errors_before = self.disk.injected().errors;
        self.disk.set_rates(rates);
        self.disk.die_after(die_after);
    }

    fn crash(&mut self) {
        let cut = self.draw.permille(700);
        if self.verbose {
            eprintln!("{}", if cut { "power cut" } else { "kill" });
        }
        if cut {
            let mut draw = self.draw.fork();
            self.disk.power_cut(self.order, &mut draw);
            self.outcome.power_cuts += 1;
        } else {
            self.disk.kill();
            self.outcome.kills += 1;
        }
    }

    fn was_hurt(&self) -> bool {
        self.disk.is_dead() || self.disk.injected().errors > self.errors_before
    }

    fn failed(&self, what: &str, error: &impl std::fmt::Display) -> Stop {
        if self.was_hurt() {
            return Stop::Over;
        }
        let what = format!("{what} failed although the disk did not: {error}");
        Stop::Violation(Violation { id: "K0", what })
    }

    fn any_disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    fn dir() -> PathBuf {
        PathBuf::from("/meta")
    }

    /// From a start to a crash.
    fn live(&mut self, steps: u64) -> Result<(), Stop> {
        let mut controller = self.started()?;
        for _ in 0..steps {
            self.outcome.steps += 1;
            let pause = self.draw.span(0, 50);
            self.clock.advance_ms(pause);
            self.step(&mut controller)?;
        }
        Ok(())
    }

    /// A controller that has loaded everything that was answered.
    fn started(&mut self) -> Result<ByHand, Stop> {
        let meta = self.formatted()?;
        let options = ControllerOptions {
            disk: self.any_disk(),
            clock: Arc::clone(&self.clock) as _,
            rng: Arc::clone(&self.rng) as _,
            metadata_dir: Self::dir(),
            meta: meta.clone(),
            endpoints: Vec::new(),
            properties: BrokerProperties::default(),
            log: self.settings,
        };
        self.outcome.recoveries += 1;
        let started: Result<ByHand, ControllerError> = ByHand::start(options);
        let controller = started.map_err(|error| self.failed("starting", &error))?;
        // What it was started from has to stay from here on (L5).
        self.model.meta = Some(meta);
        self.check(&controller)?;
        self.outcome.checks += 1;
        Ok(controller)
    }

    /// Formats the directory when nobody has; what was formatted once stays so (L4).
    fn formatted(&mut self) -> Result<MetaProperties, Stop> {
        let inspect = |world: &Self| {
            inspect(&world.disk, &Self::dir()).map_err(|error| world.failed("looking", &error))
        };
        match inspect(self)? {
            Contents::Formatted(meta) => {
                promise!(
                    "L4",
                    self.model.meta.is_none() || self.model.meta.as_ref() == Some(&meta),
                    "meta.properties says {meta:?}, and it was {:?}",
                    self.model.meta
                );
                // A format that was killed was never told to be done, and may be gone again.
                return Ok(meta);
            }
            Contents::Empty => {
                promise!("L4", self.model.meta.is_none(), "a directory that was formatted is empty")
            }
            Contents::Foreign(what) | Contents::Damaged(what) => {
                promise!("L4", false, "after a crash the directory holds {what}");
            }
        }
        let options = FormatOptions {
            cluster_id: Some(CLUSTER.to_owned()),
            node_id: NodeId(1),
            directory_id: None,
            features: FeatureChoice::default(),
            voters: Voters::Standalone(Endpoint {
                listener: "CONTROLLER".to_owned(),
                host: "127.0.0.1".to_owned(),
                port: 9093,
            }),
            ignore_formatted: false,
        };
        let now = Millis(self.disk.now_ms());
        let made: Result<MetaProperties, FormatError> =
            format(&self.any_disk(), self.rng.as_ref(), now, &[Self::dir()], &options);
        let meta = made.map_err(|error| self.failed("formatting", &error))?;
        self.model.meta = Some(meta.clone());
        Ok(meta)
    }

    /// Everything that was answered is there, and nothing else (K2, K3, K4).
    fn check(&mut self, controller: &ByHand) -> Result<(), Stop> {
        let image = controller.image();
        let model = &mut self.model;
        promise!(
            "K2",
            controller.epoch().0 > model.epoch,
            "the controller leads epoch {}, and there was an epoch {} before",
            controller.epoch(),
            model.epoch
        );
        model.epoch = controller.epoch().0;
        let (start, end) = controller.log_range();
        promise!(
            "K3",
            end.0 >= model.offset,
            "the metadata log ends at {end}, and up to {} was answered",
            model.offset
        );
        promise!("K4", start <= end, "the metadata log begins at {start} and ends at {end}");
        model.offset = end.0;
        let open = std::mem::take(&mut model.open);
        for (name, fate) in &mut model.topics {
            let found: Fate = image.topic(name).map(|topic| (topic.id, topic.partition_count()));
            let possible = match (open.get(name), found) {
                (Some(None), None) => true,
                (Some(Some(count)), Some((_, partitions))) => *count == partitions,
                (Some(None), Some(_)) | (Some(Some(_)), None) | (None, _) => false,
            };
            promise!(
                "K3",
                found == *fate || possible,
                "topic {name} is {found:?}, and it was answered to be {fate:?}"
            );
            *fate = found;
        }
        Ok(())
    }
}
