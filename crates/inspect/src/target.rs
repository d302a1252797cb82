//! What paths on a command line name: a log directory, a partition's directory, or a file. Must
//! not know what is done with it.

use std::path::{Path, PathBuf};

use ottla_env::{Disk, DiskError, DiskErrorKind, EntryKind};
use ottla_log::{MetaProperties, parse_dir};

use crate::error::InspectError;
use crate::kind::{Kind, OFFSET_CHECKPOINTS};

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A log directory: partitions' directories and the small files beside them.
    LogDir(PathBuf),
    /// A partition's directory.
    Partition(PathBuf),
    /// One file.
    File(PathBuf),
}

impl Target {
    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::LogDir(path) | Self::Partition(path) | Self::File(path) => path,
        }
    }
}

/// What these paths name. A path with commas that is no path is a list, as Kafka's tool has it.
///
/// # Errors
/// When there is no such path, or it cannot be read.
pub fn targets(disk: &dyn Disk, paths: &[PathBuf]) -> Result<Vec<Target>, InspectError> {
    let mut found = Vec::new();
    for path in paths {
        let text = path.to_string_lossy();
        if text.contains(',') && !disk.exists(path)? {
            for part in text.split(',').filter(|part| !part.is_empty()) {
                found.push(target(disk, Path::new(part))?);
            }
        } else {
            found.push(target(disk, path)?);
        }
    }
    Ok(found)
}

fn target(disk: &dyn Disk, path: &Path) -> Result<Target, InspectError> {
    if !disk.exists(path)? {
        return Err(DiskError::new(DiskErrorKind::NotFound, "look at", path).into());
    }
    // What can be listed is a directory; nothing else says so.
    let Ok(entries) = disk.list(path) else {
        let file = disk.open(path, ottla_env::OpenMode::Read)?;
        drop(file);
        return Ok(Target::File(path.to_owned()));
    };
    let has_small_file = entries
        .iter()
        .any(|e| e.name == MetaProperties::FILE || OFFSET_CHECKPOINTS.contains(&e.name.as_str()));
    let has_segment = entries.iter().any(|e| matches!(Kind::of(&e.name), Kind::Log(_)));
    let named = path.file_name().is_some_and(|name| parse_dir(&name.to_string_lossy()).is_some());
    let has_partition =
        entries.iter().any(|e| e.kind == EntryKind::Directory && parse_dir(&e.name).is_some());
    if has_segment || (named && !has_small_file && !has_partition) {
        return Ok(Target::Partition(path.to_owned()));
    }
    Ok(Target::LogDir(path.to_owned()))
}
