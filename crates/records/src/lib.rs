//! Record batches (message format 2): borrowed views, builder, checksums, compression with caps,
//! control records, validation.
//!
//! Pure: knows no files, no sockets, no time, and not what an offset means to a log. Bytes come
//! in as slices; what is kept between batches lies in a [`Scratch`] of the caller's.
//!
//! * read: [`Batches`] → [`Batch`] → [`Records`] → [`Record`]
//! * write: [`BatchBuilder`]
//! * a leader's append: [`validate`] (client's batch), then under the partition's lock
//!   [`set_base_offset_and_epoch`]

mod batch;
mod builder;
mod compacted;
mod compress;
mod control;
mod crc;
mod error;
mod header;
mod patch;
mod record;
mod refusal;
mod validate;
mod varint;

pub use batch::{Batch, Batches, Records};
pub use builder::{BatchBuilder, BatchOptions, BuildError, empty_batch};
pub use compacted::retained_batch;
pub use compress::{Scratch, compress};
pub use control::{ControlError, ControlRecordType, EndTransactionMarker, end_transaction_batch};
pub use crc::crc32c;
pub use error::{BatchError, CodecError, RecordError};
pub use header::{
    Attributes, BatchHeader, Compression, HEADER_LEN, LOG_OVERHEAD, MAGIC, NO_SEQUENCE,
    NO_TIMESTAMP, TimestampType, decrement_sequence, increment_sequence,
};
pub use patch::{refresh_crc, set_base_offset_and_epoch, set_max_timestamp};
pub use record::{Headers, HeadersIter, Record, RecordHeader};
pub use refusal::{InvalidRecord, InvalidRecordReason, Refusal, RefusalKind};
pub use validate::{
    AppendOrigin, TargetCompression, Validated, ValidationRules, check_produced,
    claims_transaction, validate,
};
