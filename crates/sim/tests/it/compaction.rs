//! The power is cut at every operation of a compaction, and names reach the disk in any order: a
//! start finds the old segments or the new ones, nothing aborted is taken for committed, and the
//! next pass gives what an uninterrupted one would have given. `OTTLA_CUTS` says how many states
//! are looked at after each operation (6 unless told).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use ottla_env::ManualClock;
use ottla_log::{
    Answer, CleaningRules, CompactError, CompactionTarget, Compactor, CompactorOptions, LogConfig,
    LogDir, LogDirLimits, OpenOptions, PartitionLog, Pass, ReadRequest, TopicPartition,
};
use ottla_partition::AppendContext;
use ottla_protocol::{LeaderEpoch, Millis, Offset, ProducerEpoch, ProducerId};
use ottla_records::{
    BatchBuilder, BatchOptions, Batches, ControlRecordType, EndTransactionMarker, Scratch,
    end_transaction_batch,
};
use ottla_sim::choose::Draw;
use ottla_sim::disk::{NameOrder, SimDisk};

const NOW: i64 = 1_700_000_000_000;
const RETENTION: i64 = 1000;

type Records = BTreeMap<i64, (Vec<u8>, Option<Vec<u8>>)>;

struct Host(Mutex<PartitionLog>);

impl CompactionTarget for Host {
    fn with_log<R>(&self, work: impl FnOnce(&mut PartitionLog) -> R) -> R {
        work(&mut self.0.lock().unwrap())
    }
}

fn open(disk: &SimDisk, end: Option<Offset>) -> Host {
    let dir = LogDir::open(Arc::new(disk.clone()), Path::new("/d"), LogDirLimits::default());
    let config = LogConfig {
        compact: true,
        segment_bytes: 1200,
        index_interval_bytes: 200,
        tail_bytes: 500,
        ..LogConfig::default()
    };
    let options = OpenOptions {
        recovery_point: end.unwrap_or(Offset::ZERO),
        ..OpenOptions::new(None, config, Millis(NOW))
    };
    let partition = TopicPartition::new("t", 0);
    let (log, report) = PartitionLog::open(&dir.unwrap(), &partition, options).unwrap();
    assert_eq!(report.truncated_bytes, 0, "{report:?}");
    Host(Mutex::new(log))
}

/// Three producers: two of transactions that are aborted or committed, over several segments.
fn fill(host: &Host) {
    let mut sequences = [0; 3];
    let append = |batch: Vec<u8>| {
        host.with_log(|log| {
            let batch = BytesMut::from(batch.as_slice());
            let context = AppendContext::REPLICATION;
            log.append(batch, LeaderEpoch(0), Millis(NOW), &context).unwrap();
        });
    };
    for round in 0..30_i64 {
        for producer in 0..3_usize {
            let mut builder = BatchBuilder::new(BatchOptions {
                producer_id: ProducerId(producer as i64 + 5),
                producer_epoch: ProducerEpoch(0),
                base_sequence: sequences[producer],
                transactional: producer > 0,
                ..BatchOptions::default()
            })
            .unwrap();
            sequences[producer] += 2;
            for i in 0..2 {
                let key = format!("key-{}", (round + i * 3) % 7);
                let value = format!("{producer}-{round}-{i}");
                let value = (round % 5 != 2).then_some(value.as_bytes());
                builder.append(Millis(NOW + round), Some(key.as_bytes()), value, &[]).unwrap();
            }
            append(builder.build().unwrap());
            // Each transaction of the second producer ends three rounds later, aborted.
            let ends = [false, round % 2 == 1, round % 3 == 2][producer];
            if ends {
                let marker = end_transaction_batch(
                    Millis(NOW),
                    ProducerId(producer as i64 + 5),
                    ProducerEpoch(0),
                    producer == 1,
                    EndTransactionMarker { coordinator_epoch: 0 },
                    LeaderEpoch(0),
                );
                append(marker.unwrap());
            }
        }
    }
    host.with_log(|log| log.flush_now()).unwrap();
}

/// What a consumer of committed records sees, in one piece of each segment.
fn committed(host: &Host) -> Records {
    host.with_log(|log| {
        let (start, end) = (log.log_start(), log.log_end());
        log.producers_mut().on_high_watermark(end);
        let up_to = log.producers().last_stable_offset(end, start);
        let mut found = Records::new();
        let mut at = start;
        while at < up_to {
            let request = ReadRequest { from: at, up_to, max_bytes: 1 << 20, at_least_one: true };
            let view = log.view();
            let fetched = match log.read(&request).unwrap() {
                Answer::Ready(fetched) => fetched,
                Answer::Lookup(view) => view.read(&request).unwrap(),
            };
            let mut aborted = view.aborted_transactions(at, fetched.next_offset).unwrap();
            aborted.sort_by_key(|t| std::cmp::Reverse(t.first_offset));
            let mut hidden = BTreeSet::new();
            for batch in fetched.batches.iter().flat_map(|run| Batches::new(run)) {
                let batch = batch.unwrap();
                let header = *batch.header();
                while let Some(t) = aborted.pop_if(|t| t.first_offset <= header.last_offset()) {
                    hidden.insert(t.producer_id);
                }
                let mut scratch = Scratch::new();
                for record in batch.records(&mut scratch, 1 << 20).unwrap() {
                    let record = record.unwrap();
                    if header.attributes.is_control() {
                        let kind = ControlRecordType::parse_key(record.key).unwrap();
                        if kind == ControlRecordType::Abort {
                            hidden.remove(&header.producer_id);
                        }
                    } else if !header.attributes.is_transactional()
                        || !hidden.contains(&header.producer_id)
                    {
                        let value = record.value.map(<[u8]>::to_vec);
                        found.insert(record.offset.0, (record.key.unwrap().to_vec(), value));
                    }
                }
            }
            if fetched.next_offset == at {
                break;
            }
            at = fetched.next_offset;
        }
        found
    })
}

fn compact(host: &Host, checkpoint: Option<Offset>, now: i64) -> Result<Offset, CompactError> {
    let rules =
        CleaningRules { min_dirty_ratio: 0.0, min_lag: Millis(0), max_lag: Millis(i64::MAX) };
    let (view, stable) = host.with_log(|log| {
        let (start, end) = (log.log_start(), log.log_end());
        log.producers_mut().on_high_watermark(end);
        (log.view(), log.producers().last_stable_offset(end, start))
    });
    let dirt = view.dirt(checkpoint, stable, &rules, Millis(now))?;
    let pass = Pass { dirt, delete_retention: Millis(RETENTION), now: Millis(now) };
    let options = CompactorOptions { io_bytes: 4096, ..CompactorOptions::default() };
    Compactor::new(options).run(host, &pass, &mut |_| true).map(|done| done.clean_up_to)
}

/// Two passes, the second after the horizons of the first: what is left in the end.
fn settled(host: &Host) -> Records {
    let clean = compact(host, None, NOW + 100).unwrap();
    compact(host, Some(clean), NOW + 200 + RETENTION).unwrap();
    compact(host, Some(clean), NOW + 300 + 2 * RETENTION).unwrap();
    compact(host, Some(clean), NOW + 400 + 3 * RETENTION).unwrap();
    committed(host)
}

/// Cuts the power at each operation of one pass; `earlier` passes were done before.
fn cut_everywhere(earlier: &[i64], now: i64) {
    let cuts: u64 = std::env::var("OTTLA_CUTS").map_or(6, |n| n.parse().unwrap());
    let disk = SimDisk::new(1, &Arc::new(ManualClock::new(NOW)));
    let host = open(&disk, None);
    fill(&host);
    let all = committed(&host);
    let mut checkpoint = None;
    for time in earlier {
        checkpoint = Some(compact(&host, checkpoint, *time).unwrap());
    }
    let before = committed(&host);
    let end = host.with_log(|log| log.log_end());
    let reference = {
        let host = open(&disk.fork(), Some(end));
        settled(&host)
    };
    drop(host);
    let mut operations = 0;
    loop {
        let dying = disk.fork();
        let host = open(&dying, Some(end));
        dying.die_after(Some(operations));
        let done = compact(&host, checkpoint, now);
        dying.die_after(None);
        let after = done.is_ok().then(|| committed(&host));
        drop(host);
        for seed in 0..cuts {
            let left = dying.fork();
            left.power_cut(NameOrder::Any, &mut Draw::new(seed * 7919 + operations));
            // With and without the recovery point: trusted, and read again.
            let trusted = (seed % 2 == 0).then_some(end);
            let host = open(&left, trusted);
            let found = committed(&host);
            let told = format!("after operation {operations}, seed {seed}");
            assert_eq!(host.with_log(|log| log.log_end()), end, "{told}");
            for (offset, record) in &found {
                assert_eq!(all.get(offset), Some(record), "{told}");
            }
            let last = |records: &Records| {
                let last = records.values().cloned().collect::<BTreeMap<_, _>>();
                last.into_iter().filter(|(_, value)| value.is_some()).collect::<Vec<_>>()
            };
            assert_eq!(last(&found), last(&before), "{told}");
            if let Some(after) = &after {
                assert_eq!(&found, after, "{told}");
            }
            // The dearest look comes last, and not each time.
            if seed + 2 >= cuts {
                assert_eq!(settled(&host), reference, "{told}");
            }
        }
        match done {
            Ok(_) => break,
            Err(CompactError::Failed(_)) => operations += 1,
            Err(CompactError::Interrupted) => panic!("nobody stopped it"),
        }
    }
    assert!(operations > 50, "{operations}");
}

#[test]
fn a_cut_in_the_first_pass_leaves_the_old_or_the_new() {
    cut_everywhere(&[], NOW + 100);
}

#[test]
fn a_cut_in_a_pass_that_drops_markers_leaves_the_old_or_the_new() {
    cut_everywhere(&[NOW + 100, NOW + 200], NOW + 300 + RETENTION);
}
