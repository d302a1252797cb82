//! Any records, in any codec, read back as they were written, and a leader accepts them.

use ottla_protocol::{LeaderEpoch, Millis, Offset, ProducerEpoch, ProducerId};
use ottla_records::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Row {
    gap: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..40),
        (any::<u8>(), 0..2000_usize).prop_map(|(byte, len)| vec![byte; len]),
        vec(any::<u8>(), 3000..3001),
    ]
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        prop_oneof![8 => Just(0_i64), 1 => 0..1000_i64],
        prop_oneof![8 => 0..4_000_000_000_000_i64, 1 => Just(-1), 1 => Just(i64::MAX)],
        option::of(bytes()),
        option::of(bytes()),
        vec((vec(any::<u8>(), 0..10), option::of(vec(any::<u8>(), 0..10))), 0..3),
    )
        .prop_map(|(gap, timestamp, key, value, headers)| Row {
            gap,
            timestamp,
            key,
            value,
            headers,
        });
    vec(row, 1..60)
}

fn options() -> impl Strategy<Value = BatchOptions> {
    (
        0..5_u8,
        0..1_000_000_000_000_i64,
        -1..50_i32,
        option::of(0..2_000_000_000_000_i64),
        option::of((0..1_000_000_i64, 0..100_i16, 0..i32::MAX, any::<bool>())),
    )
        .prop_map(|(codec, base, epoch, append_time, producer)| {
            let (id, producer_epoch, sequence, transactional) =
                producer.unwrap_or((-1, -1, -1, false));
            BatchOptions {
                base_offset: Offset(base),
                partition_leader_epoch: LeaderEpoch(epoch),
                compression: Compression::from_id(codec).unwrap(),
                log_append_time: append_time.map(Millis),
                producer_id: ProducerId(id),
                producer_epoch: ProducerEpoch(producer_epoch),
                base_sequence: sequence,
                transactional,
                ..BatchOptions::default()
            }
        })
}

fn build(options: &BatchOptions, rows: &[Row], gaps: bool) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options.clone()).unwrap();
    for row in rows {
        let offset = builder.next_offset().plus(if gaps { row.gap } else { 0 });
        let headers =
            row.headers.iter().map(|(key, value)| RecordHeader { key, value: value.as_deref() });
        builder
            .append_at(
                offset,
                Millis(row.timestamp),
                row.key.as_deref(),
                row.value.as_deref(),
                headers,
            )
            .unwrap();
    }
    builder.build().unwrap()
}

fn assert_reads_back(batch: &Batch<'_>, options: &BatchOptions, rows: &[Row], gaps: bool) {
    let mut scratch = Scratch::new();
    let mut records = batch.records(&mut scratch, 1 << 24).unwrap();
    let mut next = batch.header().base_offset;
    for row in rows {
        let record = records.next().unwrap().unwrap();
        let offset = next.plus(if gaps { row.gap } else { 0 });
        assert_eq!(record.offset, offset);
        next = offset.plus(1);
        assert_eq!(record.timestamp, options.log_append_time.unwrap_or(Millis(row.timestamp)));
        assert_eq!(record.key, row.key.as_deref());
        assert_eq!(record.value, row.value.as_deref());
        assert_eq!(record.headers.len(), row.headers.len());
        for (read, (key, value)) in record.headers.iter().zip(&row.headers) {
            assert_eq!(read, RecordHeader { key, value: value.as_deref() });
        }
    }
    assert_eq!(records.next(), None);
    assert_eq!(batch.header().next_offset(), next);
}

proptest! {
    #[test]
    fn what_is_built_reads_back(options in options(), rows in rows()) {
        let bytes = build(&options, &rows, true);
        let batch = Batch::parse(&bytes).unwrap();
        batch.verify_crc().unwrap();
        prop_assert_eq!(batch.size(), bytes.len());
        let header = batch.header();
        prop_assert_eq!(header.base_offset, options.base_offset);
        prop_assert_eq!(header.partition_leader_epoch, options.partition_leader_epoch);
        prop_assert_eq!(header.producer_id, options.producer_id);
        prop_assert_eq!(header.producer_epoch, options.producer_epoch);
        prop_assert_eq!(header.base_sequence, options.base_sequence);
        prop_assert_eq!(header.attributes.is_transactional(), options.transactional);
        prop_assert_eq!(header.record_count, i32::try_from(rows.len()).unwrap());
        let largest = rows.iter().map(|row| row.timestamp).max().unwrap();
        prop_assert_eq!(
            header.max_timestamp,
            options.log_append_time.unwrap_or(Millis(largest))
        );
        assert_reads_back(&batch, &options, &rows, true);
    }

    #[test]
    fn a_leader_accepts_what_is_built(
        options in options(),
        rows in rows(),
        target in option::of(0..5_u8),
    ) {
        let options = BatchOptions {
            base_offset: Offset(0),
            partition_leader_epoch: LeaderEpoch(-1),
            log_append_time: None,
            ..options
        };
        let sent = build(&options, &rows, false);
        let rules = ValidationRules {
            after_max: Millis(i64::MAX),
            max_message_bytes: usize::MAX,
            target_compression: match target.and_then(Compression::from_id) {
                None => TargetCompression::Producer,
                Some(codec) => TargetCompression::Codec { codec, level: None },
            },
            ..ValidationRules::default()
        };
        let mut bytes = sent.clone();
        let mut scratch = Scratch::new();
        check_produced(9, &bytes).unwrap();
        let mut validated = validate(&mut bytes, &rules, &mut scratch).unwrap();
        let codec = target.and_then(Compression::from_id).unwrap_or(options.compression);
        prop_assert_eq!(validated.rebuilt.is_some(), codec != options.compression);
        prop_assert_eq!(validated.header.compression().unwrap(), codec);
        let stored = validated.bytes_mut(&mut bytes);
        if codec == options.compression {
            prop_assert_eq!(&*stored, sent.as_slice());
        }
        set_base_offset_and_epoch(stored, Offset(77), LeaderEpoch(3));
        let batch = Batch::parse(stored).unwrap();
        batch.verify_crc().unwrap();
        prop_assert_eq!(batch.header().base_offset, Offset(77));
        prop_assert_eq!(batch.header().partition_leader_epoch, LeaderEpoch(3));
        assert_reads_back(&batch, &options, &rows, false);
    }

    #[test]
    fn streams_of_any_length(bytes in vec(any::<u8>(), 0..200), times in 0..3000_usize) {
        let bytes = bytes.repeat(times);
        let mut scratch = Scratch::new();
        for codec in Compression::ALL {
            for level in [None, Some(1), Some(9)] {
                let stream = compress(codec, level, &bytes).unwrap();
                if bytes.is_empty() && codec == Compression::None {
                    continue;
                }
                let back = scratch.decompress(codec, &stream, bytes.len()).unwrap();
                assert!(back == bytes, "{codec:?}");
                if !bytes.is_empty() {
                    let short = scratch.decompress(codec, &stream, bytes.len() - 1);
                    let limit = bytes.len() - 1;
                    assert_eq!(short.err(), Some(CodecError::TooLarge { limit }), "{codec:?}");
                }
            }
        }
    }
}

#[test]
fn batches_stop_at_a_torn_tail() {
    let one = BatchOptions { base_offset: Offset(5), ..BatchOptions::default() };
    let row =
        Row { gap: 0, timestamp: 1, key: None, value: Some(b"v".to_vec()), headers: Vec::new() };
    let batch = build(&one, &[row], false);
    let mut bytes = batch.repeat(3);
    bytes.extend_from_slice(&batch[..batch.len() - 1]);
    let mut batches = Batches::new(&bytes);
    assert_eq!(batches.by_ref().filter(Result::is_ok).count(), 3);
    assert_eq!(batches.position(), 3 * batch.len());
    let mut batches = Batches::new(&bytes);
    assert_eq!(
        batches.nth(3).unwrap().unwrap_err(),
        BatchError::Torn { needed: batch.len(), available: batch.len() - 1 }
    );
    assert!(batches.next().is_none());
    let mut small = Batches::new(&bytes).with_max_size(batch.len() - 1);
    let limit = batch.len() - 1;
    assert_eq!(
        small.next().unwrap().unwrap_err(),
        BatchError::TooLarge { size: batch.len(), limit }
    );
    assert_eq!(Batches::new(&[0; 40]).next().unwrap().unwrap_err(), BatchError::Length(0));
}
