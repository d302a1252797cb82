//! What Apache Kafka 4.4.0 answered to the corpus, held against `ottla-records` alone.
//!
//! `kafka-4.4.0.tsv` has a column for each topic (the settings are in [`topics`]) and in it the
//! error code, then the places of the records at fault, or the CRC-32C of the bytes that Kafka
//! stored (base offset and leader epoch as 0) where they depend on neither clock nor compressor.
//! Each case was sent alone, as Produce version 8 without a transactional id.

use std::collections::BTreeMap;

use ottla_records::{
    Compression, Scratch, TargetCompression, TimestampType, ValidationRules, check_produced,
    claims_transaction, crc32c, set_base_offset_and_epoch, validate,
};

use super::{TIME, damaged_batches};

/// Codes of checks that come before (53, the transactional id) and after (45–48, the producer's
/// sequence) those of the batch.
const TRANSACTIONAL_ID: i16 = 53;
const PRODUCER_STATE: std::ops::RangeInclusive<i16> = 45..=48;

const DAY: i64 = 86_400_000;

fn topics() -> BTreeMap<&'static str, ValidationRules> {
    // Later than the corpus by more than a day.
    let plain = ValidationRules { now: (TIME + 400 * DAY).into(), ..ValidationRules::default() };
    let codec = |codec| ValidationRules {
        target_compression: TargetCompression::Codec { codec, level: None },
        ..plain.clone()
    };
    let mut topics: BTreeMap<_, _> = Compression::ALL.map(|c| (c.name(), codec(c))).into();
    let uncompressed = topics.remove("none").unwrap();
    topics.insert("uncompressed", uncompressed);
    let append_time = TimestampType::LogAppendTime;
    topics.insert("lat", ValidationRules { timestamp_type: append_time, ..plain.clone() });
    topics.insert("compact", ValidationRules { compacted: true, ..plain.clone() });
    topics.insert("before", ValidationRules { before_max: DAY.into(), ..plain.clone() });
    let small = ValidationRules {
        max_message_bytes: 500,
        max_decompressed_message_bytes: 1000,
        ..plain.clone()
    };
    topics.insert("small", small);
    topics.insert("plain", plain);
    topics
}

fn answer(bytes: &[u8], rules: &ValidationRules, scratch: &mut Scratch) -> (i16, String) {
    let mut bytes = bytes.to_vec();
    let validated = check_produced(8, &bytes).and_then(|()| validate(&mut bytes, rules, scratch));
    match validated {
        Ok(mut validated) => {
            let stored = validated.bytes_mut(&mut bytes);
            set_base_offset_and_epoch(stored, 0.into(), 0.into());
            (0, format!("0 {:08x}", crc32c(stored)))
        }
        Err(refusal) => {
            let faults: Vec<_> = refusal.records.iter().map(|r| r.index.to_string()).collect();
            let colon = if faults.is_empty() { "" } else { ":" };
            (refusal.code(), format!("{}{colon}{}", refusal.code(), faults.join(",")))
        }
    }
}

fn agrees(name: &str, kafka: &str, code: i16, own: &str) -> bool {
    let kafka_code: i16 = kafka.split([' ', ':']).next().unwrap().parse().unwrap();
    // Rebuilding a batch, Kafka reads header keys as UTF-8 and stores U+FFFD for what is none;
    // Ottla keeps the bytes.
    let keeps_bytes = name.contains("key not UTF-8");
    if code == 0 && (PRODUCER_STATE.contains(&kafka_code) || keeps_bytes || kafka == "0") {
        return kafka_code == 0 || PRODUCER_STATE.contains(&kafka_code);
    }
    own == kafka
}

#[test]
fn each_answer_is_kafkas() {
    let topics = topics();
    let mut scratch = Scratch::new();
    let mut lines = include_str!("kafka-4.4.0.tsv").lines();
    let columns: Vec<_> = lines.next().unwrap().split('\t').skip(1).collect();
    let mut answers: BTreeMap<_, Vec<_>> = lines
        .map(|line| {
            let (name, answers) = line.split_once('\t').unwrap();
            (name, answers.split('\t').collect())
        })
        .collect();
    let mut wrong = Vec::new();
    let mut compared = 0;
    for (name, bytes) in damaged_batches() {
        let answers = answers.remove(name.as_str()).unwrap_or_default();
        assert_eq!(answers.len(), columns.len(), "no answer on file for {name}");
        for (topic, kafka) in columns.iter().zip(answers) {
            compared += 1;
            if kafka == TRANSACTIONAL_ID.to_string() {
                assert!(claims_transaction(&bytes), "{name}");
                continue;
            }
            assert!(!claims_transaction(&bytes), "{name}");
            let (code, own) = answer(&bytes, &topics[topic], &mut scratch);
            if !agrees(&name, kafka, code, &own) {
                wrong.push(format!("{name}, {topic}: Kafka {kafka}, here {own}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(answers.is_empty(), "answers without a case: {:?}", answers.keys());
    assert!(compared > 5000);
}
