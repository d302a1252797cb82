//! Many seeds, on several threads: until there are enough or the time is over. Must not know what
//! a world does.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::run::{Failure, run_seed};
use crate::{Outcome, World};

/// How much to run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The first seed.
    pub first: u64,
    /// How many.
    pub seeds: u64,
    /// Until when; whatever comes first.
    pub until: Option<Instant>,
    /// Threads.
    pub jobs: usize,
    /// Every so many seeds one is run twice, and both must do the same.
    pub twice_every: u64,
    /// Failures after which nothing more is begun.
    pub failures_max: usize,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Seeds that were run.
    pub seeds: u64,
    /// Seeds that were run twice.
    pub twice: u64,
    /// What they did.
    pub outcome: Outcome,
    /// What they found.
    pub failures: Vec<Failure>,
    /// How long it took.
    pub took: Duration,
}

/// Runs a plan. The fault planted on the calling thread is planted on all.
#[must_use]
pub fn run(plan: &Plan) -> Report {
    let begun = Instant::now();
    let next = AtomicU64::new(plan.first);
    let end = plan.first.saturating_add(plan.seeds);
    let report = Mutex::new(Report::default());
    let work = || {
        loop {
            let late = plan.until.is_some_and(|until| Instant::now() >= until);
            let failed = lock(&report).failures.len() >= plan.failures_max;
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if late || failed || seed >= end {
                return;
            }
            let twice = plan.twice_every > 0 && seed.is_multiple_of(plan.twice_every);
            let (outcome, mut failure) = run_seed(World::of(seed), seed, false);
            if twice && failure.is_none() {
                failure = run_again(seed, &outcome);
            }
            let mut report = lock(&report);
            report.seeds += 1;
            report.twice += u64::from(twice);
            report.outcome.add(&outcome);
            report.failures.extend(failure);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..plan.jobs.max(1) {
            scope.spawn(work);
        }
        work();
    });
    let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.took = begun.elapsed();
    report.failures.sort_by_key(|failure| failure.seed);
    report
}

fn lock(report: &Mutex<Report>) -> std::sync::MutexGuard<'_, Report> {
    report.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run_again(seed: u64, first: &Outcome) -> Option<Failure> {
    let (second, failure) = run_seed(World::of(seed), seed, false);
    if second == *first {
        return failure;
    }
    let what = format!("two runs differ: {first:?} and {second:?}");
    Some(Failure { seed, violation: crate::Violation { id: "determinism", what } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_does_the_same_twice() {
        let plan =
            Plan { first: 0, seeds: 40, until: None, jobs: 2, twice_every: 1, failures_max: 1 };
        let report = run(&plan);
        assert!(report.failures.is_empty(), "{:?}", report.failures);
        assert_eq!((report.seeds, report.twice), (40, 40));
        assert!(report.outcome.crashes() > 40, "{:?}", report.outcome);
    }
}
