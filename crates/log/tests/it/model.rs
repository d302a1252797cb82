//! Random appends, commits, restarts and removals against a model that is a list of batches.

use std::path::Path;

use bytes::Bytes;
use ottla_env::Disk;
use ottla_env::memory::MemoryDisk;
use ottla_env_os::OsDisk;
use ottla_log::{LogConfig, OpenOptions, PartitionLog, ReadRequest};
use ottla_partition::AppendContext;
use ottla_protocol::{LeaderEpoch, Offset};
use ottla_records::Batch;
use proptest::prelude::*;

use crate::support::*;

#[derive(Clone, Debug)]
enum Step {
    Append { records: usize, size: usize, time: i64, epoch_rises: bool },
    Flush,
    Read { from: u16, span: u16, max_bytes: usize, at_least_one: bool },
    Time(i64),
    Restart { clean: bool },
    AdvanceStart(u16),
    Truncate(u16),
    Evict,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..5_usize, 0..200_usize, 0..1000_i64, prop::bool::weighted(0.1))
            .prop_map(|(records, size, time, epoch_rises)| Step::Append { records, size, time, epoch_rises }),
        3 => Just(Step::Flush),
        4 => (any::<u16>(), any::<u16>(), prop_oneof![0..1000_usize, Just(1 << 20)], any::<bool>())
            .prop_map(|(from, span, max_bytes, at_least_one)| Step::Read { from, span, max_bytes, at_least_one }),
        2 => (-5..1100_i64).prop_map(Step::Time),
        1 => any::<bool>().prop_map(|clean| Step::Restart { clean }),
        1 => any::<u16>().prop_map(Step::AdvanceStart),
        1 => any::<u16>().prop_map(Step::Truncate),
        1 => Just(Step::Evict),
    ]
}

/// The log as a list.
#[derive(Default)]
struct Model {
    batches: Vec<Bytes>,
    log_start: i64,
    epoch: i32,
}

impl Model {
    fn end(&self) -> i64 {
        self.batches.last().map_or(self.log_start, |b| last(b) + 1).max(self.log_start)
    }

    fn pick(&self, n: u16) -> i64 {
        self.log_start + i64::from(n) % (self.end() - self.log_start + 1)
    }

    fn read(&self, request: &ReadRequest) -> Vec<Bytes> {
        let mut found = Vec::new();
        let mut bytes = 0;
        for batch in self.batches.iter().filter(|b| last(b) >= request.from.0) {
            let fits = bytes + batch.len() <= request.max_bytes
                || (found.is_empty() && request.at_least_one);
            if !fits || last(batch) >= request.up_to.0 {
                break;
            }
            bytes += batch.len();
            found.push(batch.clone());
        }
        found
    }

    fn at_time(&self, timestamp: i64) -> Option<(i64, i64)> {
        let mut scratch = ottla_records::Scratch::new();
        for bytes in &self.batches {
            let batch = Batch::parse(bytes).unwrap();
            for record in batch.records(&mut scratch, 1 << 20).unwrap() {
                let record = record.unwrap();
                if record.timestamp.0 >= timestamp && record.offset.0 >= self.log_start {
                    return Some((record.timestamp.0, record.offset.0));
                }
            }
        }
        None
    }
}

fn last(batch: &Bytes) -> i64 {
    Batch::parse(batch).unwrap().header().last_offset().0
}

fn concat(batches: &[Bytes]) -> Vec<u8> {
    batches.iter().flat_map(|b| b.iter().copied()).collect()
}

fn check_read(log: &PartitionLog, model: &Model, request: &ReadRequest) {
    let fetched = fetch(log, request).unwrap();
    let (got, expected) = (concat(&fetched.batches), concat(&model.read(request)));
    // A read may end earlier (at a segment's end, or where memory begins), never elsewhere.
    assert!(expected.starts_with(&got), "{request:?}");
    assert!(!got.is_empty() || expected.is_empty(), "{request:?} gave nothing");
}

fn run(steps: Vec<Step>, config: &LogConfig, disk: &(impl Disk + Clone + 'static), path: &Path) {
    let dir = log_dir(disk, path);
    let mut log = open(&dir, config.clone()).0;
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append { records, size, time, epoch_rises } => {
                model.epoch += i32::from(epoch_rises);
                let times: Vec<_> =
                    (0..records as i64).map(|i| NOW.0 + (time * (i + 1)) % 1000).collect();
                let appended = log
                    .append(
                        batch(&times, size),
                        LeaderEpoch(model.epoch),
                        NOW,
                        &AppendContext::CLIENT,
                    )
                    .unwrap();
                assert_eq!(appended.base_offset.0, model.end());
                let request = ReadRequest {
                    from: appended.base_offset,
                    up_to: log.log_end(),
                    max_bytes: 0,
                    at_least_one: true,
                };
                model.batches.extend(fetch(&log, &request).unwrap().batches);
            }
            Step::Flush => log.flush_now().unwrap(),
            Step::Read { from, span, max_bytes, at_least_one } => {
                let from = Offset(model.pick(from));
                let up_to = Offset((from.0 + i64::from(span) % 40).min(model.end()));
                check_read(&log, &model, &ReadRequest { from, up_to, max_bytes, at_least_one });
            }
            Step::Time(time) => {
                log.flush_now().unwrap();
                let found = list_offset(&log, NOW.0 + time).map(|f| (f.timestamp, f.offset.0));
                // As in Kafka only the first segment that reaches the timestamp is searched, so a
                // log that begins within a segment may answer "none".
                if found.is_some() || model.log_start == 0 {
                    assert_eq!(found, model.at_time(NOW.0 + time));
                }
            }
            Step::Restart { clean } => {
                let start = Offset(model.log_start);
                log = if clean {
                    let end = log.close().unwrap();
                    let (log, report) = open_clean(&dir, config.clone(), end, start);
                    assert_eq!(report.recovered_segments, 0);
                    log
                } else {
                    log.flush_now().unwrap();
                    drop(log);
                    let options = OpenOptions {
                        log_start: start,
                        ..OpenOptions::new(Some(TOPIC_ID), config.clone(), NOW)
                    };
                    PartitionLog::open(&dir, &tp(), options).unwrap().0
                };
                assert_eq!(log.log_end().0, model.end());
                let epoch = log.epochs().latest().map(|e| e.epoch.0);
                let expected = model
                    .batches
                    .last()
                    .map(|b| Batch::parse(b).unwrap().header().partition_leader_epoch.0);
                assert_eq!(epoch, expected.or(epoch));
            }
            Step::AdvanceStart(n) => {
                model.log_start = model.pick(n);
                log.advance_log_start(Offset(model.log_start));
                log.delete_old_segments(Offset(model.log_start));
                let start = model.log_start;
                model.batches.retain(|b| last(b) >= start);
            }
            Step::Truncate(n) => {
                let to = model.pick(n);
                log.truncate_to(Offset(to), NOW).unwrap();
                model.batches.retain(|b| last(b) < to);
                assert_eq!(log.log_end().0, model.end());
            }
            Step::Evict => log.evict_tail(),
        }
    }
    assert_eq!(log.log_start().0, model.log_start);
    assert_eq!(concat(&read_all(&log, log.log_start(), 777)), concat(&model.batches));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_a_list_of_batches(steps in prop::collection::vec(step(), 1..80), mode in any::<bool>()) {
        let config = if mode { os(small()) } else { small() };
        run(steps, &config, &MemoryDisk::new(), Path::new("/d"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    #[test]
    fn on_the_real_disk_too(steps in prop::collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        run(steps, &small(), &OsDisk, dir.path());
    }
}
