//! Memory that files are read into, and used again when what was read is sent: a fresh megabyte for
//! each read has to be cleared, and its pages found. Must not know what is read.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

/// What consumers ask for of a partition by default, and what is read beyond.
const SIZE_MAX: usize = (1 << 20) + (64 << 10);
/// Less is set aside anew each time.
const SIZE_MIN: usize = 32 << 10;
/// So many are kept while nobody reads.
const KEPT_MAX: usize = 4;

/// Buffers that nobody uses at the moment.
#[derive(Debug, Default)]
pub(crate) struct ReadBuffers {
    kept: Mutex<Vec<Vec<u8>>>,
    /// Somebody has read since [`ReadBuffers::give_back_idle`] was called last.
    used: AtomicBool,
}

/// Memory for one read; given back when dropped, and when the [`Bytes`] that it became are.
#[derive(Debug)]
pub(crate) struct ReadBuffer {
    bytes: Vec<u8>,
    /// So many of them are this read's; what is behind is older.
    len: usize,
    home: Option<Arc<ReadBuffers>>,
}

impl ReadBuffers {
    /// Memory for `len` bytes. It may hold those of an earlier read.
    pub(crate) fn take(self: &Arc<Self>, len: usize) -> ReadBuffer {
        if !(SIZE_MIN..=SIZE_MAX).contains(&len) {
            return ReadBuffer { bytes: vec![0; len], len, home: None };
        }
        self.used.store(true, Ordering::Relaxed);
        let mut bytes = self.kept.lock().pop().unwrap_or_default();
        if bytes.len() < len {
            // What was there is read over: a larger one is not filled by copying.
            bytes = vec![0; len.next_multiple_of(64 << 10)];
        }
        ReadBuffer { bytes, len, home: Some(Arc::clone(self)) }
    }

    /// Gives back what is kept, when nobody has read since the last call.
    pub(crate) fn give_back_idle(&self) {
        if !self.used.swap(false, Ordering::Relaxed) {
            self.kept.lock().clear();
        }
    }
}

impl ReadBuffer {
    /// All of it, to be read into.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }

    /// Only so many bytes were read.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// A part of what was read, to be sent. Not much more is held than that.
    pub(crate) fn into_bytes(mut self, range: Range<usize>) -> Bytes {
        if range.len() < self.bytes.len() / 2 {
            return Bytes::copy_from_slice(self.as_slice().get(range).unwrap_or_default());
        }
        match self.home {
            Some(_) => Bytes::from_owner(self).slice(range),
            None => Bytes::from(std::mem::take(&mut self.bytes)).slice(range),
        }
    }
}

impl AsRef<[u8]> for ReadBuffer {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        let Some(home) = &self.home else { return };
        let mut kept = home.kept.lock();
        if kept.len() < KEPT_MAX {
            kept.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_when_the_last_part_of_it_is_dropped() {
        let buffers = Arc::new(ReadBuffers::default());
        let mut first = buffers.take(100_000);
        first.bytes_mut().fill(7);
        let place = first.as_slice().as_ptr();
        let sent = first.into_bytes(1..100_000);
        let part = sent.slice(5..10);
        drop(sent);
        assert!(buffers.kept.lock().is_empty());
        assert_eq!(part, [7; 5].as_slice());
        drop(part);
        let mut second = buffers.take(40_000);
        assert_eq!(second.as_slice().as_ptr(), place);
        second.truncate(10);
        assert_eq!(second.as_slice().len(), 10);
        // As long as the first it is still.
        drop(second);
        assert_eq!(buffers.take(100_000).as_slice().as_ptr(), place);
    }

    #[test]
    fn few_are_kept_and_little_is_not_held_by_much() {
        let buffers = Arc::new(ReadBuffers::default());
        let many: Vec<_> = (0..20).map(|_| buffers.take(SIZE_MAX)).collect();
        drop(many);
        assert_eq!(buffers.kept.lock().len(), KEPT_MAX);
        let little = buffers.take(SIZE_MAX).into_bytes(0..100);
        assert_eq!(buffers.kept.lock().len(), KEPT_MAX);
        assert_eq!(little.len(), 100);
        for len in [0, SIZE_MIN - 1, SIZE_MAX + 1] {
            let mut buffer = buffers.take(len);
            assert_eq!(buffer.bytes_mut().len(), len);
            assert_eq!(buffer.into_bytes(0..len).len(), len);
        }
        assert_eq!(buffers.kept.lock().len(), KEPT_MAX);
        buffers.give_back_idle();
        assert_eq!(buffers.kept.lock().len(), KEPT_MAX, "they were used");
        buffers.give_back_idle();
        assert!(buffers.kept.lock().is_empty());
    }
}
