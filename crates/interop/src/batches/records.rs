//! Damage to records: lengths, numbers, nulls, offsets, timestamps.

use ottla_protocol::Millis;
use ottla_records::{BatchOptions, Compression};

use super::{Cases, Row, TIME, built, compressed, framed, patched, sealed};

fn varint(value: i64) -> Vec<u8> {
    let mut raw = ((value << 1) ^ (value >> 63)).cast_unsigned();
    let mut out = Vec::new();
    while raw >= 0x80 {
        out.push(u8::try_from(raw & 0x7f).unwrap_or(0) | 0x80);
        raw >>= 7;
    }
    out.push(u8::try_from(raw).unwrap_or(0));
    out
}

/// One record, field by field.
struct Raw {
    length: Option<Vec<u8>>,
    attributes: u8,
    timestamp: Vec<u8>,
    offset: Vec<u8>,
    key: Vec<u8>,
    value: Vec<u8>,
    headers: Vec<u8>,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            length: None,
            attributes: 0,
            timestamp: varint(0),
            offset: varint(0),
            key: field(1, b"k"),
            value: field(5, b"value"),
            headers: varint(0),
        }
    }
}

fn field(len: i64, bytes: &[u8]) -> Vec<u8> {
    [varint(len), bytes.to_vec()].concat()
}

impl Raw {
    fn body(&self) -> Vec<u8> {
        let parts = [&self.timestamp, &self.offset, &self.key, &self.value, &self.headers];
        let mut out = vec![self.attributes];
        parts.into_iter().for_each(|part| out.extend_from_slice(part));
        out
    }

    fn bytes(&self) -> Vec<u8> {
        let body = self.body();
        let length =
            self.length.clone().unwrap_or_else(|| varint(i64::try_from(body.len()).unwrap_or(0)));
        [length, body].concat()
    }
}

fn lengths() -> Vec<(String, Raw)> {
    let right = i64::try_from(Raw::default().body().len()).unwrap_or(0);
    let mut out = Vec::new();
    for length in [-1, 0, 1, right - 1, right + 1, 10_000, i64::from(i32::MAX), i64::from(i32::MIN)]
    {
        let raw = Raw { length: Some(varint(length)), ..Raw::default() };
        out.push((format!("length {length}"), raw));
    }
    let overlong = vec![0x80 | u8::try_from(right * 2).unwrap_or(0), 0x80, 0];
    let endless = vec![0xff; 6];
    out.push(("length overlong".into(), Raw { length: Some(overlong), ..Raw::default() }));
    out.push(("length endless".into(), Raw { length: Some(endless), ..Raw::default() }));
    out
}

fn numbers() -> Vec<(String, Raw)> {
    let base = Raw::default;
    vec![
        ("attributes".into(), Raw { attributes: 0xff, ..base() }),
        ("timestamp endless".into(), Raw { timestamp: vec![0xff; 11], ..base() }),
        ("timestamp of ten bytes".into(), Raw { timestamp: vec![0x80; 9], ..base() }),
        ("timestamp overlong".into(), Raw { timestamp: vec![0x80, 0x80, 0], ..base() }),
        ("offset endless".into(), Raw { offset: vec![0xff; 6], ..base() }),
        ("offset overlong".into(), Raw { offset: vec![0x80, 0x80, 0], ..base() }),
        ("offset 1".into(), Raw { offset: varint(1), ..base() }),
        ("offset -1".into(), Raw { offset: varint(-1), ..base() }),
        ("offset huge".into(), Raw { offset: varint(i64::from(i32::MAX)), ..base() }),
        ("key longer than the record".into(), Raw { key: field(100, b"k"), ..base() }),
        ("key huge".into(), Raw { key: field(i64::from(i32::MAX), b"k"), ..base() }),
        ("key -2".into(), Raw { key: varint(-2), ..base() }),
        ("key empty".into(), Raw { key: varint(0), ..base() }),
        ("value longer than the record".into(), Raw { value: field(100, b"value"), ..base() }),
        ("value -1".into(), Raw { value: varint(-1), ..base() }),
        ("value -7".into(), Raw { value: varint(-7), ..base() }),
        ("value short by one".into(), Raw { value: field(4, b"value"), ..base() }),
    ]
}

fn headers() -> Vec<(String, Raw)> {
    let with = |name: &str, headers: Vec<u8>| {
        (format!("headers {name}"), Raw { headers, ..Raw::default() })
    };
    let one = [field(1, b"h"), field(1, b"x")].concat();
    vec![
        with("-1", varint(-1)),
        with("1 of none", varint(1)),
        with("huge of none", varint(i64::from(i32::MAX))),
        with("one", [varint(1), one.clone()].concat()),
        with("two of one", [varint(2), one.clone()].concat()),
        with("none of one", [varint(0), one].concat()),
        with("null key", [varint(1), varint(-1), field(1, b"x")].concat()),
        with("empty key", [varint(1), varint(0), field(1, b"x")].concat()),
        with("null value", [varint(1), field(1, b"h"), varint(-1)].concat()),
        with("value -9", [varint(1), field(1, b"h"), varint(-9)].concat()),
        with("key too long", [varint(1), field(9, b"h"), varint(-1)].concat()),
        with("key not UTF-8", [varint(1), field(2, &[0xc3, 0x28]), varint(-1)].concat()),
    ]
}

/// One damaged record, in a batch of one and after a good one.
pub(super) fn plain(cases: &mut Cases) {
    for (name, raw) in lengths().into_iter().chain(numbers()).chain(headers()) {
        let second = Raw { offset: varint(1), ..Raw::default() };
        let payload = [raw.bytes(), second.bytes()].concat();
        cases.add(format!("record {name}"), framed(Compression::None, 1, &raw.bytes()));
        cases
            .add(format!("record {name}, then a good one"), framed(Compression::None, 2, &payload));
    }
    let two = [Raw::default().bytes(), Raw::default().bytes()].concat();
    cases.add("records with equal offsets", framed(Compression::None, 2, &two));
    let after = [Raw::default().bytes(), vec![0]].concat();
    cases.add("a byte after the last record", framed(Compression::None, 1, &after));
}

/// The same in each codec.
pub(super) fn in_each_codec(cases: &mut Cases) {
    for codec in Compression::ALL.into_iter().skip(1) {
        let name = codec.name();
        for (what, raw) in lengths().into_iter().chain(numbers()).chain(headers()) {
            let second = Raw { offset: varint(1), ..Raw::default() };
            let alone = framed(codec, 1, &compressed(codec, &raw.bytes()));
            cases.add(format!("{name} record {what}"), alone);
            if codec == Compression::Gzip {
                let payload = compressed(codec, &[raw.bytes(), second.bytes()].concat());
                let batch = framed(codec, 2, &payload);
                cases.add(format!("{name} record {what}, then a good one"), batch);
            }
        }
        let two = [Raw::default().bytes(), Raw::default().bytes()].concat();
        let batch = framed(codec, 2, &compressed(codec, &two));
        cases.add(format!("{name} records with equal offsets"), batch);
        let after = [Raw::default().bytes(), vec![0]].concat();
        let batch = framed(codec, 1, &compressed(codec, &after));
        cases.add(format!("{name} a byte after the last record"), batch);
    }
}

/// Timestamps: out of range, negative, mixed, and set by the broker as the batch claims.
pub(super) fn timestamps(cases: &mut Cases) {
    const FAR: i64 = 2_000_000_000_000_000;
    for compression in [Compression::None, Compression::Snappy] {
        let name = compression.name();
        let options = || BatchOptions { compression, ..BatchOptions::default() };
        let records = |deltas: &[i64]| -> Vec<Row<'static>> {
            deltas.iter().map(|delta| (*delta, Some(b"k".as_slice()), None)).collect()
        };
        for (what, deltas) in [
            ("none", vec![-TIME - 1]),
            ("zero", vec![-TIME]),
            ("none and some", vec![-TIME - 1, 0, -TIME - 1]),
            ("far future", vec![FAR]),
            ("some far future", vec![0, FAR, 1, FAR]),
            ("falling", vec![3, 2, 1]),
        ] {
            cases.add(format!("{name} time {what}"), built(options(), &records(&deltas)));
        }
        for max in [TIME, -1, TIME + FAR] {
            let stamped = BatchOptions { log_append_time: Some(Millis(max)), ..options() };
            let batch = built(stamped, &records(&[0, 1, 2]));
            cases.add(format!("{name} flagged LogAppendTime {max}"), batch);
        }
        let batch = built(options(), &records(&[0, 1, 2]));
        let negative = patched(&batch, 27, &(-5_i64).to_be_bytes());
        cases.add(format!("{name} time negative"), sealed(negative));
        let overflow = patched(&batch, 27, &i64::MAX.to_be_bytes());
        cases.add(format!("{name} time overflows"), sealed(overflow));
    }
    // A keyless and a late record in one batch: both are named.
    let both = [
        (0, None, Some(b"v".as_slice())),
        (FAR, Some(b"k".as_slice()), Some(b"v".as_slice())),
        (0, Some(b"k".as_slice()), None),
    ];
    cases.add("no key and far future", built(BatchOptions::default(), &both));
}
