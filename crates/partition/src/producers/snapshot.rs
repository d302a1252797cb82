//! Producer snapshots, the content of `.snapshot` files (`ProducerSnapshot.json`, version 1).
//! Owns bytes in memory; must not know files, nor when a snapshot is taken.
//!
//! Layout, big endian: i16 version 1 · u32 CRC-32C of all that follows · i32 count · a producer
//! 46 bytes: i64 id, i16 epoch, i32 last sequence, i64 last offset, i32 last minus first offset
//! of the last batch, i64 timestamp, i32 coordinator epoch, i64 first offset of the open
//! transaction or −1. Kafka keeps only the last batch, so after a restart only that one is
//! recognised as a duplicate.

use bytes::{Buf, BufMut};
use ottla_protocol::{Millis, Offset, ProducerEpoch, ProducerId};
use ottla_records::crc32c;
use thiserror::Error;

use super::entry::{BatchMetadata, ProducerEntry};

const VERSION: i16 = 1;
const HEADER_BYTES: usize = 10;
const CRC_END: usize = 6;
const ENTRY_BYTES: usize = 46;

/// Why a snapshot is not accepted. Whoever reads one goes on with the next older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// Too short for what it announces.
    #[error("the producer snapshot ends after {0} bytes")]
    TooShort(usize),
    /// Not version 1.
    #[error("unknown producer snapshot version {0}")]
    Version(i16),
    /// The checksum does not match.
    #[error("the producer snapshot's checksum is {stored:#010x}, computed {computed:#010x}")]
    Checksum {
        /// As stored.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// A negative number of producers.
    #[error("the producer snapshot announces {0} producers")]
    Count(i32),
}

/// The snapshot of these producers, in the order given.
#[must_use]
pub fn encode_snapshot<'a>(entries: impl ExactSizeIterator<Item = &'a ProducerEntry>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + entries.len().saturating_mul(ENTRY_BYTES));
    bytes.put_i16(VERSION);
    bytes.put_u32(0);
    let count = i32::try_from(entries.len()).unwrap_or(i32::MAX);
    bytes.put_i32(count);
    for entry in entries.take(usize::try_from(count).unwrap_or(0)) {
        bytes.put_i64(entry.producer_id.get());
        bytes.put_i16(entry.producer_epoch.get());
        bytes.put_i32(entry.last_sequence());
        bytes.put_i64(entry.last_data_offset().get());
        bytes.put_i32(entry.last_batch().map_or(0, |b| b.offset_delta));
        bytes.put_i64(entry.last_timestamp.get());
        bytes.put_i32(entry.coordinator_epoch);
        bytes.put_i64(entry.current_txn_first_offset.unwrap_or(Offset::NONE).get());
    }
    let crc = crc32c(bytes.get(CRC_END..).unwrap_or(&[]));
    if let Some(mut place) = bytes.get_mut(2..CRC_END) {
        place.put_u32(crc);
    }
    bytes
}

/// Reads a snapshot.
///
/// # Errors
/// [`SnapshotError`] for anything but a whole snapshot of version 1 with a matching checksum.
pub fn decode_snapshot(bytes: &[u8]) -> Result<Vec<ProducerEntry>, SnapshotError> {
    let too_short = SnapshotError::TooShort(bytes.len());
    let mut rest = bytes;
    let version = rest.try_get_i16().map_err(|_| too_short)?;
    if version != VERSION {
        return Err(SnapshotError::Version(version));
    }
    let stored = rest.try_get_u32().map_err(|_| too_short)?;
    let computed = crc32c(rest);
    if stored != computed {
        return Err(SnapshotError::Checksum { stored, computed });
    }
    let count = rest.try_get_i32().map_err(|_| too_short)?;
    let wanted = usize::try_from(count).map_err(|_| SnapshotError::Count(count))?;
    if rest.len() / ENTRY_BYTES < wanted {
        return Err(too_short);
    }
    Ok(rest.chunks_exact(ENTRY_BYTES).take(wanted).map(decode_entry).collect())
}

fn decode_entry(mut bytes: &[u8]) -> ProducerEntry {
    let mut entry = ProducerEntry::empty(ProducerId(bytes.get_i64()));
    entry.producer_epoch = ProducerEpoch(bytes.get_i16());
    let last_sequence = bytes.get_i32();
    let last_offset = Offset(bytes.get_i64());
    let offset_delta = bytes.get_i32();
    entry.last_timestamp = Millis(bytes.get_i64());
    entry.coordinator_epoch = bytes.get_i32();
    let txn_first = Offset(bytes.get_i64());
    entry.current_txn_first_offset = (txn_first >= Offset::ZERO).then_some(txn_first);
    if last_offset >= Offset::ZERO {
        entry.push(BatchMetadata {
            last_sequence,
            last_offset,
            offset_delta,
            timestamp: entry.last_timestamp,
        });
    }
    entry
}
