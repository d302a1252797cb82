//! The system's clocks. Must not know what time is used for.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ottla_env::Clock;

/// The system's wall clock and monotonic clock.
#[derive(Debug)]
pub struct OsClock {
    start: Instant,
}

impl OsClock {
    /// The system's clocks; monotonic time counts from here.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for OsClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for OsClock {
    fn wall_ms(&self) -> i64 {
        let millis = |d: std::time::Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => millis(since),
            Err(before) => millis(before.duration()).saturating_neg(),
        }
    }

    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
