//! What a file is, told by its name. Must not open it.

use ottla_log::offset_of;
use ottla_protocol::Offset;

/// A file of a log directory or of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `.log`: batches, from this offset on.
    Log(Offset),
    /// `.index`
    OffsetIndex(Offset),
    /// `.timeindex`
    TimeIndex(Offset),
    /// `.txnindex`
    TxnIndex(Offset),
    /// `.snapshot`: the producers below this offset.
    Snapshot(Offset),
    /// `.checkpoint`: a snapshot of the metadata.
    MetadataSnapshot,
    /// `leader-epoch-checkpoint`
    LeaderEpochs,
    /// `partition.metadata`
    PartitionMetadata,
    /// One of the log directory's offset checkpoints.
    OffsetCheckpoint,
    /// `meta.properties`
    MetaProperties,
    /// `.kafka_cleanshutdown`
    CleanShutdown,
    /// `quorum-state`
    QuorumState,
    /// `.cleaned`, `.swap`, `.deleted`, `.tmp`, `.part`: on its way in or out.
    Passing,
    /// A file that neither Kafka nor Ottla reads, or a private one (its name begins with a dot).
    Other,
}

/// The offset checkpoints of a log directory.
pub(crate) const OFFSET_CHECKPOINTS: [&str; 4] = [
    "recovery-point-offset-checkpoint",
    "log-start-offset-checkpoint",
    "replication-offset-checkpoint",
    CLEANER_CHECKPOINT,
];
/// How far each log was compacted.
pub(crate) const CLEANER_CHECKPOINT: &str = "cleaner-offset-checkpoint";
/// The marker of a clean stop.
pub(crate) const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
/// What a broker locks.
pub(crate) const LOCK: &str = ".lock";

const PASSING: [&str; 5] = [".cleaned", ".swap", ".deleted", ".tmp", ".part"];

impl Kind {
    /// What a file of this name is.
    #[must_use]
    pub fn of(name: &str) -> Self {
        if PASSING.iter().any(|suffix| name.ends_with(suffix)) {
            return Self::Passing;
        }
        match name {
            "leader-epoch-checkpoint" => return Self::LeaderEpochs,
            "partition.metadata" => return Self::PartitionMetadata,
            "meta.properties" => return Self::MetaProperties,
            CLEAN_SHUTDOWN => return Self::CleanShutdown,
            "quorum-state" => return Self::QuorumState,
            _ => {}
        }
        if OFFSET_CHECKPOINTS.contains(&name) {
            return Self::OffsetCheckpoint;
        }
        if name.ends_with(".checkpoint") {
            return Self::MetadataSnapshot;
        }
        let Some(offset) = offset_of(name) else { return Self::Other };
        match name.get(20..) {
            Some(".log") => Self::Log(offset),
            Some(".index") => Self::OffsetIndex(offset),
            Some(".timeindex") => Self::TimeIndex(offset),
            Some(".txnindex") => Self::TxnIndex(offset),
            Some(".snapshot") => Self::Snapshot(offset),
            Some(_) | None => Self::Other,
        }
    }

    /// A word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Log(_) => "log",
            Self::OffsetIndex(_) => "offsetIndex",
            Self::TimeIndex(_) => "timeIndex",
            Self::TxnIndex(_) => "txnIndex",
            Self::Snapshot(_) => "producerSnapshot",
            Self::MetadataSnapshot => "metadataSnapshot",
            Self::LeaderEpochs => "leaderEpochs",
            Self::PartitionMetadata => "partitionMetadata",
            Self::OffsetCheckpoint => "offsetCheckpoint",
            Self::MetaProperties => "metaProperties",
            Self::CleanShutdown => "cleanShutdown",
            Self::QuorumState => "quorumState",
            Self::Passing => "passing",
            Self::Other => "other",
        }
    }

    /// The offset in the name.
    #[must_use]
    pub const fn offset(self) -> Option<Offset> {
        match self {
            Self::Log(offset)
            | Self::OffsetIndex(offset)
            | Self::TimeIndex(offset)
            | Self::TxnIndex(offset)
            | Self::Snapshot(offset) => Some(offset),
            Self::MetadataSnapshot
            | Self::LeaderEpochs
            | Self::PartitionMetadata
            | Self::OffsetCheckpoint
            | Self::MetaProperties
            | Self::CleanShutdown
            | Self::QuorumState
            | Self::Passing
            | Self::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell() {
        for (name, kind) in [
            ("00000000000000000042.log", Kind::Log(Offset(42))),
            ("00000000000000000042.timeindex", Kind::TimeIndex(Offset(42))),
            ("00000000000000000042.log.swap", Kind::Passing),
            ("00000000000000000500-0000000009.checkpoint", Kind::MetadataSnapshot),
            ("bootstrap.checkpoint", Kind::MetadataSnapshot),
            ("cleaner-offset-checkpoint", Kind::OffsetCheckpoint),
            (".kafka_cleanshutdown", Kind::CleanShutdown),
            ("42.log", Kind::Other),
            ("notes", Kind::Other),
        ] {
            assert_eq!(Kind::of(name), kind, "{name}");
        }
    }
}
