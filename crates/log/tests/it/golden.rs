//! A log directory that Apache Kafka 4.4.0 wrote is opened and read completely, and equals what
//! Kafka's own DumpLogSegments says of it.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ottla_env::memory::MemoryDisk;
use ottla_env::{Disk, OpenMode};
use ottla_log::{
    DirState, LogConfig, LogDir, MetaProperties, OpenOptions, PartitionLog, TopicPartition,
    timestamps,
};
use ottla_protocol::{LeaderEpoch, NodeId, Offset, ProducerId};
use ottla_records::{Batch, TimestampType};

use crate::support::*;

const TAR: &[u8] = include_bytes!("../golden/kafka-4.4.0.tar.gz");
const DUMP: &[u8] = include_bytes!("../golden/kafka-4.4.0-dump.txt.gz");

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
    out
}

/// Unpacks the tar file (plain ustar: 512-byte headers with name and octal size) to `/d`.
pub(crate) fn unpack(disk: &MemoryDisk) {
    let tar = gunzip(TAR);
    let mut at = 0;
    while let Some(header) = tar.get(at..at + 512).filter(|h| h[0] != 0) {
        let text = |range: std::ops::Range<usize>| {
            std::str::from_utf8(&header[range])
                .unwrap()
                .trim_end_matches([' ', '\0'])
                .trim_start_matches("./")
                .to_owned()
        };
        let (name, size) = (text(0..100), usize::from_str_radix(&text(124..136), 8).unwrap());
        let path = Path::new("/d").join(name);
        if header[156] == b'5' {
            disk.create_dir(&path).unwrap();
        } else {
            let file = disk.open(&path, OpenMode::Create).unwrap();
            file.write_at(&[Bytes::copy_from_slice(&tar[at + 512..at + 512 + size])], 0).unwrap();
        }
        at += 512 + size.next_multiple_of(512);
    }
}

/// Lines of the dump that begin a batch, by partition.
fn dump() -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    let mut partition = String::new();
    for line in String::from_utf8(gunzip(DUMP)).unwrap().lines() {
        if let Some(name) = line.strip_prefix("== ") {
            partition = name.to_owned();
        } else if line.starts_with("baseOffset: ") {
            // The snapshot of the metadata is no log.
            if partition == "checkpoint" {
                continue;
            }
            found.entry(partition.clone()).or_insert_with(Vec::new).push(line.to_owned());
        }
    }
    found
}

/// The batches as the dump writes them, without positions.
fn described(batches: &[Bytes]) -> Vec<String> {
    let line = |bytes: &Bytes| {
        let h = *Batch::parse(bytes).unwrap().header();
        let time = match h.attributes.timestamp_type() {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        };
        let horizon = h
            .delete_horizon()
            .map_or("OptionalLong.empty".into(), |t| format!("OptionalLong[{t}]"));
        format!(
            "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} \
             producerEpoch: {} partitionLeaderEpoch: {} isTransactional: {} isControl: {} deleteHorizonMs: \
             {horizon} {time}: {} size: {} magic: 2 compresscodec: {} crc: {} isvalid: true",
            h.base_offset,
            h.last_offset(),
            h.record_count,
            h.base_sequence,
            h.last_sequence(),
            h.producer_id,
            h.producer_epoch,
            h.partition_leader_epoch,
            h.attributes.is_transactional(),
            h.attributes.is_control(),
            h.max_timestamp,
            h.size(),
            h.compression().unwrap().name(),
            h.crc,
        )
    };
    batches.iter().map(line).collect()
}

fn without_position(line: &str) -> String {
    let words: Vec<_> = line.split(' ').collect();
    let at = words.iter().position(|w| *w == "position:").unwrap();
    [&words[..at], &words[at + 2..]].concat().join(" ")
}

fn open_all(dir: &Arc<LogDir>, trusted: bool) -> BTreeMap<String, PartitionLog> {
    let points = dir.begin_load().unwrap();
    assert!(points.warnings.is_empty());
    let mut logs = BTreeMap::new();
    for entry in dir.list().unwrap().into_iter().filter(|e| e.state == DirState::Live) {
        let metadata = &*entry.partition.topic == "__cluster_metadata";
        let clean = trusted && points.clean.is_some() && !metadata;
        let point =
            |map: &ottla_log::Offsets| map.get(&entry.partition).copied().unwrap_or(Offset::ZERO);
        let options = OpenOptions {
            clean,
            recovery_point: if trusted { point(&points.recovery) } else { Offset::ZERO },
            log_start: point(&points.log_start),
            ..OpenOptions::new(None, LogConfig::default(), NOW)
        };
        let (log, report) = PartitionLog::open(dir, &entry.partition, options).unwrap();
        assert_eq!(report.truncated_bytes, 0, "{}", entry.name);
        assert_eq!(
            report.recovered_segments,
            if clean { 0 } else { log.segment_count() },
            "{}",
            entry.name
        );
        assert!(log.topic_id().is_some());
        assert!(clean || point(&points.recovery) <= log.log_end());
        logs.insert(entry.name, log);
    }
    logs
}

fn check(logs: &BTreeMap<String, PartitionLog>) {
    let dump = dump();
    let dumped: Vec<_> = logs.keys().filter(|name| *name != "segments-0").collect();
    assert_eq!(dumped, dump.keys().collect::<Vec<_>>());
    for (name, log) in logs.iter().filter(|(name, _)| dump.contains_key(*name)) {
        let expected: Vec<_> = dump[name].iter().map(|l| without_position(l)).collect();
        for max_bytes in [1, 1000, 1 << 20] {
            assert_eq!(described(&read_all(log, log.log_start(), max_bytes)), expected, "{name}");
        }
    }
    // The dump leaves this one out; its writer sent 40 records of 60,000 bytes.
    let segments = read_all(&logs["segments-0"], Offset::ZERO, 100_000);
    let records: i32 =
        segments.iter().map(|b| Batch::parse(b).unwrap().header().record_count).sum();
    assert_eq!((records, logs["segments-0"].segment_count()), (40, 3));
    let trimmed = &logs["trimmed-0"];
    assert_eq!((trimmed.log_start(), trimmed.log_end()), (Offset(30), Offset(50)));
    let codecs = &logs["codecs-0"];
    assert_eq!(list_offset(codecs, 1_700_000_000_005).unwrap().offset, Offset(5));
    assert_eq!(list_offset(codecs, 1_700_000_000_050).unwrap().offset, Offset(20));
    assert_eq!(list_offset(codecs, timestamps::MAX).unwrap().offset, Offset(20));
    assert_eq!(list_offset(&logs["segments-0"], 1_700_000_020_000).unwrap().offset, Offset(20));
    assert_eq!(codecs.producers().len(), 2);
    let txn = &logs["txn-0"];
    assert_eq!(txn.producers().first_undecided_offset(), Some(Offset(8)), "left open");
    let aborted = txn.view().aborted_transactions(Offset(0), Offset(9)).unwrap();
    assert_eq!(aborted.len(), 1);
    assert_eq!(
        (aborted[0].producer_id, aborted[0].first_offset, aborted[0].last_offset),
        (ProducerId(2), Offset(3), Offset(5))
    );
}

#[test]
fn kafkas_directory_is_read_completely() {
    let disk = MemoryDisk::new();
    unpack(&disk);
    let dir = log_dir(&disk, Path::new("/d"));
    let meta = dir.read_meta_properties().unwrap().unwrap();
    assert_eq!(meta.node_id, Some(NodeId(1)));
    assert_eq!(meta.cluster_id.as_deref(), Some("4L6g3nShT-eMCtK--X86sw"));
    assert_eq!(MetaProperties::decode(&meta.encode()), Ok(meta));
    let entries = dir.list().unwrap();
    let gone = entries.iter().find(|e| e.state == DirState::Delete).unwrap();
    assert_eq!(gone.partition, TopicPartition::new("gone", 0));
    check(&open_all(&dir, true));
}

#[test]
fn kafkas_directory_is_recovered_after_a_crash() {
    let disk = MemoryDisk::new();
    unpack(&disk);
    let dir = log_dir(&disk, Path::new("/d"));
    check(&open_all(&dir, false));
    // Only the batches are needed, and of producers and epochs what they say.
    let disk = MemoryDisk::new();
    unpack(&disk);
    for path in disk.files().keys() {
        let kind = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if ["index", "timeindex", "txnindex", "snapshot"].contains(&kind) {
            disk.remove_file(path).unwrap();
        }
    }
    let dir = log_dir(&disk, Path::new("/d"));
    check(&open_all(&dir, false));
}

#[test]
fn rebuilt_indexes_are_kafkas() {
    let disk = MemoryDisk::new();
    unpack(&disk);
    let before = disk.files();
    let dir = log_dir(&disk, Path::new("/d"));
    drop(open_all(&dir, false));
    let after = disk.files();
    for (path, content) in before {
        let name = path.to_str().unwrap();
        let index = name.ends_with("index")
            && !name.contains("-delete")
            && !name.contains("__cluster_metadata");
        if index {
            assert_eq!(after.get(&path), Some(&content), "{name}");
        }
    }
}

#[test]
fn appends_go_on_in_kafkas_directory() {
    let disk = MemoryDisk::new();
    unpack(&disk);
    let dir = log_dir(&disk, Path::new("/d"));
    let mut logs = open_all(&dir, true);
    let mut segments = logs.remove("segments-0").unwrap();
    let appended = segments
        .append(batch(&[NOW.0], 100), LeaderEpoch(1), NOW, &ottla_partition::AppendContext::CLIENT)
        .unwrap();
    assert_eq!(appended.base_offset, Offset(40));
    segments.close().unwrap();
    let options = OpenOptions { clean: true, ..OpenOptions::new(None, LogConfig::default(), NOW) };
    let (log, report) =
        PartitionLog::open(&dir, &TopicPartition::new("segments", 0), options).unwrap();
    assert_eq!((report.recovered_segments, log.log_end()), (0, Offset(41)));
    assert_eq!(offsets(&read_all(&log, Offset(30), 1 << 20)).last(), Some(&(40, 40)));
    let epochs: Vec<_> =
        log.epochs().entries().iter().map(|e| (e.epoch.0, e.start_offset.0)).collect();
    assert_eq!(epochs, [(0, 0), (1, 40)]);
}
