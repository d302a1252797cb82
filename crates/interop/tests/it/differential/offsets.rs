//! What is said of logs: ListOffsets, OffsetForLeaderEpoch, DeleteRecords, DescribeProducers,
//! InitProducerId, and Fetch where it refuses.

use ottla_protocol::k02_list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use ottla_protocol::k21_delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use ottla_protocol::k23_offset_for_leader_epoch::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use ottla_protocol::k61_describe_producers::TopicRequest;
use ottla_protocol::{
    ApiKey, DeleteRecordsRequest, DescribeProducersRequest, DescribeProducersResponse, ErrorCode,
    InitProducerIdRequest, InitProducerIdResponse, ListOffsetsRequest, ListOffsetsResponse,
    OffsetForLeaderEpochRequest, ProducerEpoch, ProducerId,
};

use super::pair::{Pair, versions};
use super::topics::{create, settle, topic};
use crate::wire::requests::{batch_of, fetch, idempotent_batch, produce, time as base_time};

pub(super) fn compare(pair: &mut Pair) -> anyhow::Result<()> {
    let topics = [topic("log", 2, 1), topic("empty", 1, 1), topic("cut", 1, 1)];
    create(pair, "for offsets", 7, &topics, false)?;
    settle(pair, &["log", "empty", "cut"])?;
    fill(pair)?;
    list_offsets(pair)?;
    leader_epochs(pair)?;
    fetches(pair)?;
    producers(pair)?;
    delete_records(pair)?;
    list_offsets(pair)?;
    init_producer_id(pair)
}

fn fill(pair: &mut Pair) -> anyhow::Result<()> {
    // The largest time stands neither first nor last.
    for times in [&[0, 5, 3][..], &[100, 900, 400], &[600, 700], &[800]] {
        let records: Vec<(i64, &str)> = times.iter().map(|time| (*time, "value")).collect();
        for topic in ["log", "cut"] {
            pair.both("filling", 11, |_| produce(topic, 0, -1, batch_of(&records)))?;
        }
    }
    for sequence in [0, 1, 2] {
        let batch = idempotent_batch(ProducerId(4000), ProducerEpoch(3), sequence, 1);
        pair.both("filling", 11, |_| produce("log", 1, -1, batch.clone()))?;
    }
    Ok(())
}

/// Kafka answers topics and partitions in the order of a hash map.
fn sorted(answer: &mut ListOffsetsResponse) {
    answer.topics.sort_by(|a, b| a.name.cmp(&b.name));
    for topic in &mut answer.topics {
        topic.partitions.sort_by_key(|partition| partition.partition_index);
    }
}

fn list_offsets(pair: &mut Pair) -> anyhow::Result<()> {
    let asked: [(&str, &[i32]); 4] =
        [("log", &[0, 1, 9]), ("empty", &[0]), ("cut", &[0]), ("nobody", &[0])];
    let mut times: Vec<i64> = (-8..=0).collect();
    times.extend([0, 1, 4, 5, 6, 99, 100, 650, 800, 900, 901].map(|after| base_time() + after));
    times.push(i64::MAX);
    times.push(i64::MIN);
    for version in versions(ApiKey::ListOffsets) {
        for time in &times {
            let request = |isolation_level: i8, current_leader_epoch: i32| {
                let partition = |partition_index: &i32| ListOffsetsPartition {
                    partition_index: *partition_index,
                    current_leader_epoch,
                    timestamp: *time,
                    ..Default::default()
                };
                let topic = |(name, partitions): &(&str, &[i32])| ListOffsetsTopic {
                    name: (*name).into(),
                    partitions: partitions.iter().map(partition).collect(),
                    ..Default::default()
                };
                ListOffsetsRequest {
                    replica_id: -1,
                    isolation_level,
                    topics: asked.iter().map(topic).collect(),
                    timeout_ms: if version >= 10 { 5_000 } else { 0 },
                    ..Default::default()
                }
            };
            let case = format!("at {}", if *time > 0 { *time - base_time() } else { *time });
            pair.both_less(&case, version, |_| request(0, -1), sorted)?;
            if version >= 2 {
                let case = format!("{case}, committed");
                pair.both_less(&case, version, |_| request(1, -1), sorted)?;
            }
        }
        if version >= 4 {
            for epoch in [0, 1, 99, -2] {
                let partition = ListOffsetsPartition {
                    current_leader_epoch: epoch,
                    timestamp: -1,
                    ..Default::default()
                };
                let topic = ListOffsetsTopic {
                    name: "log".into(),
                    partitions: vec![partition],
                    ..Default::default()
                };
                pair.both(&format!("epoch {epoch}"), version, |_| ListOffsetsRequest {
                    replica_id: -1,
                    topics: vec![topic.clone()],
                    ..Default::default()
                })?;
            }
        }
        let partition = || ListOffsetsPartition { timestamp: -1, ..Default::default() };
        pair.both("a partition twice", version, |_| ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: "log".into(),
                partitions: vec![partition(), partition()],
                ..Default::default()
            }],
            ..Default::default()
        })?;
        for replica_id in [-2, -3, 1, 5] {
            pair.both(&format!("replica {replica_id}"), version, |_| ListOffsetsRequest {
                replica_id,
                topics: vec![ListOffsetsTopic {
                    name: "log".into(),
                    partitions: vec![partition()],
                    ..Default::default()
                }],
                ..Default::default()
            })?;
        }
    }
    Ok(())
}

fn leader_epochs(pair: &mut Pair) -> anyhow::Result<()> {
    for version in versions(ApiKey::OffsetForLeaderEpoch) {
        for (current_leader_epoch, leader_epoch) in
            [(-1, 0), (-1, 1), (-1, -1), (-1, -2), (0, 0), (1, 0), (99, 0), (-1, i32::MAX)]
        {
            let partition = |partition| OffsetForLeaderPartition {
                partition,
                current_leader_epoch,
                leader_epoch,
                ..Default::default()
            };
            let topic = |name: &str, partitions: &[i32]| OffsetForLeaderTopic {
                topic: name.into(),
                partitions: partitions.iter().copied().map(partition).collect(),
                ..Default::default()
            };
            let topics =
                vec![topic("log", &[0, 1, 9]), topic("empty", &[0]), topic("nobody", &[0])];
            let case = format!("epoch {leader_epoch} in {current_leader_epoch}");
            pair.both(&case, version, |_| OffsetForLeaderEpochRequest {
                replica_id: if version >= 3 { -1 } else { -2 },
                topics: topics.clone(),
                ..Default::default()
            })?;
        }
    }
    Ok(())
}

/// Fetches that are refused or find nothing; what is found is compared with the batches.
fn fetches(pair: &mut Pair) -> anyhow::Result<()> {
    let cases = [
        ("log", 0, 0),
        ("log", 0, 4),
        ("log", 0, 9),
        ("log", 0, 10),
        ("log", 0, -1),
        ("log", 0, i64::MAX),
        ("log", 9, 0),
        ("empty", 0, 0),
        ("nobody", 0, 0),
    ];
    for version in versions(ApiKey::Fetch) {
        for (topic, partition, offset) in cases {
            pair.both(&format!("{topic} {partition} at {offset}"), version, |side| {
                let mut request = fetch(topic, partition, offset);
                if version >= 13 {
                    let id = side.id(topic);
                    for topic in &mut request.topics {
                        topic.topic = "".into();
                        topic.topic_id =
                            if id.is_zero() { ottla_protocol::Uuid([8; 16]) } else { id };
                    }
                }
                request
            })?;
        }
        if version < 9 {
            continue;
        }
        for (epoch, last) in [(0, -1), (1, -1), (99, -1), (-2, -1), (0, 0), (0, 3), (-1, 7)] {
            if version < 12 && last != -1 {
                continue;
            }
            pair.both(&format!("epoch {epoch}, last {last}"), version, |side| {
                let mut request = fetch("log", 0, 2);
                for topic in &mut request.topics {
                    if version >= 13 {
                        topic.topic = "".into();
                        topic.topic_id = side.id("log");
                    }
                    for partition in &mut topic.partitions {
                        partition.current_leader_epoch = epoch;
                        partition.last_fetched_epoch = last;
                    }
                }
                request
            })?;
        }
    }
    Ok(())
}

fn producers(pair: &mut Pair) -> anyhow::Result<()> {
    let topic = |name: &str, partitions: &[i32]| TopicRequest {
        name: name.into(),
        partition_indexes: partitions.to_vec(),
        ..Default::default()
    };
    for (case, topics) in [
        ("some", vec![topic("log", &[0, 1])]),
        ("unknown", vec![topic("log", &[7]), topic("nobody", &[0]), topic("a b", &[0])]),
        ("nothing", vec![]),
        ("no partition", vec![topic("log", &[])]),
    ] {
        let request =
            |_: &_| DescribeProducersRequest { topics: topics.clone(), ..Default::default() };
        let times = |answer: &mut DescribeProducersResponse| {
            let partitions = answer.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            for producer in partitions.flat_map(|partition| &mut partition.active_producers) {
                producer.last_timestamp = producer.last_timestamp.min(1);
            }
        };
        pair.both_less(case, 0, request, times)?;
    }
    Ok(())
}

fn delete_records(pair: &mut Pair) -> anyhow::Result<()> {
    for version in versions(ApiKey::DeleteRecords) {
        let ahead = i64::from(version);
        for (topic, partition_index, offset) in [
            ("cut", 0, 1 + ahead),
            ("cut", 0, 0),
            ("cut", 0, 10),
            ("cut", 0, -2),
            ("cut", 0, i64::MAX),
            ("cut", 5, 1),
            ("empty", 0, -1),
            ("empty", 0, 0),
            ("empty", 0, 1),
            ("nobody", 0, 1),
            ("a b", 0, 1),
        ] {
            let partition =
                DeleteRecordsPartition { partition_index, offset, ..Default::default() };
            let topics = vec![DeleteRecordsTopic {
                name: topic.into(),
                partitions: vec![partition],
                ..Default::default()
            }];
            pair.both(&format!("{topic} {partition_index} to {offset}"), version, |_| {
                DeleteRecordsRequest {
                    topics: topics.clone(),
                    timeout_ms: 30_000,
                    ..Default::default()
                }
            })?;
        }
        pair.both("nothing", version, |_| DeleteRecordsRequest::default())?;
    }
    Ok(())
}

fn init_producer_id(pair: &mut Pair) -> anyhow::Result<()> {
    let fresh = |answer: &mut InitProducerIdResponse| {
        answer.producer_id = answer.producer_id.min(0);
    };
    // Kafka fetches its first block of ids when it is asked for the first.
    for side in [&mut pair.kafka, &mut pair.ottla] {
        let request = InitProducerIdRequest { transactional_id: None, ..Default::default() };
        let mut tries = 0;
        while side.ask(4, &request)?.error_code == i16::from(ErrorCode::CoordinatorLoadInProgress) {
            tries += 1;
            anyhow::ensure!(tries < 100_000, "no producer ids");
        }
    }
    for version in versions(ApiKey::InitProducerId) {
        for (case, transactional_id, timeout) in [
            ("idempotent", None, i32::MAX),
            ("idempotent, timeout 0", None, 0),
            ("empty transactional id", Some(""), 60_000),
        ] {
            let request = |_: &_| InitProducerIdRequest {
                transactional_id: transactional_id.map(Into::into),
                transaction_timeout_ms: timeout,
                ..Default::default()
            };
            pair.both_less(case, version, request, fresh)?;
        }
        if version < 3 {
            continue;
        }
        for (producer_id, producer_epoch) in [(5, -1), (-1, 5), (5, 5), (-2, -2)] {
            let request = |_: &_| InitProducerIdRequest {
                transactional_id: None,
                transaction_timeout_ms: i32::MAX,
                producer_id,
                producer_epoch,
                ..Default::default()
            };
            let case = format!("idempotent, as {producer_id} {producer_epoch}");
            pair.both_less(&case, version, request, fresh)?;
        }
    }
    Ok(())
}
