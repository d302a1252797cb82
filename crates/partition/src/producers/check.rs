//! Whether a batch may be appended: duplicates, producer epochs, sequences, transactions. Owns
//! the rules and the order in which Apache Kafka 4.4 applies them. Changes nothing.

use ottla_protocol::{ErrorCode, ProducerEpoch, ProducerId};
use ottla_records::NO_SEQUENCE;
use thiserror::Error;

use super::batch::{
    AppendContext, AppendOrigin, BatchKind, EndTxnMarker, ProducerBatch, in_sequence,
};
use super::entry::{BatchMetadata, ProducerEntry};
use super::states::ProducerStates;
use super::verification::Verification;

/// What to do with a batch that is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Append it, then call [`ProducerStates::apply`].
    Append,
    /// It is in the log already: answer with the offsets and the timestamp it got then.
    Duplicate(BatchMetadata),
}

/// Why a batch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProducerError {
    /// `OUT_OF_ORDER_SEQUENCE_NUMBER` (45).
    #[error("producer {producer_id} sent sequence {sequence} where {expected} was expected")]
    OutOfOrderSequence {
        /// The producer.
        producer_id: ProducerId,
        /// First sequence of the batch.
        sequence: i32,
        /// The sequence that would have been in order.
        expected: i32,
    },
    /// `INVALID_PRODUCER_EPOCH` (47).
    #[error("producer {producer_id} has epoch {epoch}, and {current} was seen already")]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: ProducerId,
        /// Epoch of the batch.
        epoch: ProducerEpoch,
        /// Newest epoch seen.
        current: ProducerEpoch,
    },
    /// `INVALID_TXN_STATE` (48): outside a transaction while one is open, or inside one that the
    /// coordinator has not confirmed.
    #[error("the batch of producer {producer_id} does not fit the state of its transaction")]
    InvalidTxnState {
        /// The producer.
        producer_id: ProducerId,
    },
    /// `TRANSACTION_COORDINATOR_FENCED` (52).
    #[error("coordinator epoch {epoch} for producer {producer_id} is older than {current}")]
    TransactionCoordinatorFenced {
        /// The producer.
        producer_id: ProducerId,
        /// Coordinator epoch of the marker.
        epoch: i32,
        /// Newest coordinator epoch seen.
        current: i32,
    },
}

impl ProducerError {
    /// Kafka's error of this name.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
            Self::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            Self::InvalidTxnState { .. } => ErrorCode::InvalidTxnState,
            Self::TransactionCoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
        }
    }
}

impl ProducerStates {
    /// Whether `batch` may be appended; changes nothing. Batches without a producer always may,
    /// and so may everything that is replicated or replayed.
    ///
    /// # Errors
    /// [`ProducerError`], to be answered to the client.
    pub fn check(
        &self,
        batch: &ProducerBatch,
        context: &AppendContext,
    ) -> Result<Admission, ProducerError> {
        if batch.producer_id == ProducerId::NONE || context.origin == AppendOrigin::Replication {
            return Ok(Admission::Append);
        }
        let entry = self.get(batch.producer_id);
        if context.origin == AppendOrigin::Client
            && let Some(duplicate) = entry.and_then(|e| e.duplicate_of(batch))
        {
            return Ok(Admission::Duplicate(*duplicate));
        }
        let verification = self.verification(batch.producer_id);
        if batch.is_transactional() && !self.has_ongoing(batch.producer_id, batch.producer_epoch) {
            if let Some(entry) = entry {
                check_epoch(entry, batch)?;
            }
            let verified = match batch.kind {
                BatchKind::Marker(_) | BatchKind::OtherControl => true,
                BatchKind::Data | BatchKind::Transactional => {
                    context.guard.is_some() && verification.map(|v| v.guard) == context.guard
                }
            };
            if self.rules().verify_transactions && !verified {
                return Err(ProducerError::InvalidTxnState { producer_id: batch.producer_id });
            }
        }
        match batch.kind {
            BatchKind::OtherControl => {}
            BatchKind::Marker(marker) => {
                if let Some(entry) = entry {
                    check_marker(entry, batch, &marker, context.transaction_version)?;
                }
            }
            BatchKind::Data | BatchKind::Transactional => {
                check_data(entry, verification, batch, context.origin)?;
            }
        }
        Ok(Admission::Append)
    }
}

fn check_epoch(entry: &ProducerEntry, batch: &ProducerBatch) -> Result<(), ProducerError> {
    if batch.producer_epoch < entry.producer_epoch {
        return Err(invalid_epoch(entry, batch));
    }
    Ok(())
}

fn invalid_epoch(entry: &ProducerEntry, batch: &ProducerBatch) -> ProducerError {
    ProducerError::InvalidProducerEpoch {
        producer_id: batch.producer_id,
        epoch: batch.producer_epoch,
        current: entry.producer_epoch,
    }
}

/// From `transaction.version` 2 on a marker must bump the epoch (KIP-1228), so that a late one
/// cannot end the next transaction. Its retry, when nothing is open any more, is harmless; the
/// last epoch cannot be bumped.
fn check_marker(
    entry: &ProducerEntry,
    batch: &ProducerBatch,
    marker: &EndTxnMarker,
    transaction_version: i16,
) -> Result<(), ProducerError> {
    check_epoch(entry, batch)?;
    if transaction_version >= 2 && batch.producer_epoch == entry.producer_epoch {
        let retried = entry.current_txn_first_offset.is_none();
        if !retried && batch.producer_epoch != ProducerEpoch(i16::MAX) {
            return Err(invalid_epoch(entry, batch));
        }
    }
    if entry.coordinator_epoch > marker.coordinator_epoch {
        return Err(ProducerError::TransactionCoordinatorFenced {
            producer_id: batch.producer_id,
            epoch: marker.coordinator_epoch,
            current: entry.coordinator_epoch,
        });
    }
    Ok(())
}

fn check_data(
    entry: Option<&ProducerEntry>,
    verification: Option<&Verification>,
    batch: &ProducerBatch,
    origin: AppendOrigin,
) -> Result<(), ProducerError> {
    match entry {
        Some(entry) => check_epoch(entry, batch)?,
        // Kafka compares with −1, the epoch of no batch, when it knows of none.
        None if batch.producer_epoch < ProducerEpoch::NONE => {
            return Err(ProducerError::InvalidProducerEpoch {
                producer_id: batch.producer_id,
                epoch: batch.producer_epoch,
                current: ProducerEpoch::NONE,
            });
        }
        None => {}
    }
    if origin == AppendOrigin::Client {
        check_sequence(entry, verification, batch)?;
    }
    let in_transaction = entry.is_some_and(|e| e.current_txn_first_offset.is_some());
    if in_transaction && !batch.is_transactional() {
        return Err(ProducerError::InvalidTxnState { producer_id: batch.producer_id });
    }
    Ok(())
}

/// A producer of which nothing is known (its records were deleted, or it expired) may begin at
/// any sequence, except in a verified transaction of a client that bumps its epoch; a new epoch
/// begins at 0; else the next sequence follows.
fn check_sequence(
    entry: Option<&ProducerEntry>,
    verification: Option<&Verification>,
    batch: &ProducerBatch,
) -> Result<(), ProducerError> {
    let out_of_order = |expected| ProducerError::OutOfOrderSequence {
        producer_id: batch.producer_id,
        sequence: batch.base_sequence,
        expected,
    };
    if let Some(verification) = verification {
        let no_batches = entry.is_none_or(|e| e.batches().is_empty());
        if verification.supports_epoch_bump && batch.base_sequence != 0 && no_batches {
            return Err(out_of_order(0));
        }
        if batch.base_sequence > verification.lowest_sequence {
            return Err(out_of_order(verification.lowest_sequence));
        }
    }
    let Some(entry) = entry.filter(|e| e.producer_epoch != ProducerEpoch::NONE) else {
        return Ok(());
    };
    let last = if entry.producer_epoch == batch.producer_epoch {
        entry.last_sequence()
    } else {
        NO_SEQUENCE
    };
    if in_sequence(last, batch.base_sequence) {
        return Ok(());
    }
    Err(out_of_order(if last == i32::MAX { 0 } else { last.wrapping_add(1) }))
}
