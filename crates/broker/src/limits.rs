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

/// The budget of request bytes in memory. A reader takes its frame's size before it reads the
/// frame's body, and waits while the budget is spent.
#[derive(Clone, Debug)]
pub(crate) struct QueuedBytes {
    /// One permit is a KiB, so that the budget fits a semaphore on every platform.
    kib: Arc<Semaphore>,
    kib_max: u32,
}

/// A frame's share of the budget; given back on drop.
#[derive(Debug)]
pub(crate) struct QueuedShare(
    #[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit,
);

impl QueuedBytes {
    pub(crate) fn new(limits: &Limits) -> Self {
        let kib_max = u32::try_from(limits.queued_bytes_max / 1024).unwrap_or(u32::MAX >> 3).max(1);
        let permits = usize::try_from(kib_max).unwrap_or(1);
        Self { kib: Arc::new(Semaphore::new(permits)), kib_max }
    }

    /// Waits for room. A frame larger than the whole budget is given all of it.
    pub(crate) async fn take(&self, frame_bytes: usize) -> Option<QueuedShare> {
        let kib =
            u32::try_from(frame_bytes.div_ceil(1024)).unwrap_or(u32::MAX).clamp(1, self.kib_max);
        let permit = Arc::clone(&self.kib).acquire_many_owned(kib).await.ok()?;
        Some(QueuedShare(permit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_over_the_whole_budget_still_gets_its_turn() {
        let budget = QueuedBytes::new(&Limits { queued_bytes_max: 4096, ..Limits::default() });
        let share = budget.take(1 << 30).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(1), budget.take(1)).await.is_err());
        drop(share);
        assert!(budget.take(1).await.is_some());
    }
}
