//! How long compaction holds back while others wait for the device. Must not know what they do.
//!
//! A commit that is synced waits for what compaction reads and writes meanwhile, and for the
//! processor that it works on. So after a piece that met a sync, a thread holds back for [`SHARE`]
//! times as long as the piece took: it has a fifth of the time at most while somebody commits all
//! the time, and a device that is slow at the moment is left alone for longer. Where nobody commits
//! it does not hold back, and a thread that has had no rest for [`BEHIND`] takes half of the time:
//! otherwise logs could grow faster than they are compacted.

use std::time::{Duration, Instant};

/// Holding back for so many times as long as working leaves a fifth of its speed.
const SHARE: u32 = 4;
/// The longest that it holds back at once.
const AT_ONCE_MAX: Duration = Duration::from_millis(500);
/// With more to do for so long it is behind.
const BEHIND: Duration = Duration::from_secs(600);

/// The account of one thread.
#[derive(Debug)]
pub(super) struct Courtesy {
    rested: Instant,
    since: Instant,
    met: u64,
}

impl Courtesy {
    /// It begins to work now, and rested until `rested`. `syncs` is how many there were so far,
    /// those that are on their way twice.
    pub(super) fn new(rested: Instant, now: Instant, syncs: u64) -> Self {
        Self { rested, since: now, met: syncs }
    }

    /// It has worked up to now: how long it should hold back.
    pub(super) fn owed(&self, now: Instant, syncs: u64) -> Duration {
        if syncs == self.met && syncs.is_multiple_of(2) {
            return Duration::ZERO;
        }
        let behind = now.saturating_duration_since(self.rested) >= BEHIND;
        let worked = now.saturating_duration_since(self.since);
        worked.saturating_mul(if behind { 1 } else { SHARE }).min(AT_ONCE_MAX)
    }

    /// It has held back up to now.
    pub(super) fn held_back(&mut self, now: Instant, syncs: u64) {
        self.since = now;
        self.met = syncs;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_piece_that_met_a_sync_is_paid_for() {
        let start = Instant::now();
        let mut courtesy = Courtesy::new(start, start, 6);
        assert_eq!(courtesy.owed(start + ms(3), 6), ms(0), "nobody syncs");
        assert_eq!(courtesy.owed(start + ms(3), 7), ms(12), "one has begun");
        assert_eq!(courtesy.owed(start + ms(3), 8), ms(12), "one has begun and ended");
        courtesy.held_back(start + ms(15), 9);
        assert_eq!(courtesy.owed(start + ms(16), 9), ms(4), "one goes on");
        assert_eq!(courtesy.owed(start + ms(16), 10), ms(4), "one has ended");
        assert_eq!(courtesy.owed(start + ms(1000), 10), AT_ONCE_MAX);
    }

    #[test]
    fn who_has_no_rest_for_long_holds_back_less() {
        let start = Instant::now();
        let mut courtesy = Courtesy::new(start, start, 0);
        courtesy.held_back(start + BEHIND, 0);
        assert_eq!(courtesy.owed(start + BEHIND + ms(3), 1), ms(3));
        assert_eq!(courtesy.owed(start + BEHIND + ms(3), 0), ms(0));
    }
}
