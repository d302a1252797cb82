//! How long compaction holds back while others wait for the device. Must not know what they do.
//!
//! A piece that is read or written while a commit is synced is what this commit waits for. So after
//! each piece a thread lets the sync that is on its way come to its end, and a sync has one piece
//! beside it at most, however busy the device is. It never holds back for more than
//! [`SHARE`] times as long as it works, so it is done at some time even if there is always a sync.

use std::time::{Duration, Instant};

/// Holding back for so many times as long as working leaves a fifth of its speed.
const SHARE: u32 = 4;
/// What was not used is saved up to here.
const SAVED_MAX: Duration = Duration::from_millis(100);

/// The account of one thread.
#[derive(Debug)]
pub(super) struct Courtesy {
    left: Duration,
    since: Instant,
}

impl Courtesy {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: Duration::ZERO, since: now }
    }

    /// It has worked up to now: how long it may hold back.
    pub(super) fn limit(&mut self, now: Instant) -> Duration {
        let worked = now.saturating_duration_since(self.since);
        self.left = self.left.saturating_add(worked.saturating_mul(SHARE)).min(SAVED_MAX);
        self.since = now;
        self.left
    }

    /// It has held back up to now.
    pub(super) fn held_back(&mut self, now: Instant) {
        self.left = self.left.saturating_sub(now.saturating_duration_since(self.since));
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_a_fifth_is_work() {
        let ms = Duration::from_millis;
        let mut now = Instant::now();
        let start = now;
        let mut courtesy = Courtesy::new(now);
        let mut worked = Duration::ZERO;
        for piece in 1..=20 {
            now += ms(piece);
            worked += ms(piece);
            let limit = courtesy.limit(now);
            assert!(limit <= SAVED_MAX);
            now += limit;
            courtesy.held_back(now);
        }
        assert_eq!(now - start, worked * (SHARE + 1));
        // What is not used is there later, but not for ever.
        now += ms(5);
        assert_eq!(courtesy.limit(now), ms(20));
        courtesy.held_back(now);
        now += ms(2);
        assert_eq!(courtesy.limit(now), ms(28));
        now += ms(1000);
        assert_eq!(courtesy.limit(now), SAVED_MAX);
    }
}
