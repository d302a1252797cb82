//! How long a thread that works on files in the background holds back while others wait for the
//! device. Must not know what it does there.
//!
//! A commit that is synced waits for what is read, written or removed meanwhile, and for the
//! processor that this takes. So after a piece that met a sync, a thread holds back for so many
//! times as long as the piece took; a device that is slow at the moment is left alone for longer.
//! Where nobody commits it does not hold back.

use std::time::{Duration, Instant};

/// The account of one thread.
#[derive(Debug)]
pub(crate) struct Courtesy {
    since: Instant,
    met: u64,
}

impl Courtesy {
    /// It begins to work now. `syncs` is how many there were so far, those that are on their way
    /// twice.
    pub(crate) fn new(now: Instant, syncs: u64) -> Self {
        Self { since: now, met: syncs }
    }

    /// It has worked up to now: how long it should hold back, `share` times as long.
    pub(crate) fn owed(&self, now: Instant, syncs: u64, share: u32) -> Duration {
        if syncs == self.met && syncs.is_multiple_of(2) {
            return Duration::ZERO;
        }
        now.saturating_duration_since(self.since).saturating_mul(share)
    }

    /// It has held back up to now.
    pub(crate) fn held_back(&mut self, now: Instant, syncs: u64) {
        (self.since, self.met) = (now, syncs);
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
        let mut courtesy = Courtesy::new(start, 6);
        assert_eq!(courtesy.owed(start + ms(3), 6, 4), ms(0), "nobody syncs");
        assert_eq!(courtesy.owed(start + ms(3), 7, 4), ms(12), "one has begun");
        assert_eq!(courtesy.owed(start + ms(3), 8, 1), ms(3), "one has begun and ended");
        courtesy.held_back(start + ms(15), 9);
        assert_eq!(courtesy.owed(start + ms(16), 9, 4), ms(4), "one goes on");
        assert_eq!(courtesy.owed(start + ms(16), 10, 4), ms(4), "one has ended");
        courtesy.held_back(start + ms(20), 10);
        assert_eq!(courtesy.owed(start + ms(23), 10, 4), ms(0), "nobody syncs any more");
    }
}
