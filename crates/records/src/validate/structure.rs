//! Checks of what is around the records: how many batches, lengths, magic, CRC, header fields.
//! Must not look at records.

use crate::batch::Batch;
use crate::error::BatchError;
use crate::header::{
    ATTRIBUTES_AT, Attributes, BatchHeader, Compression, HEADER_LEN, LEAST_LENGTH, LENGTH_AT,
    LOG_OVERHEAD, MAGIC, MAGIC_AT,
};
use crate::refusal::{Refusal, RefusalKind};
use crate::validate::{AppendOrigin, ValidationRules, nameless};

/// What stands at the front of one partition's bytes.
enum Front<'a> {
    /// No whole batch: nothing, or a batch that is cut off.
    Nothing,
    /// A whole batch of any format, and what follows.
    Batch { magic: i8, batch: &'a [u8], rest: &'a [u8] },
}

/// The next batch as Kafka's reader of a buffer sees it.
fn front(bytes: &[u8]) -> Result<Front<'_>, Refusal> {
    let Some(length) = bytes.get(LENGTH_AT..).and_then(<[u8]>::first_chunk) else {
        return Ok(Front::Nothing);
    };
    let length = i32::from_be_bytes(*length);
    if length < LEAST_LENGTH {
        return Err(BatchError::Length(length).into());
    }
    let Some(magic) = bytes.get(MAGIC_AT).map(|m| m.cast_signed()) else {
        return Ok(Front::Nothing);
    };
    if !(0..=MAGIC).contains(&magic) {
        return Err(BatchError::Magic(magic).into());
    }
    let Some(size) = length.checked_add(12).and_then(|size| usize::try_from(size).ok()) else {
        return Err(nameless("the batch's length field is beyond 2³¹−13"));
    };
    match bytes.split_at_checked(size) {
        Some((batch, rest)) => Ok(Front::Batch { magic, batch, rest }),
        None => Ok(Front::Nothing),
    }
}

/// The checks that Kafka makes on a Produce request's partition before it looks for the
/// partition: exactly one whole batch, magic 2, and zstd only from version 7 on. A cut-off batch
/// after the first is not seen. Null records are given as none: Kafka never answers them.
///
/// # Errors
/// A [`Refusal`]: `INVALID_RECORD`, `CORRUPT_MESSAGE`, `UNSUPPORTED_COMPRESSION_TYPE`.
pub fn check_produced(produce_version: i16, records: &[u8]) -> Result<(), Refusal> {
    let Front::Batch { magic, batch, rest } = front(records)? else {
        return Err(Refusal::invalid("there is no whole record batch for the partition"));
    };
    if magic != MAGIC {
        return Err(BatchError::OldMagic(magic).into());
    }
    if produce_version < 7 {
        let bits = batch.get(ATTRIBUTES_AT..).and_then(<[u8]>::first_chunk);
        let attributes = Attributes(bits.map_or(0, |bits| i16::from_be_bytes(*bits)));
        if attributes.compression()? == Compression::Zstd {
            return Err(Refusal::new(
                RefusalKind::UnsupportedCompressionType,
                format!("zstd needs version 7 of Produce and this is version {produce_version}"),
            ));
        }
    }
    match front(rest)? {
        Front::Nothing => Ok(()),
        Front::Batch { .. } => {
            Err(Refusal::invalid("there is more than one record batch for the partition"))
        }
    }
}

/// Whether the first batch claims to be part of a transaction (which needs a transactional id in
/// the request); asked before anything is validated. False when there is no whole batch.
#[must_use]
pub fn claims_transaction(records: &[u8]) -> bool {
    let Ok(Front::Batch { magic: MAGIC, batch, .. }) = front(records) else { return false };
    let bits = batch.get(ATTRIBUTES_AT..).and_then(<[u8]>::first_chunk);
    Attributes(bits.map_or(0, |bits| i16::from_be_bytes(*bits))).is_transactional()
}

/// Offset, length and CRC of the first batch; gives its size.
pub(super) fn analyse(records: &[u8], rules: &ValidationRules) -> Result<usize, Refusal> {
    let Front::Batch { magic, batch, rest } = front(records)? else {
        return Err(Refusal::invalid("there is no whole record batch for the partition"));
    };
    if magic != MAGIC {
        return Err(BatchError::OldMagic(magic).into());
    }
    let size = batch.len();
    // Kafka reads the producer id before it looks at the size.
    if size < 51 {
        return Err(nameless("the batch ends before its producer id"));
    }
    let base_offset = batch.first_chunk().map_or(0, |b| i64::from_be_bytes(*b));
    if rules.origin == AppendOrigin::Client && base_offset != 0 {
        return Err(Refusal::invalid(format!("the batch's base offset is {base_offset}, not 0")));
    }
    if size > rules.max_message_bytes {
        return Err(BatchError::TooLarge { size, limit: rules.max_message_bytes }.into());
    }
    if size < HEADER_LEN {
        let length = i32::try_from(size - LOG_OVERHEAD).unwrap_or(0);
        return Err(BatchError::Length(length).into());
    }
    let batch = Batch::parse(batch)?;
    batch.verify_crc()?;
    batch.header().compression()?;
    if let Front::Batch { .. } = front(rest)? {
        return Err(Refusal::invalid("there is more than one record batch for the partition"));
    }
    Ok(size)
}

/// What a client's header must say.
pub(super) fn check_header(header: &BatchHeader, rules: &ValidationRules) -> Result<(), Refusal> {
    if rules.origin == AppendOrigin::Coordinator {
        return Ok(());
    }
    let (count, delta) = (i64::from(header.record_count), i64::from(header.last_offset_delta));
    if delta < 0 {
        return Err(Refusal::invalid(format!("the batch's last offset delta is {delta}")));
    }
    if count <= 0 {
        return Err(Refusal::invalid(format!("the batch's record count is {count}")));
    }
    if delta + 1 != count {
        return Err(Refusal::invalid(format!(
            "the batch counts {count} records and its last offset delta is {delta}"
        )));
    }
    if header.attributes.is_control() {
        return Err(Refusal::invalid("clients cannot write control records"));
    }
    if header.has_producer_id() && header.base_sequence < 0 {
        return Err(Refusal::invalid(format!(
            "the batch has a producer id and the sequence {}",
            header.base_sequence
        )));
    }
    Ok(())
}
