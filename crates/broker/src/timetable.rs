//! When what is due, for a thread that does several things, each at its own pace. Must not know
//! what is done.

use std::time::{Duration, Instant};

/// The longest that a thread sleeps; and how far away a time is that the clock cannot say.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Row<T> {
    task: T,
    every: Duration,
    next: Instant,
}

/// Tasks, and when each is due next.
#[derive(Debug)]
pub(crate) struct Timetable<T> {
    rows: Vec<Row<T>>,
}

impl<T: Copy + PartialEq> Timetable<T> {
    /// Each task with how often it comes back, and how long from `now` it comes first.
    pub(crate) fn new(
        rows: impl IntoIterator<Item = (T, Duration, Duration)>,
        now: Instant,
    ) -> Self {
        let row = |(task, every, first)| Row { task, every, next: later(now, first) };
        Self { rows: rows.into_iter().map(row).collect() }
    }

    /// How long nothing is due.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        let next = self.rows.iter().map(|row| row.next).min();
        next.map_or(WAIT_MAX, |next| next.saturating_duration_since(now)).min(WAIT_MAX)
    }

    /// What is due, and from now on due again later.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<T> {
        let due = self.rows.iter_mut().filter(|row| row.next <= now);
        due.map(|row| {
            row.next = later(now, row.every);
            row.task
        })
        .collect()
    }

    /// The tasks that are `meant` are due after `wait`, if they are not before.
    pub(crate) fn soon(&mut self, meant: impl Fn(T) -> bool, now: Instant, wait: Duration) {
        for row in self.rows.iter_mut().filter(|row| meant(row.task)) {
            row.next = row.next.min(later(now, wait));
        }
    }

    /// The task is due next after `wait`.
    pub(crate) fn again(&mut self, task: T, now: Instant, wait: Duration) {
        for row in self.rows.iter_mut().filter(|row| row.task == task) {
            row.next = later(now, wait);
        }
    }
}

/// Far enough away when the clock cannot say it.
fn later(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).or_else(|| now.checked_add(WAIT_MAX)).unwrap_or(now)
}
