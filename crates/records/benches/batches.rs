//! What a batch costs before it is appended: its checksum, and validation plain and compressed.
//! `cargo bench -p ottla-records`. Must not know logs or requests.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on may stop")]

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use ottla_protocol::Millis;
use ottla_records::{
    BatchBuilder, BatchOptions, Compression, Scratch, ValidationRules, crc32c, validate,
};
use std::hint::black_box;

const NOW: Millis = Millis(1_700_000_000_000);

/// Words of a log line, chosen by a counter: compresses about as text does.
const WORDS: [&str; 16] = [
    "order ",
    "paid ",
    "GET ",
    "POST ",
    "timeout ",
    "retry ",
    "user=",
    "id=",
    "200 ",
    "404 ",
    "warehouse ",
    "EUR ",
    "shipped ",
    "cancelled ",
    "/v1/items ",
    "latency_ms=",
];

/// `size` bytes of words and numbers, the same for the same `seed`.
fn text(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut value = Vec::with_capacity(size + 32);
    while value.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let [word, ..] = state.to_le_bytes();
        value.extend_from_slice(
            WORDS.get(usize::from(word % 16)).map(|word| word.as_bytes()).unwrap_or_default(),
        );
        if word >= 128 {
            value.extend_from_slice((state >> 40).to_string().as_bytes());
        }
    }
    value.truncate(size);
    value
}

fn batch(compression: Compression, count: u64, size: usize) -> Vec<u8> {
    let options = BatchOptions { compression, ..BatchOptions::default() };
    let mut builder = BatchBuilder::new(options).unwrap();
    for number in 0..count {
        builder.append(NOW, None, Some(&text(number, size)), &[]).unwrap();
    }
    builder.build().unwrap()
}

fn checksum(c: &mut Criterion) {
    let mut group = c.benchmark_group("crc32c");
    for size in [100_usize, 1024, 16 << 10, 1 << 20] {
        let bytes = text(1, size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_with_input(BenchmarkId::from_parameter(size), &bytes, |b, bytes| {
            b.iter(|| crc32c(black_box(bytes)));
        });
    }
    group.finish();
}

/// As a leader does it for a client's batch; throughput in bytes as they came.
fn validation(c: &mut Criterion) {
    let rules = ValidationRules { now: NOW, ..ValidationRules::default() };
    let mut scratch = Scratch::new();
    let mut group = c.benchmark_group("validate");
    let codecs =
        [("plain", Compression::None), ("lz4", Compression::Lz4), ("zstd", Compression::Zstd)];
    for (shape, count, size) in
        [("1 x 100 B", 1, 100), ("160 x 100 B", 160, 100), ("950 x 1 KiB", 950, 1024)]
    {
        for (codec, compression) in codecs {
            let sent = batch(compression, count, size);
            group.throughput(Throughput::Elements(count));
            let id = BenchmarkId::new(codec, format!("{shape}, {} bytes", sent.len()));
            group.bench_with_input(id, &sent, |b, sent| {
                // The copy is made outside of what is measured: validation may patch the batch.
                b.iter_batched_ref(
                    || sent.clone(),
                    |records| validate(black_box(records), &rules, &mut scratch).unwrap(),
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    checksum(&mut criterion);
    validation(&mut criterion);
    criterion.final_summary();
}
