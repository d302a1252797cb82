//! The finite limits of the network side that hold from start to stop, and the budget of request
//! bytes in memory. Must not know requests or partitions.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Limits on what clients can make the broker hold. Every one is finite.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Size of a request frame, in bytes, after a connection's first valid request
    /// (`socket.request.max.bytes`).
    pub request_bytes_max: usize,
    /// Size of a request frame, in bytes, before that.
    pub first_request_bytes_max: usize,
    /// Bytes of requests in memory and not yet answered, all connections together
    /// (`queued.max.request.bytes`).
    pub queued_bytes_max: usize,
    /// Requests of one connection read and not yet answered.
    pub pipelined_requests_max: usize,
    /// A connection without any traffic for this long is closed (`connections.max.idle.ms`).
    pub idle: Duration,
    /// A frame that has begun must be complete after this long.
    pub frame_deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes_max: 100 * 1024 * 1024,
            first_request_bytes_max: 2 * 1024 * 1024,
            queued_bytes_max: 256 * 1024 * 1024,
            pipelined_requests_max: 64,
            idle: Duration::from_secs(600),
            frame_deadline: Duration::from_secs(60),
        }
    }
}

/// The budget of request bytes in memory. A frame takes its share as its bytes arrive, so that
/// announcing one costs nobody anything; small frames have a quarter of the budget to themselves,
/// so that they get through when large ones come slowly.
#[derive(Clone, Debug)]
pub(crate) struct QueuedBytes {
    /// One permit is a KiB, so that the budget fits a semaphore on every platform.
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    /// Whoever holds it reads on without a share: when the budget is spent on frames that are not
    /// complete, one of them still can be.
    overdraft: Arc<Semaphore>,
    small_kib_max: u32,
}

/// A frame's share of the budget; given back on drop.
#[derive(Debug)]
pub(crate) struct QueuedShare {
    budget: QueuedBytes,
    permit: Option<OwnedSemaphorePermit>,
    overdraft: Option<OwnedSemaphorePermit>,
}

/// Bytes in permits.
fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

impl QueuedBytes {
    pub(crate) fn new(limits: &Limits) -> Self {
        let all = kib(limits.queued_bytes_max).clamp(2, u32::MAX >> 3);
        let small_kib_max = (all / 4).max(1);
        let pool = |kib: u32| Arc::new(Semaphore::new(usize::try_from(kib).unwrap_or(1)));
        Self {
            small: pool(small_kib_max),
            large: pool(all - small_kib_max),
            overdraft: pool(1),
            small_kib_max,
        }
    }

    /// Waits for room for a small frame that is there.
    pub(crate) async fn take(&self, frame_bytes: usize) -> Option<QueuedShare> {
        let wanted = kib(frame_bytes).clamp(1, self.small_kib_max);
        let permit = Arc::clone(&self.small).acquire_many_owned(wanted).await.ok()?;
        Some(QueuedShare { permit: Some(permit), ..self.begin() })
    }

    /// The share of a large frame of which nothing is there yet.
    pub(crate) fn begin(&self) -> QueuedShare {
        QueuedShare { budget: self.clone(), permit: None, overdraft: None }
    }
}

impl QueuedShare {
    /// Waits until the share covers this many bytes of its frame.
    pub(crate) async fn grow_to(&mut self, bytes: usize) {
        let held = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = kib(bytes).saturating_sub(u32::try_from(held).unwrap_or(u32::MAX));
        if wanted == 0 || self.overdraft.is_some() {
            return;
        }
        let budget = &self.budget;
        tokio::select! {
            biased;
            Ok(more) = Arc::clone(&budget.large).acquire_many_owned(wanted) => {
                match &mut self.permit {
                    Some(permit) => permit.merge(more),
                    none => *none = Some(more),
                }
            }
            Ok(overdraft) = Arc::clone(&budget.overdraft).acquire_owned() => {
                self.overdraft = Some(overdraft);
            }
            else => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(bytes: usize) -> QueuedBytes {
        QueuedBytes::new(&Limits { queued_bytes_max: bytes, ..Limits::default() })
    }

    /// Whether it is granted without waiting for another.
    async fn at_once<T>(what: impl Future<Output = T>) -> bool {
        tokio::time::timeout(Duration::from_millis(1), what).await.is_ok()
    }

    #[tokio::test]
    async fn small_frames_wait_for_small_ones_alone() {
        let budget = budget(16 * 1024);
        let mut large = budget.begin();
        large.grow_to(12 * 1024).await;
        let all: Vec<_> = [1024, 3 * 1024].into_iter().map(|bytes| budget.take(bytes)).collect();
        let mut held = Vec::new();
        for share in all {
            held.push(share.await.unwrap());
        }
        assert!(!at_once(budget.take(1)).await);
        held.clear();
        // One over the whole part of the small still gets its turn.
        assert!(at_once(budget.take(32 * 1024)).await);
    }

    #[tokio::test]
    async fn a_large_frame_takes_its_share_as_it_arrives_and_one_gets_through() {
        let budget = budget(16 * 1024);
        let (mut first, mut second, mut third) = (budget.begin(), budget.begin(), budget.begin());
        first.grow_to(6 * 1024).await;
        second.grow_to(6 * 1024).await;
        // The budget is spent: one goes on to its end, however large.
        assert!(at_once(first.grow_to(7 * 1024)).await);
        assert!(at_once(first.grow_to(1 << 30)).await);
        assert!(!at_once(second.grow_to(7 * 1024)).await);
        assert!(!at_once(third.grow_to(1024)).await);
        drop(first);
        assert!(at_once(second.grow_to(8 * 1024)).await);
        assert!(at_once(third.grow_to(1024)).await);
    }
}
