//! What waits on partitions: Produce requests for their acknowledgements, coordinators' replies
//! for their commit, fetches for data. Must not know logs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
    open: AtomicUsize,
    outcomes: Mutex<Vec<Option<Result<(), ReplicaError>>>>,
    signal: Arc<Signal>,
}

impl ProduceWait {
    /// Waits for `count` partitions.
    pub(crate) fn new(count: usize, mailbox: &Arc<Mailbox>) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(count),
            outcomes: Mutex::new(vec![None; count]),
            signal: Signal::new(mailbox),
        })
    }

    /// The partition at `index` of the request is answered.
    pub(crate) fn complete(&self, index: usize, outcome: Result<(), ReplicaError>) {
        if let Some(open) = self.outcomes.lock().get_mut(index) {
            *open = Some(outcome);
        }
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.signal.raise();
        }
    }

    /// Waits until every partition is answered.
    pub(crate) async fn done(&self) {
        while self.open.load(Ordering::Acquire) > 0 {
            self.signal.wait().await;
        }
    }

    /// The partitions' outcomes so far; `None` where none has come.
    pub(crate) fn outcomes(&self) -> Vec<Option<Result<(), ReplicaError>>> {
        std::mem::take(&mut *self.outcomes.lock())
    }
}
