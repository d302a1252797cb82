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

use super::BLOCK_BYTES;
use crate::limits::{Limits, QueuedBytes, QueuedShare};

/// Frames from this size on are read into memory of their own.
const LARGE_BYTES: usize = 32 * 1024;
/// What is set aside for a large frame before its bytes arrive: one that is only announced, or
/// comes slowly, holds no more.
const FIRST_BYTES: usize = 64 * 1024;
/// How much is set aside for each byte that has arrived.
const AHEAD: usize = 16;
/// Of the length that stands before a frame.
const LENGTH_BYTES: usize = 4;
/// By how much a large frame's share of the budget grows at a time.
const SHARE_BYTES: usize = 256 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; 2 * LARGE_BYTES].into());
}

/// Where the memory of a frame that begins so should begin; the type for no wish.
type Place = fn(&[u8]) -> usize;

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
    /// `busy` tells whether answers are still owed, in which case the connection is not idle;
    /// `place` where the memory of a large frame that begins so should begin
    /// ([`super::Dispatch::place`]).
    pub(super) async fn next(
        &mut self,
        half: &mut ReadHalf<'_>,
        bytes_max: usize,
        (limits, queued): (&Limits, &QueuedBytes),
        busy: impl Fn() -> bool,
        place: impl Fn(&[u8]) -> usize,
    ) -> Result<Option<Frame>, FrameError> {
        if self.buffer.is_empty() && !self.first_bytes(half, limits.idle, busy, &place).await? {
            return Ok(None);
        }
        let deadline = Instant::now() + limits.frame_deadline;
        let slow = |_| FrameError::Slow(limits.frame_deadline);
        while self.buffer.len() < LENGTH_BYTES {
            if timeout_at(deadline, self.more(half, None::<&Place>)).await.map_err(slow)?? == 0 {
                return Err(FrameError::Torn);
            }
        }
        let announced = self.buffer.get_i32();
        let size = match usize::try_from(announced) {
            Ok(size) if size <= bytes_max => size,
            _ => return Err(FrameError::Size { size: announced, max: bytes_max }),
        };
        if size >= LARGE_BYTES {
            return self.large(half, size, deadline, (limits, queued), place).await.map(Some);
        }
        while self.buffer.len() < size {
            if timeout_at(deadline, self.more(half, None::<&Place>)).await.map_err(slow)?? == 0 {
                return Err(FrameError::Torn);
            }
        }
        let share = queued.take(size).await.ok_or(FrameError::Torn)?;
        // Splitting makes it memory of two, which costs an allocation.
        let bytes = match self.buffer.len() == size {
            true => std::mem::take(&mut self.buffer),
            false => self.buffer.split_to(size),
        };
        Ok(Some(Frame { bytes, share }))
    }

    /// Waits for the first bytes of a frame, however long answers are owed and `idle` after.
    async fn first_bytes(
        &mut self,
        half: &mut ReadHalf<'_>,
        idle: Duration,
        busy: impl Fn() -> bool,
        place: &impl Fn(&[u8]) -> usize,
    ) -> Result<bool, FrameError> {
        loop {
            match timeout(idle, self.more(half, Some(place))).await {
                Ok(read) => return Ok(read? > 0),
                Err(_) if busy() => {}
                Err(_) => return Err(FrameError::Idle),
            }
        }
    }

    /// Reads what is there, at most a scratch buffer full; with `place` a frame begins with it.
    /// Gives the number of bytes; 0 at the end of the stream. Cancel-safe.
    async fn more(
        &mut self,
        half: &mut ReadHalf<'_>,
        place: Option<&impl Fn(&[u8]) -> usize>,
    ) -> io::Result<usize> {
        poll_fn(|context| {
            SCRATCH.with_borrow_mut(|scratch| {
                // Other than `try_read`, this knows from a short read that there is no more, and
                // does not ask the kernel again.
                let mut read = ReadBuf::new(scratch);
                ready!(Pin::new(&mut *half).poll_read(context, &mut read))?;
                let came = read.filled();
                if let Some(place) = place {
                    self.buffer = set_aside(came, place);
                }
                self.buffer.extend_from_slice(came);
                Poll::Ready(Ok(came.len()))
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
        (limits, queued): (&Limits, &QueuedBytes),
        place: impl Fn(&[u8]) -> usize,
    ) -> Result<Frame, FrameError> {
        let mut share = queued.begin();
        share.grow_to(size.min(SHARE_BYTES)).await;
        if self.buffer.len() >= size {
            let bytes = self.buffer.split_to(size);
            share.grow_to(size).await;
            return Ok(Frame { bytes, share });
        }
        let mut bytes = std::mem::take(&mut self.buffer);
        if bytes.capacity() < room(size, bytes.len()) {
            bytes = moved(&bytes, room(size, bytes.len()), place(&bytes));
        }
        while bytes.len() < size {
            if bytes.capacity() == bytes.len() {
                bytes = moved(&bytes, room(size, bytes.len()), place(&bytes));
            }
            let step = (size - bytes.len()).min(SHARE_BYTES);
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

/// Bytes to set aside for a frame of `size` bytes of which `came` are there.
fn room(size: usize, came: usize) -> usize {
    size.min(FIRST_BYTES.max(came.saturating_mul(AHEAD)))
}

/// Memory for `came`, with which a frame begins; when that is large, for it alone.
fn set_aside(came: &[u8], place: impl Fn(&[u8]) -> usize) -> BytesMut {
    let announced = came.split_first_chunk::<LENGTH_BYTES>();
    let large = announced.and_then(|(length, frame)| {
        let size = usize::try_from(i32::from_be_bytes(*length)).ok()?;
        (size >= LARGE_BYTES && size > frame.len()).then_some((size, frame))
    });
    match large {
        Some((size, frame)) => {
            let begin = (place(frame) + BLOCK_BYTES - LENGTH_BYTES) % BLOCK_BYTES;
            placed(LENGTH_BYTES + room(size, frame.len()), begin)
        }
        None => BytesMut::with_capacity(came.len()),
    }
}

/// The same bytes, with room for `room` in all, where they should be.
fn moved(bytes: &[u8], room: usize, begin: usize) -> BytesMut {
    let mut moved = placed(room, begin);
    moved.extend_from_slice(bytes);
    moved
}

/// Memory for `room` bytes that begins `begin` bytes behind a block boundary.
fn placed(room: usize, begin: usize) -> BytesMut {
    let mut memory = BytesMut::with_capacity(room + BLOCK_BYTES);
    let from = memory.as_ptr().addr() % BLOCK_BYTES;
    let before = (begin + BLOCK_BYTES - from) % BLOCK_BYTES;
    memory.resize(before, 0);
    memory.advance(before);
    memory
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(size: usize, came: usize) -> Vec<u8> {
        let mut bytes = i32::try_from(size).unwrap().to_be_bytes().to_vec();
        bytes.resize(LENGTH_BYTES + came, 7);
        bytes
    }

    #[test]
    fn memory_is_set_aside_as_bytes_arrive_and_lies_as_wished() {
        for (size, came, expected) in [
            (1_000_000, 60_000, 960_000),
            (1_000_000, 65_000, 1_000_000),
            (1_000_000_000, 10, FIRST_BYTES),
            (40_000, 10, 40_000),
        ] {
            for wish in [0, 1, 5, 4095] {
                let bytes = announced(size, came);
                let place = |beginning: &[u8]| {
                    assert_eq!(beginning, &bytes[LENGTH_BYTES..]);
                    wish
                };
                let mut memory = set_aside(&bytes, place);
                assert!(memory.is_empty());
                memory.extend_from_slice(&bytes);
                memory.advance(LENGTH_BYTES);
                assert_eq!(memory.as_ptr().addr() % BLOCK_BYTES, wish);
                let most = expected + 2 * BLOCK_BYTES;
                assert!((expected..most).contains(&memory.capacity()), "{size} {came}");
                let memory = moved(&memory, 2 * expected, wish);
                assert_eq!(
                    (&memory[..], memory.as_ptr().addr() % BLOCK_BYTES),
                    (&bytes[4..], wish)
                );
            }
        }
    }

    #[test]
    fn small_frames_and_nonsense_take_what_came() {
        let never = |_: &[u8]| panic!("it is not large");
        for bytes in [announced(20_000, 5), announced(33_000, 33_000), vec![9], vec![0xff; 9]] {
            let memory = set_aside(&bytes, never);
            assert!(memory.capacity() < bytes.len() + 64);
        }
    }
}
