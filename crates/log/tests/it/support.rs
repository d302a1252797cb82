//! A host for logs, batches to append, and reading all of a log. Must not know what is tested.

use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use ottla_env::Disk;
use ottla_log::{
    Answer, Appended, AtHand, CommitEvent, CommitTarget, Fetched, FlushMode, LoadReport, LogConfig,
    LogDir, LogDirLimits, OpenOptions, PartitionLog, ReadError, ReadRequest, TimestampOffset,
    TopicPartition, WriteSet,
};
use ottla_partition::AppendContext;
use ottla_protocol::{LeaderEpoch, Millis, Offset, ProducerEpoch, ProducerId, TopicId};
use ottla_records::{Batch, BatchBuilder, BatchOptions, Batches};

pub(crate) const NOW: Millis = Millis(1_700_000_000_000);
pub(crate) const TOPIC_ID: TopicId = ottla_protocol::Uuid([7; 16]);

pub(crate) fn log_dir(disk: &(impl Disk + Clone + 'static), path: &Path) -> Arc<LogDir> {
    let limits = LogDirLimits { removal_step_bytes: 300, ..LogDirLimits::default() };
    LogDir::open(Arc::new(disk.clone()), path, limits).unwrap()
}

pub(crate) fn tp() -> TopicPartition {
    TopicPartition::new("t", 0)
}

/// Small segments and indexes, so that little data shows much.
pub(crate) fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 2000,
        index_interval_bytes: 200,
        tail_bytes: 1000,
        ..LogConfig::default()
    }
}

pub(crate) fn os(config: LogConfig) -> LogConfig {
    LogConfig { flush_mode: FlushMode::Os, ..config }
}

pub(crate) fn open(dir: &Arc<LogDir>, config: LogConfig) -> (PartitionLog, LoadReport) {
    PartitionLog::open(dir, &tp(), OpenOptions::new(Some(TOPIC_ID), config, NOW)).unwrap()
}

pub(crate) fn open_clean(
    dir: &Arc<LogDir>,
    config: LogConfig,
    end: Offset,
    log_start: Offset,
) -> (PartitionLog, LoadReport) {
    let options = OpenOptions {
        clean: true,
        recovery_point: end,
        log_start,
        ..OpenOptions::new(Some(TOPIC_ID), config, NOW)
    };
    PartitionLog::open(dir, &tp(), options).unwrap()
}

/// Records with these timestamps, each with a value of `size` bytes.
pub(crate) fn batch_with(options: BatchOptions, timestamps: &[i64], size: usize) -> BytesMut {
    let mut builder = BatchBuilder::new(options).unwrap();
    for (i, timestamp) in timestamps.iter().enumerate() {
        let value = vec![b'a' + (i % 26) as u8; size];
        builder.append(Millis(*timestamp), Some(b"key"), Some(&value), &[]).unwrap();
    }
    BytesMut::from(builder.build().unwrap().as_slice())
}

pub(crate) fn batch(timestamps: &[i64], size: usize) -> BytesMut {
    batch_with(BatchOptions::default(), timestamps, size)
}

pub(crate) fn idempotent(
    id: i64,
    epoch: i16,
    sequence: i32,
    count: usize,
    transactional: bool,
) -> BytesMut {
    let options = BatchOptions {
        producer_id: ProducerId(id),
        producer_epoch: ProducerEpoch(epoch),
        base_sequence: sequence,
        transactional,
        ..BatchOptions::default()
    };
    batch_with(options, &vec![NOW.0; count], 10)
}

pub(crate) fn append(log: &mut PartitionLog, batch: BytesMut) -> Appended {
    log.append(batch, LeaderEpoch(0), NOW, &AppendContext::CLIENT).unwrap()
}

pub(crate) fn fetch(log: &PartitionLog, request: &ReadRequest) -> Result<Fetched, ReadError> {
    match log.read(request)? {
        Answer::Ready(fetched) => Ok(fetched),
        Answer::Lookup(view) => {
            let at_hand = [true, false]
                .map(|lightly| view.read_at_hand(request, AtHand { lightly, ..AtHand::ANY }));
            let read = view.read(request);
            for at_hand in at_hand.into_iter().flatten() {
                assert_eq!(at_hand, *read.as_ref().unwrap());
            }
            read
        }
    }
}

pub(crate) fn list_offset(log: &PartitionLog, timestamp: i64) -> Option<TimestampOffset> {
    match log.list_offset(timestamp) {
        Answer::Ready(found) => found,
        Answer::Lookup(view) => view.list_offset(timestamp).unwrap(),
    }
}

/// All batches from `from` to the log's end, `max_bytes` at a time.
pub(crate) fn read_all(log: &PartitionLog, from: Offset, max_bytes: usize) -> Vec<Bytes> {
    let mut all = Vec::new();
    let mut at = from;
    while at < log.log_end() {
        let request = ReadRequest { from: at, up_to: log.log_end(), max_bytes, at_least_one: true };
        let fetched = fetch(log, &request).unwrap();
        assert!(fetched.next_offset > at, "a read at {at} of {} makes progress", log.log_end());
        assert_eq!(fetched.bytes, fetched.batches.iter().map(Bytes::len).sum::<usize>());
        for run in &fetched.batches {
            for batch in Batches::new(run) {
                let batch = batch.unwrap();
                batch.verify_crc().unwrap();
                all.push(run.slice_ref(batch.bytes()));
            }
        }
        at = fetched.next_offset;
    }
    all
}

pub(crate) fn offsets(batches: &[Bytes]) -> Vec<(i64, i64)> {
    let header = |b: &Bytes| *Batch::parse(b).unwrap().header();
    batches.iter().map(header).map(|h| (h.base_offset.0, h.last_offset().0)).collect()
}

/// A partition of a broker, as far as the committer is concerned.
pub(crate) struct Host {
    pub(crate) log: Mutex<PartitionLog>,
    pub(crate) events: Mutex<Vec<String>>,
}

impl Host {
    pub(crate) fn new(log: PartitionLog) -> Arc<Self> {
        Arc::new(Self { log: Mutex::new(log), events: Mutex::default() })
    }

    pub(crate) fn take_events(&self) -> Vec<String> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }
}

impl CommitTarget for Host {
    fn take(&self) -> Option<WriteSet> {
        self.log.lock().unwrap().take_pending()
    }

    fn on_commit(&self, event: &CommitEvent) {
        self.log.lock().unwrap().on_commit(event);
        let text = match event {
            CommitEvent::Written { end } => format!("written {end}"),
            CommitEvent::Durable { end } => format!("durable {end}"),
            CommitEvent::NoSpace(error) => format!("no space: {error}"),
            CommitEvent::Failed(error) => format!("failed: {error}"),
        };
        self.events.lock().unwrap().push(text);
    }
}
