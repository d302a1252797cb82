//! Which partitions have something that comes back to be done, so that the threads for that look
//! at those alone and a partition that idles costs nothing. Must not know what is done.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// What there may be to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The log's tail holds batches in memory.
    Tail,
    /// The log's start has moved: where it is now is to be written down, and what lies below goes.
    Start,
    /// The log has something that may go, now or later.
    Retention,
}

impl Due {
    const ALL: [Self; 3] = [Self::Tail, Self::Start, Self::Retention];

    fn bit(self) -> u8 {
        match self {
            Self::Tail => 1,
            Self::Start => 2,
            Self::Retention => 4,
        }
    }
}

/// What a partition is on the lists for.
#[derive(Debug, Default)]
pub(super) struct Noted(AtomicU8);

/// The lists. A partition is on each of them once at most.
pub(super) struct Attention<T> {
    lists: [(Due, Mutex<Vec<Weak<T>>>); 3],
}

impl<T> Default for Attention<T> {
    fn default() -> Self {
        Self { lists: Due::ALL.map(|due| (due, Mutex::default())) }
    }
}

impl<T> Attention<T> {
    /// Notes that there is something to do. Called after the change that it is about, which was
    /// made under the partition's lock; whoever takes the list looks under the same lock. So either
    /// the change is seen then, or the note is a new one.
    pub(super) fn note(&self, due: Due, noted: &Noted, partition: &Arc<T>) {
        if noted.0.load(Ordering::Relaxed) & due.bit() != 0
            || noted.0.fetch_or(due.bit(), Ordering::AcqRel) & due.bit() != 0
        {
            return;
        }
        self.list(due, |list| list.push(Arc::downgrade(partition)));
    }

    /// The partitions that were noted since the last call; those that are gone by now are not
    /// among them.
    pub(super) fn take(&self, due: Due, noted: impl Fn(&T) -> &Noted) -> Vec<Arc<T>> {
        let mut taken = Vec::new();
        self.list(due, |list| taken = std::mem::take(list));
        let there = taken.iter().filter_map(Weak::upgrade);
        there
            .inspect(|partition| {
                noted(partition).0.fetch_and(!due.bit(), Ordering::AcqRel);
            })
            .collect()
    }

    fn list(&self, due: Due, change: impl FnOnce(&mut Vec<Weak<T>>)) {
        if let Some((_, list)) = self.lists.iter().find(|(of, _)| *of == due) {
            change(&mut list.lock());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Partition(Noted);

    fn noted(partition: &Partition) -> &Noted {
        &partition.0
    }

    #[test]
    fn each_is_noted_once_until_it_is_taken() {
        let attention = Attention::default();
        let (one, other) = (Arc::new(Partition::default()), Arc::new(Partition::default()));
        attention.note(Due::Tail, &one.0, &one);
        attention.note(Due::Tail, &one.0, &one);
        attention.note(Due::Start, &one.0, &one);
        attention.note(Due::Tail, &other.0, &other);
        let taken = attention.take(Due::Tail, noted);
        assert_eq!(taken.len(), 2);
        assert!(attention.take(Due::Tail, noted).is_empty());
        assert_eq!(attention.take(Due::Start, noted).len(), 1);
        attention.note(Due::Tail, &one.0, &one);
        assert_eq!(attention.take(Due::Tail, noted).len(), 1);
    }

    #[test]
    fn one_that_is_gone_is_not_kept() {
        let attention = Attention::default();
        let gone = Arc::new(Partition::default());
        attention.note(Due::Tail, &gone.0, &gone);
        drop(gone);
        assert!(attention.take(Due::Tail, noted).is_empty());
    }
}
