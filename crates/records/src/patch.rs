//! What a leader changes in a batch, in place: base offset and leader epoch (outside the CRC),
//! timestamp type and maximum timestamp (inside it). Must not know why they change.

use ottla_protocol::{LeaderEpoch, Millis, Offset};

use crate::crc::crc32c;
use crate::header::{
    ATTRIBUTES_AT, BatchHeader, CRC_AT, EPOCH_AT, HEADER_LEN, MAX_TIMESTAMP_AT, TimestampType,
};

fn put(batch: &mut [u8], at: usize, bytes: &[u8]) {
    let to = batch.get_mut(at..at + bytes.len());
    assert!(to.is_some(), "a batch has at least its header");
    if let Some(to) = to {
        to.copy_from_slice(bytes);
    }
}

/// Writes base offset and partition leader epoch into the batch that begins at `batch[0]`. The CRC
/// does not cover them.
///
/// # Panics
/// When `batch` is shorter than a header: the caller has validated it.
pub fn set_base_offset_and_epoch(batch: &mut [u8], base_offset: Offset, epoch: LeaderEpoch) {
    assert!(batch.len() >= HEADER_LEN, "a batch has at least its header");
    put(batch, 0, &base_offset.0.to_be_bytes());
    put(batch, EPOCH_AT, &epoch.0.to_be_bytes());
}

/// Writes timestamp type and maximum timestamp into the one batch that fills `batch`, and the new
/// CRC. Nothing changes when both stand there already; else attribute bits without meaning are
/// cleared (as Kafka does). Gives whether anything changed.
///
/// # Panics
/// When `batch` is shorter than a header: the caller has validated it.
pub fn set_max_timestamp(batch: &mut [u8], kind: TimestampType, max_timestamp: Millis) -> bool {
    let header = batch.first_chunk::<HEADER_LEN>().map(BatchHeader::read);
    assert!(header.is_some(), "a batch has at least its header");
    let Some(header) = header else { return false };
    if header.attributes.timestamp_type() == kind && header.max_timestamp == max_timestamp {
        return false;
    }
    let attributes = header.attributes.with_timestamp_type(kind);
    put(batch, ATTRIBUTES_AT, &attributes.0.to_be_bytes());
    put(batch, MAX_TIMESTAMP_AT, &max_timestamp.0.to_be_bytes());
    refresh_crc(batch);
    true
}

/// Computes and writes the CRC of the one batch that fills `batch`.
///
/// # Panics
/// When `batch` is shorter than a header.
pub fn refresh_crc(batch: &mut [u8]) {
    assert!(batch.len() >= HEADER_LEN, "a batch has at least its header");
    let crc = crc32c(batch.get(ATTRIBUTES_AT..).unwrap_or_default());
    put(batch, CRC_AT, &crc.to_be_bytes());
}
