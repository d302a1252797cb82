//! What a worker leaves to the end of a turn of its event loop: the commits of what the turn's
//! requests have appended. One commit then carries them all, and a light one is done here, without
//! waking another thread. Must not know requests.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use ottla_log::Committer;
use tokio::sync::Notify;

use crate::replica::HostedPartition;

thread_local! {
    static TURN: RefCell<Option<Turn>> = const { RefCell::new(None) };
}

/// What is left to the end of this thread's turn.
struct Turn {
    committers: Vec<Arc<Committer<HostedPartition>>>,
    begun: Rc<Notify>,
}

/// A worker's turns; when it is dropped, the last has ended.
pub(crate) struct Turns {
    begun: Rc<Notify>,
}

impl Turns {
    /// From now on this thread commits at the end of its turns; the worker runs
    /// [`Turns::commit`] as a task.
    pub(crate) fn begin() -> Self {
        let begun = Rc::new(Notify::new());
        let turn = Turn { committers: Vec::new(), begun: Rc::clone(&begun) };
        TURN.set(Some(turn));
        Self { begun }
    }

    /// Commits at the end of each turn: the task is woken by the first append, and runs after all
    /// tasks that were ready before.
    pub(crate) fn commit(&self) -> impl Future<Output = ()> + use<> {
        let begun = Rc::clone(&self.begun);
        async move {
            loop {
                begun.notified().await;
                commit_now(TURN.with_borrow_mut(|turn| {
                    turn.as_mut().map(|turn| std::mem::take(&mut turn.committers))
                }));
            }
        }
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        commit_now(TURN.take().map(|turn| turn.committers));
    }
}

fn commit_now(committers: Option<Vec<Arc<Committer<HostedPartition>>>>) {
    for committer in committers.unwrap_or_default() {
        committer.commit_here();
    }
}

/// The partition's log has queued something: it is committed at the end of the turn, or at once
/// when this thread is no worker.
pub(crate) fn commit_soon(
    committer: &Arc<Committer<HostedPartition>>,
    partition: Arc<HostedPartition>,
) {
    TURN.with_borrow_mut(|turn| {
        let Some(turn) = turn else {
            committer.enqueue(partition);
            return;
        };
        committer.enqueue_quietly(partition);
        if turn.committers.is_empty() {
            turn.begun.notify_one();
        }
        if !turn.committers.iter().any(|known| Arc::ptr_eq(known, committer)) {
            turn.committers.push(Arc::clone(committer));
        }
    });
}
