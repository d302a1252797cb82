//! Segments written by Apache Kafka 4.4.0 for the Java, librdkafka and kafka-python producers.

use ottla_protocol::{LeaderEpoch, Offset};
use ottla_records::*;

const LIMIT: usize = 1 << 20;

type Header = (Vec<u8>, Option<Vec<u8>>);

#[derive(Debug, PartialEq)]
struct Row {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Header>,
}

#[expect(clippy::disallowed_methods, reason = "golden files")]
fn golden(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn field(text: &str) -> Option<Vec<u8>> {
    if text == "null" {
        return None;
    }
    if let Some(times) = text.strip_prefix("fox*") {
        let fox = "the quick brown fox jumps over the lazy dog; ";
        return Some(fox.repeat(times.parse().unwrap()).into_bytes());
    }
    let text = text.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
    let mut pieces = text.split("\\x");
    let mut out = pieces.next().unwrap().as_bytes().to_vec();
    for piece in pieces {
        out.push(u8::from_str_radix(&piece[..2], 16).unwrap());
        out.extend_from_slice(&piece.as_bytes()[2..]);
    }
    Some(out)
}

/// Fields are separated by blanks outside of quotes.
fn fields(line: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        if c == '"' {
            quoted = !quoted;
        }
        if c == ' ' && !quoted {
            out.push(String::new());
        } else {
            out.last_mut().unwrap().push(c);
        }
    }
    out
}

fn expected() -> Vec<Row> {
    let text = String::from_utf8(golden("content.txt")).unwrap();
    text.lines()
        .map(|line| {
            let fields = fields(line);
            let header = |text: &String| {
                let (key, value) = text.split_once('=').unwrap();
                (field(key).unwrap(), field(value))
            };
            Row {
                timestamp: fields[0].parse().unwrap(),
                key: field(&fields[1]),
                value: field(&fields[2]),
                headers: fields[3..].iter().map(header).collect(),
            }
        })
        .collect()
}

fn row(record: &Record<'_>) -> Row {
    let bytes = |field: Option<&[u8]>| field.map(<[u8]>::to_vec);
    Row {
        timestamp: record.timestamp.0,
        key: bytes(record.key),
        value: bytes(record.value),
        headers: record.headers.iter().map(|h| (h.key.to_vec(), bytes(h.value))).collect(),
    }
}

fn read(segment: &[u8], scratch: &mut Scratch) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut next = Offset(0);
    for batch in Batches::new(segment) {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        assert_eq!(batch.header().base_offset, next);
        for record in batch.records(scratch, LIMIT).unwrap() {
            let record = record.unwrap();
            assert_eq!(record.offset, next);
            next = next.plus(1);
            rows.push(row(&record));
        }
        assert_eq!(batch.header().next_offset(), next);
        assert_eq!(BatchHeader::parse(&batch.header().to_bytes()).unwrap(), *batch.header());
    }
    rows
}

#[test]
fn each_client_and_codec_reads_as_it_was_written() {
    let mut scratch = Scratch::new();
    for client in ["java", "librdkafka", "kafka-python"] {
        for codec in Compression::ALL {
            let mut expected = expected();
            if codec == Compression::None {
                expected.pop();
            }
            if client == "kafka-python" {
                expected.iter_mut().for_each(|row| row.headers.retain(|h| h.1.is_some()));
            }
            let name = format!("{client}-{}.log", codec.name());
            let segment = golden(&name);
            for batch in Batches::new(&segment) {
                assert_eq!(batch.unwrap().header().compression(), Ok(codec), "{name}");
            }
            assert_eq!(read(&segment, &mut scratch), expected, "{name}");
        }
    }
}

/// The builder writes what the clients wrote: byte for byte where nothing is compressed, the same
/// records where it is.
#[test]
fn rebuilt_batches_are_the_same() {
    let mut scratch = Scratch::new();
    let mut again = Scratch::new();
    for client in ["java", "librdkafka", "kafka-python"] {
        for codec in Compression::ALL {
            let segment = golden(&format!("{client}-{}.log", codec.name()));
            for batch in Batches::new(&segment) {
                let batch = batch.unwrap();
                let rebuilt = rebuild(&batch, &mut scratch);
                if codec == Compression::None {
                    assert_eq!(rebuilt, batch.bytes(), "{client}");
                }
                let rebuilt = Batch::parse(&rebuilt).unwrap();
                rebuilt.verify_crc().unwrap();
                let before: Vec<_> = batch.records(&mut scratch, LIMIT).unwrap().collect();
                let after: Vec<_> = rebuilt.records(&mut again, LIMIT).unwrap().collect();
                assert_eq!(before, after, "{client} {codec:?}");
            }
        }
    }
}

fn rebuild(batch: &Batch<'_>, scratch: &mut Scratch) -> Vec<u8> {
    let header = batch.header();
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: header.base_offset,
        partition_leader_epoch: header.partition_leader_epoch,
        compression: header.compression().unwrap(),
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        transactional: header.attributes.is_transactional(),
        ..BatchOptions::default()
    })
    .unwrap();
    for record in batch.records(scratch, LIMIT).unwrap() {
        let r = record.unwrap();
        builder.append_at(r.offset, r.timestamp, r.key, r.value, r.headers.iter()).unwrap();
    }
    builder.build().unwrap()
}

/// What a client wrote is accepted, and stored as Kafka stored it.
#[test]
fn the_leader_stores_the_same_bytes() {
    let mut scratch = Scratch::new();
    let rules = ValidationRules { now: 1_790_000_000_000.into(), ..ValidationRules::default() };
    for client in ["java", "librdkafka", "kafka-python"] {
        for codec in Compression::ALL {
            let segment = golden(&format!("{client}-{}.log", codec.name()));
            for batch in Batches::new(&segment) {
                let batch = batch.unwrap();
                let mut sent = batch.bytes().to_vec();
                set_base_offset_and_epoch(&mut sent, Offset(0), LeaderEpoch(-1));
                check_produced(9, &sent).unwrap();
                let mut validated = validate(&mut sent, &rules, &mut scratch).unwrap();
                let header = batch.header();
                let stored = validated.bytes_mut(&mut sent);
                set_base_offset_and_epoch(
                    stored,
                    header.base_offset,
                    header.partition_leader_epoch,
                );
                assert_eq!(stored, batch.bytes());
            }
        }
    }
}

#[test]
fn headers_and_tombstones_of_each_codec() {
    let mut scratch = Scratch::new();
    let segment = golden("kafka-4.4.0-codecs.log");
    let mut rows = read(&segment, &mut scratch).into_iter();
    for codec in Compression::ALL.map(Compression::name) {
        for i in 0..20 {
            let row = rows.next().unwrap();
            assert_eq!(row.timestamp, 1_700_000_000_000 + i);
            assert_eq!(row.key, Some(format!("{codec}-{i}").into_bytes()));
            assert_eq!(row.value, Some(format!("{codec} value {i} ").repeat(5).into_bytes()));
            let headers = [(b"h1".to_vec(), Some(b"b".to_vec())), (b"n".to_vec(), None)];
            assert_eq!(row.headers, headers);
        }
        let tombstone = rows.next().unwrap();
        assert_eq!(tombstone.key, Some(format!("{codec}-tombstone").into_bytes()));
        assert_eq!(tombstone.value, None);
    }
    assert_eq!(rows.next(), None);
}

#[test]
fn transactions_and_their_markers() {
    let mut scratch = Scratch::new();
    let segment = golden("kafka-4.4.0-txn.log");
    let mut ends = Vec::new();
    for batch in Batches::new(&segment) {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        assert!(batch.header().attributes.is_transactional());
        assert!(batch.header().has_producer_id());
        if !batch.header().attributes.is_control() {
            continue;
        }
        assert_eq!(batch.header().attributes.0, 0x30);
        assert_eq!(batch.header().base_sequence, NO_SEQUENCE);
        for record in batch.records(&mut scratch, 0).unwrap() {
            let record = record.unwrap();
            let kind = ControlRecordType::parse_key(record.key).unwrap();
            let marker = EndTransactionMarker::parse(record.value).unwrap();
            let header = batch.header();
            let mut own = end_transaction_batch(
                record.timestamp,
                header.producer_id,
                header.producer_epoch,
                kind == ControlRecordType::Commit,
                marker,
                header.partition_leader_epoch,
            )
            .unwrap();
            set_base_offset_and_epoch(&mut own, header.base_offset, header.partition_leader_epoch);
            assert_eq!(own, batch.bytes());
            ends.push(kind);
        }
    }
    use ControlRecordType::{Abort, Commit};
    assert_eq!(ends[..3], [Commit, Abort, Commit]);
}

#[test]
fn append_time_is_every_records_time() {
    let mut scratch = Scratch::new();
    let segment = golden("kafka-4.4.0-appendtime.log");
    let mut seen = 0;
    for batch in Batches::new(&segment) {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        let header = batch.header();
        assert_eq!(header.attributes.timestamp_type(), TimestampType::LogAppendTime);
        for record in batch.records(&mut scratch, LIMIT).unwrap() {
            assert_eq!(record.unwrap().timestamp, header.max_timestamp);
            seen += 1;
        }
    }
    assert_eq!(seen, 5);
}
