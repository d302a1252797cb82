//! The mistakes made on purpose: each must be found, and how many seeds that takes is the measure
//! of the simulator. Must not know how a mistake is found.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use ottla_env::{PLANTED, plant};

use crate::World;
use crate::enumerate;
use crate::run::run_seed;
use crate::violation::Violation;

/// So many states of each place are made for what the seeds do not find.
const STATES: u64 = 64;

/// Mistakes whose names begin so are looked for in the sequences whose names contain this.
const ABOUT: [(&str, &str); 4] = [
    ("swap-", "compaction"),
    ("cleaned-", "compaction"),
    ("rollback-", "without space"),
    ("move-", "move"),
];

/// What became of one mistake.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name.
    pub name: &'static str,
    /// Seeds that were run until it was found, or in vain.
    pub seeds: u64,
    /// In vain: then so many starts from states after a crash, until it was found.
    pub starts: Option<u64>,
    /// What gave it away; `None` when it was not found.
    pub violation: Option<Violation>,
}

/// Looks for each mistake in at most `seeds_max` seeds, then in the states after a crash of scripted
/// sequences, on `jobs` threads; only those whose names
/// contain `only`.
#[must_use]
pub fn hunt(seeds_max: u64, jobs: usize, only: &str) -> Vec<Found> {
    let names: Vec<&'static str> =
        PLANTED.iter().copied().filter(|name| name.contains(only)).collect();
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    let work = || {
        while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = look_for(name, seeds_max);
            found.lock().unwrap_or_else(PoisonError::into_inner).push(result);
        }
        plant(None);
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs.max(1) {
            scope.spawn(work);
        }
        work();
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|found| PLANTED.iter().position(|name| *name == found.name));
    found
}

fn look_for(name: &'static str, seeds_max: u64) -> Found {
    plant(Some(name));
    let metadata = name.starts_with("metadata-") || name.starts_with("format-");
    // What both kinds of log use is looked for in both.
    let both = name.starts_with("atomic-");
    let mut seeds = 0;
    for seed in 0.. {
        let world = World::of(seed);
        if !both && (world == World::Metadata) != metadata {
            continue;
        }
        if seeds == seeds_max {
            break;
        }
        seeds += 1;
        let (_, failure) = run_seed(world, seed, false);
        if failure.is_some() {
            // What is wrong without the mistake does not count as finding it.
            plant(None);
            let (_, without) = run_seed(world, seed, false);
            plant(Some(name));
            if without.is_none() {
                let violation = failure.map(|failure| failure.violation);
                return Found { name, seeds, starts: None, violation };
            }
        }
    }
    // The sequences find nothing without a mistake: that is looked at on its own.
    let about = ABOUT.iter().find(|(begins, _)| name.starts_with(begins));
    let found = enumerate::look(about.map_or("", |(_, about)| about), STATES);
    let starts = found.as_ref().map(|(starts, _)| *starts);
    Found { name, seeds, starts, violation: found.map(|(_, violation)| violation) }
}
