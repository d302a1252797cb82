//! A disk in memory that lets a test stand beside it. Must not know what tests look at.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use ottla_env::memory::MemoryDisk;
use ottla_env::{Disk, DiskError, DiskFile, DiskLock, DiskSpace, Entry, OpenMode};

/// What a test does beside the disk; by itself nothing.
pub(crate) trait Hook: Send + Sync + 'static {
    /// A file is about to be opened, or a path looked for.
    fn before(&self, _path: &Path) {}

    /// What is given for a file that was opened.
    fn opened(&self, file: Arc<dyn DiskFile>, _path: &Path) -> Arc<dyn DiskFile> {
        file
    }
}

#[derive(Clone)]
pub(crate) struct Hooked<H>(pub(crate) MemoryDisk, pub(crate) Arc<H>);

impl<H> fmt::Debug for Hooked<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooked")
    }
}

impl<H: Hook> Disk for Hooked<H> {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.1.before(path);
        Ok(self.1.opened(self.0.open(path, mode)?, path))
    }
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.0.create_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.0.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        self.0.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> Result<(), DiskError> {
        self.0.remove_dir_all(path)
    }
    fn list(&self, dir: &Path) -> Result<Vec<Entry>, DiskError> {
        self.0.list(dir)
    }
    fn exists(&self, path: &Path) -> Result<bool, DiskError> {
        self.1.before(path);
        self.0.exists(path)
    }
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.0.sync_dir(dir)
    }
    fn sync_volume(&self, dir: &Path) -> Result<(), DiskError> {
        self.0.sync_volume(dir)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, DiskError> {
        self.0.lock(path)
    }
    fn space(&self, path: &Path) -> Result<DiskSpace, DiskError> {
        self.0.space(path)
    }
}
