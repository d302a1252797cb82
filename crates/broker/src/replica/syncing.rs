//! Whether a log directory's committer writes, whether it waits for the device at the moment, and
//! whether it has lately: for those who would stand before it. Must not know what they do.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// A group that took no longer was not synced, or the device has nothing else to do.
const SYNC_LEAST: Duration = Duration::from_micros(100);
/// After so long without a group none is expected, nor a sync after so long without one.
const LATELY: Duration = Duration::from_millis(50);

/// Whether the committer waits for a sync.
#[derive(Debug, Default)]
pub(super) struct Syncing {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Begun and ended.
    count: u64,
    since: Option<Instant>,
    /// When a group was written.
    written: Option<Instant>,
    /// When a sync ended that took its time.
    last: Option<Instant>,
}

impl Syncing {
    /// A group is written and to be synced.
    pub(super) fn begin(&self, now: Instant) {
        let mut state = self.state.lock();
        state.written = Some(now);
        if state.since.replace(now).is_none() {
            state.count += 1;
        }
    }

    /// Its sync has ended, or there is none.
    pub(super) fn end(&self, now: Instant) {
        let mut state = self.state.lock();
        let Some(since) = state.since.take() else { return };
        state.count += 1;
        if now.saturating_duration_since(since) >= SYNC_LEAST {
            state.last = Some(now);
        }
        drop(state);
        self.ended.notify_all();
    }

    /// How many have begun, and how many of them have ended: an odd number while there is one.
    pub(super) fn count(&self) -> u64 {
        self.state.lock().count
    }

    /// Waits while there is a sync, at most `limit`.
    pub(super) fn wait(&self, limit: Duration) {
        let mut state = self.state.lock();
        if state.since.is_some() {
            // One sync: the next may have begun when this thread wakes up, and it may go on.
            self.ended.wait_for(&mut state, limit);
        }
    }

    /// Whether there was a sync shortly before, so that another is to be expected.
    pub(super) fn lately(&self, now: Instant) -> bool {
        is_recent(self.state.lock().last, now)
    }

    /// Whether a group was written shortly before, so that another is to be expected: somebody
    /// produces, whether it is synced or not.
    pub(super) fn written_lately(&self, now: Instant) -> bool {
        is_recent(self.state.lock().written, now)
    }
}

fn is_recent(last: Option<Instant>, now: Instant) -> bool {
    last.is_some_and(|last| now.saturating_duration_since(last) < LATELY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sync_that_took_its_time_lets_another_be_expected() {
        let (syncing, start) = (Syncing::default(), Instant::now());
        assert!(!syncing.lately(start) && !syncing.written_lately(start));
        syncing.begin(start);
        assert!(syncing.written_lately(start));
        assert!(!syncing.written_lately(start + LATELY));
        syncing.end(start + SYNC_LEAST / 2);
        assert!(!syncing.lately(start + SYNC_LEAST));
        assert_eq!(syncing.count(), 2);
        syncing.begin(start);
        assert_eq!(syncing.count(), 3);
        let end = start + SYNC_LEAST;
        syncing.end(end);
        // What failed before it was written never began.
        syncing.end(end + LATELY);
        assert_eq!(syncing.count(), 4);
        assert!(syncing.lately(end));
        assert!(!syncing.lately(end + LATELY));
    }

    #[test]
    fn who_waits_goes_on_when_the_sync_ends() {
        let syncing = Syncing::default();
        // There is none: at once.
        syncing.wait(Duration::MAX);
        syncing.begin(Instant::now());
        syncing.wait(Duration::ZERO);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| syncing.wait(Duration::from_secs(3600)));
            while !waiting.is_finished() {
                syncing.end(Instant::now());
                syncing.begin(Instant::now());
                std::thread::yield_now();
            }
        });
    }
}
