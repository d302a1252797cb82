//! A corpus of good and damaged record batches, the same on every run, to be sent raw to two
//! brokers whose answers and stored bytes are then compared. Must not know what either answers.

#[cfg(test)]
mod answers;
mod headers;
mod records;
mod streams;

use ottla_protocol::{Millis, ProducerEpoch, ProducerId};
use ottla_records::{
    Attributes, BatchBuilder, BatchHeader, BatchOptions, Compression, HEADER_LEN, RecordHeader,
    TimestampType, compress, refresh_crc,
};

/// 2025-10-09T08:53:20Z: the time of all records that are not about time.
pub const TIME: i64 = 1_760_000_000_000;

/// Name and bytes (the records field of one partition in a Produce request) of each case. Names
/// are unique; cases that carry a producer id have one each.
///
/// # Panics
/// When a good batch cannot be built: a bug.
#[must_use]
pub fn damaged_batches() -> Vec<(String, Vec<u8>)> {
    let mut cases = Cases::default();
    good(&mut cases);
    headers::fields(&mut cases);
    headers::producers(&mut cases);
    headers::frames(&mut cases);
    records::plain(&mut cases);
    records::in_each_codec(&mut cases);
    records::timestamps(&mut cases);
    streams::damage(&mut cases);
    streams::formats(&mut cases);
    streams::bombs(&mut cases);
    cases.0
}

/// The cases gathered so far.
#[derive(Default)]
struct Cases(Vec<(String, Vec<u8>)>);

impl Cases {
    fn add(&mut self, name: impl Into<String>, bytes: Vec<u8>) {
        self.0.push((name.into(), bytes));
    }

    /// A producer id that no other case has.
    fn producer_id(&self) -> i64 {
        1_000_000 + i64::try_from(self.0.len()).unwrap_or(0)
    }
}

#[expect(clippy::expect_used, reason = "the corpus is fixed: a failure is a bug in it")]
fn built(options: BatchOptions, records: &[Row<'_>]) -> Vec<u8> {
    let headers = [
        RecordHeader { key: b"trace", value: Some(b"0123456789") },
        RecordHeader { key: b"trace", value: None },
    ];
    let mut builder = BatchBuilder::new(options).expect("codecs work");
    for (i, (delta, key, value)) in records.iter().enumerate() {
        let headers = headers.get(..i % 3).unwrap_or_default();
        builder.append(Millis(TIME + delta), *key, *value, headers).expect("a good record");
    }
    builder.build().expect("a good batch")
}

/// A record: its time after [`TIME`], key, value.
type Row<'a> = (i64, Option<&'a [u8]>, Option<&'a [u8]>);

const THREE: [Row<'_>; 3] =
    [(0, Some(b"key-a"), Some(b"value a")), (7, Some(b""), None), (3, Some(b"key-c"), Some(b""))];

/// Three records with keys and headers.
fn three(compression: Compression) -> Vec<u8> {
    built(BatchOptions { compression, ..BatchOptions::default() }, &THREE)
}

/// A batch around `payload` (already in the codec), with a right CRC.
fn framed(compression: Compression, count: i32, payload: &[u8]) -> Vec<u8> {
    let kind = TimestampType::CreateTime;
    let header = BatchHeader {
        base_offset: 0.into(),
        length: i32::try_from(HEADER_LEN - 12 + payload.len()).unwrap_or(i32::MAX),
        partition_leader_epoch: (-1).into(),
        crc: 0,
        attributes: Attributes::new(compression, kind, false, false, false),
        last_offset_delta: count - 1,
        base_timestamp: Millis(TIME),
        max_timestamp: Millis(TIME),
        producer_id: ProducerId::NONE,
        producer_epoch: ProducerEpoch::NONE,
        base_sequence: -1,
        record_count: count,
    };
    let mut batch = header.to_bytes().to_vec();
    batch.extend_from_slice(payload);
    refresh_crc(&mut batch);
    batch
}

#[expect(clippy::expect_used, reason = "the corpus is fixed: a failure is a bug in it")]
fn compressed(codec: Compression, bytes: &[u8]) -> Vec<u8> {
    compress(codec, None, bytes).expect("codecs work")
}

/// `batch` with `bytes` written at `at`.
fn patched(batch: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut batch = batch.to_vec();
    if let Some(to) = batch.get_mut(at..at + bytes.len()) {
        to.copy_from_slice(bytes);
    }
    batch
}

/// The same with a right CRC.
fn sealed(mut batch: Vec<u8>) -> Vec<u8> {
    if batch.len() >= HEADER_LEN {
        refresh_crc(&mut batch);
    }
    batch
}

fn good(cases: &mut Cases) {
    let text = b"the quick brown fox jumps over the lazy dog; ".repeat(23);
    let noise: Vec<u8> = (0..200_u64).flat_map(|i| (i * i * 0x9e37_79b9).to_le_bytes()).collect();
    for compression in Compression::ALL {
        let name = compression.name();
        let options = || BatchOptions { compression, ..BatchOptions::default() };
        cases.add(format!("good {name} one"), built(options(), &[(0, Some(b"k"), Some(b"v"))]));
        cases.add(format!("good {name} three"), three(compression));
        cases.add(format!("good {name} no key"), built(options(), &[(0, None, Some(b"v"))]));
        cases.add(format!("good {name} null value"), built(options(), &[(0, Some(b"k"), None)]));
        cases.add(format!("good {name} nothing"), built(options(), &[(0, None, None)]));
        let some_keyless = [(0, Some(b"k".as_slice()), None), (1, None, None), (2, None, None)];
        cases.add(format!("good {name} some without key"), built(options(), &some_keyless));
        let many: Vec<_> =
            (0..300).map(|i| (i, Some(b"key".as_slice()), Some(text.as_slice()))).collect();
        cases.add(format!("good {name} 300 of 1 KiB"), built(options(), &many));
        let random = [(0, Some(b"k".as_slice()), Some(noise.as_slice()))];
        cases.add(format!("good {name} incompressible"), built(options(), &random));
        let long = text.repeat(100);
        let one = [(0, Some(b"k".as_slice()), Some(long.as_slice()))];
        cases.add(format!("good {name} one of 100 KiB"), built(options(), &one));
    }
}
