//! Whether the files are right: every batch's checksum, offsets, sequences and epochs; indexes,
//! producer snapshots, epochs and checkpoints against the log. What is wrong is told with its
//! place, how bad it is, and what it means for who reads. Must not know what a start does about
//! it: where that matters, the start is rehearsed.

mod chain;
mod finding;
mod metadata;
mod partition;
mod producers;
mod small;
mod txn;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_env::{Disk, EntryKind};
use ottla_log::{DirState, MetaProperties, Offsets, TopicPartition, decode_offsets, parse_dir};
use ottla_protocol::Offset;

pub use finding::{Finding, Severity, Tally};

use crate::error::InspectError;
use crate::kind::{CLEANER_CHECKPOINT, Kind, LOCK, OFFSET_CHECKPOINTS};
use crate::out::Out;
use crate::plan::{PlanOptions, is_in_use};
use crate::target::Target;
use finding::Report;

/// How thoroughly it is looked.
#[derive(Clone, Copy, Debug)]
pub struct VerifyOptions {
    /// Every record is unpacked and read, not only its batch's checksum computed.
    pub deep: bool,
    /// How a start is rehearsed, to tell a torn end from damage.
    pub start: PlanOptions,
}

/// What the checkpoints of a log directory say.
#[derive(Clone, Debug, Default)]
struct Checkpoints {
    /// By the file's name.
    offsets: BTreeMap<&'static str, Offsets>,
}

impl Checkpoints {
    fn get(&self, file: &str, partition: &TopicPartition) -> Option<Offset> {
        self.offsets.get(file)?.get(partition).copied()
    }

    fn compacted(&self, partition: &TopicPartition) -> bool {
        self.get(CLEANER_CHECKPOINT, partition).is_some()
    }
}

/// Looks at each target, and says what is wrong.
///
/// # Errors
/// When a file cannot be read, or the answer not be written.
pub fn verify(
    disk: &Arc<dyn Disk>,
    targets: &[Target],
    options: VerifyOptions,
    out: &mut Out<'_>,
) -> Result<Tally, InspectError> {
    let mut report = Report::new(out);
    for target in targets {
        match target {
            Target::LogDir(path) => log_dir(disk, path, options, &mut report)?,
            Target::Partition(path) => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                in_use(disk.as_ref(), path.parent(), &mut report)?;
                partition(disk, &path, options, &mut report)?;
            }
            Target::File(path) => file(disk, path, options, &mut report)?,
        }
    }
    report.finish()
}

fn in_use(
    disk: &dyn Disk,
    log_dir: Option<&Path>,
    report: &mut Report<'_, '_>,
) -> Result<(), InspectError> {
    let Some(dir) = log_dir else { return Ok(()) };
    if is_in_use(disk, dir)? {
        report.found(&Finding::new(
            Severity::Note,
            &dir.join(LOCK),
            "a broker is running on this directory",
            "what it is writing just now may look torn",
        ))?;
    }
    Ok(())
}

fn partition(
    disk: &Arc<dyn Disk>,
    path: &Path,
    options: VerifyOptions,
    report: &mut Report<'_, '_>,
) -> Result<(), InspectError> {
    let checkpoints = path.parent().map(|dir| checkpoints(disk.as_ref(), dir)).transpose()?;
    let log_dir = path.parent();
    let known = log_dir
        .is_some_and(|dir| disk.exists(&dir.join(MetaProperties::FILE)).is_ok_and(|exists| exists));
    let checkpoints = checkpoints.unwrap_or_default();
    partition::verify(disk, path, known.then_some(&checkpoints), options, report)
}

/// One file, seen in its partition.
fn file(
    disk: &Arc<dyn Disk>,
    path: &Path,
    options: VerifyOptions,
    report: &mut Report<'_, '_>,
) -> Result<(), InspectError> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let kind = Kind::of(&name.unwrap_or_default());
    let dir = path.parent().unwrap_or(Path::new("/"));
    match kind {
        Kind::OffsetCheckpoint | Kind::MetaProperties | Kind::CleanShutdown => {
            small::verify(disk.as_ref(), &path, kind, report)
        }
        Kind::Passing | Kind::Other => Err(InspectError::Usage(format!(
            "{} is no file that Kafka or Ottla reads",
            path.display()
        ))),
        Kind::Log(_)
        | Kind::OffsetIndex(_)
        | Kind::TimeIndex(_)
        | Kind::TxnIndex(_)
        | Kind::Snapshot(_)
        | Kind::MetadataSnapshot
        | Kind::LeaderEpochs
        | Kind::PartitionMetadata
        | Kind::QuorumState => {
            report.only(Some(path.clone()));
            partition(disk, dir, options, report)?;
            report.only(None);
            Ok(())
        }
    }
}

/// The checkpoints that can be read.
fn checkpoints(disk: &dyn Disk, dir: &Path) -> Result<Checkpoints, InspectError> {
    let mut found = Checkpoints::default();
    for name in OFFSET_CHECKPOINTS {
        let path = dir.join(name);
        if !disk.exists(&path)? {
            continue;
        }
        let text = String::from_utf8_lossy(&disk.read(&path)?).into_owned();
        if let Ok(offsets) = decode_offsets(&text) {
            found.offsets.insert(name, offsets);
        }
    }
    Ok(found)
}

fn log_dir(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    options: VerifyOptions,
    report: &mut Report<'_, '_>,
) -> Result<(), InspectError> {
    in_use(disk.as_ref(), Some(dir), report)?;
    let checkpoints = checkpoints(disk.as_ref(), dir)?;
    let entries = disk.list(dir)?;
    if !entries.iter().any(|entry| entry.name == MetaProperties::FILE) {
        report.found(&Finding::new(
            Severity::Damage,
            &dir.join(MetaProperties::FILE),
            "it is missing",
            "nothing tells whose directory this is, and no broker starts with it",
        ))?;
    }
    let mut partitions: Vec<(TopicPartition, PathBuf)> = Vec::new();
    for entry in &entries {
        let path = dir.join(&entry.name);
        match entry.kind {
            EntryKind::File => {
                let kind = Kind::of(&entry.name);
                small::verify(disk.as_ref(), &path, kind, report)?;
            }
            EntryKind::Directory => match parse_dir(&entry.name) {
                Some((partition, DirState::Live)) => partitions.push((partition, path)),
                Some((_, state)) => report.found(&aside(&path, state))?,
                None if entry.name == "remote-log-index-cache" => {}
                None => report.found(&Finding::new(
                    Severity::Damage,
                    &path,
                    "its name is no partition's (a topic and a number, as \"topic-0\")",
                    "neither Kafka nor Ottla starts with it there: move it elsewhere",
                ))?,
            },
            EntryKind::Other => report.found(&Finding::new(
                Severity::Note,
                &path,
                "it is neither a file nor a directory",
                "brokers pass it over",
            ))?,
        }
    }
    for (file, offsets) in &checkpoints.offsets {
        for partition in offsets.keys() {
            if !partitions.iter().any(|(known, _)| known == partition) {
                report.found(&Finding::new(
                    Severity::Note,
                    &dir.join(file),
                    format!("it speaks of {partition}, which is not here"),
                    "brokers pass the entry over",
                ))?;
            }
        }
    }
    for (_, path) in &partitions {
        partition::verify(disk, path, Some(&checkpoints), options, report)?;
    }
    Ok(())
}

fn aside(path: &Path, state: DirState) -> Finding {
    let (what, meaning) = match state {
        DirState::Live => ("it is in use", "nothing is wrong"),
        DirState::Delete => ("its topic was deleted", "a broker removes it for good"),
        DirState::Future => {
            ("it was being filled to replace another", "it is no partition that anybody reads")
        }
        DirState::Stray => ("a broker put it aside as not its own", "nobody reads it"),
    };
    Finding::new(Severity::Note, path, what, meaning)
}
