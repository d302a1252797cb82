//! What the producer rules need of a batch, taken from its bytes. Must not know the rules.

use ottla_partition::{BatchKind, EndTxnMarker, ProducerBatch};
use ottla_records::{Batch, BatchHeader, ControlRecordType, EndTransactionMarker, Scratch};

/// Bytes that a marker's batch may unpack to; a real one has 16.
const MARKER_BYTES_MAX: usize = 4096;

/// The batch as the producer rules see it, with the offsets that stand in it.
#[must_use]
pub fn producer_batch(header: &BatchHeader, bytes: &[u8]) -> ProducerBatch {
    let kind = if header.attributes.is_control() {
        marker(bytes).map_or(BatchKind::OtherControl, BatchKind::Marker)
    } else if header.attributes.is_transactional() {
        BatchKind::Transactional
    } else {
        BatchKind::Data
    };
    ProducerBatch {
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        base_offset: header.base_offset,
        last_offset_delta: header.last_offset_delta,
        max_timestamp: header.max_timestamp,
        kind,
    }
}

/// The end of a transaction, when the control batch is one. One that cannot be read is none.
fn marker(bytes: &[u8]) -> Option<EndTxnMarker> {
    let batch = Batch::parse(bytes).ok()?;
    let mut scratch = Scratch::new();
    let record = batch.records(&mut scratch, MARKER_BYTES_MAX).ok()?.next()?.ok()?;
    let commit = match ControlRecordType::parse_key(record.key).ok()? {
        ControlRecordType::Commit => true,
        ControlRecordType::Abort => false,
        ControlRecordType::LeaderChange
        | ControlRecordType::SnapshotHeader
        | ControlRecordType::SnapshotFooter
        | ControlRecordType::KRaftVersion
        | ControlRecordType::KRaftVoters
        | ControlRecordType::Unknown(_) => return None,
    };
    let value = EndTransactionMarker::parse(record.value).ok()?;
    Some(EndTxnMarker {
        commit,
        coordinator_epoch: value.coordinator_epoch,
        timestamp: record.timestamp,
    })
}
