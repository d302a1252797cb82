//! The records of `__consumer_offsets`: keys and values with their 16-bit type and version in
//! front, in the versions Kafka 4.4 writes. Must not know what they do to a group.

use bytes::Bytes;
use ottla_protocol::{
    DecodeError, EncodeError, GroupMetadataKey, GroupMetadataValue, LegacyOffsetCommitKey,
    LegacyOffsetCommitValue, Offset, OffsetCommitKey, OffsetCommitValue, Reader, StrBytes, Writer,
};

/// A record to be appended to `__consumer_offsets`; without a value it is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The record's key.
    pub key: Bytes,
    /// The record's value; none deletes what the key names.
    pub value: Option<Bytes>,
}

/// Why a stored record could not be taken in. The shard is not usable then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record at offset {offset} of __consumer_offsets is damaged: {what}")]
pub struct LoadError {
    /// The record's offset.
    pub offset: Offset,
    /// What is wrong with it.
    pub what: String,
}

/// The type number that starts a key.
pub(crate) mod kind {
    pub(crate) const LEGACY_OFFSET_COMMIT: i16 = 0;
    pub(crate) const OFFSET_COMMIT: i16 = 1;
    pub(crate) const GROUP_METADATA: i16 = 2;
}

/// The version of group metadata that 4.4 writes.
const GROUP_METADATA_VERSION: i16 = 3;
/// The version of offset commits that 4.4 writes; it carries the topic's id.
const OFFSET_COMMIT_VERSION: i16 = 4;
/// The one version of offset commits with an expiry of their own (OffsetCommit requests 2 to 4).
const OFFSET_COMMIT_VERSION_EXPIRING: i16 = 1;

/// What a key of a record names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// A committed offset; `legacy` when the value has the layout of key type 0.
    Offset { group: StrBytes, topic: StrBytes, partition: i32, legacy: bool },
    /// A classic group.
    Group { group: StrBytes },
    /// A record of a group of another type, or of a type not known here.
    Other { kind: i16, group: StrBytes },
    /// A type this version of Kafka does not know: skipped, as Kafka does.
    Unknown,
}

impl Key {
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes.clone());
        let kind = reader.i16()?;
        Ok(match kind {
            kind::LEGACY_OFFSET_COMMIT => {
                let key = LegacyOffsetCommitKey::decode(&mut reader, 0)?;
                Self::Offset {
                    group: key.group,
                    topic: key.topic,
                    partition: key.partition,
                    legacy: true,
                }
            }
            kind::OFFSET_COMMIT => {
                let key = OffsetCommitKey::decode(&mut reader, 0)?;
                Self::Offset {
                    group: key.group,
                    topic: key.topic,
                    partition: key.partition,
                    legacy: false,
                }
            }
            kind::GROUP_METADATA => {
                Self::Group { group: GroupMetadataKey::decode(&mut reader, 0)?.group }
            }
            // All keys of the other group types begin with the group's id.
            3..=8 | 10..=17 | 19..=23 => {
                Self::Other { kind, group: GroupMetadataKey::decode(&mut reader, 0)?.group }
            }
            _ => Self::Unknown,
        })
    }
}

/// Reads the value of an offset commit, of any version, as the newest.
pub(crate) fn decode_offset(bytes: &Bytes, legacy: bool) -> Result<OffsetCommitValue, DecodeError> {
    let mut reader = Reader::new(bytes.clone());
    let version = reader.i16()?;
    if legacy {
        let value = LegacyOffsetCommitValue::decode(&mut reader, version)?;
        return Ok(OffsetCommitValue {
            offset: value.offset,
            metadata: value.metadata,
            commit_timestamp: value.commit_timestamp,
            ..OffsetCommitValue::default()
        });
    }
    OffsetCommitValue::decode(&mut reader, version)
}

/// Reads the value of group metadata, of any version.
pub(crate) fn decode_group(bytes: &Bytes) -> Result<GroupMetadataValue, DecodeError> {
    let mut reader = Reader::new(bytes.clone());
    let version = reader.i16()?;
    GroupMetadataValue::decode(&mut reader, version)
}

/// Bytes of a batch besides its records.
const BATCH_OVERHEAD: usize = 61;
/// Bytes of a record besides key and value, at most: attributes and seven variable-length
/// integers.
const RECORD_OVERHEAD: usize = 1 + 10 + 6 * 5;

impl Record {
    /// How long it is in a batch, at most.
    fn size(&self) -> usize {
        RECORD_OVERHEAD + self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }

    /// Whether these records fit into one batch of at most `max` bytes.
    pub(crate) fn fit(records: &[Self], max: usize) -> bool {
        BATCH_OVERHEAD + records.iter().map(Self::size).sum::<usize>() <= max
    }

    /// Cuts records into runs that each fit into a batch of at most `max` bytes, uncompressed; one
    /// that does not fit by itself is a run of its own.
    pub fn batches(records: &[Self], max: usize) -> impl Iterator<Item = &[Self]> {
        let mut rest = records;
        std::iter::from_fn(move || {
            let mut size = BATCH_OVERHEAD;
            let fitting = rest.iter().take_while(|record| {
                size += record.size();
                size <= max
            });
            let count = fitting.count().max(1);
            let (run, later) = rest.split_at_checked(count)?;
            rest = later;
            Some(run)
        })
    }

    /// A committed offset.
    pub(crate) fn offset(
        group: &StrBytes,
        topic: &StrBytes,
        partition: i32,
        value: &OffsetCommitValue,
    ) -> Self {
        let version = if value.expire_timestamp == -1 {
            OFFSET_COMMIT_VERSION
        } else {
            OFFSET_COMMIT_VERSION_EXPIRING
        };
        Self {
            key: offset_key(group, topic, partition),
            value: Some(framed(version, |writer| value.encode(writer, version))),
        }
    }

    /// The end of a committed offset.
    pub(crate) fn offset_tombstone(group: &StrBytes, topic: &StrBytes, partition: i32) -> Self {
        Self { key: offset_key(group, topic, partition), value: None }
    }

    /// What a classic group is.
    pub(crate) fn group(group: &StrBytes, value: &GroupMetadataValue) -> Self {
        let version = GROUP_METADATA_VERSION;
        Self {
            key: group_key(group),
            value: Some(framed(version, |writer| value.encode(writer, version))),
        }
    }

    /// The end of a classic group.
    pub(crate) fn group_tombstone(group: &StrBytes) -> Self {
        Self { key: group_key(group), value: None }
    }
}

fn group_key(group: &StrBytes) -> Bytes {
    let key = GroupMetadataKey { group: group.clone() };
    framed(kind::GROUP_METADATA, |writer| key.encode(writer, 0))
}

fn offset_key(group: &StrBytes, topic: &StrBytes, partition: i32) -> Bytes {
    let key = OffsetCommitKey { group: group.clone(), topic: topic.clone(), partition };
    framed(kind::OFFSET_COMMIT, |writer| key.encode(writer, 0))
}

/// A key or value with its type or version in front.
///
/// # Panics
/// When it cannot be written: a bug, for every string in it was read from a request or a record,
/// which limits it to what a record can carry, or was made no longer than that.
fn framed(number: i16, content: impl FnOnce(&mut Writer) -> Result<(), EncodeError>) -> Bytes {
    let mut writer = Writer::new();
    writer.i16(number);
    let written = content(&mut writer);
    assert!(written.is_ok(), "a record of __consumer_offsets cannot be written: {written:?}");
    writer.finish().to_bytes()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::Record;

    #[test]
    fn batches_are_as_long_as_may_be() {
        let record = |len| Record { key: Bytes::from(vec![0; len]), value: None };
        let cut = |records: &[Record], max| -> Vec<usize> {
            Record::batches(records, max).map(<[Record]>::len).collect()
        };
        let records = vec![record(59); 10];
        assert_eq!(cut(&records, 361), [3, 3, 3, 1]);
        assert_eq!(cut(&records, 360), [2, 2, 2, 2, 2]);
        assert_eq!(cut(&records, 10_000), [10]);
        assert_eq!(cut(&records, 1), [1; 10], "each too long by itself");
        assert_eq!(cut(&[], 1_000), [0_usize; 0]);
        assert!(Record::fit(&records[..3], 361) && !Record::fit(&records[..3], 360));
    }
}
