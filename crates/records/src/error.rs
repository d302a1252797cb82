//! What can be wrong with the bytes of a batch. Must not know requests or wire error codes
//! (those are in `refusal`).

use thiserror::Error;

use crate::header::Compression;

/// Why bytes are not a batch, or not one that can be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum BatchError {
    /// The bytes end inside the batch.
    #[error("the batch needs {needed} bytes and {available} are there")]
    Torn {
        /// Bytes that the batch (or its header) has.
        needed: usize,
        /// Bytes that are there.
        available: usize,
    },
    /// The length field is one that no batch can have.
    #[error("the batch's length field says {0}, which no batch can have")]
    Length(i32),
    /// The batch is longer than the reader allows.
    #[error("the batch has {size} bytes and at most {limit} are allowed")]
    TooLarge {
        /// Bytes of the batch.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Message format 0 or 1, which are no longer read.
    #[error("the batch is in message format {0}, which is no longer supported")]
    OldMagic(i8),
    /// No message format that exists.
    #[error("the batch's magic is {0}, which no message format has")]
    Magic(i8),
    /// Stored and computed CRC-32C differ.
    #[error("the batch's CRC is {stored:#010x} and its bytes give {computed:#010x}")]
    Crc {
        /// As the header says.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// Codec ids 5–7.
    #[error("compression codec {0} does not exist")]
    UnknownCodec(u8),
    /// The number of records is negative.
    #[error("the batch's record count is {0}")]
    Count(i32),
    /// The compressed bytes cannot be read.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A record is broken.
    #[error("record {index} of the batch {error}")]
    Record {
        /// Place of the record in the batch, from 0.
        index: i32,
        /// What is wrong.
        error: RecordError,
    },
    /// All records were read and bytes are left over.
    #[error("bytes are left after the batch's last record")]
    Trailing,
}

/// What is wrong with one record's bytes. Reads on from "record 3 of the batch …".
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum RecordError {
    /// The bytes end inside the record.
    #[error("is cut off")]
    Cut,
    /// The record's length is negative.
    #[error("has the length {0}")]
    NegativeLength(i32),
    /// The record's length is over the reader's limit.
    #[error("has {length} bytes and at most {limit} are allowed")]
    TooLong {
        /// As declared.
        length: i32,
        /// Bytes allowed.
        limit: i32,
    },
    /// The fields do not fill the declared length, or exceed it.
    #[error("does not have the length it declares")]
    LengthMismatch,
    /// The first varint (the record's length) has more than 5 bytes.
    #[error("begins with a length that never ends")]
    LengthVarint,
    /// A varint has more bytes than its type can.
    #[error("has a number that never ends")]
    Varint,
    /// Negative number of headers, or more headers than bytes.
    #[error("declares {0} headers")]
    HeaderCount(i32),
    /// A header without key.
    #[error("has a header without key")]
    HeaderKey,
}

/// Why compressed bytes cannot be read (or written).
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum CodecError {
    /// The stream is damaged, cut off, or not what the codec's format allows.
    #[error("the {} stream is damaged: {what}", codec.name())]
    Damaged {
        /// The codec.
        codec: Compression,
        /// What was found.
        what: &'static str,
    },
    /// The stream gives more bytes than allowed.
    #[error("the batch decompresses to more than {limit} bytes")]
    TooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// The codec's library has no memory.
    #[error("the {} codec could not be set up", codec.name())]
    Unavailable {
        /// The codec.
        codec: Compression,
    },
}
