//! Retention: which segments go, as Apache Kafka chooses them, and that a power cut in the middle
//! of it leaves a log without a hole.

use std::path::Path;
use std::sync::Arc;

use ottla_env::memory::{MemoryDisk, Survival};
use ottla_env::{Disk, Rng, SeededRng};
use ottla_log::{
    Committer, LogConfig, LogDir, OffsetCheckpoint, Offsets, PartitionLog, ReadError, ReadRequest,
    RetentionPlan, RetentionRules,
};
use ottla_protocol::{Millis, Offset};

use crate::support::*;

const DAY: i64 = 86_400_000;
const FOREVER: RetentionRules =
    RetentionRules { delete: true, retention_ms: None, retention_bytes: None };

fn by_time(ms: i64) -> RetentionRules {
    RetentionRules { retention_ms: Some(Millis(ms)), ..FOREVER }
}

fn by_size(bytes: u64) -> RetentionRules {
    RetentionRules { retention_bytes: Some(bytes), ..FOREVER }
}

/// Ten batches to a segment, one a day, 50 in all; all committed.
fn fifty_days() -> (MemoryDisk, Arc<LogDir>, PartitionLog) {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let (mut log, _) = open(&dir, LogConfig { segment_ms: Millis(1000 * DAY), ..small() });
    for i in 0..50 {
        append(&mut log, batch(&[NOW.0 + i * DAY], 127));
    }
    log.flush_now().unwrap();
    assert_eq!(log.segment_count(), 5);
    assert_eq!(log.size_bytes(), 10_000);
    (disk, dir, log)
}

fn plan(log: &PartitionLog, rules: &RetentionRules, now: i64) -> Option<RetentionPlan> {
    log.retention().plan(rules, log.log_end(), Millis(now)).unwrap()
}

fn start(log: &PartitionLog, rules: &RetentionRules, now: i64) -> Option<i64> {
    plan(log, rules, now).map(|plan| plan.log_start.0)
}

#[test]
fn by_time_a_segment_is_as_old_as_its_newest_record() {
    let (_disk, _dir, log) = fifty_days();
    let rules = by_time(7 * DAY);
    // The newest of the first segment is of day 9.
    assert_eq!(start(&log, &rules, NOW.0 + 16 * DAY), None);
    assert_eq!(start(&log, &rules, NOW.0 + 16 * DAY + 1), Some(10));
    assert_eq!(start(&log, &rules, NOW.0 + 40 * DAY), Some(30));
    assert_eq!(start(&log, &FOREVER, NOW.0 + 1000 * DAY), None);
    let compacted = RetentionRules { delete: false, ..rules };
    assert_eq!(start(&log, &compacted, NOW.0 + 1000 * DAY), None);
}

#[test]
fn by_size_a_segment_goes_when_the_others_are_enough() {
    let (_disk, _dir, log) = fifty_days();
    for (limit, expected) in [
        (10_000, None),
        (8_001, None),
        (8_000, Some(10)),
        (7_999, Some(10)),
        (2_000, Some(40)),
        (0, Some(50)),
    ] {
        assert_eq!(start(&log, &by_size(limit), NOW.0), expected, "{limit}");
    }
}

#[test]
fn by_size_only_what_is_committed_counts() {
    let (_disk, dir, log) = fifty_days();
    let host = Host::new(log);
    for i in 50..70 {
        append(&mut host.log.lock().unwrap(), batch(&[NOW.0 + i * DAY], 127));
    }
    let first = |limit| {
        let log = host.log.lock().unwrap();
        let plan = log.retention().plan(&by_size(limit), log.durable_end(), NOW).unwrap();
        plan.map(|plan| plan.log_start.0)
    };
    // 14,000 bytes in all, of which a crash may take 4,000.
    assert_eq!((first(8_001), first(8_000)), (None, Some(10)));
    let committer = Committer::new(&dir, 1);
    committer.enqueue(Arc::clone(&host));
    let mut group = committer.gather().unwrap();
    // What comes meanwhile counts with the next group.
    append(&mut host.log.lock().unwrap(), batch(&[NOW.0 + 70 * DAY], 127));
    committer.write(&mut group);
    assert_eq!(first(8_000), Some(10), "written is not committed");
    committer.sync(group);
    assert_eq!((first(12_001), first(12_000)), (None, Some(10)));
}

#[test]
fn nothing_goes_at_or_beyond_what_is_committed() {
    let (_disk, _dir, log) = fifty_days();
    let late = Millis(NOW.0 + 1000 * DAY);
    for (up_to, expected) in [(9, None), (10, Some(10)), (49, Some(40)), (50, Some(50))] {
        let plan = log.retention().plan(&by_time(0), Offset(up_to), late).unwrap();
        assert_eq!(plan.map(|plan| plan.log_start.0), expected, "{up_to}");
    }
}

#[test]
fn the_last_segment_is_closed_when_it_goes_too() {
    let (disk, dir, mut log) = fifty_days();
    let late = NOW.0 + 1000 * DAY;
    let plan = plan(&log, &by_time(DAY), late).unwrap();
    assert!(log.retain(&plan, Offset(50), Millis(late)));
    assert_eq!((log.log_start(), log.log_end(), log.segment_count()), (Offset(50), Offset(50), 6));
    log.flush_now().unwrap();
    assert!(log.delete_old_segments(Offset(50)));
    log.flush_now().unwrap();
    assert_eq!((log.segment_count(), log.size_bytes()), (1, 0));
    assert_eq!(start(&log, &by_time(DAY), late), None, "an empty one stays");
    assert_eq!(append(&mut log, batch(&[late], 10)).base_offset, Offset(50));
    let end = log.close().unwrap();
    assert_eq!(dir.remove_buried(Millis(0), true).unwrap(), 5 * 3 + 4);
    let left = names(&disk);
    assert!(left.iter().all(|name| !name.contains("deleted")), "{left:?}");
    let (log, _) = open_clean(&dir, small(), end, Offset(50));
    assert_eq!((log.log_start(), log.log_end()), (Offset(50), Offset(51)));
}

fn names(disk: &MemoryDisk) -> Vec<String> {
    let entries = disk.list(Path::new("/d/t-0")).unwrap();
    entries.into_iter().map(|entry| entry.name).collect()
}

#[test]
fn a_plan_that_is_out_of_date_does_no_harm() {
    let (_disk, _dir, mut log) = fifty_days();
    let late = Millis(NOW.0 + 1000 * DAY);
    let plan = plan(&log, &by_time(DAY), late.0).unwrap();
    // Someone appended: the last segment stays.
    append(&mut log, batch(&[late.0], 10));
    assert!(log.retain(&plan, Offset(50), late));
    assert_eq!((log.log_start(), log.log_end()), (Offset(40), Offset(51)));
    assert!(!log.retain(&plan, Offset(51), late), "never back, never twice");
    let (_disk, _dir, mut log) = fifty_days();
    assert!(!log.retain(&plan, Offset(39), late), "the host knows of less by now");
    assert_eq!(log.log_start(), Offset(0));
}

#[test]
fn what_lies_below_the_start_goes_whatever_the_policy() {
    let (_disk, _dir, mut log) = fifty_days();
    let compacted = RetentionRules { delete: false, ..by_time(0) };
    assert!(log.advance_log_start(Offset(25)));
    assert_eq!(log.old_segments(), 2);
    assert_eq!(start(&log, &compacted, NOW.0), Some(25));
    // What the checkpoint says is less: then only so much goes.
    log.delete_old_segments(Offset(19));
    assert_eq!((log.old_segments(), log.segment_count()), (1, 4));
    log.delete_old_segments(Offset(25));
    assert_eq!((log.old_segments(), log.segment_count()), (0, 3));
    // And then by size, counted from there.
    assert_eq!(start(&log, &by_size(4_000), NOW.0), Some(30));
}

#[test]
fn records_from_the_future_keep_their_segment() {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let (mut log, _) = open(&dir, LogConfig { segment_ms: Millis(1000 * DAY), ..small() });
    for i in 0..50 {
        let time = if i == 15 { NOW.0 + 9 * DAY } else { NOW.0 };
        append(&mut log, batch(&[time], 127));
    }
    log.flush_now().unwrap();
    let found = plan(&log, &by_time(DAY), NOW.0 + 2 * DAY).unwrap();
    assert_eq!(found.log_start, Offset(10));
    assert_eq!(found.from_the_future, Some(Millis(NOW.0 + 9 * DAY)));
}

#[test]
fn without_timestamps_the_files_age_counts_where_it_is_known() {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let (mut log, _) = open(&dir, small());
    for _ in 0..50 {
        append(&mut log, batch(&[-1], 127));
    }
    log.flush_now().unwrap();
    assert_eq!(start(&log, &by_time(0), NOW.0 + 1000 * DAY), None);
}

#[test]
fn an_idle_last_segment_is_closed_after_its_time() {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let config = LogConfig { segment_ms: Millis(1000), segment_jitter_ms: Millis(100), ..small() };
    let (mut log, _) = open(&dir, config);
    assert!(!log.roll_idle(Millis(NOW.0 + DAY)), "there is nothing in it");
    append(&mut log, batch(&[NOW.0 + 50], 10));
    assert!(!log.roll_idle(Millis(NOW.0 + 950)));
    log.flush_now().unwrap();
    assert!(log.roll_idle(Millis(NOW.0 + 951)));
    assert_eq!(log.segment_count(), 2);
    log.flush_now().unwrap();
    assert!(!log.roll_idle(Millis(NOW.0 + DAY)), "once");
    assert_eq!(read_all(&log, Offset(0), 1000).len(), 1);
    log.close().unwrap();
}

#[test]
fn files_wait_for_their_time_and_readers_go_on() {
    let (disk, dir, mut log) = fifty_days();
    let view = log.view();
    let request =
        ReadRequest { from: Offset(0), up_to: Offset(50), max_bytes: 500, at_least_one: true };
    view.read(&request).unwrap();
    assert!(log.advance_log_start(Offset(10)));
    log.delete_old_segments(Offset(10));
    log.flush_now().unwrap();
    let deleted = |disk: &MemoryDisk| names(disk).iter().filter(|n| n.ends_with("deleted")).count();
    assert_eq!(deleted(&disk), 3);
    assert!(matches!(view.read(&request), Err(ReadError::OutOfRange { .. })));
    let next = ReadRequest { from: Offset(10), ..request };
    assert_eq!(view.read(&next).unwrap().next_offset, Offset(12));
    let delay = log.config().file_delete_delay.0;
    assert_eq!(dir.remove_buried(Millis(500), false).unwrap(), 0);
    assert_eq!(dir.remove_buried(Millis(499 + delay), false).unwrap(), 0);
    assert_eq!(dir.remove_buried(Millis(500 + delay), false).unwrap(), 3);
    assert_eq!(deleted(&disk), 0);
    assert_eq!(dir.remove_buried(Millis(500 + delay), true).unwrap(), 0);
}

#[test]
fn large_files_go_piece_by_piece_when_nobody_can_read_them() {
    let (disk, dir, mut log) = fifty_days();
    let view = log.view();
    assert!(log.advance_log_start(Offset(20)));
    log.delete_old_segments(Offset(20));
    log.flush_now().unwrap();
    let delay = log.config().file_delete_delay;
    let lengths = || {
        let entries = disk.list(Path::new("/d/t-0")).unwrap().into_iter();
        let old = entries.filter(|entry| entry.name.ends_with(".log.deleted"));
        old.map(|entry| entry.len).collect::<Vec<_>>()
    };
    let goes_on = &mut || true;
    assert_eq!(dir.remove_buried_in_steps(Millis(0), goes_on).unwrap(), 0);
    assert_eq!(dir.remove_buried_in_steps(delay, goes_on).unwrap(), 0, "somebody has them");
    assert_eq!(lengths(), [2000, 2000]);
    drop(view);
    // It is interrupted after each piece, and goes on where it was.
    let mut seen = Vec::new();
    let mut removed = 0;
    while !lengths().is_empty() {
        removed += dir.remove_buried_in_steps(delay, &mut || false).unwrap();
        seen.push(lengths().iter().sum::<u64>());
    }
    // What is left of the first goes whole when it is no longer than a piece.
    let pieces = [1700, 1400, 1100, 800, 500, 200, 0];
    let first = pieces.iter().map(|left| left + 2000);
    let expected: Vec<u64> = first.chain([2000, 2000]).chain(pieces).collect();
    assert_eq!(seen, expected);
    removed += dir.remove_buried_in_steps(delay, goes_on).unwrap();
    assert_eq!(removed, 3 + 4, "the second has a snapshot of its producers");
    assert!(names(&disk).iter().all(|name| !name.contains("deleted")));
}

#[test]
fn what_somebody_has_for_long_goes_at_once() {
    let (disk, dir, mut log) = fifty_days();
    let view = log.view();
    assert!(log.advance_log_start(Offset(10)));
    log.delete_old_segments(Offset(10));
    log.flush_now().unwrap();
    let late = Millis(log.config().file_delete_delay.0 + 300_000);
    let mut pieces = 0;
    let mut count = || {
        pieces += 1;
        true
    };
    assert_eq!(dir.remove_buried_in_steps(Millis(0), &mut count).unwrap(), 0);
    assert_eq!(dir.remove_buried_in_steps(Millis(late.0 - 1), &mut count).unwrap(), 0);
    assert_eq!(dir.remove_buried_in_steps(late, &mut count).unwrap(), 3);
    assert_eq!(pieces, 3, "no file was cut");
    assert!(names(&disk).iter().all(|name| !name.contains("deleted")));
    drop(view);
}

#[test]
fn without_space_closed_segments_go_all_the_same() {
    let (_disk, _dir, mut log) = fifty_days();
    log.roll_back().unwrap();
    assert!(log.is_halted());
    let late = Millis(NOW.0 + 1000 * DAY);
    let plan = plan(&log, &by_time(DAY), late.0).unwrap();
    assert!(log.retain(&plan, Offset(50), late));
    assert_eq!((log.log_start(), log.log_end(), log.segment_count()), (Offset(40), Offset(50), 5));
    log.delete_old_segments(Offset(40));
    log.flush_now().unwrap();
    assert_eq!(log.segment_count(), 1);
    log.resume(NOW).unwrap();
    assert_eq!(append(&mut log, batch(&[late.0], 10)).base_offset, Offset(50));
    assert_eq!(read_all(&log, Offset(40), 1000).len(), 11);
}

#[test]
fn timestamps_are_looked_up_from_the_start_on_before_anything_has_gone() {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let (mut log, _) = open(&dir, LogConfig { segment_ms: Millis(1000 * DAY), ..small() });
    for i in 0..30 {
        // The largest times come first, and in the middle of the second segment.
        let time = if i < 10 || i == 12 { NOW.0 + DAY } else { NOW.0 + i };
        append(&mut log, batch(&[time], 127));
    }
    log.flush_now().unwrap();
    assert_eq!(log.segment_count(), 3);
    assert!(log.advance_log_start(Offset(10)));
    let offset = |log: &PartitionLog, time: i64| list_offset(log, time).map(|found| found.offset.0);
    assert_eq!(offset(&log, NOW.0 + 15), Some(12));
    assert_eq!(offset(&log, ottla_log::timestamps::MAX), Some(12));
    assert!(log.advance_log_start(Offset(14)));
    assert_eq!(offset(&log, NOW.0 + 5), Some(14));
    assert_eq!(offset(&log, NOW.0 + 25), Some(25));
    assert_eq!(offset(&log, NOW.0 + 30), None);
}

/// Appends, retains, writes the checkpoint, lets go, removes, until the power is cut.
fn live(disk: &MemoryDisk, operations: u64, rng: &SeededRng) -> Option<()> {
    let dir = LogDir::open(Arc::new(disk.clone()), Path::new("/d"), Default::default()).ok()?;
    let starts = dir.begin_load().ok()?.log_start;
    let known = starts.get(&tp()).copied().unwrap_or_default();
    let options = ottla_log::OpenOptions {
        log_start: known,
        ..ottla_log::OpenOptions::new(Some(TOPIC_ID), small(), NOW)
    };
    let (log, _) = PartitionLog::open(&dir, &tp(), options).ok()?;
    let mut left = operations;
    disk.set_fault(Some(Box::new(move |_, _| {
        left = left.checked_sub(1)?;
        (left == 0).then_some(ottla_env::DiskErrorKind::Io)
    })));
    let host = Host::new(log);
    let committer = Committer::<Host>::new(&dir, 1);
    let commit = |needed: bool| {
        if needed {
            committer.enqueue(Arc::clone(&host));
        }
        let mut group = committer.gather()?;
        committer.write(&mut group);
        committer.sync(group);
        Some(())
    };
    for round in 0..30 {
        for i in 0..rng.next_u64() % 20 {
            let time = NOW.0 + round * DAY + i.cast_signed();
            let needed = host.log.lock().unwrap().append(
                batch(&[time], 127),
                ottla_protocol::LeaderEpoch(i32::try_from(round / 7).unwrap()),
                NOW,
                &ottla_partition::AppendContext::CLIENT,
            );
            commit(needed.ok()?.needs_commit);
        }
        let rules = by_time(DAY * (rng.next_u64() % 5).cast_signed());
        let start = {
            let mut log = host.log.lock().unwrap();
            let now = Millis(NOW.0 + round * DAY);
            let durable = log.durable_end();
            let Ok(Some(plan)) = log.retention().plan(&rules, durable, now) else { continue };
            log.retain(&plan, durable, now);
            log.log_start()
        };
        let starts: Offsets = [(tp(), start)].into();
        dir.write_offsets(OffsetCheckpoint::LogStart, &starts).ok()?;
        let needed = host.log.lock().unwrap().delete_old_segments(start);
        commit(needed);
        if rng.next_u64().is_multiple_of(2) {
            dir.remove_buried(Millis(0), true).ok()?;
        } else {
            let mut few = rng.next_u64() % 8;
            let mut pace = || {
                few = few.saturating_sub(1);
                few > 0
            };
            dir.remove_buried_in_steps(Millis(round * DAY), &mut pace).ok()?;
        }
    }
    None
}

#[test]
fn a_power_cut_leaves_no_hole() {
    let mut begun = 0;
    for seed in 0..300 {
        let rng = SeededRng::new(seed);
        let disk = MemoryDisk::new();
        for _life in 0..2 {
            live(&disk, 1 + rng.next_u64() % 1500, &rng);
            disk.crash(|_| match rng.next_u64() % 3 {
                0 => Survival::Nothing,
                _ => Survival::All,
            });
            let dir = log_dir(&disk, Path::new("/d"));
            let starts = dir.begin_load().unwrap().log_start;
            let start = starts.get(&tp()).copied().unwrap_or_default();
            let options = ottla_log::OpenOptions {
                log_start: start,
                ..ottla_log::OpenOptions::new(Some(TOPIC_ID), small(), NOW)
            };
            let (log, report) = PartitionLog::open(&dir, &tp(), options).unwrap();
            assert_eq!(log.log_start(), start, "seed {seed}: {report:?}");
            let found = offsets(&read_all(&log, start, 700));
            let expected: Vec<_> = (start.0..log.log_end().0).map(|o| (o, o)).collect();
            assert_eq!(found, expected, "seed {seed}: {report:?}");
            begun += usize::from(start.0 > 0);
        }
    }
    assert!(begun > 100, "the cuts come after retention began: {begun}");
}
