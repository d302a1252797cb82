//! The four ways to torture a broker. Each gives a report.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;

use crate::faults::Shim;
use crate::history::Policy;
use crate::report::{Report, Tally};
use crate::seeded::Seeded;
use crate::world::TopicPlan;

mod cluster;
mod cycles;
mod evidence;
mod failing;
mod full;
mod plan;

/// What to do to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Cut the power of the file system below it.
    Power,
    /// Kill it.
    Kill,
    /// Let its disk fail.
    Fsync,
    /// Let its disk be full.
    Full,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Power, Self::Kill, Self::Fsync, Self::Full];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Power => "power",
            Self::Kill => "kill",
            Self::Fsync => "fsync",
            Self::Full => "full",
        }
    }

    /// Whether it mounts file systems.
    #[must_use]
    pub const fn mounts(self) -> bool {
        matches!(self, Self::Power | Self::Full)
    }
}

/// How long a run goes on, and with what.
#[derive(Clone, Debug)]
pub struct Order {
    /// What to do.
    pub mode: Mode,
    /// After so many cycles.
    pub cycles: u64,
    /// Or after so much time.
    pub limit: Duration,
    /// Decides what is drawn.
    pub seed: u64,
    /// Brokers at a time.
    pub jobs: u64,
    /// The binary under test.
    pub binary: PathBuf,
    /// Where data lies while it runs: gone afterwards.
    pub place: PathBuf,
    /// Where data of failed cycles is kept.
    pub keep: PathBuf,
    /// Let the broker answer before the data is safe; it must be found out.
    pub lie: bool,
    /// Set from outside to end the run early.
    pub interrupted: Arc<AtomicBool>,
}

/// Runs that fail so often are ended.
const FAILURES_MAX: usize = 4;

/// Carries out an order.
///
/// # Errors
/// The tester cannot do its work; what the broker does wrong stands in the report.
pub fn run(order: &Order) -> anyhow::Result<Report> {
    let start = Instant::now();
    let shim = Shim::compile(&order.place)?;
    let seeded = Seeded::new(order.seed);
    let mut tally = Tally::default();
    let results: Vec<anyhow::Result<Tally>> = std::thread::scope(|threads| {
        let jobs: Vec<_> = (0..order.jobs)
            .map(|job| {
                let (shim, seeded) = (&shim, seeded.part(job));
                threads.spawn(move || job_of(order, shim, job, seeded, start))
            })
            .collect();
        jobs.into_iter()
            .map(|job| job.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a tester panicked"))))
            .collect()
    });
    for result in results {
        tally.add(result?);
    }
    Ok(Report {
        mode: order.mode.name().to_owned(),
        seed: order.seed,
        jobs: order.jobs,
        took: start.elapsed(),
        tally,
        lie: order.lie,
    })
}

/// One tester's share of the cycles.
fn job_of(
    order: &Order,
    shim: &Shim,
    job: u64,
    seeded: Seeded,
    start: Instant,
) -> anyhow::Result<Tally> {
    let share = order.cycles / order.jobs + u64::from(job < order.cycles % order.jobs);
    let mut tally = Tally::default();
    let mut episode = 0;
    while tally.cycles < share && !order.is_over(start) && tally.kept.len() < FAILURES_MAX {
        episode += 1;
        let left = share - tally.cycles;
        let place = order.place.join(format!("job-{job}"));
        std::fs::create_dir_all(&place).context("cannot make a folder")?;
        let seeded = seeded.part(episode);
        let episode = Episode { order, shim, place: &place, seeded, left, start };
        episode.run(&mut tally).with_context(|| format!("seed {}", order.seed))?;
        if order.lie && !tally.violations.is_empty() {
            break;
        }
    }
    Ok(tally)
}

impl Order {
    /// Whether the run is to end now.
    fn is_over(&self, start: Instant) -> bool {
        self.interrupted.load(Ordering::SeqCst) || start.elapsed() > self.limit
    }
}

/// A cluster from its making to its end: some cycles on one file system.
struct Episode<'a> {
    order: &'a Order,
    shim: &'a Shim,
    place: &'a std::path::Path,
    seeded: Seeded,
    /// Cycles that are wanted.
    left: u64,
    start: Instant,
}

impl Episode<'_> {
    fn run(self, tally: &mut Tally) -> anyhow::Result<()> {
        match self.order.mode {
            Mode::Power | Mode::Kill => cycles::run(self, tally),
            Mode::Fsync => failing::run(self, tally),
            Mode::Full => full::run(self, tally),
        }
    }
}

/// Now, in milliseconds: the time of the first records.
fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(0)
}

/// Settings that make rare things frequent.
fn settings() -> Vec<String> {
    [
        "offsets.topic.num.partitions=2",
        "auto.create.topics.enable=false",
        "log.flush.offset.checkpoint.interval.ms=20",
        "log.flush.start.offset.checkpoint.interval.ms=20",
        "replica.high.watermark.checkpoint.interval.ms=20",
        "log.retention.check.interval.ms=10",
        "log.initial.task.delay.ms=0",
        "log.cleaner.backoff.ms=5",
        "log.segment.delete.delay.ms=10",
        "metadata.log.max.record.bytes.between.snapshots=3000",
        "min.insync.replicas=1",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The topics of a cluster. `trusted` is what may vanish where the operating system is trusted.
fn topics(trusted: Policy) -> Vec<TopicPlan> {
    // Index files of so few bytes are full, and their segment closed, after some batches.
    let tiny = [("segment.index.bytes", "120"), ("index.interval.bytes", "1")];
    let plan = |name: &str, partitions, policy, configs: &[(&str, &str)]| TopicPlan {
        name: name.to_owned(),
        partitions,
        policy,
        configs: configs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        comes_and_goes: name.starts_with("comes"),
    };
    let compacted =
        [&tiny[..], &[("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.01")]]
            .concat();
    let retained = [&tiny[..], &[("retention.bytes", RETAINED_TEXT)]].concat();
    vec![
        plan("whole", 3, Policy::Whole, &tiny),
        plan("plain", 2, Policy::Whole, &[]),
        plan("keyed", 2, Policy::Compacted, &compacted),
        plan("short", 1, Policy::Retained { bytes: STAYS }, &retained),
        plan("trusted", 1, trusted, &[("flush.mode", "os")]),
        plan("comes-a", 1, Policy::Whole, &tiny),
        plan("comes-b", 2, Policy::Whole, &[]),
    ]
}

/// `retention.bytes`.
const RETAINED_TEXT: &str = "40000";
/// What must stay of it.
const STAYS: u64 = 40_000;
