//! Damaged bytes give errors: never a panic, never memory that the limit does not allow.

use ottla_protocol::Millis;
use ottla_records::*;
use proptest::collection::vec;
use proptest::prelude::*;

const LIMIT: usize = 256 * 1024;
/// The largest block that a codec unpacks at once (LZ4's), and the window's own steps.
const SLACK: usize = 5 * 1024 * 1024;

fn batch(codec: Compression, records: usize) -> Vec<u8> {
    let options = BatchOptions { compression: codec, ..BatchOptions::default() };
    let mut builder = BatchBuilder::new(options).unwrap();
    let headers = [RecordHeader { key: b"h", value: Some(b"x") }];
    for i in 0..records {
        let value = format!("value {i} ").repeat(i % 20);
        let key = Some(b"key".as_slice());
        builder.append(Millis(1000), key, Some(value.as_bytes()), &headers).unwrap();
    }
    builder.build().unwrap()
}

/// Everything that reads a batch is given `bytes`.
fn read_all(bytes: &[u8], scratch: &mut Scratch) {
    for batch in Batches::new(bytes) {
        let Ok(batch) = batch else { break };
        let _ = batch.verify_crc();
        if let Ok(records) = batch.records(scratch, LIMIT) {
            for record in records.flatten() {
                assert!(record.headers.iter().count() == record.headers.len());
            }
        }
        assert!(scratch.memory() <= LIMIT + SLACK);
    }
    for codec in [None, Some(Compression::None), Some(Compression::Zstd)] {
        let rules = ValidationRules {
            max_decompressed_batch_bytes: LIMIT,
            max_message_bytes: 1 << 20,
            compacted: true,
            target_compression: codec.map_or(TargetCompression::Producer, |codec| {
                TargetCompression::Codec { codec, level: None }
            }),
            ..ValidationRules::default()
        };
        let _ = check_produced(3, bytes);
        let _ = claims_transaction(bytes);
        let mut copy = bytes.to_vec();
        if validate(&mut copy, &rules, scratch).is_err() {
            assert_eq!(copy, bytes, "a refused batch stays as it came");
        }
        assert!(scratch.memory() <= LIMIT + SLACK);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn flipped_bits(
        codec in 0..5_u8,
        records in 1..40_usize,
        flips in vec((any::<prop::sample::Index>(), 0..8_u8), 1..6),
        seal in any::<bool>(),
    ) {
        let mut bytes = batch(Compression::from_id(codec).unwrap(), records);
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if seal {
            refresh_crc(&mut bytes);
        }
        read_all(&bytes, &mut Scratch::new());
    }

    #[test]
    fn flipped_streams(
        codec in 1..5_u8,
        records in 1..40_usize,
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut bytes = batch(Compression::from_id(codec).unwrap(), records);
        for (at, byte) in flips {
            let at = HEADER_LEN + at.index(bytes.len() - HEADER_LEN);
            bytes[at] = byte;
        }
        refresh_crc(&mut bytes);
        read_all(&bytes, &mut Scratch::new());
        // The same, cut, with length and CRC made right.
        bytes.truncate(HEADER_LEN + keep.index(bytes.len() - HEADER_LEN));
        let length = i32::try_from(bytes.len() - LOG_OVERHEAD).unwrap();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        refresh_crc(&mut bytes);
        read_all(&bytes, &mut Scratch::new());
    }

    #[test]
    fn noise(bytes in vec(any::<u8>(), 0..300)) {
        read_all(&bytes, &mut Scratch::new());
        let mut scratch = Scratch::new();
        for codec in Compression::ALL {
            let _ = scratch.decompress(codec, &bytes, LIMIT);
        }
    }
}

#[test]
fn every_cut_of_a_batch() {
    let mut scratch = Scratch::new();
    for codec in Compression::ALL {
        let bytes = batch(codec, 10);
        for keep in 0..bytes.len() {
            read_all(&bytes[..keep], &mut scratch);
        }
    }
}

/// Little that becomes 64 MiB is refused once it passes the limit, and the memory given back.
#[test]
fn bombs_stop_at_the_limit() {
    let zeros = vec![0_u8; 64 * 1024 * 1024];
    for codec in Compression::ALL.into_iter().skip(1) {
        let stream = compress(codec, None, &zeros).unwrap();
        let mut scratch = Scratch::new();
        assert_eq!(
            scratch.decompress(codec, &stream, LIMIT).err(),
            Some(CodecError::TooLarge { limit: LIMIT })
        );
        assert!(scratch.memory() <= LIMIT + SLACK, "{codec:?}: {}", scratch.memory());

        let options = BatchOptions { compression: codec, ..BatchOptions::default() };
        let mut builder = BatchBuilder::new(options).unwrap();
        builder.append(Millis(0), None, Some(&zeros), &[]).unwrap();
        let mut bomb = builder.build().unwrap();
        let rules = ValidationRules {
            max_message_bytes: usize::MAX,
            max_decompressed_batch_bytes: LIMIT,
            ..ValidationRules::default()
        };
        let refusal = validate(&mut bomb, &rules, &mut scratch).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::InvalidRecord);
        assert!(scratch.memory() <= LIMIT + SLACK);

        // Without the limit the batch is read through a window, never kept whole.
        let rules = ValidationRules { max_decompressed_batch_bytes: usize::MAX, ..rules };
        validate(&mut bomb, &rules, &mut scratch).unwrap();
        assert!(scratch.memory() <= SLACK, "{codec:?}: {}", scratch.memory());

        // One record's declared size has a limit of its own.
        let rules = ValidationRules { max_decompressed_message_bytes: 1 << 20, ..rules };
        let refusal = validate(&mut bomb, &rules, &mut scratch).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::InvalidRecord);
    }
}

/// A snappy block that claims 4 GiB, and a zstd frame with a window of 128 MiB.
#[test]
fn claims_are_not_believed() {
    let mut scratch = Scratch::new();
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
    assert!(matches!(
        scratch.decompress(Compression::Snappy, &claim, usize::MAX),
        Err(CodecError::Damaged { codec: Compression::Snappy, .. })
    ));
    let mut framed = vec![0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
    framed.extend_from_slice(&i32::MAX.to_be_bytes());
    assert!(scratch.decompress(Compression::Snappy, &framed, usize::MAX).is_err());
    assert!(scratch.memory() <= SLACK);
}
