//! Walking over the batches of a `.log` file, by headers alone or with their bytes. Must not know
//! what is done with them, nor how a bad one is dealt with.

use ottla_env::{DiskError, DiskFile, planted};
use ottla_records::{Batch, BatchError, BatchHeader, HEADER_LEN};

/// Why a walk ended before the end.
#[derive(Debug)]
pub(crate) enum ScanError {
    Disk(DiskError),
    /// The bytes at this position are no whole batch.
    Bad {
        position: u64,
        error: BatchError,
    },
}

impl From<DiskError> for ScanError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

/// Walks from one position to another.
pub(crate) struct Scan<'a> {
    file: &'a dyn DiskFile,
    position: u64,
    end: u64,
    chunk: usize,
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl<'a> Scan<'a> {
    /// Reads `chunk` bytes at a time (more for a larger batch).
    pub(crate) fn new(file: &'a dyn DiskFile, position: u64, end: u64, chunk: usize) -> Self {
        Self { file, position, end, chunk, buffer: Vec::new(), buffer_at: position }
    }

    /// Header and position of the next batch; `None` at the end.
    pub(crate) fn next_header(&mut self) -> Result<Option<(BatchHeader, u64)>, ScanError> {
        let position = self.position;
        let left = self.end.saturating_sub(position);
        if left == 0 {
            return Ok(None);
        }
        self.fill(position, HEADER_LEN)?;
        let available = self.from(position);
        let bad = |error| ScanError::Bad { position, error };
        let header = BatchHeader::parse(available).map_err(bad)?;
        if header.size() as u64 > left {
            return Err(bad(torn(header.size(), left)));
        }
        self.position += header.size() as u64;
        Ok(Some((header, position)))
    }

    /// The next batch with its bytes, its CRC checked, and its position; `None` at the end.
    pub(crate) fn next_batch(&mut self) -> Result<Option<(Batch<'_>, u64)>, ScanError> {
        let Some((header, position)) = self.next_header()? else { return Ok(None) };
        Ok(Some((self.batch(&header, position)?, position)))
    }

    /// The batch of which [`Scan::next_header`] gave the header, its CRC checked.
    pub(crate) fn batch(
        &mut self,
        header: &BatchHeader,
        position: u64,
    ) -> Result<Batch<'_>, ScanError> {
        self.fill(position, header.size())?;
        let bad = |error| ScanError::Bad { position, error };
        let batch = Batch::parse(self.from(position)).map_err(bad)?;
        if !planted("no-crc-in-recovery") {
            batch.verify_crc().map_err(bad)?;
        }
        Ok(batch)
    }

    /// From here on reads so many bytes at a time.
    pub(crate) fn set_chunk(&mut self, chunk: usize) {
        self.chunk = chunk;
    }

    /// Has at least `wanted` bytes from `position` on in the buffer, fewer at the end.
    fn fill(&mut self, position: u64, wanted: usize) -> Result<(), DiskError> {
        let left = usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX);
        let has = self.from(position).len();
        if has < wanted.min(left) {
            // What is there already is not read again.
            let kept = self.buffer.len() - has;
            self.buffer.copy_within(kept.., 0);
            // Never more than the file still has.
            self.buffer.resize(wanted.max(self.chunk).min(left), 0);
            let rest = self.buffer.get_mut(has..).unwrap_or_default();
            let n = self.file.read_at(rest, position.saturating_add(has as u64))?;
            self.buffer.truncate(has + n);
            self.buffer_at = position;
        }
        Ok(())
    }

    /// What the buffer has from `position` on.
    fn from(&self, position: u64) -> &[u8] {
        let at = position.checked_sub(self.buffer_at).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.buffer.get(at..)).unwrap_or_default()
    }
}

fn torn(needed: usize, left: u64) -> BatchError {
    BatchError::Torn { needed, available: usize::try_from(left).unwrap_or(usize::MAX) }
}
