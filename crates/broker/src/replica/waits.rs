//! What waits on partitions: Produce requests for their acknowledgements, coordinators' replies
//! for their commit, fetches for data. Must not know logs.

use std::sync::Arc;

use ottla_partition::ReplicaError;
use parking_lot::Mutex;

use crate::mailbox::{Mailbox, Signal};

/// Who is told that an append is acknowledged, or never will be.
pub(crate) enum AckToken {
    /// One partition of a Produce request.
    Produce(Arc<ProduceWait>, usize),
    /// Anything else; called once, from the committer's thread.
    Call(Box<dyn FnOnce(Result<(), ReplicaError>) + Send>),
}

impl AckToken {
    pub(crate) fn deliver(self, outcome: Result<(), ReplicaError>) {
        match self {
            Self::Produce(wait, index) => wait.complete(index, outcome),
            Self::Call(call) => call(outcome),
        }
    }
}

/// A Produce request whose partitions are not all acknowledged.
pub(crate) struct ProduceWait {
    slots: Mutex<Slots>,
    signal: Arc<Signal>,
}

struct Slots {
    open: usize,
    outcomes: Vec<Option<Result<(), ReplicaError>>>,
}

impl ProduceWait {
    /// Waits for `count` partitions.
    pub(crate) fn new(count: usize, mailbox: &Arc<Mailbox>) -> Arc<Self> {
        let slots = Slots { open: count, outcomes: vec![None; count] };
        Arc::new(Self { slots: Mutex::new(slots), signal: Signal::new(mailbox) })
    }

    /// The partition at `index` of the request is answered. The first answer counts; one that
    /// comes when nobody waits any more does not.
    pub(crate) fn complete(&self, index: usize, outcome: Result<(), ReplicaError>) {
        let done = {
            let mut slots = self.slots.lock();
            match slots.outcomes.get_mut(index) {
                Some(open @ None) => *open = Some(outcome),
                Some(Some(_)) | None => return,
            }
            slots.open -= 1;
            slots.open == 0
        };
        if done {
            self.signal.raise();
        }
    }

    /// Waits until every partition is answered.
    pub(crate) async fn done(&self) {
        while self.slots.lock().open > 0 {
            self.signal.wait().await;
        }
    }

    /// The partitions' outcomes so far; `None` where none has come. Later ones are not heard.
    pub(crate) fn outcomes(&self) -> Vec<Option<Result<(), ReplicaError>>> {
        std::mem::take(&mut self.slots.lock().outcomes)
    }
}

/// A fetch that waits for any of its partitions; knows which of them have changed.
#[derive(Debug)]
pub(crate) struct FetchWait {
    /// One bit for each partition of the fetch, in its order.
    changed: Mutex<Vec<u64>>,
    signal: Arc<Signal>,
}

impl FetchWait {
    /// Waits for `count` partitions.
    pub(crate) fn new(count: usize, mailbox: &Arc<Mailbox>) -> Arc<Self> {
        let changed = Mutex::new(vec![0; count.div_ceil(64)]);
        Arc::new(Self { changed, signal: Signal::new(mailbox) })
    }

    /// There may be something else to read of the partition at `index`.
    pub(crate) fn note(&self, index: usize) {
        if let Some(bits) = self.changed.lock().get_mut(index / 64) {
            *bits |= 1 << (index % 64);
        }
        self.signal.raise();
    }

    /// Waits until there is.
    pub(crate) async fn changed(&self) {
        self.signal.wait().await;
    }

    /// The partitions that have changed since this was called last, in order.
    pub(crate) fn take(&self) -> Vec<usize> {
        let mut found = Vec::new();
        for (word, bits) in self.changed.lock().iter_mut().enumerate() {
            let mut left = std::mem::take(bits);
            while left != 0 {
                found.push(word * 64 + left.trailing_zeros() as usize);
                left &= left - 1;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_counts_once_and_late_answers_do_not() {
        let mailbox = Mailbox::new();
        let wait = ProduceWait::new(2, &mailbox);
        wait.complete(0, Err(ReplicaError::KafkaStorageError));
        wait.complete(0, Ok(()));
        wait.complete(9, Ok(()));
        assert_eq!(wait.slots.lock().open, 1);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        wait.complete(1, Ok(()));
        runtime.block_on(wait.done());
        assert_eq!(wait.outcomes(), [Some(Err(ReplicaError::KafkaStorageError)), Some(Ok(()))]);
        wait.complete(1, Ok(()));
        assert_eq!(wait.outcomes(), []);
    }

    #[test]
    fn a_fetch_learns_once_which_of_its_partitions_changed() {
        let wait = FetchWait::new(130, &Mailbox::new());
        assert_eq!(wait.take(), Vec::<usize>::new());
        for index in [129, 0, 64, 63, 0, 500] {
            wait.note(index);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(wait.changed());
        assert_eq!(wait.take(), [0, 63, 64, 129]);
        assert_eq!(wait.take(), Vec::<usize>::new());
    }

    #[test]
    fn a_request_without_partitions_waits_for_nothing() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(ProduceWait::new(0, &Mailbox::new()).done());
    }
}
