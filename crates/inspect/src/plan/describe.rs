//! What a start would change, in words: one action for each file. Must not decide anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ottla_env::Disk;

use super::damage::{Stretch, stretch};
use super::rehearsal::{Change, Reads};
use crate::error::InspectError;
use crate::json::Json;
use crate::kind::Kind;

/// One thing that a start would do to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    pub(crate) verb: &'static str,
    pub(crate) path: PathBuf,
    /// Bytes of the file before and after, where that tells something.
    pub(crate) bytes: Option<(u64, u64)>,
    /// Of a log that is read: how many places, and how many bytes in all.
    places: Option<(usize, u64)>,
    /// Sound records that go with it.
    pub(crate) lost: Stretch,
}

impl Action {
    fn new(verb: &'static str, path: &Path) -> Self {
        Self { verb, path: path.to_owned(), bytes: None, places: None, lost: Stretch::default() }
    }

    pub(crate) fn text(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let mut line = format!("  {} {name}", self.verb);
        match (self.verb, self.bytes) {
            ("read", Some((from, to))) => line.push_str(&format!(" from byte {from} to {to}")),
            ("cut", Some((from, to))) => {
                line.push_str(&format!(" at byte {to}, off its {from} bytes"));
            }
            (_, Some((from, _))) => line.push_str(&format!(" ({from} bytes)")),
            (_, None) => {}
        }
        if let Some((places, bytes)) = self.places.filter(|(places, _)| *places > 1) {
            line.push_str(&format!(": {bytes} bytes in {places} places"));
        }
        if let Some((first, last)) = self.lost.offsets {
            line.push_str(&format!(
                ": {} sound records, offsets {first} to {last}, go with it",
                self.lost.records
            ));
        }
        line
    }

    pub(crate) fn json(&self, partition: &str) -> Json {
        Json::object([
            ("type", "action".into()),
            ("partition", partition.to_owned().into()),
            ("action", self.verb.into()),
            ("file", self.path.display().to_string().into()),
            ("from", self.bytes.map(|(from, _)| from).into()),
            ("to", self.bytes.map(|(_, to)| to).into()),
            ("bytesRead", self.places.map(|(_, bytes)| bytes).into()),
            ("recordsLost", self.lost.records.into()),
            ("firstOffsetLost", self.lost.offsets.map(|(first, _)| first.0).into()),
            ("lastOffsetLost", self.lost.offsets.map(|(_, last)| last.0).into()),
        ])
    }
}

fn kind(path: &Path) -> Kind {
    Kind::of(&path.file_name().unwrap_or_default().to_string_lossy())
}

/// Reads smaller than this are looks at single headers.
const GLANCE: u64 = 128;

/// What is read of the logs to recover them.
pub(crate) fn reads(reads: &BTreeMap<PathBuf, Reads>) -> Vec<Action> {
    let mut actions = Vec::new();
    for (path, reads) in reads.iter().filter(|(path, _)| matches!(kind(path), Kind::Log(_))) {
        let ranges = || reads.ranges.iter().filter(|(from, to)| to - from > GLANCE);
        let from = ranges().map(|(from, _)| *from).min();
        let to = ranges().map(|(_, to)| *to).max();
        let bytes = ranges().map(|(from, to)| to - from).sum();
        actions.push(Action {
            bytes: from.zip(to),
            places: Some((ranges().count(), bytes)),
            ..Action::new("read", path)
        });
    }
    actions.retain(|action| action.bytes.is_some());
    actions
}

/// What is changed, one action for each file, in the order in which it begins.
pub(crate) fn changes(disk: &dyn Disk, changes: &[Change]) -> Result<Vec<Action>, InspectError> {
    let mut actions: Vec<Action> = Vec::new();
    for change in changes {
        match change {
            Change::Created { path, .. } if kind(path) == Kind::Passing => {}
            Change::Created { path, replaced: true } => {
                put(&mut actions, Action::new("rebuild", path))
            }
            Change::Created { path, replaced: false } => {
                put(&mut actions, Action::new("create", path))
            }
            Change::Written { path } if kind(path) == Kind::Passing => {}
            Change::Written { path } => put(&mut actions, Action::new("write", path)),
            Change::Resized { path, to: 0, .. } if !matches!(kind(path), Kind::Log(_)) => {
                put(&mut actions, Action::new("rebuild", path));
            }
            Change::Resized { path, from, to } if to < from => {
                let lost = lost(disk, path, *to, *from)?;
                put(
                    &mut actions,
                    Action { bytes: Some((*from, *to)), lost, ..Action::new("cut", path) },
                );
            }
            Change::Resized { path, .. } => put(&mut actions, Action::new("write", path)),
            Change::Renamed { from, to } => {
                let verb = if from.extension().is_some_and(|end| end == "tmp") {
                    "rewrite"
                } else {
                    // What it replaces was removed before: nothing is lost by that.
                    actions.retain(|action| action.path != *to);
                    "put in place"
                };
                put(&mut actions, Action::new(verb, to));
            }
            Change::Removed { path, len } => {
                let lost = lost(disk, path, 0, *len)?;
                put(
                    &mut actions,
                    Action { bytes: Some((*len, 0)), lost, ..Action::new("remove", path) },
                );
            }
        }
    }
    settle_replacements(&mut actions);
    Ok(actions)
}

/// The first action on a file says it: what is created is written afterwards.
fn put(actions: &mut Vec<Action>, action: Action) {
    let known = actions.iter().any(|a| a.path == action.path && a.verb != "cut");
    if !known || action.verb == "cut" {
        actions.push(action);
    }
}

/// Segments that are replaced by one that was compacted: what they had is in that one.
fn settle_replacements(actions: &mut [Action]) {
    let replaced = |a: &Action| a.verb == "put in place" && matches!(kind(&a.path), Kind::Log(_));
    if actions.iter().any(replaced) {
        for action in actions.iter_mut().filter(|action| action.verb == "remove") {
            action.verb = "replace";
            action.lost = Stretch::default();
        }
    }
}

/// The sound records of a log between two positions.
fn lost(disk: &dyn Disk, path: &Path, from: u64, to: u64) -> Result<Stretch, InspectError> {
    if matches!(kind(path), Kind::Log(_)) && disk.exists(path)? {
        stretch(disk, path, from, to)
    } else {
        Ok(Stretch::default())
    }
}
