//! Logs, producer snapshots and transaction indexes that Apache Kafka wrote: the batches of the
//! log, replayed, must give the very bytes of the other two.

use ottla_partition::{
    CompletedTxn, EpochCache, ProducerBatch, ProducerRules, ProducerStates, decode_snapshot,
    encode_snapshot,
};
use ottla_protocol::{Millis, Offset};
use ottla_records::Batches;

fn index_entry(txn: &CompletedTxn) -> Vec<u8> {
    let mut bytes = 0_i16.to_be_bytes().to_vec();
    bytes.extend(txn.producer_id.get().to_be_bytes());
    bytes.extend(txn.first_offset.get().to_be_bytes());
    bytes.extend(txn.last_offset.get().to_be_bytes());
    bytes.extend(txn.last_stable_offset.get().to_be_bytes());
    bytes
}

/// Replays a log; gives back the state, the epochs, and the transaction index.
fn replay(log: &[u8], start: Offset) -> (ProducerStates, EpochCache, Vec<u8>) {
    let mut states = ProducerStates::new(ProducerRules::default(), start);
    let mut epochs = EpochCache::new();
    let mut index = Vec::new();
    for batch in Batches::new(log) {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        epochs.assign(batch.header().partition_leader_epoch, batch.header().base_offset);
        let seen = ProducerBatch::from_batch(&batch).unwrap();
        if let Some(txn) = states.apply(&seen)
            && txn.is_aborted
        {
            index.extend(index_entry(&txn));
        }
    }
    (states, epochs, index)
}

/// `open`: first offset of the transaction that was open when Kafka stopped.
fn check(log: &[u8], snapshot: &[u8], end: i64, index: &[u8], open: Option<Offset>) {
    let (mut states, _, replayed_index) = replay(log, Offset::ZERO);
    assert_eq!(states.end_offset(), Offset(end));
    assert_eq!(encode_snapshot(states.entries()), snapshot);
    assert_eq!(replayed_index, index);
    assert_eq!(states.first_undecided_offset(), open);
    states.on_high_watermark(Offset(end));
    let stable = states.last_stable_offset(Offset(end), Offset::ZERO);
    assert_eq!(stable, open.unwrap_or(Offset(end)));
    let read = decode_snapshot(snapshot).unwrap();
    assert_eq!(encode_snapshot(read.iter()), snapshot);
}

macro_rules! golden {
    ($file:literal) => {
        include_bytes!(concat!("../golden/", $file))
    };
}

#[test]
fn idempotent_producers_of_all_codecs() {
    let log = golden!("codecs-0/00000000000000000000.log");
    check(log, golden!("codecs-0/00000000000000000105.snapshot"), 105, &[], None);
}

#[test]
fn transactions_committed_aborted_and_left_open() {
    let log = golden!("txn-0/00000000000000000000.log");
    let index = golden!("txn-0/00000000000000000000.txnindex");
    check(log, golden!("txn-0/00000000000000000009.snapshot"), 9, index, Some(Offset(8)));
    let log = golden!("txn-1/00000000000000000000.log");
    let index = golden!("txn-1/00000000000000000000.txnindex");
    check(log, golden!("txn-1/00000000000000000007.snapshot"), 7, index, None);
}

#[test]
fn an_older_kafkas_partition() {
    let log = golden!("old-t-0/00000000000000000100.log");
    let index = golden!("old-t-0/00000000000000000100.txnindex");
    check(log, golden!("old-t-0/00000000000000000117.snapshot"), 117, index, None);
    let checkpoint = std::str::from_utf8(golden!("old-t-0/leader-epoch-checkpoint")).unwrap();
    let kept = EpochCache::decode_checkpoint(checkpoint).unwrap();
    assert_eq!(kept.encode_checkpoint(), checkpoint);
    let (_, epochs, _) = replay(log, Offset::ZERO);
    assert_eq!(epochs.entries(), &kept.entries()[1..], "epoch 5 ended before this segment");
}

#[test]
fn a_snapshot_without_producers() {
    let snapshot = golden!("appendtime-0/00000000000000000005.snapshot");
    assert_eq!(decode_snapshot(snapshot), Ok(vec![]));
    assert_eq!(encode_snapshot([].iter()), snapshot);
}

/// A transaction that is open where a snapshot was taken is open after a restart from it.
#[test]
fn an_open_transaction_survives_a_snapshot() {
    let log: &[u8] = golden!("txn-0/00000000000000000000.log");
    let batches: Vec<_> = Batches::new(log).map(|b| b.unwrap()).collect();
    for cut in 0..batches.len() {
        let mut states = ProducerStates::new(ProducerRules::default(), Offset::ZERO);
        for batch in &batches[..cut] {
            states.apply(&ProducerBatch::from_batch(batch).unwrap());
        }
        let snapshot = encode_snapshot(states.entries());
        let (end, undecided) = (states.end_offset(), states.first_undecided_offset());
        states.load(decode_snapshot(&snapshot).unwrap(), end, Millis(0));
        assert_eq!(states.first_undecided_offset(), undecided);
        for batch in &batches[cut..] {
            states.apply(&ProducerBatch::from_batch(batch).unwrap());
        }
        let kafkas = golden!("txn-0/00000000000000000009.snapshot");
        assert_eq!(encode_snapshot(states.entries()), kafkas, "cut before batch {cut}");
    }
}
