//! What the producer rules need of a batch and of the call that appends it, and the arithmetic
//! of sequences. Must not know the bytes of a batch.

use ottla_protocol::{Millis, Offset, ProducerEpoch, ProducerId};

use super::verification::VerificationGuard;

/// "No sequence", as the batch header writes it.
pub(crate) const NO_SEQUENCE: i32 = -1;

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

impl ProducerBatch {
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
            sequence_plus(self.base_sequence, self.last_offset_delta)
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

/// The sequence `delta` later: 2³¹−1 is followed by 0.
pub(crate) fn sequence_plus(sequence: i32, delta: i32) -> i32 {
    if sequence > i32::MAX.wrapping_sub(delta) {
        delta.wrapping_sub(i32::MAX.wrapping_sub(sequence)).wrapping_sub(1)
    } else {
        sequence.wrapping_add(delta)
    }
}

/// The sequence `delta` earlier: 0 is preceded by 2³¹−1.
pub(crate) fn sequence_minus(sequence: i32, delta: i32) -> i32 {
    if sequence < delta {
        i32::MAX.wrapping_sub(delta.wrapping_sub(sequence)).wrapping_add(1)
    } else {
        sequence.wrapping_sub(delta)
    }
}

/// Whether `next` directly follows `last`.
pub(crate) fn in_sequence(last: i32, next: i32) -> bool {
    i64::from(next) == i64::from(last) + 1 || (next == 0 && last == i32::MAX)
}
