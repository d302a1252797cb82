//! `log.cleaner.io.max.bytes.per.second`: how long to wait after so many bytes. Must not know who
//! waits, nor how.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Time that was not used is saved up to here.
const BURST: Duration = Duration::from_millis(300);

/// Bytes of all threads together.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// When all that was read and written so far is paid for.
    paid: Mutex<Option<Instant>>,
}

impl Throttle {
    /// Notes that `bytes` were read or written; how long to wait then.
    pub(super) fn spend(&self, bytes: u64, rate: Option<f64>, now: Instant) -> Duration {
        let mut paid = self.paid.lock();
        let Some(rate) = rate else {
            *paid = None;
            return Duration::ZERO;
        };
        #[expect(clippy::cast_precision_loss, reason = "bytes of a moment")]
        let cost = Duration::try_from_secs_f64(bytes as f64 / rate).unwrap_or(Duration::MAX);
        let saved = now.checked_sub(BURST).unwrap_or(now);
        let from = paid.map_or(now, |paid| paid.max(saved));
        let until = from.checked_add(cost).unwrap_or(from);
        *paid = Some(until);
        until.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_cost_time() {
        let throttle = Throttle::default();
        let start = Instant::now();
        let ms = Duration::from_millis;
        assert_eq!(throttle.spend(1 << 30, None, start), Duration::ZERO);
        assert_eq!(throttle.spend(1000, Some(1000.0), start), ms(1000));
        assert_eq!(throttle.spend(500, Some(1000.0), start + ms(1000)), ms(500));
        // A long rest saves only a burst.
        assert_eq!(throttle.spend(1000, Some(1000.0), start + ms(10_000)), ms(700));
    }
}
