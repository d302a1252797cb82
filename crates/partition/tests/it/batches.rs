//! What the producer rules see of a batch's bytes.

use ottla_partition::{BatchKind, EndTxnMarker, MarkerError, ProducerBatch};
use ottla_protocol::{Millis, Offset, ProducerEpoch, ProducerId};
use ottla_records::{
    Batch, BatchBuilder, BatchOptions, ControlError, ControlRecordType, EndTransactionMarker,
    empty_batch,
};

fn options(producer: i64, control: bool) -> BatchOptions {
    BatchOptions {
        base_offset: Offset(40),
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(if producer < 0 { -1 } else { 3 }),
        transactional: control && producer >= 0,
        control,
        ..BatchOptions::default()
    }
}

fn control(options: BatchOptions, kind: ControlRecordType, value: &[u8]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options).unwrap();
    builder.append_control(Millis(77), kind, value).unwrap();
    builder.build().unwrap()
}

fn seen(bytes: &[u8]) -> Result<ProducerBatch, MarkerError> {
    ProducerBatch::from_batch(&Batch::parse(bytes).unwrap())
}

#[test]
fn an_end_of_a_transaction() {
    let value = EndTransactionMarker { coordinator_epoch: 5 }.encode();
    for (kind, commit) in [(ControlRecordType::Commit, true), (ControlRecordType::Abort, false)] {
        let plain = control(options(9, true), kind, &value);
        // After compaction the base timestamp is the delete horizon, not a time of the record.
        let horizon = BatchOptions { delete_horizon: Some(Millis(9_999)), ..options(9, true) };
        for bytes in [plain, control(horizon, kind, &value)] {
            let batch = seen(&bytes).unwrap();
            let marker = EndTxnMarker { commit, coordinator_epoch: 5, timestamp: Millis(77) };
            assert_eq!(batch.kind, BatchKind::Marker(marker));
            assert_eq!(batch.producer_id, ProducerId(9));
            assert_eq!(batch.last_offset(), Offset(40));
            assert_eq!(batch.last_sequence(), -1);
            assert!(batch.is_transactional());
        }
    }
}

#[test]
fn control_batches_that_end_nothing() {
    // KRaft's have no producer; their records are not read, so they may be broken here.
    let leader_change = control(options(-1, true), ControlRecordType::Commit, &[]);
    let value = EndTransactionMarker { coordinator_epoch: 5 }.encode();
    let marker = control(options(9, true), ControlRecordType::Commit, &value);
    let compacted = empty_batch(Batch::parse(&marker).unwrap().header());
    let other = control(options(9, true), ControlRecordType::SnapshotFooter, &value);
    for bytes in [leader_change, compacted, other] {
        assert_eq!(seen(&bytes).unwrap().kind, BatchKind::OtherControl);
    }
    let broken = control(options(9, true), ControlRecordType::Commit, &[0]);
    let short = ControlError::Short { part: "value", len: 1 };
    assert_eq!(seen(&broken), Err(MarkerError::Control(short)));
}

#[test]
fn data_is_told_by_the_header_alone() {
    for (transactional, kind) in [(false, BatchKind::Data), (true, BatchKind::Transactional)] {
        let options = BatchOptions { base_sequence: i32::MAX, transactional, ..options(9, false) };
        let mut builder = BatchBuilder::new(options).unwrap();
        for _ in 0..3 {
            builder.append(Millis(77), None, Some(b"v"), &[]).unwrap();
        }
        let bytes = builder.build().unwrap();
        let batch = seen(&bytes).unwrap();
        assert_eq!((batch.kind, batch.last_offset_delta), (kind, 2));
        assert_eq!((batch.last_offset(), batch.last_sequence()), (Offset(42), 1));
        assert_eq!(batch.max_timestamp, Millis(77));
        // A compacted producer's last batch: no records, everything else as it was.
        let compacted = empty_batch(Batch::parse(&bytes).unwrap().header());
        assert_eq!(seen(&compacted), Ok(batch));
    }
}
