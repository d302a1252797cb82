//! Reads request frames: four bytes of length, then header and body. Small frames come through
//! a buffer that all connections of a worker share, so that an idle connection holds none;
//! large ones are read straight into their own memory. Must not know what a frame means.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::net::tcp::ReadHalf;
use tokio::time::{Instant, timeout, timeout_at};

use crate::limits::{Limits, QueuedBytes, QueuedShare};

/// Frames from this size on are read into memory of their own.
const LARGE_BYTES: usize = 32 * 1024;
/// What is set aside for a large frame before its bytes arrive: one that is only announced, or
/// comes slowly, holds no more.
const FIRST_BYTES: usize = 64 * 1024;
/// How much more is set aside for each byte that has arrived.
const AHEAD: usize = 15;
/// By how much a large frame's share of the budget grows at a time.
const SHARE_BYTES: usize = 256 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; 2 * LARGE_BYTES].into());
}

#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("a frame of {size} bytes was announced, {max} are allowed")]
    Size { size: i32, max: usize },
    #[error("a frame was not complete after {0:?}")]
    Slow(Duration),
    #[error("no traffic for connections.max.idle.ms")]
    Idle,
    #[error("the client closed it in the middle of a frame")]
    Torn,
    #[error("reading failed: {0}")]
    Io(#[from] io::Error),
}

/// A request frame, without its length, and its share of the memory budget.
pub(super) struct Frame {
    pub(super) bytes: BytesMut,
    pub(super) share: QueuedShare,
}

/// What has been read of frames that are not complete.
#[derive(Debug, Default)]
pub(super) struct FrameReader {
    buffer: BytesMut,
}

impl FrameReader {
    /// The next frame; `None` when the client has closed the connection between two frames.
    /// `busy` tells whether answers are still owed, in which case the connection is not idle.
    pub(super) async fn next(
        &mut self,
        half: &mut ReadHalf<'_>,
        bytes_max: usize,
        limits: &Limits,
        queued: &QueuedBytes,
        busy: impl Fn() -> bool,
    ) -> Result<Option<Frame>, FrameError> {
        if self.buffer.is_empty() && !self.first_bytes(half, limits.idle, busy).await? {
            return Ok(None);
        }
        let deadline = Instant::now() + limits.frame_deadline;
        let slow = |_| FrameError::Slow(limits.frame_deadline);
        while self.buffer.len() < 4 {
            if timeout_at(deadline, self.more(half)).await.map_err(slow)?? == 0 {
                return Err(FrameError::Torn);
            }
        }
        let announced = self.buffer.get_i32();
        let size = match usize::try_from(announced) {
            Ok(size) if size <= bytes_max => size,
            _ => return Err(FrameError::Size { size: announced, max: bytes_max }),
        };
        if size >= LARGE_BYTES {
            return self.large(half, size, deadline, limits, queued).await.map(Some);
        }
        while self.buffer.len() < size {
            if timeout_at(deadline, self.more(half)).await.map_err(slow)?? == 0 {
                return Err(FrameError::Torn);
            }
        }
        let share = queued.take(size).await.ok_or(FrameError::Torn)?;
        let bytes = self.buffer.split_to(size);
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        Ok(Some(Frame { bytes, share }))
    }

    /// Waits for the first bytes of a frame, however long answers are owed and `idle` after.
    async fn first_bytes(
        &mut self,
        half: &mut ReadHalf<'_>,
        idle: Duration,
        busy: impl Fn() -> bool,
    ) -> Result<bool, FrameError> {
        loop {
            match timeout(idle, self.more(half)).await {
                Ok(read) => return Ok(read? > 0),
                Err(_) if busy() => {}
                Err(_) => return Err(FrameError::Idle),
            }
        }
    }

    /// Reads what is there, at most a scratch buffer full. Gives the number of bytes; 0 at the
    /// end of the stream. Cancel-safe.
    async fn more(&mut self, half: &mut ReadHalf<'_>) -> io::Result<usize> {
        poll_fn(|context| {
            SCRATCH.with_borrow_mut(|scratch| {
                // Other than `try_read`, this knows from a short read that there is no more, and
                // does not ask the kernel again.
                let mut read = ReadBuf::new(scratch);
                ready!(Pin::new(&mut *half).poll_read(context, &mut read))?;
                self.buffer.extend_from_slice(read.filled());
                Poll::Ready(Ok(read.filled().len()))
            })
        })
        .await
    }

    /// Reads the rest of a large frame into its own memory, which grows as the bytes arrive, and so
    /// does its share of the budget.
    async fn large(
        &mut self,
        half: &mut ReadHalf<'_>,
        size: usize,
        mut deadline: Instant,
        limits: &Limits,
        queued: &QueuedBytes,
    ) -> Result<Frame, FrameError> {
        let mut share = queued.begin();
        share.grow_to(size.min(SHARE_BYTES)).await;
        if self.buffer.len() >= size {
            let bytes = self.buffer.split_to(size);
            share.grow_to(size).await;
            return Ok(Frame { bytes, share });
        }
        let mut bytes = BytesMut::with_capacity(size.min(FIRST_BYTES));
        bytes.extend_from_slice(&self.buffer);
        self.buffer = BytesMut::new();
        while bytes.len() < size {
            let missing = size - bytes.len();
            if bytes.capacity() == bytes.len() {
                bytes.reserve(missing.min(AHEAD * bytes.len()));
            }
            let step = missing.min(SHARE_BYTES);
            // Waiting for the budget is the broker's doing: it does not count against the client.
            let asked = Instant::now();
            share.grow_to(bytes.len() + step).await;
            deadline += asked.elapsed();
            let mut limited = bytes::BufMut::limit(&mut bytes, step);
            let read = timeout_at(deadline, half.read_buf(&mut limited)).await;
            if read.map_err(|_| FrameError::Slow(limits.frame_deadline))?? == 0 {
                return Err(FrameError::Torn);
            }
        }
        Ok(Frame { bytes, share })
    }
}
