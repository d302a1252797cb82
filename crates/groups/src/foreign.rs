//! Groups of the newer types (consumer, share, streams) as records of the log hold them: kept
//! record by record, listed, deleted as a whole. Must not know what their values say: this
//! version serves none of their protocols.

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla_protocol::StrBytes;

use crate::Record;

/// A type of group other than classic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForeignKind {
    /// KIP-848.
    Consumer,
    /// KIP-932.
    Share,
    /// KIP-1071.
    Streams,
}

impl ForeignKind {
    /// The type of group whose record keys have this type number.
    pub(crate) fn of_key(kind: i16) -> Option<Self> {
        match kind {
            3..=8 | 16 => Some(Self::Consumer),
            10..=15 => Some(Self::Share),
            17 | 19..=23 => Some(Self::Streams),
            _ => None,
        }
    }

    /// The group type's name; also what such groups give as protocol type.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Share => "share",
            Self::Streams => "streams",
        }
    }

    /// The key type that makes such a group exist.
    fn metadata_key(self) -> i16 {
        match self {
            Self::Consumer => 3,
            Self::Share => 11,
            Self::Streams => 17,
        }
    }

    /// The key type of its members.
    fn member_key(self) -> i16 {
        match self {
            Self::Consumer => 5,
            Self::Share => 10,
            Self::Streams => 19,
        }
    }

    /// The key types, in the order in which Kafka deletes them.
    fn deletion_order(self) -> &'static [i16] {
        match self {
            Self::Consumer => &[8, 7, 6, 5, 16, 4, 3],
            Self::Share => &[14, 13, 12, 10, 15, 11],
            Self::Streams => &[22, 21, 20, 19, 17, 23],
        }
    }
}

/// A group whose protocol is not served here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ForeignGroup {
    pub(crate) kind: ForeignKind,
    /// Its records: (key type, key) to value.
    records: BTreeMap<(i16, Bytes), Bytes>,
}

impl ForeignGroup {
    pub(crate) fn new(kind: ForeignKind) -> Self {
        Self { kind, records: BTreeMap::new() }
    }

    /// Takes in one of its records. Says whether the group still exists: it ends with the
    /// tombstone of its own metadata, or with its last record.
    pub(crate) fn apply(&mut self, kind: i16, key: &Bytes, value: Option<&Bytes>) -> bool {
        match value {
            Some(value) => {
                self.records.insert((kind, key.clone()), value.clone());
                true
            }
            None => {
                self.records.remove(&(kind, key.clone()));
                kind != self.kind.metadata_key() && !self.records.is_empty()
            }
        }
    }

    /// Whether it has no members.
    pub(crate) fn is_empty(&self) -> bool {
        !self.records.keys().any(|(kind, _)| *kind == self.kind.member_key())
    }

    /// The state it is listed with.
    pub(crate) fn state(&self) -> &'static str {
        if self.is_empty() { "Empty" } else { "Stable" }
    }

    /// The records that end it.
    pub(crate) fn tombstones(&self, out: &mut Vec<Record>) {
        for kind in self.kind.deletion_order() {
            let of_kind = self.records.keys().filter(|(of, _)| of == kind);
            out.extend(of_kind.map(|(_, key)| Record { key: key.clone(), value: None }));
        }
    }

    /// Whether a classic group may take its place: Kafka converts empty consumer and streams
    /// groups when a classic member joins.
    pub(crate) fn gives_way(&self) -> bool {
        self.kind != ForeignKind::Share && self.is_empty()
    }

    /// The text of Kafka's answer to a DescribeGroups that names such a group.
    pub(crate) fn not_classic(group_id: &StrBytes) -> String {
        format!("Group {group_id} is not a classic group.")
    }
}
