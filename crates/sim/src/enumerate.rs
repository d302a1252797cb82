//! Every state after a crash: scripted sequences are stopped at each of their disk operations, and
//! each state that a power cut may leave there is started from. Where there are too many states,
//! some are drawn. Must not know what is in the files.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::choose::{Choose, Draw, Every};
use crate::disk::{NameOrder, SimDisk};
use crate::run::guarded;
use crate::violation::Violation;

/// A sequence of operations, as a world plays it.
pub(crate) trait Script: Sync {
    /// What it is about.
    fn name(&self) -> &'static str;

    /// Plays it until the disk dies after `operations`; `None`: to its end.
    fn play(&self, operations: Option<u64>) -> Result<Box<dyn Crashed>, Violation>;
}

/// A world whose process is gone.
pub(crate) trait Crashed {
    /// The disk before the power is cut.
    fn disk(&self) -> &SimDisk;

    /// How many operations the sequence had.
    fn operations(&self) -> u64;

    /// Starts from a disk after the cut: everything promised must be there.
    fn start_from(&self, disk: SimDisk) -> Result<(), Violation>;
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// A line for each sequence.
    pub lines: Vec<String>,
    /// States that were made.
    pub states: u64,
    /// Of these, different ones, each of which was started from.
    pub different: u64,
    /// Places at which a sequence was stopped, in both orders of names.
    pub points: u64,
    /// Of these, those all of whose states were made.
    pub whole: u64,
    /// What was found.
    pub violations: Vec<Violation>,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    fn add(&mut self, other: Self) {
        self.lines.extend(other.lines);
        self.states += other.states;
        self.different += other.different;
        self.points += other.points;
        self.whole += other.whole;
        self.violations.extend(other.violations);
    }
}

/// Makes about `states` states, shared by all sequences; on `jobs` threads.
#[must_use]
pub fn run(states: u64, jobs: usize) -> Report {
    let begun = Instant::now();
    let scripts = crate::log::scripts().into_iter().chain(crate::metadata::scripts());
    let scripts: Vec<Box<dyn Script>> = scripts.collect();
    let each = states / u64::try_from(scripts.len().max(1)).unwrap_or(1);
    let next = AtomicUsize::new(0);
    let report = Mutex::new(Report::default());
    let work = || {
        while let Some(script) = scripts.get(next.fetch_add(1, Ordering::Relaxed)) {
            let one = guarded(|| play(script.as_ref(), each));
            let one = one.unwrap_or_else(|violation| Report {
                lines: vec![format!("{:26} ended early", script.name())],
                violations: vec![violation],
                ..Report::default()
            });
            report.lock().unwrap_or_else(PoisonError::into_inner).add(one);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs.max(1) {
            scope.spawn(work);
        }
        work();
    });
    let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.lines.sort_unstable();
    report.took = begun.elapsed();
    report
}

fn play(script: &dyn Script, states: u64) -> Result<Report, Violation> {
    let operations = script.play(None)?.operations();
    let mut report = Report::default();
    let points = 2 * (operations + 1);
    let most = (states / points).max(8);
    // What small points leave is for the large ones.
    let mut spare = 0;
    for stop in 0..=operations {
        let crashed = script.play(Some(stop))?;
        for order in [NameOrder::Kept, NameOrder::Any] {
            let before = report.states;
            let whole = states_at(crashed.as_ref(), order, most + spare / 8, &mut report, |v| {
                let what = format!(
                    "after {stop} operations of \"{}\" (names: {order:?}): {}",
                    script.name(),
                    v.what
                );
                Violation { id: v.id, what }
            });
            report.points += 1;
            report.whole += u64::from(whole);
            let made = report.states - before;
            spare = (spare + most).saturating_sub(made);
        }
        if report.violations.len() > 3 {
            break;
        }
    }
    report.lines.push(format!(
        "{:26} {:>4} operations, {:>8} states, {:>8} different, {:>4} of {:>4} points in full",
        script.name(),
        operations,
        report.states,
        report.different,
        report.whole,
        report.points
    ));
    Ok(report)
}

/// Makes at most `most` states at one point; whether these were all.
fn states_at(
    crashed: &dyn Crashed,
    order: NameOrder,
    most: u64,
    report: &mut Report,
    tell: impl Fn(Violation) -> Violation,
) -> bool {
    let mut seen = BTreeSet::new();
    let mut try_one = |choose: &mut dyn Choose, report: &mut Report| {
        let disk = crashed.disk().fork();
        disk.power_cut(order, choose);
        report.states += 1;
        if !seen.insert(disk.fingerprint()) {
            return;
        }
        report.different += 1;
        if let Err(violation) = crashed.start_from(disk)
            && report.violations.len() < 4
        {
            report.violations.push(tell(violation));
        }
    };
    let mut every = Every::default();
    // The tree's first corner is all alike: half of what may be made is drawn, when it is large.
    for _ in 0..most / 2 {
        try_one(&mut every, report);
        if !every.advance() {
            return true;
        }
    }
    let mut draw = Draw::new(crashed.disk().fingerprint());
    for _ in 0..most / 2 {
        try_one(&mut draw, report);
    }
    false
}
