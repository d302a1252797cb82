//! Tables of the producer rules that clients meet most, told as a client would.

use ottla_partition::{
    Admission, AppendContext, AppendOrigin, BatchKind, CompletedTxn, EndTxnMarker, ProducerBatch,
    ProducerRules, ProducerStates,
};
use ottla_protocol::{Millis, Offset, ProducerEpoch, ProducerId};

const RULES: ProducerRules =
    ProducerRules { expiration: Millis(1_000), verify_transactions: false };

fn batch(epoch: i16, sequence: i32, records: i32) -> ProducerBatch {
    ProducerBatch {
        producer_id: ProducerId(9),
        producer_epoch: ProducerEpoch(epoch),
        base_sequence: sequence,
        base_offset: Offset::ZERO,
        last_offset_delta: records - 1,
        max_timestamp: Millis(100),
        kind: BatchKind::Data,
    }
}

struct Log {
    states: ProducerStates,
}

impl Log {
    fn new() -> Self {
        Self { states: ProducerStates::new(RULES, Offset::ZERO) }
    }

    /// Sends a batch as a client does; what the answer says.
    fn send(&mut self, batch: ProducerBatch) -> String {
        let batch = ProducerBatch { base_offset: self.states.end_offset(), ..batch };
        match self.states.check(&batch, &AppendContext::CLIENT) {
            Ok(Admission::Append) => {
                self.states.apply(&batch);
                format!("{}..{}", batch.base_offset, batch.last_offset())
            }
            Ok(Admission::Duplicate(old)) => {
                format!("again {}..{}", old.first_offset(), old.last_offset)
            }
            Err(error) => error.to_string(),
        }
    }

    fn end(&mut self, producer: i64, commit: bool) -> Option<CompletedTxn> {
        let marker = EndTxnMarker { commit, coordinator_epoch: 0, timestamp: Millis(100) };
        self.states.apply(&ProducerBatch {
            producer_id: ProducerId(producer),
            base_offset: self.states.end_offset(),
            kind: BatchKind::Marker(marker),
            ..batch(0, -1, 1)
        })
    }
}

#[test]
fn the_last_five_batches_are_recognised() {
    let mut log = Log::new();
    for i in 0..6 {
        assert_eq!(log.send(batch(0, 2 * i, 2)), format!("{}..{}", 2 * i, 2 * i + 1));
    }
    for i in 1..6 {
        assert_eq!(log.send(batch(0, 2 * i, 2)), format!("again {}..{}", 2 * i, 2 * i + 1));
    }
    let refused = "producer 9 sent sequence 0 where 12 was expected";
    assert_eq!(log.send(batch(0, 0, 2)), refused, "the sixth last is forgotten");
    let refused = "producer 9 sent sequence 10 where 12 was expected";
    assert_eq!(log.send(batch(0, 10, 1)), refused, "half of a batch is no duplicate");
}

#[test]
fn sequences_wrap() {
    let mut log = Log::new();
    assert_eq!(log.send(batch(0, i32::MAX - 2, 2)), "0..1", "an unknown producer begins anywhere");
    assert_eq!(log.send(batch(0, i32::MAX, 3)), "2..4");
    assert_eq!(log.send(batch(0, i32::MAX, 3)), "again 2..4");
    assert_eq!(log.send(batch(0, 2, 1)), "5..5");
    let mut log = Log::new();
    assert_eq!(log.send(batch(0, i32::MAX, 1)), "0..0");
    let refused = "producer 9 sent sequence 5 where 0 was expected";
    assert_eq!(log.send(batch(0, 5, 1)), refused);
    assert_eq!(log.send(batch(0, 0, 1)), "1..1");
}

#[test]
fn epochs_fence() {
    let mut log = Log::new();
    assert_eq!(log.send(batch(3, 0, 1)), "0..0");
    let refused = "producer 9 has epoch 2, and 3 was seen already";
    assert_eq!(log.send(batch(2, 1, 1)), refused);
    let refused = "producer 9 sent sequence 1 where 0 was expected";
    assert_eq!(log.send(batch(4, 1, 1)), refused, "a new epoch begins at 0");
    assert_eq!(log.send(batch(4, 0, 1)), "1..1");
    assert_eq!(log.send(batch(3, 0, 1)), "producer 9 has epoch 3, and 4 was seen already");
}

#[test]
fn batches_without_a_producer_are_not_checked() {
    let mut log = Log::new();
    let plain = ProducerBatch { producer_id: ProducerId::NONE, ..batch(-1, -1, 3) };
    assert_eq!(log.send(plain), "0..2");
    assert_eq!(log.send(plain), "3..5");
    assert!(log.states.is_empty());
    assert_eq!(log.states.end_offset(), Offset(6));
}

#[test]
fn idle_producers_are_forgotten_but_not_open_transactions() {
    let mut log = Log::new();
    log.send(batch(0, 0, 1));
    log.send(ProducerBatch {
        producer_id: ProducerId(8),
        kind: BatchKind::Transactional,
        ..batch(0, 0, 1)
    });
    log.states.remove_expired(Millis(1_099));
    assert_eq!(log.states.len(), 2);
    log.states.remove_expired(Millis(1_100));
    assert_eq!(log.states.len(), 1);
    assert!(log.states.has_ongoing(ProducerId(8), ProducerEpoch(0)));
    assert_eq!(log.send(batch(0, 77, 1)), "2..2", "a forgotten producer begins anywhere");
}

#[test]
fn readers_of_committed_data_wait_for_the_oldest_transaction() {
    let mut log = Log::new();
    let mut begin = |producer| {
        log.send(ProducerBatch {
            producer_id: ProducerId(producer),
            kind: BatchKind::Transactional,
            ..batch(0, 0, 2)
        })
    };
    assert_eq!([begin(1), begin(2)], ["0..1", "2..3"]);
    let stable = |log: &Log, hw| log.states.last_stable_offset(Offset(hw), Offset::ZERO).get();
    assert_eq!(stable(&log, 4), 0);
    let first = CompletedTxn {
        producer_id: ProducerId(2),
        first_offset: Offset(2),
        last_offset: Offset(4),
        is_aborted: true,
        last_stable_offset: Offset(0),
    };
    assert_eq!(log.end(2, false), Some(first));
    let second = CompletedTxn {
        producer_id: ProducerId(1),
        first_offset: Offset(0),
        last_offset: Offset(5),
        is_aborted: false,
        last_stable_offset: Offset(6),
    };
    assert_eq!(log.end(1, true), Some(second));
    assert_eq!(log.end(1, true), None, "an end without data ends nothing");
    log.states.on_high_watermark(Offset(5));
    assert_eq!(stable(&log, 5), 0, "the marker at 5 is not committed yet");
    log.states.on_high_watermark(Offset(6));
    assert_eq!(stable(&log, 6), 6);
}

#[test]
fn a_replayed_end_below_the_high_watermark_holds_nobody_back() {
    let mut log = Log::new();
    for sequence in [0, 2] {
        log.send(ProducerBatch { kind: BatchKind::Transactional, ..batch(0, sequence, 2) });
        log.end(9, true).expect("it was open");
    }
    // Offsets 0 to 2 and 3 to 5. The high watermark comes from a checkpoint: it does not move.
    let stable = |hw| log.states.last_stable_offset(Offset(hw), Offset::ZERO).get();
    assert_eq!([stable(6), stable(5), stable(4), stable(3), stable(2)], [6, 3, 3, 3, 0]);
}

#[test]
fn the_last_stable_offset_is_never_below_the_log_start() {
    let mut log = Log::new();
    log.send(ProducerBatch { kind: BatchKind::Transactional, ..batch(0, 0, 5) });
    log.states.on_log_start(Offset(3));
    assert_eq!(log.states.last_stable_offset(Offset(5), Offset(3)), Offset(3));
    log.states.clear(Offset(20));
    log.states.on_log_start(Offset(30));
    assert_eq!(log.states.end_offset(), Offset(30));
    assert_eq!(log.states.last_stable_offset(Offset(30), Offset(30)), Offset(30));
}

#[test]
fn replication_is_never_refused() {
    let mut log = Log::new();
    assert_eq!(log.send(batch(3, 0, 1)), "0..0");
    let context = AppendContext { origin: AppendOrigin::Replication, ..AppendContext::CLIENT };
    for odd in [batch(3, 0, 1), batch(1, 50, 1), batch(9, 3, 2)] {
        assert_eq!(log.states.check(&odd, &context), Ok(Admission::Append));
    }
}

#[test]
fn a_transaction_that_hangs_is_late() {
    let mut log = Log::new();
    assert!(!log.states.has_late_transaction(Millis(i64::MAX), Millis(0)));
    log.send(ProducerBatch { kind: BatchKind::Transactional, ..batch(0, 0, 1) });
    let limit = 100 + 900_000 + 300_000;
    assert!(!log.states.has_late_transaction(Millis(limit), Millis(900_000)));
    assert!(log.states.has_late_transaction(Millis(limit + 1), Millis(900_000)));
}

/// A log that verifies transactions, in which the producer of [`batch`] has asked.
fn verified(asked: &ProducerBatch, supports_epoch_bump: bool) -> (ProducerStates, AppendContext) {
    let rules = ProducerRules { verify_transactions: true, ..RULES };
    let mut states = ProducerStates::new(rules, Offset::ZERO);
    let guard = states.start_verification(asked, supports_epoch_bump, Millis(0)).unwrap();
    (states, AppendContext { guard, ..AppendContext::CLIENT })
}

fn transactional(epoch: i16, sequence: i32) -> ProducerBatch {
    ProducerBatch { kind: BatchKind::Transactional, ..batch(epoch, sequence, 1) }
}

#[test]
fn only_a_client_that_bumps_its_epoch_must_begin_at_zero() {
    let asked = transactional(0, 5);
    let (states, context) = verified(&asked, false);
    assert_eq!(states.check(&asked, &context), Ok(Admission::Append));
    let (states, context) = verified(&asked, true);
    let refused = states.check(&asked, &context).unwrap_err();
    assert_eq!(refused.to_string(), "producer 9 sent sequence 5 where 0 was expected");
}

#[test]
fn a_higher_sequence_waits_for_the_lowest_that_asked() {
    let (mut states, context) = verified(&transactional(1, 5), false);
    states.start_verification(&transactional(0, 2), false, Millis(0)).unwrap();
    assert_eq!(states.check(&transactional(1, 5), &context), Ok(Admission::Append));
    states.start_verification(&transactional(1, 3), false, Millis(0)).unwrap();
    assert!(states.check(&transactional(1, 5), &context).is_err());
    assert_eq!(states.check(&transactional(1, 3), &context), Ok(Admission::Append));
    states.apply(&transactional(1, 3));
    assert!(states.has_ongoing(ProducerId(9), ProducerEpoch(1)));
    assert_eq!(states.check(&transactional(1, 4), &AppendContext::CLIENT), Ok(Admission::Append));
}

#[test]
fn verifications_expire_too() {
    let asked = transactional(0, 0);
    let (mut states, context) = verified(&asked, false);
    states.remove_expired(Millis(999));
    assert_eq!(states.check(&asked, &context), Ok(Admission::Append));
    states.remove_expired(Millis(1_000));
    assert!(states.check(&asked, &context).is_err());
}

/// From `transaction.version` 2 on the end of a transaction carries a bumped epoch (KIP-1228).
#[test]
fn an_end_must_bump_the_epoch_while_it_can() {
    let context = AppendContext { transaction_version: 2, ..AppendContext::COORDINATOR };
    let marker = EndTxnMarker { commit: true, coordinator_epoch: 0, timestamp: Millis(1) };
    for (epoch, end, accepted) in
        [(7, 7, false), (7, 8, true), (7, 6, false), (i16::MAX, i16::MAX, true)]
    {
        let mut states = ProducerStates::new(RULES, Offset::ZERO);
        states.apply(&transactional(epoch, 0));
        let end = ProducerBatch { kind: BatchKind::Marker(marker), ..batch(end, -1, 1) };
        assert_eq!(states.check(&end, &context).is_ok(), accepted, "{epoch} {end:?}");
        if accepted {
            assert!(states.apply(&end).is_some());
            assert_eq!(states.check(&end, &context), Ok(Admission::Append), "sent again");
        }
    }
}
