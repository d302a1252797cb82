//! The entries of index files, as they stand: nothing is refused. Must not know the log.

use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use ottla_env::{Disk, DiskError, DiskFile, OpenMode};
use ottla_log::AbortedTransaction;
use ottla_protocol::{Offset, ProducerId};

/// An entry of a fixed size.
pub(crate) trait Entry: Copy {
    const BYTES: usize;
    fn decode(bytes: &[u8]) -> Option<Self>;
    /// What files hold that were set aside and not written.
    fn is_zero(&self) -> bool;
}

/// An entry of `.index`: the last offset of a batch less the segment's base, and where the batch
/// begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    pub(crate) relative: u32,
    pub(crate) position: u32,
}

/// An entry of `.timeindex`: the largest timestamp so far, and the last offset of its batch less
/// the segment's base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub(crate) timestamp: i64,
    pub(crate) relative: u32,
}

impl Entry for OffsetEntry {
    const BYTES: usize = 8;

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (relative, position) = bytes.split_first_chunk()?;
        let relative = u32::from_be_bytes(*relative);
        Some(Self { relative, position: u32::from_be_bytes(position.try_into().ok()?) })
    }

    fn is_zero(&self) -> bool {
        self.relative == 0 && self.position == 0
    }
}

impl Entry for TimeEntry {
    const BYTES: usize = 12;

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (timestamp, relative) = bytes.split_first_chunk()?;
        let timestamp = i64::from_be_bytes(*timestamp);
        Some(Self { timestamp, relative: u32::from_be_bytes(relative.try_into().ok()?) })
    }

    fn is_zero(&self) -> bool {
        self.relative == 0 && self.timestamp == 0
    }
}

/// Entries read at a time.
const BLOCK: usize = 4096;

/// The entries of a file, one after the other.
pub(crate) struct Entries<E> {
    file: Arc<dyn DiskFile>,
    /// Bytes of the file.
    pub(crate) bytes: u64,
    position: u64,
    buffer: Vec<u8>,
    at: usize,
    entry: PhantomData<E>,
}

pub(crate) fn open<E: Entry>(disk: &dyn Disk, path: &Path) -> Result<Entries<E>, DiskError> {
    let file = disk.open(path, OpenMode::Read)?;
    let bytes = file.len()?;
    Ok(Entries { file, bytes, position: 0, buffer: Vec::new(), at: 0, entry: PhantomData })
}

impl<E: Entry> Entries<E> {
    /// Whole entries.
    pub(crate) fn count(&self) -> u64 {
        self.bytes / E::BYTES as u64
    }

    /// Bytes after the last whole entry.
    pub(crate) fn torn(&self) -> u64 {
        self.bytes % E::BYTES as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count() == 0
    }

    pub(crate) fn next(&mut self) -> Result<Option<E>, DiskError> {
        if self.at >= self.buffer.len() {
            self.buffer.resize(BLOCK * E::BYTES, 0);
            let n = self.file.read_at(&mut self.buffer, self.position)?;
            self.buffer.truncate(n - n % E::BYTES);
            self.position += self.buffer.len() as u64;
            self.at = 0;
        }
        let entry = self.buffer.get(self.at..self.at + E::BYTES).and_then(E::decode);
        self.at += E::BYTES;
        Ok(entry)
    }
}

/// The first and the last entry of a file, whatever they hold.
pub(crate) fn ends<E: Entry>(disk: &dyn Disk, path: &Path) -> Result<Option<(E, E)>, DiskError> {
    let entries = open::<E>(disk, path)?;
    let Some(last) = entries.count().checked_sub(1) else { return Ok(None) };
    let read = |number: u64| -> Result<Option<E>, DiskError> {
        let mut bytes = [0; 16];
        let Some(bytes) = bytes.get_mut(..E::BYTES) else { return Ok(None) };
        entries.file.read_exact_at(bytes, number * E::BYTES as u64)?;
        Ok(E::decode(bytes))
    };
    Ok(read(0)?.zip(read(last)?))
}

/// An entry of `.txnindex`.
pub(crate) struct AbortedEntry {
    pub(crate) version: i16,
    pub(crate) txn: AbortedTransaction,
}

/// A `.txnindex`.
pub(crate) struct Aborted {
    pub(crate) entries: Vec<AbortedEntry>,
    /// Bytes after the last whole entry.
    pub(crate) torn: usize,
}

const ABORTED_BYTES: usize = 34;

pub(crate) fn aborted(disk: &dyn Disk, path: &Path) -> Result<Aborted, DiskError> {
    let bytes = disk.read(path)?;
    let chunks = bytes.chunks_exact(ABORTED_BYTES);
    let torn = chunks.remainder().len();
    let entries = chunks.filter_map(|chunk| {
        let (version, mut rest) = chunk.split_first_chunk()?;
        let mut field = || {
            let (head, tail) = rest.split_first_chunk()?;
            rest = tail;
            Some(i64::from_be_bytes(*head))
        };
        Some(AbortedEntry {
            version: i16::from_be_bytes(*version),
            txn: AbortedTransaction {
                producer_id: ProducerId(field()?),
                first_offset: Offset(field()?),
                last_offset: Offset(field()?),
                last_stable_offset: Offset(field()?),
            },
        })
    });
    Ok(Aborted { entries: entries.collect(), torn })
}
