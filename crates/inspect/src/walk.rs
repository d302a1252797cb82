//! Walking over the batches of a file, whatever state it is in: a batch with a wrong checksum is
//! still shown, and behind bytes that are no batch the next batch is looked for. Must not judge
//! what it finds.

use std::sync::Arc;

use ottla_env::{Disk, DiskError, DiskFile, OpenMode};
use ottla_protocol::Offset;
use ottla_records::{Batch, BatchError, BatchHeader, HEADER_LEN};
use std::path::Path;

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;
/// Bytes of seeming batches that are read in the search for one.
const SEARCH_MAX: u64 = 256 << 20;
/// Place of the magic byte in a batch.
const MAGIC_AT: usize = 16;

/// What stands at a position.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// A whole batch, whether or not its checksum is right.
    Batch { batch: Batch<'a>, position: u64 },
    /// No batch; the walk stays here.
    Bad { position: u64, error: BatchError },
}

/// Walks over a file.
pub(crate) struct Walk {
    file: Arc<dyn DiskFile>,
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl Walk {
    pub(crate) fn open(disk: &dyn Disk, path: &Path) -> Result<Self, DiskError> {
        let file = disk.open(path, OpenMode::Read)?;
        let end = file.len()?;
        Ok(Self { file, position: 0, end, buffer: Vec::new(), buffer_at: 0 })
    }

    /// Length of the file, or where the walk was told to end.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Ends the walk at `end`, when the file is longer.
    pub(crate) fn limit(&mut self, end: u64) {
        self.end = self.end.min(end);
    }

    /// Where the next look is taken.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Goes on at another position.
    pub(crate) fn go_to(&mut self, position: u64) {
        self.position = position.min(self.end);
    }

    /// What comes next; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Found<'_>>, DiskError> {
        let position = self.position;
        if position >= self.end {
            return Ok(None);
        }
        self.fill(position, HEADER_LEN)?;
        let left = usize::try_from(self.end - position).unwrap_or(usize::MAX);
        let size = match BatchHeader::parse(self.from(position)) {
            Ok(header) if header.size() <= left => header.size(),
            Ok(header) => {
                let error = BatchError::Torn { needed: header.size(), available: left };
                return Ok(Some(Found::Bad { position, error }));
            }
            Err(error) => return Ok(Some(Found::Bad { position, error })),
        };
        self.fill(position, size)?;
        if self.from(position).len() >= size {
            self.position = position + size as u64;
        }
        Ok(Some(match Batch::parse(self.from(position)) {
            Ok(batch) => Found::Batch { batch, position },
            // The file became shorter while it was read.
            Err(error) => Found::Bad { position, error },
        }))
    }

    /// Looks from `position` on for a batch with a right checksum that begins at `least` or later,
    /// and gives its position. Gives up when very many bytes look like a header and are none.
    pub(crate) fn search(
        &mut self,
        mut position: u64,
        least: Offset,
    ) -> Result<Option<u64>, DiskError> {
        let mut spent = 0_u64;
        while position + HEADER_LEN as u64 <= self.end && spent < SEARCH_MAX {
            self.fill(position, HEADER_LEN)?;
            let window = self.from(position);
            let last = window.len().saturating_sub(HEADER_LEN);
            let candidate = (0..=last).find(|at| plausible(window, *at, least));
            let Some(at) = candidate else {
                position += last as u64 + 1;
                continue;
            };
            position += at as u64;
            if self.is_whole(position, &mut spent)? {
                return Ok(Some(position));
            }
            position += 1;
        }
        Ok(None)
    }

    /// Whether a sound batch begins here. Adds to `spent` what had to be read for that.
    fn is_whole(&mut self, position: u64, spent: &mut u64) -> Result<bool, DiskError> {
        let Ok(header) = BatchHeader::parse(self.from(position)) else { return Ok(false) };
        if header.size() as u64 > self.end - position {
            return Ok(false);
        }
        *spent += header.size() as u64;
        self.fill(position, header.size())?;
        Ok(Batch::parse(self.from(position)).is_ok_and(|batch| batch.verify_crc().is_ok()))
    }

    /// Has at least `wanted` bytes from `position` on, fewer at the end.
    fn fill(&mut self, position: u64, wanted: usize) -> Result<(), DiskError> {
        let left = usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX);
        if self.from(position).len() < wanted.min(left) {
            // Never more than the file still has.
            self.buffer.resize(wanted.max(CHUNK).min(left), 0);
            let n = self.file.read_at(&mut self.buffer, position)?;
            self.buffer.truncate(n);
            self.buffer.shrink_to(wanted.max(CHUNK));
            self.buffer_at = position;
        }
        Ok(())
    }

    fn from(&self, position: u64) -> &[u8] {
        let at = position.checked_sub(self.buffer_at).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.buffer.get(at..)).unwrap_or_default()
    }
}

/// Whether a header may stand at `at`.
fn plausible(window: &[u8], at: usize, least: Offset) -> bool {
    let Some(rest) = window.get(at..) else { return false };
    rest.get(MAGIC_AT) == Some(&2)
        && BatchHeader::parse(rest).is_ok_and(|header| {
            header.base_offset >= least
                && header.last_offset_delta >= 0
                && header.record_count >= 0
                && header.record_count <= header.last_offset_delta.saturating_add(1)
        })
}

/// A stretch of a file that holds no sound batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    /// Where it begins.
    pub(crate) from: u64,
    /// Where the next sound batch begins, or the end of the file.
    pub(crate) to: u64,
    /// Whether a sound batch follows.
    pub(crate) followed: bool,
}

impl Walk {
    /// Measures the stretch that begins at `from`, and goes on behind it. `likely` is where the
    /// header of the bad batch says that it ends; batches behind have offsets from `least` on.
    pub(crate) fn pass_over(
        &mut self,
        from: u64,
        likely: Option<u64>,
        least: Offset,
    ) -> Result<Hole, DiskError> {
        if let Some(likely) = likely.filter(|at| *at < self.end) {
            self.fill(likely, HEADER_LEN)?;
            let sound = plausible(self.from(likely), 0, least) && self.is_whole(likely, &mut 0)?;
            if sound {
                self.position = likely;
                return Ok(Hole { from, to: likely, followed: true });
            }
        }
        let next = self.search(from + 1, least)?;
        let to = next.unwrap_or(self.end);
        self.position = to;
        Ok(Hole { from, to, followed: next.is_some() })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ottla_env::memory::MemoryDisk;
    use ottla_protocol::Millis;
    use ottla_records::{BatchBuilder, BatchOptions};

    use super::*;

    fn batch(offset: i64) -> Vec<u8> {
        let options = BatchOptions { base_offset: Offset(offset), ..BatchOptions::default() };
        let mut builder = BatchBuilder::new(options).unwrap();
        builder.append(Millis(1), None, Some(&[7; 100]), &[]).unwrap();
        builder.build().unwrap()
    }

    #[test]
    fn the_next_batch_is_found_behind_any_damage() {
        let whole: Vec<Vec<u8>> = (0..4).map(batch).collect();
        let size = whole[0].len();
        for at in 0..size {
            let mut bytes = whole.concat();
            bytes[size + at] ^= 0x55;
            let disk = MemoryDisk::new();
            let path = Path::new("/l");
            let file = disk.open(path, OpenMode::Create).unwrap();
            file.write_at(&[Bytes::from(bytes)], 0).unwrap();
            let mut walk = Walk::open(&disk, path).unwrap();
            walk.go_to(size as u64);
            let hole = walk.pass_over(size as u64, None, Offset(2)).unwrap();
            let to = 2 * size as u64;
            assert_eq!(hole, Hole { from: size as u64, to, followed: true }, "damage at {at}");
            assert!(
                matches!(walk.next(), Ok(Some(Found::Batch { position, .. })) if position == to)
            );
        }
    }

    #[test]
    fn zeros_at_the_end_are_one_hole() {
        let bytes = [batch(0), vec![0; 5000]].concat();
        let size = bytes.len() as u64;
        let disk = MemoryDisk::new();
        let path = Path::new("/l");
        let file = disk.open(path, OpenMode::Create).unwrap();
        file.write_at(&[Bytes::from(bytes)], 0).unwrap();
        let mut walk = Walk::open(&disk, path).unwrap();
        assert!(matches!(walk.next(), Ok(Some(Found::Batch { .. }))));
        let from = size - 5000;
        assert!(matches!(walk.next(), Ok(Some(Found::Bad { position, .. })) if position == from));
        let hole = walk.pass_over(from, None, Offset(1)).unwrap();
        assert_eq!(hole, Hole { from, to: size, followed: false });
    }
}
