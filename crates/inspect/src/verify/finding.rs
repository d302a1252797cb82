//! What is wrong, where, and what it means. Must not know how it was found.

use std::path::{Path, PathBuf};

use ottla_protocol::Offset;

use crate::error::InspectError;
use crate::json::Json;
use crate::out::Out;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nobody is served wrong.
    Note,
    /// A start puts it right from the log, or cuts off what nobody was promised.
    Repairable,
    /// Records are missing or unreadable, or a start would refuse.
    Damage,
}

impl Severity {
    /// A word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Repairable => "repairable",
            Self::Damage => "damage",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file or directory.
    pub path: PathBuf,
    /// Where in the file.
    pub position: Option<u64>,
    /// First and last offset concerned.
    pub offsets: Option<(Offset, Offset)>,
    /// What was found.
    pub what: String,
    /// What it means for who reads.
    pub meaning: String,
}

impl Finding {
    /// A finding about a whole file.
    #[must_use]
    pub fn new(
        severity: Severity,
        path: &Path,
        what: impl Into<String>,
        meaning: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            path: path.to_owned(),
            position: None,
            offsets: None,
            what: what.into(),
            meaning: meaning.into(),
        }
    }

    /// With its place in the file.
    #[must_use]
    pub fn at(mut self, position: u64) -> Self {
        self.position = Some(position);
        self
    }

    /// With the offsets concerned.
    #[must_use]
    pub fn offsets(mut self, first: Offset, last: Offset) -> Self {
        self.offsets = Some((first, last));
        self
    }

    fn text(&self) -> String {
        let mut line = format!("{}: {}", self.severity.word(), self.path.display());
        if let Some(position) = self.position {
            line.push_str(&format!(" at byte {position}"));
        }
        match self.offsets {
            Some((first, last)) if first == last => line.push_str(&format!(", offset {first}")),
            Some((first, last)) => line.push_str(&format!(", offsets {first} to {last}")),
            None => {}
        }
        format!("{line}: {}; {}", self.what, self.meaning)
    }

    fn json(&self) -> Json {
        Json::object([
            ("type", "finding".into()),
            ("severity", self.severity.word().into()),
            ("file", self.path.display().to_string().into()),
            ("position", self.position.into()),
            ("firstOffset", self.offsets.map(|(first, _)| first.0).into()),
            ("lastOffset", self.offsets.map(|(_, last)| last.0).into()),
            ("what", self.what.clone().into()),
            ("meaning", self.meaning.clone().into()),
        ])
    }
}

/// How much was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Findings of each severity.
    pub notes: u64,
    /// What a start puts right.
    pub repairable: u64,
    /// What it does not.
    pub damage: u64,
    /// Partitions looked at.
    pub partitions: u64,
    /// Batches whose checksum was computed.
    pub batches: u64,
    /// Bytes of logs read.
    pub bytes: u64,
}

/// Takes findings.
pub(crate) struct Report<'r, 'o> {
    out: &'r mut Out<'o>,
    /// Only what concerns this file is said.
    only: Option<PathBuf>,
    pub(crate) tally: Tally,
}

impl<'r, 'o> Report<'r, 'o> {
    pub(crate) fn new(out: &'r mut Out<'o>) -> Self {
        Self { out, only: None, tally: Tally::default() }
    }

    pub(crate) fn only(&mut self, path: Option<PathBuf>) {
        self.only = path;
    }

    pub(crate) fn found(&mut self, finding: &Finding) -> Result<(), InspectError> {
        if self.only.as_ref().is_some_and(|only| *only != finding.path) {
            return Ok(());
        }
        match finding.severity {
            Severity::Note => self.tally.notes += 1,
            Severity::Repairable => self.tally.repairable += 1,
            Severity::Damage => self.tally.damage += 1,
        }
        self.out.say(|| finding.text(), || finding.json())
    }

    pub(crate) fn finish(self) -> Result<Tally, InspectError> {
        let t = self.tally;
        let problems = t.repairable + t.damage;
        self.out.say(
            || {
                let verdict = if problems == 0 { "no problems" } else { "problems found" };
                format!(
                    "{verdict}: {} partitions, {} batches, {} bytes; {} notes, {} repairable, {} \
                     damage",
                    t.partitions, t.batches, t.bytes, t.notes, t.repairable, t.damage
                )
            },
            || {
                Json::object([
                    ("type", "summary".into()),
                    ("partitions", t.partitions.into()),
                    ("batches", t.batches.into()),
                    ("bytes", t.bytes.into()),
                    ("notes", t.notes.into()),
                    ("repairable", t.repairable.into()),
                    ("damage", t.damage.into()),
                ])
            },
        )?;
        self.out.finish()?;
        Ok(t)
    }
}
