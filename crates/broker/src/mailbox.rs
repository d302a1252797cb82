//! How another thread tells a worker that something its tasks wait for has happened: one
//! mailbox a worker, so that a commit that ends a hundred waits wakes the worker once.
//! Must not know what is waited for.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread::{self, ThreadId};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// A worker's mailbox: signals that were raised elsewhere and are to be delivered here.
#[derive(Debug)]
pub(crate) struct Mailbox {
    owner: ThreadId,
    raised: Mutex<Vec<Arc<Signal>>>,
    notify: Notify,
}

/// One task's wait for an event that another thread brings about. Raised any number of times,
/// consumed by [`Signal::wait`].
#[derive(Debug)]
pub(crate) struct Signal {
    mailbox: Arc<Mailbox>,
    raised: AtomicBool,
    waker: Mutex<Option<std::task::Waker>>,
}

impl Mailbox {
    /// For the thread that calls this.
    pub(crate) fn new() -> Arc<Self> {
        let (owner, raised, notify) = (thread::current().id(), Mutex::default(), Notify::new());
        Arc::new(Self { owner, raised, notify })
    }

    /// Delivers signals to this worker's tasks; runs as a task on the worker for ever.
    pub(crate) async fn deliver(self: Arc<Self>) {
        loop {
            self.notify.notified().await;
            let raised = std::mem::take(&mut *self.raised.lock());
            for signal in raised {
                signal.deliver();
            }
        }
    }
}

impl Signal {
    /// A signal for a task of the worker that owns `mailbox`.
    pub(crate) fn new(mailbox: &Arc<Mailbox>) -> Arc<Self> {
        Arc::new(Self {
            mailbox: Arc::clone(mailbox),
            raised: AtomicBool::new(false),
            waker: Mutex::new(None),
        })
    }

    /// Raises the signal, from any thread.
    pub(crate) fn raise(self: &Arc<Self>) {
        if self.raised.swap(true, Ordering::AcqRel) {
            return;
        }
        if thread::current().id() == self.mailbox.owner {
            self.deliver();
            return;
        }
        let first = {
            let mut raised = self.mailbox.raised.lock();
            raised.push(Arc::clone(self));
            raised.len() == 1
        };
        if first {
            self.mailbox.notify.notify_one();
        }
    }

    fn deliver(&self) {
        let waker = self.waker.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits until the signal is raised, and lowers it. A raise between two waits is kept.
    pub(crate) async fn wait(&self) {
        poll_fn(|context| {
            // The waker is stored before the flag is read: a raise in between finds it.
            *self.waker.lock() = Some(context.waker().clone());
            if self.raised.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raise_from_another_thread_ends_the_wait() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let mailbox = Mailbox::new();
            tokio::task::spawn_local(Arc::clone(&mailbox).deliver());
            for _ in 0..100 {
                let signals: Vec<_> = (0..10).map(|_| Signal::new(&mailbox)).collect();
                let raised = signals.clone();
                let thread = std::thread::spawn(move || raised.iter().for_each(|s| s.raise()));
                for signal in &signals {
                    signal.wait().await;
                }
                thread.join().unwrap();
            }
        });
    }
}
