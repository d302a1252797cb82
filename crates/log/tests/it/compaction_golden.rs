//! Two rounds of compaction beside Apache Kafka 4.4.0: the same log, cleaned by its cleaner and by
//! ours, batch for batch. Where nothing was compressed anew the bytes are the same.
//!
//! `golden/compaction/` holds what Kafka made of the log that `first` and `second` write. To make
//! it again: create a topic `g` on a Kafka with `log.cleaner.backoff.ms=200`, configured with
//! `cleanup.policy=compact`, `min.cleanable.dirty.ratio=0.0001`, `delete.retention.ms=1000`; stop
//! Kafka, run the ignored test with `OTTLA_GOLDEN=<log directory> OTTLA_GOLDEN_ROUND=1`, start
//! Kafka, wait for `cleaner-offset-checkpoint`, stop it, keep `g-0/00000000000000000000.log` and
//! `.txnindex` as `first.*`; then the same with `2` and `second.*`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ottla_env::memory::MemoryDisk;
use ottla_env::{Disk, OpenMode};
use ottla_env_os::OsDisk;
use ottla_log::{
    CleaningRules, Compacted, CompactionTarget, Compactor, CompactorOptions, LogConfig, LogDir,
    LogDirLimits, OpenOptions, PartitionLog, Pass, TopicPartition,
};
use ottla_partition::AppendContext;
use ottla_protocol::{LeaderEpoch, Millis, Offset, ProducerEpoch, ProducerId};
use ottla_records::{
    Batch, BatchBuilder, BatchOptions, Batches, Compression, EndTransactionMarker, RecordHeader,
    end_transaction_batch,
};

use crate::compaction::{Locked, records_of};

/// `delete.retention.ms` of the topic.
const RETENTION: i64 = 1000;
/// The time of the records: that of the day on which Kafka cleaned them, so that it still knew
/// their producers.
const TIME: i64 = 1_795_262_400_000;

fn config() -> LogConfig {
    LogConfig {
        compact: true,
        segment_bytes: 3000,
        index_interval_bytes: 200,
        ..LogConfig::default()
    }
}

fn partition() -> TopicPartition {
    TopicPartition::new("g", 0)
}

struct Writer<'a> {
    log: &'a mut PartitionLog,
    sequences: [i32; 4],
    clock: i64,
}

impl Writer<'_> {
    fn append(&mut self, batch: &[u8]) {
        let context = AppendContext::REPLICATION;
        self.log.append(BytesMut::from(batch), LeaderEpoch(0), Millis(TIME), &context).unwrap();
        self.log.flush_now().unwrap();
    }

    /// Writes `(key, value)`; a value of "" is a tombstone, a key of "" none.
    fn write(&mut self, options: BatchOptions, puts: &[(&str, &str)]) {
        let mut builder = BatchBuilder::new(options).unwrap();
        for (key, value) in puts {
            self.clock += 7;
            let key = (!key.is_empty()).then_some(key.as_bytes());
            let value = (!value.is_empty()).then_some(value.as_bytes());
            let headers = [RecordHeader { key: b"h", value: Some(b"header") }];
            builder.append(Millis(TIME + self.clock % 1000), key, value, &headers).unwrap();
        }
        let batch = builder.build().unwrap();
        self.append(&batch);
    }

    fn plain(&mut self, codec: Compression, puts: &[(&str, &str)]) {
        self.write(BatchOptions { compression: codec, ..BatchOptions::default() }, puts);
    }

    fn by(&mut self, producer: usize, transactional: bool, puts: &[(&str, &str)]) {
        let options = BatchOptions {
            producer_id: ProducerId(1000 + producer as i64),
            producer_epoch: ProducerEpoch(2),
            base_sequence: self.sequences[producer],
            transactional,
            ..BatchOptions::default()
        };
        self.sequences[producer] += puts.len() as i32;
        self.write(options, puts);
    }

    fn end(&mut self, producer: usize, commit: bool) {
        let id = ProducerId(1000 + producer as i64);
        let marker = end_transaction_batch(
            Millis(TIME),
            id,
            ProducerEpoch(2),
            commit,
            EndTransactionMarker { coordinator_epoch: 3 },
            LeaderEpoch(0),
        );
        self.append(&marker.unwrap());
    }
}

fn first(log: &mut PartitionLog) {
    let mut writer = Writer { log, sequences: [0; 4], clock: 0 };
    let w = &mut writer;
    for round in 0..6 {
        let v = |what: &str| format!("{what}-{round}");
        w.plain(Compression::None, &[("a", &v("a")), ("b", &v("b")), ("", &v("no key"))]);
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            let key = format!("z{}", codec.id());
            let own = format!("own-{}-{round}", codec.id());
            w.plain(codec, &[(&key, &v("zip")), (&own, &v("stays")), ("a", &v("again"))]);
        }
        w.by(0, false, &[("p", &v("p")), ("q", "")]);
        w.by(1, true, &[("t", &v("t")), ("u", &v("u"))]);
        w.by(2, true, &[("t", &v("never")), ("x", &v("never"))]);
        w.plain(Compression::None, &[("gone", ""), ("b", &v("later"))]);
        w.by(1, true, &[("t", "")]);
        w.end(1, true);
        w.by(2, true, &[("a", &v("never"))]);
        w.end(2, false);
        w.by(3, true, &[("only", &v("only"))]);
        w.end(3, round % 2 == 0);
        let times =
            BatchOptions { log_append_time: Some(Millis(TIME + round)), ..BatchOptions::default() };
        w.write(times, &[("l", &v("l")), ("m", &v("m"))]);
        if round == 2 {
            // An open transaction over a good part of the log.
            w.by(2, true, &[("long", "begun")]);
        }
        w.plain(Compression::None, &[("same", "same")]);
    }
    // A new segment, which stays open.
    w.plain(Compression::None, &[("pad", &"x".repeat(2900))]);
}

fn second(log: &mut PartitionLog) {
    let sequences = [12, 18, 25, 6];
    let mut writer = Writer { log, sequences, clock: 500 };
    let w = &mut writer;
    for round in 0..3 {
        let v = |what: &str| format!("{what}-second-{round}");
        w.plain(Compression::None, &[("a", &v("a")), ("fresh", ""), ("z1", "")]);
        w.plain(Compression::Zstd, &[("z4", &v("zip")), ("b", ""), ("own-4-0", &v("now"))]);
        w.by(1, true, &[("t", &v("t"))]);
        w.end(1, round == 1);
        w.by(0, false, &[("p", &v("p"))]);
    }
    w.plain(Compression::None, &[("pad", &"y".repeat(2900))]);
    w.plain(Compression::None, &[("pad", "")]);
}

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/compaction").join(name);
    std::fs::read(path).unwrap()
}

fn batches(log: &[u8]) -> Vec<Bytes> {
    Batches::new(log).map(|b| Bytes::copy_from_slice(b.unwrap().bytes())).collect()
}

/// One batch for the eye: what a difference is told by.
fn shown(batch: &Bytes) -> String {
    let h = *Batch::parse(batch).unwrap().header();
    let records: Vec<_> = records_of(batch)
        .iter()
        .map(|r| {
            (
                r.offset,
                r.timestamp,
                r.key.as_deref().map(String::from_utf8_lossy).map(|k| k.into_owned()),
                r.value.as_ref().map(Vec::len),
            )
        })
        .collect();
    format!("{h:?} {records:?}")
}

fn same(ours: &[u8], kafkas: &[u8]) {
    let (ours, kafkas) = (batches(ours), batches(kafkas));
    let mut rewritten = 0;
    for (our, kafkas) in ours.iter().zip(&kafkas) {
        let compressed = Batch::parse(our).unwrap().header().compression() != Ok(Compression::None);
        if compressed && our != kafkas {
            rewritten += 1;
            // The codec's output is its library's business.
            let facts = |b: &Bytes| {
                let h = *Batch::parse(b).unwrap().header();
                let offsets = (h.base_offset, h.last_offset_delta, h.partition_leader_epoch);
                let times = (h.attributes, h.base_timestamp, h.max_timestamp, h.record_count);
                let producer = (h.producer_id, h.producer_epoch, h.base_sequence);
                (offsets, times, producer, records_of(b))
            };
            assert_eq!(facts(our), facts(kafkas));
        } else {
            assert_eq!(our, kafkas, "{} is not {}", shown(our), shown(kafkas));
        }
    }
    assert_eq!(ours.len(), kafkas.len());
    assert!(rewritten > 0);
}

/// When Kafka looked at its clock, in each of its passes that set a horizon.
fn times_of(kafkas: &[u8]) -> Vec<Millis> {
    let horizon = |b: Bytes| Batch::parse(&b).unwrap().header().delete_horizon().map(|h| h.0);
    let horizons: BTreeSet<i64> = batches(kafkas).into_iter().filter_map(horizon).collect();
    horizons.into_iter().map(|h| Millis(h - RETENTION)).collect()
}

/// One pass, over what lies below `stable`.
fn pass(host: &Locked, checkpoint: Option<Offset>, stable: Offset, now: Millis) -> Compacted {
    let rules =
        CleaningRules { min_dirty_ratio: 0.0, min_lag: Millis(0), max_lag: Millis(i64::MAX) };
    let view = host.with_log(|log| log.view());
    let dirt = view.dirt(checkpoint, stable, &rules, now).unwrap();
    let pass = Pass { dirt, delete_retention: Millis(RETENTION), now };
    Compactor::new(CompactorOptions::default()).run(host, &pass, &mut |_| true).unwrap()
}

fn open_in(disk: Arc<dyn Disk>, dir: &Path, clean: Option<Offset>) -> PartitionLog {
    let dir = LogDir::open(disk, dir, LogDirLimits::default()).unwrap();
    let options = OpenOptions {
        clean: clean.is_some(),
        recovery_point: clean.unwrap_or(Offset::ZERO),
        ..OpenOptions::new(None, config(), Millis(TIME))
    };
    PartitionLog::open(&dir, &partition(), options).unwrap().0
}

#[test]
fn what_stays_is_what_stays_with_kafka() {
    let disk = MemoryDisk::new();
    let read = |suffix: &str| {
        let path = PathBuf::from(format!("/d/g-0/00000000000000000000.{suffix}"));
        disk.read(&path).unwrap_or_default()
    };
    let mut log = open_in(Arc::new(disk.clone()), Path::new("/d"), None);
    first(&mut log);
    let one_segment = LogConfig { segment_bytes: 1 << 30, ..config() };
    log.set_config(one_segment.clone());
    let host = Locked::new(log);
    let times = times_of(&golden("first.log"));
    assert_eq!(times.len(), 1);
    let done = pass(&host, None, host.last_stable(), times[0]);
    assert_eq!(done.stats.segments_after, 1);
    same(&read("log"), &golden("first.log"));
    assert_eq!(read("txnindex"), golden("first.txnindex"));

    drop(host);
    // As for Kafka, recovered from its start before it is written on.
    let mut log = open_in(Arc::new(disk.clone()), Path::new("/d"), None);
    second(&mut log);
    log.set_config(one_segment);
    let host = Locked::new(log);
    // When it started, Kafka cleaned up to the high watermark of its checkpoint, and more than
    // `delete.retention.ms` later the rest: no horizon of the first pass is left.
    let times = times_of(&golden("second.log"));
    assert_eq!(times.len(), 1);
    let before = Millis(times[0].0 - RETENTION - 1);
    let done = pass(&host, Some(done.clean_up_to), Offset(194), before);
    assert_eq!(done.clean_up_to, Offset(194));
    pass(&host, Some(done.clean_up_to), host.last_stable(), times[0]);
    same(&read("log"), &golden("second.log"));
    assert_eq!(read("txnindex"), golden("second.txnindex"));
}

/// Writes a round's part of the log into Kafka's directory.
#[test]
#[ignore = "makes the input for Kafka"]
fn write_for_kafka() {
    let dir = PathBuf::from(std::env::var("OTTLA_GOLDEN").unwrap());
    let round = std::env::var("OTTLA_GOLDEN_ROUND").unwrap();
    let disk = Arc::new(OsDisk);
    let mut log = open_in(disk.clone(), &dir, None);
    match round.as_str() {
        "1" => first(&mut log),
        _ => second(&mut log),
    }
    log.close().unwrap();
    assert!(disk.open(&dir.join("g-0/partition.metadata"), OpenMode::Read).is_ok());
}
