//! A log moves to another log directory: what is copied, what the copy takes over, and a power cut
//! at each operation of the disk, after which one of the two directories has all that was
//! acknowledged.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ottla_env::memory::{MemoryDisk, Survival};
use ottla_env::{Disk, DiskErrorKind, OpenMode, Rng, SeededRng};
use ottla_log::{
    CopyError, DirState, FutureLog, LogConfig, LogDir, LogError, OpenOptions, PartitionLog,
    future_dir,
};
use ottla_partition::AppendContext;
use ottla_protocol::{LeaderEpoch, Offset, Uuid};
use ottla_records::BatchBuilder;

use crate::support::*;

const UNIQUE: Uuid = Uuid([3; 16]);

fn options(config: &LogConfig) -> OpenOptions {
    OpenOptions::new(Some(TOPIC_ID), config.clone(), NOW)
}

fn future(dir: &Arc<LogDir>, config: &LogConfig) -> Result<FutureLog, LogError> {
    FutureLog::open(dir, &tp(), &future_dir(&tp(), UNIQUE).unwrap(), options(config))
}

fn write(log: &mut PartitionLog, count: usize, size: usize) -> Result<Offset, LogError> {
    for _ in 0..count {
        let made = batch(&[NOW.0], size);
        let done = log.append(made, LeaderEpoch(3), NOW, &AppendContext::CLIENT);
        done.map_err(|error| LogError::Offline {
            path: Path::new("/a").to_owned(),
            reason: error.to_string().into(),
        })?;
    }
    log.flush_now()?;
    Ok(log.log_end())
}

/// A log with so many batches, and the log directory that it moves to.
fn written(count: usize, size: usize) -> (MemoryDisk, Arc<LogDir>, PartitionLog) {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&log_dir(&disk, Path::new("/a")), small());
    write(&mut log, count, size).unwrap();
    let b = log_dir(&disk, Path::new("/b"));
    (disk, b, log)
}

fn copy_all(copy: &mut FutureLog, log: &PartitionLog, bytes: usize) -> Result<(), CopyError> {
    while copy.log_end() < log.written_end() {
        copy.copy(&log.view(), log.written_end(), bytes, NOW)?;
    }
    copy.copy(&log.view(), log.written_end(), bytes, NOW).map(|_| ())
}

/// Everything but the last step, with something appended in between that is nowhere written.
fn exchange(
    log: &mut PartitionLog,
    mut copy: FutureLog,
    config: &LogConfig,
) -> Result<PartitionLog, CopyError> {
    log.hold()?;
    copy_all(&mut copy, log, 700)?;
    append(log, batch(&[NOW.0 + 1], 40));
    let mut new = copy.promote()?.open(options(config))?;
    new.take_over(log, NOW)?;
    Ok(new)
}

fn plain(log: &PartitionLog) -> Vec<Bytes> {
    read_all(log, log.log_start(), 4000)
}

#[test]
fn the_copy_is_the_log() {
    let disk = MemoryDisk::new();
    let (a, b) = (log_dir(&disk, Path::new("/a")), log_dir(&disk, Path::new("/b")));
    let config = small();
    let (mut log, _) = open(&a, config.clone());
    log.assign_epoch(LeaderEpoch(3));
    write(&mut log, 30, 200).unwrap();
    // The log begins in the middle of nothing, and some producers are known only from before.
    append(&mut log, idempotent(7, 0, 0, 2, false));
    log.flush_now().unwrap();
    let start = Offset(9);
    log.advance_log_start(start);
    let mut copy = future(&b, &config).unwrap();
    copy_all(&mut copy, &log, 700).unwrap();
    log.advance_log_start(log.log_end());
    write(&mut log, 3, 100).unwrap();
    log.assign_epoch(LeaderEpoch(4));
    let known: Vec<_> = log.producers().entries().map(|e| e.producer_id).collect();
    assert_eq!(known.len(), 1);
    let (view, epochs) = (log.view(), log.epochs().clone());
    let mut new = exchange(&mut log, copy, &config).unwrap();
    // Nothing is given away before the old directory is out of the way.
    assert!(new.take_pending().is_none());
    assert!(log.append(batch(&[1], 1), LeaderEpoch(4), NOW, &AppendContext::CLIENT).is_err());
    let request = ottla_log::ReadRequest {
        from: view.log_start(),
        up_to: Offset(i64::MAX),
        max_bytes: 100,
        at_least_one: true,
    };
    assert!(view.read(&request).unwrap_err().is_replaced());
    a.move_aside(&tp(), Uuid([9; 16]), DirState::Delete).unwrap();
    assert!(new.release());
    new.flush_now().unwrap();
    assert_eq!(new.log_end(), Offset(36));
    assert_eq!(plain(&new).len(), 4);
    assert_eq!(*new.epochs(), epochs);
    assert_eq!(new.producers().entries().map(|e| e.producer_id).collect::<Vec<_>>(), known);
    new.shut(ottla_log::SyncOn::Open).unwrap();
    let (again, report) = open_clean(&b, config, Offset(36), new.log_start());
    assert_eq!(report.truncated_bytes, 0);
    assert_eq!(plain(&again), plain(&new));
    assert_eq!(again.producers().entries().map(|e| e.producer_id).collect::<Vec<_>>(), known);
}

#[test]
fn a_log_that_begins_within_a_batch_is_copied_from_that_batch() {
    let disk = MemoryDisk::new();
    let (a, b) = (log_dir(&disk, Path::new("/a")), log_dir(&disk, Path::new("/b")));
    let (mut log, _) = open(&a, small());
    for _ in 0..10 {
        append(&mut log, batch(&[NOW.0; 5], 30));
    }
    log.flush_now().unwrap();
    log.advance_log_start(Offset(22));
    let mut copy = future(&b, &small()).unwrap();
    copy_all(&mut copy, &log, 1).unwrap();
    let mut new = exchange(&mut log, copy, &small()).unwrap();
    assert_eq!((new.log_start(), new.log_end()), (Offset(22), Offset(51)));
    new.release();
    new.flush_now().unwrap();
    assert_eq!(plain(&new).len(), 7);
}

#[test]
fn an_empty_log_moves_to_where_it_is_empty() {
    let disk = MemoryDisk::new();
    let (a, b) = (log_dir(&disk, Path::new("/a")), log_dir(&disk, Path::new("/b")));
    let (mut log, _) = open(&a, small());
    write(&mut log, 20, 200).unwrap();
    log.truncate_fully_and_start_at(Offset(77), NOW).unwrap();
    let mut copy = future(&b, &small()).unwrap();
    copy_all(&mut copy, &log, 1).unwrap();
    assert_eq!(copy.log_end(), Offset(77));
    let new = exchange(&mut log, copy, &small()).unwrap();
    assert_eq!((new.log_start(), new.log_end()), (Offset(77), Offset(78)));
}

#[test]
fn a_copy_of_what_is_there_no_more_is_known() {
    let disk = MemoryDisk::new();
    let (a, b) = (log_dir(&disk, Path::new("/a")), log_dir(&disk, Path::new("/b")));
    let (mut log, _) = open(&a, small());
    let mut copy = future(&b, &small()).unwrap();
    assert!(copy.is_copy_of(&log.view(), Offset(0)).unwrap());
    write(&mut log, 20, 100).unwrap();
    copy_all(&mut copy, &log, 700).unwrap();
    write(&mut log, 5, 100).unwrap();
    assert!(copy.is_copy_of(&log.view(), log.written_end()).unwrap());
    copy.close().unwrap();
    let copy = future(&b, &small()).unwrap();
    assert_eq!(copy.log_end(), Offset(20));
    assert!(copy.is_copy_of(&log.view(), log.written_end()).unwrap());
    // The log lost its end, and has other batches there now.
    log.truncate_to(Offset(15), NOW).unwrap();
    assert!(!copy.is_copy_of(&log.view(), log.written_end()).unwrap());
    write(&mut log, 10, 90).unwrap();
    assert!(!copy.is_copy_of(&log.view(), log.written_end()).unwrap());
    // Only what is in front of the last batch is another.
    log.truncate_to(Offset(18), NOW).unwrap();
    log.assign_epoch(LeaderEpoch(4));
    for (made, epoch) in [(batch(&[NOW.0 + 7], 100), 4), (batch(&[NOW.0], 100), 4)] {
        log.append(made, LeaderEpoch(epoch), NOW, &AppendContext::CLIENT).unwrap();
    }
    log.flush_now().unwrap();
    assert_eq!(log.log_end(), copy.log_end());
    assert!(!copy.is_copy_of(&log.view(), log.written_end()).unwrap());
    copy.discard().unwrap();
    assert_eq!(b.list().unwrap(), []);
}

#[test]
fn what_compaction_left_out_is_left_out() {
    let disk = MemoryDisk::new();
    let (a, b) = (log_dir(&disk, Path::new("/a")), log_dir(&disk, Path::new("/b")));
    let (mut log, _) = open(&a, small());
    // As a compacted log may be: offsets are missing, also at the end of a segment.
    let at = |base: i64, size: usize| {
        let mut builder = BatchBuilder::new(ottla_records::BatchOptions::default()).unwrap();
        builder.append(NOW, Some(b"k"), Some(&vec![1; size]), &[]).unwrap();
        let mut made = bytes::BytesMut::from(builder.build().unwrap().as_slice());
        ottla_records::set_base_offset_and_epoch(&mut made, Offset(base), LeaderEpoch(0));
        made.freeze()
    };
    for base in [3, 4, 10, 50] {
        log.append_as_replica(&at(base, 900), NOW).unwrap();
    }
    log.flush_now().unwrap();
    let mut copy = future(&b, &small()).unwrap();
    copy_all(&mut copy, &log, 10).unwrap();
    let mut new = exchange(&mut log, copy, &small()).unwrap();
    new.release();
    new.flush_now().unwrap();
    assert_eq!(new.log_end(), Offset(52));
    assert_eq!(plain(&new).len(), 5);
}

#[test]
fn a_log_that_gave_up_is_not_moved() {
    let (_disk, b, mut log) = written(5, 100);
    let mut copy = future(&b, &small()).unwrap();
    copy_all(&mut copy, &log, 700).unwrap();
    log.hold().unwrap();
    let mut new = copy.promote().unwrap().open(options(&small())).unwrap();
    log.retire();
    assert!(new.take_over(&mut log, NOW).is_err());
    assert!(log.hold().is_err());
}

/// One run, which ends at the first failure. `acknowledged` grows as a client would see it.
fn run(disk: &MemoryDisk, acknowledged: &mut Offset) -> Result<(), CopyError> {
    let config = small();
    let a = LogDir::open(Arc::new(disk.clone()), Path::new("/a"), Default::default())?;
    let b = LogDir::open(Arc::new(disk.clone()), Path::new("/b"), Default::default())?;
    let (mut log, _) = PartitionLog::open(&a, &tp(), options(&config))?;
    *acknowledged = write(&mut log, 25, 150)?;
    let mut copy = future(&b, &config)?;
    copy.copy(&log.view(), log.written_end(), 2500, NOW)?;
    *acknowledged = write(&mut log, 3, 150)?;
    copy_all(&mut copy, &log, 2500)?;
    let mut new = exchange(&mut log, copy, &config)?;
    a.move_aside(&tp(), Uuid([9; 16]), DirState::Delete)?;
    new.release();
    new.flush_now()?;
    *acknowledged = new.log_end();
    *acknowledged = write(&mut new, 12, 300)?;
    Ok(())
}

/// What a start makes of it: the longer of the logs that have the partition's name.
fn start(disk: &MemoryDisk) -> Vec<PartitionLog> {
    let mut found = Vec::new();
    for path in ["/a", "/b"] {
        let dir = log_dir(disk, Path::new(path));
        dir.begin_load().unwrap();
        for entry in dir.list().unwrap() {
            assert_eq!(entry.partition, tp());
            if entry.state == DirState::Live {
                found.push(open(&dir, small()).0);
            }
        }
    }
    found
}

#[test]
fn a_power_cut_at_any_moment_leaves_one_that_has_everything() {
    let (mut cuts, mut twice, mut moved) = (0, 0, 0);
    for mode in 0..4_u64 {
        for operations in 0.. {
            let disk = MemoryDisk::new();
            let mut left = operations;
            disk.set_fault(Some(Box::new(move |_, _| {
                if left == 0 {
                    return Some(DiskErrorKind::Io);
                }
                left -= 1;
                None
            })));
            let mut acknowledged = Offset::ZERO;
            let done = run(&disk, &mut acknowledged).is_ok();
            disk.set_fault(None);
            let rng = SeededRng::new(mode * 100_000 + operations);
            disk.crash(|len| match (mode, rng.next_u64() % 4) {
                (0, _) | (2 | 3, 0) => Survival::Nothing,
                (1, _) | (2 | 3, 1) => Survival::All,
                (_, 2) => Survival::Zeros,
                _ => Survival::Prefix((rng.next_u64() % (len as u64 + 1)) as usize),
            });
            let mut found = start(&disk);
            twice += usize::from(found.len() == 2);
            found.sort_by_key(PartitionLog::log_end);
            let end = found.last().map_or(Offset::ZERO, PartitionLog::log_end);
            assert!(end >= acknowledged, "mode {mode}, cut {operations}: {end} < {acknowledged}");
            if let Some(log) = found.last() {
                assert_eq!(plain(log).len() as i64, end.get(), "mode {mode}, cut {operations}");
                moved += usize::from(log.log_dir().path() == Path::new("/b"));
            }
            cuts += 1;
            if done {
                break;
            }
        }
    }
    // It was cut where it matters, too.
    assert!(cuts > 400 && twice > 4 && moved > 40, "{cuts} cuts, {twice} twice, {moved} moved");
}

#[test]
fn what_was_durable_of_another_copy_is_not_said_of_this_one() {
    let (disk, b, mut log) = written(5, 100);
    let mut copy = future(&b, &small()).unwrap();
    copy_all(&mut copy, &log, 700).unwrap();
    assert!(b.write_durable_ends().unwrap());
    copy.close().unwrap();
    b.remove(&future_dir(&tp(), UNIQUE).unwrap()).unwrap();
    // The log lost its end, which was in the page cache alone.
    log.truncate_to(Offset(2), NOW).unwrap();
    let mut copy = future(&b, &small()).unwrap();
    copy_all(&mut copy, &log, 700).unwrap();
    drop(exchange(&mut log, copy, &small()).unwrap());
    drop((log, b));
    // What came then was torn.
    let path = Path::new("/b/t-0/00000000000000000000.log");
    let file = disk.open(path, OpenMode::Write).unwrap();
    file.write_at(&[Bytes::from(vec![0; 300])], file.len().unwrap()).unwrap();
    let b = log_dir(&disk, Path::new("/b"));
    b.begin_load().unwrap();
    let (log, report) = PartitionLog::open(&b, &tp(), options(&small())).unwrap();
    assert_eq!((log.log_end(), report.warnings.len()), (Offset(2), 1));
}

#[test]
fn what_a_crash_leaves_of_a_copy_that_was_being_removed_is_none() {
    let (disk, b, log) = written(40, 300);
    let name = future_dir(&tp(), UNIQUE).unwrap();
    let mut copy = future(&b, &small()).unwrap();
    copy_all(&mut copy, &log, 700).unwrap();
    assert!(copy.is_copy_of(&log.view(), log.written_end()).unwrap());
    copy.close().unwrap();
    // Without its first segment, or one in the middle, it would not be one.
    let folder = Path::new("/b").join(&name);
    let mut segments: Vec<_> = disk
        .list(&folder)
        .unwrap()
        .into_iter()
        .filter(|entry| entry.name.ends_with(".log"))
        .map(|entry| folder.join(entry.name))
        .collect();
    segments.sort();
    assert!(segments.len() > 3);
    for missing in [&segments[0], &segments[1], &segments[2]] {
        let kept = disk.files()[missing].clone();
        disk.remove_file(missing).unwrap();
        let is_copy = future(&b, &small())
            .map(|copy| copy.is_copy_of(&log.view(), log.written_end()).unwrap_or_default());
        assert!(!is_copy.unwrap_or_default(), "{}", missing.display());
        disk.write_atomically(missing, kept.into()).unwrap();
    }
    // And it has another name before anything of it is gone.
    disk.set_fault(Some(Box::new(|verb, _| (verb == "remove").then_some(DiskErrorKind::Io))));
    assert!(b.remove(&name).is_err());
    disk.crash(|_| Survival::Nothing);
    let b = log_dir(&disk, Path::new("/b"));
    let left: Vec<DirState> = b.list().unwrap().into_iter().map(|entry| entry.state).collect();
    assert_eq!(left, [DirState::Delete]);
}
