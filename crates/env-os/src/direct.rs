//! Writes past the page cache (`O_DIRECT`): what is written in bulk goes from aligned memory to
//! the device, at a fraction of the CPU time that copying it into the cache costs; and from where it
//! is, when whoever received it has put it so. The ends of a write that do not fill a block still go
//! through the cache. Must not know what is written.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use bytes::Bytes;

/// Alignment of memory, length and position; what every device of today is content with.
pub(crate) const BLOCK_BYTES: usize = 4096;
/// Bytes that are copied into aligned memory for one write.
const CHUNK_BYTES: usize = 1 << 20;
/// Bytes of one write, about.
const WRITE_BYTES: usize = 4 << 20;
/// Pieces of one write.
const PIECES_MAX: usize = 256;
/// Fewer bytes are copied, even where they could be written from where they are.
const IN_PLACE_BYTES: usize = 32 << 10;
/// Below so many bytes between the ends the page cache is no slower, and readers find the bytes.
const WORTHWHILE_BYTES: u64 = 128 << 10;

thread_local! {
    /// Aligned memory, set aside by the first write of a thread that must copy.
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

/// Writes `slices`, whole blocks in all, at `position`, which is a block boundary. Memory that lies
/// within its blocks as the file does is written from where it is; the rest is copied first.
pub(crate) fn write(file: &File, slices: &[Bytes], position: u64) -> io::Result<()> {
    STAGE.with_borrow_mut(|stage| {
        let mut gather = Gather { stage, position, pieces: Vec::new(), bytes: 0, fill: 0 };
        for slice in slices {
            let mut rest = &slice[..];
            while !rest.is_empty() {
                rest = gather.take(file, rest)?;
            }
        }
        gather.flush(file)
    })
}

/// A chunk of aligned memory.
#[derive(Default)]
struct Stage {
    memory: Vec<u8>,
    start: usize,
}

impl Stage {
    fn room(&mut self, from: usize, len: usize) -> &mut [u8] {
        if self.memory.is_empty() {
            self.memory = vec![0; CHUNK_BYTES + BLOCK_BYTES];
            self.start = self.memory.as_ptr().align_offset(BLOCK_BYTES);
        }
        self.memory.get_mut(self.start + from..self.start + from + len).unwrap_or_default()
    }

    fn filled(&self, range: &Range<usize>) -> &[u8] {
        self.memory.get(self.start + range.start..self.start + range.end).unwrap_or_default()
    }
}

/// A part of one write. But for the last staged one each is whole blocks.
enum Piece<'a> {
    InPlace(&'a [u8]),
    Staged(Range<usize>),
}

/// What is written next, at one position.
struct Gather<'a, 's> {
    stage: &'s mut Stage,
    position: u64,
    pieces: Vec<Piece<'a>>,
    bytes: usize,
    /// Of the stage.
    fill: usize,
}

impl<'a> Gather<'a, '_> {
    /// Takes some of `bytes`, and gives the rest.
    fn take(&mut self, file: &File, bytes: &'a [u8]) -> io::Result<&'a [u8]> {
        // All that is before begins and ends as blocks of the file do, but for what is staged last.
        let into_block = self.bytes % BLOCK_BYTES;
        let lies_right = bytes.as_ptr().addr() % BLOCK_BYTES == into_block;
        let whole = bytes.len() / BLOCK_BYTES * BLOCK_BYTES;
        if lies_right && into_block == 0 && whole >= IN_PLACE_BYTES {
            let (now, rest) = bytes.split_at(whole.min(WRITE_BYTES));
            self.pieces.push(Piece::InPlace(now));
            self.bytes += now.len();
            if self.bytes >= WRITE_BYTES || self.pieces.len() >= PIECES_MAX {
                self.flush(file)?;
            }
            return Ok(rest);
        }
        let to_boundary = if lies_right && into_block > 0 && bytes.len() > IN_PLACE_BYTES {
            BLOCK_BYTES - into_block
        } else {
            bytes.len()
        };
        let (now, rest) = bytes.split_at(to_boundary.min(CHUNK_BYTES - self.fill));
        self.stage.room(self.fill, now.len()).copy_from_slice(now);
        let staged = self.fill..self.fill + now.len();
        match self.pieces.last_mut() {
            Some(Piece::Staged(before)) => before.end = staged.end,
            Some(Piece::InPlace(_)) | None => self.pieces.push(Piece::Staged(staged)),
        }
        self.fill += now.len();
        self.bytes += now.len();
        if self.fill == CHUNK_BYTES {
            self.flush(file)?;
        }
        Ok(rest)
    }

    fn flush(&mut self, file: &File) -> io::Result<()> {
        let stage = &*self.stage;
        let slice = |piece: &'_ Piece<'a>| match piece {
            Piece::InPlace(bytes) => IoSlice::new(bytes),
            Piece::Staged(range) => IoSlice::new(stage.filled(range)),
        };
        let mut slices: Vec<IoSlice<'_>> = self.pieces.iter().map(slice).collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            match rustix::io::pwritev(file, rest, self.position) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.position += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.pieces.clear();
        (self.bytes, self.fill) = (0, 0);
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

    /// `len` bytes whose first lies `phase` bytes behind a block boundary.
    fn at_phase(phase: usize, len: usize, seed: usize) -> Bytes {
        let memory: Vec<u8> = (0..len + 2 * BLOCK_BYTES)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 7).wrapping_add(seed).to_le_bytes()[0])
            .collect();
        let start = memory.as_ptr().align_offset(BLOCK_BYTES) + phase;
        Bytes::from(memory).slice(start..start + len)
    }

    #[test]
    fn what_lies_right_is_not_copied_and_all_of_it_arrives() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        File::create(&path).unwrap();
        let Ok(file) = open(&path) else { return };
        // Of each slice: its length, and whether it lies as the file does.
        let cases: [&[(usize, bool)]; 7] = [
            &[(1 << 20, true)],
            &[(100_001, true), (100_000, true), (4_799, true)],
            &[(100_001, false), (100_000, true), (4_799, false)],
            &[(5, true), (40_000, true), (955, true)],
            &[(9 << 20, true), (4096, true)],
            &[(3 << 20, false), (100, true), (3_996, false)],
            &[(4095, true), (1, true), (300_000 / 4096 * 4096, true)],
        ];
        let mut position = 0;
        for (number, case) in cases.iter().enumerate() {
            let (mut slices, mut at, mut expected) = (Vec::new(), 0, Vec::new());
            for &(len, right) in *case {
                let phase = (at + usize::from(!right) * 77) % BLOCK_BYTES;
                let slice = at_phase(phase, len, number);
                expected.extend_from_slice(&slice);
                slices.push(slice);
                at += len;
            }
            let padding = at.next_multiple_of(BLOCK_BYTES) - at;
            expected.resize(expected.len() + padding, 7);
            slices.push(Bytes::from(vec![7; padding]));
            match write(&file, &slices, position) {
                // A file system that takes the flag and no such write.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return,
                done => done.unwrap(),
            }
            let found = std::fs::read(&path).unwrap();
            assert!(found[usize::try_from(position).unwrap()..] == expected, "case {number}");
            position += expected.len() as u64;
        }
    }

    #[test]
    fn pieces_lie_right_or_are_staged() {
        let (right, wrong) = (at_phase(0, 1 << 20, 1), at_phase(1, 1 << 17, 1));
        let little = right.slice(..100);
        let seam = at_phase(100, (1 << 18) - 100, 1);
        STAGE.with_borrow_mut(|stage| {
            let file = tempfile::tempfile().unwrap();
            let (pieces, position) = (Vec::new(), 0);
            let mut gather = Gather { stage, position, pieces, bytes: 0, fill: 0 };
            for slice in [&right, &wrong, &little, &seam] {
                let mut rest = &slice[..];
                while !rest.is_empty() {
                    rest = gather.take(&file, rest).unwrap();
                }
            }
            let found: Vec<_> = gather
                .pieces
                .iter()
                .map(|piece| match piece {
                    Piece::InPlace(bytes) => (true, bytes.len()),
                    Piece::Staged(range) => (false, range.len()),
                })
                .collect();
            let seam_bytes = (1 << 17) + BLOCK_BYTES;
            assert_eq!(
                found,
                [(true, 1 << 20), (false, seam_bytes), (true, (1 << 18) - BLOCK_BYTES)]
            );
        });
    }
}
