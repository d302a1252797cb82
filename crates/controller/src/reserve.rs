//! Space kept back for the metadata log: a file of real blocks beside it, given up when the disk is
//! full and made again when there is space. Must not know what the log holds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_env::{Disk, DiskError, OpenMode};
use tracing::{info, warn};

const FILE: &str = ".ottla-reserve";
/// It is made when so many times its size are free: it is there for need, and causes none.
const FREE_FACTOR: u64 = 4;
/// Without a setting: at most so many bytes, and no more than this part of the volume.
const DEFAULT_BYTES: u64 = 16 << 20;
const DEFAULT_PART: u64 = 256;

/// The space that is kept back.
#[derive(Debug)]
pub(crate) struct Reserve {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Bytes; none for a part of the volume.
    setting: Option<u64>,
    held: bool,
}

impl Reserve {
    /// Takes over what an earlier life left. When the volume is full already, it is given up now:
    /// a start writes too.
    pub(crate) fn find(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        setting: Option<u64>,
    ) -> Result<Self, DiskError> {
        let disk = Arc::clone(disk);
        let mut reserve = Self { disk, dir: dir.to_owned(), setting, held: false };
        let path = reserve.path();
        if !reserve.disk.exists(&path)? {
            return Ok(reserve);
        }
        let (bytes, available) = reserve.bytes()?;
        let found = reserve.disk.open(&path, OpenMode::Read)?.len()?;
        if found == bytes && bytes > 0 && available >= bytes {
            reserve.held = true;
        } else {
            reserve.disk.remove_file(&path)?;
        }
        Ok(reserve)
    }

    fn path(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// Its size, and how much is free.
    fn bytes(&self) -> Result<(u64, u64), DiskError> {
        let space = self.disk.space(&self.dir)?;
        let part = DEFAULT_BYTES.min(space.total / DEFAULT_PART);
        Ok((self.setting.unwrap_or(part), space.available))
    }

    /// Whether there is nothing to be made.
    pub(crate) fn is_complete(&self) -> bool {
        self.held || self.setting == Some(0)
    }

    /// Makes the file when it is not there and there is space enough.
    pub(crate) fn keep(&mut self) {
        if self.is_complete() {
            return;
        }
        match self.make() {
            Ok(held) => self.held = held,
            Err(error) => {
                // Half of it helps nobody.
                let _gone = self.disk.remove_file(&self.path());
                warn!(%error, "no space is kept back for the metadata log");
            }
        }
    }

    fn make(&self) -> Result<bool, DiskError> {
        let (bytes, available) = self.bytes()?;
        if bytes == 0 || available / FREE_FACTOR < bytes {
            return Ok(false);
        }
        let file = self.disk.open(&self.path(), OpenMode::CreateEmpty)?;
        file.allocate(bytes)?;
        Ok(true)
    }

    /// Gives the space up; whether there was any.
    pub(crate) fn give_up(&mut self) -> bool {
        if !std::mem::take(&mut self.held) {
            return false;
        }
        match self.disk.remove_file(&self.path()) {
            Ok(()) => {
                info!("the disk is full: the space kept back for the metadata log is used now");
                true
            }
            Err(error) => {
                warn!(%error, "the space kept back for the metadata log cannot be used");
                false
            }
        }
    }
}
