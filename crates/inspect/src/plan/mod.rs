//! What a start would do with a directory, without doing it, and what can be done about damage.
//! The recovery of `log` and of the controller run over a [`Rehearsal`]: the plan is what they
//! did. Must not judge by rules of its own.

pub(crate) mod damage;
mod describe;
mod rehearsal;
pub(crate) mod start;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_env::{Disk, DiskErrorKind};
use ottla_log::{DirState, LogDirEntry, LogError, OffsetCheckpoint, TopicPartition};
use ottla_metadata::Image;
use ottla_protocol::{NodeId, Offset};

pub use rehearsal::Rehearsal;
pub use start::PlanOptions;

use crate::error::InspectError;
use crate::json::Json;
use crate::kind::LOCK;
use crate::out::Out;
use crate::target::Target;
use damage::{Damage, Stretch, segments, stretch};
use describe::Action;
use start::{METADATA_DIR, Start};

/// How the plan ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanTally {
    /// Partitions looked at.
    pub partitions: u64,
    /// Of these, opened as they are.
    pub trusted: u64,
    /// Read again, at least in part, or with derived files made anew; nothing sound goes.
    pub recovered: u64,
    /// Bytes or records are cut off.
    pub cut: u64,
    /// Kept offline.
    pub refused: u64,
    /// Opened, but with damage that a reader will meet.
    pub damaged: u64,
}

impl PlanTally {
    /// Whether somebody should look before a start.
    #[must_use]
    pub fn has_problems(self) -> bool {
        self.cut + self.refused + self.damaged > 0
    }
}

/// Says what a start would do with each target.
///
/// # Errors
/// When a directory cannot be read or is in use, or the answer not be written.
pub fn plan(
    disk: &Arc<dyn Disk>,
    targets: &[Target],
    options: PlanOptions,
    out: &mut Out<'_>,
) -> Result<PlanTally, InspectError> {
    let mut tally = PlanTally::default();
    let image = image_of(disk, targets, options)?;
    for target in targets {
        let (log_dir, only) = match target {
            Target::LogDir(path) => (path.clone(), None),
            Target::Partition(path) => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
                (path.parent().unwrap_or(Path::new("/")).to_owned(), name)
            }
            Target::File(path) => {
                return Err(InspectError::Usage(format!(
                    "{} is a file: a start is planned for a directory",
                    path.display()
                )));
            }
        };
        refuse_in_use(disk.as_ref(), &log_dir)?;
        let start = Start::begin(disk, &log_dir, options)?;
        let image = image.as_ref();
        Planning { disk, start, image, only, out, tally: &mut tally }.run()?;
    }
    finish(tally, out)?;
    Ok(tally)
}

/// The metadata, when one of several log directories of a node has it.
fn image_of(
    disk: &Arc<dyn Disk>,
    targets: &[Target],
    options: PlanOptions,
) -> Result<Option<Image>, InspectError> {
    for target in targets {
        if let Target::LogDir(path) = target
            && disk.exists(&path.join(METADATA_DIR))?
        {
            let start = Start::begin(disk, path, options)?;
            return Ok(start.metadata()?.result.ok().map(|found| found.image));
        }
    }
    Ok(None)
}

fn finish(t: PlanTally, out: &mut Out<'_>) -> Result<(), InspectError> {
    out.say(
        || {
            format!(
                "{} partitions: {} opened as they are, {} recovered, {} cut, {} refused, {} with \
                 damage that a start does not see",
                t.partitions, t.trusted, t.recovered, t.cut, t.refused, t.damaged
            )
        },
        || {
            Json::object([
                ("type", "summary".into()),
                ("partitions", t.partitions.into()),
                ("trusted", t.trusted.into()),
                ("recovered", t.recovered.into()),
                ("cut", t.cut.into()),
                ("refused", t.refused.into()),
                ("damaged", t.damaged.into()),
            ])
        },
    )?;
    out.finish()
}

/// A directory that a broker is writing to changes under the plan.
pub(crate) fn refuse_in_use(disk: &dyn Disk, log_dir: &Path) -> Result<(), InspectError> {
    if is_in_use(disk, log_dir)? {
        return Err(InspectError::Usage(format!(
            "{} is in use by a running broker: stop it first",
            log_dir.display()
        )));
    }
    Ok(())
}

/// Whether a broker has the lock of a log directory.
pub(crate) fn is_in_use(disk: &dyn Disk, log_dir: &Path) -> Result<bool, InspectError> {
    let lock = log_dir.join(LOCK);
    // Taking the lock would create the file, and this tool creates none.
    if !disk.exists(&lock)? {
        return Ok(false);
    }
    match disk.lock(&lock) {
        Ok(_) => Ok(false),
        Err(error) if error.kind == DiskErrorKind::Locked => Ok(true),
        // Who may not write there cannot ask.
        Err(error) if error.kind == DiskErrorKind::Permission => Ok(false),
        Err(error) => Err(error.into()),
    }
}

struct Planning<'a, 'o> {
    disk: &'a Arc<dyn Disk>,
    start: Start,
    /// The metadata, when another directory has it.
    image: Option<&'a Image>,
    only: Option<String>,
    out: &'a mut Out<'o>,
    tally: &'a mut PlanTally,
}

impl Planning<'_, '_> {
    fn run(&mut self) -> Result<(), InspectError> {
        self.introduce()?;
        let found = self.metadata()?;
        let image = found.as_ref().or(self.image);
        let entries = match self.start.dir.list() {
            Ok(entries) => entries,
            Err(LogError::Disk(error)) => return Err(error.into()),
            Err(error) => {
                self.tally.refused += 1;
                let why = error.to_string();
                return self.out.say(
                    || format!("no start: {why}; move it elsewhere"),
                    || {
                        Json::object([
                            ("type", "refused".into()),
                            ("partition", Json::Null),
                            ("why", why.clone().into()),
                        ])
                    },
                );
            }
        };
        for entry in entries {
            if entry.name == METADATA_DIR || self.only.as_ref().is_some_and(|n| *n != entry.name) {
                continue;
            }
            self.entry(&entry, image)?;
        }
        Ok(())
    }

    fn introduce(&mut self) -> Result<(), InspectError> {
        let path = self.start.dir.path().display().to_string();
        let clean = self.start.is_clean();
        self.out.say(
            || {
                let stop = if clean { "stopped cleanly" } else { "not stopped cleanly" };
                format!("{path}: {stop}")
            },
            || {
                Json::object([
                    ("type", "logDir".into()),
                    ("file", path.clone().into()),
                    ("clean", clean.into()),
                ])
            },
        )?;
        for warning in self.start.points.warnings.clone() {
            self.note(None, &warning)?;
        }
        Ok(())
    }

    fn note(&mut self, partition: Option<&str>, note: &str) -> Result<(), InspectError> {
        self.out.say(
            || format!("  note: {note}"),
            || {
                Json::object([
                    ("type", "note".into()),
                    ("partition", partition.map(str::to_owned).into()),
                    ("what", note.to_owned().into()),
                ])
            },
        )
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.start.dir.path().join(name)
    }

    /// The metadata log, when this directory has it.
    fn metadata(&mut self) -> Result<Option<Image>, InspectError> {
        if !self.disk.exists(&self.dir(METADATA_DIR))? {
            return Ok(None);
        }
        let wanted = self.only.as_ref().is_none_or(|name| name == METADATA_DIR);
        let outcome = self.start.metadata()?;
        let actions = describe::changes(self.disk.as_ref(), &outcome.changes)?;
        let image = match outcome.result {
            Ok(found) => {
                if wanted {
                    self.verdict(
                        METADATA_DIR,
                        (found.log_start, found.log_end),
                        None,
                        describe::reads(&outcome.reads),
                        actions,
                    )?;
                }
                Some(found.image)
            }
            Err(error) if wanted => {
                self.refused(METADATA_DIR, &error.to_string())?;
                None
            }
            Err(_) => None,
        };
        Ok(image)
    }

    fn entry(&mut self, entry: &LogDirEntry, image: Option<&Image>) -> Result<(), InspectError> {
        let fate = match entry.state {
            DirState::Delete => Some(("delete", "its topic was deleted: it is removed for good")),
            DirState::Future => Some(("keep", "it was being filled to replace another")),
            DirState::Stray => Some(("keep", "it is no longer this broker's")),
            DirState::Live => self.stray(entry, image),
        };
        if let Some((verb, why)) = fate {
            let name = entry.name.clone();
            return self.out.say(
                || format!("{name}: {verb}: {why}"),
                || {
                    Json::object([
                        ("type", "directory".into()),
                        ("partition", name.clone().into()),
                        ("action", verb.into()),
                        ("why", why.into()),
                    ])
                },
            );
        }
        let outcome = self.start.open(&entry.partition, image)?;
        match outcome.result {
            Ok((log_start, log_end, report)) => {
                let mut actions = describe::changes(self.disk.as_ref(), &outcome.changes)?;
                let reads = describe::reads(&outcome.reads);
                actions.retain(|action| !is_hygiene(action));
                let recovery_point = self.start.recovery_point(&entry.partition);
                let ends = (log_start, log_end);
                self.verdict(&entry.name, ends, recovery_point, reads, actions)?;
                for warning in &report.warnings {
                    self.note(Some(&entry.name), warning)?;
                }
                Ok(())
            }
            Err(LogError::TopicId { found, expected, .. }) => {
                let why = format!("it belongs to topic id {found}, and the topic's is {expected}");
                let name = entry.name.clone();
                self.out.say(
                    || format!("{name}: put aside: {why}"),
                    || {
                        Json::object([
                            ("type", "directory".into()),
                            ("partition", name.clone().into()),
                            ("action", "put aside".into()),
                            ("why", why.clone().into()),
                        ])
                    },
                )
            }
            Err(error) => self.refused(&entry.name, &error.to_string()),
        }
    }

    /// What becomes of a directory that the metadata does not know.
    fn stray(
        &self,
        entry: &LogDirEntry,
        image: Option<&Image>,
    ) -> Option<(&'static str, &'static str)> {
        let image = image?;
        let node = self.start.node.unwrap_or(NodeId::NONE);
        let partition = image
            .topic(&entry.partition.topic)
            .and_then(|topic| topic.partition(entry.partition.partition));
        let assigned = partition.is_some_and(|partition| partition.replicas.contains(&node));
        (!assigned).then_some(("put aside", "the metadata does not have it on this broker"))
    }

    fn verdict(
        &mut self,
        name: &str,
        (log_start, log_end): (Offset, Offset),
        recovery_point: Option<Offset>,
        reads: Vec<Action>,
        actions: Vec<Action>,
    ) -> Result<(), InspectError> {
        self.tally.partitions += 1;
        let damages = damage::find(self.disk.as_ref(), &self.dir(name))?;
        let cut = actions.iter().any(is_loss);
        // What a start cuts off is no damage that stays.
        let stays = damages.iter().filter(|damage| damage.first < log_end).cloned();
        let stays: Vec<Damage> = stays.collect();
        let word = if cut {
            self.tally.cut += 1;
            "cut"
        } else if actions.is_empty() {
            self.tally.trusted += 1;
            "open as it is"
        } else {
            self.tally.recovered += 1;
            "recover"
        };
        self.out.say(
            || {
                let point = recovery_point
                    .map_or_else(String::new, |point| format!(", recovery point {point}"));
                format!("{name}: {word}: offsets {log_start} to {log_end}{point}")
            },
            || {
                Json::object([
                    ("type", "partition".into()),
                    ("partition", name.to_owned().into()),
                    ("verdict", word.into()),
                    ("logStart", log_start.0.into()),
                    ("logEnd", log_end.0.into()),
                    ("recoveryPoint", recovery_point.map(|offset| offset.0).into()),
                ])
            },
        )?;
        for action in reads.iter().chain(&actions) {
            self.out.say(|| action.text(), || action.json(name))?;
        }
        if !stays.is_empty() {
            self.tally.damaged += 1;
            self.ways_out(name, &stays, true)?;
        }
        Ok(())
    }

    fn refused(&mut self, name: &str, why: &str) -> Result<(), InspectError> {
        self.tally.partitions += 1;
        self.tally.refused += 1;
        self.out.say(
            || format!("{name}: refused, it stays offline: {why}"),
            || {
                Json::object([
                    ("type", "refused".into()),
                    ("partition", name.to_owned().into()),
                    ("why", why.to_owned().into()),
                ])
            },
        )?;
        let damages = damage::find(self.disk.as_ref(), &self.dir(name))?;
        self.ways_out(name, &damages, false)
    }

    /// What can be done about damage, with what each way costs. `opens`: a start does not mind.
    fn ways_out(
        &mut self,
        name: &str,
        damages: &[Damage],
        opens: bool,
    ) -> Result<(), InspectError> {
        for damage in damages {
            let file = damage.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let (from, to, first, next) =
                (damage.hole.from, damage.hole.to, damage.first, damage.next);
            self.out.say(
                || {
                    let offsets = match next {
                        Some(next) => format!("offsets {first} to {}", next.plus(-1)),
                        None => format!("from offset {first} on"),
                    };
                    format!("  damage in {file}, bytes {from} to {to}, {offsets}: {}", damage.why)
                },
                || {
                    Json::object([
                        ("type", "damage".into()),
                        ("partition", name.to_owned().into()),
                        ("file", damage.path.display().to_string().into()),
                        ("from", from.into()),
                        ("to", to.into()),
                        ("firstOffset", first.0.into()),
                        ("nextOffset", next.map(|next| next.0).into()),
                        ("why", damage.why.clone().into()),
                    ])
                },
            )?;
        }
        let restore = format!(
            "put {name} aside and take it from another replica or a backup: nothing is lost"
        );
        self.option(name, "restore", restore, &Way::default())?;
        let Some(first) = damages.first() else {
            return if opens { Ok(()) } else { self.accept(name) };
        };
        if let Some(next) = first.next.filter(|_| opens) {
            let what = format!(
                "leave it: who reads offsets {} to {} gets an error, and can go on from {next}",
                first.first,
                next.plus(-1)
            );
            self.option(name, "leave", what, &Way::default())?;
        }
        self.cut(name, first)
    }

    /// The log as it is, when a checkpoint alone keeps it offline.
    fn accept(&mut self, name: &str) -> Result<(), InspectError> {
        let end = damage::end(self.disk.as_ref(), &self.dir(name))?;
        let checkpoints = self.beyond(name, end);
        if checkpoints.is_empty() {
            return Ok(());
        }
        let how = edits(name, &checkpoints, end);
        let what = format!("accept that the log ends at offset {end} ({how})");
        let way = Way { checkpoints, end: Some(end), ..Way::default() };
        self.option(name, "accept", what, &way)
    }

    /// The log without the damage and what is behind it.
    fn cut(&mut self, name: &str, damage: &Damage) -> Result<(), InspectError> {
        let (lost, segments) = self.behind(name, damage)?;
        let file = damage.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let end = damage.first;
        let mut how = format!("truncate -s {} {name}/{file}", damage.hole.from);
        if !segments.is_empty() {
            how.push_str(&format!("; remove the files of the {} later segments", segments.len()));
        }
        let checkpoints = self.beyond(name, end);
        if !checkpoints.is_empty() {
            how.push_str(&format!("; {}", edits(name, &checkpoints, end)));
        }
        let records = match lost.offsets {
            Some((from, to)) => {
                format!("{} sound records, offsets {from} to {to}, are lost too", lost.records)
            }
            None => "no sound record is lost".to_owned(),
        };
        let what = format!("cut the log at offset {end} ({how}): {records}");
        let way = Way {
            truncate: Some((file, damage.hole.from)),
            segments,
            checkpoints,
            end: Some(end),
            lost,
        };
        self.option(name, "cut", what, &way)
    }

    /// The checkpoints that keep a log offline which ends at `end`.
    fn beyond(&self, name: &str, end: Offset) -> Vec<&'static str> {
        let Some(partition) = TopicPartition::parse(name) else { return Vec::new() };
        let points = &self.start.points;
        [OffsetCheckpoint::RecoveryPoint, OffsetCheckpoint::LogStart]
            .into_iter()
            .zip([&points.recovery, &points.log_start])
            .filter(|(_, offsets)| offsets.get(&partition).is_some_and(|offset| *offset > end))
            .map(|(which, _)| which.file())
            .collect()
    }

    /// The sound records behind a stretch, and the later segments.
    fn behind(&self, name: &str, damage: &Damage) -> Result<(Stretch, Vec<Offset>), InspectError> {
        let disk = self.disk.as_ref();
        let mut behind = stretch(disk, &damage.path, damage.hole.to, u64::MAX)?;
        let mut later = Vec::new();
        for (base, path) in segments(disk, &self.dir(name))? {
            if path > damage.path {
                later.push(base);
                behind.add(stretch(disk, &path, 0, u64::MAX)?);
            }
        }
        Ok((behind, later))
    }

    fn option(
        &mut self,
        name: &str,
        kind: &'static str,
        what: String,
        way: &Way,
    ) -> Result<(), InspectError> {
        self.out.say(
            || format!("  option: {what}"),
            || {
                let segments = way.segments.iter().map(|base| base.0.into()).collect();
                let checkpoints = way.checkpoints.iter().map(|file| (*file).into()).collect();
                Json::object([
                    ("type", "option".into()),
                    ("partition", name.to_owned().into()),
                    ("option", kind.into()),
                    ("what", what.clone().into()),
                    ("truncate", way.truncate.as_ref().map(|(file, _)| file.clone()).into()),
                    ("truncateTo", way.truncate.as_ref().map(|(_, size)| *size).into()),
                    ("removeSegments", Json::List(segments)),
                    ("checkpoints", Json::List(checkpoints)),
                    ("checkpointOffset", way.end.map(|end| end.0).into()),
                    ("recordsLost", way.lost.records.into()),
                    ("firstOffsetLost", way.lost.offsets.map(|(first, _)| first.0).into()),
                    ("lastOffsetLost", way.lost.offsets.map(|(_, last)| last.0).into()),
                ])
            },
        )
    }
}

/// What a way out asks for, and what goes with it.
#[derive(Default)]
struct Way {
    /// A segment's file, and the bytes of it that stay.
    truncate: Option<(String, u64)>,
    /// Segments whose files go.
    segments: Vec<Offset>,
    /// Checkpoints of the log directory in which the partition gets `end`.
    checkpoints: Vec<&'static str>,
    end: Option<Offset>,
    lost: Stretch,
}

/// How the partition's line in checkpoints is changed.
fn edits(name: &str, checkpoints: &[&str], end: Offset) -> String {
    let line = TopicPartition::parse(name)
        .map_or_else(String::new, |p| format!("{} {}", p.topic, p.partition));
    // Topics' names have no character but the dot that means something to sed.
    let pattern = line.replace('.', "\\.");
    format!("sed -i 's/^{pattern} .*/{line} {end}/' {}", checkpoints.join(" "))
}

/// Whether bytes of a log go.
fn is_loss(action: &Action) -> bool {
    let is_log = action.path.extension().is_some_and(|end| end == "log");
    let empty = matches!(action.bytes, Some((0, _)));
    is_log && matches!(action.verb, "cut" | "remove") && !empty
}

/// Old producer snapshots are removed at each start: nobody misses them.
fn is_hygiene(action: &Action) -> bool {
    action.verb == "remove" && action.path.extension().is_some_and(|end| end == "snapshot")
}
