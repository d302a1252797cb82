//! What a start makes of bytes that are no batch, near the end of what was committed: by how far
//! the log's durable end was written down beside the commits, an unfinished write or damage.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ottla_env::memory::MemoryDisk;
use ottla_env::{Disk, OpenMode};
use ottla_log::{LoadReport, LogConfig, LogDir, LogError, OpenOptions, PartitionLog};
use ottla_protocol::{LeaderEpoch, Offset};
use ottla_records::BatchHeader;

use crate::support::*;

const FILE: &str = ".ottla-durable-ends";

/// A log of some batches: what is on disk, and where each batch begins.
struct Scene {
    disk: MemoryDisk,
    begins: Vec<u64>,
}

/// Batches of which the first `noted` are known to be durable; all are on disk.
fn scene(noted: usize, count: usize, size: usize, config: &LogConfig) -> Scene {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    dir.begin_load().unwrap();
    let (mut log, _) = open(&dir, config.clone());
    let (mut begins, mut at) = (Vec::new(), 0);
    for i in 0..count {
        let batch = batch(&[NOW.0], size);
        begins.push(at);
        at += batch.len() as u64;
        append(&mut log, batch);
        log.flush_now().unwrap();
        if i + 1 == noted {
            assert!(dir.write_durable_ends().unwrap());
            assert!(!dir.write_durable_ends().unwrap());
        }
    }
    drop((log, dir));
    Scene { disk, begins }
}

impl Scene {
    fn log(&self) -> &Path {
        Path::new("/d/t-0/00000000000000000000.log")
    }

    fn change(&self, at: u64, bytes: &[u8]) {
        let file = self.disk.open(self.log(), OpenMode::Write).unwrap();
        file.write_at(&[Bytes::copy_from_slice(bytes)], at).unwrap();
    }

    /// Content of another file in the sectors of a batch from one of them on.
    fn replace_from(&self, at: u64, to: u64) {
        let begin = at.next_multiple_of(512);
        assert!(begin < to, "the batch reaches into another sector");
        let other: Vec<u8> = (begin..to).map(|i| (i * 31 % 251) as u8 | 1).collect();
        self.change(begin, &other);
    }

    fn open(&self, config: &LogConfig) -> Result<(PartitionLog, LoadReport), LogError> {
        let dir = log_dir(&self.disk, Path::new("/d"));
        dir.begin_load().unwrap();
        PartitionLog::open(&dir, &tp(), OpenOptions::new(Some(TOPIC_ID), config.clone(), NOW))
    }

    /// The start cuts the log there, and tells it.
    fn is_cut(&self, config: &LogConfig, end: i64) {
        let (log, report) = self.open(config).unwrap();
        assert_eq!(log.log_end(), Offset(end));
        assert_eq!(report.warnings.len(), 1, "{report:?}");
        assert!(report.warnings[0].contains("unfinished write"), "{report:?}");
    }

    fn is_damaged(&self, config: &LogConfig, from: i64) {
        let before = self.disk.files()[self.log()].clone();
        match self.open(config) {
            Err(LogError::Damaged { from: found, .. }) => assert_eq!(found, Offset(from)),
            Err(error) => panic!("{error}"),
            Ok((log, report)) => panic!("it ends at {}: {report:?}", log.log_end()),
        }
        assert_eq!(self.disk.files()[self.log()], before, "nothing was changed");
    }
}

fn config() -> LogConfig {
    LogConfig { segment_bytes: 1 << 30, ..small() }
}

#[test]
fn other_content_above_the_durable_end_is_an_unfinished_write() {
    for last in [5, 6, 7] {
        let found = scene(5, 8, 1500, &config());
        found.replace_from(found.begins[last] + 1, found.begins[last] + 1500);
        found.is_cut(&config(), last as i64);
    }
}

#[test]
fn also_where_the_batch_begins_with_it() {
    let found = scene(5, 8, 1500, &config());
    let begin = found.begins[6];
    found.change(begin, &[0xa5; 700]);
    found.is_cut(&config(), 6);
}

#[test]
fn below_it_everything_is_damage() {
    for at in 0..5 {
        let found = scene(5, 8, 1500, &config());
        found.replace_from(found.begins[at] + 1, found.begins[at] + 1500);
        found.is_damaged(&config(), at as i64);
        // Zeros too, which above it are an unfinished write.
        let found = scene(5, 8, 1500, &config());
        let begin = (found.begins[at] + 1).next_multiple_of(512);
        found.change(begin, &[0; 512]);
        found.is_damaged(&config(), at as i64);
    }
    let found = scene(5, 8, 1500, &config());
    let begin = (found.begins[6] + 1).next_multiple_of(512);
    found.change(begin, &[0; 512]);
    found.is_cut(&config(), 6);
}

#[test]
fn a_changed_byte_is_damage_wherever_it_is() {
    let begin = scene(3, 6, 300, &config()).begins[4];
    let end = scene(3, 6, 300, &config()).begins[5];
    for at in (begin + 8..end).filter(|at| !(begin + 12..begin + 16).contains(at)) {
        let found = scene(3, 6, 300, &config());
        let byte = found.disk.files()[found.log()][usize::try_from(at).unwrap()];
        found.change(at, &[byte ^ 0x41]);
        found.is_damaged(&config(), 4);
    }
}

#[test]
fn without_the_file_or_with_a_damaged_one_other_content_is_damage() {
    let path = Path::new("/d").join(FILE);
    for cut in [None, Some(0), Some(7), Some(20)] {
        let found = scene(5, 8, 1500, &config());
        found.replace_from(found.begins[6] + 1, found.begins[6] + 1500);
        match cut {
            None => found.disk.remove_file(&path).unwrap(),
            Some(len) => {
                found.disk.open(&path, OpenMode::Write).unwrap().set_len(len).unwrap();
            }
        }
        found.is_damaged(&config(), 6);
    }
}

#[test]
fn the_file_says_nothing_when_somebody_else_led_the_log_since() {
    let found = scene(5, 8, 1500, &config());
    found.replace_from(found.begins[6] + 1, found.begins[6] + 1500);
    // As Apache Kafka writes it when it becomes leader, before its first batch.
    let epochs = Path::new("/d/t-0/leader-epoch-checkpoint");
    found.disk.write_atomically(epochs, Bytes::from_static(b"0\n2\n0 0\n1 6\n")).unwrap();
    found.is_damaged(&config(), 6);
    // And when the log is another topic's.
    let found = scene(5, 8, 1500, &config());
    found.replace_from(found.begins[6] + 1, found.begins[6] + 1500);
    let other = OpenOptions::new(Some(ottla_protocol::Uuid([8; 16])), config(), NOW);
    let metadata = Path::new("/d/t-0/partition.metadata");
    found.disk.remove_file(metadata).unwrap();
    let dir = log_dir(&found.disk, Path::new("/d"));
    dir.begin_load().unwrap();
    let opened = PartitionLog::open(&dir, &tp(), other);
    assert!(matches!(opened, Err(LogError::Damaged { .. })));
}

#[test]
fn a_file_that_is_old_says_nothing() {
    // 70 MB are more than is committed while the file is not written.
    let config = config();
    for (noted, is_near) in [(60, true), (5, false)] {
        let found = scene(noted, 71, 1 << 20, &config);
        found.replace_from(found.begins[70] + 1, found.begins[70] + (1 << 20));
        if is_near {
            found.is_cut(&config, 70);
        } else {
            found.is_damaged(&config, 70);
        }
    }
}

#[test]
fn a_closed_segment_was_whole() {
    let small = LogConfig { segment_bytes: 5000, ..config() };
    let found = scene(1, 8, 1500, &small);
    assert!(
        found.disk.files().keys().filter(|p| p.extension().is_some_and(|e| e == "log")).count() > 2
    );
    found.replace_from(found.begins[2] + 1, found.begins[2] + 1500);
    found.is_damaged(&small, 2);
}

#[test]
fn a_clean_stop_leaves_none_and_a_start_keeps_what_it_found() {
    let found = scene(5, 8, 1500, &config());
    let exists = || found.disk.exists(&Path::new("/d").join(FILE)).unwrap();
    assert!(exists());
    // Dies again before anything was committed.
    let dir = log_dir(&found.disk, Path::new("/d"));
    dir.begin_load().unwrap();
    drop(dir);
    found.replace_from(found.begins[6] + 1, found.begins[6] + 1500);
    let (log, _) = found.open(&config()).unwrap();
    assert_eq!(log.log_end(), Offset(6));
    let dir = Arc::clone(log.log_dir());
    log.close().unwrap();
    dir.write_clean_shutdown(1).unwrap();
    assert!(!exists());
}

/// Eight batches, all of them durable, and that written down.
fn eight(disk: &MemoryDisk) -> (PartitionLog, Arc<LogDir>) {
    let dir = log_dir(disk, Path::new("/d"));
    dir.begin_load().unwrap();
    let (mut log, _) = open(&dir, config());
    for _ in 0..8 {
        append(&mut log, batch(&[NOW.0], 1500));
    }
    log.flush_now().unwrap();
    dir.write_durable_ends().unwrap();
    (log, dir)
}

#[test]
fn what_is_truncated_is_not_durable_any_more() {
    let disk = MemoryDisk::new();
    let (mut log, dir) = eight(&disk);
    log.truncate_to(Offset(3), NOW).unwrap();
    append(&mut log, batch(&[NOW.0], 1500));
    log.flush_now().unwrap();
    drop((log, dir));
    let found = Scene { disk, begins: Vec::new() };
    let len = found.disk.files()[found.log()].len() as u64;
    // The batch that came in place of the others, half of it not written.
    let begin = (len - 1000).next_multiple_of(512);
    found.change(begin, &vec![0; usize::try_from(len - begin).unwrap()]);
    found.is_cut(&config(), 3);
}

#[test]
fn a_log_that_begins_anew_has_nothing_durable() {
    // Also when it goes on above all that was durable, and a power cut takes what it went on with.
    let disk = MemoryDisk::new();
    let (mut log, dir) = eight(&disk);
    log.truncate_fully_and_start_at(Offset(20), NOW).unwrap();
    drop((log, dir));
    disk.remove_file(&Path::new("/d/t-0").join(format!("{:020}.log", 20))).unwrap();
    let dir = log_dir(&disk, Path::new("/d"));
    dir.begin_load().unwrap();
    let (mut log, _) = open(&dir, config());
    append(&mut log, batch(&[NOW.0], 1500));
    log.flush_now().unwrap();
    drop((log, dir));
    let found = Scene { disk, begins: Vec::new() };
    let len = found.disk.files()[found.log()].len();
    found.change(0, &vec![0; len]);
    found.is_cut(&config(), 0);
}

#[test]
fn the_committer_writes_it_beside_its_groups() {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    dir.begin_load().unwrap();
    let (log, _) = open(&dir, config());
    let host = Host::new(log);
    let committer = Arc::new(ottla_log::Committer::new(&dir, 1));
    let running = Arc::clone(&committer);
    let thread = std::thread::spawn(move || running.run());
    host.log.lock().unwrap().assign_epoch(LeaderEpoch(0));
    append(&mut host.log.lock().unwrap(), batch(&[NOW.0], 1500));
    committer.enqueue(Arc::clone(&host));
    // Until the file has the log's end, however long that takes.
    let is_there = || {
        let files = disk.files();
        let content = files.get(&Path::new("/d").join(FILE)).cloned().unwrap_or_default();
        content
            .windows(24)
            .any(|entry| entry[..4] == TOPIC_ID.0[12..] && entry[16..] == 1_i64.to_be_bytes())
    };
    while !is_there() {
        std::thread::yield_now();
    }
    committer.stop();
    thread.join().unwrap();
    assert_eq!(host.log.lock().unwrap().durable_end(), Offset(1));
}

#[test]
fn a_length_that_is_another_is_one_change() {
    let found = scene(3, 6, 300, &config());
    let size = (found.begins[5] - found.begins[4]) as usize;
    let begin = found.begins[4] as usize;
    let header = BatchHeader::parse(&found.disk.files()[found.log()][begin..]).unwrap();
    assert_eq!(header.size(), size);
    for length in [100_i32, 320, 5000, i32::MAX] {
        let found = scene(3, 6, 300, &config());
        found.change(found.begins[4] + 8, &length.to_be_bytes());
        found.is_damaged(&config(), 4);
    }
}
