//! From what the machines and the log refuse or fail with to Kafka's wire errors: the one place
//! where the two meet.

use ottla_log::{AppendError, LogError, ReadError};
use ottla_partition::{ProducerError, ReplicaError};
use ottla_protocol::ErrorCode;

/// The wire error of a replica's refusal.
pub(crate) fn replica(error: ReplicaError) -> ErrorCode {
    match error {
        ReplicaError::NotLeaderOrFollower => ErrorCode::NotLeaderOrFollower,
        ReplicaError::FencedLeaderEpoch { .. } => ErrorCode::FencedLeaderEpoch,
        ReplicaError::UnknownLeaderEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
        ReplicaError::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
        ReplicaError::NotEnoughReplicasAfterAppend { .. } => {
            ErrorCode::NotEnoughReplicasAfterAppend
        }
        ReplicaError::RequestTimedOut => ErrorCode::RequestTimedOut,
        ReplicaError::KafkaStorageError => ErrorCode::KafkaStorageError,
        // Clients retry what sounds temporary for minutes; this one they hand on at once.
        ReplicaError::NoSpace => ErrorCode::PolicyViolation,
    }
}

/// The wire error of a log that failed.
pub(crate) fn log(error: &LogError) -> ErrorCode {
    match error {
        LogError::Corrupt { .. } => ErrorCode::CorruptMessage,
        LogError::Disk(_)
        | LogError::Damaged { .. }
        | LogError::Replaced { .. }
        | LogError::Offline { .. }
        | LogError::Foreign { .. }
        | LogError::TopicId { .. } => ErrorCode::KafkaStorageError,
    }
}

/// The wire error of an append that was refused or failed.
pub(crate) fn append(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::Producer(error) => producer(error),
        AppendError::TooLarge { .. } => ErrorCode::RecordListTooLarge,
        AppendError::OutOfOrder { .. } => ErrorCode::UnknownServerError,
        AppendError::NoSpace { .. } => ErrorCode::PolicyViolation,
        AppendError::Malformed(_) => ErrorCode::CorruptMessage,
        AppendError::Failed(error) => log(error),
    }
}

/// The wire error of a read that was refused or failed.
pub(crate) fn read(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::Failed(error) => log(error),
    }
}

/// The wire error of a batch that a producer may not append.
pub(crate) fn producer(error: &ProducerError) -> ErrorCode {
    match error {
        ProducerError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        ProducerError::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        ProducerError::InvalidTxnState { .. } => ErrorCode::InvalidTxnState,
        ProducerError::TransactionCoordinatorFenced { .. } => {
            ErrorCode::TransactionCoordinatorFenced
        }
    }
}
