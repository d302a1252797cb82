//! What the producer rules need of a batch and of the call that appends it. Must not know the
//! rules.

use ottla_protocol::{Millis, Offset, ProducerEpoch, ProducerId};
use ottla_records::{
    Batch, BatchError, BatchHeader, ControlError, ControlRecordType, EndTransactionMarker,
    NO_SEQUENCE, Scratch, increment_sequence,
};
use thiserror::Error;

use super::verification::VerificationGuard;

/// Who appends, and thus how much is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A Produce request: everything is checked, duplicates are recognised.
    Client,
    /// A coordinator on this broker, or a transaction's end: epochs are checked, sequences not.
    Coordinator,
    /// Another replica's log, or this log's own bytes at start: nothing is refused.
    Replication,
}

impl From<ottla_records::AppendOrigin> for AppendOrigin {
    fn from(origin: ottla_records::AppendOrigin) -> Self {
        match origin {
            ottla_records::AppendOrigin::Client => Self::Client,
            ottla_records::AppendOrigin::Coordinator => Self::Coordinator,
        }
    }
}

/// The circumstances of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendContext {
    /// Who appends.
    pub origin: AppendOrigin,
    /// The guard that [`super::ProducerStates::start_verification`] gave, for the first batch of
    /// a transaction (KIP-890).
    pub guard: Option<VerificationGuard>,
    /// `transaction.version` under which an end marker was written (KIP-1228): from 2 on, a
    /// marker carries a bumped epoch. 0 when unknown or not a marker.
    pub transaction_version: i16,
}

impl AppendContext {
    /// A Produce request without a transaction.
    pub const CLIENT: Self =
        Self { origin: AppendOrigin::Client, guard: None, transaction_version: 0 };
    /// A coordinator's own records.
    pub const COORDINATOR: Self =
        Self { origin: AppendOrigin::Coordinator, guard: None, transaction_version: 0 };
    /// Replicated or replayed batches.
    pub const REPLICATION: Self =
        Self { origin: AppendOrigin::Replication, guard: None, transaction_version: 0 };
}

/// A transaction's end, as its control record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTxnMarker {
    /// COMMIT, or else ABORT.
    pub commit: bool,
    /// Epoch of the transaction coordinator that wrote it.
    pub coordinator_epoch: i32,
    /// Timestamp of the control record.
    pub timestamp: Millis,
}

/// What a batch carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchKind {
    /// Records outside a transaction.
    Data,
    /// Records of a transaction.
    Transactional,
    /// The end of a transaction.
    Marker(EndTxnMarker),
    /// A control batch whose record was compacted away, or of another control type: changes no
    /// producer.
    OtherControl,
}

/// A batch as the producer rules see it, with its offsets assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerBatch {
    /// −1 for a batch without a producer; such a batch only moves the end of the state.
    pub producer_id: ProducerId,
    /// Epoch of the producer.
    pub producer_epoch: ProducerEpoch,
    /// Sequence of the first record, −1 for none.
    pub base_sequence: i32,
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Last offset minus first offset, as in the batch header.
    pub last_offset_delta: i32,
    /// Highest timestamp of the records.
    pub max_timestamp: Millis,
    /// What it carries.
    pub kind: BatchKind,
}

/// Why a control batch of a producer could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MarkerError {
    /// Its record is broken.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Its record is no control record.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// A marker's record has some 20 bytes; more is not decompressed for it.
const MARKER_BYTES: usize = 1024;

impl ProducerBatch {
    /// What the producer rules need of `batch`. Only the header is read, but for the control
    /// batches of a producer.
    ///
    /// # Errors
    /// [`MarkerError`] for a control batch of a producer whose record cannot be read.
    pub fn from_batch(batch: &Batch<'_>) -> Result<Self, MarkerError> {
        let header = batch.header();
        let kind = if header.attributes.is_control() {
            if header.has_producer_id() { read_control(batch)? } else { BatchKind::OtherControl }
        } else if header.attributes.is_transactional() {
            BatchKind::Transactional
        } else {
            BatchKind::Data
        };
        Ok(Self::from_header(header, kind))
    }

    /// What the producer rules need of a header, with what is known of the rest.
    #[must_use]
    pub fn from_header(header: &BatchHeader, kind: BatchKind) -> Self {
        Self {
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            base_offset: header.base_offset,
            last_offset_delta: header.last_offset_delta,
            max_timestamp: header.max_timestamp,
            kind,
        }
    }

    /// Offset of the last record.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta))
    }

    /// Sequence of the last record, −1 for none.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence == NO_SEQUENCE {
            NO_SEQUENCE
        } else {
            increment_sequence(self.base_sequence, self.last_offset_delta)
        }
    }

    /// Whether it belongs to a transaction, as data or as its end.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        match self.kind {
            BatchKind::Transactional | BatchKind::Marker(_) => true,
            BatchKind::Data | BatchKind::OtherControl => false,
        }
    }
}

/// A control batch of a producer has one record, or none when compaction has taken it.
fn read_control(batch: &Batch<'_>) -> Result<BatchKind, MarkerError> {
    let mut scratch = Scratch::new();
    let Some(record) = batch.records(&mut scratch, MARKER_BYTES)?.next().transpose()? else {
        return Ok(BatchKind::OtherControl);
    };
    let commit = match ControlRecordType::parse_key(record.key)? {
        ControlRecordType::Commit => true,
        ControlRecordType::Abort => false,
        ControlRecordType::LeaderChange
        | ControlRecordType::SnapshotHeader
        | ControlRecordType::SnapshotFooter
        | ControlRecordType::KRaftVersion
        | ControlRecordType::KRaftVoters
        | ControlRecordType::Unknown(_) => return Ok(BatchKind::OtherControl),
    };
    let marker = EndTransactionMarker::parse(record.value)?;
    Ok(BatchKind::Marker(EndTxnMarker {
        commit,
        coordinator_epoch: marker.coordinator_epoch,
        timestamp: record.timestamp,
    }))
}

/// Whether `next` directly follows `last`.
pub(crate) fn in_sequence(last: i32, next: i32) -> bool {
    i64::from(next) == i64::from(last) + 1 || (next == 0 && last == i32::MAX)
}
