//! Logs that are created or closed many at a time, their host syncing the volume once for all:
//! what a power cut at any step leaves.

use std::path::Path;
use std::sync::Arc;

use ottla_env::memory::{MemoryDisk, Survival};
use ottla_log::{LogConfig, LogDir, OpenOptions, PartitionLog, SyncOn};
use ottla_partition::AppendContext;
use ottla_protocol::{LeaderEpoch, Offset};

use crate::support::{NOW, TOPIC_ID, batch, log_dir, open, open_clean, small, tp};

const METADATA: &str = "/d/t-0/partition.metadata";

fn options() -> OpenOptions {
    let options = OpenOptions::new(Some(TOPIC_ID), LogConfig::default(), NOW);
    OpenOptions { sync: SyncOn::Later, ..options }
}

/// Creates a log as far as `steps` go: create, sync, finish, sync.
fn create(dir: &Arc<LogDir>, steps: usize) -> PartitionLog {
    let mut log = PartitionLog::create(dir, &tp(), options()).unwrap().unwrap();
    if steps > 1 {
        dir.sync_volume().unwrap();
    }
    if steps > 2 {
        log.finish_create().unwrap();
    }
    if steps > 3 {
        dir.sync_volume().unwrap();
    }
    log
}

fn append(log: &mut PartitionLog) {
    log.append(batch(&[NOW.0], 10), LeaderEpoch(0), NOW, &AppendContext::CLIENT).unwrap();
}

#[test]
fn a_power_cut_leaves_a_new_log_or_what_becomes_one() {
    for steps in 1..=4 {
        for survival in [Survival::Nothing, Survival::Zeros, Survival::All] {
            let disk = MemoryDisk::new();
            let dir = log_dir(&disk, Path::new("/d"));
            drop((create(&dir, steps), dir));
            disk.crash(|_| survival);
            let text = disk.files().remove(Path::new(METADATA));
            // Never half of it: Apache Kafka would not start.
            assert!(text.is_none_or(|text| text.len() == 43), "{steps} {survival:?}");
            let dir = log_dir(&disk, Path::new("/d"));
            let (mut log, report) = open(&dir, LogConfig::default());
            assert_eq!((log.topic_id(), log.log_end()), (Some(TOPIC_ID), Offset::ZERO));
            assert_eq!(report.warnings, [""; 0]);
            append(&mut log);
            log.flush_now().unwrap();
            assert_eq!(log.durable_end(), Offset(1));
        }
    }
}

#[test]
fn what_was_created_is_durable_and_kafkas() {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let mut log = create(&dir, 4);
    append(&mut log);
    log.flush_now().unwrap();
    drop((log, dir));
    disk.crash(|_| Survival::Nothing);
    let names: Vec<_> = disk.files().into_keys().filter(|p| p.starts_with("/d/t-0")).collect();
    let names: Vec<_> = names.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "00000000000000000000.index",
            "00000000000000000000.log",
            "00000000000000000000.timeindex",
            "leader-epoch-checkpoint",
            "partition.metadata",
        ]
    );
    let dir = log_dir(&disk, Path::new("/d"));
    assert_eq!(open(&dir, LogConfig::default()).0.log_end(), Offset(1));
    assert!(PartitionLog::create(&dir, &tp(), options()).unwrap().is_none());
}

#[test]
fn a_log_that_its_host_syncs_is_closed_as_any_other() {
    let closed = |sync: SyncOn| {
        let disk = MemoryDisk::new();
        let dir = log_dir(&disk, Path::new("/d"));
        let (mut log, _) = open(&dir, small());
        for _ in 0..40 {
            append(&mut log);
        }
        log.flush_now().unwrap();
        append(&mut log);
        assert_eq!(log.shut(sync), Ok(true));
        if sync == SyncOn::Later {
            dir.sync_volume().unwrap();
        }
        drop((log, dir));
        disk.crash(|_| Survival::Nothing);
        disk
    };
    let (open_disk, later_disk) = (closed(SyncOn::Open), closed(SyncOn::Later));
    assert_eq!(open_disk.files(), later_disk.files());
    let dir = log_dir(&later_disk, Path::new("/d"));
    let (mut log, report) = open_clean(&dir, small(), Offset(41), Offset::ZERO);
    assert_eq!((log.log_end(), report.recovered_segments), (Offset(41), 0));
    // Nothing was written to it: nothing is written for its end.
    assert_eq!(log.shut(SyncOn::Later), Ok(false));
    assert_eq!(open_disk.files(), later_disk.files());
}
