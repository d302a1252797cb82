//! Directories in memory to look at, and what is said of them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ottla_env::memory::MemoryDisk;
use ottla_env::{Disk, OpenMode};
use ottla_inspect::{
    DumpOptions, Format, Out, PlanOptions, PlanTally, Tally, VerifyOptions, dump, indexes, plan,
    targets, verify,
};
use ottla_log::{LogConfig, LogDir, LogDirLimits, OpenOptions, PartitionLog, TopicPartition};
use ottla_protocol::{LeaderEpoch, Millis, Offset};
use ottla_records::{BatchBuilder, BatchOptions};

const TAR: &[u8] = include_bytes!("../../../log/tests/golden/kafka-4.4.0.tar.gz");
/// Some time after the golden directory was written.
pub(crate) const NOW: Millis = Millis(1_795_244_200_000);

pub(crate) fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
    out
}

/// The log directory that Kafka wrote, at `/d` (plain ustar: 512-byte headers with name and octal
/// size).
pub(crate) fn golden() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let tar = gunzip(TAR);
    let mut at = 0;
    while let Some(header) = tar.get(at..at + 512).filter(|h| h[0] != 0) {
        let text = |range: std::ops::Range<usize>| {
            let text = std::str::from_utf8(&header[range]).unwrap();
            text.trim_end_matches([' ', '\0']).trim_start_matches("./").to_owned()
        };
        let (name, size) = (text(0..100), usize::from_str_radix(&text(124..136), 8).unwrap());
        let path = Path::new("/d").join(name);
        if header[156] == b'5' {
            disk.create_dir(&path).unwrap();
        } else {
            put(&disk, path.to_str().unwrap(), &tar[at + 512..at + 512 + size]);
        }
        at += 512 + size.next_multiple_of(512);
    }
    disk
}

/// Makes a file have this content.
pub(crate) fn put(disk: &MemoryDisk, path: &str, content: &[u8]) {
    let file = disk.open(Path::new(path), OpenMode::CreateEmpty).unwrap();
    file.write_at(&[Bytes::copy_from_slice(content)], 0).unwrap();
    file.sync_data().unwrap();
}

/// Changes a file's content.
pub(crate) fn edit(disk: &MemoryDisk, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut content = disk.read(Path::new(path)).unwrap();
    change(&mut content);
    put(disk, path, &content);
}

pub(crate) fn plan_options() -> PlanOptions {
    PlanOptions { flush_mode: None, index_interval_bytes: 4096, now: NOW }
}

fn found(disk: &MemoryDisk, path: &str) -> (Arc<dyn Disk>, Vec<ottla_inspect::Target>) {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let found = targets(disk.as_ref(), &[PathBuf::from(path)]).unwrap();
    (disk, found)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

pub(crate) fn dumped(disk: &MemoryDisk, path: &str, options: &DumpOptions) -> String {
    dumped_as(disk, path, options, Format::Text)
}

pub(crate) fn dumped_as(
    disk: &MemoryDisk,
    path: &str,
    options: &DumpOptions,
    format: Format,
) -> String {
    let (disk, targets) = found(disk, path);
    let mut bytes = Vec::new();
    dump(disk.as_ref(), &targets, options, &mut Out::new(&mut bytes, format)).unwrap();
    text(bytes)
}

pub(crate) fn verified(disk: &MemoryDisk, path: &str) -> (Tally, String) {
    verified_as(disk, path, Format::Text)
}

pub(crate) fn verified_as(disk: &MemoryDisk, path: &str, format: Format) -> (Tally, String) {
    let before = disk.files();
    let (shared, targets) = found(disk, path);
    let mut bytes = Vec::new();
    let options = VerifyOptions { deep: true, start: plan_options() };
    let tally = verify(&shared, &targets, options, &mut Out::new(&mut bytes, format)).unwrap();
    assert_eq!(disk.files(), before, "looking changed something");
    (tally, text(bytes))
}

pub(crate) fn planned(disk: &MemoryDisk, path: &str) -> (PlanTally, String) {
    planned_as(disk, path, Format::Text)
}

pub(crate) fn planned_as(disk: &MemoryDisk, path: &str, format: Format) -> (PlanTally, String) {
    let before = disk.files();
    let (shared, targets) = found(disk, path);
    let mut bytes = Vec::new();
    let tally = plan(&shared, &targets, plan_options(), &mut Out::new(&mut bytes, format)).unwrap();
    assert_eq!(disk.files(), before, "planning changed something");
    (tally, text(bytes))
}

pub(crate) fn indexed(disk: &MemoryDisk, path: &str, format: Format) -> (u64, String) {
    let (disk, targets) = found(disk, path);
    let mut bytes = Vec::new();
    let bad = indexes(disk.as_ref(), &targets, 4096, &mut Out::new(&mut bytes, format)).unwrap();
    (bad, text(bytes))
}

/// Every line is a JSON object; gives them.
pub(crate) fn objects(text: &str) -> Vec<serde_json::Value> {
    text.lines()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(value.is_object() && value["type"].is_string(), "{line}");
            value
        })
        .collect()
}

/// A batch of `count` records from `offset` on, of about `size` bytes.
pub(crate) fn batch(offset: i64, count: u8, size: usize) -> Bytes {
    let options = BatchOptions {
        base_offset: Offset(offset),
        partition_leader_epoch: LeaderEpoch(0),
        ..BatchOptions::default()
    };
    let mut builder = BatchBuilder::new(options).unwrap();
    for i in 0..count {
        let value = format!("{offset:08}").repeat(size / usize::from(count) / 8).into_bytes();
        builder
            .append(Millis(NOW.0 + offset + i64::from(i)), Some(b"key"), Some(&value), &[])
            .unwrap();
    }
    Bytes::from(builder.build().unwrap())
}

/// A log directory with one partition `t-0` whose segments have these numbers of batches, each of
/// two records and about 1.5 KiB; with indexes as a first start makes them, and stopped cleanly.
pub(crate) fn written(segments: &[usize]) -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.create_dir(Path::new("/d/t-0")).unwrap();
    put(&disk, "/d/meta.properties", b"version=1\nnode.id=1\ncluster.id=4L6g3nShT-eMCtK--X86sw\n");
    let mut offset = 0;
    for batches in segments {
        let base = offset;
        let mut content = Vec::new();
        for _ in 0..*batches {
            content.extend_from_slice(&batch(offset, 2, 1500));
            offset += 2;
        }
        put(&disk, &format!("/d/t-0/{base:020}.log"), &content);
    }
    put(&disk, "/d/t-0/leader-epoch-checkpoint", b"0\n1\n0 0\n");
    // The first start makes what is derived.
    start(&disk).unwrap();
    put(&disk, "/d/.kafka_cleanshutdown", b"{\"version\":0,\"brokerEpoch\":7}");
    let point = format!("0\n1\nt 0 {offset}\n");
    put(&disk, "/d/recovery-point-offset-checkpoint", point.as_bytes());
    disk
}

/// The real start: the partition `t-0` is opened as the broker opens it, and closed. Gives first
/// and next offset.
pub(crate) fn start(disk: &MemoryDisk) -> Result<(Offset, Offset), String> {
    let dir = LogDir::open(Arc::new(disk.clone()), Path::new("/d"), LogDirLimits::default())
        .map_err(|error| error.to_string())?;
    let points = dir.begin_load().map_err(|error| error.to_string())?;
    let partition = TopicPartition::new("t", 0);
    let mut options = OpenOptions::new(None, LogConfig::default(), NOW);
    options.clean = points.clean.is_some();
    options.recovery_point = points.recovery.get(&partition).copied().unwrap_or_default();
    options.log_start = points.log_start.get(&partition).copied().unwrap_or_default();
    let (log, _) =
        PartitionLog::open(&dir, &partition, options).map_err(|error| error.to_string())?;
    let ends = (log.log_start(), log.log_end());
    log.close().map_err(|error| error.to_string())?;
    Ok(ends)
}
