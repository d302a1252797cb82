//! Damage to compressed streams, less common forms of each format, and bombs.

use ottla_records::Compression;

use super::{Cases, THREE, built, compressed, framed, patched, sealed, three};
use ottla_records::{BatchOptions, HEADER_LEN};

fn payload(batch: &[u8]) -> &[u8] {
    batch.get(HEADER_LEN..).unwrap_or_default()
}

/// The uncompressed bytes of three records.
fn plain() -> Vec<u8> {
    payload(&built(BatchOptions::default(), &THREE)).to_vec()
}

/// Streams cut, flipped, followed by something, and given to the wrong codec.
pub(super) fn damage(cases: &mut Cases) {
    for codec in Compression::ALL.into_iter().skip(1) {
        let name = codec.name();
        let batch = three(codec);
        let stream = payload(&batch);
        let len = stream.len();
        for keep in [0, 1, 4, 7, 12, 20, len / 2, len - 9, len - 5, len - 4, len - 1] {
            let cut = stream.get(..keep).unwrap_or_default();
            cases.add(format!("{name} stream cut to {keep} of {len}"), framed(codec, 3, cut));
        }
        for at in (0..len).step_by(5) {
            let byte = stream.get(at).copied().unwrap_or(0);
            let flipped = patched(stream, at, &[byte ^ 0x55]);
            cases.add(format!("{name} stream flipped at {at}"), framed(codec, 3, &flipped));
        }
        for (what, tail) in [
            ("a zero", vec![0]),
            ("four zeros", vec![0; 4]),
            ("40 ones", vec![0xff; 40]),
            ("an empty stream", compressed(codec, &[])),
            ("another stream", stream.to_vec()),
            ("half a stream", stream.get(..len / 2).unwrap_or_default().to_vec()),
        ] {
            let followed = [stream.to_vec(), tail].concat();
            cases.add(format!("{name} stream followed by {what}"), framed(codec, 3, &followed));
        }
        for other in Compression::ALL {
            if other != codec {
                let wrong = framed(other, 3, stream);
                cases.add(format!("{name} stream called {}", other.name()), wrong);
            }
        }
    }
}

/// Forms of each format that Kafka's own producers do not write.
pub(super) fn formats(cases: &mut Cases) {
    let plain = plain();
    let (head, tail) = plain.split_at(plain.len() / 2);
    for codec in Compression::ALL.into_iter().skip(1) {
        let two = [compressed(codec, head), compressed(codec, tail)].concat();
        cases.add(format!("{} in two streams", codec.name()), framed(codec, 3, &two));
    }
    let gzip = compressed(Compression::Gzip, &plain);
    let body = gzip.get(10..).unwrap_or_default();
    let named = [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3], b"name\0".as_slice(), body].concat();
    cases.add("gzip with a name", framed(Compression::Gzip, 3, &named));
    let extra = [&[0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 3], [2, 0, 9, 9].as_slice(), body].concat();
    cases.add("gzip with an extra field", framed(Compression::Gzip, 3, &extra));

    let xerial = compressed(Compression::Snappy, &plain);
    let bare = xerial.get(20..).unwrap_or_default();
    cases.add("snappy bare", framed(Compression::Snappy, 3, bare));
    let old = patched(&xerial, 8, &0_i32.to_be_bytes());
    cases.add("snappy version 0", framed(Compression::Snappy, 3, &old.clone()));
    let second = [xerial.clone(), old].concat();
    cases.add("snappy then version 0", framed(Compression::Snappy, 3, &second));
    let newer = patched(&xerial, 8, &9_i32.to_be_bytes());
    cases.add("snappy version 9", framed(Compression::Snappy, 3, &newer));

    let block = |flags: u8, descriptor: u8, checksum: u8, extra: &[u8], end: &[u8]| {
        let len = u32::try_from(plain.len()).unwrap_or(0) | 0x8000_0000;
        [
            0x184d_2204_u32.to_le_bytes().as_slice(),
            &[flags, descriptor],
            extra,
            &[checksum],
            &len.to_le_bytes(),
            &plain,
            &[0; 4],
            end,
        ]
        .concat()
    };
    // The check sums are those of these descriptors.
    for (what, stream) in [
        ("64 KiB", block(0x60, 0x40, 0x82, &[], &[])),
        ("4 MiB", block(0x60, 0x70, 0x73, &[], &[])),
        ("wrong header check sum", block(0x60, 0x40, 0x83, &[], &[])),
        ("dependent blocks", block(0x40, 0x40, 0xc0, &[], &[])),
        ("a content check sum", block(0x64, 0x40, 0xa7, &[], &[1, 2, 3, 4])),
        ("no block size", block(0x60, 0x30, 0, &[], &[])),
        ("version 2", block(0xa0, 0x40, 0, &[], &[])),
        ("reserved bit", block(0x61, 0x40, 0, &[], &[])),
    ] {
        cases.add(format!("lz4 {what}"), framed(Compression::Lz4, 3, &stream));
    }

    let noise: Vec<u8> = (0..40_000_u64)
        .flat_map(|i| (i * i).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes())
        .collect();
    let value = [(0, Some(b"k".as_slice()), Some(noise.as_slice()))];
    let options = BatchOptions { compression: Compression::Zstd, ..BatchOptions::default() };
    let batch = built(options, &value);
    for tail in [1, 60_000, 160_000] {
        let half = batch.get(HEADER_LEN..HEADER_LEN + tail).unwrap_or_default();
        let followed = [payload(&batch), half].concat();
        let name = format!("zstd long stream followed by {tail} bytes of itself");
        cases.add(name, framed(Compression::Zstd, 1, &followed));
    }

    let zstd = compressed(Compression::Zstd, &plain);
    let skipped = [[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 9, 9, 9, 9].as_slice(), &zstd].concat();
    cases.add("zstd after a skippable frame", framed(Compression::Zstd, 3, &skipped));
}

/// Little that becomes much.
pub(super) fn bombs(cases: &mut Cases) {
    for codec in Compression::ALL.into_iter().skip(1) {
        let name = codec.name();
        let zeros = vec![0_u8; 8 * 1024 * 1024];
        let bytes = compressed(codec, &zeros);
        cases.add(format!("{name} bomb of zeros"), framed(codec, 3, &bytes));
        let value = [(0, Some(b"k".as_slice()), Some(zeros.as_slice()))];
        let options = BatchOptions { compression: codec, ..BatchOptions::default() };
        cases.add(format!("{name} one record of 8 MiB"), built(options, &value));
        let lying = [varint_max().as_slice(), &[0; 100]].concat();
        let bytes = compressed(codec, &lying);
        cases.add(format!("{name} record that claims 2 GiB"), framed(codec, 1, &bytes));
        let batch = framed(codec, i32::MAX, &compressed(codec, &zeros));
        cases.add(format!("{name} claims 2³¹−1 records"), batch);
        let empty = sealed(framed(codec, 1, &compressed(codec, &[])));
        cases.add(format!("{name} of nothing"), empty);
    }
}

/// 2³¹−1 as a zig-zag varint.
const fn varint_max() -> [u8; 5] {
    [0xfe, 0xff, 0xff, 0xff, 0x0f]
}
