//! Running seeds: one at a time, panics caught and told as violations. Must not know what a world
//! does.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use crate::Outcome;
use crate::violation::Violation;

/// What is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// Partitions' logs in log directories.
    Log,
    /// The metadata log and the format of directories.
    Metadata,
}

impl World {
    /// The world of a seed: every fourth is the metadata log's.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        if seed % 4 == 3 { Self::Metadata } else { Self::Log }
    }
}

/// A seed that broke a promise.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What was broken.
    pub violation: Violation,
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Panics of the code under test are findings, not noise: they are kept for the report.
fn catch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANIC.with(|panic| match panic.try_borrow_mut() {
                Ok(mut panic) => *panic = Some(info.to_string()),
                Err(_) => before(info),
            });
        }));
    });
}

/// Runs something; its panic is a violation.
pub(crate) fn guarded<T>(run: impl FnOnce() -> Result<T, Violation>) -> Result<T, Violation> {
    catch_panics();
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result,
        Err(_) => {
            let what = PANIC.with(|panic| panic.take()).unwrap_or_else(|| "a panic".to_owned());
            Err(Violation { id: "panic", what })
        }
    }
}

/// Runs one seed in one world.
#[must_use]
pub fn run_seed(world: World, seed: u64, verbose: bool) -> (Outcome, Option<Failure>) {
    catch_panics();
    let run = || match world {
        World::Log => crate::log::run(seed, verbose),
        World::Metadata => crate::metadata::run(seed, verbose),
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok((outcome, Ok(()))) => (outcome, None),
        Ok((outcome, Err(violation))) => (outcome, Some(Failure { seed, violation })),
        Err(_) => {
            let what = PANIC.with(|panic| panic.take()).unwrap_or_else(|| "a panic".to_owned());
            let violation = Violation { id: "panic", what };
            (Outcome::default(), Some(Failure { seed, violation }))
        }
    }
}
