//! The requests that are counted, with their bounds. Must not know how anything is counted.

use std::ops::Range;

use bytes::Bytes;
use ottla_protocol::k00_produce::{PartitionProduceData, TopicProduceData};
use ottla_protocol::k01_fetch::{FetchPartition, FetchTopic};
use ottla_protocol::k19_create_topics::CreatableTopic;
use ottla_protocol::{CreateTopicsRequest, FetchRequest, Millis, ProduceRequest, Records, TopicId};
use ottla_records::{BatchBuilder, BatchOptions};

use crate::client::{Client, Frame, frame};

/// Requests of a case before anything is counted.
pub(crate) const WARM: usize = 30;
/// Requests that are counted.
pub(crate) const COUNTED: usize = 150;
const ALL: usize = WARM + COUNTED;
/// Of the topic that nobody writes to.
const QUIET_PARTITIONS: i32 = 100;
const WIDE_PARTITIONS: i32 = 16;
/// Records of a large batch.
const LARGE: usize = 100;
const PRODUCE_VERSION: i16 = 13;
const FETCH_VERSION: i16 = 18;
const NOW: Millis = Millis(1_700_000_000_000);

/// Requests of one kind, all of them made before the first is sent.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) frames: Vec<Frame>,
    /// Records of one request, or of its answer.
    pub(crate) records: usize,
    /// Every answer has more bytes than these.
    pub(crate) answer_bytes: usize,
    /// Bounds for one request.
    pub(crate) allocations_max: f64,
    pub(crate) bytes_max: f64,
}

/// The topics: one for each kind of batch, and one without records.
pub(crate) struct Topics {
    small: TopicId,
    large: TopicId,
    wide: TopicId,
    quiet: TopicId,
}

impl Topics {
    pub(crate) fn create(client: &mut Client) -> Self {
        let mut create = |name: &'static str, partitions| {
            let topic = CreatableTopic {
                name: name.into(),
                num_partitions: partitions,
                replication_factor: 1,
                ..CreatableTopic::default()
            };
            let request = CreateTopicsRequest {
                topics: vec![topic],
                timeout_ms: 30_000,
                ..CreateTopicsRequest::default()
            };
            let answer = client.ask(7, &request);
            assert_eq!(answer.topics[0].error_code, 0, "{name}");
            answer.topics[0].topic_id
        };
        Self {
            small: create("small", 1),
            large: create("large", 1),
            wide: create("wide", WIDE_PARTITIONS),
            quiet: create("quiet", QUIET_PARTITIONS),
        }
    }

    /// One batch to one partition, and one to each of many.
    pub(crate) fn produces(&self) -> Vec<Case> {
        let case = |name: &str, request: Frame, records, allocations_max, bytes_max| Case {
            name: format!("produce, {name}"),
            frames: vec![request; ALL],
            records,
            answer_bytes: 0,
            allocations_max,
            bytes_max,
        };
        let one = batch(1, 100);
        let small = produce(self.small, 1, &one);
        let large = produce(self.large, 1, &batch(LARGE, 1024));
        let wide = produce(self.wide, WIDE_PARTITIONS, &one);
        vec![
            case("1 record of 100 B", small, 1, 36.0, 4_500.0),
            case("100 records of 1 KiB", large, LARGE, 34.0, 130_000.0),
            case("16 partitions, 1 record of 100 B each", wide, 16, 200.0, 40_000.0),
        ]
    }

    /// Every record that was counted as acknowledged is there.
    pub(crate) fn verify(&self, client: &mut Client) {
        for (topic, partitions, records) in
            [(self.small, 1, 1), (self.large, 1, LARGE), (self.wide, WIDE_PARTITIONS, 1)]
        {
            let answer = client.ask(FETCH_VERSION, &fetch(topic, 0..partitions, 0, 1, NO_SESSION));
            let found = &answer.responses[0].partitions;
            assert_eq!(found.len(), usize::try_from(partitions).unwrap());
            for partition in found {
                assert_eq!(partition.error_code, 0);
                assert_eq!(partition.high_watermark, i64::try_from(ALL * records).unwrap());
            }
        }
    }

    /// The last records, and what a consumer asks when nothing is new.
    pub(crate) fn fetches(
        &self,
        client: &mut Client,
        from: &str,
        [one_max, many_max, none_max]: [(f64, f64); 3],
    ) -> Vec<Case> {
        let batches = i64::try_from(ALL).unwrap();
        let one = fetch(self.small, 0..1, batches - 1, 1, NO_SESSION);
        let large = i64::try_from(LARGE).unwrap();
        let many = fetch(self.large, 0..1, (batches - 10) * large, 2 << 20, NO_SESSION);
        let session = client
            .ask(FETCH_VERSION, &fetch(self.quiet, 0..QUIET_PARTITIONS, 0, 1 << 20, (0, 0)))
            .session_id;
        assert_ne!(session, 0);
        let quiet = |number: usize| {
            let epoch = i32::try_from(number).unwrap() + 1;
            frame(FETCH_VERSION, &fetch(self.quiet, 0..0, 0, 0, (session, epoch)))
        };
        let case = |name: &str, frames, records, answer_bytes, max: (f64, f64)| Case {
            name: format!("fetch from {from}, {name}"),
            frames,
            records,
            answer_bytes,
            allocations_max: max.0,
            bytes_max: max.1,
        };
        let repeated = |request| vec![frame(FETCH_VERSION, &request); ALL];
        vec![
            case("1 record of 100 B", repeated(one), 1, 150, one_max),
            case("1,000 records of 1 KiB", repeated(many), 10 * LARGE, 1_000_000, many_max),
            case("nothing new", (0..ALL).map(quiet).collect(), 0, 0, none_max),
        ]
    }
}

fn batch(records: usize, size: usize) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions::default()).unwrap();
    for _ in 0..records {
        builder.append(NOW, None, Some(&vec![b'v'; size]), &[]).unwrap();
    }
    Bytes::from(builder.build().unwrap())
}

/// One batch to each of the first `partitions`.
fn produce(topic_id: TopicId, partitions: i32, batch: &Bytes) -> Frame {
    let partition = |index| PartitionProduceData {
        index,
        records: Some(Records::from(batch.clone())),
        ..PartitionProduceData::default()
    };
    let topic = TopicProduceData {
        topic_id,
        partition_data: (0..partitions).map(partition).collect(),
        ..TopicProduceData::default()
    };
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![topic],
        ..ProduceRequest::default()
    };
    frame(PRODUCE_VERSION, &request)
}

/// Session id and epoch of a request that wants none.
const NO_SESSION: (i32, i32) = (0, -1);

/// These partitions from `offset` on; with session `(0, 0)` the answer begins one.
fn fetch(
    topic_id: TopicId,
    partitions: Range<i32>,
    offset: i64,
    partition_max_bytes: i32,
    (session_id, session_epoch): (i32, i32),
) -> FetchRequest {
    let partition = |partition| FetchPartition {
        partition,
        fetch_offset: offset,
        partition_max_bytes,
        ..FetchPartition::default()
    };
    let partitions: Vec<_> = partitions.map(partition).collect();
    let topics = match partitions.is_empty() {
        true => Vec::new(),
        false => vec![FetchTopic { topic_id, partitions, ..FetchTopic::default() }],
    };
    FetchRequest {
        max_bytes: 50 << 20,
        session_id,
        session_epoch,
        topics,
        ..FetchRequest::default()
    }
}
