//! What a broker can do wrong. Must not know how it is found.

use std::fmt;

/// The promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Acknowledged, or read before, and not there.
    Lost,
    /// Something else is at an offset that was acknowledged or read before.
    Changed,
    /// A record whose bytes are not those that were sent.
    Damaged,
    /// A record that was never sent there.
    Phantom,
    /// A record that is there more than once.
    Duplicate,
    /// Records of one producer out of their order, or with a gap.
    Order,
    /// Offsets that do not rise, or leave a gap in a log that is not compacted.
    Offsets,
    /// The log ends before what was acknowledged.
    End,
    /// The log begins after what may be deleted, or before what was deleted.
    Start,
    /// A look-up by time that gives another offset than the records do.
    Timestamp,
    /// A committed offset that is not there.
    GroupOffset,
    /// A topic that should exist and does not, or the other way round.
    Topic,
    /// A partition that is in no log directory, or in two.
    Place,
    /// A setting that is not as it was acknowledged.
    Setting,
    /// A producer id that was handed out before.
    ProducerId,
    /// The broker did not start.
    RefusedStart,
    /// The broker ended by itself, or did not stop as asked.
    Ended,
    /// A request that should be granted was refused.
    Refused,
    /// No answer in time.
    Hung,
    /// Granted, although the disk had failed.
    AfterFailure,
}

impl Rule {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Changed => "changed",
            Self::Damaged => "damaged",
            Self::Phantom => "phantom",
            Self::Duplicate => "duplicate",
            Self::Order => "order",
            Self::Offsets => "offsets",
            Self::End => "end",
            Self::Start => "start",
            Self::Timestamp => "timestamp",
            Self::GroupOffset => "group-offset",
            Self::Topic => "topic",
            Self::Place => "place",
            Self::Setting => "setting",
            Self::ProducerId => "producer-id",
            Self::RefusedStart => "refused-start",
            Self::Ended => "ended",
            Self::Refused => "refused",
            Self::Hung => "hung",
            Self::AfterFailure => "after-failure",
        }
    }
}

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub rule: Rule,
    /// Where and what exactly.
    pub what: String,
}

impl Violation {
    /// A broken promise.
    pub fn new(rule: Rule, what: impl Into<String>) -> Self {
        Self { rule, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule.name(), self.what)
    }
}
