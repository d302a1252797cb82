//! Writes past the page cache (`O_DIRECT`): what is written in bulk goes from aligned memory to
//! the device, at a fraction of the CPU time that copying it into the cache costs. The ends of a
//! write that do not fill a block still go through the cache. Must not know what is written.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use bytes::Bytes;

/// Alignment of memory, length and position; what every device of today is content with.
pub(crate) const BLOCK_BYTES: usize = 4096;
/// Bytes of one direct write.
const CHUNK_BYTES: usize = 1 << 20;
/// Below so many bytes between the ends the page cache is no slower, and readers find the bytes.
const WORTHWHILE_BYTES: u64 = 128 << 10;

thread_local! {
    /// Aligned memory, set aside by the first bulk write of a thread.
    static STAGE: RefCell<Stage> = RefCell::default();
}

/// How a write is cut: bytes before the first block boundary, whole blocks, the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) head: usize,
    pub(crate) blocks: usize,
}

/// Cuts a write of `len` bytes at `position`; `None` when it is not worth it.
pub(crate) fn cut(len: usize, position: u64) -> Option<Cut> {
    let block = BLOCK_BYTES as u64;
    let head = usize::try_from(position.next_multiple_of(block) - position).ok()?;
    let blocks = len.checked_sub(head)? / BLOCK_BYTES * BLOCK_BYTES;
    (blocks as u64 >= WORTHWHILE_BYTES).then_some(Cut { head, blocks })
}

/// Opens a file for direct writes; an error where the file system has none.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let direct = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).map_err(io::Error::other)?;
    OpenOptions::new().write(true).custom_flags(direct).open(path)
}

/// Writes `slices`, whole blocks in all, at `position`, which is a block boundary.
pub(crate) fn write(file: &File, slices: &[Bytes], mut position: u64) -> io::Result<()> {
    STAGE.with_borrow_mut(|stage| {
        stage.fill = 0;
        for slice in slices {
            let mut rest = &slice[..];
            while !rest.is_empty() {
                rest = stage.take(rest);
                if stage.fill == CHUNK_BYTES {
                    stage.flush(file, &mut position)?;
                }
            }
        }
        stage.flush(file, &mut position)
    })
}

/// A chunk of aligned memory that is filled and written.
#[derive(Default)]
struct Stage {
    memory: Vec<u8>,
    start: usize,
    fill: usize,
}

impl Stage {
    /// Copies what fits; gives the rest.
    fn take<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if self.memory.is_empty() {
            self.memory = vec![0; CHUNK_BYTES + BLOCK_BYTES];
            self.start = self.memory.as_ptr().align_offset(BLOCK_BYTES);
        }
        let (now, rest) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.fill));
        let from = self.start + self.fill;
        if let Some(room) = self.memory.get_mut(from..from + now.len()) {
            room.copy_from_slice(now);
        }
        self.fill += now.len();
        rest
    }

    fn flush(&mut self, file: &File, position: &mut u64) -> io::Result<()> {
        let filled = self.memory.get(self.start..self.start + self.fill).unwrap_or_default();
        if !filled.is_empty() {
            file.write_all_at(filled, *position)?;
        }
        *position += self.fill as u64;
        self.fill = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_cut_at_blocks() {
        let bulk = 256 << 10;
        assert_eq!(cut(bulk, 0), Some(Cut { head: 0, blocks: bulk }));
        assert_eq!(cut(bulk + 5, 4096), Some(Cut { head: 0, blocks: bulk }));
        assert_eq!(cut(bulk + 4096, 4000), Some(Cut { head: 96, blocks: bulk }));
        assert_eq!(cut(1000, 0), None);
        assert_eq!(cut(10, 4095), None);
        assert_eq!(cut(128 << 10, 1), None);
    }
}
