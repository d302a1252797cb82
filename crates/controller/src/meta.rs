//! What a log directory is: empty, a node's, or somebody else's. Must not know what is done about
//! it.

use std::path::Path;

use ottla_env::{Disk, DiskError, Entry, EntryKind};
use ottla_protocol::{NodeId, Uuid};

use crate::{metadata_log, quorum_file};

/// Whose a log directory is: the content of `meta.properties`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// The cluster's id.
    pub cluster_id: String,
    /// The node's id.
    pub node_id: NodeId,
    /// The directory's own id.
    pub directory_id: Uuid,
}

/// What a log directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// There is nothing in it, or no directory at all.
    Empty,
    /// It was formatted.
    Formatted(MetaProperties),
    /// It holds something else: what was found.
    Foreign(String),
    /// It was formatted, and something is wrong: a sentence.
    Damaged(String),
}

/// Files that may be in a directory which nobody has formatted yet: the lock, what a power cut
/// left of a format that had not finished, what a file system makes itself.
fn is_harmless(entry: &Entry) -> bool {
    let name = entry.name.as_str();
    let left_over = ["meta.properties.tmp", "bootstrap.checkpoint.tmp"].contains(&name);
    match entry.kind {
        EntryKind::File => name == ".lock" || left_over,
        // A format writes the bootstrap snapshot before `meta.properties`, which makes it valid.
        EntryKind::Directory => name == "lost+found" || name == crate::metadata_log::DIRECTORY,
        EntryKind::Other => false,
    }
}

/// Says what a directory is.
///
/// # Errors
/// When the disk fails.
pub fn inspect(disk: &dyn Disk, dir: &Path) -> Result<Contents, DiskError> {
    if !disk.exists(dir)? {
        return Ok(Contents::Empty);
    }
    let entries = disk.list(dir)?;
    if entries.iter().any(|entry| entry.name == ottla_log::MetaProperties::FILE) {
        return Ok(match read(disk, dir)? {
            Ok(meta) => Contents::Formatted(meta),
            Err(what) => {
                Contents::Damaged(format!("{} is damaged: {what}", ottla_log::MetaProperties::FILE))
            }
        });
    }
    let foreign: Vec<&Entry> = entries.iter().filter(|entry| !is_harmless(entry)).collect();
    let Some(first) = foreign.first() else {
        return unfinished_or_foreign(disk, dir);
    };
    let what = match first.kind {
        EntryKind::Directory => format!("the directory {}", first.name),
        EntryKind::File => format!("the file {}", first.name),
        EntryKind::Other => first.name.clone(),
    };
    let rest = foreign.len().saturating_sub(1);
    let others = match rest {
        0 => String::new(),
        1 => " and 1 other".to_owned(),
        _ => format!(" and {rest} others"),
    };
    Ok(Contents::Foreign(format!("{what}{others}, but no {}", ottla_log::MetaProperties::FILE)))
}

/// Whether a controller has run on a formatted metadata directory.
///
/// # Errors
/// When the disk fails.
pub fn has_run(disk: &dyn Disk, dir: &Path) -> Result<bool, DiskError> {
    disk.exists(&dir.join(metadata_log::DIRECTORY).join(quorum_file::FILE))
}

/// A metadata log without `meta.properties` is only there when a format did not finish: then it
/// has the bootstrap snapshot at most, and no log.
fn unfinished_or_foreign(disk: &dyn Disk, dir: &Path) -> Result<Contents, DiskError> {
    let log = dir.join(crate::metadata_log::DIRECTORY);
    if disk.exists(&log)? {
        let used = disk
            .list(&log)?
            .into_iter()
            .find(|entry| !entry.name.starts_with("00000000000000000000-0000000000.checkpoint"));
        if let Some(used) = used {
            return Ok(Contents::Damaged(format!(
                "{} holds {}, but {} is missing",
                crate::metadata_log::DIRECTORY,
                used.name,
                ottla_log::MetaProperties::FILE
            )));
        }
    }
    Ok(Contents::Empty)
}

fn read(disk: &dyn Disk, dir: &Path) -> Result<Result<MetaProperties, String>, DiskError> {
    let content = disk.read(&dir.join(ottla_log::MetaProperties::FILE))?;
    let Ok(text) = String::from_utf8(content) else {
        return Ok(Err("it is no text".to_owned()));
    };
    Ok(ottla_log::MetaProperties::decode(&text).and_then(|meta| {
        let missing = |key: &str| format!("it has no {key}");
        Ok(MetaProperties {
            cluster_id: meta
                .cluster_id
                .filter(|id| !id.is_empty())
                .ok_or_else(|| missing("cluster.id"))?,
            node_id: meta.node_id.ok_or_else(|| missing("node.id"))?,
            directory_id: match meta.directory_id {
                Some(id) if id.is_reserved() => {
                    return Err(format!("directory.id {id} is reserved"));
                }
                Some(id) => id,
                None => return Err(missing("directory.id")),
            },
        })
    }))
}
