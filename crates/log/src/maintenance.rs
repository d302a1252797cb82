//! One at a time: who removes, replaces or cuts segments of a partition's log. Must not know what
//! they do, nor why.
//!
//! Appends, commits and reads need no claim. Whoever changes which segments there are does:
//!
//! | who | how |
//! |---|---|
//! | compaction | [`Maintenance::try_claim`]; gives up as soon as [`Claim::is_wanted`] |
//! | retention | [`Maintenance::try_claim`]; without one the log's turn comes next time |
//! | truncation, moving to another log directory | [`Maintenance::claim`] |
//! | closing, deletion | [`Maintenance::close`]: nobody gets a claim any more |

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// Who may work on the segments of one partition's log.
#[derive(Debug, Default)]
pub struct Maintenance {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    held: bool,
    /// How many wait for the holder to be done.
    waiting: usize,
    closed: bool,
}

/// The right to work on the segments, given back when dropped.
#[derive(Debug)]
pub struct Claim {
    of: Arc<Maintenance>,
}

impl Maintenance {
    /// The claim, when nobody has it, waits for it, or closed the log.
    #[must_use]
    pub fn try_claim(self: &Arc<Self>) -> Option<Claim> {
        let mut state = self.state.lock();
        if state.held || state.waiting > 0 || state.closed {
            return None;
        }
        state.held = true;
        Some(Claim { of: Arc::clone(self) })
    }

    /// The claim, after whoever has it now is done: long work is asked to give up. Blocks, so no
    /// lock is held that the holder may need. `None` when the log was closed.
    #[must_use]
    pub fn claim(self: &Arc<Self>) -> Option<Claim> {
        let mut state = self.state.lock();
        state.waiting += 1;
        while state.held && !state.closed {
            self.freed.wait(&mut state);
        }
        state.waiting -= 1;
        if state.closed {
            return None;
        }
        state.held = true;
        Some(Claim { of: Arc::clone(self) })
    }

    /// Lets nobody have the claim any more, and waits until nobody has it. Blocks, as
    /// [`Maintenance::claim`] does; who calls it must not hold the claim.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        self.freed.notify_all();
        while state.held {
            self.freed.wait(&mut state);
        }
    }
}

impl Claim {
    /// Whether someone waits for the claim: long work stops then.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        let state = self.of.state.lock();
        state.waiting > 0 || state.closed
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.of.state.lock().held = false;
        self.of.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let maintenance = Arc::new(Maintenance::default());
        let first = maintenance.try_claim().unwrap();
        assert!(maintenance.try_claim().is_none());
        assert!(!first.is_wanted());
        drop(first);
        assert!(maintenance.try_claim().is_some());
    }

    #[test]
    fn who_waits_is_next() {
        let maintenance = Arc::new(Maintenance::default());
        let first = maintenance.try_claim().unwrap();
        let waiting = Arc::clone(&maintenance);
        let waiter = std::thread::spawn(move || waiting.claim().is_some());
        while !first.is_wanted() {
            std::thread::yield_now();
        }
        drop(first);
        assert!(waiter.join().unwrap());
        assert!(maintenance.try_claim().is_some());
    }

    #[test]
    fn a_closed_log_has_no_claims() {
        let maintenance = Arc::new(Maintenance::default());
        let first = maintenance.try_claim().unwrap();
        let closing = Arc::clone(&maintenance);
        let closer = std::thread::spawn(move || closing.close());
        while !first.is_wanted() {
            std::thread::yield_now();
        }
        assert!(!closer.is_finished());
        drop(first);
        closer.join().unwrap();
        assert!(maintenance.try_claim().is_none());
        assert!(maintenance.claim().is_none());
    }
}
