//! Why a producer's batch is not accepted, with the wire error that Kafka answers. Owns the
//! mapping; must not know responses.

use ottla_protocol::ErrorCode;
use thiserror::Error;

use crate::error::{BatchError, CodecError, RecordError};

/// The wire errors of refused batches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RefusalKind {
    /// −1: Kafka has no name for it (an exception that nothing catches).
    UnknownServerError,
    /// 2: `CORRUPT_MESSAGE`.
    CorruptMessage,
    /// 10: `MESSAGE_TOO_LARGE`.
    MessageTooLarge,
    /// 32: `INVALID_TIMESTAMP`.
    InvalidTimestamp,
    /// 76: `UNSUPPORTED_COMPRESSION_TYPE`.
    UnsupportedCompressionType,
    /// 87: `INVALID_RECORD`.
    InvalidRecord,
}

impl RefusalKind {
    /// The wire error.
    #[must_use]
    pub const fn error_code(self) -> ErrorCode {
        match self {
            Self::UnknownServerError => ErrorCode::UnknownServerError,
            Self::CorruptMessage => ErrorCode::CorruptMessage,
            Self::MessageTooLarge => ErrorCode::MessageTooLarge,
            Self::InvalidTimestamp => ErrorCode::InvalidTimestamp,
            Self::UnsupportedCompressionType => ErrorCode::UnsupportedCompressionType,
            Self::InvalidRecord => ErrorCode::InvalidRecord,
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> i16 {
        self.error_code().code()
    }
}

/// What is wrong with one record of an otherwise sound batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum InvalidRecordReason {
    /// The topic is compacted and the record has no key.
    #[error("a record without key cannot go to a compacted topic")]
    NoKey,
    /// Outside of `message.timestamp.before.max.ms` and `message.timestamp.after.max.ms`.
    #[error("the timestamp {timestamp} is out of range: {earliest} to {latest} is accepted")]
    TimestampOutOfRange {
        /// The record's, milliseconds since the Unix epoch.
        timestamp: i64,
        /// The smallest accepted.
        earliest: i64,
        /// The largest accepted.
        latest: i64,
    },
    /// The batch says that the broker set its timestamps.
    #[error("a producer cannot send the timestamp type LogAppendTime")]
    LogAppendTime,
}

/// A record that is at fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidRecord {
    /// Place of the record in the batch, from 0 (`BatchIndex` of the response).
    pub index: i32,
    /// What is wrong.
    pub reason: InvalidRecordReason,
}

/// A refused batch.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{message}")]
pub struct Refusal {
    /// The wire error.
    pub kind: RefusalKind,
    /// A sentence fragment for people.
    pub message: String,
    /// The records at fault, when the batch is sound and some records are not; the first 10,000
    /// of them. Only then does Kafka put a message into the answer.
    pub records: Vec<InvalidRecord>,
}

impl Refusal {
    pub(crate) fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), records: Vec::new() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::InvalidRecord, message)
    }

    /// The number on the wire.
    #[must_use]
    pub const fn code(&self) -> i16 {
        self.kind.code()
    }

    /// The wire error.
    #[must_use]
    pub const fn error_code(&self) -> ErrorCode {
        self.kind.error_code()
    }

    /// The text for the answer's `ErrorMessage`: as Kafka, only where single records are at
    /// fault.
    #[must_use]
    pub fn wire_message(&self) -> Option<&str> {
        if self.records.is_empty() { None } else { Some(&self.message) }
    }
}

impl From<BatchError> for Refusal {
    fn from(error: BatchError) -> Self {
        let kind = match &error {
            BatchError::Crc { .. } | BatchError::Length(_) | BatchError::Magic(_) => {
                RefusalKind::CorruptMessage
            }
            BatchError::TooLarge { .. } => RefusalKind::MessageTooLarge,
            // Kafka has no answer of its own to a stream that its library cannot read.
            BatchError::UnknownCodec(_)
            | BatchError::Codec(CodecError::Damaged { .. } | CodecError::Unavailable { .. })
            | BatchError::Record { error: RecordError::LengthVarint, .. } => {
                RefusalKind::UnknownServerError
            }
            BatchError::Torn { .. }
            | BatchError::OldMagic(_)
            | BatchError::Count(_)
            | BatchError::Codec(CodecError::TooLarge { .. })
            | BatchError::Record { .. }
            | BatchError::Trailing => RefusalKind::InvalidRecord,
        };
        Self::new(kind, error.to_string())
    }
}
