//! One `.log` file of the metadata log or a snapshot's file: batches read in order, each checked.
//! Must not know what is in a batch.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ottla_env::{Disk, DiskError, DiskFile, OpenMode, planted};
use ottla_records::Batch;

/// Bytes read at a time.
const WINDOW: usize = 1 << 20;
/// Bytes up to and with a batch's length field.
const PREFIX: usize = 12;
/// Bytes of a batch's header.
const HEADER: usize = 61;

/// Reads a file's batches.
pub(crate) struct BatchReader {
    file: Arc<dyn DiskFile>,
    len: u64,
    position: u64,
    window: Vec<u8>,
    at: u64,
}

/// What stands at a position.
pub(crate) enum Found<'a> {
    /// A whole batch whose CRC is right.
    Batch(Batch<'a>),
    /// The end of the file.
    End,
    /// No batch: the text says why.
    Bad(String),
}

impl BatchReader {
    pub(crate) fn open(disk: &dyn Disk, path: &Path) -> Result<Self, DiskError> {
        let file = disk.open(path, OpenMode::Read)?;
        let len = file.len()?;
        Ok(Self { file, len, position: 0, window: Vec::new(), at: 0 })
    }

    /// Where the next batch begins: everything before it was good.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Length of the file.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The next batch. After a bad one the position stays.
    pub(crate) fn read_batch(&mut self) -> Result<Found<'_>, DiskError> {
        let left = self.len.saturating_sub(self.position);
        if left == 0 {
            return Ok(Found::End);
        }
        if left < HEADER as u64 {
            return Ok(Found::Bad(format!("{left} bytes are less than a batch's header")));
        }
        let prefix = self.bytes(PREFIX)?;
        let length = prefix
            .get(8..PREFIX)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, i32::from_be_bytes);
        let Ok(length) = usize::try_from(length) else {
            return Ok(Found::Bad(format!("a batch of {length} bytes")));
        };
        let size = PREFIX.saturating_add(length);
        if size as u64 > left || size < HEADER {
            return Ok(Found::Bad(format!("a batch of {size} bytes where {left} are left")));
        }
        self.bytes(size)?;
        self.position = self.position.saturating_add(size as u64);
        let start =
            usize::try_from(self.position.saturating_sub(size as u64).saturating_sub(self.at))
                .unwrap_or(usize::MAX);
        let bytes =
            self.window.get(start..).and_then(|window| window.get(..size)).unwrap_or_default();
        let bad = match Batch::parse(bytes) {
            Ok(batch) => match batch.verify_crc() {
                Ok(()) => return Ok(Found::Batch(batch)),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        self.position = self.position.saturating_sub(size as u64);
        Ok(Found::Bad(bad))
    }

    /// The `count` bytes at the position, which are in the file.
    fn bytes(&mut self, count: usize) -> Result<&[u8], DiskError> {
        let end = self.position.saturating_add(count as u64);
        let there =
            self.position >= self.at && end <= self.at.saturating_add(self.window.len() as u64);
        if !there {
            let left =
                usize::try_from(self.len.saturating_sub(self.position)).unwrap_or(usize::MAX);
            self.window.resize(count.max(WINDOW.min(left)), 0);
            self.file.read_exact_at(&mut self.window, self.position)?;
            self.at = self.position;
        }
        let start = usize::try_from(self.position.saturating_sub(self.at)).unwrap_or(usize::MAX);
        Ok(self.window.get(start..).and_then(|window| window.get(..count)).unwrap_or_default())
    }
}

/// Writes a file whole under another name, and gives it its own when it is on disk.
pub(crate) fn write_renamed(
    disk: &dyn Disk,
    temporary: &Path,
    path: &Path,
    content: &[Bytes],
) -> Result<(), DiskError> {
    let file = disk.open(temporary, OpenMode::CreateEmpty)?;
    if let Err(error) = file.write_at(content, 0) {
        // Half a file is of no use, and takes space.
        let _gone = disk.remove_file(temporary);
        return Err(error);
    }
    if !planted("metadata-snapshot-renamed-before-sync") {
        file.sync_data()?;
    }
    drop(file);
    disk.rename(temporary, path)?;
    path.parent().map_or(Ok(()), |dir| disk.sync_dir(dir))
}
