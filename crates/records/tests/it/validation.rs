//! The leader's checks, one by one. The long list of damaged batches with Apache Kafka's answers
//! lies in `interop`.

use ottla_protocol::{Millis, ProducerEpoch, ProducerId};
use ottla_records::*;

const NOW: i64 = 1_790_000_000_000;

fn rules() -> ValidationRules {
    ValidationRules { now: Millis(NOW), ..ValidationRules::default() }
}

fn build(options: BatchOptions, timestamps: &[i64]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options).unwrap();
    for timestamp in timestamps {
        builder.append(Millis(*timestamp), Some(b"k"), Some(b"v"), &[]).unwrap();
    }
    builder.build().unwrap()
}

fn batch(codec: Compression, timestamps: &[i64]) -> Vec<u8> {
    build(BatchOptions { compression: codec, ..BatchOptions::default() }, timestamps)
}

fn patched(mut bytes: Vec<u8>, at: usize, value: &[u8]) -> Vec<u8> {
    bytes[at..at + value.len()].copy_from_slice(value);
    if at > 20 {
        refresh_crc(&mut bytes);
    }
    bytes
}

fn run(bytes: &mut [u8], rules: &ValidationRules) -> Result<Validated, Refusal> {
    check_produced(9, bytes)?;
    validate(bytes, rules, &mut Scratch::new())
}

fn refused(mut bytes: Vec<u8>, rules: &ValidationRules) -> (i16, String) {
    let refusal = run(&mut bytes, rules).unwrap_err();
    (refusal.code(), refusal.message)
}

#[test]
fn each_violation_has_its_code() {
    let good = || batch(Compression::None, &[1, 2, 3]);
    let with = |at: usize, value: &[u8]| patched(good(), at, value);
    let cases: Vec<(Vec<u8>, i16, &str)> = vec![
        (Vec::new(), 87, "there is no whole record batch for the partition"),
        (good()[..70].to_vec(), 87, "there is no whole record batch for the partition"),
        (good().repeat(2), 87, "there is more than one record batch for the partition"),
        (with(16, &[1]), 87, "the batch is in message format 1, which is no longer supported"),
        (with(16, &[3]), 2, "the batch's magic is 3, which no message format has"),
        (with(8, &[0, 0, 0, 3]), 2, "the batch's length field says 3, which no batch can have"),
        (with(7, &[1]), 87, "the batch's base offset is 1, not 0"),
        (with(57, &[0; 4]), 87, "the batch's record count is 0"),
        (with(23, &[0xff; 4]), 87, "the batch's last offset delta is -1"),
        (with(26, &[9]), 87, "the batch counts 3 records and its last offset delta is 9"),
        (with(22, &[0x20]), 87, "clients cannot write control records"),
        (with(43, &[0; 8]), 87, "the batch has a producer id and the sequence -1"),
        (with(22, &[7]), -1, "compression codec 7 does not exist"),
        (with(61, &[1]), 87, "record 0 of the batch has the length -1"),
        (with(61, &[126]), 87, "record 0 of the batch is cut off"),
        (with(61, &[0xff; 6]), -1, "record 0 of the batch begins with a length that never ends"),
        (with(22, &[1]), -1, "the gzip stream is damaged: no gzip header"),
    ];
    for (bytes, code, message) in cases {
        assert_eq!(refused(bytes, &rules()), (code, message.to_owned()));
    }
    let mut crc = good();
    crc[17] ^= 1;
    let (code, message) = refused(crc, &rules());
    assert_eq!(code, 2);
    assert!(message.starts_with("the batch's CRC is 0x"), "{message}");
    let small = ValidationRules { max_message_bytes: good().len() - 1, ..rules() };
    let size = good().len();
    let message = format!("the batch has {size} bytes and at most {} are allowed", size - 1);
    assert_eq!(refused(good(), &small), (10, message));
}

#[test]
fn zstd_needs_version_7_of_produce() {
    let bytes = batch(Compression::Zstd, &[1]);
    assert_eq!(check_produced(7, &bytes), Ok(()));
    let refusal = check_produced(6, &bytes).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::UnsupportedCompressionType);
    assert_eq!(check_produced(6, &batch(Compression::Lz4, &[1])), Ok(()));
}

#[test]
fn bytes_after_the_batch_are_left_out() {
    let good = batch(Compression::None, &[1]);
    let mut bytes = good.clone();
    bytes.extend_from_slice(&good[..good.len() - 1]);
    let mut validated = run(&mut bytes, &rules()).unwrap();
    assert_eq!(validated.size, good.len());
    assert_eq!(validated.bytes_mut(&mut bytes), good);
}

#[test]
fn append_time_is_stamped_in_place() {
    for codec in Compression::ALL {
        let mut bytes = batch(codec, &[1, 2, 3]);
        let len = bytes.len();
        let rules = ValidationRules { timestamp_type: TimestampType::LogAppendTime, ..rules() };
        let validated = run(&mut bytes, &rules).unwrap();
        assert_eq!(validated.log_append_time, Some(Millis(NOW)));
        assert_eq!(validated.max_timestamp, Millis(NOW));
        assert_eq!(validated.rebuilt, None);
        let stored = Batch::parse(&bytes).unwrap();
        stored.verify_crc().unwrap();
        assert_eq!(stored.size(), len);
        assert_eq!(stored.header().attributes.timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!(*stored.header(), validated.header);
        let mut scratch = Scratch::new();
        for record in stored.records(&mut scratch, 1000).unwrap() {
            assert_eq!(record.unwrap().timestamp, Millis(NOW));
        }
    }
}

#[test]
fn a_wrong_maximum_timestamp_is_set_right() {
    for codec in Compression::ALL {
        let good = batch(codec, &[1, 9, 3]);
        let mut bytes = patched(good.clone(), 35, &77_i64.to_be_bytes());
        let validated = run(&mut bytes, &rules()).unwrap();
        assert_eq!(validated.max_timestamp, Millis(9));
        assert_eq!(bytes, good);
    }
}

#[test]
fn records_at_fault_are_named() {
    let mut builder = BatchBuilder::new(BatchOptions::default()).unwrap();
    builder.append(Millis(NOW), None, Some(b"v"), &[]).unwrap();
    builder.append(Millis(NOW), Some(b"k"), Some(b"v"), &[]).unwrap();
    builder.append(Millis(NOW), None, Some(b"v"), &[]).unwrap();
    let keyless = builder.build().unwrap();
    let compacted = ValidationRules { compacted: true, ..rules() };
    let refusal = run(&mut keyless.clone(), &compacted).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::InvalidRecord);
    let reason = InvalidRecordReason::NoKey;
    let at = |index| InvalidRecord { index, reason };
    assert_eq!(refusal.records, [at(0), at(2)]);
    assert!(refusal.wire_message().is_some());
    run(&mut keyless.clone(), &rules()).unwrap();

    let hour = 3_600_000;
    let times = [NOW + hour, NOW + hour + 1, NOW - hour, NOW - hour - 1, -1];
    let narrow = ValidationRules { before_max: Millis(hour), ..rules() };
    for codec in Compression::ALL {
        let refusal = run(&mut batch(codec, &times), &narrow).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::InvalidTimestamp);
        let indexes: Vec<_> = refusal.records.iter().map(|record| record.index).collect();
        assert_eq!(indexes, [1, 3], "{codec:?}");
    }

    let stamped = BatchOptions { log_append_time: Some(Millis(NOW)), ..BatchOptions::default() };
    let stamped = build(stamped, &[NOW, NOW]);
    let append_time = ValidationRules { timestamp_type: TimestampType::LogAppendTime, ..rules() };
    let refusal = run(&mut stamped.clone(), &append_time).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::InvalidTimestamp);
    assert_eq!(refusal.records.len(), 2);
    // To a CreateTime topic such a batch may go: the flag is cleared.
    let mut bytes = stamped;
    let validated = run(&mut bytes, &rules()).unwrap();
    assert_eq!(validated.header.attributes, Attributes(0));
    Batch::parse(&bytes).unwrap().verify_crc().unwrap();
}

#[test]
fn faults_are_counted_and_not_all_kept() {
    let mut builder = BatchBuilder::new(BatchOptions::default()).unwrap();
    for _ in 0..20_000 {
        builder.append(Millis(NOW), None, None, &[]).unwrap();
    }
    let compacted = ValidationRules { compacted: true, ..rules() };
    let refusal = run(&mut builder.build().unwrap(), &compacted).unwrap_err();
    assert_eq!(refusal.records.len(), 10_000);
    assert!(refusal.message.starts_with("20000 records"), "{}", refusal.message);
}

#[test]
fn another_codec_is_rebuilt_with_the_producers_fields() {
    for from in Compression::ALL {
        for to in Compression::ALL {
            let options = BatchOptions {
                compression: from,
                producer_id: ProducerId(5),
                producer_epoch: ProducerEpoch(2),
                base_sequence: 40,
                transactional: true,
                ..BatchOptions::default()
            };
            let mut bytes = build(options, &[NOW, NOW + 5, NOW + 2]);
            let rules = ValidationRules {
                target_compression: TargetCompression::Codec { codec: to, level: None },
                ..rules()
            };
            let mut validated = run(&mut bytes, &rules).unwrap();
            assert_eq!(validated.rebuilt.is_some(), from != to);
            let header = validated.header;
            let stored = Batch::parse(validated.bytes_mut(&mut bytes)).unwrap();
            stored.verify_crc().unwrap();
            assert_eq!(*stored.header(), header);
            assert_eq!(header.compression(), Ok(to));
            assert_eq!(header.producer_id, ProducerId(5));
            assert_eq!(header.producer_epoch, ProducerEpoch(2));
            assert_eq!((header.base_sequence, header.last_sequence()), (40, 42));
            assert!(header.attributes.is_transactional());
            assert_eq!(header.max_timestamp, Millis(NOW + 5));
        }
    }
}

#[test]
fn a_batch_that_grows_too_large_is_refused() {
    let value = vec![7_u8; 5000];
    let options = BatchOptions { compression: Compression::Zstd, ..BatchOptions::default() };
    let mut builder = BatchBuilder::new(options).unwrap();
    builder.append(Millis(NOW), None, Some(&value), &[]).unwrap();
    let rules = ValidationRules {
        max_message_bytes: 1000,
        target_compression: TargetCompression::Codec { codec: Compression::None, level: None },
        ..rules()
    };
    let refusal = run(&mut builder.build().unwrap(), &rules).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::MessageTooLarge);
}

#[test]
fn coordinators_may_write_control_batches() {
    let marker = EndTransactionMarker { coordinator_epoch: 1 };
    let (id, epoch) = (ProducerId(1), ProducerEpoch(0));
    let bytes = end_transaction_batch(Millis(NOW), id, epoch, false, marker, (-1).into()).unwrap();
    let target = TargetCompression::Codec { codec: Compression::Gzip, level: None };
    let rules = ValidationRules {
        origin: AppendOrigin::Coordinator,
        target_compression: target,
        ..rules()
    };
    let validated = run(&mut bytes.clone(), &rules).unwrap();
    assert_eq!(validated.rebuilt, None, "control batches are never compressed");
    let refusal = run(&mut bytes.clone(), &self::rules()).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::InvalidRecord);
}

#[test]
fn the_builder_refuses_what_no_batch_can_hold() {
    let mut builder = BatchBuilder::new(BatchOptions::default()).unwrap();
    assert!(builder.is_empty());
    assert_eq!(builder.append(Millis(-2), None, None, &[]), Err(BuildError::Timestamp(-2)));
    builder.append(Millis(-1), None, None, &[]).unwrap();
    let none = std::iter::empty::<RecordHeader<'_>>;
    assert!(matches!(
        builder.append_at(0.into(), Millis(0), None, None, none()),
        Err(BuildError::Offset { .. })
    ));
    let far = (i64::from(i32::MAX) + 1).into();
    assert!(matches!(
        builder.append_at(far, Millis(0), None, None, none()),
        Err(BuildError::Offset { .. })
    ));
    let control = builder.append_control(Millis(0), ControlRecordType::Commit, b"");
    assert_eq!(control, Err(BuildError::Control));
    let empty = BatchBuilder::new(BatchOptions::default()).unwrap();
    assert_eq!(empty.build(), Err(BuildError::Empty));
    let transactional = BatchOptions { transactional: true, ..BatchOptions::default() };
    let mut builder = BatchBuilder::new(transactional).unwrap();
    builder.append(Millis(0), None, None, &[]).unwrap();
    assert_eq!(builder.build(), Err(BuildError::Producer));
}

#[test]
fn empty_batches_of_compaction_read_as_no_records() {
    let full = batch(Compression::Gzip, &[1, 2, 3]);
    let header = *Batch::parse(&full).unwrap().header();
    let bytes = empty_batch(&header);
    let empty = Batch::parse(&bytes).unwrap();
    empty.verify_crc().unwrap();
    assert_eq!(empty.size(), HEADER_LEN);
    assert_eq!(empty.header().last_offset(), header.last_offset());
    assert_eq!(empty.header().max_timestamp, header.max_timestamp);
    assert_eq!(empty.records(&mut Scratch::new(), 0).unwrap().count(), 0);
}
