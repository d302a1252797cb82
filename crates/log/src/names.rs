//! Names of partitions, of their directories and of the files in them, as Apache Kafka spells
//! them. Must not know what the files hold.

use std::fmt;
use std::sync::Arc;

use ottla_protocol::{Offset, Uuid};

/// A partition of a topic, by the topic's name. Displays as its directory: `topic-0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition of a topic.
    #[must_use]
    pub fn new(topic: &str, partition: i32) -> Self {
        Self { topic: Arc::from(topic), partition }
    }

    /// Reads `topic-0`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (topic, number) = name.rsplit_once('-')?;
        let partition = number.parse().ok().filter(|p| *p >= 0)?;
        (!topic.is_empty() && !number.starts_with('+')).then(|| Self::new(topic, partition))
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// What a partition's directory is there for; told by the ending of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DirState {
    /// In use.
    Live,
    /// `-delete`: its topic was deleted, the files go after a while.
    Delete,
    /// `-future`: being filled to replace one in another log directory.
    Future,
    /// `-stray`: found at start, but not this broker's according to the metadata.
    Stray,
}

const ENDINGS: [(DirState, &str); 3] =
    [(DirState::Delete, "-delete"), (DirState::Future, "-future"), (DirState::Stray, "-stray")];

/// Reads the name of a partition's directory: `topic-0`, or `topic-0.<32 letters>-delete`.
#[must_use]
pub fn parse_dir(name: &str) -> Option<(TopicPartition, DirState)> {
    for (state, ending) in ENDINGS {
        if let Some(rest) = name.strip_suffix(ending) {
            let (partition, _unique) = rest.rsplit_once('.')?;
            return Some((TopicPartition::parse(partition)?, state));
        }
    }
    Some((TopicPartition::parse(name)?, DirState::Live))
}

/// The name of a directory on its way out: `topic-0.<32 hexadecimal digits>-delete`. The topic's
/// name is cut so that the whole fits into 255 bytes.
pub(crate) fn moved_dir(
    partition: &TopicPartition,
    unique: Uuid,
    state: DirState,
) -> Option<String> {
    let ending = ENDINGS.iter().find(|(s, _)| *s == state).map(|(_, ending)| *ending)?;
    let tail = format!("-{}.{:032x}{ending}", partition.partition, u128::from_be_bytes(unique.0));
    let room = 255_usize.saturating_sub(tail.len());
    let mut cut = partition.topic.len().min(room);
    while !partition.topic.is_char_boundary(cut) {
        cut -= 1;
    }
    Some(format!("{}{tail}", partition.topic.get(..cut).unwrap_or_default()))
}

/// The name of the directory that a partition's log is copied into: `topic-0.<32 hexadecimal
/// digits>-future`. `None`: the topic's name is too long for that, as in Kafka.
#[must_use]
pub fn future_dir(partition: &TopicPartition, unique: Uuid) -> Option<String> {
    let name = format!("{partition}.{:032x}-future", u128::from_be_bytes(unique.0));
    (name.len() <= 255).then_some(name)
}

/// The name that a copy gets before it is removed; `None` when this is none of a copy.
pub(crate) fn deleted_copy(name: &str) -> Option<String> {
    Some(format!("{}-delete", name.strip_suffix("-future")?))
}

pub(crate) const LOG: &str = ".log";
pub(crate) const OFFSET_INDEX: &str = ".index";
pub(crate) const TIME_INDEX: &str = ".timeindex";
pub(crate) const TXN_INDEX: &str = ".txnindex";
pub(crate) const SNAPSHOT: &str = ".snapshot";
pub(crate) const DELETED: &str = ".deleted";
pub(crate) const CLEANED: &str = ".cleaned";
pub(crate) const SWAP: &str = ".swap";
pub(crate) const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";
pub(crate) const PARTITION_METADATA: &str = "partition.metadata";

/// `00000000000000000042.log`
#[must_use]
pub fn file(base: Offset, suffix: &str) -> String {
    format!("{:020}{suffix}", base.0)
}

/// The offset that a file's name begins with.
#[must_use]
pub fn offset_of(name: &str) -> Option<Offset> {
    let digits = name.split('.').next()?;
    let plain = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok().map(Offset) } else { None }
}

/// The offset in the name of a file with exactly this suffix.
pub(crate) fn offset_with(name: &str, suffix: &str) -> Option<Offset> {
    let offset = offset_of(name)?;
    (name.get(20..) == Some(suffix)).then_some(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_partitions() {
        let live = |name: &str| parse_dir(name).map(|(tp, s)| (tp.to_string(), s));
        assert_eq!(live("a-b-12"), Some(("a-b-12".into(), DirState::Live)));
        assert_eq!(
            live("gone-0.c98c8a163f154ccb82c3bfc3f673bda9-delete"),
            Some(("gone-0".into(), DirState::Delete))
        );
        assert_eq!(live("x.y-3.0000-stray"), Some(("x.y-3".into(), DirState::Stray)));
        for foreign in ["lost+found", "-1", "topic-", "topic", "topic-+1", "topic--delete"] {
            assert_eq!(live(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_moved_directory_fits() {
        let long = TopicPartition::new(&"t".repeat(249), 7);
        let name = moved_dir(&long, Uuid([0xab; 16]), DirState::Delete).unwrap();
        assert_eq!(name.len(), 255);
        assert!(name.ends_with(&format!("-7.{}-delete", "ab".repeat(16))));
        assert_eq!(parse_dir(&name).unwrap().1, DirState::Delete);
    }

    #[test]
    fn file_names() {
        assert_eq!(file(Offset(42), LOG), "00000000000000000042.log");
        assert_eq!(offset_with("00000000000000000042.log", LOG), Some(Offset(42)));
        assert_eq!(offset_with("00000000000000000042.log.deleted", LOG), None);
        assert_eq!(offset_of("00000000000000000042.log.swap"), Some(Offset(42)));
        assert_eq!(offset_of("quorum-state"), None);
    }
}
