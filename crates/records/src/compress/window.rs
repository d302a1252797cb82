//! A buffer that is filled at its end and eaten at its front. Keeps its memory initialised, so
//! that reuse costs no zeroing. Must not know codecs or records.

/// Memory kept between uses.
const KEPT: usize = 1024 * 1024;

/// Bytes read and not yet eaten.
#[derive(Debug, Default)]
pub(crate) struct Window {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Window {
    /// Forgets the content, and gives memory back that the last use grew beyond reason.
    pub(crate) fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
        if self.buffer.len() > KEPT {
            self.buffer.truncate(KEPT);
            self.buffer.shrink_to_fit();
        }
    }

    /// Bytes held.
    pub(crate) const fn memory(&self) -> usize {
        self.buffer.capacity()
    }

    /// What is there.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Number of bytes there.
    pub(crate) const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Eats one byte.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<u8> {
        if self.start == self.end {
            return None;
        }
        let byte = self.buffer.get(self.start).copied();
        self.start += 1;
        byte
    }

    /// Eats up to `count` bytes at the front; gives how many.
    pub(crate) fn consume(&mut self, count: usize) -> usize {
        let count = count.min(self.len());
        self.start += count;
        count
    }

    /// Room of exactly `len` bytes at the end, content arbitrary; [`Window::commit`] makes it
    /// content.
    pub(crate) fn spare(&mut self, len: usize) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let needed = self.end + len;
        if self.buffer.len() < needed {
            self.buffer.resize(needed, 0);
        }
        self.buffer.get_mut(self.end..needed).unwrap_or_default()
    }

    /// Makes `len` bytes of the last [`Window::spare`] content.
    pub(crate) fn commit(&mut self, len: usize) {
        self.end += len;
        assert!(self.end <= self.buffer.len(), "committed more than there was room for");
    }

    /// Appends a copy of `bytes`.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.spare(bytes.len()).copy_from_slice(bytes);
        self.commit(bytes.len());
    }
}
