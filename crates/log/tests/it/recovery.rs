//! What opening a log reads, makes anew and syncs: in proportion to what lies above the recovery
//! point (L5, L8).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ottla_env::memory::{MemoryDisk, Survival};
use ottla_env::{Disk, OpenMode, Rng, SeededRng};
use ottla_log::{Committer, LoadReport, LogConfig, OpenOptions, PartitionLog, ReadRequest, SyncOn};
use ottla_partition::{AppendContext, ProducerRules};
use ottla_protocol::{LeaderEpoch, Millis, Offset, ProducerEpoch, ProducerId};
use ottla_records::{Batch, EndTransactionMarker, end_transaction_batch};

use crate::support::*;

/// What was done to a disk: verb and path.
type Done = Arc<Mutex<Vec<(&'static str, PathBuf)>>>;

fn watch(disk: &MemoryDisk) -> Done {
    let done = Done::default();
    let seen = Arc::clone(&done);
    disk.set_fault(Some(Box::new(move |verb, path| {
        seen.lock().unwrap().push((verb, path.to_owned()));
        None
    })));
    done
}

fn paths(done: &Done, verb: &str, extension: &str) -> BTreeSet<String> {
    let done = done.lock().unwrap();
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    done.iter()
        .filter(|(v, p)| *v == verb && p.extension().is_some_and(|e| e == extension))
        .map(|(_, path)| name(path))
        .collect()
}

fn options(clean: bool, recovery_point: i64) -> OpenOptions {
    OpenOptions {
        clean,
        recovery_point: Offset(recovery_point),
        ..OpenOptions::new(Some(TOPIC_ID), small(), NOW)
    }
}

fn reopen(disk: &MemoryDisk, options: OpenOptions) -> (PartitionLog, LoadReport) {
    PartitionLog::open(&log_dir(disk, Path::new("/d")), &tp(), options).unwrap()
}

/// 200 batches of one record in segments of some fifteen, all durable; at offset 150 the log was
/// closed and opened again, as a checkpoint of producers.
fn filled() -> (MemoryDisk, Vec<Bytes>) {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let (mut log, _) = open(&dir, small());
    for i in 0..200 {
        let epoch = LeaderEpoch(i / 90);
        log.append(idempotent(7, 0, i, 1, false), epoch, NOW, &AppendContext::CLIENT).unwrap();
        log.flush_now().unwrap();
    }
    let all = read_all(&log, Offset::ZERO, 1000);
    (disk, all)
}

fn logs(disk: &MemoryDisk) -> Vec<PathBuf> {
    let files = disk.files().into_keys();
    files.filter(|p| p.extension().is_some_and(|e| e == "log")).collect()
}

#[test]
fn a_clean_start_opens_the_last_segment_only() {
    let (disk, all) = filled();
    reopen(&disk, options(false, 0)).0.close().unwrap();
    let last = logs(&disk).pop().unwrap();
    let done = watch(&disk);
    let (log, report) = reopen(&disk, options(true, 200));
    let opened: Vec<_> = paths(&done, "open", "log").into_iter().collect();
    assert_eq!(opened, [last.file_name().unwrap().to_str().unwrap()]);
    assert!(paths(&done, "open", "index").len() == 1, "closed segments' indexes are not looked at");
    assert_eq!(report, LoadReport::default());
    assert_eq!(read_all(&log, Offset::ZERO, 1000), all);
}

#[test]
fn after_an_unclean_stop_only_what_lies_above_the_recovery_point_is_read() {
    let (disk, all) = filled();
    let bases: Vec<i64> = logs(&disk)
        .iter()
        .map(|p| p.file_stem().unwrap().to_str().unwrap().parse().unwrap())
        .collect();
    assert!(bases.len() > 8);
    for recovery_point in [200, 190, 150, 100, 10] {
        let (disk, _) = filled();
        let done = watch(&disk);
        let (log, report) = reopen(&disk, options(false, recovery_point));
        let floor = bases.partition_point(|b| *b <= recovery_point) - 1;
        assert_eq!(report.recovered_segments, bases.len() - floor, "{recovery_point}");
        let opened = paths(&done, "open", "log");
        let expected: BTreeSet<_> =
            bases[floor..].iter().map(|base| format!("{base:020}.log")).collect();
        assert_eq!(opened, expected, "{recovery_point}");
        disk.set_fault(None);
        assert_eq!(read_all(&log, Offset::ZERO, 1000), all);
        let entry = log.producers().get(ProducerId(7)).unwrap();
        assert_eq!(entry.last_sequence(), 199);
        let epochs: Vec<_> =
            log.epochs().entries().iter().map(|e| (e.epoch.0, e.start_offset.0)).collect();
        assert_eq!(epochs, [(0, 0), (1, 90), (2, 180)]);
    }
}

#[test]
fn within_a_segment_reading_begins_at_an_index_entry() {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let config = LogConfig { segment_bytes: 1 << 30, ..small() };
    let (mut log, _) = open(&dir, config.clone());
    for i in 0..3000_i64 {
        if i == 2500 {
            // A snapshot of the producers, and entries of the indexes.
            log.close().unwrap();
            let opened = open_clean(&dir, config.clone(), Offset(i), Offset::ZERO);
            log = opened.0;
        }
        let made = batch(&[NOW.0 + i], 100);
        append(&mut log, made);
    }
    log.flush_now().unwrap();
    let all = read_all(&log, Offset::ZERO, 100_000);
    drop((log, dir));
    let log_path = logs(&disk).pop().unwrap();
    // What lies below is not read: nobody notices what became of it before he asks for it.
    let file = disk.open(&log_path, OpenMode::Write).unwrap();
    file.write_at(&[Bytes::from(vec![0xee; 2000])], 5000).unwrap();
    let options = OpenOptions { config: config.clone(), ..options(false, 2600) };
    let (log, report) = reopen(&disk, options);
    assert_eq!((report.recovered_segments, log.log_end()), (1, Offset(3000)));
    let found = read_all(&log, Offset(1000), 100_000);
    assert_eq!(found, all[1000..]);
    for i in (1000..3000).step_by(97) {
        assert_eq!(list_offset(&log, NOW.0 + i).unwrap().offset, Offset(i));
    }
    let request =
        ReadRequest { from: Offset(40), up_to: Offset(3000), max_bytes: 1, at_least_one: true };
    assert!(fetch(&log, &request).is_err(), "and then it is told");
}

#[test]
fn producers_are_kept_with_recovery_points() {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let config = LogConfig { segment_bytes: 100 << 20, ..LogConfig::default() };
    let (mut log, _) = open(&dir, config.clone());
    let names = |disk: &MemoryDisk| -> Vec<String> {
        let files = disk.files().into_keys();
        let names = files.filter_map(|p| Some(p.file_name()?.to_str()?.to_owned()));
        names.filter(|name| name.ends_with(".snapshot")).collect()
    };
    let write = |log: &mut PartitionLog, count: i32| {
        for _ in 0..count {
            let sequence = log.log_end().0 as i32;
            let options = ottla_records::BatchOptions {
                producer_id: ProducerId(3),
                producer_epoch: ProducerEpoch(0),
                base_sequence: sequence,
                ..ottla_records::BatchOptions::default()
            };
            append(log, batch_with(options, &[NOW.0 + i64::from(sequence)], 1 << 20));
        }
        log.flush_now().unwrap();
    };
    write(&mut log, 30);
    assert!(!log.keep_producers(), "little was appended");
    write(&mut log, 10);
    assert!(log.keep_producers());
    log.flush_now().unwrap();
    assert_eq!(names(&disk), ["00000000000000000040.snapshot"]);
    assert!(!log.keep_producers());
    write(&mut log, 40);
    assert!(log.keep_producers());
    write(&mut log, 1);
    assert_eq!(names(&disk), ["00000000000000000080.snapshot"], "the old one is gone");
    // A start begins behind it.
    drop((log, dir));
    let path = logs(&disk).pop().unwrap();
    let file = disk.open(&path, OpenMode::Write).unwrap();
    file.write_at(&[Bytes::from(vec![0xee; 5000])], 30 << 20).unwrap();
    let options = OpenOptions { config: config.clone(), ..options(false, 81) };
    let (mut log, _) = reopen(&disk, options);
    assert_eq!(log.log_end(), Offset(81));
    assert_eq!(log.producers().get(ProducerId(3)).unwrap().last_sequence(), 80);
    // The next segment has its own.
    write(&mut log, 40);
    assert!(log.segment_count() == 2 && names(&disk).len() <= 2, "{:?}", names(&disk));
}

/// The entries of an index, as pairs.
fn entries(content: &[u8]) -> Vec<(u32, u32)> {
    let number = |b: &[u8]| u32::from_be_bytes(b.try_into().unwrap());
    content.chunks_exact(8).map(|e| (number(&e[..4]), number(&e[4..]))).collect()
}

#[test]
fn an_index_is_checked_and_made_anew_when_it_is_first_used() {
    let (disk, all) = filled();
    reopen(&disk, options(false, 0)).0.close().unwrap();
    let files = disk.files();
    let index = logs(&disk)[2].with_extension("index");
    let time_index = logs(&disk)[2].with_extension("timeindex");
    let good = files[&index].clone();
    assert!(entries(&good).len() > 3, "{}", good.len());
    let padded = |content: &[u8]| [content, &[0; 10 << 10]].concat();
    let mut swapped = good.clone();
    swapped[..16].rotate_left(8);
    let mut lies = good.clone();
    lies[15] ^= 3;
    for (what, path, content) in [
        ("zeros at the end", &index, Some(padded(&good))),
        ("zeros at the end", &time_index, Some(padded(&files[&time_index]))),
        ("out of order", &index, Some(swapped)),
        ("torn", &index, Some(good[..good.len() - 3].to_vec())),
        ("an entry too much", &index, Some([&good[..], &[0, 0, 9, 9, 0, 0x7f, 0, 0]].concat())),
        ("an entry that lies", &index, Some(lies)),
        ("all zeros", &index, Some(vec![0; good.len()])),
        ("missing", &index, None),
        ("missing", &time_index, None),
    ] {
        match content {
            Some(content) => {
                let file = disk.open(path, OpenMode::CreateEmpty).unwrap();
                file.write_at(&[Bytes::from(content)], 0).unwrap();
            }
            None => disk.remove_file(path).unwrap(),
        }
        let (log, report) = reopen(&disk, options(true, 200));
        assert_eq!(report, LoadReport::default(), "{what}: nothing was read again");
        for from in 0..200 {
            let found = read_all(&log, Offset(from), 100_000);
            assert_eq!(found, all[from as usize..], "{what}");
        }
        assert_eq!(list_offset(&log, NOW.0).unwrap().offset, Offset(0));
        log.close().unwrap();
        let after = disk.files();
        let made = entries(&after[&index]);
        assert!(made.is_sorted() && made.first().is_none_or(|e| e.1 > 0), "{what}: {made:?}");
        assert!(after[&index].len() <= good.len() && after[&index].len() % 8 == 0, "{what}");
        assert!(!after[&time_index].is_empty(), "{what}");
        for (path, content) in [(&index, &good), (&time_index, &files[&time_index])] {
            let file = disk.open(path, OpenMode::CreateEmpty).unwrap();
            file.write_at(&[Bytes::from(content.clone())], 0).unwrap();
        }
    }
}

#[test]
fn lost_epochs_are_taken_from_the_batches() {
    for clean in [true, false] {
        for content in [None, Some(&b""[..]), Some(b"0\n3\n0 0\n"), Some(b"\xff\xfe")] {
            let (disk, _) = filled();
            if clean {
                reopen(&disk, options(false, 0)).0.close().unwrap();
            }
            let path = Path::new("/d/t-0/leader-epoch-checkpoint");
            disk.remove_file(path).unwrap();
            if let Some(content) = content {
                let file = disk.open(path, OpenMode::CreateEmpty).unwrap();
                file.write_at(&[Bytes::from_static(content)], 0).unwrap();
            }
            let (log, _) = reopen(&disk, options(clean, 200));
            let epochs: Vec<_> =
                log.epochs().entries().iter().map(|e| (e.epoch.0, e.start_offset.0)).collect();
            if content == Some(b"") {
                // Kafka's own way to say that there are none.
                continue;
            }
            assert_eq!(epochs, [(0, 0), (1, 90), (2, 180)], "{clean} {content:?}");
        }
    }
}

#[test]
fn producers_are_as_if_all_batches_were_read() {
    let (disk, _) = filled();
    let snapshots: Vec<_> = disk
        .files()
        .into_keys()
        .filter(|p| p.extension().is_some_and(|e| e == "snapshot"))
        .collect();
    assert!(snapshots.len() > 5);
    for clean in [true, false] {
        for damage in 0..3 {
            let (disk, _) = filled();
            if clean {
                reopen(&disk, options(false, 0)).0.close().unwrap();
            }
            let found = disk.files().into_keys();
            for (i, path) in
                found.filter(|p| p.extension().is_some_and(|e| e == "snapshot")).enumerate()
            {
                match damage {
                    0 => disk.remove_file(&path).unwrap(),
                    1 if i % 2 == 0 => disk.remove_file(&path).unwrap(),
                    _ => {
                        let file = disk.open(&path, OpenMode::Write).unwrap();
                        file.write_at(&[Bytes::from_static(&[9])], 12).unwrap();
                    }
                }
            }
            let (log, _) = reopen(&disk, options(clean, 200));
            let entry = log.producers().get(ProducerId(7)).unwrap();
            let offsets: Vec<_> = entry.batches().iter().map(|b| b.last_offset.0).collect();
            assert_eq!(offsets, [195, 196, 197, 198, 199], "{clean} {damage}");
        }
    }
    // A snapshot beyond the end, or one of a producer that has been idle for too long.
    let beyond = disk.open(Path::new("/d/t-0/00000000000000000999.snapshot"), OpenMode::Create);
    beyond.unwrap().write_at(&[Bytes::from_static(b"junk")], 0).unwrap();
    reopen(&disk, options(false, 200)).0.close().unwrap();
    assert!(!disk.files().keys().any(|p| p.ends_with("00000000000000000999.snapshot")));
    let rules = ProducerRules { expiration: Millis(1000), ..ProducerRules::default() };
    let late =
        OpenOptions { producer_rules: rules, now: Millis(NOW.0 + 5000), ..options(true, 200) };
    assert!(reopen(&disk, late).0.producers().is_empty());
}

fn abort(log: &mut PartitionLog, producer: i64) {
    let value = EndTransactionMarker { coordinator_epoch: 1 };
    let (id, epoch) = (ProducerId(producer), ProducerEpoch(0));
    let made = end_transaction_batch(NOW, id, epoch, false, value, LeaderEpoch(0)).unwrap();
    log.append(made.as_slice().into(), LeaderEpoch(0), NOW, &AppendContext::COORDINATOR).unwrap();
}

#[test]
fn aborted_transactions_are_known_whatever_became_of_their_index() {
    let filled = || {
        let disk = MemoryDisk::new();
        let (mut log, _) = open(&log_dir(&disk, Path::new("/d")), small());
        for i in 0..40 {
            let mut made = idempotent(i % 2, 0, (i / 2) as i32, 1, true);
            ottla_records::set_base_offset_and_epoch(&mut made, log.log_end(), LeaderEpoch(0));
            log.append_as_replica(&made.freeze(), NOW).unwrap();
            abort(&mut log, i % 2);
            log.flush_now().unwrap();
        }
        let found = log.view().aborted_transactions(Offset(0), Offset(1000)).unwrap();
        assert_eq!(found.len(), 40);
        (disk, log, found)
    };
    for clean in [true, false] {
        for recovery_point in [0, 30, 80] {
            let (disk, log, expected) = filled();
            let indexes: Vec<_> = disk
                .files()
                .into_keys()
                .filter(|p| p.extension().is_some_and(|e| e == "txnindex"))
                .collect();
            assert!(indexes.len() > 3);
            if clean {
                log.close().unwrap();
            } else {
                drop(log);
            }
            // Torn, entries that say nothing or something else, entries lost.
            for (i, path) in indexes.iter().enumerate() {
                let file = disk.open(path, OpenMode::Write).unwrap();
                match i % 4 {
                    0 => file.set_len(file.len().unwrap() - 5).unwrap(),
                    1 => file.set_len(file.len().unwrap() - 34).unwrap(),
                    2 => file.write_at(&[Bytes::from(vec![0; 34])], 0).unwrap(),
                    _ => file.write_at(&[Bytes::from_static(&[7])], 0).unwrap(),
                }
            }
            let point = if clean { 80 } else { recovery_point };
            let (log, _) = reopen(&disk, options(clean, point));
            let found = log.view().aborted_transactions(Offset(0), Offset(1000)).unwrap();
            if clean || recovery_point == 0 {
                assert_eq!(found, expected, "clean {clean}, from {recovery_point}");
            }
            let late = log.view().aborted_transactions(Offset(60), Offset(1000)).unwrap();
            let late_expected: Vec<_> =
                expected.iter().copied().filter(|e| e.last_offset >= Offset(60)).collect();
            if recovery_point <= 30 || clean {
                assert_eq!(late, late_expected, "clean {clean}, from {recovery_point}");
            }
        }
    }
}

#[test]
fn what_is_accepted_is_synced_now_or_by_the_host() {
    let (disk, all) = filled();
    let image = disk.files();
    let unsynced = || {
        let disk = MemoryDisk::new();
        disk.create_dir(Path::new("/d/t-0")).unwrap();
        for (path, content) in &image {
            let file = disk.open(path, OpenMode::Create).unwrap();
            file.write_at(&[Bytes::from(content.clone())], 0).unwrap();
            if path.ends_with("partition.metadata") || path.ends_with("leader-epoch-checkpoint") {
                file.sync_data().unwrap();
            }
        }
        for dir in ["/", "/d", "/d/t-0"] {
            disk.sync_dir(Path::new(dir)).unwrap();
        }
        disk
    };
    let disk = unsynced();
    let (log, _) = reopen(&disk, options(false, 0));
    drop(log);
    disk.crash(|_| Survival::Nothing);
    let (log, _) = reopen(&disk, options(false, 0));
    assert_eq!(read_all(&log, Offset::ZERO, 1000), all);
    drop(log);
    // The host syncs: one sync for all logs, and none for each.
    let disk = unsynced();
    let dir = log_dir(&disk, Path::new("/d"));
    let done = watch(&disk);
    let later = OpenOptions { sync: SyncOn::Later, ..options(false, 0) };
    let (log, _) = PartitionLog::open(&dir, &tp(), later).unwrap();
    let syncs = done.lock().unwrap().iter().filter(|(verb, _)| *verb == "sync").count();
    assert_eq!(syncs, 0);
    disk.sync_volume(Path::new("/d")).unwrap();
    drop((log, dir));
    disk.crash(|_| Survival::Nothing);
    let (log, _) = reopen(&disk, options(false, 0));
    assert_eq!(read_all(&log, Offset::ZERO, 1000), all);
}

#[test]
fn a_power_cut_in_a_group_with_rolls_leaves_no_hole() {
    let mut rolled = 0;
    for seed in 0..600 {
        let rng = SeededRng::new(seed);
        let disk = MemoryDisk::new();
        let dir = log_dir(&disk, Path::new("/d"));
        let config = LogConfig { segment_bytes: 700, ..small() };
        let config = if seed % 4 == 3 { os(config) } else { config };
        let (log, _) = open(&dir, config.clone());
        let host = Host::new(log);
        let committer = Committer::<Host>::new(&dir, 1);
        let mut durable = Offset(0);
        let mut left = 30 + rng.next_u64() % 150;
        let mut appended = Vec::new();
        disk.set_fault(Some(Box::new(move |_, _| {
            left = left.saturating_sub(1);
            (left == 0).then_some(ottla_env::DiskErrorKind::Io)
        })));
        'life: for _ in 0..10 {
            for _ in 0..1 + rng.next_u64() % 12 {
                let size = (rng.next_u64() % 600) as usize;
                let mut made = batch(&[NOW.0], size);
                let mut log = host.log.lock().unwrap();
                let before = log.segment_count();
                if append(&mut log, made.clone()).needs_commit {
                    committer.enqueue(Arc::clone(&host));
                }
                rolled += log.segment_count() - before;
                let offset = Offset(appended.len() as i64);
                ottla_records::set_base_offset_and_epoch(&mut made, offset, LeaderEpoch(0));
                appended.push(made.freeze());
            }
            if let Some(mut group) = committer.gather() {
                committer.write(&mut group);
                committer.sync(group);
            }
            let log = host.log.lock().unwrap();
            durable = log.durable_end();
            if log.failure().is_some() {
                break 'life;
            }
        }
        drop((host, committer, dir));
        disk.crash(|len| match rng.next_u64() % 4 {
            0 => Survival::Nothing,
            1 => Survival::Prefix((rng.next_u64() % (len as u64 + 1)) as usize),
            2 => Survival::Zeros,
            _ => Survival::All,
        });
        let options = OpenOptions {
            recovery_point: if seed % 2 == 0 { durable } else { Offset::ZERO },
            ..OpenOptions::new(Some(TOPIC_ID), config, NOW)
        };
        let opened = PartitionLog::open(&log_dir(&disk, Path::new("/d")), &tp(), options);
        let (log, report) = opened.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let found = read_all(&log, Offset::ZERO, 1000);
        assert!(appended.starts_with(&found), "seed {seed}: {report:?}");
        assert!(log.log_end() >= durable, "seed {seed}: {report:?}");
        for (i, bytes) in found.iter().enumerate() {
            assert_eq!(Batch::parse(bytes).unwrap().header().base_offset, Offset(i as i64));
        }
    }
    assert!(rolled > 1000, "{rolled}");
}

/// A log in which producer 7 wrote up to sequence 199, then truncated to begin at `at`, by a
/// process that died; the disk keeps of its last changes what `keeps` says.
fn begun_anew(at: i64, keeps: &[&str]) -> MemoryDisk {
    let (disk, _) = filled();
    let (mut log, _) = reopen(&disk, options(false, 0));
    log.shut(SyncOn::Open).unwrap();
    let snapshots: Vec<_> = disk
        .files()
        .into_iter()
        .filter(|(path, _)| path.extension().is_some_and(|e| keeps.contains(&e.to_str().unwrap())))
        .collect();
    drop(log);
    let (mut log, _) = reopen(&disk, options(false, 0));
    log.truncate_fully_and_start_at(Offset(at), NOW).unwrap();
    drop(log);
    for (path, content) in snapshots {
        let file = disk.open(&path, OpenMode::CreateEmpty).unwrap();
        file.write_at(&[Bytes::from(content)], 0).unwrap();
    }
    disk
}

#[test]
fn a_log_that_begins_anew_does_not_know_the_old_ones_producers() {
    let in_order = |disk: &MemoryDisk| {
        let (mut log, _) = reopen(disk, options(false, 0));
        let sent = idempotent(7, 0, 0, 1, false);
        log.append(sent, LeaderEpoch(3), NOW, &AppendContext::CLIENT).map(|a| a.base_offset)
    };
    let disk = begun_anew(300, &[]);
    assert_eq!(in_order(&disk).unwrap(), Offset(300));
    // Snapshots below the new start are still there: what another process left.
    let disk = begun_anew(300, &["snapshot"]);
    assert_eq!(in_order(&disk).unwrap(), Offset(300));
    // The same, and the new segment is not there yet.
    let disk = begun_anew(300, &["snapshot"]);
    for path in logs(&disk) {
        disk.remove_file(&path).unwrap();
    }
    assert_eq!(in_order(&disk).unwrap(), Offset(0));
    let left: Vec<_> = disk.files().into_keys().collect();
    assert!(!left.iter().any(|p| p.extension().is_some_and(|e| e == "snapshot")), "{left:?}");
}

#[test]
fn snapshots_are_gone_for_good_before_a_log_begins_anew() {
    let (disk, _) = filled();
    let (mut log, _) = reopen(&disk, options(false, 0));
    let done = watch(&disk);
    log.truncate_fully_and_start_at(Offset(200), NOW).unwrap();
    let done = done.lock().unwrap();
    let is = |path: &Path, extension: &str| path.extension().is_some_and(|e| e == extension);
    let last = done.iter().rposition(|(verb, path)| *verb == "remove" && is(path, "snapshot"));
    let created = done.iter().rposition(|(verb, path)| *verb == "open" && is(path, "log"));
    let (last, created) = (last.unwrap(), created.unwrap());
    let synced =
        done.iter().skip(last).position(|(v, path)| v.contains("sync") && path.ends_with("t-0"));
    assert!(synced.is_some_and(|at| last + at < created), "{done:?}");
}
