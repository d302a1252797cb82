//! One at a time, first come first served: who removes, replaces or cuts segments of a partition's
//! log. Must not know what they do, nor why.
//!
//! Appends, commits and reads need no claim. Whoever changes which segments there are does:
//!
//! | who | how |
//! |---|---|
//! | compaction | [`Maintenance::try_claim`]; gives up as soon as [`Claim::is_wanted`] |
//! | retention | [`Maintenance::try_claim`]; without one the log's turn comes next time |
//! | truncation, moving to another log directory | [`Maintenance::claim`] |
//! | closing, deletion | [`Maintenance::close`]: nobody gets a claim any more |

use std::collections::VecDeque;
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
    /// The tickets of those who wait for the holder to be done, in the order in which they came.
    waiting: VecDeque<u64>,
    next_ticket: u64,
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
        if state.held || !state.waiting.is_empty() || state.closed {
            return None;
        }
        state.held = true;
        Some(Claim { of: Arc::clone(self) })
    }

    /// The claim, after whoever has it now or has waited longer is done: long work is asked to give
    /// up. Blocks, so no lock is held that the holder may need. `None` when the log was closed.
    #[must_use]
    pub fn claim(self: &Arc<Self>) -> Option<Claim> {
        let mut state = self.state.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push_back(ticket);
        // Who gives the claim back and wants it again at once must not pass those who wait.
        while !state.closed && (state.held || state.waiting.front() != Some(&ticket)) {
            self.freed.wait(&mut state);
        }
        state.waiting.retain(|waiting| *waiting != ticket);
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
        !state.waiting.is_empty() || state.closed
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
    use std::sync::atomic::{AtomicUsize, Ordering};

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
    fn who_gives_it_back_and_wants_it_again_comes_after_those_who_wait() {
        for _ in 0..200 {
            let maintenance = Arc::new(Maintenance::default());
            let first = maintenance.try_claim().unwrap();
            let (order, turns) = (AtomicUsize::new(0), [const { AtomicUsize::new(0) }; 2]);
            let come = |who: usize| {
                let claim = maintenance.claim().unwrap();
                turns[who].store(order.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
                drop(claim);
            };
            std::thread::scope(|scope| {
                for who in 0..2 {
                    let come = &come;
                    scope.spawn(move || come(who));
                    while maintenance.state.lock().waiting.len() <= who {
                        std::thread::yield_now();
                    }
                }
                drop(first);
                let again = maintenance.claim().unwrap();
                assert_eq!(order.load(Ordering::SeqCst), 2);
                drop(again);
            });
            assert_eq!(turns.map(AtomicUsize::into_inner), [0, 1]);
        }
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
