//! Damage to a batch's header, its producer fields, and its frame.

use ottla_protocol::{ProducerEpoch, ProducerId};
use ottla_records::{BatchOptions, Compression, HEADER_LEN};

use super::{Cases, THREE, built, framed, patched, sealed, three};

/// Name and place of each field, and the values it is given.
fn values(size: i32) -> Vec<(&'static str, usize, Vec<Vec<u8>>)> {
    let i64s = |values: &[i64]| values.iter().map(|v| v.to_be_bytes().to_vec()).collect();
    let i32s = |values: &[i32]| values.iter().map(|v| v.to_be_bytes().to_vec()).collect();
    let i16s = |values: &[i16]| values.iter().map(|v| v.to_be_bytes().to_vec()).collect();
    let bytes = |values: &[i8]| values.iter().map(|v| v.to_be_bytes().to_vec()).collect();
    let time = super::TIME;
    let length = size - 12;
    vec![
        ("base offset", 0, i64s(&[1, -1, 1000, i64::MAX, i64::MIN])),
        (
            "length",
            8,
            i32s(&[
                -1,
                0,
                13,
                14,
                15,
                48,
                49,
                length - 1,
                length + 1,
                length + 100,
                i32::MIN,
                i32::MAX,
                i32::MAX - 11,
                i32::MAX - 12,
            ]),
        ),
        ("leader epoch", 12, i32s(&[0, 5, -2, i32::MAX])),
        ("magic", 16, bytes(&[0, 1, 3, 127, -1, -128])),
        ("crc", 17, i32s(&[0, 1, -1])),
        (
            "attributes",
            21,
            i16s(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 0x10, 0x20, 0x30, 0x40, 0x80, 0x100, 0x7f00, -1]),
        ),
        ("last offset delta", 23, i32s(&[-1, 0, 1, 3, 100, i32::MAX, i32::MIN])),
        ("base timestamp", 27, i64s(&[-1, -2, 0, time + 1, i64::MAX, i64::MIN])),
        ("max timestamp", 35, i64s(&[-1, -2, 0, time, time + 8, i64::MAX, i64::MIN])),
        ("producer id", 43, i64s(&[-2, i64::MIN])),
        ("producer epoch", 51, i16s(&[0, 5, -2])),
        ("sequence", 53, i32s(&[0, 5, -2, i32::MAX])),
        ("count", 57, i32s(&[0, -1, 1, 2, 4, 100, i32::MAX, i32::MIN])),
    ]
}

/// Each header field in turn, with the CRC made right and left as it was.
pub(super) fn fields(cases: &mut Cases) {
    for codec in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let batch = three(codec);
        let size = i32::try_from(batch.len()).unwrap_or(i32::MAX);
        for (field, at, values) in values(size) {
            for value in values {
                let hex: String = value.iter().map(|b| format!("{b:02x}")).collect();
                let damaged = patched(&batch, at, &value);
                let name = format!("{} {field} {hex}", codec.name());
                if field != "crc" {
                    cases.add(format!("{name} sealed"), sealed(damaged.clone()));
                }
                if codec == Compression::None {
                    cases.add(name, damaged);
                }
            }
        }
    }
    // Count and delta that agree with each other and not with the records.
    for codec in Compression::ALL {
        for count in [1_i32, 2, 4, 1000] {
            let batch = patched(&three(codec), 23, &(count - 1).to_be_bytes());
            let batch = sealed(patched(&batch, 57, &count.to_be_bytes()));
            cases.add(format!("{} claims {count} of 3 records", codec.name()), batch);
        }
    }
}

/// Producer id, epoch and sequence, each way they can stand together.
pub(super) fn producers(cases: &mut Cases) {
    for codec in [Compression::None, Compression::Gzip] {
        for (epoch, sequence) in
            [(0_i16, 0_i32), (0, -1), (-1, 0), (-1, -1), (3, 0), (0, 5), (0, i32::MAX), (-2, 0)]
        {
            for attributes in [0_u8, 0x10] {
                let batch = patched(&three(codec), 43, &cases.producer_id().to_be_bytes());
                let batch = patched(&batch, 51, &epoch.to_be_bytes());
                let batch = patched(&batch, 53, &sequence.to_be_bytes());
                let batch = sealed(patched(&batch, 22, &[codec.id() | attributes]));
                let name = format!("{} producer {epoch} {sequence} {attributes:#x}", codec.name());
                cases.add(name, batch);
            }
        }
        let transactional = sealed(patched(&three(codec), 22, &[codec.id() | 0x10]));
        cases.add(format!("{} transactional without producer", codec.name()), transactional);
        let idempotent = BatchOptions {
            compression: codec,
            producer_id: ProducerId(cases.producer_id()),
            producer_epoch: ProducerEpoch(0),
            base_sequence: 0,
            ..BatchOptions::default()
        };
        cases.add(format!("{} idempotent", codec.name()), built(idempotent, &THREE));
    }
}

/// The batch as a piece of bytes: cut, padded, followed, repeated.
pub(super) fn frames(cases: &mut Cases) {
    let batch = three(Compression::None);
    let len = batch.len();
    for keep in [0, 1, 8, 11, 12, 13, 16, 17, 21, 26, 27, 57, 60, 61, 62, len - 1] {
        cases.add(format!("cut to {keep}"), batch.get(..keep).unwrap_or_default().to_vec());
    }
    for size in [26, 27, 28, 42, 43, 44, 50, 51, 52, 56, 57, 60, 61, 62, 70] {
        let length = u32::try_from(size - 12).unwrap_or(0);
        let short = patched(&batch, 8, &length.to_be_bytes());
        let short = short.get(..size).unwrap_or_default().to_vec();
        cases.add(format!("cut to {size} with its length"), short.clone());
        cases.add(format!("cut to {size} with its length, sealed"), sealed(short));
    }
    let mut followed = |name: &str, tail: &[u8]| {
        let mut bytes = batch.clone();
        bytes.extend_from_slice(tail);
        cases.add(format!("followed by {name}"), bytes);
    };
    followed("one zero", &[0]);
    followed("11 zeros", &[0; 11]);
    followed("12 zeros", &[0; 12]);
    followed("100 zeros", &[0; 100]);
    followed("100 ones", &[0xff; 100]);
    followed("itself", &batch);
    followed("a cut batch", batch.get(..len - 1).unwrap_or_default());
    followed("half a header", batch.get(..17).unwrap_or_default());
    followed("an old batch", &patched(&batch, 16, &[1]));
    followed("an unknown magic", &patched(&batch, 16, &[9]));
    followed("a cut unknown magic", patched(&batch, 16, &[9]).get(..20).unwrap_or_default());
    followed("an endless batch", &patched(&batch, 8, &i32::MAX.to_be_bytes()));
    cases.add("only zeros", vec![0; 100]);
    cases.add("only a header, 0 records", framed(Compression::None, 0, &[]));
    cases.add("only a header, 1 record", framed(Compression::None, 1, &[]));
    for codec in Compression::ALL {
        let header = patched(&framed(codec, 1, &[]), 57, &1_i32.to_be_bytes());
        cases.add(format!("{} without payload", codec.name()), sealed(header));
    }
    assert_eq!(three(Compression::None).get(..HEADER_LEN).map(<[u8]>::len), Some(HEADER_LEN));
}
