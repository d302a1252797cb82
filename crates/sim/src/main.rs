//! The simulator's command line. Must not know what is simulated.
#![expect(clippy::print_stdout, reason = "a command line tool reports on stdout")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
#[cfg(feature = "planted")]
use ottla_sim::Violation;
use ottla_sim::{Failure, World, enumerate, run_seed, session};

/// A seeded, deterministic torture of the storage on a simulated disk.
#[derive(Parser)]
#[command(name = "cargo xtask sim")]
struct Options {
    /// How many seeds to run.
    #[arg(long, default_value_t = 2000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Run as many seeds as there is time for.
    #[arg(long)]
    minutes: Option<f64>,
    /// Run this seed alone, and tell every step and every operation of the disk.
    #[arg(long)]
    seed: Option<u64>,
    /// Look for the mistakes made on purpose; each in at most so many seeds.
    #[arg(long, num_args = 0..=1, default_missing_value = "20000")]
    planted: Option<u64>,
    /// Of the mistakes, or of the sequences, only those whose names contain this; or plant it while
    /// running `--seed`.
    #[arg(long, default_value = "")]
    only: String,
    /// Enumerate states after a crash of scripted sequences; about so many different ones.
    #[arg(long)]
    enumerate: Option<u64>,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Fail when a coverage mark was never passed.
    #[arg(long)]
    marks: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let well = match options {
        Options { seed: Some(seed), .. } => one(seed, &options.only),
        Options { planted: Some(seeds), .. } => planted(seeds, &options),
        Options { enumerate: Some(states), .. } => states_after_crashes(states, &options),
        Options { .. } => seeds(&options),
    };
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn commit() -> String {
    std::env::var("OTTLA_COMMIT").unwrap_or_else(|_| "unknown".to_owned())
}

fn tell(failure: &Failure) {
    println!(
        "seed {} ({:?}, commit {}): {}\n  again: cargo xtask sim --seed {}",
        failure.seed,
        World::of(failure.seed),
        commit(),
        failure.violation,
        failure.seed
    );
}

fn one(seed: u64, mistake: &str) -> bool {
    #[cfg(feature = "planted")]
    if let Some(name) = ottla_env::PLANTED.iter().find(|name| **name == mistake) {
        ottla_env::plant(Some(name));
    }
    let _without_the_feature = mistake;
    let (outcome, failure) = run_seed(World::of(seed), seed, true);
    println!("{outcome:#?}");
    failure.iter().for_each(tell);
    failure.is_none()
}

fn seeds(options: &Options) -> bool {
    let until = options.minutes.and_then(|minutes| {
        Instant::now().checked_add(Duration::from_secs_f64((minutes * 60.0).max(0.0)))
    });
    let plan = session::Plan {
        first: options.first,
        seeds: if until.is_some() { u64::MAX } else { options.seeds },
        until,
        jobs: options.jobs,
        twice_every: 50,
        failures_max: 20,
    };
    let report = session::run(&plan);
    report.failures.iter().for_each(tell);
    let outcome = &report.outcome;
    println!(
        "sim: {} seeds ({} of them twice), {} lives, {} crashes ({} power cuts), {} recoveries, \
         {} moves ({} found half done), {} disk operations, {} faults, {} refusals beyond the promise, {} violations; {:.1} s, \
         {:.0} seeds/s",
        report.seeds,
        report.twice,
        outcome.lives,
        outcome.crashes(),
        outcome.power_cuts,
        outcome.recoveries,
        outcome.moves,
        outcome.moves_found + outcome.moves_resumed,
        outcome.operations,
        outcome.injected.all() + outcome.derived_damaged,
        outcome.refusals,
        report.failures.len(),
        report.took.as_secs_f64(),
        report.seeds as f64 / report.took.as_secs_f64().max(0.001),
    );
    let covered = marks(options.marks);
    report.failures.is_empty() && covered
}

/// Marks that the simulated worlds have no way to: a batch 2^31 offsets behind an empty segment, and
/// a log that ends in offsets that compaction removed.
#[cfg(feature = "planted")]
const UNREACHED: [&str; 2] = ["roll-replaces-empty-segment", "move-skips-what-compaction-took"];

#[cfg(feature = "planted")]
fn marks(must: bool) -> bool {
    let missed: Vec<_> =
        ottla_env::marks::hits().filter(|(name, n)| *n == 0 && !UNREACHED.contains(name)).collect();
    if missed.is_empty() {
        println!("sim: every coverage mark was passed");
        return true;
    }
    let names: Vec<_> = missed.iter().map(|(name, _)| *name).collect();
    println!("sim: coverage marks that were never passed: {}", names.join(", "));
    !must
}

#[cfg(not(feature = "planted"))]
fn marks(must: bool) -> bool {
    if must {
        println!("sim: this build counts no marks (feature `planted`)");
    }
    !must
}

#[cfg(feature = "planted")]
fn planted(seeds: u64, options: &Options) -> bool {
    let begun = Instant::now();
    let found = ottla_sim::planted::hunt(seeds, options.jobs, &options.only);
    for one in &found {
        let by =
            |violation: &Violation| violation.to_string().chars().take(100).collect::<String>();
        match (&one.violation, one.starts) {
            (Some(violation), None) => {
                let by = by(violation);
                println!("{:40} found within {:>5} seeds, by {by}", one.name, one.seeds);
            }
            (Some(violation), Some(starts)) => {
                let by = by(violation);
                println!("{:40} found within {starts} states after a crash, by {by}", one.name);
            }
            (None, _) => println!("{:40} NOT FOUND in {} seeds", one.name, one.seeds),
        }
    }
    let missed = found.iter().filter(|one| one.violation.is_none()).count();
    let by_states = found.iter().filter(|one| one.starts.is_some()).count();
    let by_seeds = found.iter().filter(|one| one.starts.is_none());
    let slowest = by_seeds.map(|one| one.seeds).max().unwrap_or(0);
    println!(
        "sim: {} of {} mistakes found, {by_states} of them in states after a crash, the others each \
         within {slowest} seeds, {:.1} s",
        found.len() - missed,
        found.len(),
        begun.elapsed().as_secs_f64()
    );
    missed == 0
}

#[cfg(not(feature = "planted"))]
fn planted(_seeds: u64, _options: &Options) -> bool {
    println!("sim: this build has no planted mistakes (feature `planted`)");
    false
}

fn states_after_crashes(states: u64, options: &Options) -> bool {
    let report = enumerate::run(states, options.jobs, &options.only);
    for line in &report.lines {
        println!("{line}");
    }
    for violation in &report.violations {
        println!("commit {}: {violation}", commit());
    }
    println!(
        "sim: {} different states after a crash ({} made, {} starts), at {} points of {} sequences; \
         {} of the points in full; {} violations; {:.1} s, {:.0} starts/s",
        report.different,
        report.states,
        report.starts,
        report.points,
        report.lines.len(),
        report.whole,
        report.violations.len(),
        report.took.as_secs_f64(),
        report.starts as f64 / report.took.as_secs_f64().max(0.001),
    );
    report.violations.is_empty()
}
