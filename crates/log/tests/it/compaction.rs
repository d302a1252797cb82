//! Compaction against an oracle that keeps the last value of each key: random logs with
//! tombstones, transactions, codecs, small and large maps of keys.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use ottla_env::memory::MemoryDisk;
use ottla_env::{Disk, DiskErrorKind};
use ottla_env_os::OsDisk;
use ottla_log::{
    Answer, CleaningRules, CompactError, Compacted, CompactionTarget, Compactor, CompactorOptions,
    Dirt, LogConfig, LogDir, LogDirLimits, LogError, OffsetCheckpoint, Offsets, OpenOptions,
    PartitionLog, Pass, ReadError, ReadRequest,
};
use ottla_partition::{AppendContext, ProducerEntry};
use ottla_protocol::{LeaderEpoch, Millis, Offset, ProducerEpoch, ProducerId};
use ottla_records::{
    Batch, BatchBuilder, BatchOptions, Batches, Compression, ControlRecordType,
    EndTransactionMarker, Scratch, end_transaction_batch,
};
use proptest::prelude::*;

use crate::support::*;

pub(crate) const RETENTION: Millis = Millis(1000);

/// A log behind a lock, as a host has it.
pub(crate) struct Locked(pub(crate) Mutex<PartitionLog>);

impl CompactionTarget for Locked {
    fn with_log<R>(&self, work: impl FnOnce(&mut PartitionLog) -> R) -> R {
        work(&mut self.0.lock().unwrap())
    }
}

impl Locked {
    pub(crate) fn new(log: PartitionLog) -> Self {
        Self(Mutex::new(log))
    }

    pub(crate) fn last_stable(&self) -> Offset {
        self.with_log(|log| {
            let (start, end) = (log.log_start(), log.log_end());
            log.producers_mut().on_high_watermark(end);
            log.producers().last_stable_offset(end, start)
        })
    }

    pub(crate) fn dirt(&self, checkpoint: Option<Offset>) -> Dirt {
        let rules =
            CleaningRules { min_dirty_ratio: 0.5, min_lag: Millis(0), max_lag: Millis(i64::MAX) };
        let stable = self.last_stable();
        self.with_log(|log| log.view()).dirt(checkpoint, stable, &rules, NOW).unwrap()
    }

    pub(crate) fn pass(
        &self,
        checkpoint: Option<Offset>,
        map_bytes: usize,
        now: Millis,
    ) -> Result<Compacted, CompactError> {
        let options = CompactorOptions { map_bytes, io_bytes: 4096, ..CompactorOptions::default() };
        let pass = Pass { dirt: self.dirt(checkpoint), delete_retention: RETENTION, now };
        Compactor::new(options).run(self, &pass, &mut |_| true)
    }

    pub(crate) fn batches(&self) -> Vec<Bytes> {
        self.with_log(|log| read_all(log, log.log_start(), 1 << 20))
    }
}

/// A record as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
}

pub(crate) fn records_of(batch: &Bytes) -> Vec<Seen> {
    let batch = Batch::parse(batch).unwrap();
    if batch.header().attributes.is_control() {
        return Vec::new();
    }
    let mut scratch = Scratch::new();
    let records = batch.records(&mut scratch, 1 << 20).unwrap();
    records
        .map(|r| r.unwrap())
        .map(|r| Seen {
            offset: r.offset.0,
            timestamp: r.timestamp.0,
            key: r.key.map(<[u8]>::to_vec),
            value: r.value.map(<[u8]>::to_vec),
        })
        .collect()
}

fn is_abort(batch: &Bytes) -> bool {
    let batch = Batch::parse(batch).unwrap();
    let mut scratch = Scratch::new();
    let mut records = batch.records(&mut scratch, 1 << 20).unwrap();
    batch.header().attributes.is_control()
        && records.next().is_some_and(|r| {
            ControlRecordType::parse_key(r.unwrap().key) == Ok(ControlRecordType::Abort)
        })
}

/// What a consumer of committed records gets, `max_bytes` at a time.
pub(crate) fn read_committed(host: &Locked, max_bytes: usize) -> Vec<Seen> {
    let up_to = host.last_stable();
    host.with_log(|log| {
        let mut all = Vec::new();
        let mut at = log.log_start();
        while at < up_to {
            let request = ReadRequest { from: at, up_to, max_bytes, at_least_one: true };
            let view = log.view();
            let fetched = match log.read(&request).unwrap() {
                Answer::Ready(fetched) => fetched,
                Answer::Lookup(view) => view.read(&request).unwrap(),
            };
            if fetched.batches.is_empty() {
                break;
            }
            let mut aborted = view.aborted_transactions(at, fetched.next_offset).unwrap();
            aborted.sort_by_key(|t| std::cmp::Reverse(t.first_offset));
            let mut hidden = std::collections::BTreeSet::new();
            for run in &fetched.batches {
                for batch in Batches::new(run).map(Result::unwrap) {
                    let header = *batch.header();
                    while let Some(t) = aborted.pop_if(|t| t.first_offset <= header.last_offset()) {
                        hidden.insert(t.producer_id);
                    }
                    let bytes = run.slice_ref(batch.bytes());
                    if is_abort(&bytes) {
                        hidden.remove(&header.producer_id);
                    } else if !(header.attributes.is_transactional()
                        && hidden.contains(&header.producer_id))
                    {
                        all.extend(records_of(&bytes).into_iter().filter(|r| r.offset >= at.0));
                    }
                }
            }
            at = fetched.next_offset;
        }
        all
    })
}

#[derive(Clone, Debug)]
pub(crate) struct Put {
    key: Option<u8>,
    value: Option<u8>,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Write { producer: Option<u8>, transactional: bool, puts: Vec<Put>, codec: usize },
    End { producer: u8, commit: bool },
    Compact { map_bytes: usize, later: i64 },
    Restart { clean: bool },
}

fn put() -> impl Strategy<Value = Put> {
    (prop::option::weighted(0.95, 0..8_u8), prop::option::weighted(0.75, any::<u8>()))
        .prop_map(|(key, value)| Put { key, value })
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (
            prop::option::of(0..3_u8),
            any::<bool>(),
            prop::collection::vec(put(), 1..6),
            0..Compression::ALL.len(),
        ).prop_map(|(producer, transactional, puts, codec)| {
            Step::Write { producer, transactional, puts, codec }
        }),
        5 => (0..3_u8, any::<bool>()).prop_map(|(producer, commit)| Step::End { producer, commit }),
        2 => (prop_oneof![Just(0_usize), Just(100), Just(1 << 16)], 0..1500_i64)
            .prop_map(|(map_bytes, later)| Step::Compact { map_bytes, later }),
        1 => any::<bool>().prop_map(|clean| Step::Restart { clean }),
    ]
}

/// A record that was written, and what became of its transaction.
#[derive(Clone, Debug)]
struct Written {
    seen: Seen,
    producer: Option<u8>,
    aborted: bool,
}

/// The log, and what it should hold.
pub(crate) struct Run {
    disk: MemoryDisk,
    pub(crate) host: Locked,
    config: LogConfig,
    written: Vec<Written>,
    sequences: [i32; 3],
    open: [Option<usize>; 3],
    pub(crate) checkpoint: Option<Offset>,
    pub(crate) now: Millis,
}

impl Run {
    pub(crate) fn new(disk: MemoryDisk) -> Self {
        let config = LogConfig { compact: true, segment_bytes: 900, ..small() };
        let host = Locked::new(open(&log_dir(&disk, Path::new("/d")), config.clone()).0);
        Self {
            disk,
            host,
            config,
            written: Vec::new(),
            sequences: [0; 3],
            open: [None; 3],
            checkpoint: None,
            now: NOW,
        }
    }

    fn append(&self, batch: BytesMut) -> Offset {
        self.host.with_log(|log| {
            let context = AppendContext::REPLICATION;
            log.append(batch, LeaderEpoch(0), NOW, &context).unwrap().base_offset
        })
    }

    fn write(&mut self, producer: Option<u8>, transactional: bool, puts: &[Put], codec: usize) {
        let slot = producer.map(usize::from);
        let transactional = slot.is_some_and(|p| transactional || self.open[p].is_some());
        let mut options =
            BatchOptions { compression: Compression::ALL[codec], ..Default::default() };
        if let Some(p) = slot {
            options.producer_id = ProducerId(p as i64 + 100);
            options.producer_epoch = ProducerEpoch(0);
            options.base_sequence = self.sequences[p];
            options.transactional = transactional;
            self.sequences[p] += puts.len() as i32;
        }
        let mut builder = BatchBuilder::new(options).unwrap();
        let mut seen = Vec::new();
        for (i, put) in puts.iter().enumerate() {
            let timestamp = NOW.0 + (self.written.len() + i) as i64 % 50;
            let key = put.key.map(|k| vec![b'k', k]);
            let value = put.value.map(|v| vec![v; 20]);
            builder.append(Millis(timestamp), key.as_deref(), value.as_deref(), &[]).unwrap();
            seen.push(Seen { offset: 0, timestamp, key, value });
        }
        let base = self.append(BytesMut::from(builder.build().unwrap().as_slice()));
        if let Some(p) = slot.filter(|_| transactional) {
            self.open[p].get_or_insert(self.written.len());
        }
        for (i, record) in seen.into_iter().enumerate() {
            let seen = Seen { offset: base.0 + i as i64, ..record };
            self.written.push(Written { seen, producer, aborted: false });
        }
    }

    fn end(&mut self, producer: u8, commit: bool) {
        let Some(first) = self.open[usize::from(producer)].take() else { return };
        let id = ProducerId(i64::from(producer) + 100);
        let value = EndTransactionMarker { coordinator_epoch: 1 };
        let marker =
            end_transaction_batch(NOW, id, ProducerEpoch(0), commit, value, LeaderEpoch(0));
        self.append(BytesMut::from(marker.unwrap().as_slice()));
        if !commit {
            for record in &mut self.written[first..] {
                record.aborted |= record.producer == Some(producer);
            }
        }
    }

    fn producers(&self) -> Vec<ProducerEntry> {
        let mut entries: Vec<_> =
            self.host.with_log(|log| log.producers().entries().cloned().collect());
        entries.sort_by_key(|e| e.producer_id);
        entries
    }

    fn restart(&mut self, clean: bool) {
        // The lock of the directory goes with the last of its logs.
        let elsewhere = log_dir(&MemoryDisk::new(), Path::new("/d"));
        let other = Locked::new(open(&elsewhere, self.config.clone()).0);
        let mut log = std::mem::replace(&mut self.host, other).0.into_inner().unwrap();
        log.flush_now().unwrap();
        let end = log.log_end();
        if clean {
            log.close().unwrap();
        } else {
            drop(log);
        }
        let dir = log_dir(&self.disk, Path::new("/d"));
        let options = OpenOptions {
            clean,
            recovery_point: if clean { end } else { Offset::ZERO },
            ..OpenOptions::new(Some(TOPIC_ID), self.config.clone(), NOW)
        };
        let (log, report) = PartitionLog::open(&dir, &tp(), options).unwrap();
        assert_eq!(report.truncated_bytes, 0, "{report:?}");
        self.host = Locked::new(log);
    }

    pub(crate) fn compact(&mut self, map_bytes: usize) -> Compacted {
        self.host.with_log(|log| log.flush_now()).unwrap();
        let compacted = self.host.pass(self.checkpoint, map_bytes, self.now).unwrap();
        self.checkpoint = Some(compacted.clean_up_to);
        compacted
    }

    pub(crate) fn step(&mut self, step: &Step) {
        match step {
            Step::Write { producer, transactional, puts, codec } => {
                self.write(*producer, *transactional, puts, *codec);
            }
            Step::End { producer, commit } => self.end(*producer, *commit),
            Step::Compact { map_bytes, later } => {
                self.now = Millis(self.now.0 + later);
                let before = self.producers();
                let end = self.host.with_log(|log| log.log_end());
                self.compact(*map_bytes);
                assert_eq!(self.producers(), before);
                assert_eq!(self.host.with_log(|log| log.log_end()), end);
                self.check();
            }
            Step::Restart { clean } => {
                let before = self.producers();
                self.restart(*clean);
                assert_eq!(states(&self.producers()), states(&before));
                self.check();
            }
        }
    }

    /// Of each key the last is there, whatever else is.
    fn check_last(&self) {
        let last = |records: Vec<Seen>| {
            records.into_iter().map(|r| (r.key, r.value)).collect::<BTreeMap<_, _>>()
        };
        let all = self.written.iter().map(|w| w.seen.clone()).collect();
        assert_eq!(last(read_committed(&self.host, 1 << 20)), last(all));
    }

    /// The last value of each key below the checkpoint, and everything from there on.
    pub(crate) fn check(&self) {
        let clean = self.checkpoint.map_or(0, |c| c.0);
        let stable = self.host.last_stable().0;
        let decided = |w: &&Written| !w.aborted && w.seen.offset < stable;
        let mut last = BTreeMap::new();
        for w in self.written.iter().filter(decided).filter(|w| w.seen.offset < clean) {
            if let Some(key) = &w.seen.key {
                last.insert(key.clone(), w.seen.offset);
            }
        }
        let stays = |w: &&Written| {
            w.seen.offset >= clean
                || w.seen.key.as_ref().is_some_and(|key| last[key] == w.seen.offset)
        };
        let expected: Vec<_> =
            self.written.iter().filter(decided).filter(stays).map(|w| w.seen.clone()).collect();
        for max_bytes in [1, 300, 1 << 20] {
            let found = read_committed(&self.host, max_bytes);
            // Of the tombstones below the checkpoint some may be gone.
            let strict = |records: &[Seen]| {
                let keep = |r: &&Seen| r.value.is_some() || r.offset >= clean;
                records.iter().filter(keep).cloned().collect::<Vec<_>>()
            };
            assert_eq!(strict(&found), strict(&expected), "in pieces of {max_bytes}");
            assert!(found.iter().all(|r| expected.contains(r)));
        }
        let offsets: Vec<_> = offsets(&self.host.batches());
        assert!(offsets.windows(2).all(|w| w[0].1 < w[1].0), "{offsets:?}");
    }
}

/// What of producers' states recovery must find again: the ring of earlier batches may be shorter.
fn states(entries: &[ProducerEntry]) -> Vec<(i64, i32, i64, Option<Offset>)> {
    let state = |e: &ProducerEntry| {
        (e.producer_id.0, e.last_sequence(), e.last_data_offset().0, e.current_txn_first_offset)
    };
    entries.iter().map(state).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn the_last_of_each_key_stays(steps in prop::collection::vec(step(), 1..80)) {
        let mut run = Run::new(MemoryDisk::new());
        for step in &steps {
            run.step(step);
        }
        // All transactions end; then several passes with the smallest map reach the end.
        for producer in 0..3 {
            run.end(producer, producer == 1);
        }
        run.write(None, false, &[Put { key: Some(1), value: Some(1) }], 0);
        run.restart(true);
        let up_to = run.host.dirt(run.checkpoint).up_to;
        let mut passes = 0;
        loop {
            let before = run.checkpoint;
            run.compact(100);
            run.check();
            passes += 1;
            if run.checkpoint == Some(up_to) || up_to == Offset::ZERO {
                break;
            }
            prop_assert!(run.checkpoint > before, "a pass makes progress");
        }
        prop_assert!(passes < 1000);
        // The horizons pass: the second pass after them finds nothing more to do.
        for _ in 0..3 {
            run.now = Millis(run.now.0 + RETENTION.0 + 1);
            run.compact(1 << 16);
            run.check();
        }
        let batches = run.host.batches();
        for seen in batches.iter().flat_map(records_of).filter(|r| r.offset < up_to.0) {
            prop_assert!(seen.value.is_some(), "a tombstone outlives its horizon: {seen:?}");
        }
        run.compact(1 << 16);
        prop_assert_eq!(run.host.batches(), batches);
        run.restart(false);
        run.check();
    }
}

#[test]
fn a_pass_can_be_interrupted_anywhere() {
    let disk = MemoryDisk::new();
    let mut run = Run::new(disk.clone());
    for i in 0..60_u8 {
        run.write(None, false, &[Put { key: Some(i % 5), value: Some(i) }], 0);
    }
    run.host.with_log(|log| log.flush_now()).unwrap();
    let pass = Pass { dirt: run.host.dirt(None), delete_retention: RETENTION, now: NOW };
    let options = CompactorOptions { io_bytes: 4096, ..CompactorOptions::default() };
    for stop_after in 0.. {
        let mut left = stop_after;
        let mut pace = |_| {
            left -= 1;
            left >= 0
        };
        match Compactor::new(options.clone()).run(&run.host, &pass, &mut pace) {
            Err(CompactError::Interrupted) => {}
            other => {
                run.checkpoint = Some(other.unwrap().clean_up_to);
                break;
            }
        }
        run.check_last();
        let left_over = disk.files().into_keys().filter(|path| {
            let name = path.to_string_lossy().into_owned();
            name.ends_with(".cleaned") || name.ends_with(".swap")
        });
        assert_eq!(left_over.collect::<Vec<_>>(), Vec::<std::path::PathBuf>::new());
    }
    run.check();
}

#[test]
fn a_view_from_before_says_that_it_is_old() {
    let mut run = Run::new(MemoryDisk::new());
    for i in 0..60_u8 {
        run.write(None, false, &[Put { key: Some(i % 5), value: Some(i) }], 0);
    }
    run.host.with_log(|log| log.flush_now()).unwrap();
    let view = run.host.with_log(|log| log.view());
    let request =
        ReadRequest { from: Offset(3), up_to: Offset(60), max_bytes: 100, at_least_one: true };
    view.read(&request).unwrap();
    run.compact(1 << 16);
    assert!(matches!(
        view.read(&request),
        Err(ottla_log::ReadError::Failed(LogError::Replaced { .. }))
    ));
    assert!(matches!(
        view.aborted_transactions(Offset(0), Offset(5)),
        Err(LogError::Replaced { .. })
    ));
    assert!(matches!(view.list_offset(NOW.0), Err(LogError::Replaced { .. })));
    let fresh = run.host.with_log(|log| log.view());
    assert!(fresh.read(&request).unwrap().bytes > 0);
}

#[test]
fn a_gap_that_compaction_left_is_no_damage_under_another_policy() {
    let disk = MemoryDisk::new();
    let mut run = Run::new(disk.clone());
    // Of the first segments the beginning stays and the end goes.
    for i in 0..40_u8 {
        run.write(None, false, &[Put { key: Some(if i < 4 { i } else { 9 }), value: Some(i) }], 0);
    }
    run.compact(1 << 16);
    let delete = LogConfig { compact: false, ..run.config.clone() };
    run.host.with_log(|log| log.set_config(delete.clone()));
    let found = offsets(&run.host.batches());
    assert_eq!(found.first(), Some(&(0, 0)));
    drop(run);
    let dir = log_dir(&disk, Path::new("/d"));
    // As the cleaner notes it, and a start finds it.
    dir.write_cleaner_offsets(|| Offsets::from([(tp(), Offset(39))])).unwrap();
    drop(dir);
    let dir = log_dir(&disk, Path::new("/d"));
    let (log, _) = open(&dir, delete.clone());
    assert_eq!(offsets(&read_all(&log, Offset(0), 100)), found);
    drop((log, dir));
    // A topic of the same name begins anew: then a hole is damage.
    let dir = log_dir(&disk, Path::new("/d"));
    dir.begin_load().unwrap();
    dir.forget_cleaner_offset(&tp()).unwrap();
    drop(dir);
    let dir = log_dir(&disk, Path::new("/d"));
    assert_eq!(dir.read_cleaner_offsets().unwrap(), Offsets::new());
    let (log, _) = open(&dir, delete);
    assert!(first_hole(&log).is_some(), "the gap is told");
}

/// The first failure of a reader who walks over the whole log.
fn first_hole(log: &PartitionLog) -> Option<ReadError> {
    let mut from = log.log_start();
    while from < log.log_end() {
        let request = ReadRequest { from, up_to: log.log_end(), max_bytes: 1, at_least_one: true };
        match log.view().read(&request) {
            Ok(fetched) => from = fetched.next_offset,
            Err(error) => return Some(error),
        }
    }
    None
}

#[test]
fn the_new_segment_keeps_the_time_of_the_old_ones() {
    let folder = tempfile::tempdir().unwrap();
    let dir = LogDir::open(Arc::new(OsDisk), folder.path(), LogDirLimits::default()).unwrap();
    let config = LogConfig { compact: true, ..small() };
    let (log, _) = open(&dir, config.clone());
    let host = Locked::new(log);
    for i in 0..40_u8 {
        let mut builder = BatchBuilder::new(BatchOptions::default()).unwrap();
        builder.append(NOW, Some(&[i % 3]), Some(&[i; 120]), &[]).unwrap();
        let batch = BytesMut::from(builder.build().unwrap().as_slice());
        host.with_log(|log| append(log, batch));
    }
    host.with_log(|log| log.flush_now()).unwrap();
    let segments = || {
        let names = std::fs::read_dir(folder.path().join(tp().to_string())).unwrap();
        let paths = names.map(|entry| entry.unwrap().path());
        let mut logs: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
        logs.sort();
        logs
    };
    let before = segments();
    assert!(before.len() > 3);
    let time = |days: u64| UNIX_EPOCH + Duration::from_secs(1_000_000_000 + 86_400 * days);
    for (path, days) in before.iter().zip([3, 1, 4, 1, 5, 9].into_iter().cycle()) {
        std::fs::File::options().write(true).open(path).unwrap().set_modified(time(days)).unwrap();
    }
    let modified = |path: &PathBuf| path.metadata().unwrap().modified().unwrap();
    let newest = before[..before.len() - 1].iter().map(modified).max().unwrap();
    // So that all of them become one.
    host.with_log(|log| log.set_config(LogConfig { segment_bytes: 1 << 20, ..config }));
    host.pass(None, 1 << 16, NOW).unwrap();
    let after = segments();
    assert_eq!(after.len(), 2);
    assert_eq!(modified(&after[0]), newest);
    for suffix in ["index", "timeindex"] {
        assert_eq!(modified(&after[0].with_extension(suffix)), newest, "{suffix}");
    }
}

#[test]
fn what_is_due_follows_kafkas_rules() {
    let mut run = Run::new(MemoryDisk::new());
    let rules = |ratio, min, max| CleaningRules {
        min_dirty_ratio: ratio,
        min_lag: Millis(min),
        max_lag: Millis(max),
    };
    for i in 0..60_u8 {
        run.write(None, false, &[Put { key: Some(i % 5), value: Some(i) }], 0);
    }
    run.host.with_log(|log| log.flush_now()).unwrap();
    let end = Offset(60);
    let dirt = |checkpoint, stable, rules: &CleaningRules, now| {
        run.host.with_log(|log| log.view()).dirt(checkpoint, stable, rules, now).unwrap()
    };
    let lazy = rules(0.5, 0, i64::MAX);
    let all = dirt(None, end, &lazy, NOW);
    assert_eq!((all.first_dirty, all.clean_bytes), (Offset(0), 0));
    assert!(all.up_to > Offset(0) && all.up_to < end && all.is_due(&lazy));
    // Nothing above the last stable offset, and whole segments only.
    let half = dirt(None, all.up_to.plus(-1), &lazy, NOW);
    assert!(half.up_to < all.up_to && half.dirty_bytes < all.dirty_bytes);
    assert_eq!(dirt(None, Offset(0), &lazy, NOW).dirty_bytes, 0);
    // A checkpoint beyond the end, or below the start, is none.
    let beyond = dirt(Some(Offset(61)), end, &lazy, NOW);
    assert_eq!((beyond.first_dirty, beyond.invalid_checkpoint), (Offset(0), Some(Offset(61))));
    // The ratio must be exceeded.
    let clean = dirt(Some(all.up_to), end, &rules(0.0, 0, i64::MAX), NOW);
    assert!(clean.dirty_bytes == 0 && !clean.is_due(&rules(0.0, 0, i64::MAX)));
    // Records that are too young stay, those that wait too long do not.
    let young = rules(0.5, 100, i64::MAX);
    assert_eq!(dirt(None, end, &young, NOW).dirty_bytes, 0);
    assert_eq!(dirt(None, end, &young, Millis(NOW.0 + 200)).up_to, all.up_to);
    let late = rules(1.0, 0, 10);
    assert!(!dirt(None, end, &late, NOW).is_due(&late));
    let overdue = dirt(None, end, &late, Millis(NOW.0 + 500));
    assert!(overdue.overdue >= Millis(440) && overdue.is_due(&late));
}

#[test]
fn a_damaged_batch_makes_a_log_uncleanable() {
    let disk = MemoryDisk::new();
    let mut run = Run::new(disk.clone());
    for i in 0..60_u8 {
        run.write(None, false, &[Put { key: Some(i % 5), value: Some(i) }], 0);
    }
    run.host.with_log(|log| log.flush_now()).unwrap();
    let path = Path::new("/d/t-0/00000000000000000000.log");
    let file = disk.open(path, ottla_env::OpenMode::Write).unwrap();
    file.write_at(&[Bytes::from_static(b"x")], 300).unwrap();
    let error = run.host.pass(None, 1 << 16, NOW).unwrap_err();
    assert!(matches!(error, CompactError::Failed(LogError::Corrupt { .. })), "{error}");
}

#[test]
fn without_space_the_log_stays_as_it_was_and_the_next_pass_cleans_it() {
    for action in ["open", "write", "rename"] {
        let disk = MemoryDisk::new();
        let mut run = Run::new(disk.clone());
        for i in 0..60_u8 {
            run.write(None, false, &[Put { key: Some(i % 5), value: Some(i) }], 0);
        }
        run.host.with_log(|log| log.flush_now()).unwrap();
        for after in 0..3 {
            let mut left = after;
            disk.set_fault(Some(Box::new(move |did, path| {
                let new = path.to_string_lossy().ends_with(".cleaned");
                left -= i32::from(new && did == action);
                (new && did == action && left < 0).then_some(DiskErrorKind::NoSpace)
            })));
            let error = run.host.pass(None, 1 << 16, NOW).unwrap_err();
            assert!(matches!(&error, CompactError::Failed(e) if e.is_no_space()), "{error}");
            disk.set_fault(None);
            run.check_last();
            let unfinished = disk.files().into_keys().filter(|path| {
                let name = path.to_string_lossy();
                name.ends_with(".cleaned") || name.ends_with(".swap")
            });
            assert_eq!(unfinished.count(), 0, "{action} {after}");
            assert_eq!(run.host.with_log(|log| log.failure().cloned()), None);
        }
        run.compact(1 << 16);
        run.check();
    }
}

#[test]
fn the_checkpoint_is_kafkas() {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    assert_eq!(dir.read_cleaner_offsets().unwrap(), Offsets::new());
    let offsets = Offsets::from([(tp(), Offset(42))]);
    dir.write_cleaner_offsets(|| offsets.clone()).unwrap();
    assert_eq!(dir.read_cleaner_offsets().unwrap(), offsets);
    let content = &disk.files()[Path::new("/d/cleaner-offset-checkpoint")];
    assert_eq!(content, b"0\n1\nt 0 42\n");
    assert_ne!(OffsetCheckpoint::RecoveryPoint.file(), "cleaner-offset-checkpoint");
}
