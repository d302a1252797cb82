//! Power cuts at any point: what was reported durable survives, and what is found is a prefix of
//! what was appended (L1, L2, L5, L8).

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ottla_env::memory::{MemoryDisk, Survival};
use ottla_env::{Disk, DiskErrorKind, OpenMode, Rng, SeededRng};
use ottla_log::{Committer, LogConfig, LogDir, LogError, OpenOptions, PartitionLog};
use ottla_protocol::{LeaderEpoch, Offset};
use ottla_records::{Batch, set_base_offset_and_epoch};

use crate::support::*;

/// Appends and commits until the power goes, after `operations` of the disk. Returns everything
/// appended, and how far it was reported durable.
fn live(
    disk: &MemoryDisk,
    config: &LogConfig,
    operations: u64,
    rng: &SeededRng,
    known: Vec<Bytes>,
) -> (Vec<Bytes>, Offset) {
    let mut left = operations;
    disk.set_fault(Some(Box::new(move |_, _| {
        if left == 0 {
            return Some(DiskErrorKind::Io);
        }
        left -= 1;
        None
    })));
    let mut appended = known;
    let mut durable = Offset(appended.len() as i64);
    let Ok(dir) = LogDir::open(Arc::new(disk.clone()), Path::new("/d"), Default::default()) else {
        return (appended, durable);
    };
    let options = OpenOptions::new(Some(TOPIC_ID), config.clone(), NOW);
    let Ok((log, _)) = PartitionLog::open(&dir, &tp(), options) else { return (appended, durable) };
    assert_eq!(log.log_end(), Offset(appended.len() as i64));
    let host = Host::new(log);
    let committer = Committer::<Host>::new(&dir, 1);
    for _ in 0..60 {
        for _ in 0..1 + rng.next_u64() % 4 {
            let mut made = batch(&[NOW.0 + appended.len() as i64], (rng.next_u64() % 300) as usize);
            let mut log = host.log.lock().unwrap();
            if append(&mut log, made.clone()).needs_commit {
                committer.enqueue(Arc::clone(&host));
            }
            set_base_offset_and_epoch(&mut made, Offset(appended.len() as i64), LeaderEpoch(0));
            appended.push(made.freeze());
        }
        if let Some(mut group) = committer.gather() {
            committer.write(&mut group);
            committer.sync(group);
        }
        let log = host.log.lock().unwrap();
        durable = log.durable_end();
        if log.failure().is_some() {
            break;
        }
    }
    (appended, durable)
}

fn survivals(rng: &SeededRng) -> impl FnMut(usize) -> Survival {
    move |len| match rng.next_u64() % 4 {
        0 => Survival::Nothing,
        1 => Survival::Prefix((rng.next_u64() % (len as u64 + 1)) as usize),
        2 => Survival::Zeros,
        _ => Survival::All,
    }
}

#[test]
fn a_power_cut_takes_only_what_was_not_durable() {
    let mut cuts = 0;
    for seed in 0..400 {
        let rng = SeededRng::new(seed);
        let config = if seed % 4 == 3 { os(small()) } else { small() };
        let disk = MemoryDisk::new();
        let mut known = Vec::new();
        for life in 0..3 {
            let operations = rng.next_u64() % 700;
            let (appended, durable) = live(&disk, &config, operations, &rng, known);
            cuts += usize::from(appended.len() < 60);
            disk.crash(survivals(&rng));
            let dir = log_dir(&disk, Path::new("/d"));
            let (log, report) = open(&dir, config.clone());
            let found = read_all(&log, Offset::ZERO, 1000);
            assert!(appended.starts_with(&found), "seed {seed}, life {life}: a prefix; {report:?}");
            assert!(
                log.log_end() >= durable,
                "seed {seed}, life {life}: {} of {durable}; {report:?}",
                log.log_end()
            );
            // What was accepted is on stable storage: another cut at once takes nothing of it.
            drop((log, dir));
            disk.crash(|_| Survival::Nothing);
            let (log, report) = open(&log_dir(&disk, Path::new("/d")), config.clone());
            assert_eq!(read_all(&log, Offset::ZERO, 1000), found, "seed {seed}, life {life}");
            assert_eq!(report.truncated_bytes, 0, "seed {seed}, life {life}");
            known = found;
        }
    }
    assert!(cuts > 100, "the cuts come in the middle: {cuts}");
}

/// A log of several segments, stopped cleanly or not.
fn filled(clean: bool) -> (MemoryDisk, Vec<Bytes>) {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let (mut log, _) = open(&dir, small());
    for i in 0..50 {
        append(&mut log, idempotent(3, 0, i, 1, false));
    }
    log.flush_now().unwrap();
    let all = read_all(&log, Offset::ZERO, 1000);
    if clean {
        log.close().unwrap();
    }
    (disk, all)
}

fn reopen(disk: &MemoryDisk, clean: bool) -> PartitionLog {
    let dir = log_dir(disk, Path::new("/d"));
    if clean {
        open_clean(&dir, small(), Offset(50), Offset::ZERO).0
    } else {
        open(&dir, small()).0
    }
}

#[test]
fn derived_files_may_be_lost_or_damaged() {
    for clean in [true, false] {
        let (disk, _) = filled(clean);
        for path in disk.files().into_keys().filter(|p| p.starts_with("/d/t-0")) {
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.ends_with(".log") || name == "partition.metadata" {
                continue;
            }
            for damage in 0..4 {
                let (disk, all) = filled(clean);
                let file = disk.open(&path, OpenMode::Write).unwrap();
                let len = file.len().unwrap();
                match damage {
                    0 => disk.remove_file(&path).unwrap(),
                    1 => file.set_len(len.saturating_sub(1)).unwrap(),
                    2 => file.set_len(len.next_multiple_of(24) + 240).unwrap(),
                    _ => file.write_at(&[Bytes::from(vec![0; len as usize])], 0).unwrap(),
                }
                let log = reopen(&disk, clean);
                assert_eq!(read_all(&log, Offset::ZERO, 500), all, "{name}, damage {damage}");
                for (i, from) in (0..50).enumerate() {
                    assert_eq!(
                        offsets(&read_all(&log, Offset(from), 100))[0],
                        (i as i64, i as i64),
                        "{name}"
                    );
                }
                let entry = log.producers().entries().next().unwrap();
                assert_eq!(entry.last_sequence(), 49, "{name}, damage {damage}");
                assert_eq!(list_offset(&log, NOW.0).unwrap().offset, Offset(0));
            }
        }
    }
}

#[test]
fn a_damaged_batch_of_a_trusted_log_is_refused_and_kept() {
    let (disk, _) = filled(true);
    let (path, content) =
        disk.files().into_iter().find(|(p, _)| p.extension().is_some_and(|e| e == "log")).unwrap();
    let file = disk.open(&path, OpenMode::Write).unwrap();
    file.write_at(&[Bytes::from(vec![content[70] ^ 1])], 70).unwrap();
    let log = reopen(&disk, true);
    assert_eq!(log.log_end(), Offset(50));
    let request = ottla_log::ReadRequest {
        from: Offset(0),
        up_to: Offset(50),
        max_bytes: 10,
        at_least_one: true,
    };
    let error = fetch(&log, &request).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("/d/t-0/00000000000000000000.log is damaged: at byte 0, the batch's CRC"),
        "{error}"
    );
    assert_eq!(offsets(&read_all(&log, Offset(1), 10))[0], (1, 1), "others are still read");
    // Not even the loss of its index takes the damaged segment's bytes away.
    drop(log);
    let disk = disk.clone();
    disk.remove_file(Path::new("/d/t-0/00000000000000000000.index")).unwrap();
    let len = content.len();
    drop(reopen(&disk, true));
    assert_eq!(disk.files()[&path].len(), len);
}

#[test]
fn a_zeroed_tail_is_cut() {
    for zeros in [1, 60, 61, 5000] {
        let (disk, all) = filled(false);
        let path =
            disk.files().into_keys().rfind(|p| p.extension().is_some_and(|e| e == "log")).unwrap();
        let file = disk.open(&path, OpenMode::Write).unwrap();
        let len = file.len().unwrap();
        file.set_len(len + zeros).unwrap();
        let log = reopen(&disk, false);
        assert_eq!(read_all(&log, Offset::ZERO, 1000), all);
        assert_eq!(disk.files()[&path].len() as u64, len);
    }
}

#[test]
fn an_interrupted_compaction_is_finished_or_undone() {
    // Kafka had written the replacement of the first two segments and was renaming.
    let (disk, all) = filled(true);
    let at = |name: &str| Path::new("/d/t-0").join(name);
    let files = disk.files();
    let bases: Vec<_> =
        files.keys().filter(|p| p.extension().is_some_and(|e| e == "log")).cloned().collect();
    let merged = [files[&bases[0]].clone(), files[&bases[1]].clone()].concat();
    let put = |name: &str, content: &[u8]| {
        let file = disk.open(&at(name), OpenMode::CreateEmpty).unwrap();
        file.write_at(&[Bytes::copy_from_slice(content)], 0).unwrap();
    };
    put("00000000000000000000.log.swap", &merged);
    put("00000000000000000099.log.deleted", b"old");
    let log = reopen(&disk, true);
    assert_eq!(read_all(&log, Offset::ZERO, 1000), all);
    assert_eq!(log.segment_count(), bases.len() - 1, "the second went into the first");
    assert!(!disk.exists(&bases[1]).unwrap());
    drop(log);
    // It had not finished writing.
    put("00000000000000000000.log.cleaned", b"half");
    put("00000000000000000007.log.swap", b"half");
    let log = reopen(&disk, true);
    assert_eq!(read_all(&log, Offset::ZERO, 1000), all);
    let left: Vec<_> =
        disk.files().into_keys().filter(|p| !p.to_str().unwrap().contains("/.lock")).collect();
    assert!(left.iter().all(|p| {
        !["swap", "cleaned", "deleted"]
            .contains(&p.extension().and_then(|e| e.to_str()).unwrap_or(""))
    }));
}

/// Damages one to four places of a log, and gives whether only derived files were hit.
fn harm(disk: &MemoryDisk, rng: &SeededRng) -> bool {
    let files: Vec<_> = disk
        .files()
        .into_iter()
        .filter(|(p, c)| p.starts_with("/d/t-0") && !c.is_empty())
        .collect();
    let mut only_derived = true;
    for _ in 0..1 + rng.next_u64() % 4 {
        let (path, content) = &files[(rng.next_u64() % files.len() as u64) as usize];
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "partition.metadata" || name == "leader-epoch-checkpoint" {
            continue;
        }
        only_derived &= !name.ends_with(".log");
        let mut at = rng.next_u64() % content.len() as u64;
        if name.ends_with(".log") {
            // Base offsets and epochs are outside of the checksum, so damage to them is not seen.
            let in_batch = offset_in_batch(content, at as usize);
            at += if in_batch < 8 || (12..16).contains(&in_batch) { 16 } else { 0 };
        }
        let file = disk.open(path, OpenMode::Write).unwrap();
        match rng.next_u64() % 3 {
            0 => file.set_len(at).unwrap(),
            _ => {
                let mut byte = [0];
                rng.fill(&mut byte);
                file.write_at(&[Bytes::copy_from_slice(&byte)], at).unwrap();
            }
        }
    }
    only_derived
}

/// Reads on over what cannot be read, one batch at a time.
fn readable(log: &PartitionLog) -> Vec<Bytes> {
    let mut found = Vec::new();
    let mut at = log.log_start();
    while at < log.log_end() {
        let request = ottla_log::ReadRequest {
            from: at,
            up_to: log.log_end(),
            max_bytes: 1,
            at_least_one: true,
        };
        match fetch(log, &request) {
            Ok(fetched) => {
                assert!(fetched.next_offset > at, "a read at {at} makes progress");
                found.extend(fetched.batches);
                at = fetched.next_offset;
            }
            Err(_) => at = at.plus(1),
        }
    }
    found
}

#[test]
fn much_damage_never_panics_and_is_never_served() {
    let mut refused = 0;
    for seed in 0..1500 {
        let rng = SeededRng::new(seed);
        let clean = seed % 2 == 0;
        let (disk, all) = filled(clean);
        let only_derived = harm(&disk, &rng);
        let dir = log_dir(&disk, Path::new("/d"));
        let options = OpenOptions {
            clean,
            recovery_point: if clean { Offset(50) } else { Offset::ZERO },
            ..OpenOptions::new(Some(TOPIC_ID), small(), NOW)
        };
        let log = match PartitionLog::open(&dir, &tp(), options) {
            Ok((log, _)) => log,
            Err(LogError::Damaged { .. }) => {
                assert!(!only_derived, "seed {seed}");
                refused += 1;
                continue;
            }
            Err(error) => panic!("seed {seed}: {error}"),
        };
        let found = readable(&log);
        assert!(
            found.iter().all(|b| all.contains(b)),
            "seed {seed}: only what was appended is served"
        );
        if only_derived {
            assert_eq!(found, all, "seed {seed}");
            for i in 0..50 {
                assert_eq!(offsets(&read_all(&log, Offset(i), 1))[0], (i, i), "seed {seed}");
            }
            assert_eq!(list_offset(&log, NOW.0).map(|f| f.offset), Some(Offset(0)), "seed {seed}");
        } else if !clean {
            assert!(all.starts_with(&found), "seed {seed}");
        }
        log.close().unwrap();
    }
    assert!(refused > 100, "{refused}");
}

fn offset_in_batch(content: &[u8], at: usize) -> usize {
    let mut begin = 0;
    loop {
        let size = Batch::parse(&content[begin..]).unwrap().size();
        if at < begin + size {
            return at - begin;
        }
        begin += size;
    }
}
