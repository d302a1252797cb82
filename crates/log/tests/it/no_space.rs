//! A full disk: what could not be written is taken back, everything that was reported stays, the
//! other partitions go on, and so does this one when there is space.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use ottla_env::memory::{MemoryDisk, Survival};
use ottla_env::{DiskErrorKind, Rng, SeededRng};
use ottla_log::{
    AppendError, CommitEvent, CommitTarget, Committer, LogConfig, LogDir, OpenOptions,
    PartitionLog, Stage, SyncOn, TopicPartition, WriteSet,
};
use ottla_partition::AppendContext;
use ottla_protocol::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use ottla_records::{EndTransactionMarker, end_transaction_batch, set_base_offset_and_epoch};

use crate::support::*;

fn open_part(dir: &Arc<LogDir>, index: i32, config: &LogConfig) -> PartitionLog {
    let options = OpenOptions::new(Some(TOPIC_ID), config.clone(), NOW);
    PartitionLog::open(dir, &TopicPartition::new("t", index), options).unwrap().0
}

fn commit(committer: &Committer<Host>) -> Option<Stage> {
    let mut group = committer.gather()?;
    committer.write(&mut group);
    Some(committer.sync(group))
}

fn append_to(host: &Arc<Host>, committer: &Committer<Host>, size: usize) {
    if append(&mut host.log.lock().unwrap(), batch(&[NOW.0], size)).needs_commit {
        committer.enqueue(Arc::clone(host));
    }
}

#[test]
fn who_has_no_space_goes_back_and_the_others_go_on() {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let hosts: Vec<_> =
        (0..3).map(|i| Host::new(open_part(&dir, i, &LogConfig::default()))).collect();
    let committer = Committer::<Host>::new(&dir, 1);
    for host in &hosts {
        append_to(host, &committer, 100);
    }
    commit(&committer).unwrap();
    let used: usize = disk.files().values().map(Vec::len).sum();
    disk.set_capacity(used as u64 + 1000);
    for (host, size) in hosts.iter().zip([200, 5000, 200]) {
        host.take_events();
        append_to(host, &committer, size);
        append_to(host, &committer, 10);
    }
    assert!(!dir.is_full());
    assert_eq!(commit(&committer), Some(Stage::Durable));
    assert!(dir.is_full() && dir.failure().is_none());
    let no_space = "no space: cannot write /d/t-1/00000000000000000000.log: \
                    no space is left on the device";
    assert_eq!(hosts[0].take_events(), ["written 3", "durable 3"]);
    assert_eq!(hosts[1].take_events(), [no_space]);
    assert_eq!(hosts[2].take_events(), ["written 3", "durable 3"]);
    {
        let mut log = hosts[1].log.lock().unwrap();
        assert!(log.is_halted());
        assert_eq!(
            (log.log_end(), log.written_end(), log.durable_end()),
            (Offset(1), Offset(1), Offset(1))
        );
        assert_eq!(read_all(&log, Offset(0), 1000).len(), 1);
        let refused = log.append(batch(&[NOW.0], 1), LeaderEpoch(0), NOW, &AppendContext::CLIENT);
        assert!(matches!(refused, Err(AppendError::NoSpace { .. })));
        // The files hold no more than that.
        let len = disk.files()[Path::new("/d/t-1/00000000000000000000.log")].len();
        assert_eq!(len as u64, log.size_bytes());
        log.resume(NOW).unwrap();
        assert_eq!(append(&mut log, batch(&[NOW.0], 1)).base_offset, Offset(1));
    }
    committer.enqueue(Arc::clone(&hosts[1]));
    commit(&committer).unwrap();
    assert_eq!(hosts[1].take_events(), ["written 2", "durable 2"]);
}

/// A partition that begins later while it goes back for lack of space.
struct Moving(Mutex<PartitionLog>);

impl CommitTarget for Moving {
    fn take(&self) -> Option<WriteSet> {
        self.0.lock().unwrap().take_pending()
    }

    fn on_commit(&self, event: &CommitEvent) {
        let mut log = self.0.lock().unwrap();
        if !matches!(event, CommitEvent::NoSpace(_)) {
            return log.on_commit(event);
        }
        let rollback = log.begin_rollback();
        assert!(log.begin_resume().is_none(), "while it goes back it does not go on");
        let cut = rollback.run();
        let start = Offset(log.log_start().0 + 1);
        assert!(log.advance_log_start(start));
        log.finish_rollback(cut).unwrap();
    }
}

#[test]
fn what_came_while_a_log_went_back_is_written_and_it_is_heard_again() {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let target = Arc::new(Moving(Mutex::new(open_part(&dir, 0, &LogConfig::default()))));
    let committer = Committer::<Moving>::new(&dir, 1);
    let commit = || {
        let mut group = committer.gather()?;
        committer.write(&mut group);
        Some(committer.sync(group))
    };
    let append_some = |size| {
        let appended = append(&mut target.0.lock().unwrap(), batch(&[NOW.0, NOW.0], size));
        assert!(appended.needs_commit, "it says so when the committer knows nothing of it");
        committer.enqueue(Arc::clone(&target));
    };
    append_some(10);
    assert_eq!(commit(), Some(Stage::Durable));
    disk.set_fault(Some(Box::new(|verb, path| {
        (verb == "write" && path.extension().is_some_and(|e| e == "log"))
            .then_some(DiskErrorKind::NoSpace)
    })));
    append_some(10);
    commit();
    disk.set_fault(None);
    // What it was told meanwhile is done without anything else.
    while commit().is_some() {}
    assert!(dir.take_halted() && !dir.take_halted());
    target.0.lock().unwrap().resume(NOW).unwrap();
    append_some(10);
    assert_eq!(commit(), Some(Stage::Durable));
    let log = target.0.lock().unwrap();
    assert_eq!((log.log_start(), log.durable_end()), (Offset(1), Offset(4)));
}

#[test]
fn a_failed_sync_is_final_whatever_its_reason() {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let host = Host::new(open_part(&dir, 0, &LogConfig::default()));
    let committer = Committer::<Host>::new(&dir, 1);
    append_to(&host, &committer, 10);
    disk.set_fault(Some(Box::new(|verb, _| (verb == "sync").then_some(DiskErrorKind::NoSpace))));
    assert_eq!(commit(&committer), Some(Stage::Failed));
    assert!(dir.failure().is_some());
}

#[test]
fn a_checkpoint_without_space_stays_the_old_one() {
    use ottla_log::{OffsetCheckpoint, Offsets};
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let old: Offsets = [(tp(), Offset(3))].into();
    dir.write_offsets(OffsetCheckpoint::LogStart, &old).unwrap();
    disk.set_capacity(1);
    let new: Offsets = [(tp(), Offset(7))].into();
    assert!(dir.write_offsets(OffsetCheckpoint::LogStart, &new).unwrap_err().is_no_space());
    assert!(dir.is_full() && dir.failure().is_none());
    assert_eq!(dir.read_offsets(OffsetCheckpoint::LogStart).unwrap(), old);
    assert!(disk.files().keys().all(|path| path.extension().is_none_or(|e| e != "tmp")));
    disk.set_capacity(1000);
    dir.write_offsets(OffsetCheckpoint::LogStart, &new).unwrap();
}

#[test]
fn a_log_is_closed_cleanly_without_space() {
    for (config, clean) in [(small(), true), (os(small()), false)] {
        let disk = MemoryDisk::new();
        let dir = log_dir(&disk, Path::new("/d"));
        let host = Host::new(open_part(&dir, 0, &config));
        let committer = Committer::<Host>::new(&dir, 1);
        for sequence in 0..40 {
            let batch = idempotent(7, 0, sequence, 1, false);
            if append(&mut host.log.lock().unwrap(), batch).needs_commit {
                committer.enqueue(Arc::clone(&host));
            }
            commit(&committer).unwrap();
        }
        let used: usize = disk.files().values().map(Vec::len).sum();
        disk.set_capacity(used as u64);
        let closed = host.log.lock().unwrap().shut(SyncOn::Open);
        assert_eq!(closed.is_ok(), clean, "{closed:?}");
        assert!(dir.failure().is_none());
        // The last entry of the time index is missing, and nobody may take it for whole.
        let last = |ending: &str| {
            let mut paths = disk.files().into_keys();
            paths.rfind(|path| path.extension().is_some_and(|e| e == ending)).unwrap()
        };
        assert_eq!(last("index") < last("log").with_extension("index"), clean);
        drop((host, committer, dir));
        disk.crash(|_| Survival::All);
        disk.set_capacity(1 << 40);
        let dir = log_dir(&disk, Path::new("/d"));
        let (log, _) = match clean {
            true => open_clean(&dir, config, Offset(40), Offset(0)),
            false => open(&dir, config),
        };
        assert_eq!((log.log_start(), log.log_end()), (Offset(0), Offset(40)));
        assert_eq!(log.producers().get(ProducerId(7)).unwrap().last_sequence(), 39);
        assert_eq!(read_all(&log, Offset(0), 500).len(), 40);
    }
}

/// From now on writes, and the creation of files, fail.
fn set_full(
    disk: &MemoryDisk,
    known: &Arc<std::sync::Mutex<HashSet<PathBuf>>>,
    left: u64,
) -> Arc<AtomicBool> {
    let full = Arc::new(AtomicBool::new(false));
    let (now_full, known) = (Arc::clone(&full), Arc::clone(known));
    let mut left = left;
    disk.set_fault(Some(Box::new(move |verb, path| {
        let takes_space = match verb {
            "write" => true,
            "open" => known.lock().unwrap().insert(path.to_owned()),
            _ => false,
        };
        if takes_space && left > 0 {
            left -= 1;
            if left == 0 {
                now_full.store(true, Ordering::SeqCst);
            }
        }
        if takes_space && now_full.load(Ordering::SeqCst) {
            if verb == "open" {
                known.lock().unwrap().remove(path);
            }
            return Some(DiskErrorKind::NoSpace);
        }
        None
    })));
    full
}

/// What a log must hold: everything that was reported as written.
struct Model {
    /// Batches, and the offset after each.
    batches: Vec<(i64, Bytes)>,
    written: usize,
    sequences: [i32; 3],
    sequences_written: [i32; 3],
    open: [Option<i64>; 3],
    open_written: [Option<i64>; 3],
}

impl Model {
    fn end(&self) -> i64 {
        self.batches.last().map_or(0, |(end, _)| *end)
    }

    fn accept(&mut self) {
        self.written = self.batches.len();
        self.sequences_written = self.sequences;
        self.open_written = self.open;
    }

    fn refuse(&mut self) {
        self.batches.truncate(self.written);
        self.sequences = self.sequences_written;
        self.open = self.open_written;
    }
}

fn one_batch(rng: &SeededRng, model: &mut Model, time: i64) -> BytesMut {
    let size = (rng.next_u64() % 200) as usize;
    let producer = (rng.next_u64() % 4) as usize;
    let Some(sequence) = model.sequences.get(producer).copied() else {
        return batch(&[time], size);
    };
    let transactional = producer == 2;
    if transactional && model.open[2].is_some() && rng.next_u64().is_multiple_of(2) {
        model.open[2] = None;
        return marker(producer as i64, rng.next_u64().is_multiple_of(2));
    }
    model.sequences[producer] += 1;
    if transactional {
        model.open[2].get_or_insert(model.end());
    }
    idempotent(producer as i64, 0, sequence, 1, transactional)
}

fn check(log: &PartitionLog, model: &Model, what: &str) {
    assert_eq!(log.log_end().0, model.end(), "{what}");
    let found = read_all(log, Offset(0), 700);
    let expected: Vec<_> = model.batches.iter().map(|(_, bytes)| bytes.clone()).collect();
    assert!(found == expected, "{what}: {} of {} batches", found.len(), expected.len());
    for (producer, next) in model.sequences.iter().enumerate() {
        let entry = log.producers().get(ProducerId(producer as i64));
        let last = entry.map_or(-1, |entry| entry.last_sequence());
        assert_eq!(last, next - 1, "{what}: producer {producer}");
    }
    assert_eq!(log.producers().first_undecided_offset().map(|o| o.0), model.open[2], "{what}");
}

/// One life of a log on a disk that fills up at one operation, has space again, and so on.
fn life(seed: u64, left: u64, config: &LogConfig) -> usize {
    let what = format!("seed {seed}, full at {left}");
    let rng = SeededRng::new(seed);
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let known = Arc::default();
    let full = set_full(&disk, &known, 0);
    let host = Host::new(open_part(&dir, 0, config));
    drop(full);
    let full = set_full(&disk, &known, left);
    let committer = Committer::<Host>::new(&dir, 1);
    let mut model = Model {
        batches: Vec::new(),
        written: 0,
        sequences: [0; 3],
        sequences_written: [0; 3],
        open: [None; 3],
        open_written: [None; 3],
    };
    let mut halts = 0;
    for round in 0..40 {
        let epoch = LeaderEpoch(round / 9);
        let mut log = host.log.lock().unwrap();
        for _ in 0..1 + rng.next_u64() % 4 {
            let mut made = one_batch(&rng, &mut model, NOW.0 + i64::from(round));
            set_base_offset_and_epoch(&mut made, Offset(model.end()), epoch);
            let made = made.freeze();
            let appended = log.append_as_replica(&made, NOW).unwrap();
            model.batches.push((appended.last_offset.0 + 1, made));
            if appended.needs_commit {
                committer.enqueue(Arc::clone(&host));
            }
        }
        drop(log);
        commit(&committer).unwrap();
        let mut log = host.log.lock().unwrap();
        assert!(dir.failure().is_none(), "{what}: {:?}", dir.failure());
        if !log.is_halted() {
            model.accept();
            assert_eq!(log.durable_end().0.max(log.written_end().0), model.end(), "{what}");
            continue;
        }
        halts += 1;
        model.refuse();
        assert_eq!(log.log_end().0, model.end(), "{what}");
        assert_eq!(read_all(&log, Offset(0), 700).len(), model.batches.len(), "{what}");
        if rng.next_u64().is_multiple_of(4) {
            // Still no space, perhaps: tried again later.
            let _still_full = log.resume(NOW);
        }
        full.store(false, Ordering::SeqCst);
        log.resume(NOW).unwrap();
        check(&log, &model, &what);
        if halts < 3 {
            drop(log);
            full.store(rng.next_u64().is_multiple_of(2), Ordering::SeqCst);
        }
    }
    full.store(false, Ordering::SeqCst);
    let mut log = host.log.lock().unwrap();
    log.resume(NOW).unwrap();
    check(&log, &model, &what);
    let epoch = log.epochs().latest();
    // It is all there after a stop, and after a power cut.
    if seed.is_multiple_of(2) {
        log.flush_now().unwrap();
        disk.crash(|_| Survival::Nothing);
    } else {
        log.shut(SyncOn::Open).unwrap();
    }
    drop(log);
    drop((host, committer, dir));
    disk.set_fault(None);
    let log = open_part(&log_dir(&disk, Path::new("/d")), 0, config);
    check(&log, &model, &format!("{what}, opened again"));
    assert_eq!(log.epochs().latest(), epoch, "{what}");
    halts
}

#[test]
fn what_was_reported_stays_whenever_the_disk_fills_up() {
    let mut halts = 0;
    for seed in 0..8 {
        let config = if seed % 3 == 2 { os(small()) } else { small() };
        for left in 1..90 {
            halts += life(seed, left, &config);
        }
    }
    assert!(halts > 500, "{halts}");
}

#[test]
fn refused_records_do_not_come_back_after_a_power_cut() {
    for left in 1..40 {
        let disk = MemoryDisk::new();
        let dir = log_dir(&disk, Path::new("/d"));
        let known = Arc::default();
        drop(set_full(&disk, &known, 0));
        let host = Host::new(open_part(&dir, 0, &small()));
        let _full = set_full(&disk, &known, left);
        let committer = Committer::<Host>::new(&dir, 1);
        let mut end = Offset(0);
        loop {
            append_to(&host, &committer, 100);
            commit(&committer).unwrap();
            let log = host.log.lock().unwrap();
            if log.is_halted() {
                assert_eq!(log.log_end(), end);
                break;
            }
            end = log.log_end();
        }
        drop((host, committer, dir));
        disk.crash(|_| Survival::All);
        let log = open_part(&log_dir(&disk, Path::new("/d")), 0, &small());
        assert_eq!(log.log_end(), end, "full at {left}");
    }
}

fn marker(producer: i64, commit: bool) -> BytesMut {
    let marker = EndTransactionMarker { coordinator_epoch: 0 };
    let (id, epoch) = (ProducerId(producer), ProducerEpoch(0));
    let made = end_transaction_batch(NOW, id, epoch, commit, marker, LeaderEpoch(0)).unwrap();
    made.as_slice().into()
}

#[test]
fn what_is_taken_back_goes_for_good_before_what_is_below_is_cut() {
    // A power cut must not leave a later segment behind one that was cut.
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let host = Host::new(open_part(&dir, 0, &small()));
    let committer = Committer::<Host>::new(&dir, 1);
    append_to(&host, &committer, 10);
    commit(&committer).unwrap();
    while host.log.lock().unwrap().segment_count() < 3 {
        append_to(&host, &committer, 200);
    }
    let done = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&done);
    let mut created = 0;
    disk.set_fault(Some(Box::new(move |verb, path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_log = name.ends_with(".log");
        let first = name.starts_with("00000000000000000000.");
        seen.lock().unwrap().push((verb, name));
        created += usize::from(verb == "open" && is_log && !first);
        // The second of the new segments finds no space.
        (verb == "open" && is_log && created == 2).then_some(DiskErrorKind::NoSpace)
    })));
    assert_eq!(commit(&committer), Some(Stage::Durable));
    assert!(host.log.lock().unwrap().is_halted());
    let done = done.lock().unwrap();
    let cut = done.iter().position(|(verb, name)| *verb == "truncate" && name.ends_with(".log"));
    let cut = cut.unwrap();
    let removed = done.iter().take(cut).filter(|(verb, _)| *verb == "remove").count();
    let last = done.iter().take(cut).rposition(|(verb, _)| *verb == "remove").unwrap();
    assert!(removed > 0, "{done:?}");
    let synced = done[last..cut].iter().any(|(verb, name)| *verb == "sync" && name == "t-0");
    assert!(synced, "{done:?}");
}
