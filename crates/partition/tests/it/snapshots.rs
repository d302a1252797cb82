//! Producer snapshots: round trips, damage, and a restart from one.

use ottla_partition::{
    AppendContext, BatchKind, EndTxnMarker, ProducerBatch, ProducerRules, ProducerStates,
    SnapshotError, decode_snapshot, encode_snapshot,
};
use ottla_protocol::{Millis, Offset, ProducerEpoch, ProducerId};
use proptest::prelude::*;

const RULES: ProducerRules =
    ProducerRules { expiration: Millis(86_400_000), verify_transactions: true };

#[derive(Clone, Debug)]
enum Write {
    Data { producer: i64, epoch: i16, transactional: bool, records: i32 },
    End { producer: i64, epoch: i16, commit: bool },
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        3 => (-1_i64..5, 0_i16..2, any::<bool>(), 1..4).prop_map(
            |(producer, epoch, transactional, records)| Write::Data {
                producer, epoch, transactional, records
            }),
        1 => (0_i64..5, 0_i16..2, any::<bool>())
            .prop_map(|(producer, epoch, commit)| Write::End { producer, epoch, commit }),
    ]
}

/// The batches of a log, offsets without gaps, sequences as they come.
fn batches(writes: &[Write]) -> Vec<ProducerBatch> {
    let mut next = 0;
    let mut made = Vec::new();
    for write in writes {
        let time = Millis(1_000 + next);
        let (producer, epoch, records, kind) = match *write {
            Write::Data { producer, epoch, transactional: false, records } => {
                (producer, epoch, records, BatchKind::Data)
            }
            Write::Data { producer, epoch, transactional: true, records } => {
                (producer, epoch, records, BatchKind::Transactional)
            }
            Write::End { producer, epoch, commit } => {
                let marker = EndTxnMarker { commit, coordinator_epoch: 7, timestamp: time };
                (producer, epoch, 1, BatchKind::Marker(marker))
            }
        };
        made.push(ProducerBatch {
            producer_id: ProducerId(producer),
            producer_epoch: ProducerEpoch(epoch),
            base_sequence: i32::try_from(next).unwrap(),
            base_offset: Offset(next),
            last_offset_delta: records - 1,
            max_timestamp: time,
            kind,
        });
        next += i64::from(records);
    }
    made
}

proptest! {
    /// A restart loads a snapshot and replays what follows it. Then everything is as it was, but
    /// for the older four batches of each producer, which no snapshot keeps.
    #[test]
    fn a_restart_changes_nothing_that_a_snapshot_keeps(
        writes in prop::collection::vec(write(), 1..40),
        at in any::<prop::sample::Index>(),
    ) {
        let batches = batches(&writes);
        let at = at.index(batches.len());
        let mut lived = ProducerStates::new(RULES, Offset::ZERO);
        let mut snapshot = None;
        for (i, batch) in batches.iter().enumerate() {
            if i == at {
                snapshot = Some((encode_snapshot(lived.entries()), lived.end_offset()));
            }
            lived.apply(batch);
        }
        let (bytes, end) = snapshot.unwrap();
        let mut restarted = ProducerStates::new(RULES, Offset::ZERO);
        restarted.load(decode_snapshot(&bytes).unwrap(), end, Millis(2_000));
        prop_assert_eq!(encode_snapshot(restarted.entries()), bytes);
        for batch in &batches[at..] {
            restarted.apply(batch);
        }
        prop_assert_eq!(encode_snapshot(restarted.entries()), encode_snapshot(lived.entries()));
        prop_assert_eq!(restarted.first_undecided_offset(), lived.first_undecided_offset());
        prop_assert_eq!(restarted.end_offset(), lived.end_offset());
        lived.on_high_watermark(lived.end_offset());
        restarted.on_high_watermark(restarted.end_offset());
        prop_assert_eq!(restarted.first_unstable_offset(), lived.first_unstable_offset());
    }

    /// A snapshot cut short, or with one bit wrong, is noticed.
    #[test]
    fn damage_is_noticed(
        writes in prop::collection::vec(write(), 1..20),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let mut states = ProducerStates::new(RULES, Offset::ZERO);
        for batch in batches(&writes) {
            states.apply(&batch);
        }
        let bytes = encode_snapshot(states.entries());
        let at = at.index(bytes.len());
        prop_assert!(decode_snapshot(&bytes[..at]).is_err());
        let mut flipped = bytes;
        flipped[at] ^= 1 << bit;
        prop_assert!(decode_snapshot(&flipped).is_err());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        prop_assert!(decode_snapshot(&bytes).is_err());
    }
}

/// Sealed with a valid checksum, so that what lies behind it is reached.
fn sealed(version: i16, body: &[u8]) -> Vec<u8> {
    let mut bytes = version.to_be_bytes().to_vec();
    bytes.extend(ottla_records::crc32c(body).to_be_bytes());
    bytes.extend(body);
    bytes
}

#[test]
fn snapshots_that_are_refused() {
    let table: [(Vec<u8>, SnapshotError); 6] = [
        (vec![], SnapshotError::TooShort(0)),
        (vec![0, 1, 0], SnapshotError::TooShort(3)),
        (sealed(2, &[0; 4]), SnapshotError::Version(2)),
        (sealed(1, &[0; 3]), SnapshotError::TooShort(9)),
        (sealed(1, &[0xff; 4]), SnapshotError::Count(-1)),
        (sealed(1, &[0x7f, 0xff, 0xff, 0xff]), SnapshotError::TooShort(10)),
    ];
    for (bytes, expected) in table {
        assert_eq!(decode_snapshot(&bytes), Err(expected), "{bytes:?}");
    }
    assert_eq!(decode_snapshot(&sealed(1, &[0; 4])), Ok(vec![]));
}

/// Entries of a file are trusted no further than they can be used without harm.
#[test]
fn nonsense_with_a_valid_checksum_does_no_harm() {
    let mut body = 2_i32.to_be_bytes().to_vec();
    for _ in 0..2 {
        body.extend(5_i64.to_be_bytes());
        body.extend(i16::MIN.to_be_bytes());
        body.extend(i32::MIN.to_be_bytes());
        body.extend(i64::MAX.to_be_bytes());
        body.extend(i32::MIN.to_be_bytes());
        body.extend(i64::MIN.to_be_bytes());
        body.extend(i32::MIN.to_be_bytes());
        body.extend(i64::MAX.to_be_bytes());
    }
    let entries = decode_snapshot(&sealed(1, &body)).unwrap();
    let mut states = ProducerStates::new(RULES, Offset::ZERO);
    states.load(entries, Offset(9), Millis(i64::MAX));
    states.remove_expired(Millis(i64::MIN));
    assert_eq!(states.len(), 1);
    let batch = ProducerBatch {
        producer_id: ProducerId(5),
        producer_epoch: ProducerEpoch(i16::MAX),
        base_sequence: i32::MAX,
        base_offset: Offset(i64::MAX),
        last_offset_delta: i32::MAX,
        max_timestamp: Millis(i64::MIN),
        kind: BatchKind::Transactional,
    };
    assert!(states.check(&batch, &AppendContext::CLIENT).is_err());
    states.apply(&batch);
    let _ = states.get(ProducerId(5)).unwrap().batches()[0].first_sequence();
    assert!(!states.has_late_transaction(Millis(i64::MAX), Millis(i64::MAX)));
    let marker = EndTxnMarker { commit: true, coordinator_epoch: 0, timestamp: Millis(0) };
    let txn = states.apply(&ProducerBatch { kind: BatchKind::Marker(marker), ..batch });
    assert!(txn.is_some());
}
