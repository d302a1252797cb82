//! The entries of index files, as they stand: nothing is refused. Must not know the log.

use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use ottla_env::{Disk, DiskError, DiskFile, OpenMode};
use ottla_log::{AbortedTransaction, IndexEntry};

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

pub(crate) fn open<E: IndexEntry>(disk: &dyn Disk, path: &Path) -> Result<Entries<E>, DiskError> {
    let file = disk.open(path, OpenMode::Read)?;
    let bytes = file.len()?;
    Ok(Entries { file, bytes, position: 0, buffer: Vec::new(), at: 0, entry: PhantomData })
}

impl<E: IndexEntry> Entries<E> {
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
pub(crate) fn ends<E: IndexEntry>(
    disk: &dyn Disk,
    path: &Path,
) -> Result<Option<(E, E)>, DiskError> {
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

pub(crate) fn aborted(disk: &dyn Disk, path: &Path) -> Result<Aborted, DiskError> {
    let bytes = disk.read(path)?;
    let chunks = bytes.chunks_exact(AbortedTransaction::BYTES);
    let torn = chunks.remainder().len();
    let entries = chunks.filter_map(AbortedTransaction::decode);
    let entries = entries.map(|(version, txn)| AbortedEntry { version, txn }).collect();
    Ok(Aborted { entries, torn })
}
