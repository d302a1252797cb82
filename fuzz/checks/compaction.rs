//! Compaction against an oracle that keeps the last value of each key, for any order of writes,
//! transactions, passes and restarts. Shared by the fuzz target and the normal tests. An input is
//! a script of steps, two bytes each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use ottla_env::memory::MemoryDisk;
use ottla_log::{
    Answer, CleaningRules, CompactionTarget, Compactor, CompactorOptions, LogConfig, LogDir,
    LogDirLimits, OpenOptions, PartitionLog, Pass, ReadRequest, TopicPartition,
};
use ottla_partition::{AppendContext, ProducerRules};
use ottla_protocol::{LeaderEpoch, Millis, Offset, ProducerEpoch, ProducerId, Uuid};
use ottla_records::{
    Batch, BatchBuilder, BatchOptions, Batches, Compression, ControlRecordType,
    EndTransactionMarker, Scratch, end_transaction_batch,
};

const NOW: Millis = Millis(1_700_000_000_000);
const RETENTION: Millis = Millis(1_000);
const EPOCH: LeaderEpoch = LeaderEpoch(0);
const STEPS_MAX: usize = 80;

/// The log behind its lock.
struct Host(Mutex<PartitionLog>);

impl CompactionTarget for Host {
    fn with_log<R>(&self, work: impl FnOnce(&mut PartitionLog) -> R) -> R {
        work(&mut self.0.lock().unwrap())
    }
}

/// A record that was written.
#[derive(Clone, Debug)]
struct Written {
    offset: i64,
    key: u8,
    value: Option<Vec<u8>>,
    /// Of a transaction: its producer; taken away when it is committed.
    open: Option<usize>,
}

struct Scene {
    disk: MemoryDisk,
    host: Host,
    now: Millis,
    checkpoint: Option<Offset>,
    written: Vec<Written>,
    sequences: [i32; 3],
    in_transaction: [bool; 3],
    passes: usize,
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 700,
        index_interval_bytes: 100,
        tail_bytes: 0,
        compact: true,
        file_delete_delay: Millis(0),
        ..LogConfig::default()
    }
}

fn open(disk: &MemoryDisk, clean: Option<Offset>) -> PartitionLog {
    let limits = LogDirLimits::default();
    let dir: Arc<LogDir> = LogDir::open(Arc::new(disk.clone()), Path::new("/d"), limits).unwrap();
    let rules = ProducerRules { verify_transactions: false, ..ProducerRules::default() };
    let options = OpenOptions {
        clean: clean.is_some(),
        recovery_point: clean.unwrap_or_default(),
        producer_rules: rules,
        ..OpenOptions::new(Some(Uuid([7; 16])), config(), NOW)
    };
    let (log, report) = PartitionLog::open(&dir, &TopicPartition::new("t", 0), options).unwrap();
    assert_eq!(report.truncated_bytes, 0, "{report:?}");
    log
}

impl Scene {
    fn new() -> Self {
        let disk = MemoryDisk::new();
        let host = Host(Mutex::new(open(&disk, None)));
        Self {
            disk,
            host,
            now: NOW,
            checkpoint: None,
            written: Vec::new(),
            sequences: [0; 3],
            in_transaction: [false; 3],
            passes: 0,
        }
    }

    fn step(&mut self, kind: u8, what: u8) {
        match kind % 8 {
            0..=2 => self.write(kind, what, None),
            3 => self.write(kind, what, Some(usize::from(kind / 8) % 3)),
            4 => self.end(usize::from(kind / 8) % 3, what & 1 == 0),
            5 | 6 => self.compact(what),
            _ => self.restart(what & 1 == 0),
        }
    }

    /// A batch: codec and number of records by `kind`, keys and tombstones by `what`.
    fn write(&mut self, kind: u8, what: u8, producer: Option<usize>) {
        let transactional = producer.is_some_and(|_| kind & 0x80 == 0);
        let producer = producer.filter(|p| transactional || !self.in_transaction[*p]);
        let codecs = [Compression::None, Compression::Lz4, Compression::Zstd, Compression::Gzip];
        let mut options =
            BatchOptions { compression: codecs[usize::from(kind >> 3) % 4], ..Default::default() };
        let count = i32::from(kind >> 5) % 4 + 1;
        if let Some(producer) = producer {
            options.producer_id = ProducerId(producer as i64 + 1);
            options.producer_epoch = ProducerEpoch(0);
            options.base_sequence = self.sequences[producer];
            options.transactional = transactional;
            self.sequences[producer] += count;
            self.in_transaction[producer] |= transactional;
        }
        let mut builder = BatchBuilder::new(options).unwrap();
        let end = self.host.with_log(|log| log.log_end().get());
        for number in 0..count {
            let key = (what.wrapping_add(u8::try_from(number * 5).unwrap())) % 13;
            let tombstone = (what >> 4).wrapping_add(number as u8).is_multiple_of(4);
            let offset = end + i64::from(number);
            let value =
                (!tombstone).then(|| format!("{offset}-").repeat(1 + usize::from(what % 9)));
            let value = value.map(String::into_bytes);
            builder.append(NOW, Some(&[key]), value.as_deref(), &[]).unwrap();
            let open = producer.filter(|_| transactional);
            self.written.push(Written { offset, key, value, open });
        }
        self.append(&builder.build().unwrap(), &AppendContext::CLIENT);
    }

    fn append(&self, batch: &[u8], context: &AppendContext) {
        let batch = BytesMut::from(batch);
        let appended = self.host.with_log(|log| log.append(batch, EPOCH, NOW, context));
        assert!(!appended.expect("it is in order").duplicate);
    }

    fn end(&mut self, producer: usize, commit: bool) {
        let marker = EndTransactionMarker { coordinator_epoch: 0 };
        let id = ProducerId(producer as i64 + 1);
        let batch = end_transaction_batch(self.now, id, ProducerEpoch(0), commit, marker, EPOCH);
        self.append(&batch.unwrap(), &AppendContext::COORDINATOR);
        self.in_transaction[producer] = false;
        if commit {
            let of_it = self.written.iter_mut().filter(|w| w.open == Some(producer));
            of_it.for_each(|written| written.open = None);
        } else {
            self.written.retain(|written| written.open != Some(producer));
        }
    }

    fn stable(&self) -> Offset {
        self.host.with_log(|log| log.producers().last_stable_offset(log.log_end(), log.log_start()))
    }

    /// A pass, later by `what`, with a map for few keys or many.
    fn compact(&mut self, what: u8) {
        self.now = Millis(self.now.0 + i64::from(what % 8) * 300);
        self.host.with_log(|log| log.flush_now()).unwrap();
        let rules =
            CleaningRules { min_dirty_ratio: 0.0, min_lag: Millis(0), max_lag: Millis(i64::MAX) };
        let view = self.host.with_log(|log| log.view());
        let dirt = view.dirt(self.checkpoint, self.stable(), &rules, self.now).unwrap();
        let map_bytes = if what & 0x80 == 0 { 300 } else { 1 << 16 };
        let options = CompactorOptions { map_bytes, io_bytes: 2_048, ..Default::default() };
        let pass = Pass { dirt, delete_retention: RETENTION, now: self.now };
        let end = self.host.with_log(|log| log.log_end());
        let done = Compactor::new(options).run(&self.host, &pass, &mut |_| true).unwrap();
        self.checkpoint = Some(done.clean_up_to);
        self.passes += 1;
        assert_eq!(self.host.with_log(|log| log.log_end()), end);
        self.check();
    }

    fn restart(&mut self, clean: bool) {
        let other = open(&MemoryDisk::new(), None);
        let mut log =
            std::mem::replace(&mut self.host, Host(Mutex::new(other))).0.into_inner().unwrap();
        log.flush_now().unwrap();
        let (end, stable) = (log.log_end(), self.undecided());
        if clean {
            log.close().unwrap();
        } else {
            drop(log);
        }
        self.host = Host(Mutex::new(open(&self.disk, clean.then_some(end))));
        assert_eq!(self.host.with_log(|log| log.log_end()), end);
        assert_eq!(self.stable(), stable.unwrap_or(end));
        self.check();
    }

    /// Where the oldest open transaction begins.
    fn undecided(&self) -> Option<Offset> {
        let open = self.written.iter().filter(|w| w.open.is_some_and(|p| self.in_transaction[p]));
        open.map(|w| w.offset).min().map(Offset)
    }

    /// What a reader of committed records sees is what was written; below the checkpoint at least
    /// the last of each key, and from there on everything. Tombstones may be gone.
    fn check(&self) {
        let stable = self.stable();
        let clean = self.checkpoint.unwrap_or_default().get();
        let decided: Vec<&Written> =
            self.written.iter().filter(|w| w.open.is_none() && w.offset < stable.get()).collect();
        let newest: BTreeMap<u8, i64> =
            decided.iter().filter(|w| w.offset < clean).map(|w| (w.key, w.offset)).collect();
        let known: BTreeMap<i64, &Written> = decided.iter().map(|w| (w.offset, *w)).collect();
        let seen = self.read(stable);
        for (offset, (key, value)) in &seen {
            let written = known.get(offset).expect("somebody wrote and committed it");
            assert_eq!((*key, value), (written.key, &written.value), "offset {offset}");
            let last = newest.get(key).copied().unwrap_or(-1);
            assert!(*offset >= clean || *offset == last, "{offset} is not the last of key {key}");
        }
        for written in decided {
            let last = newest.get(&written.key) == Some(&written.offset);
            let must = written.offset >= clean || (last && written.value.is_some());
            assert!(!must || seen.contains_key(&written.offset), "{written:?} is gone");
        }
    }

    /// The committed records, as clients read them.
    fn read(&self, up_to: Offset) -> BTreeMap<i64, (u8, Option<Vec<u8>>)> {
        let mut seen = BTreeMap::new();
        self.host.with_log(|log| {
            let mut at = log.log_start();
            while at < up_to {
                let request = ReadRequest { from: at, up_to, max_bytes: 300, at_least_one: true };
                let fetched = match log.read(&request).unwrap() {
                    Answer::Ready(fetched) => fetched,
                    Answer::Lookup(view) => view.read(&request).unwrap(),
                };
                if fetched.batches.is_empty() {
                    break;
                }
                let aborted = log.view().aborted_transactions(at, fetched.next_offset).unwrap();
                let mut aborted: Vec<_> =
                    aborted.iter().map(|t| (t.first_offset, t.producer_id)).collect();
                aborted.sort_unstable_by(|a, b| b.cmp(a));
                let mut hidden = BTreeSet::new();
                for batch in fetched.batches.iter().flat_map(|run| Batches::new(run)) {
                    take(&batch.unwrap(), &mut aborted, &mut hidden, &mut seen);
                }
                at = fetched.next_offset;
            }
        });
        seen
    }
}

fn take(
    batch: &Batch<'_>,
    aborted: &mut Vec<(Offset, ProducerId)>,
    hidden: &mut BTreeSet<ProducerId>,
    seen: &mut BTreeMap<i64, (u8, Option<Vec<u8>>)>,
) {
    let header = batch.header();
    while let Some((_, id)) = aborted.pop_if(|(first, _)| *first <= header.last_offset()) {
        hidden.insert(id);
    }
    let mut scratch = Scratch::new();
    for record in batch.records(&mut scratch, 1 << 20).unwrap() {
        let record = record.unwrap();
        if header.attributes.is_control() {
            if ControlRecordType::parse_key(record.key) == Ok(ControlRecordType::Abort) {
                hidden.remove(&header.producer_id);
            }
        } else if !(header.attributes.is_transactional() && hidden.contains(&header.producer_id)) {
            let key = record.key.and_then(|key| key.first()).copied().expect("a key");
            seen.insert(record.offset.get(), (key, record.value.map(<[u8]>::to_vec)));
        }
    }
}

/// Runs the script; the oracle is asked after each pass and restart. Says how many passes it had.
pub(crate) fn compaction(data: &[u8]) -> usize {
    let mut scene = Scene::new();
    for step in data.chunks_exact(2).take(STEPS_MAX) {
        scene.step(step[0], step[1]);
    }
    scene.compact(0xff);
    scene.passes
}
