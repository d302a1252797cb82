//! Records that Apache Kafka 4.4.0 stored: each is read and written again to the same bytes.

use bytes::Bytes;
use ottla_protocol::{
    ControlRecord, GroupRecordKey, GroupRecordValue, MetadataRecord, TransactionRecordKey,
    TransactionRecordValue, Uuid,
};

/// Log, key and value in hexadecimal, `-` for null.
const RECORDS: &str = include_str!("kafka-4.4.0-records.txt");

fn hex(text: &str) -> Bytes {
    let byte = |i| u8::from_str_radix(&text[i..i + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect::<Vec<u8>>().into()
}

fn records(log: &str) -> Vec<(Bytes, Bytes)> {
    let lines = RECORDS.lines().map(|l| l.split(' ').collect::<Vec<_>>());
    let of_log = lines.filter(|words| words[0] == log);
    let part = |word: &str| if word == "-" { Bytes::new() } else { hex(word) };
    let records = of_log.map(|words| (part(words[1]), part(words[2]))).collect::<Vec<_>>();
    assert!(!records.is_empty());
    records
}

fn version_of(value: &Bytes) -> i16 {
    i16::from_be_bytes([value[0], value[1]])
}

#[test]
fn metadata_records() {
    let mut topics = Vec::new();
    for (_, value) in records("metadata") {
        let (record, version) = MetadataRecord::decode_versioned(value.clone()).unwrap();
        assert_eq!(record.encode(version).unwrap(), value);
        if let MetadataRecord::Topic(topic) = record {
            topics.push((topic.name.to_string(), topic.topic_id.to_string()));
        }
    }
    let codecs = ("codecs".to_owned(), "nXvqtAxFTlKjVatMH3WXTw".to_owned());
    assert!(topics.contains(&codecs), "{topics:?}");
}

#[test]
fn group_records() {
    let mut committed = Vec::new();
    for (key, value) in records("group") {
        let read = GroupRecordKey::decode(key.clone()).unwrap();
        assert_eq!(read.encode().unwrap(), key);
        let content = GroupRecordValue::decode(read.record_type(), value.clone()).unwrap();
        assert_eq!(content.encode(version_of(&value)).unwrap(), value);
        if let (GroupRecordKey::OffsetCommit(k), GroupRecordValue::OffsetCommit(v)) =
            (read, content)
        {
            committed.push((k.group.to_string(), k.topic.to_string(), k.partition, v.offset));
        }
    }
    let group = |name: &str| (name.to_owned(), "codecs".to_owned(), 0, 104);
    assert_eq!(committed, [group("golden-classic"), group("golden-consumer")]);
}

#[test]
fn transaction_records() {
    for (key, value) in records("transaction") {
        let read = TransactionRecordKey::decode(key.clone()).unwrap();
        assert_eq!(read.encode().unwrap(), key);
        let content = TransactionRecordValue::decode(read.record_type(), value.clone()).unwrap();
        assert_eq!(content.encode(version_of(&value)).unwrap(), value);
    }
}

#[test]
fn control_records() {
    let mut types = Vec::new();
    for (key, value) in records("control") {
        let record_type = i16::from_be_bytes([key[2], key[3]]);
        let record = ControlRecord::decode(record_type, value.clone()).unwrap();
        assert_eq!(record.record_type(), record_type);
        assert_eq!(record.encode().unwrap(), value);
        if let ControlRecord::KRaftVoters(voters) = &record {
            let voter = voters.voters.first().unwrap();
            assert_eq!((voter.voter_id, &*voter.endpoints[0].name), (1, "CONTROLLER"));
            assert_eq!(Uuid::parse("qtHxQ43aTGCNr0nPk3fYfA"), Some(voter.voter_directory_id));
        }
        types.push(record_type);
    }
    assert_eq!(types, [0, 1, 2, 3, 4, 5, 6]);
}
