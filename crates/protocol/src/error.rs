//! Why bytes are no message and why a message has no bytes. Knows no Kafka error codes: what a
//! peer is told is the caller's decision.

use crate::VersionRange;
use thiserror::Error;

/// Bytes that are not the message that was expected. Never a reason to stop serving others.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The input ends inside a field.
    #[error("the input ends too early: {needed} bytes needed, {remaining} remain")]
    Truncated {
        /// Bytes that the field needs.
        needed: usize,
        /// Bytes that are left.
        remaining: usize,
    },
    /// Null where the version does not allow it.
    #[error("null where a {what} is required")]
    UnexpectedNull {
        /// The kind of field.
        what: &'static str,
    },
    /// A string of more than 32,767 bytes.
    #[error("a string of {len} bytes is longer than 32767")]
    StringTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A string that is not UTF-8.
    #[error("a string is not valid UTF-8")]
    InvalidUtf8,
    /// A variable-length integer that does not end or exceeds 32 (or 64) bits.
    #[error("a variable-length integer is too long")]
    VarintTooLong,
    /// An array that the remaining bytes cannot hold.
    #[error("an array of {len} elements cannot fit in the {remaining} bytes that remain")]
    ArrayTooLong {
        /// Its element count.
        len: u32,
        /// Bytes that are left.
        remaining: usize,
    },
    /// Decoding would take far more memory than the input justifies.
    #[error("the message would take more memory than its {input} bytes justify")]
    TooMuchMemory {
        /// Bytes of the whole input.
        input: usize,
    },
    /// A tagged field whose content is not as long as announced.
    #[error("tagged field {tag} announces {announced} bytes but has {actual}")]
    TagSize {
        /// The field's tag.
        tag: u32,
        /// The size that precedes it.
        announced: usize,
        /// Bytes that it took.
        actual: usize,
    },
    /// A version that this build does not have.
    #[error("version {version} of {message} is not supported (supported: {valid})")]
    UnsupportedVersion {
        /// The message's name.
        message: &'static str,
        /// The version asked for.
        version: i16,
        /// The versions there are.
        valid: VersionRange,
    },
    /// An API key that does not exist or was removed.
    #[error("API key {key} is unknown")]
    UnknownApiKey {
        /// The key.
        key: i16,
    },
    /// A stored record of a type that this build does not know.
    #[error("record type {record_type} is unknown")]
    UnknownRecordType {
        /// The type.
        record_type: i16,
    },
    /// A metadata record whose frame is not version 1.
    #[error("metadata record frame version {version} is not supported (supported: 1)")]
    UnknownFrameVersion {
        /// The frame's version.
        version: u32,
    },
    /// Bytes after the end of the message.
    #[error("{count} bytes follow the end of the message")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
}

/// A message that cannot be written in the version asked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// A version that this build does not have.
    #[error("version {version} of {message} is not supported (supported: {valid})")]
    UnsupportedVersion {
        /// The message's name.
        message: &'static str,
        /// The version asked for.
        version: i16,
        /// The versions there are.
        valid: VersionRange,
    },
    /// A field is set that the version lacks and that must not be dropped.
    #[error("version {version} has no field {field}, which is set")]
    FieldNotSupported {
        /// `Struct.field`.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A null that the version cannot write.
    #[error("{field} must not be null in version {version}")]
    NullNotSupported {
        /// `Struct.field`.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// Tagged fields in a version that has none.
    #[error("version {version} has no tagged fields, but some are set")]
    TagsNotSupported {
        /// The version asked for.
        version: i16,
    },
    /// The same tag is both a known field and among the unknown ones.
    #[error("tag {tag} is set twice")]
    DuplicateTag {
        /// The tag.
        tag: u32,
    },
    /// A string of more than 32,767 bytes.
    #[error("a string of {len} bytes is longer than 32767")]
    StringTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Bytes, an array or a message of 2³¹ or more.
    #[error("a length of {len} exceeds 2147483647")]
    TooLong {
        /// The length.
        len: usize,
    },
}

impl EncodeError {
    #[cold]
    pub(crate) const fn field(field: &'static str, version: i16) -> Self {
        Self::FieldNotSupported { field, version }
    }

    #[cold]
    pub(crate) const fn null(field: &'static str, version: i16) -> Self {
        Self::NullNotSupported { field, version }
    }

    #[cold]
    pub(crate) const fn tags(version: i16) -> Self {
        Self::TagsNotSupported { version }
    }
}
