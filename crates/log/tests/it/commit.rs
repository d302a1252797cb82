//! Group commit: stages, groups, failure, the thread.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ottla_env::DiskErrorKind;
use ottla_env::memory::MemoryDisk;
use ottla_log::{
    AppendError, Committer, LogConfig, LogError, OpenOptions, PartitionLog, Stage, TopicPartition,
};
use ottla_partition::AppendContext;
use ottla_protocol::{LeaderEpoch, Offset};

use crate::support::*;

fn append_to(host: &Arc<Host>, committer: &Committer<Host>) {
    let needs_commit = append(&mut host.log.lock().unwrap(), batch(&[NOW.0], 50)).needs_commit;
    if needs_commit {
        committer.enqueue(Arc::clone(host));
    }
}

fn hosts(disk: &MemoryDisk, config: &LogConfig, count: i32) -> (Vec<Arc<Host>>, Committer<Host>) {
    let dir = log_dir(disk, Path::new("/d"));
    let host = |i| {
        let options = OpenOptions::new(None, config.clone(), NOW);
        Host::new(PartitionLog::open(&dir, &TopicPartition::new("t", i), options).unwrap().0)
    };
    ((0..count).map(host).collect(), Committer::new(&dir, 1))
}

#[test]
fn one_group_carries_all_and_the_next_gathers_meanwhile() {
    let disk = MemoryDisk::new();
    let (hosts, committer) = hosts(&disk, &LogConfig::default(), 3);
    assert!(committer.gather().is_none());
    for host in &hosts[..2] {
        append_to(host, &committer);
        append_to(host, &committer);
    }
    let mut group = committer.gather().unwrap();
    assert_eq!(group.len(), 2);
    // Appends while the group is in flight belong to the next.
    append_to(&hosts[0], &committer);
    append_to(&hosts[2], &committer);
    assert_eq!(committer.write(&mut group), Stage::Written);
    assert_eq!(hosts[0].take_events(), ["written 2"]);
    {
        let log = hosts[0].log.lock().unwrap();
        assert_eq!(
            (log.written_end(), log.durable_end(), log.log_end()),
            (Offset(2), Offset(0), Offset(3))
        );
    }
    assert_eq!(committer.sync(group), Stage::Durable);
    assert_eq!(hosts[0].take_events(), ["durable 2"]);
    let mut group = committer.gather().unwrap();
    assert_eq!(group.len(), 2);
    committer.write(&mut group);
    committer.sync(group);
    assert_eq!(hosts[0].take_events(), ["written 3", "durable 3"]);
    assert_eq!(hosts[2].take_events(), ["written 1", "durable 1"]);
    assert!(committer.gather().is_none());
}

#[test]
fn with_flush_mode_os_only_closed_segments_are_synced() {
    let disk = MemoryDisk::new();
    let (hosts, committer) = hosts(&disk, &os(small()), 1);
    let syncs = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&syncs);
    let commit = |disk: &MemoryDisk| {
        let counter = Arc::clone(&counter);
        disk.set_fault(Some(Box::new(move |action, path| {
            if action == "sync" && path.extension().is_some_and(|e| e == "log") {
                counter.fetch_add(1, Ordering::SeqCst);
            }
            None
        })));
        let mut group = committer.gather().unwrap();
        committer.write(&mut group);
        committer.sync(group);
    };
    append_to(&hosts[0], &committer);
    commit(&disk);
    assert_eq!(hosts[0].take_events(), ["written 1", "durable 0"]);
    assert_eq!(syncs.load(Ordering::SeqCst), 0);
    for _ in 0..20 {
        append_to(&hosts[0], &committer);
    }
    commit(&disk);
    let base = 16;
    assert_eq!(hosts[0].take_events(), ["written 21".to_owned(), format!("durable {base}")]);
    assert_eq!(syncs.load(Ordering::SeqCst), 1);
}

#[test]
fn a_failed_sync_takes_the_directory_out_of_service() {
    for failing in ["write", "sync"] {
        let disk = MemoryDisk::new();
        let (hosts, committer) = hosts(&disk, &LogConfig::default(), 2);
        append_to(&hosts[0], &committer);
        let mut group = committer.gather().unwrap();
        let mut left = 1;
        disk.set_fault(Some(Box::new(move |action, _| {
            let fail = action == failing && left > 0;
            left -= i32::from(fail);
            fail.then_some(DiskErrorKind::Io)
        })));
        committer.write(&mut group);
        assert_eq!(committer.sync(group), Stage::Failed);
        let events = hosts[0].take_events();
        let failed =
            format!("failed: cannot {failing} /d/t-0/00000000000000000000.log: the device failed");
        assert_eq!(events.last(), Some(&failed));
        let log = hosts[0].log.lock().unwrap();
        assert_eq!(log.durable_end(), Offset(0));
        drop(log);
        // Nothing is tried again, for no partition of the directory, although the disk works now.
        for host in &hosts {
            let refused = host.log.lock().unwrap().append(
                batch(&[NOW.0], 1),
                LeaderEpoch(0),
                NOW,
                &AppendContext::CLIENT,
            );
            assert!(matches!(
                refused,
                Err(AppendError::Failed(LogError::Offline { .. } | LogError::Disk(_)))
            ));
        }
    }
}

#[test]
fn what_was_queued_when_the_directory_failed_is_told() {
    let disk = MemoryDisk::new();
    let (hosts, committer) = hosts(&disk, &LogConfig::default(), 2);
    append_to(&hosts[0], &committer);
    let mut group = committer.gather().unwrap();
    append_to(&hosts[1], &committer);
    disk.set_fault(Some(Box::new(|action, _| {
        (action == "sync").then_some(DiskErrorKind::NoSpace)
    })));
    committer.write(&mut group);
    assert_eq!(committer.sync(group), Stage::Failed);
    let mut group = committer.gather().unwrap();
    assert_eq!(committer.write(&mut group), Stage::Failed);
    let events = hosts[1].take_events();
    assert!(events[0].starts_with("failed: /d is out of service: "), "{events:?}");
}

#[test]
fn a_retired_log_is_no_failure() {
    let disk = MemoryDisk::new();
    let (hosts, committer) = hosts(&disk, &LogConfig::default(), 2);
    append_to(&hosts[0], &committer);
    append_to(&hosts[1], &committer);
    let mut group = committer.gather().unwrap();
    hosts[0].log.lock().unwrap().retire();
    ottla_env::Disk::remove_dir_all(&disk, Path::new("/d/t-0")).unwrap();
    committer.write(&mut group);
    assert_eq!(committer.sync(group), Stage::Durable);
    assert_eq!(hosts[1].take_events(), ["written 1", "durable 1"]);
}

#[test]
fn the_thread_commits_until_it_is_stopped() {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let host = Host::new(open(&dir, small()).0);
    let committer = Arc::new(Committer::<Host>::new(&dir, 4));
    let stages = Arc::new(AtomicUsize::new(0));
    let thread = {
        let (committer, stages) = (Arc::clone(&committer), Arc::clone(&stages));
        std::thread::spawn(move || {
            committer.run(|stage| {
                assert_ne!(stage, Stage::Failed);
                stages.fetch_add(1, Ordering::SeqCst);
            });
        })
    };
    for _ in 0..500 {
        append_to(&host, &committer);
    }
    committer.stop();
    thread.join().unwrap();
    let log = host.log.lock().unwrap();
    assert_eq!(log.durable_end(), Offset(500));
    assert_eq!(stages.load(Ordering::SeqCst) % 2, 0);
    assert_eq!(read_all(&log, Offset::ZERO, 1000).len(), 500);
}
