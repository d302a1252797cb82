//! An open file of the simulated disk. Must not know what a power cut leaves.

use std::fmt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ottla_env::{DiskError, DiskErrorKind, DiskFile, DiskLock};

use super::faults::{Fault, Kind};
use super::volume::{Change, File, NodeId};
use super::{SimDisk, State};
use crate::choose::Choose;

pub(super) struct SimFile {
    pub(super) disk: SimDisk,
    pub(super) node: NodeId,
    pub(super) life: u64,
    pub(super) path: PathBuf,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimFile").field(&self.path).finish()
    }
}

impl SimFile {
    fn error(&self, kind: DiskErrorKind, action: &'static str) -> DiskError {
        DiskError::new(kind, action, &self.path)
    }

    fn place(&self, position: u64, action: &'static str) -> Result<usize, DiskError> {
        usize::try_from(position).map_err(|_| self.error(DiskErrorKind::NoSpace, action))
    }

    /// Counts the operation and finds the file.
    fn begin<'a>(
        &self,
        state: &'a mut State,
        kind: Kind,
        action: &'static str,
    ) -> Result<(Option<Fault>, &'a mut File), DiskError> {
        let stale = state.life != self.life;
        let fault = state.begin(kind, action, &self.path, false);
        if stale || state.dead {
            return Err(self.error(DiskErrorKind::Io, action));
        }
        match state.volume.file_mut(self.node) {
            Some(file) => Ok((fault, file)),
            None => Err(self.error(DiskErrorKind::Io, action)),
        }
    }

    fn write(&self, bytes: &[Bytes], position: u64) -> Result<(), DiskError> {
        let at = self.place(position, "write")?;
        let mut state = self.disk.state();
        let room = state.room();
        let (fault, file) = self.begin(&mut state, Kind::Write, "write")?;
        let mut whole: Vec<u8> = Vec::with_capacity(bytes.iter().map(Bytes::len).sum());
        bytes.iter().for_each(|slice| whole.extend_from_slice(slice));
        let grows = at.saturating_add(whole.len()).saturating_sub(file.cache.len()) as u64;
        let failure = match fault {
            Some(Fault::Error(kind)) => Some(kind),
            Some(Fault::Short | Fault::Misdirected) | None if grows > room => {
                Some(DiskErrorKind::NoSpace)
            }
            Some(Fault::Short | Fault::Misdirected) | None => None,
        };
        let taken = match failure {
            None => whole.len(),
            Some(_) => state.part_of(whole.len()),
        };
        whole.truncate(taken);
        state.trace.bytes(&whole);
        state.trace.number(position);
        if let Some(file) = state.volume.file_mut(self.node).filter(|_| taken > 0) {
            file.change(Change::Write { at, bytes: Bytes::from(whole) });
        }
        failure.map_or(Ok(()), |kind| Err(self.error(kind, "write")))
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, DiskError> {
        let at = self.place(position, "read")?;
        let mut state = self.disk.state();
        let (fault, file) = self.begin(&mut state, Kind::Read, "read")?;
        let shift = if fault == Some(Fault::Misdirected) { 512 } else { 0 };
        let from = file.cache.get(at.saturating_sub(shift)..).unwrap_or_default();
        let mut n = from.len().min(buffer.len());
        if fault == Some(Fault::Short) {
            n /= 2;
        }
        for (to, from) in buffer.iter_mut().zip(from.iter().take(n)) {
            *to = *from;
        }
        if let Some(Fault::Error(kind)) = fault {
            return Err(self.error(kind, "read"));
        }
        state.trace.number(position);
        state.trace.number(n as u64);
        Ok(n)
    }

    fn write_at(&self, slices: &[Bytes], position: u64) -> Result<(), DiskError> {
        self.write(slices, position)
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        let mut state = self.disk.state();
        let (fault, file) = self.begin(&mut state, Kind::Sync, "sync")?;
        let Some(Fault::Error(kind)) = fault else {
            if std::mem::take(&mut file.untold) {
                return Err(self.error(DiskErrorKind::Io, "sync"));
            }
            file.sync();
            return Ok(());
        };
        // As on Linux: some pages may have been written; the others are clean from here on, so
        // that a sync that is tried again succeeds and means nothing.
        let mut draw = state.faults.draw.fork();
        if let Some(file) = state.volume.file_mut(self.node) {
            super::crash::drop_pages(file, &mut draw);
        }
        Err(self.error(kind, "sync"))
    }

    fn file_system(&self) -> Option<u64> {
        Some(0)
    }

    fn sync_file_system(&self) -> Result<(), DiskError> {
        let mut state = self.disk.state();
        let (fault, _) = self.begin(&mut state, Kind::Sync, "sync the file system of")?;
        let Some(Fault::Error(kind)) = fault else {
            state.volume.files_mut().for_each(File::sync);
            return Ok(());
        };
        // One of the files failed, as with a sync of its own, and is told of it then; or one of
        // somebody else.
        let mut draw = state.faults.draw.fork();
        let dirty = |file: &&mut File| !file.changes.is_empty();
        let count = state.volume.files_mut().filter(dirty).count();
        let failed = draw.below(count + 1);
        if let Some(file) = state.volume.files_mut().filter(dirty).nth(failed) {
            super::crash::drop_pages(file, &mut draw);
            file.untold = true;
        }
        Err(self.error(kind, "sync the file system of"))
    }

    fn set_len(&self, len: u64) -> Result<(), DiskError> {
        let len = self.place(len, "truncate")?;
        let mut state = self.disk.state();
        let (fault, file) = self.begin(&mut state, Kind::Name, "truncate")?;
        if let Some(Fault::Error(kind)) = fault {
            return Err(self.error(kind, "truncate"));
        }
        if file.cache.len() != len {
            file.change(Change::SetLen(len));
        }
        state.trace.number(len as u64);
        Ok(())
    }

    fn len(&self) -> Result<u64, DiskError> {
        let mut state = self.disk.state();
        let (_, file) = self.begin(&mut state, Kind::Look, "measure")?;
        Ok(file.cache.len() as u64)
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

pub(super) struct SimLock {
    pub(super) disk: SimDisk,
    pub(super) path: PathBuf,
    pub(super) life: u64,
}

impl fmt::Debug for SimLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimLock").field(&self.path).finish()
    }
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.life == self.life {
            state.locked.retain(|path| *path != self.path);
        }
    }
}
