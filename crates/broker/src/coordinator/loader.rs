//! Replays a partition of the offsets topic into its shard. Must not know groups.

use bytes::Bytes;
use ottla_groups::{LoadError, Shard};
use ottla_log::ReadError;
use ottla_protocol::{Offset, ProducerId};
use ottla_records::{Batch, BatchError, Batches, ControlRecordType, Scratch};

use crate::replica::HostedPartition;

/// Bytes that are read at a time (`offsets.load.buffer.size`).
const READ_BYTES: usize = 5 * 1024 * 1024;
/// Bytes that the records of one batch may decompress to.
const DECOMPRESSED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Why a shard could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadFailure {
    #[error("its log cannot be read: {0}")]
    Read(#[from] ReadError),
    #[error("a batch cannot be read: {0}")]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Record(#[from] LoadError),
}

/// Gives `shard` every record of the partition, from the log start to the log end, in order.
pub(super) fn load(partition: &HostedPartition, mut shard: Shard) -> Result<Shard, LoadFailure> {
    let (ends, _) = partition.ends();
    let mut scratch = Scratch::default();
    let mut next = ends.log_start;
    while next < ends.log_end {
        let read = partition.read_own(next, READ_BYTES)?;
        let before = next;
        for bytes in &read {
            for batch in Batches::new(bytes) {
                let batch = batch?;
                replay(&mut shard, &batch, before, &mut scratch)?;
                next = batch.header().next_offset();
            }
        }
        if next == before {
            break;
        }
    }
    Ok(shard)
}

fn replay(
    shard: &mut Shard,
    batch: &Batch<'_>,
    from: Offset,
    scratch: &mut Scratch,
) -> Result<(), LoadFailure> {
    let header = batch.header();
    let attributes = header.attributes;
    let producer: ProducerId = header.producer_id;
    for record in batch.records(scratch, DECOMPRESSED_BYTES_MAX)? {
        let record = record?;
        let offset = header.base_offset.plus(i64::from(record.offset_delta));
        if offset < from {
            continue;
        }
        if attributes.is_control() {
            match ControlRecordType::parse_key(record.key) {
                Ok(ControlRecordType::Commit) => shard.end_transaction(producer, true),
                Ok(ControlRecordType::Abort) => shard.end_transaction(producer, false),
                _ => {}
            }
            continue;
        }
        let Some(key) = record.key else { continue };
        let key = Bytes::copy_from_slice(key);
        let value = record.value.map(Bytes::copy_from_slice);
        if attributes.is_transactional() {
            shard.apply_transactional(offset, producer, &key, value.as_ref())?;
        } else {
            shard.apply(offset, &key, value.as_ref())?;
        }
    }
    Ok(())
}
