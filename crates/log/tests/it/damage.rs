//! Damage anywhere: the same records are served, or the damage is reported, or what was never
//! acknowledged is cut; never anything else (L2, L7, L8).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ottla_env::memory::MemoryDisk;
use ottla_env::{Disk, OpenMode, Rng, SeededRng};
use ottla_log::{
    FlushMode, LoadReport, LogConfig, LogError, OpenOptions, PartitionLog, ReadError, ReadRequest,
};
use ottla_partition::AppendContext;
use ottla_protocol::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use ottla_records::{Batch, EndTransactionMarker, end_transaction_batch};

use crate::support::*;

/// How a log is left.
#[derive(Clone, Copy, Debug)]
struct Left {
    clean: bool,
    /// What the checkpoint says; of a clean stop it is the log's end.
    recovery_point: i64,
}

/// A log and all that was in it when everything was durable.
#[derive(Clone)]
struct Made {
    disk: MemoryDisk,
    batches: Vec<Bytes>,
    end: i64,
}

fn marker(log: &mut PartitionLog, producer: i64, commit: bool) {
    let value = EndTransactionMarker { coordinator_epoch: 1 };
    let (id, epoch) = (ProducerId(producer), ProducerEpoch(0));
    let made = end_transaction_batch(NOW, id, epoch, commit, value, LeaderEpoch(1)).unwrap();
    log.append(made.as_slice().into(), LeaderEpoch(1), NOW, &AppendContext::COORDINATOR).unwrap();
}

/// Several segments, producers, transactions and leader epochs, all durable.
fn make(clean: bool) -> Made {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let (mut log, _) = open(&dir, small());
    let context = AppendContext::COORDINATOR;
    for i in 0..40_i32 {
        let epoch = LeaderEpoch(i / 15);
        let size = (i as usize * 37) % 200;
        let plain = batch(&[NOW.0 + i64::from(i) * 10, NOW.0 + i64::from(i) * 10 - 3], size);
        log.append(plain, epoch, NOW, &context).unwrap();
        let transactional = idempotent(i64::from(i % 3), 0, i / 3, 1, true);
        log.append_as_replica(&with_offset(&log, transactional, epoch), NOW).unwrap();
        if i % 5 == 4 {
            marker(&mut log, i64::from(i % 3), i % 2 == 0);
        }
        if i % 3 == 0 {
            log.flush_now().unwrap();
        }
    }
    log.flush_now().unwrap();
    let batches = read_all(&log, Offset::ZERO, 1000);
    let end = log.log_end().0;
    if clean {
        log.close().unwrap();
    }
    Made { disk, batches, end }
}

fn with_offset(log: &PartitionLog, mut batch: bytes::BytesMut, epoch: LeaderEpoch) -> Bytes {
    ottla_records::set_base_offset_and_epoch(&mut batch, log.log_end(), epoch);
    batch.freeze()
}

fn reopen(
    disk: &MemoryDisk,
    left: Left,
    config: LogConfig,
) -> Result<(PartitionLog, LoadReport), LogError> {
    let options = OpenOptions {
        clean: left.clean,
        recovery_point: Offset(left.recovery_point),
        ..OpenOptions::new(Some(TOPIC_ID), config, NOW)
    };
    PartitionLog::open(&log_dir(disk, Path::new("/d")), &tp(), options)
}

/// What a reader gets from the start on, batch by batch, up to the first error.
fn readable(log: &PartitionLog) -> (Vec<Bytes>, Option<ReadError>) {
    let mut found = Vec::new();
    let mut at = log.log_start();
    while at < log.log_end() {
        let request =
            ReadRequest { from: at, up_to: log.log_end(), max_bytes: 1, at_least_one: true };
        match fetch(log, &request) {
            Ok(fetched) => {
                assert!(fetched.next_offset > at, "a read at {at} makes progress");
                for batch in &fetched.batches {
                    let begins = Batch::parse(batch).unwrap().header().base_offset;
                    assert_eq!(begins, at, "nothing is left out in silence");
                }
                found.extend(fetched.batches);
                at = fetched.next_offset;
            }
            Err(error) => return (found, Some(error)),
        }
    }
    (found, None)
}

#[derive(Clone, Copy, Debug)]
enum Harm {
    Flip(u8),
    Truncate,
    ZeroOn,
    ZeroSector,
}

fn harm(disk: &MemoryDisk, path: &Path, at: u64, harm: Harm) {
    let file = disk.open(path, OpenMode::Write).unwrap();
    let len = file.len().unwrap();
    let zero = |from: u64, to: u64| {
        file.write_at(&[Bytes::from(vec![0; (to - from) as usize])], from).unwrap();
    };
    match harm {
        Harm::Flip(mask) => {
            let mut byte = [0];
            file.read_at(&mut byte, at).unwrap();
            file.write_at(&[Bytes::copy_from_slice(&[byte[0] ^ mask])], at).unwrap();
        }
        Harm::Truncate => file.set_len(at).unwrap(),
        Harm::ZeroOn => zero(at, len),
        Harm::ZeroSector => zero(at / 512 * 512, (at / 512 * 512 + 512).min(len)),
    }
}

/// Where in its batch a byte of a `.log` is. The first 8 (the base offset) and those from 12 to 15
/// (the leader epoch) are outside of the checksum, and of no consequence for where batches begin.
fn place(content: &[u8], at: usize) -> usize {
    let mut begin = 0;
    loop {
        let size = Batch::parse(&content[begin..]).unwrap().size();
        if at < begin + size {
            return at - begin;
        }
        begin += size;
    }
}

/// Opens and reads, and holds the outcome against what was there.
fn check(made: &Made, left: Left, path: &Path, at: u64, what: Harm) -> &'static str {
    let told = format!("{left:?}, {} at {at}, {what:?}", path.display());
    let is_log = path.extension().is_some_and(|e| e == "log");
    let (log, report) = match reopen(&made.disk, left, small()) {
        Ok(opened) => opened,
        Err(LogError::Damaged { from, to, .. }) => {
            assert!(is_log, "{told}: only batches can be damaged beyond repair");
            assert!(from.0 < made.end && to.is_none_or(|to| to >= from), "{told}");
            return "refused";
        }
        Err(LogError::Corrupt { .. } | LogError::TopicId { .. }) => {
            assert!(path.ends_with("partition.metadata"), "{told}");
            return "refused";
        }
        Err(error) => panic!("{told}: {error}"),
    };
    let (found, error) = readable(&log);
    assert!(made.batches.starts_with(&found), "{told}: only what was appended; {report:?}");
    if error.is_some() {
        assert!(is_log, "{told}: {error:?}");
        return "told to the reader";
    }
    if found.len() == made.batches.len() {
        assert_eq!(log.log_end().0, made.end, "{told}");
        if !is_log {
            check_answers(&log, made, &told);
        }
        return "same";
    }
    // Cut: only what may have been an unfinished write, and says so.
    assert!(is_log && !left.clean, "{told}: {report:?}");
    assert!(log.log_end().0 >= left.recovery_point, "{told}: {report:?}");
    assert!(report.truncated_bytes > 0 || matches!(what, Harm::Truncate), "{told}: {report:?}");
    assert!(!matches!(what, Harm::Flip(_)), "{told}: a changed byte is no unfinished write");
    "cut"
}

/// What derived files are there for is right whatever became of them.
fn check_answers(log: &PartitionLog, made: &Made, told: &str) {
    for batch in made.batches.iter().step_by(3) {
        let header = *Batch::parse(batch).unwrap().header();
        let request = ReadRequest {
            from: header.last_offset(),
            up_to: log.log_end(),
            max_bytes: 1,
            at_least_one: true,
        };
        assert_eq!(fetch(log, &request).unwrap().batches, std::slice::from_ref(batch), "{told}");
        let sought = header.max_timestamp.0;
        let first = made.batches.iter().find_map(|b| {
            let h = *Batch::parse(b).unwrap().header();
            (h.max_timestamp.0 >= sought).then_some((h.base_offset, h.last_offset()))
        });
        let found = list_offset(log, sought).map(|f| f.offset);
        let (base, last) = first.unwrap();
        assert!(found.is_some_and(|f| (base..=last).contains(&f)), "{told}: {sought} {found:?}");
    }
    let last = made.batches.last().map(|b| *Batch::parse(b).unwrap().header()).unwrap();
    let max = list_offset(log, ottla_log::timestamps::MAX).unwrap();
    assert!(max.timestamp >= last.max_timestamp.0, "{told}");
    for producer in 0..3 {
        let entry = log.producers().get(ProducerId(producer)).unwrap();
        assert!(entry.last_sequence() >= 12, "{told}: {entry:?}");
    }
    if !told.contains("leader-epoch-checkpoint") {
        let epochs: Vec<_> = log.epochs().entries().iter().map(|e| e.epoch.0).collect();
        assert_eq!(epochs, [0, 1, 2], "{told}");
    }
}

/// A clean stop, and others with different checkpoints. A recovery point is where a batch ends.
fn lefts(made: &Made) -> Vec<Left> {
    let at_batch_end = |offset: i64| {
        let mut ends = made.batches.iter().map(|b| Batch::parse(b).unwrap().header().next_offset());
        ends.find(|end| end.0 >= offset).map_or(made.end, |end| end.0)
    };
    let unclean = [0, at_batch_end(made.end / 3), at_batch_end(made.end - 4), made.end];
    let unclean = unclean.map(|recovery_point| Left { clean: false, recovery_point });
    [Left { clean: true, recovery_point: made.end }].into_iter().chain(unclean).collect()
}

fn victims(made: &Made) -> Vec<(PathBuf, Vec<u8>)> {
    let files = made.disk.files().into_iter();
    files.filter(|(p, c)| p.starts_with("/d/t-0") && !c.is_empty()).collect()
}

/// A disk with these files, all durable.
fn restored(files: &BTreeMap<PathBuf, Vec<u8>>) -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.create_dir(Path::new("/d/t-0")).unwrap();
    for (path, content) in files {
        let file = disk.open(path, OpenMode::Create).unwrap();
        file.write_at(&[Bytes::from(content.clone())], 0).unwrap();
    }
    disk
}

#[test]
fn any_changed_byte_is_harmless_or_reported() {
    let mut seen = BTreeMap::new();
    for clean in [true, false] {
        let made = make(clean);
        let files = made.disk.files();
        let lefts: Vec<_> = lefts(&made).into_iter().filter(|l| l.clean == clean).collect();
        for (path, content) in victims(&made) {
            let is_log = path.extension().is_some_and(|e| e == "log");
            // Every byte of a header that counts, and a part of the others.
            let places =
                (0..content.len()).filter(|at| match is_log.then(|| place(&content, *at)) {
                    Some(in_batch) => {
                        in_batch >= 8
                            && !(12..16).contains(&in_batch)
                            && (in_batch < 61 && at % 3 == 0 || at % 29 == 0)
                    }
                    None => at % 7 == 0,
                });
            for at in places {
                let what = Harm::Flip(if at % 2 == 0 { 1 } else { 0xff });
                let left = lefts[at / 2 % lefts.len()];
                let harmed = Made { disk: restored(&files), ..made.clone() };
                harm(&harmed.disk, &path, at as u64, what);
                *seen.entry(check(&harmed, left, &path, at as u64, what)).or_insert(0) += 1;
            }
        }
    }
    for outcome in ["same", "refused", "told to the reader"] {
        assert!(seen.get(outcome).is_some_and(|n| *n > 100), "{seen:?}");
    }
    assert!(!seen.contains_key("cut"), "{seen:?}");
}

#[test]
fn lost_ends_and_lost_sectors_are_cut_or_reported() {
    let mut seen = BTreeMap::new();
    let logs = [true, false].map(make);
    let files = [0, 1].map(|i: usize| logs[i].disk.files());
    for seed in 0..1200 {
        let rng = SeededRng::new(seed);
        let clean = seed % 4 == 0;
        let i = usize::from(!clean);
        let made = Made { disk: restored(&files[i]), ..logs[i].clone() };
        let victims = victims(&made);
        let (path, content) = &victims[(rng.next_u64() % victims.len() as u64) as usize];
        let at = rng.next_u64() % content.len() as u64;
        let what = match rng.next_u64() % 3 {
            0 => Harm::Truncate,
            1 => Harm::ZeroOn,
            _ => Harm::ZeroSector,
        };
        let all = lefts(&made);
        let left = if clean { all[0] } else { all[1 + (seed / 4) as usize % 4] };
        harm(&made.disk, path, at, what);
        *seen.entry(check(&made, left, path, at, what)).or_insert(0) += 1;
    }
    for outcome in ["same", "cut", "refused", "told to the reader"] {
        assert!(seen.get(outcome).is_some_and(|n| *n > 10), "{seen:?}");
    }
}

#[test]
fn damage_is_reported_with_its_place_and_nothing_is_changed() {
    let made = make(false);
    let logs: Vec<_> = victims(&made)
        .into_iter()
        .filter(|(p, _)| p.extension().is_some_and(|e| e == "log"))
        .collect();
    let (path, content) = &logs[logs.len() - 2];
    let second = Batch::parse(content).unwrap().size();
    let from = Batch::parse(&content[second..]).unwrap().header().base_offset;
    let to = Batch::parse(&content[second..]).unwrap().header().last_offset();
    harm(&made.disk, path, second as u64 + 70, Harm::Flip(4));
    let before = made.disk.files();
    let error = reopen(&made.disk, Left { clean: false, recovery_point: 0 }, small()).unwrap_err();
    let LogError::Damaged { dir, file, position, from: first, to: last, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(dir, Path::new("/d/t-0"));
    assert_eq!(file.as_str(), path.file_name().unwrap().to_str().unwrap());
    assert_eq!((*position, *first, *last), (second as u64, from, Some(to)));
    let offsets = if from == to {
        format!("offset {from} cannot be read")
    } else {
        format!("offsets {from} to {to} cannot be read")
    };
    assert!(error.to_string().ends_with(&offsets), "{error}");
    let after = made.disk.files();
    for (path, content) in before {
        let derived = path.extension().is_some_and(|e| e == "index" || e == "timeindex");
        assert!(derived || after[&path] == content, "{} was changed", path.display());
    }
}

#[test]
fn with_flush_mode_os_an_end_that_nobody_was_promised_is_cut() {
    let made = make(false);
    let (path, content) = victims(&made)
        .into_iter()
        .rfind(|(p, _)| p.extension().is_some_and(|e| e == "log"))
        .unwrap();
    let config = LogConfig { flush_mode: FlushMode::Os, ..small() };
    // A byte of the last batch.
    harm(&made.disk, &path, content.len() as u64 - 2, Harm::Flip(1));
    let left = Left { clean: false, recovery_point: 0 };
    assert!(matches!(reopen(&made.disk, left, small()), Err(LogError::Damaged { .. })));
    let (log, report) = reopen(&made.disk, left, config.clone()).unwrap();
    assert_eq!(readable(&log).0, made.batches[..made.batches.len() - 1]);
    assert!(report.warnings[0].contains("the log is cut at offset"), "{report:?}");
    drop(log);
    // But not a byte in the middle: what follows was written later.
    let made = make(false);
    harm(&made.disk, &path, 100, Harm::Flip(1));
    assert!(matches!(reopen(&made.disk, left, config), Err(LogError::Damaged { .. })));
}

#[test]
fn a_log_shorter_than_its_recovery_point_is_damaged() {
    for clean in [true, false] {
        let made = make(clean);
        let (path, content) = victims(&made)
            .into_iter()
            .rfind(|(p, _)| p.extension().is_some_and(|e| e == "log"))
            .unwrap();
        // The last batch is gone, and the file ends with a whole one.
        let last = made.batches.last().unwrap().len();
        harm(&made.disk, &path, (content.len() - last) as u64, Harm::Truncate);
        let left = Left { clean, recovery_point: made.end };
        let error = reopen(&made.disk, left, small()).unwrap_err();
        assert!(matches!(&error, LogError::Damaged { to: Some(to), .. } if to.0 == made.end - 1));
        assert!(error.to_string().contains("the log ends at offset"), "{error}");
    }
}

#[test]
fn segments_that_are_out_of_place() {
    let logs = |made: &Made| -> Vec<PathBuf> {
        let victims = victims(made).into_iter().map(|(p, _)| p);
        victims.filter(|p| p.extension().is_some_and(|e| e == "log")).collect()
    };
    for left in [Left { clean: false, recovery_point: 0 }, Left { clean: true, recovery_point: 1 }]
    {
        // A hole: a segment is gone.
        let made = make(left.clean);
        let all = logs(&made);
        made.disk.remove_file(&all[1]).unwrap();
        let (log, _) = reopen(&made.disk, left, small()).unwrap();
        let (found, error) = readable(&log);
        assert!(made.batches.starts_with(&found), "{left:?}");
        assert!(
            error.unwrap().to_string().contains("the next segment begins at offset"),
            "{left:?}"
        );
        // Stray files are nobody's business.
        let made = make(left.clean);
        for name in ["notes.txt", "7.log", "00000000000000000001.log.bak", "x.index"] {
            made.disk.open(&Path::new("/d/t-0").join(name), OpenMode::Create).unwrap();
        }
        let (log, _) = reopen(&made.disk, left, small()).unwrap();
        assert_eq!(readable(&log).0, made.batches);
    }
    // A name that lies: batches begin before it, or reach into the next segment.
    let left = Left { clean: false, recovery_point: 0 };
    let made = make(false);
    let all = logs(&made);
    made.disk.rename(&all[1], Path::new("/d/t-0/00000000000000000099.log")).unwrap();
    assert!(matches!(reopen(&made.disk, left, small()), Err(LogError::Damaged { .. })));
    let made = make(false);
    let content = made.disk.files()[&all[0]].clone();
    let file = made.disk.open(&all[1], OpenMode::CreateEmpty).unwrap();
    file.write_at(&[Bytes::from(content)], 0).unwrap();
    assert!(matches!(reopen(&made.disk, left, small()), Err(LogError::Damaged { .. })));
    // Empty segments in between and at the end.
    let made = make(false);
    let end = format!("/d/t-0/{:020}.log", made.end);
    made.disk.open(Path::new(&end), OpenMode::Create).unwrap();
    let (log, _) = reopen(&made.disk, left, small()).unwrap();
    assert_eq!(readable(&log).0, made.batches);
    assert_eq!(log.log_end().0, made.end);
}

#[test]
fn a_batch_whose_offset_has_changed_is_not_passed_over() {
    // No checksum covers a base offset: only where the batch should be tells that it is another.
    let disk = MemoryDisk::new();
    let config = LogConfig { index_interval_bytes: 0, tail_bytes: 0, ..small() };
    let (mut log, _) = open(&log_dir(&disk, Path::new("/d")), config.clone());
    let mut position = 0;
    for i in 0..6 {
        let made = batch(&[NOW.0, NOW.0 + i], 10);
        position += if i < 3 { made.len() } else { 0 };
        append(&mut log, made);
    }
    log.flush_now().unwrap();
    let request = |from| ReadRequest {
        from: Offset(from),
        up_to: Offset(12),
        max_bytes: 1,
        at_least_one: true,
    };
    let change = || {
        let path = Path::new("/d/t-0/00000000000000000000.log");
        let file = disk.open(path, OpenMode::Write).unwrap();
        // 2 instead of 6: the batch seems to end before what is asked for.
        file.write_at(&[Bytes::from_static(&[2])], position as u64 + 7).unwrap();
    };
    // A reader that has read what comes before.
    assert_eq!(fetch(&log, &request(4)).unwrap().next_offset, Offset(6));
    change();
    // One that an index leads there, too.
    for from in [6, 7] {
        let error = fetch(&log, &request(from)).unwrap_err().to_string();
        assert!(error.contains("a batch begins at offset 2"), "{from}: {error}");
    }
    drop(log);
    // A start that reads it again says so.
    let left = Left { clean: false, recovery_point: 0 };
    let error = reopen(&disk, left, config).unwrap_err().to_string();
    assert!(error.contains("offset 2 follows 5"), "{error}");
}
