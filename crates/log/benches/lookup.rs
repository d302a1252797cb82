//! Finding a batch in a segment's files by offset and by timestamp: index, walk, checksum. On the
//! real disk, out of the page cache. `cargo bench -p ottla-log`.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on may stop")]

use std::sync::Arc;

use bytes::BytesMut;
use criterion::{Criterion, Throughput};
use ottla_env_os::OsDisk;
use ottla_log::{
    FlushMode, LogConfig, LogDir, LogDirLimits, LogView, OpenOptions, PartitionLog, ReadRequest,
    TopicPartition,
};
use ottla_partition::AppendContext;
use ottla_protocol::{LeaderEpoch, Millis, Offset, TopicId, Uuid};
use ottla_records::{BatchBuilder, BatchOptions};

const TOPIC_ID: TopicId = Uuid([7; 16]);
const NOW: Millis = Millis(1_700_000_000_000);
/// Batches of one record, about 40 MB in all: an index of some 10,000 entries.
const BATCHES: i64 = 150_000;
const VALUE: [u8; 200] = [b'v'; 200];
/// Appended between two writes to the disk.
const GROUP: i64 = 10_000;

fn one_record(number: i64) -> BytesMut {
    let mut builder = BatchBuilder::new(BatchOptions::default()).unwrap();
    builder.append(Millis(NOW.0 + number), None, Some(&VALUE), &[]).unwrap();
    BytesMut::from(builder.build().unwrap().as_slice())
}

/// A log whose records are all in files, and nothing of it in memory.
fn written(folder: &std::path::Path) -> PartitionLog {
    let limits = LogDirLimits::default();
    let log_dir = LogDir::open(Arc::new(OsDisk), folder, limits).unwrap();
    let partition = TopicPartition::new("lookup", 0);
    let config = LogConfig { flush_mode: FlushMode::Os, ..LogConfig::default() };
    let options = OpenOptions::new(Some(TOPIC_ID), config, NOW);
    let (mut log, _) = PartitionLog::open(&log_dir, &partition, options.clone()).unwrap();
    for number in 0..BATCHES {
        let context = AppendContext::CLIENT;
        log.append(one_record(number), LeaderEpoch(0), NOW, &context).unwrap();
        if number % GROUP == GROUP - 1 {
            log.flush_now().unwrap();
        }
    }
    let end = log.close().unwrap();
    let options = OpenOptions { clean: true, recovery_point: end, ..options };
    PartitionLog::open(&log_dir, &partition, options).unwrap().0
}

/// Numbers all over the log, never the same soon again.
struct Places(u64);

impl Places {
    fn next(&mut self) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        i64::try_from(self.0 >> 33).unwrap_or(0) % BATCHES
    }
}

fn by_offset(c: &mut Criterion, view: &LogView) {
    let mut group = c.benchmark_group("look-up by offset");
    group.throughput(Throughput::Elements(1));
    let mut places = Places(1);
    for (name, max_bytes) in [("one batch", 1), ("1 MiB", 1 << 20)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let from = Offset(places.next());
                let up_to = Offset(BATCHES);
                let request = ReadRequest { from, up_to, max_bytes, at_least_one: true };
                let fetched = view.read(&request).unwrap();
                assert!(fetched.next_offset > from);
                fetched
            });
        });
    }
    group.finish();
}

fn by_timestamp(c: &mut Criterion, view: &LogView) {
    let mut group = c.benchmark_group("look-up by timestamp");
    group.throughput(Throughput::Elements(1));
    let mut places = Places(2);
    group.bench_function("one record", |b| {
        b.iter(|| {
            let place = places.next();
            let found = view.list_offset(NOW.0 + place).unwrap().unwrap();
            assert_eq!(found.offset, Offset(place));
        });
    });
    group.finish();
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let log = written(folder.path());
    let mut criterion = Criterion::default().configure_from_args();
    by_offset(&mut criterion, &log.view());
    by_timestamp(&mut criterion, &log.view());
    criterion.final_summary();
}
