//! The values of control records: transaction markers and what KRaft writes into its own log.
//! Knows neither batches nor keys: the type comes out of the key, which `records` reads.

use crate::{
    DecodeError, EncodeError, EndTxnMarker, KRaftVersionRecord, LeaderChangeMessage, Reader,
    SnapshotFooterRecord, SnapshotHeaderRecord, VersionRange, VotersRecord, Writer,
};
use bytes::Bytes;

/// The value of a control record, by the type in its key (`ControlRecordType`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlRecord {
    /// Type 0: the producer's transaction was aborted.
    Abort(EndTxnMarker),
    /// Type 1: the producer's transaction was committed.
    Commit(EndTxnMarker),
    /// Type 2: a new leader of the metadata quorum.
    LeaderChange(LeaderChangeMessage),
    /// Type 3: begins a snapshot.
    SnapshotHeader(SnapshotHeaderRecord),
    /// Type 4: ends a snapshot.
    SnapshotFooter(SnapshotFooterRecord),
    /// Type 5: the `kraft.version` from here on.
    KRaftVersion(KRaftVersionRecord),
    /// Type 6: the voters from here on.
    KRaftVoters(VotersRecord),
}

/// The version in which a value is read: the one it begins with, or the newest known, since later
/// ones only add.
fn version_of(
    value: &Bytes,
    message: &'static str,
    valid: VersionRange,
) -> Result<i16, DecodeError> {
    let version = Reader::new(value.clone()).i16()?;
    if version < valid.min {
        return Err(DecodeError::UnsupportedVersion { message, version, valid });
    }
    Ok(version.min(valid.max))
}

macro_rules! decode {
    ($message:ident, $value:expr) => {{
        let version = version_of(&$value, $message::NAME, $message::VALID_VERSIONS)?;
        $message::decode(&mut Reader::new($value), version)?
    }};
}

fn marker(value: Bytes) -> Result<EndTxnMarker, DecodeError> {
    let version = version_of(&value, EndTxnMarker::NAME, EndTxnMarker::VALID_VERSIONS)?;
    let mut r = Reader::new(value);
    r.i16()?;
    EndTxnMarker::decode(&mut r, version)
}

impl ControlRecord {
    /// The type that goes into the key.
    #[must_use]
    pub const fn record_type(&self) -> i16 {
        match self {
            Self::Abort(_) => 0,
            Self::Commit(_) => 1,
            Self::LeaderChange(_) => 2,
            Self::SnapshotHeader(_) => 3,
            Self::SnapshotFooter(_) => 4,
            Self::KRaftVersion(_) => 5,
            Self::KRaftVoters(_) => 6,
        }
    }

    /// Reads the value of a control record of `record_type`. A marker has its version in front;
    /// the messages of KRaft begin with a field that is their version.
    ///
    /// # Errors
    /// When the type is unknown or the bytes are no such value.
    pub fn decode(record_type: i16, value: Bytes) -> Result<Self, DecodeError> {
        Ok(match record_type {
            0 => Self::Abort(marker(value)?),
            1 => Self::Commit(marker(value)?),
            2 => Self::LeaderChange(decode!(LeaderChangeMessage, value)),
            3 => Self::SnapshotHeader(decode!(SnapshotHeaderRecord, value)),
            4 => Self::SnapshotFooter(decode!(SnapshotFooterRecord, value)),
            5 => Self::KRaftVersion(decode!(KRaftVersionRecord, value)),
            6 => Self::KRaftVoters(decode!(VotersRecord, value)),
            _ => return Err(DecodeError::UnknownRecordType { record_type }),
        })
    }

    /// The value; a message of KRaft is written in the version that its field `version` names.
    ///
    /// # Errors
    /// When that version is not valid or cannot carry what is set.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut w = Writer::new();
        match self {
            Self::Abort(m) | Self::Commit(m) => {
                w.i16(EndTxnMarker::VALID_VERSIONS.max);
                m.encode(&mut w, EndTxnMarker::VALID_VERSIONS.max)?;
            }
            Self::LeaderChange(m) => m.encode(&mut w, m.version)?,
            Self::SnapshotHeader(m) => m.encode(&mut w, m.version)?,
            Self::SnapshotFooter(m) => m.encode(&mut w, m.version)?,
            Self::KRaftVersion(m) => m.encode(&mut w, m.version)?,
            Self::KRaftVoters(m) => m.encode(&mut w, m.version)?,
        }
        Ok(w.finish().to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::ControlRecord;
    use crate::leader_change_message::Voter;
    use crate::{DecodeError, EndTxnMarker, LeaderChangeMessage, Uuid};
    use bytes::Bytes;

    #[test]
    fn bytes_are_kafkas() {
        let commit = ControlRecord::Commit(EndTxnMarker { coordinator_epoch: 7 });
        assert_eq!(&commit.encode().unwrap()[..], [0, 0, 0, 0, 0, 7]);
        assert_eq!(ControlRecord::decode(1, commit.encode().unwrap()), Ok(commit));
        let voter = Voter { voter_id: 1, ..Voter::default() };
        let change = ControlRecord::LeaderChange(LeaderChangeMessage {
            leader_id: 1,
            voters: vec![voter.clone()],
            granting_voters: vec![voter],
            ..LeaderChangeMessage::default()
        });
        let bytes = change.encode().unwrap();
        assert_eq!(&bytes[..], [0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, 0, 2, 0, 0, 0, 1, 0, 0]);
        assert_eq!(ControlRecord::decode(2, bytes), Ok(change));
    }

    #[test]
    fn the_version_is_the_messages_own() {
        let voter = Voter { voter_id: 3, voter_directory_id: Uuid([9; 16]), ..Voter::default() };
        let mut message =
            LeaderChangeMessage { version: 1, voters: vec![voter], ..Default::default() };
        let change = ControlRecord::LeaderChange(message.clone());
        assert_eq!(ControlRecord::decode(2, change.encode().unwrap()), Ok(change));
        message.version = 0;
        assert!(ControlRecord::LeaderChange(message).encode().is_err());
        let unknown = ControlRecord::decode(9, Bytes::new());
        assert_eq!(unknown, Err(DecodeError::UnknownRecordType { record_type: 9 }));
        assert!(ControlRecord::decode(2, Bytes::from_static(&[0xff, 0xff])).is_err());
    }
}
