//! Group commit: stages, groups, failure, the thread.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ottla_env::DiskErrorKind;
use ottla_env::memory::{MemoryDisk, Survival};
use ottla_log::{
    AppendError, CommitEvent, CommitTarget, Committer, FlushMode, LogConfig, LogError, OpenOptions,
    PartitionLog, Stage, TopicPartition, WriteSet,
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
fn many_files_are_synced_with_their_file_system() {
    let disk = MemoryDisk::new();
    let (hosts, committer) = hosts(&disk, &LogConfig::default(), 3);
    let committer = committer.whole_from(3);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let fails = Arc::new(AtomicBool::new(false));
    let (record, failing) = (Arc::clone(&seen), Arc::clone(&fails));
    disk.set_fault(Some(Box::new(move |action, path| {
        let is_whole = action == "sync the file system of";
        if is_whole || (action == "sync" && path.extension().is_some_and(|e| e == "log")) {
            record.lock().unwrap().push(action);
        }
        (is_whole && failing.swap(false, Ordering::SeqCst)).then_some(DiskErrorKind::Io)
    })));
    let commit = |hosts: &[Arc<Host>]| {
        hosts.iter().for_each(|host| append_to(host, &committer));
        let mut group = committer.gather().unwrap();
        committer.write(&mut group);
        assert_eq!(committer.sync(group), Stage::Durable);
        std::mem::take(&mut *seen.lock().unwrap())
    };
    assert_eq!(commit(&hosts[..2]), ["sync", "sync"]);
    assert_eq!(commit(&hosts), ["sync the file system of"]);
    assert_eq!(committer.whole_failure().why(), None);
    // Perhaps it is somebody else's file that failed. Nobody is told a second time for which, so
    // each file is asked from now on.
    fails.store(true, Ordering::SeqCst);
    assert_eq!(commit(&hosts), ["sync the file system of", "sync", "sync", "sync"]);
    assert_eq!(commit(&hosts), ["sync"; 3]);
    assert!(
        committer.whole_failure().why().is_some_and(|why| why.contains("sync the file system"))
    );
    let ends = hosts.iter().map(|host| host.log.lock().unwrap().durable_end().0);
    assert_eq!(ends.collect::<Vec<_>>(), [4, 4, 3]);
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
    let stages = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&stages);
    let committer = Arc::new(Committer::<Host>::new(&dir, 4).reporting_to(move |stage| {
        assert_ne!(stage, Stage::Failed);
        counted.fetch_add(1, Ordering::SeqCst);
    }));
    let running = Arc::clone(&committer);
    let thread = std::thread::spawn(move || running.run());
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

fn append_quietly(host: &Arc<Host>, committer: &Committer<Host>) {
    let needs_commit = append(&mut host.log.lock().unwrap(), batch(&[NOW.0], 50)).needs_commit;
    if needs_commit {
        committer.enqueue_quietly(Arc::clone(host));
    }
}

#[test]
fn whoever_queued_it_writes_a_light_group_and_no_other() {
    let disk = MemoryDisk::new();
    let os = LogConfig { flush_mode: FlushMode::Os, ..LogConfig::default() };
    let (light, committer) = hosts(&disk, &os, 2);
    append_quietly(&light[0], &committer);
    append_quietly(&light[1], &committer);
    committer.commit_here();
    // A new segment's files are created, and that is synced.
    assert_eq!(light[0].take_events(), Vec::<String>::new());
    let committer = Arc::new(committer);
    let running = Arc::clone(&committer);
    let thread = std::thread::spawn(move || running.run());
    while light.iter().any(|host| host.log.lock().unwrap().is_committing()) {
        std::thread::yield_now();
    }
    assert_eq!(light[1].take_events(), ["written 1", "durable 0"]);
    light[0].take_events();
    // The thread is idle, and stays so: it was not woken.
    for end in 2..100 {
        append_quietly(&light[0], &committer);
        committer.commit_here();
        let events = [format!("written {end}"), "durable 0".to_owned()];
        assert_eq!(light[0].take_events(), events);
    }
    committer.stop();
    thread.join().unwrap();
}

#[test]
fn a_group_that_needs_a_sync_is_the_thread_s() {
    let disk = MemoryDisk::new();
    let (hosts, committer) = hosts(&disk, &LogConfig::default(), 1);
    append_quietly(&hosts[0], &committer);
    committer.commit_here();
    append_quietly(&hosts[0], &committer);
    // One is on its way already.
    committer.commit_here();
    assert_eq!(hosts[0].take_events(), Vec::<String>::new());
    let committer = Arc::new(committer);
    committer.stop();
    committer.run();
    assert_eq!(hosts[0].log.lock().unwrap().durable_end(), Offset(2));
}

#[test]
fn many_who_commit_and_the_thread_leave_nothing_behind() {
    let disk = MemoryDisk::new();
    let config = LogConfig { flush_mode: FlushMode::Os, ..small() };
    let (hosts, committer) = hosts(&disk, &config, 3);
    let committer = Arc::new(committer);
    let running = Arc::clone(&committer);
    let thread = std::thread::spawn(move || running.run());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for round in 0..200 {
                    append_quietly(&hosts[round % 3], &committer);
                    committer.commit_here();
                    if round % 7 == 0 {
                        append_to(&hosts[(round + 1) % 3], &committer);
                    }
                }
            });
        }
    });
    committer.stop();
    thread.join().unwrap();
    let ends = hosts.iter().map(|host| {
        let log = host.log.lock().unwrap();
        assert_eq!(log.written_end(), log.log_end());
        log.log_end().get()
    });
    assert_eq!(ends.sum::<i64>(), 3 * (200 + 29));
}

/// What was done to a disk: verb and file name.
fn watch(disk: &MemoryDisk) -> Arc<Mutex<Vec<String>>> {
    let done = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&done);
    disk.set_fault(Some(Box::new(move |verb, path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        seen.lock().unwrap().push(format!("{verb} {name}"));
        None
    })));
    done
}

#[test]
fn a_segment_and_its_indexes_are_safe_before_the_next_is_there() {
    // Apache Kafka trusts all indexes of a segment that has another one behind it.
    for config in [small(), os(small())] {
        let disk = MemoryDisk::new();
        let (hosts, committer) = hosts(&disk, &config, 1);
        let done = watch(&disk);
        while hosts[0].log.lock().unwrap().segment_count() < 2 {
            append_to(&hosts[0], &committer);
        }
        let mut group = committer.gather().unwrap();
        committer.write(&mut group);
        committer.sync(group);
        let done = done.lock().unwrap();
        let first = format!("{:020}", 0);
        let created = done.iter().position(|one| {
            one.starts_with("open") && !one.contains(&first) && one.ends_with(".log")
        });
        assert!(created.is_some(), "{done:?}");
        for file in ["log", "index", "timeindex"] {
            let sync = format!("sync {first}.{file}");
            let synced = done.iter().position(|one| *one == sync);
            assert!(synced.is_some() && synced < created, "{file}: {done:?}");
            assert_eq!(done.iter().filter(|one| **one == sync).count(), 1, "{file}: {done:?}");
        }
    }
}

/// Has something queued while a group is gathered, and puts it into another log.
struct Between(Arc<Host>, Mutex<Option<Arc<Committer<dyn CommitTarget>>>>);

impl CommitTarget for Between {
    fn take(&self) -> Option<WriteSet> {
        if let Some(committer) = self.1.lock().unwrap().take()
            && append(&mut self.0.log.lock().unwrap(), batch(&[NOW.0], 50)).needs_commit
        {
            committer.enqueue(Arc::clone(&self.0) as _);
        }
        None
    }

    fn on_commit(&self, _: &CommitEvent) {}
}

#[test]
fn a_log_that_a_group_meets_twice_is_in_it_once() {
    let disk = MemoryDisk::new();
    let (hosts, _) = hosts(&disk, &LogConfig::default(), 1);
    let dir = log_dir(&disk, Path::new("/e"));
    let committer: Arc<Committer<dyn CommitTarget>> = Arc::new(Committer::new(&dir, 1));
    append(&mut hosts[0].log.lock().unwrap(), batch(&[NOW.0], 50));
    let between = Between(Arc::clone(&hosts[0]), Mutex::new(Some(Arc::clone(&committer))));
    committer.enqueue(Arc::clone(&hosts[0]) as _);
    committer.enqueue(Arc::new(between));
    committer.enqueue(Arc::clone(&hosts[0]) as _);
    for end in [1, 2] {
        let mut group = committer.gather().unwrap();
        assert_eq!(group.len(), 1);
        committer.write(&mut group);
        assert_eq!(committer.sync(group), Stage::Durable);
        assert_eq!(hosts[0].log.lock().unwrap().durable_end(), Offset(end));
    }
    assert!(committer.gather().is_none());
}

/// Panics when it hears of its commit.
struct Panics(Arc<Host>);

impl CommitTarget for Panics {
    fn take(&self) -> Option<WriteSet> {
        self.0.take()
    }

    fn on_commit(&self, _: &CommitEvent) {
        panic!("as it is meant to");
    }
}

#[test]
fn a_panic_takes_the_directory_out_of_service_and_nobody_waits() {
    for here in [false, true] {
        let disk = MemoryDisk::new();
        let dir = log_dir(&disk, Path::new("/d"));
        let os = LogConfig { flush_mode: FlushMode::Os, ..LogConfig::default() };
        let options = OpenOptions::new(None, os, NOW);
        let log = PartitionLog::open(&dir, &TopicPartition::new("t", 0), options).unwrap().0;
        let host = Host::new(log);
        // The first segment's files are there.
        append(&mut host.log.lock().unwrap(), batch(&[NOW.0], 50));
        host.log.lock().unwrap().flush_now().unwrap();
        append(&mut host.log.lock().unwrap(), batch(&[NOW.0], 50));
        let committer = Arc::new(Committer::<Panics>::new(&dir, 1));
        let running = Arc::clone(&committer);
        let (done, is_done) = std::sync::mpsc::channel();
        committer.enqueue_quietly(Arc::new(Panics(host)));
        if here {
            let committer = Arc::clone(&committer);
            assert!(std::thread::spawn(move || committer.commit_here()).join().is_err());
            out_of_service(&dir);
        }
        let thread = std::thread::spawn(move || {
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| running.run()));
            done.send(ended.is_ok()).unwrap();
        });
        committer.stop();
        let sound = is_done.recv_timeout(std::time::Duration::from_secs(30));
        assert_eq!(sound, Ok(here), "it ends, and says how");
        thread.join().unwrap();
        out_of_service(&dir);
    }
}

fn out_of_service(dir: &ottla_log::LogDir) {
    let failure = dir.failure().unwrap().to_string();
    assert!(failure.contains("panic"), "{failure}");
}

#[test]
fn what_was_written_in_os_mode_is_durable_no_sooner_than_it_is_synced() {
    let disk = MemoryDisk::new();
    let os = LogConfig { flush_mode: FlushMode::Os, ..LogConfig::default() };
    let (hosts, committer) = hosts(&disk, &os, 1);
    let commit = || {
        committer.enqueue(Arc::clone(&hosts[0]));
        let mut group = committer.gather().unwrap();
        committer.write(&mut group);
        committer.sync(group);
    };
    append(&mut hosts[0].log.lock().unwrap(), batch(&[NOW.0, NOW.0], 50));
    commit();
    {
        let mut log = hosts[0].log.lock().unwrap();
        assert_eq!((log.written_end(), log.durable_end()), (Offset(2), Offset(0)));
        log.set_config(LogConfig::default());
        assert!(log.advance_log_start(Offset(1)));
    }
    commit();
    assert_eq!(hosts[0].log.lock().unwrap().durable_end(), Offset(2));
    let path = Path::new("/d/t-0/00000000000000000000.log");
    let before = disk.files()[path].clone();
    disk.crash(|_| Survival::Nothing);
    assert_eq!(disk.files()[path], before);
}

#[test]
fn what_was_written_in_os_mode_is_synced_also_when_the_segment_ends_with_it() {
    let disk = MemoryDisk::new();
    let os = LogConfig { flush_mode: FlushMode::Os, ..small() };
    let (hosts, committer) = hosts(&disk, &os, 1);
    let commit = |size| {
        append(&mut hosts[0].log.lock().unwrap(), batch(&[NOW.0], size));
        committer.enqueue(Arc::clone(&hosts[0]));
        let mut group = committer.gather().unwrap();
        committer.write(&mut group);
        committer.sync(group)
    };
    assert_eq!(commit(50), Stage::Durable);
    hosts[0].log.lock().unwrap().set_config(small());
    let segment = usize::try_from(small().segment_bytes).unwrap();
    assert_eq!(commit(segment - 100), Stage::Durable);
    assert_eq!(hosts[0].log.lock().unwrap().durable_end(), Offset(2));
    let before = disk.files();
    assert_eq!(
        before.keys().filter(|path| path.extension().is_some_and(|e| e == "log")).count(),
        2
    );
    disk.crash(|_| Survival::Nothing);
    let logs = before.into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "log"));
    for (path, content) in logs {
        assert_eq!(disk.files()[&path], content, "{}", path.display());
    }
}
