//! Control records: their keys and the transaction marker. The KRaft kinds' values are messages
//! of `protocol`; here they are bytes. Must not know what a marker does.

use ottla_protocol::{LeaderEpoch, Millis, Offset, ProducerEpoch, ProducerId};
use thiserror::Error;

use crate::builder::{BatchBuilder, BatchOptions, BuildError};

/// The kind of a control record (`ControlRecordType`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ControlRecordType {
    /// 0: a transaction was aborted.
    Abort,
    /// 1: a transaction was committed.
    Commit,
    /// 2: `LeaderChangeMessage` (KIP-595).
    LeaderChange,
    /// 3: `SnapshotHeaderRecord` (KIP-630).
    SnapshotHeader,
    /// 4: `SnapshotFooterRecord` (KIP-630).
    SnapshotFooter,
    /// 5: `KRaftVersionRecord` (KIP-853).
    KRaftVersion,
    /// 6: `VotersRecord` (KIP-853).
    KRaftVoters,
    /// Any other number: readers skip it.
    Unknown(i16),
}

impl ControlRecordType {
    /// The kind with this number.
    #[must_use]
    pub const fn from_id(id: i16) -> Self {
        match id {
            0 => Self::Abort,
            1 => Self::Commit,
            2 => Self::LeaderChange,
            3 => Self::SnapshotHeader,
            4 => Self::SnapshotFooter,
            5 => Self::KRaftVersion,
            6 => Self::KRaftVoters,
            other => Self::Unknown(other),
        }
    }

    /// The kind's number.
    #[must_use]
    pub const fn id(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
            Self::LeaderChange => 2,
            Self::SnapshotHeader => 3,
            Self::SnapshotFooter => 4,
            Self::KRaftVersion => 5,
            Self::KRaftVoters => 6,
            Self::Unknown(id) => id,
        }
    }

    /// Reads the kind out of a control record's key: version, then the kind.
    ///
    /// # Errors
    /// [`ControlError`] for a key that is null, short, or has a negative version.
    pub fn parse_key(key: Option<&[u8]>) -> Result<Self, ControlError> {
        let kind = versioned("key", key.unwrap_or_default(), 2)?;
        Ok(Self::from_id(kind.first_chunk().map_or(0, |b| i16::from_be_bytes(*b))))
    }

    /// The key of a record of this kind, version 0.
    #[must_use]
    pub const fn encode_key(self) -> [u8; 4] {
        let [high, low] = self.id().to_be_bytes();
        [0, 0, high, low]
    }
}

/// Why bytes are not a control record's key or value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ControlError {
    /// A control record without a key or value, or with fewer bytes than the version has.
    #[error("the control record's {part} has {len} bytes, fewer than its format")]
    Short {
        /// "key" or "value".
        part: &'static str,
        /// Bytes there.
        len: usize,
    },
    /// A negative version.
    #[error("the control record's {part} has version {version}")]
    Version {
        /// "key" or "value".
        part: &'static str,
        /// As it stands.
        version: i16,
    },
}

fn versioned<'a>(
    part: &'static str,
    bytes: &'a [u8],
    len: usize,
) -> Result<&'a [u8], ControlError> {
    let short = ControlError::Short { part, len: bytes.len() };
    let (version, rest) = bytes.split_first_chunk::<2>().ok_or(short)?;
    let version = i16::from_be_bytes(*version);
    if version < 0 {
        return Err(ControlError::Version { part, version });
    }
    // Later versions may only add fields at the end.
    rest.get(..len).ok_or(short)
}

/// The value of an abort or commit record (`EndTxnMarker`, version 0).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndTransactionMarker {
    /// Epoch of the transaction coordinator that ended the transaction.
    pub coordinator_epoch: i32,
}

impl EndTransactionMarker {
    /// Reads a marker's value.
    ///
    /// # Errors
    /// [`ControlError`] for a value that is null, short, or has a negative version.
    pub fn parse(value: Option<&[u8]>) -> Result<Self, ControlError> {
        let epoch = versioned("value", value.unwrap_or_default(), 4)?;
        let epoch = epoch.first_chunk().map_or(0, |b| i32::from_be_bytes(*b));
        Ok(Self { coordinator_epoch: epoch })
    }

    /// The value's 6 bytes.
    #[must_use]
    pub const fn encode(self) -> [u8; 6] {
        let [a, b, c, d] = self.coordinator_epoch.to_be_bytes();
        [0, 0, a, b, c, d]
    }
}

/// A batch with one transaction marker, base offset 0: what the leader appends for
/// WriteTxnMarkers. `now` is in milliseconds since the Unix epoch.
///
/// # Errors
/// [`BuildError::Producer`] without a producer id or epoch.
pub fn end_transaction_batch(
    now: Millis,
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    commit: bool,
    marker: EndTransactionMarker,
    leader_epoch: LeaderEpoch,
) -> Result<Vec<u8>, BuildError> {
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: Offset::ZERO,
        partition_leader_epoch: leader_epoch,
        producer_id,
        producer_epoch,
        transactional: true,
        control: true,
        ..BatchOptions::default()
    })?;
    let kind = if commit { ControlRecordType::Commit } else { ControlRecordType::Abort };
    builder.append_control(now, kind, &marker.encode())?;
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Scratch};

    #[test]
    fn kinds_survive_the_round_trip() {
        for id in -2..10 {
            let kind = ControlRecordType::from_id(id);
            assert_eq!(kind.id(), id);
            assert_eq!(ControlRecordType::parse_key(Some(&kind.encode_key())), Ok(kind));
        }
    }

    #[test]
    fn short_and_negative_keys_are_refused() {
        assert_eq!(
            ControlRecordType::parse_key(None),
            Err(ControlError::Short { part: "key", len: 0 })
        );
        assert_eq!(
            ControlRecordType::parse_key(Some(&[0, 0, 1])),
            Err(ControlError::Short { part: "key", len: 3 })
        );
        assert_eq!(
            ControlRecordType::parse_key(Some(&[0xff, 0xff, 0, 1])),
            Err(ControlError::Version { part: "key", version: -1 })
        );
        // A later version with more fields.
        assert_eq!(
            ControlRecordType::parse_key(Some(&[0, 7, 0, 1, 9])),
            Ok(ControlRecordType::Commit)
        );
    }

    #[test]
    fn a_marker_batch_reads_back() {
        let batch = end_transaction_batch(
            Millis(1000),
            ProducerId(7),
            ProducerEpoch(3),
            true,
            EndTransactionMarker { coordinator_epoch: 12 },
            LeaderEpoch(5),
        )
        .unwrap();
        let batch = Batch::parse(&batch).unwrap();
        batch.verify_crc().unwrap();
        assert_eq!(batch.header().attributes.0, 0x30);
        assert_eq!(batch.header().base_sequence, -1);
        assert_eq!(batch.header().partition_leader_epoch, LeaderEpoch(5));
        let mut scratch = Scratch::new();
        let record = batch.records(&mut scratch, 0).unwrap().next().unwrap().unwrap();
        assert_eq!(ControlRecordType::parse_key(record.key), Ok(ControlRecordType::Commit));
        assert_eq!(
            EndTransactionMarker::parse(record.value),
            Ok(EndTransactionMarker { coordinator_epoch: 12 })
        );
    }
}
