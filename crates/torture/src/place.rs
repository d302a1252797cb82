//! A temporary folder that goes with its process, and those of earlier ones that were killed. Must
//! not know what is in it.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

const PREFIX: &str = "ottla-torture-";
/// Locked for as long as the folder is in use.
const LOCK: &str = "in-use";

/// A folder; removed when dropped.
#[derive(Debug)]
pub struct Place {
    folder: tempfile::TempDir,
    _lock: File,
}

impl Place {
    /// A new folder in memory, where there is one. What killed processes of this user have left
    /// there is removed.
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn create() -> anyhow::Result<Self> {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        Self::create_in(&parent)
    }

    fn create_in(parent: &Path) -> anyhow::Result<Self> {
        remove_abandoned(parent)?;
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent);
        let folder = folder.context("cannot make a temporary folder")?;
        // It gets its name when it is locked.
        let (unlocked, locked) = (folder.path().join("lock"), folder.path().join(LOCK));
        let lock = File::create(&unlocked).context("cannot make a lock")?;
        lock.lock().context("cannot lock a temporary folder")?;
        fs::rename(unlocked, locked).context("cannot make a lock")?;
        Ok(Self { folder, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes folders that are of this user and that nobody uses any more. One without a lock is just
/// being made.
fn remove_abandoned(parent: &Path) -> anyhow::Result<()> {
    let user = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(parent).context("cannot look into the folder of temporary files")? {
        let entry = entry.context("cannot look into the folder of temporary files")?;
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == user);
        if is_ours && is_abandoned(&entry.path()) {
            // Another process may be at the same work.
            let _gone = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

fn is_abandoned(folder: &Path) -> bool {
    let lock: PathBuf = folder.join(LOCK);
    match File::open(lock).map(|lock| lock.try_lock()) {
        Ok(Ok(())) => true,
        Ok(Err(TryLockError::WouldBlock | TryLockError::Error(_))) | Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_uses_goes_and_the_rest_stays() {
        let parent = tempfile::tempdir().unwrap();
        let used = Place::create_in(parent.path()).unwrap();
        // As a killed process leaves it: the lock is gone with it.
        let killed = parent.path().join("ottla-torture-killed");
        fs::create_dir_all(killed.join("job-0/plain")).unwrap();
        File::create(killed.join(LOCK)).unwrap();
        let new = parent.path().join("ottla-torture-new");
        let foreign = parent.path().join("something-else");
        for folder in [&new, &foreign] {
            fs::create_dir_all(folder).unwrap();
        }
        File::create(foreign.join(LOCK)).unwrap();
        let other = Place::create_in(parent.path()).unwrap();
        assert!(!killed.exists());
        assert!(used.path().is_dir() && other.path().is_dir());
        assert!(new.is_dir() && foreign.is_dir());
        let path = other.path().to_owned();
        drop(other);
        assert!(!path.exists());
    }
}
