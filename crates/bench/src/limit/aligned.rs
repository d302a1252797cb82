//! Memory that begins at a block boundary, for direct writes. Knows no files.

/// Alignment of memory, length and position that devices are content with.
pub(super) const BLOCK_BYTES: usize = 4096;

/// Aligned memory of a fixed size.
pub(super) struct Aligned {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// `len` zeros.
    pub(super) fn new(len: usize) -> Self {
        let memory = vec![0; len + BLOCK_BYTES];
        let start = memory.as_ptr().align_offset(BLOCK_BYTES);
        Self { memory, start, len }
    }

    /// All of it.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.start..self.start + self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_at_a_block() {
        let mut memory = Aligned::new(10_000);
        assert_eq!(memory.bytes().len(), 10_000);
        assert_eq!(memory.bytes().as_ptr().align_offset(BLOCK_BYTES), 0);
    }
}
