//! Appending, rolling, reading, looking up, taking away, closing and opening again.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use ottla_env::Disk;
use ottla_env::memory::MemoryDisk;
use ottla_log::{
    Answer, AppendError, AtHand, LogConfig, LogDir, LogDirLimits, LogError, OpenOptions,
    PartitionLog, Piece, ReadError, ReadRequest, SyncOn, TimestampOffset, TopicPartition,
    timestamps,
};
use ottla_partition::{AppendContext, EpochEnd, ProducerError};
use ottla_protocol::{LeaderEpoch, Millis, Offset, ProducerEpoch, ProducerId, Uuid};
use ottla_records::{BatchOptions, Compression, EndTransactionMarker, end_transaction_batch};

use crate::support::*;

fn new(config: LogConfig) -> (MemoryDisk, PartitionLog) {
    let disk = MemoryDisk::new();
    let (log, _) = open(&log_dir(&disk, Path::new("/d")), config);
    (disk, log)
}

fn names(disk: &MemoryDisk) -> Vec<String> {
    let entries = disk.list(Path::new("/d/t-0")).unwrap();
    entries.into_iter().map(|e| format!("{} {}", e.name, e.len)).collect()
}

#[test]
fn offsets_follow_each_other_and_everything_is_read_back() {
    let (_disk, mut log) = new(small());
    for i in 0..40 {
        let appended = append(&mut log, batch(&[NOW.0 + i, NOW.0 + i], 50));
        assert_eq!(
            (appended.base_offset, appended.last_offset),
            (Offset(2 * i), Offset(2 * i + 1))
        );
        assert_eq!(appended.needs_commit, i % 8 == 0);
        if i % 8 == 7 {
            log.flush_now().unwrap();
        }
    }
    assert!(log.segment_count() > 3);
    assert!(log.tail_bytes() <= 1000);
    let expected: Vec<_> = (0..40).map(|i| (2 * i, 2 * i + 1)).collect();
    for max_bytes in [1, 100, 300, 1000, 100_000] {
        assert_eq!(offsets(&read_all(&log, Offset::ZERO, max_bytes)), expected);
    }
    for from in 0..80 {
        // Inside a batch too.
        assert_eq!(offsets(&read_all(&log, Offset(from), 500)), expected[from as usize / 2..]);
    }
}

#[test]
fn reads_keep_to_their_bounds() {
    let (_disk, mut log) = new(LogConfig { tail_bytes: 0, ..LogConfig::default() });
    let sizes: Vec<usize> = (0..10)
        .map(|i| {
            let batch = batch(&[NOW.0, NOW.0], 100 + i);
            let size = batch.len();
            append(&mut log, batch);
            size
        })
        .collect();
    for evicted in [false, true] {
        if evicted {
            log.flush_now().unwrap();
            assert_eq!(log.tail_bytes(), 0);
        }
        let read = |from: i64, up_to: i64, max_bytes: usize, at_least_one: bool| {
            let request =
                ReadRequest { from: Offset(from), up_to: Offset(up_to), max_bytes, at_least_one };
            let fetched = fetch(&log, &request).unwrap();
            (fetched.bytes, fetched.next_offset.0)
        };
        assert_eq!(read(0, 20, 1, false), (0, 0));
        assert_eq!(read(0, 20, 1, true), (sizes[0], 2));
        assert_eq!(read(3, 20, sizes[1], false), (sizes[1], 4));
        assert_eq!(read(0, 20, sizes[0] + sizes[1] + 5, false), (sizes[0] + sizes[1], 4));
        assert_eq!(read(0, 6, 1 << 20, false), (sizes[..3].iter().sum(), 6));
        assert_eq!(read(6, 6, 1 << 20, true), (0, 6));
        assert_eq!(read(0, 1, 1 << 20, true), (0, 0), "no batch that reaches beyond the bound");
        assert_eq!(read(20, 30, 1 << 20, true), (0, 20));
        let request =
            ReadRequest { from: Offset(21), up_to: Offset(21), max_bytes: 1, at_least_one: true };
        assert_eq!(
            fetch(&log, &request),
            Err(ReadError::OutOfRange {
                offset: Offset(21),
                log_start: Offset(0),
                log_end: Offset(20)
            })
        );
    }
}

#[test]
fn a_clean_stop_is_trusted() {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let (mut log, _) = open(&dir, small());
    for i in 0..30 {
        append(&mut log, batch(&[NOW.0 + i], 100));
    }
    log.flush_now().unwrap();
    let before = read_all(&log, Offset::ZERO, 700);
    let max = list_offset(&log, NOW.0 + 7);
    let end = log.close().unwrap();
    assert_eq!(end, Offset(30));
    let files = disk.files();
    let (mut log, report) = open_clean(&dir, small(), end, Offset::ZERO);
    assert_eq!(report, Default::default(), "nothing was read again");
    assert_eq!(disk.files(), files, "nothing was written");
    assert_eq!(log.log_end(), Offset(30));
    assert_eq!(log.topic_id(), Some(TOPIC_ID));
    assert_eq!(log.tail_bytes(), 0);
    assert_eq!(read_all(&log, Offset::ZERO, 700), before);
    assert_eq!(list_offset(&log, NOW.0 + 7), max);
    assert_eq!(append(&mut log, batch(&[NOW.0], 1)).base_offset, Offset(30));
}

#[test]
fn the_files_are_kafkas() {
    let (disk, mut log) = new(LogConfig { segment_bytes: 400, ..small() });
    log.assign_epoch(LeaderEpoch(3));
    for i in 0..8 {
        log.append(batch(&[NOW.0 + 10 * i], 30), LeaderEpoch(3), NOW, &AppendContext::CLIENT)
            .unwrap();
    }
    log.close().unwrap();
    assert_eq!(
        names(&disk),
        [
            "00000000000000000000.index 8",
            "00000000000000000000.log 303",
            "00000000000000000000.timeindex 12",
            "00000000000000000003.index 8",
            "00000000000000000003.log 303",
            "00000000000000000003.snapshot 10",
            "00000000000000000003.timeindex 12",
            "00000000000000000006.index 0",
            "00000000000000000006.log 202",
            "00000000000000000006.snapshot 10",
            "00000000000000000006.timeindex 12",
            "00000000000000000008.snapshot 10",
            "leader-epoch-checkpoint 8",
            "partition.metadata 43",
        ]
    );
    let epochs = disk.read(Path::new("/d/t-0/leader-epoch-checkpoint")).unwrap();
    assert_eq!(epochs, b"0\n1\n3 0\n");
    let index = disk.read(Path::new("/d/t-0/00000000000000000003.index")).unwrap();
    assert_eq!(index, [0, 0, 0, 2, 0, 0, 0, 202], "last offset and start of the third batch");
}

#[test]
fn rolls_follow_kafkas_rules() {
    let config = LogConfig { segment_ms: Millis(1000), segment_bytes: 1 << 20, ..small() };
    let (_disk, mut log) = new(config.clone());
    append(&mut log, batch(&[NOW.0], 10));
    append(&mut log, batch(&[NOW.0 + 1000], 10));
    assert_eq!(log.segment_count(), 1);
    append(&mut log, batch(&[NOW.0 + 1001], 10));
    assert_eq!(log.segment_count(), 2, "a timestamp beyond segment.ms of the first");
    append(&mut log, batch(&[NOW.0 + 1999], 10));
    log.set_config(LogConfig { segment_jitter_ms: Millis(10), ..config.clone() });
    append(&mut log, batch(&[NOW.0 + 1999], 10));
    assert_eq!(log.segment_count(), 3, "the jitter cuts it short");
    log.set_config(LogConfig { segment_index_bytes: 16, ..config });
    for _ in 0..8 {
        append(&mut log, batch(&[NOW.0 + 1999], 300));
    }
    assert!(log.segment_count() >= 5, "full indexes: {}", log.segment_count());
    let too_large =
        log.append(batch(&[NOW.0], 2 << 20), LeaderEpoch(0), NOW, &AppendContext::CLIENT);
    assert!(matches!(too_large, Err(AppendError::TooLarge { .. })));
    assert_eq!(read_all(&log, Offset::ZERO, 500).len(), 13);
}

#[test]
fn timestamps_are_looked_up_as_kafka_does() {
    let (_disk, mut log) = new(small());
    assert_eq!(list_offset(&log, timestamps::MAX), None);
    assert_eq!(list_offset(&log, 0), None);
    log.assign_epoch(LeaderEpoch(5));
    let zstd = BatchOptions { compression: Compression::Zstd, ..BatchOptions::default() };
    for i in 0..60 {
        let t = NOW.0 + 100 * i;
        let made = if i % 2 == 0 {
            batch(&[t, t + 20, t + 10], 40)
        } else {
            batch_with(zstd.clone(), &[t, t + 20, t + 10], 40)
        };
        log.append(made, LeaderEpoch(5), NOW, &AppendContext::CLIENT).unwrap();
    }
    log.flush_now().unwrap();
    let at = |timestamp: i64, offset: i64| {
        Some(TimestampOffset {
            timestamp,
            offset: Offset(offset),
            leader_epoch: Some(LeaderEpoch(5)),
        })
    };
    for i in 0..60 {
        let t = NOW.0 + 100 * i;
        assert_eq!(list_offset(&log, t), at(t, 3 * i));
        assert_eq!(list_offset(&log, t + 5), at(t + 20, 3 * i + 1));
        assert_eq!(list_offset(&log, t - 60), at(t, 3 * i));
    }
    assert_eq!(list_offset(&log, 1), at(NOW.0, 0));
    assert_eq!(list_offset(&log, NOW.0 + 5921), None);
    assert_eq!(list_offset(&log, timestamps::MAX), at(NOW.0 + 5920, 178));
    assert_eq!(list_offset(&log, timestamps::EARLIEST), at(-1, 0));
    assert_eq!(list_offset(&log, timestamps::EARLIEST_LOCAL), at(-1, 0));
    assert_eq!(list_offset(&log, timestamps::LATEST), at(-1, 180));
    let none = Some(TimestampOffset {
        timestamp: -1,
        offset: Offset(-1),
        leader_epoch: Some(LeaderEpoch(-1)),
    });
    assert_eq!(list_offset(&log, timestamps::LATEST_TIERED), none);
    assert_eq!(list_offset(&log, timestamps::EARLIEST_PENDING_UPLOAD), none);
    assert_eq!(
        log.offset_for_leader_epoch(LeaderEpoch(5)),
        EpochEnd { epoch: LeaderEpoch(5), end_offset: Offset(180) }
    );
}

#[test]
fn idempotence_survives_a_restart() {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let (mut log, _) = open(&dir, small());
    for i in 0..7 {
        append(&mut log, idempotent(9, 1, 2 * i, 2, false));
    }
    let again = append(&mut log, idempotent(9, 1, 6, 2, false));
    assert!(again.duplicate && !again.needs_commit);
    assert_eq!((again.base_offset, again.last_offset), (Offset(6), Offset(7)));
    let gap =
        log.append(idempotent(9, 1, 20, 1, false), LeaderEpoch(0), NOW, &AppendContext::CLIENT);
    assert!(matches!(gap, Err(AppendError::Producer(ProducerError::OutOfOrderSequence { .. }))));
    assert_eq!(log.log_end(), Offset(14), "a refusal changes nothing");
    log.flush_now().unwrap();
    for clean in [false, true] {
        if clean {
            log.close().unwrap();
        } else {
            drop(log);
        }
        let found = if clean {
            open_clean(&dir, small(), Offset(14), Offset::ZERO)
        } else {
            open(&dir, small())
        };
        log = found.0;
        let again = append(&mut log, idempotent(9, 1, 12, 2, false));
        assert!(again.duplicate);
        assert_eq!(again.base_offset, Offset(12));
        let old =
            log.append(idempotent(9, 0, 14, 1, false), LeaderEpoch(0), NOW, &AppendContext::CLIENT);
        assert!(matches!(
            old,
            Err(AppendError::Producer(ProducerError::InvalidProducerEpoch { .. }))
        ));
    }
    assert_eq!(append(&mut log, idempotent(9, 1, 14, 1, false)).base_offset, Offset(14));
}

#[test]
fn aborted_transactions_are_indexed() {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let config = LogConfig { segment_bytes: 600, ..small() };
    let (mut log, _) = open(&dir, config.clone());
    let end = |log: &mut PartitionLog, id: i64, commit: bool| {
        let marker = EndTransactionMarker { coordinator_epoch: 1 };
        let made = end_transaction_batch(
            NOW,
            ProducerId(id),
            ProducerEpoch(0),
            commit,
            marker,
            LeaderEpoch(0),
        )
        .unwrap();
        log.append(made.as_slice().into(), LeaderEpoch(0), NOW, &AppendContext::COORDINATOR)
            .unwrap();
    };
    for round in 0..6 {
        for id in [1, 2] {
            log.append_as_replica(&with_offset(&log, idempotent(id, 0, round, 1, true)), NOW)
                .unwrap();
        }
        assert_eq!(log.producers().first_undecided_offset(), Some(Offset(i64::from(round) * 4)));
        end(&mut log, 1, true);
        end(&mut log, 2, false);
    }
    log.flush_now().unwrap();
    let aborted = |log: &PartitionLog, from: i64, up_to: i64| {
        let found = log.view().aborted_transactions(Offset(from), Offset(up_to)).unwrap();
        found
            .iter()
            .map(|a| (a.producer_id.0, a.first_offset.0, a.last_offset.0))
            .collect::<Vec<_>>()
    };
    let all: Vec<_> = (0..6).map(|i| (2, 4 * i + 1, 4 * i + 3)).collect();
    assert!(log.segment_count() > 2);
    assert_eq!(aborted(&log, 0, 24), all);
    assert_eq!(aborted(&log, 9, 14), all[2..4]);
    drop(log);
    let (log, report) = open(&dir, config);
    assert!(report.recovered_segments > 2);
    assert_eq!(aborted(&log, 0, 24), all, "the index was rebuilt");
}

fn with_offset(log: &PartitionLog, mut batch: bytes::BytesMut) -> bytes::Bytes {
    ottla_records::set_base_offset_and_epoch(&mut batch, log.log_end(), LeaderEpoch(0));
    batch.freeze()
}

#[test]
fn replicated_batches_keep_their_offsets() {
    let (_disk, mut log) = new(small());
    let mut run = Vec::new();
    for (base, epoch) in [(5, 1), (6, 1), (20, 4)] {
        let mut made = batch(&[NOW.0], 10);
        ottla_records::set_base_offset_and_epoch(&mut made, Offset(base), LeaderEpoch(epoch));
        run.extend_from_slice(&made);
    }
    let done = log.append_as_replica(&run.clone().into(), NOW).unwrap();
    assert_eq!((done.last_offset, log.log_end()), (Offset(20), Offset(21)));
    let entries: Vec<_> =
        log.epochs().entries().iter().map(|e| (e.epoch.0, e.start_offset.0)).collect();
    assert_eq!(entries, [(1, 5), (4, 20)]);
    let again = log.append_as_replica(&run.clone().into(), NOW);
    assert_eq!(again, Err(AppendError::OutOfOrder { base_offset: Offset(5), log_end: Offset(21) }));
    let last = run.len() - 1;
    run[last] ^= 1;
    assert!(matches!(
        log.append_as_replica(&run[2 * run.len() / 3..].to_vec().into(), NOW),
        Err(AppendError::Malformed(_))
    ));
}

#[test]
fn the_start_moves_and_old_segments_go() {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let (mut log, _) = open(&dir, small());
    for i in 0..60 {
        append(&mut log, batch(&[NOW.0 + i], 100));
    }
    log.flush_now().unwrap();
    let segments = log.segment_count();
    let view = log.view();
    assert!(log.advance_log_start(Offset(30)));
    assert!(!log.advance_log_start(Offset(29)), "never back");
    assert!(log.delete_old_segments(Offset(30)));
    log.flush_now().unwrap();
    assert!(log.segment_count() < segments);
    assert_eq!(offsets(&read_all(&log, Offset(30), 500))[0], (30, 30));
    let below =
        ReadRequest { from: Offset(29), up_to: Offset(60), max_bytes: 1, at_least_one: true };
    assert!(matches!(log.read(&below), Err(ReadError::OutOfRange { .. })));
    // Who had looked before gets an answer, or is told to look again.
    let old = ReadRequest { from: Offset(0), ..below };
    assert!(matches!(view.read(&old), Ok(_) | Err(ReadError::OutOfRange { .. })));
    assert_eq!(list_offset(&log, NOW.0).unwrap().offset, Offset(30));
    assert_eq!(log.epochs().earliest().unwrap().start_offset, Offset(30));
    let end = log.close().unwrap();
    let (log, _) = open_clean(&dir, small(), end, Offset(30));
    assert_eq!((log.log_start(), log.log_end()), (Offset(30), Offset(60)));
}

#[test]
fn a_log_that_ends_below_its_start_begins_anew() {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let (mut log, _) = open(&dir, small());
    append(&mut log, batch(&[NOW.0], 10));
    log.close().unwrap();
    // The start is written down after what it lies behind is durable: one of the two is damaged.
    let options = OpenOptions {
        clean: true,
        recovery_point: Offset(1),
        log_start: Offset(100),
        ..OpenOptions::new(Some(TOPIC_ID), small(), NOW)
    };
    let refused = PartitionLog::open(&dir, &tp(), options).unwrap_err();
    assert!(matches!(refused, LogError::Damaged { .. }), "{refused}");
    // Not so with `flush.mode=os`.
    let (mut log, report) = open_clean(&dir, os(small()), Offset(1), Offset(100));
    assert_eq!((log.log_start(), log.log_end()), (Offset(100), Offset(100)));
    assert_eq!(
        report.warnings,
        ["/d/t-0: the log ends at 1, below its start 100; it begins anew there"]
    );
    assert_eq!(append(&mut log, batch(&[NOW.0], 10)).base_offset, Offset(100));
    log.close().unwrap();
    assert!(names(&disk).iter().all(|n| n.starts_with("00000000000000000100.")
        || n.starts_with("00000000000000000101.snapshot")
        || !n.starts_with('0')));
}

#[test]
fn truncation_forgets_what_was_cut() {
    for cut in 0..=60_i64 {
        let disk = MemoryDisk::new();
        let dir = log_dir(&disk, Path::new("/d"));
        let (mut log, _) = open(&dir, small());
        for i in 0..30 {
            log.append(
                idempotent(4, 0, 2 * i, 2, false),
                LeaderEpoch(i / 10),
                NOW,
                &AppendContext::CLIENT,
            )
            .unwrap();
            if i == 20 {
                log.flush_now().unwrap();
            }
        }
        log.truncate_to(Offset(cut), NOW).unwrap();
        let left = cut / 2;
        assert_eq!(log.log_end(), Offset(2 * left));
        assert!(log.durable_end() == log.log_end() || cut == 60);
        let expected: Vec<_> = (0..left).map(|i| (2 * i, 2 * i + 1)).collect();
        assert_eq!(offsets(&read_all(&log, Offset::ZERO, 600)), expected);
        assert!(log.epochs().latest().is_none_or(|e| e.start_offset < log.log_end()));
        let next = append_at(&mut log, 2 * left as i32);
        assert_eq!(next, Offset(2 * left), "its sequence fits what is left");
        log.close().unwrap();
        let (log, report) = open_clean(&dir, small(), Offset(2 * left + 2), Offset::ZERO);
        assert_eq!(report.recovered_segments, 0);
        assert_eq!(offsets(&read_all(&log, Offset::ZERO, 600)).len() as i64, left + 1);
    }
}

fn append_at(log: &mut PartitionLog, sequence: i32) -> Offset {
    log.append(idempotent(4, 0, sequence, 2, false), LeaderEpoch(7), NOW, &AppendContext::CLIENT)
        .unwrap()
        .base_offset
}

#[test]
fn truncating_everything_starts_at_the_given_offset() {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let (mut log, _) = open(&dir, small());
    for _ in 0..30 {
        append(&mut log, batch(&[NOW.0], 100));
    }
    log.truncate_fully_and_start_at(Offset(500), NOW).unwrap();
    assert_eq!(
        (log.log_start(), log.log_end(), log.segment_count()),
        (Offset(500), Offset(500), 1)
    );
    assert!(log.epochs().is_empty() && log.producers().is_empty());
    append(&mut log, batch(&[NOW.0], 100));
    log.flush_now().unwrap();
    drop(log);
    let (log, _) = open(&dir, small());
    assert_eq!(offsets(&read_all(&log, Offset(500), 100)), [(500, 500)]);
}

#[test]
fn another_topics_directory_is_refused() {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    drop(open(&dir, small()));
    let other = OpenOptions::new(Some(Uuid([8; 16])), small(), NOW);
    let error = PartitionLog::open(&dir, &tp(), other).unwrap_err();
    assert!(matches!(error, LogError::TopicId { .. }), "{error}");
}

#[test]
fn an_idle_log_holds_no_batches() {
    let (_disk, mut log) = new(LogConfig::default());
    append(&mut log, batch(&[NOW.0], 1000));
    for _ in 0..3 {
        log.evict_tail();
        assert!(log.tail_bytes() > 0, "what is not written stays");
    }
    log.flush_now().unwrap();
    append(&mut log, batch(&[NOW.0], 1000));
    log.flush_now().unwrap();
    log.evict_tail();
    assert!(log.tail_bytes() > 0, "not idle yet");
    log.evict_tail();
    assert_eq!(log.tail_bytes(), 0);
    assert_eq!(read_all(&log, Offset::ZERO, 10).len(), 2);
}

#[test]
fn a_closed_log_takes_nothing_and_is_still_read() {
    let (_disk, mut log) = new(small());
    append(&mut log, batch(&[NOW.0], 10));
    assert_eq!(log.shut(SyncOn::Open), Ok(true));
    assert_eq!(log.durable_end(), Offset(1));
    let refused = log.append(batch(&[NOW.0], 10), LeaderEpoch(0), NOW, &AppendContext::CLIENT);
    assert_eq!(refused.unwrap_err().to_string(), "/d/t-0 is out of service: it was closed");
    assert_eq!(read_all(&log, Offset::ZERO, 10).len(), 1);
}

#[test]
fn logs_share_the_memory_for_readers_and_keep_their_last_commit() {
    let disk = MemoryDisk::new();
    let limits = LogDirLimits { tail_share_bytes: 2500, ..LogDirLimits::default() };
    let dir = LogDir::open(Arc::new(disk), Path::new("/d"), limits).unwrap();
    // What is durable does not matter.
    let mut logs: Vec<_> = [(0, LogConfig::default()), (1, os(LogConfig::default()))]
        .into_iter()
        .map(|(index, config)| {
            let options = OpenOptions::new(Some(TOPIC_ID), config, NOW);
            PartitionLog::open(&dir, &TopicPartition::new("t", index), options).unwrap().0
        })
        .collect();
    let commit = |log: &mut PartitionLog, batches: usize| {
        for _ in 0..batches {
            append(log, batch(&[NOW.0], 300));
        }
        log.flush_now().unwrap();
        log.tail_bytes()
    };
    let one = commit(&mut logs[0], 1);
    assert!((300..500).contains(&one));
    // Alone it may have all; what one commit wrote stays whatever it is.
    assert_eq!(commit(&mut logs[0], 4), 5 * one);
    assert_eq!(commit(&mut logs[0], 10), 10 * one);
    assert_eq!(commit(&mut logs[0], 1), 2500 / one * one);
    // Of two each has half, when its turn comes.
    assert_eq!(commit(&mut logs[1], 5), 5 * one);
    assert_eq!(logs[0].tail_bytes(), 2500 / one * one);
    for log in &mut logs {
        assert_eq!(commit(log, 1), 1250 / one * one);
    }
    // An idle one has nothing, and the other all again.
    for _ in 0..2 {
        logs[1].evict_tail();
    }
    assert_eq!(logs[1].tail_bytes(), 0);
    assert_eq!(commit(&mut logs[0], 1), (1250 / one + 1) * one);
    for log in &logs {
        let count = log.log_end().0;
        assert_eq!(read_all(log, Offset::ZERO, 1000).len() as i64, count);
    }
}

#[test]
fn who_goes_on_reading_finds_the_next_batches_at_hand() {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let (mut log, _) = open(&dir, LogConfig { tail_bytes: 0, ..small() });
    for _ in 0..30 {
        append(&mut log, batch(&[NOW.0], 150));
    }
    log.flush_now().unwrap();
    let (mut at, mut at_hand, mut limited) = (Offset::ZERO, 0, 0);
    while at < log.log_end() {
        let up_to = log.log_end();
        let request = ReadRequest { from: at, up_to, max_bytes: 500, at_least_one: true };
        let Answer::Lookup(view) = log.read(&request).unwrap() else { panic!("it is in memory") };
        let found = view.read_at_hand(&request, AtHand::ANY);
        assert_eq!(found, view.read_at_hand(&request, AtHand { lightly: true, ..AtHand::ANY }));
        // It is as much as was asked for, or the rest of the segment.
        let more = view.read_at_hand(&request, AtHand { bytes: 499, ..AtHand::ANY });
        assert!(more.is_none() || more.as_ref().is_some_and(|more| more.bytes < 500));
        limited += usize::from(found.is_some() && more.is_none());
        assert!(more.is_none() || more == found);
        at_hand += usize::from(found.is_some());
        at = found.unwrap_or_else(|| view.read(&request).unwrap()).next_offset;
    }
    // All but the first of each segment.
    let segments = log.segment_count();
    assert!(at_hand > segments, "{at_hand} at hand in {segments} segments");
    assert!(limited > 0 && limited <= at_hand, "{limited} of {at_hand} were too much");
}

#[test]
fn who_reads_gives_way_before_every_piece_and_finds_the_same() {
    let disk = MemoryDisk::new();
    let dir = log_dir(&disk, Path::new("/d"));
    let (mut log, _) = open(&dir, LogConfig { tail_bytes: 0, ..LogConfig::default() });
    for _ in 0..30 {
        append(&mut log, batch(&[NOW.0], 150));
    }
    log.flush_now().unwrap();
    let (from, up_to) = (Offset::ZERO, log.log_end());
    let request = ReadRequest { from, up_to, max_bytes: 3000, at_least_one: true };
    let whole = log.view().read(&request).unwrap();
    assert!(whole.bytes > 2000);
    // A piece of nothing is one of a byte: it comes to an end.
    for piece in [0, 1, 100, 1000, usize::MAX] {
        let times = Cell::new(0);
        let give_way = || {
            times.set(times.get() + 1);
            Piece { bytes: piece, read_ahead: false }
        };
        assert_eq!(log.view().read_giving_way(&request, &give_way).unwrap(), whole);
        assert!(times.get() > 2000 / piece.max(1), "{} times {piece} bytes", times.get());
    }
}
