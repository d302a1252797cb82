//! Requests as the tests need them: one topic, one partition, no session. Must not know brokers.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ottla_protocol::k00_produce::{PartitionProduceData, TopicProduceData};
use ottla_protocol::k01_fetch::{FetchPartition, FetchTopic};
use ottla_protocol::{
    FetchRequest, Millis, ProduceRequest, ProducerEpoch, ProducerId, Records, TopicId,
};
use ottla_records::{BatchBuilder, BatchOptions};

/// When all records were made: today, as brokers delete what is old. In milliseconds, the same
/// throughout a run.
pub(crate) fn time() -> i64 {
    static TIME: OnceLock<i64> = OnceLock::new();
    *TIME.get_or_init(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is set");
        i64::try_from(now.as_millis()).expect("a clock that is set")
    })
}

/// The last version of Produce that names topics, and the first that gives their ids.
pub(crate) const PRODUCE_BY_NAME: i16 = 12;
pub(crate) const PRODUCE_BY_ID: i16 = 13;

/// The same of Fetch.
pub(crate) const FETCH_BY_NAME: i16 = 12;
pub(crate) const FETCH_BY_ID: i16 = 18;

/// A batch of records: milliseconds after [`time`], and value.
pub(crate) fn batch_of(records: &[(i64, &str)]) -> Bytes {
    built(BatchOptions::default(), records)
}

/// A batch with one record.
pub(crate) fn one(value: &str) -> Bytes {
    batch_of(&[(0, value)])
}

/// A batch of `count` records from an idempotent producer.
pub(crate) fn idempotent_batch(
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    base_sequence: i32,
    count: usize,
) -> Bytes {
    let options =
        BatchOptions { producer_id, producer_epoch, base_sequence, ..BatchOptions::default() };
    built(options, &vec![(0, "value"); count])
}

/// A batch that claims to be part of a transaction.
pub(crate) fn transactional_batch(producer_id: ProducerId) -> Bytes {
    let options = BatchOptions {
        producer_id,
        producer_epoch: ProducerEpoch(0),
        base_sequence: 0,
        transactional: true,
        ..BatchOptions::default()
    };
    built(options, &[(0, "value")])
}

fn built(options: BatchOptions, records: &[(i64, &str)]) -> Bytes {
    let mut batch = BatchBuilder::new(options).expect("no codec");
    for (after, value) in records {
        let value = value.as_bytes();
        batch
            .append(Millis(time() + after), Some(b"key"), Some(value), &[])
            .expect("a good record");
    }
    batch.build().expect("a good batch").into()
}

/// Produce of these records (bytes of batches) to one partition of a named topic.
pub(crate) fn produce(topic: &str, partition: i32, acks: i16, records: Bytes) -> ProduceRequest {
    produce_to(
        TopicProduceData { name: topic.into(), ..Default::default() },
        partition,
        acks,
        records,
    )
}

/// The same to a topic given by its id.
pub(crate) fn produce_by_id(
    id: TopicId,
    partition: i32,
    acks: i16,
    records: Bytes,
) -> ProduceRequest {
    produce_to(TopicProduceData { topic_id: id, ..Default::default() }, partition, acks, records)
}

fn produce_to(topic: TopicProduceData, index: i32, acks: i16, records: Bytes) -> ProduceRequest {
    let partition =
        PartitionProduceData { index, records: Some(Records::from(records)), ..Default::default() };
    ProduceRequest {
        acks,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData { partition_data: vec![partition], ..topic }],
        ..Default::default()
    }
}

/// Fetch of what is there from `offset` on, at once and without a session.
pub(crate) fn fetch(topic: &str, partition: i32, offset: i64) -> FetchRequest {
    fetch_from(vec![FetchTopic {
        topic: topic.into(),
        partitions: vec![from(partition, offset)],
        ..Default::default()
    }])
}

/// The same from a topic given by its id.
pub(crate) fn fetch_by_id(id: TopicId, partition: i32, offset: i64) -> FetchRequest {
    fetch_from(vec![FetchTopic {
        topic_id: id,
        partitions: vec![from(partition, offset)],
        ..Default::default()
    }])
}

/// Fetch of these topics, at once and without a session.
pub(crate) fn fetch_from(topics: Vec<FetchTopic>) -> FetchRequest {
    FetchRequest {
        replica_id: -1,
        max_wait_ms: 0,
        min_bytes: 0,
        max_bytes: i32::MAX,
        session_epoch: -1,
        topics,
        ..Default::default()
    }
}

/// A partition from an offset on, up to 64 MiB.
pub(crate) fn from(partition: i32, fetch_offset: i64) -> FetchPartition {
    FetchPartition { partition, fetch_offset, partition_max_bytes: 64 << 20, ..Default::default() }
}
