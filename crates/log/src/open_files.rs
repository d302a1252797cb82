//! Files that are opened when first used and closed again when too many are open. Must not know
//! what the files hold.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use ottla_env::{Disk, DiskError, DiskFile, OpenMode, mark};
use parking_lot::Mutex;

/// A file that is open only while it is used now and then. Who holds what [`FileSlot::get`] gave
/// may go on using it, whatever becomes of the slot.
#[derive(Debug, Default)]
pub(crate) struct FileSlot {
    file: Mutex<Option<Arc<dyn DiskFile>>>,
    used: AtomicBool,
}

impl FileSlot {
    /// The file, opened for reading and writing when it is not open.
    pub(crate) fn get(
        self: &Arc<Self>,
        open_files: &OpenFiles,
        path: impl FnOnce() -> PathBuf,
        mode: OpenMode,
    ) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.used.store(true, Ordering::Relaxed);
        let mut slot = self.file.lock();
        if let Some(file) = slot.as_ref() {
            return Ok(Arc::clone(file));
        }
        let file = open_files.disk.open(&path(), mode)?;
        *slot = Some(Arc::clone(&file));
        drop(slot);
        open_files.opened(self);
        Ok(file)
    }

    /// The file, if it is open; waits for who is opening it.
    pub(crate) fn in_use(&self) -> Option<Arc<dyn DiskFile>> {
        let file = self.file.lock().as_ref().map(Arc::clone)?;
        self.used.store(true, Ordering::Relaxed);
        Some(file)
    }

    /// The file, if it is open, and nobody is opening it.
    pub(crate) fn opened(&self) -> Option<Arc<dyn DiskFile>> {
        let file = self.file.try_lock()?.as_ref().map(Arc::clone)?;
        self.used.store(true, Ordering::Relaxed);
        Some(file)
    }

    /// Closes the file, as far as this slot is concerned.
    pub(crate) fn close(&self) {
        *self.file.lock() = None;
    }
}

/// The open files of a log directory: least recently used go first ("second chance").
#[derive(Debug)]
pub(crate) struct OpenFiles {
    disk: Arc<dyn Disk>,
    limit: usize,
    open: Mutex<VecDeque<Weak<FileSlot>>>,
}

impl OpenFiles {
    pub(crate) fn new(disk: Arc<dyn Disk>, limit: usize) -> Self {
        Self { disk, limit: limit.max(1), open: Mutex::new(VecDeque::new()) }
    }

    fn opened(&self, slot: &Arc<FileSlot>) {
        let mut open = self.open.lock();
        open.push_back(Arc::downgrade(slot));
        // Each round either drops an entry or takes its second chance away, so it ends.
        while open.len() > self.limit {
            let Some(oldest) = open.pop_front() else { break };
            let Some(slot) = oldest.upgrade() else { continue };
            if slot.used.swap(false, Ordering::Relaxed) {
                open.push_back(oldest);
            } else {
                mark!("open-file-closed");
                slot.close();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_env::memory::MemoryDisk;
    use std::path::PathBuf;

    #[test]
    fn few_stay_open() {
        let files = OpenFiles::new(Arc::new(MemoryDisk::new()), 3);
        let slots: Vec<Arc<FileSlot>> = (0..10).map(|_| Arc::default()).collect();
        for (i, slot) in slots.iter().enumerate() {
            slot.get(&files, || PathBuf::from(format!("/{i}")), OpenMode::Create).unwrap();
            // The first is used all the time and stays.
            slots[0].get(&files, || PathBuf::from("/0"), OpenMode::Create).unwrap();
        }
        let open = |slot: &Arc<FileSlot>| slot.file.lock().is_some();
        assert_eq!(slots.iter().filter(|s| open(s)).count(), 3);
        assert!(open(&slots[9]));
    }
}
