//! The corpus of good and damaged batches, produced to topics of several settings on both
//! brokers: same answer, same offsets, same stored bytes.

use anyhow::Context;
use bytes::Bytes;
use ottla_interop::batches::damaged_batches;
use ottla_protocol::{LeaderEpoch, Millis, ProduceResponse};
use ottla_records::{
    Batch, Batches, Scratch, TimestampType, refresh_crc, set_base_offset_and_epoch,
    set_max_timestamp,
};

use super::configs::Setting;
use super::pair::{Outcome, Pair, Side};
use super::topics::{configured, create, settle};
use crate::wire::requests::{FETCH_BY_NAME, fetch, one, produce, produce_by_id};

/// What depends on the clock or on a compressor's release in the bytes of a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Free {
    /// Nothing.
    Nothing,
    /// The time of the append.
    AppendTime,
    /// How well it is compressed.
    Compressed,
}

/// Topics: version of Produce, settings, what may differ in their bytes.
const TOPICS: &[(&str, i16, &[Setting<'_>], Free)] = &[
    ("plain", 11, &[], Free::Nothing),
    ("by-id", 13, &[], Free::Nothing),
    ("old", 3, &[], Free::Nothing),
    ("compacted", 8, &[("cleanup.policy", Some("compact"))], Free::Nothing),
    ("small", 8, &[("max.message.bytes", Some("500"))], Free::Nothing),
    ("stamped", 8, &[("message.timestamp.type", Some("LogAppendTime"))], Free::AppendTime),
    ("opened", 8, &[("compression.type", Some("uncompressed"))], Free::Nothing),
    ("zstd", 8, &[("compression.type", Some("zstd"))], Free::Compressed),
];

/// Decompressed bytes that a batch of the corpus may have; bombs are refused before.
const LIMIT: usize = 256 << 20;

#[test]
fn batches_are_answered_and_stored_as_by_kafka() -> anyhow::Result<()> {
    // The corpus has its own time, which is long ago.
    let mut pair = Pair::start(&["log.retention.ms=-1"])?;
    let names: Vec<&str> = TOPICS.iter().map(|(name, ..)| *name).collect();
    let topics: Vec<_> = TOPICS.iter().map(|(name, _, with, _)| configured(name, with)).collect();
    create(&mut pair, "for batches", 7, &topics, false)?;
    settle(&mut pair, &names)?;
    let corpus: Vec<(String, Bytes)> =
        damaged_batches().into_iter().map(|(name, bytes)| (name, bytes.into())).collect();
    for (topic, version, _, free) in TOPICS {
        produce_all(&mut pair, topic, *version, &corpus, *free)?;
        compare_logs(&mut pair, topic, *version, *free)?;
    }
    pair.finish("batches", TOPICS.len() * 1_000)
}

fn produce_all(
    pair: &mut Pair,
    topic: &str,
    version: i16,
    corpus: &[(String, Bytes)],
    free: Free,
) -> anyhow::Result<()> {
    let clock = |answer: &mut ProduceResponse| {
        for partition in
            answer.responses.iter_mut().flat_map(|topic| &mut topic.partition_responses)
        {
            if free == Free::AppendTime {
                partition.log_append_time_ms = partition.log_append_time_ms.min(0);
            }
            let of_records =
                partition.record_errors.iter_mut().map(|e| &mut e.batch_index_error_message);
            for message in of_records.chain([&mut partition.error_message]).flatten() {
                let before = message.split_once(" should be within [").map(|(before, _)| before);
                if let Some(before) = before.map(Into::into) {
                    *message = before;
                }
            }
        }
    };
    // Rebuilding a batch, Kafka reads the keys of headers as UTF-8 and stores U+FFFD for what is
    // none; Ottla keeps the bytes.
    let rebuilt = ["opened", "zstd"].contains(&topic);
    let keeps = |name: &str| rebuilt && name.contains("key not UTF-8");
    for (name, bytes) in corpus.iter().filter(|(name, _)| !keeps(name)) {
        let request = |side: &Side| {
            let records = bytes.clone();
            if version >= 13 {
                produce_by_id(side.id(topic), 0, -1, records)
            } else {
                produce(topic, 0, -1, records)
            }
        };
        let outcomes = pair.outcomes(&format!("{topic}: {name}"), version, request, clock)?;
        level(pair, &format!("{topic}: {name}"), topic, version, &outcomes)?;
    }
    Ok(())
}

/// What one broker alone has stored would shift the offsets of all that follows: the other gets as
/// many records of another kind, so that the rest can still be compared.
fn level(
    pair: &mut Pair,
    case: &str,
    topic: &str,
    version: i16,
    outcomes: &[Outcome<ProduceResponse>; 2],
) -> anyhow::Result<()> {
    let stored = |outcome: &Outcome<ProduceResponse>| {
        outcome.as_ref().is_ok_and(|answer| {
            let mut partitions = answer.responses.iter().flat_map(|t| &t.partition_responses);
            partitions.all(|partition| partition.error_code == 0)
        })
    };
    let Pair { kafka, ottla, .. } = pair;
    let (ahead, behind) = match outcomes.each_ref().map(stored) {
        [true, false] => (kafka, ottla),
        [false, true] => (ottla, kafka),
        [true, true] | [false, false] => return Ok(()),
    };
    while end(ahead, topic)? > end(behind, topic)? {
        behind.ask(8, &produce(topic, 0, -1, one("filler")))?;
    }
    let alone = "stored by one alone".to_owned();
    pair.differs("Produce", case, version, (alone, String::new(), String::new()));
    Ok(())
}

/// Where the partition ends.
fn end(side: &mut Side, topic: &str) -> anyhow::Result<i64> {
    let answer = side.ask(FETCH_BY_NAME, &fetch(topic, 0, 0))?;
    let partition = answer.responses.iter().flat_map(|topic| &topic.partitions).next();
    Ok(partition.context("no partition")?.high_watermark)
}

/// Every stored batch of the partition.
fn log(side: &mut Side, topic: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut batches: Vec<Vec<u8>> = Vec::new();
    let mut next = 0;
    loop {
        let answer = side.ask(FETCH_BY_NAME, &fetch(topic, 0, next))?;
        let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
        anyhow::ensure!(partitions.clone().all(|p| p.error_code == 0), "{topic}: {answer:?}");
        let records = partitions.filter_map(|partition| partition.records.as_ref());
        let bytes: Vec<u8> = records.flat_map(|records| records.to_bytes()).collect();
        let before = batches.len();
        for batch in Batches::new(&bytes).map_while(Result::ok) {
            next = batch.header().next_offset().get();
            batches.push(batch.bytes().to_vec());
        }
        if batches.len() == before {
            return Ok(batches);
        }
    }
}

fn compare_logs(pair: &mut Pair, topic: &str, version: i16, free: Free) -> anyhow::Result<()> {
    let (kafka, ottla) = (log(&mut pair.kafka, topic)?, log(&mut pair.ottla, topic)?);
    anyhow::ensure!(!kafka.is_empty(), "{topic}: nothing stored");
    anyhow::ensure!(
        kafka.len() == ottla.len(),
        "{topic}: Kafka has {} batches, Ottla {}",
        kafka.len(),
        ottla.len()
    );
    for (kafka, ottla) in kafka.iter().zip(&ottla) {
        pair.compared();
        let (left, right) = (comparable(kafka, free)?, comparable(ottla, free)?);
        if left != right {
            let base = Batch::parse(kafka)?.header().base_offset.get();
            let differ = (format!("at {base}"), summary(&left)?, summary(&right)?);
            pair.differs("stored bytes", topic, version, differ);
        }
    }
    Ok(())
}

/// A stored batch without leader epoch and without what is free.
fn comparable(batch: &[u8], free: Free) -> anyhow::Result<Vec<u8>> {
    let header = *Batch::parse(batch)?.header();
    Batch::parse(batch)?.verify_crc()?;
    let mut bytes = batch.to_vec();
    set_base_offset_and_epoch(&mut bytes, header.base_offset, LeaderEpoch(0));
    match free {
        Free::Nothing => {}
        Free::AppendTime => {
            let kind = header.attributes.timestamp_type();
            anyhow::ensure!(kind == TimestampType::LogAppendTime, "not stamped: {header:?}");
            set_max_timestamp(&mut bytes, kind, Millis(0));
            refresh_crc(&mut bytes);
        }
        Free::Compressed => {
            let mut scratch = Scratch::new();
            let codec = header.compression()?;
            let payload = scratch.decompress(codec, Batch::parse(batch)?.payload(), LIMIT)?;
            bytes.truncate(ottla_records::HEADER_LEN);
            bytes.extend_from_slice(payload);
            // Length and checksum cover the compressed bytes.
            bytes.splice(8..12, [0; 4]);
            bytes.splice(17..21, [0; 4]);
        }
    }
    Ok(bytes)
}

/// A batch in a few words.
fn summary(bytes: &[u8]) -> anyhow::Result<String> {
    let header = bytes.get(..ottla_records::HEADER_LEN).unwrap_or_default();
    let hex: String = header.iter().map(|byte| format!("{byte:02x}")).collect();
    let crc = ottla_records::crc32c(bytes);
    Ok(format!("{} bytes, {hex}, crc of all {crc:08x}", bytes.len()))
}
