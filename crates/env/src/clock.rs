//! The port to time, and a clock that a test moves by hand. Must not know what time is used for.

use std::sync::atomic::{AtomicI64, Ordering};

/// Where time comes from.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch. May jump in both directions.
    fn wall_ms(&self) -> i64;

    /// Nanoseconds since an arbitrary point; never goes back.
    fn monotonic_ns(&self) -> u64;
}

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub struct ManualClock {
    now_ms: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `now_ms` (milliseconds since the Unix epoch).
    #[must_use]
    pub const fn new(now_ms: i64) -> Self {
        Self { now_ms: AtomicI64::new(now_ms) }
    }

    /// Moves the clock forward by `ms` milliseconds.
    pub fn advance_ms(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall_ms(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.wall_ms()).unwrap_or(0).saturating_mul(1_000_000)
    }
}
