//! The answers that a connection owes, in the order of its requests. The reader pushes, the
//! writer takes; both are parts of one task, so nothing here is shared between threads.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::Notify;

use super::futures_local::LocalBoxFuture;
use super::{CloseReason, Segments};
use crate::limits::QueuedShare;

/// Bytes after which the writer stops gathering answers and writes.
const GATHER_BYTES: usize = 256 * 1024;

pub(super) struct Answers {
    queue: RefCell<VecDeque<Owed>>,
    /// Answers taken by the writer and not yet written.
    writing: Cell<usize>,
    owed_max: usize,
    pushed: Notify,
    taken: Notify,
}

enum Owed {
    /// No segments: nothing is owed after all.
    Ready(Segments),
    /// Holds the request's share of the memory budget.
    Later { future: LocalBoxFuture<Result<Segments, CloseReason>>, _share: QueuedShare },
    /// The connection ends when those before it are written.
    Failed(CloseReason),
}

/// Answers that are written together.
pub(super) struct Batch {
    bytes: Vec<Bytes>,
    count: usize,
}

impl Batch {
    pub(super) fn bytes_mut(&mut self) -> &mut Vec<Bytes> {
        &mut self.bytes
    }
}

impl Answers {
    pub(super) fn new(owed_max: usize) -> Self {
        Self {
            queue: RefCell::default(),
            writing: Cell::new(0),
            owed_max,
            pushed: Notify::new(),
            taken: Notify::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty() && self.writing.get() == 0
    }

    fn len(&self) -> usize {
        self.queue.borrow().len() + self.writing.get()
    }

    /// Waits until another request may be read.
    pub(super) async fn room(&self) {
        while self.len() >= self.owed_max {
            self.taken.notified().await;
        }
    }

    /// Waits until no answer is left that comes later.
    pub(super) async fn settled(&self) {
        let later = |owed: &Owed| matches!(owed, Owed::Later { .. });
        while self.queue.borrow().iter().any(later) {
            self.taken.notified().await;
        }
    }

    /// Waits until everything owed has been written.
    pub(super) async fn drained(&self) {
        while !self.is_empty() {
            self.taken.notified().await;
        }
    }

    pub(super) fn push_ready(&self, segments: Segments) {
        self.push(Owed::Ready(segments));
    }

    pub(super) fn push_later(
        &self,
        future: LocalBoxFuture<Result<Segments, CloseReason>>,
        share: QueuedShare,
    ) {
        self.push(Owed::Later { future, _share: share });
    }

    fn push(&self, owed: Owed) {
        self.queue.borrow_mut().push_back(owed);
        self.pushed.notify_one();
    }

    /// The next answers to write, in order: waits for the oldest, then takes what else is ready.
    ///
    /// # Errors
    /// The oldest cannot be given: the connection ends.
    pub(super) async fn next_batch(&self) -> Result<Batch, CloseReason> {
        loop {
            if self.queue.borrow().is_empty() {
                self.pushed.notified().await;
                continue;
            }
            poll_fn(|context| self.poll_head(context)).await;
            let batch = self.gather();
            if !batch.bytes.is_empty() {
                return Ok(batch);
            }
            if let Some(Owed::Failed(reason)) = self.queue.borrow().front() {
                return Err(reason.clone());
            }
            // Only answers that turned out to be silent.
            self.written(batch);
        }
    }

    /// The batch is on its way: its requests no longer count.
    pub(super) fn written(&self, batch: Batch) {
        self.writing.set(self.writing.get() - batch.count);
        drop(batch);
        self.taken.notify_one();
    }

    fn poll_head(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.queue.borrow_mut();
        // Polls the whole row of waiting answers, so that all that are ready go out together.
        let mut ready = Poll::Pending;
        for (index, owed) in queue.iter_mut().enumerate() {
            if let Owed::Later { future, .. } = owed {
                match future.as_mut().poll(context) {
                    // The request is done with: its memory and its share are given back, however
                    // slowly the client reads.
                    Poll::Ready(Ok(segments)) => *owed = Owed::Ready(segments),
                    Poll::Ready(Err(reason)) => *owed = Owed::Failed(reason),
                    Poll::Pending => break,
                }
            }
            if index == 0 {
                ready = Poll::Ready(());
            }
        }
        ready
    }

    fn gather(&self) -> Batch {
        let mut queue = self.queue.borrow_mut();
        let mut batch = Batch { bytes: Vec::new(), count: 0 };
        let mut size = 0;
        while size < GATHER_BYTES {
            match queue.pop_front() {
                Some(Owed::Ready(segments)) => {
                    size += segments.iter().map(Bytes::len).sum::<usize>();
                    batch.bytes.extend(segments.into_iter().filter(|s| !s.is_empty()));
                    batch.count += 1;
                }
                Some(owed) => {
                    queue.push_front(owed);
                    break;
                }
                None => break,
            }
        }
        self.writing.set(self.writing.get() + batch.count);
        batch
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;
    use crate::limits::{Limits, QueuedBytes};

    async fn share(budget: &QueuedBytes) -> QueuedShare {
        budget.take(1024).await.unwrap()
    }

    fn budget() -> QueuedBytes {
        QueuedBytes::new(&Limits { queued_bytes_max: 16 * 1024, ..Limits::default() })
    }

    fn segments(text: &'static str) -> Segments {
        vec![Bytes::from_static(text.as_bytes())]
    }

    #[tokio::test]
    async fn answers_go_out_in_order_and_silent_ones_not_at_all() {
        let (answers, budget) = (Answers::new(10), budget());
        let (first, wait) = oneshot::channel();
        let later = async move { Ok(wait.await.unwrap()) };
        answers.push_later(Box::pin(later), share(&budget).await);
        answers.push_later(Box::pin(ready(Ok(Segments::new()))), share(&budget).await);
        answers.push_ready(segments("c"));
        answers.push_later(Box::pin(pending()), share(&budget).await);
        first.send(segments("a")).unwrap();
        let mut batch = answers.next_batch().await.unwrap();
        assert_eq!(batch.bytes_mut(), &["a", "c"]);
        assert!(!answers.is_empty());
        answers.written(batch);
        assert_eq!(answers.len(), 1);
    }

    #[tokio::test]
    async fn a_request_s_share_is_given_back_before_its_answer_is_written() {
        let (answers, budget) = (Answers::new(10), budget());
        for _ in 0..20 {
            let share = tokio::time::timeout(Duration::from_secs(30), share(&budget)).await;
            answers.push_later(Box::pin(ready(Ok(segments("a")))), share.unwrap());
            // Taken, and never written.
            drop(answers.next_batch().await.unwrap());
        }
    }

    #[tokio::test]
    async fn an_answer_that_cannot_be_given_ends_the_connection_after_those_before_it() {
        let (answers, budget) = (Answers::new(10), budget());
        let reason = CloseReason::Encode("too long".to_owned());
        answers.push_ready(segments("a"));
        answers.push_later(Box::pin(ready(Err(reason.clone()))), share(&budget).await);
        answers.push_ready(segments("c"));
        let mut batch = answers.next_batch().await.unwrap();
        assert_eq!(batch.bytes_mut(), &["a"]);
        answers.written(batch);
        assert_eq!(answers.next_batch().await.err(), Some(reason));
    }
}
