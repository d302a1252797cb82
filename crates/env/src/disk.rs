//! The port to storage: what a log needs of a file system, and nothing else. Owns the contract of
//! each operation; must not know what the files mean.
//!
//! The contract is that of POSIX without its traps spelled out anew: **only what a completed
//! [`DiskFile::sync_data`] (content) or [`Disk::sync_dir`] (names) covered survives a power cut.**
//! All operations block the calling thread; who must not block calls from another thread.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{DiskError, DiskErrorKind};
use crate::planted::planted;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// For reading and writing; created empty when it does not exist, otherwise left as it is.
    Create,
    /// For reading and writing; created, or cut to nothing when it exists.
    CreateEmpty,
}

/// What a directory entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A plain file.
    File,
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name, without the directory. A name that is not UTF-8 has replacement characters.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes, for a plain file.
    pub len: u64,
}

/// Size of the volume that a path is on, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// All of it.
    pub total: u64,
    /// What this process may still use.
    pub available: u64,
}

/// An exclusive lock on a file; given back when dropped.
pub trait DiskLock: Send + Sync + Debug {}

/// An open file. Closed when the last reference is dropped. Positions and lengths are in bytes.
pub trait DiskFile: Send + Sync + Debug {
    /// Reads at `position` until `buffer` is full or the file ends; returns how much was read.
    ///
    /// # Errors
    /// When the device fails.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, DiskError>;

    /// As [`DiskFile::read_at`], but only what is in memory already, which may be less; `None` when
    /// the device would have to be waited for at once.
    ///
    /// # Errors
    /// As [`DiskFile::read_at`].
    fn read_cached_at(&self, buffer: &mut [u8], position: u64) -> Result<Option<usize>, DiskError> {
        self.read_at(buffer, position).map(Some)
    }

    /// What is read through this handle from here on is read once, in large pieces, by someone
    /// for whom nobody waits: no more is read than is asked for, and what is in memory because of
    /// it goes first. Does nothing where there is no such thing.
    fn read_in_passing(&self) {}

    /// Whether from now on a read may fetch from the device more than it asks for, when reads follow
    /// each other. That costs less CPU time a byte; and what is fetched in advance stands before
    /// everything that is written meanwhile. A hint.
    fn read_ahead(&self, _allowed: bool) {}

    /// Begins to fetch `len` bytes from `position` on, without waiting for them. A hint.
    fn fetch_ahead(&self, _position: u64, _len: u64) {}

    /// Writes all `slices`, one after the other, from `position` on. A gap before `position`
    /// reads as zeros.
    ///
    /// # Errors
    /// When not everything was written; how much was is unknown.
    fn write_at(&self, slices: &[Bytes], position: u64) -> Result<(), DiskError>;

    /// As [`DiskFile::write_at`], for bulk: the bytes may go past the page cache, so that they
    /// cost less CPU time and are not in memory for who reads them next.
    ///
    /// # Errors
    /// As [`DiskFile::write_at`].
    fn write_bulk_at(&self, slices: &[Bytes], position: u64) -> Result<(), DiskError> {
        self.write_at(slices, position)
    }

    /// Makes content and length survive a power cut. After an error nothing is known about what
    /// was written since the last success, and a retry proves nothing.
    ///
    /// # Errors
    /// When the device fails.
    fn sync_data(&self) -> Result<(), DiskError>;

    /// Names the file's file system, if [`DiskFile::sync_file_system`] can be relied on there.
    fn file_system(&self) -> Option<u64> {
        None
    }

    /// As [`DiskFile::sync_data`] for all files of the file system at once, with one flush.
    ///
    /// # Errors
    /// When the device fails, or has failed since somebody last asked, for whichever file: only
    /// [`DiskFile::sync_data`] tells for which. Always, where there is no [`DiskFile::file_system`].
    fn sync_file_system(&self) -> Result<(), DiskError> {
        Err(DiskError::new(DiskErrorKind::Io, "sync the file system of", self.path()))
    }

    /// Cuts the file, or extends it by zeros, to `len`.
    ///
    /// # Errors
    /// When the device fails.
    fn set_len(&self, len: u64) -> Result<(), DiskError>;

    /// The length of the file.
    ///
    /// # Errors
    /// When the device fails.
    fn len(&self) -> Result<u64, DiskError>;

    /// When the content was last changed, in milliseconds since the Unix epoch; `None` where that
    /// is not known.
    ///
    /// # Errors
    /// When the device fails.
    fn modified_ms(&self) -> Result<Option<i64>, DiskError> {
        Ok(None)
    }

    /// Sets when the content was last changed, where that is kept. Not durable by itself.
    ///
    /// # Errors
    /// When the device fails.
    fn set_modified_ms(&self, _ms: i64) -> Result<(), DiskError> {
        Ok(())
    }

    /// Takes real space for the first `len` bytes, so that writing there later cannot fail for
    /// lack of it. What is there stays; the rest reads as zeros.
    ///
    /// # Errors
    /// [`DiskErrorKind::NoSpace`] when there is not enough; what was taken stays taken.
    fn allocate(&self, len: u64) -> Result<(), DiskError> {
        const CHUNK: u64 = 1 << 20;
        let mut at = self.len()?;
        while at < len {
            let size = usize::try_from(CHUNK.min(len - at)).unwrap_or(0);
            self.write_at(&[Bytes::from(vec![0; size])], at)?;
            at = at.saturating_add(size as u64);
        }
        Ok(())
    }

    /// Path under which it was opened, for messages.
    fn path(&self) -> &Path;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// When the device fails.
    fn is_empty(&self) -> Result<bool, DiskError> {
        Ok(self.len()? == 0)
    }

    /// Fills `buffer` from `position` on.
    ///
    /// # Errors
    /// [`DiskErrorKind::UnexpectedEnd`] when the file is shorter.
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> Result<(), DiskError> {
        if self.read_at(buffer, position)? == buffer.len() {
            Ok(())
        } else {
            Err(DiskError::new(DiskErrorKind::UnexpectedEnd, "read", self.path()))
        }
    }
}

/// A file system.
pub trait Disk: Send + Sync + Debug {
    /// Opens a file.
    ///
    /// # Errors
    /// As the mode says, or when the device fails.
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError>;

    /// Creates a directory and those above it that are missing.
    ///
    /// # Errors
    /// When it cannot be created.
    fn create_dir(&self, path: &Path) -> Result<(), DiskError>;

    /// Gives a file or directory another name; a file in the way is replaced. Atomic, and
    /// durable after [`Disk::sync_dir`] of the directory it is in.
    ///
    /// # Errors
    /// When there is no such path, or the device fails.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError>;

    /// Removes a file.
    ///
    /// # Errors
    /// When there is none, or the device fails.
    fn remove_file(&self, path: &Path) -> Result<(), DiskError>;

    /// Removes a directory and all in it.
    ///
    /// # Errors
    /// When there is none, or the device fails.
    fn remove_dir_all(&self, path: &Path) -> Result<(), DiskError>;

    /// The entries of a directory, sorted by name.
    ///
    /// # Errors
    /// When there is none, or the device fails.
    fn list(&self, dir: &Path) -> Result<Vec<Entry>, DiskError>;

    /// Whether there is such a file or directory.
    ///
    /// # Errors
    /// When the device fails.
    fn exists(&self, path: &Path) -> Result<bool, DiskError>;

    /// Makes the names in a directory survive a power cut.
    ///
    /// # Errors
    /// When the device fails.
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError>;

    /// The calling thread works in bulk from here on, and nobody waits for it: where threads
    /// compete for a processor, others go first. Does nothing where there is no such thing.
    fn work_in_background(&self) {}

    /// Makes everything under `dir`, content and names, survive a power cut: what was written
    /// before the call, by whomever. May sync more than that, up to the whole volume: one call
    /// in place of many, for who has touched many files.
    ///
    /// # Errors
    /// When the device fails; as after [`DiskFile::sync_data`], a retry proves nothing.
    fn sync_volume(&self, dir: &Path) -> Result<(), DiskError> {
        for entry in self.list(dir)? {
            let path = dir.join(&entry.name);
            let synced = match entry.kind {
                EntryKind::File => self.open(&path, OpenMode::Read).and_then(|f| f.sync_data()),
                EntryKind::Directory => self.sync_volume(&path),
                EntryKind::Other => Ok(()),
            };
            match synced {
                // It went away meanwhile.
                Err(error) if error.is_not_found() => {}
                other => other?,
            }
        }
        self.sync_dir(dir)
    }

    /// Takes the lock on a file, which is created when missing, without waiting.
    ///
    /// # Errors
    /// [`DiskErrorKind::Locked`] when someone else has it.
    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, DiskError>;

    /// Size of the volume that `path` is on.
    ///
    /// # Errors
    /// When the device fails.
    fn space(&self, path: &Path) -> Result<DiskSpace, DiskError>;

    /// The whole of a file.
    ///
    /// # Errors
    /// When there is none, or the device fails.
    fn read(&self, path: &Path) -> Result<Vec<u8>, DiskError> {
        let file = self.open(path, OpenMode::Read)?;
        let len = usize::try_from(file.len()?)
            .map_err(|_| DiskError::new(DiskErrorKind::Io, "read", path))?;
        let mut content = vec![0; len];
        let read = file.read_at(&mut content, 0)?;
        content.truncate(read);
        Ok(content)
    }

    /// Replaces (or creates) a file so that after a power cut it is the old one or the new one:
    /// `<name>.tmp` is written and synced, renamed, the directory synced.
    ///
    /// # Errors
    /// When the device fails; the old file is then still there.
    fn write_atomically(&self, path: &Path, content: Bytes) -> Result<(), DiskError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".tmp");
        let temporary = Path::new(&name);
        let file = self.open(temporary, OpenMode::CreateEmpty)?;
        file.write_at(&[content], 0)?;
        if !planted("atomic-write-renamed-before-sync") {
            file.sync_data()?;
        }
        drop(file);
        self.rename(temporary, path)?;
        if planted("atomic-write-without-dir-sync") {
            return Ok(());
        }
        path.parent().map_or(Ok(()), |dir| self.sync_dir(dir))
    }
}
