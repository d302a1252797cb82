//! Emptying the page cache of a folder's files, and what a process then reads from the disk. Linux
//! only. Must not know what the files are.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use ottla_interop::program;
use rustix::fs::{Advice, fadvise};

const SYNC_LIMIT: Duration = Duration::from_secs(600);

/// Writes everything to the disk and forgets the files below `folder`; needs no privilege.
pub(super) fn evict(folder: &Path) -> anyhow::Result<()> {
    program::run(&mut Command::new("sync"), SYNC_LIMIT)?;
    forget(folder)
}

/// Forgets what is on the disk already.
pub(super) fn forget(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            forget(&entry.path())?;
        } else if kind.is_file() {
            // The broker may have removed it meanwhile.
            match File::open(entry.path()) {
                Ok(file) => fadvise(file, 0, None, Advice::DontNeed)?,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Bytes that a process has caused to be read from the disk.
pub(super) fn disk_bytes(pid: u32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("read_bytes: "));
    Ok(line.context("no read_bytes")?.parse()?)
}
