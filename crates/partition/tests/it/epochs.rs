//! The epoch cache against the plainest model there is, the epoch of every single record; and
//! the text of its checkpoint.

use ottla_partition::{CheckpointError, EpochCache, EpochEnd};
use ottla_protocol::{LeaderEpoch, Offset};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Event {
    /// A leader `skip` epochs later appends this many records.
    Lead {
        skip: i32,
        records: usize,
    },
    CutEnd {
        keep: usize,
    },
    CutStart {
        drop: usize,
    },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..3, 1_usize..5).prop_map(|(skip, records)| Event::Lead { skip, records }),
        1 => (0_usize..20).prop_map(|keep| Event::CutEnd { keep }),
        1 => (0_usize..6).prop_map(|drop| Event::CutStart { drop }),
    ]
}

fn offset(at: usize) -> Offset {
    Offset(i64::try_from(at).unwrap())
}

proptest! {
    #[test]
    fn the_cache_knows_the_epoch_of_every_record(events in prop::collection::vec(event(), 0..40)) {
        let mut cache = EpochCache::new();
        // Epoch of the record at each offset; `start` is the first that is still there.
        let (mut log, mut start, mut leader) = (Vec::<i32>::new(), 0_usize, 0_i32);
        for event in events {
            match event {
                Event::Lead { skip, records } => {
                    leader += skip;
                    for _ in 0..records {
                        cache.assign(LeaderEpoch(leader), offset(log.len()));
                        log.push(leader);
                    }
                }
                Event::CutEnd { keep } => {
                    let keep = keep.max(start).min(log.len());
                    log.truncate(keep);
                    cache.truncate_from_end(offset(keep));
                    leader += 1;
                }
                Event::CutStart { drop } => {
                    start = (start + drop).min(log.len());
                    cache.truncate_from_start(offset(start));
                }
            }
            for (at, epoch) in log.iter().enumerate().skip(start) {
                prop_assert_eq!(cache.epoch_for_offset(offset(at)), Some(LeaderEpoch(*epoch)));
            }
            for (epoch, next) in log.iter().zip(log.iter().skip(1)).skip(start) {
                // An epoch's end is the offset of the first later one; the last one's the log end.
                let end = log.iter().position(|e| e > epoch).unwrap_or(log.len());
                let found = cache.end_offset_for(LeaderEpoch(*epoch), offset(log.len()));
                prop_assert_eq!(found, EpochEnd { epoch: LeaderEpoch(*epoch), end_offset: offset(end) });
                prop_assert!(epoch <= next);
            }
        }
        prop_assert_eq!(EpochCache::decode_checkpoint(&cache.encode_checkpoint()), Ok(cache));
    }

    #[test]
    fn no_text_makes_the_checkpoint_reader_panic(text in "[0-9 \\-\n\r\ta]{0,40}") {
        if let Ok(cache) = EpochCache::decode_checkpoint(&text) {
            prop_assert_eq!(EpochCache::decode_checkpoint(&cache.encode_checkpoint()), Ok(cache));
        }
    }
}

#[test]
fn checkpoints_that_are_refused() {
    let line = |line, text: &str| Err(CheckpointError::Line { line, text: text.to_owned() });
    let table = [
        ("", Ok(EpochCache::new())),
        ("0\n0\n", Ok(EpochCache::new())),
        ("1\n0\n", Err(CheckpointError::Version("1".to_owned()))),
        ("0\n", line(2, "")),
        ("0\nx\n", line(2, "x")),
        ("0\n1\n5\n", line(3, "5")),
        ("0\n1\n5 6 7\n", line(3, "5 6 7")),
        ("0\n1\n-1 6\n", line(3, "-1 6")),
        ("0\n2\n5 6\n", Err(CheckpointError::Count { announced: 2, found: 1 })),
        ("0\n0\n5 6\n", Err(CheckpointError::Count { announced: 0, found: 1 })),
    ];
    for (text, expected) in table {
        assert_eq!(EpochCache::decode_checkpoint(text), expected, "{text:?}");
    }
}

#[test]
fn no_epoch_is_no_entry() {
    let mut cache = EpochCache::new();
    assert!(!cache.assign(LeaderEpoch(-1), Offset(5)));
    assert!(!cache.assign(LeaderEpoch(1), Offset(-1)));
    assert!(cache.is_empty());
    cache.assign(LeaderEpoch(0), Offset(0));
    assert!(!cache.truncate_from_end(Offset(-1)));
    cache.clear();
    assert_eq!(cache.end_offset_for(LeaderEpoch(0), Offset(9)), EpochEnd::UNKNOWN);
}

#[test]
fn an_epoch_below_none_ends_where_the_first_begins() {
    let mut cache = EpochCache::new();
    assert!(cache.assign(LeaderEpoch(3), Offset(7)));
    assert_eq!(cache.end_offset_for(LeaderEpoch(-1), Offset(9)), EpochEnd::UNKNOWN);
    let end = EpochEnd { epoch: LeaderEpoch(-2), end_offset: Offset(7) };
    assert_eq!(cache.end_offset_for(LeaderEpoch(-2), Offset(9)), end);
}
