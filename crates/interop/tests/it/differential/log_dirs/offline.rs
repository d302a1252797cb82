//! A directory that fails while it serves, and one that cannot be read at start: the others go on,
//! and what is in it comes back with it.

use std::fs;

use anyhow::Context;
use ottla_protocol::k02_list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use ottla_protocol::{
    AlterReplicaLogDirsResponse, DescribeLogDirsRequest, DescribeTopicPartitionsRequest, ErrorCode,
    FetchResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse,
    ProduceResponse,
};

use super::super::pair::{Pair, Side};
use super::super::topics::{create, named, settle, topic};
use super::asking::same_records;
use super::assigned::stop_when_assigned;
use super::places::{arrived, describe, places};
use super::{alter, batch, fill, until};
use crate::wire::requests::{FETCH_BY_NAME, fetch, one, produce};

pub(super) fn compare(pair: &mut Pair) -> anyhow::Result<()> {
    alter(pair, "before it is there", &[("dir1", "lost", &[0]), ("dir1", "kept", &[0])])?;
    create(pair, "two topics", 7, &[topic("lost", 1, 1), topic("kept", 1, 1)], false)?;
    settle(pair, &["lost", "kept"])?;
    for side in pair.sides() {
        arrived(side, "lost", 0, "dir1")?;
        arrived(side, "kept", 0, "dir1")?;
    }
    alter(pair, "to where it is lost", &[("dir2", "lost", &[0])])?;
    for side in pair.sides() {
        arrived(side, "lost", 0, "dir2")?;
    }
    fill(pair, "lost", 0, 1)?;
    fill(pair, "kept", 0, 1)?;
    for side in pair.sides() {
        stop_when_assigned(side, "lost", 0, "dir2")?;
        take_away(side)?;
        side.broker.start_again()?;
        side.connect_again()?;
    }
    settle(pair, &["kept"])?;
    without(pair, "away at start")?;
    for side in pair.sides() {
        side.broker.stop()?;
        bring_back(side)?;
        side.broker.start_again()?;
        side.connect_again()?;
    }
    settle(pair, &["lost", "kept"])?;
    with(pair, "back")?;
    // A segment that cannot be begun takes the directory out of service.
    for side in pair.sides() {
        take_away(side)?;
        until("the failure", side, |side| {
            let records = batch(7, 5, 100_000)?;
            let _refused_at_last = side.ask(9, &produce("lost", 0, -1, records))?;
            let answer = side.ask(4, &DescribeLogDirsRequest::default())?;
            Ok(answer.results.iter().any(|result| result.error_code != 0))
        })?;
        until("no leader", side, |side| {
            let request = MetadataRequest { topics: Some(named(&["lost"])), ..Default::default() };
            let answer = side.ask(12, &request)?;
            let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
            Ok(partitions.all(|partition| partition.leader_id == -1))
        })?;
    }
    without(pair, "failed")?;
    Ok(())
}

/// Something else is in the directory's place.
fn take_away(side: &Side) -> anyhow::Result<()> {
    let dir = side.word("dir2");
    fs::rename(&dir, format!("{dir}.away"))?;
    fs::write(&dir, "no directory").context("a file in its place")
}

fn bring_back(side: &Side) -> anyhow::Result<()> {
    let dir = side.word("dir2");
    fs::remove_file(&dir)?;
    fs::rename(format!("{dir}.away"), &dir).context("back in its place")
}

/// What clients see while dir2 is not there.
fn without(pair: &mut Pair, case: &str) -> anyhow::Result<()> {
    describe(pair, case, &[("lost", &[0]), ("kept", &[0])])?;
    let request =
        |_: &_| MetadataRequest { topics: Some(named(&["lost", "kept"])), ..Default::default() };
    for version in [1, 5, 12] {
        pair.both_less(case, version, request, |answer: &mut MetadataResponse| {
            answer.cluster_id = None;
            answer.topics.sort_by(|a, b| a.name.cmp(&b.name));
            for partition in answer.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                partition.leader_epoch = partition.leader_epoch.min(1);
            }
        })?;
    }
    let each = |name: &str| ottla_protocol::k75_describe_topic_partitions::TopicRequest {
        name: name.into(),
        ..Default::default()
    };
    let request = |_: &_| DescribeTopicPartitionsRequest {
        topics: vec![each("lost"), each("kept")],
        response_partition_limit: 100,
        ..Default::default()
    };
    pair.both_less(case, 0, request, |answer| {
        for partition in answer.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition.leader_epoch = partition.leader_epoch.min(1);
        }
    })?;
    let produced = |answer: &mut ProduceResponse| {
        let partitions = answer.responses.iter_mut().flat_map(|t| &mut t.partition_responses);
        partitions.for_each(|partition| settled(&mut partition.error_code));
    };
    pair.both_less(case, 9, |_| produce("lost", 0, -1, one("to nobody")), produced)?;
    let fetched = |answer: &mut FetchResponse| {
        let partitions = answer.responses.iter_mut().flat_map(|t| &mut t.partitions);
        partitions.for_each(|partition| settled(&mut partition.error_code));
    };
    pair.both_less(case, FETCH_BY_NAME, |_| fetch("lost", 0, 0), fetched)?;
    let request = |_: &_| ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: "lost".into(),
            partitions: vec![ListOffsetsPartition {
                partition_index: 0,
                current_leader_epoch: -1,
                timestamp: -1,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    pair.both_less(case, 7, request, |answer: &mut ListOffsetsResponse| {
        let partitions = answer.topics.iter_mut().flat_map(|t| &mut t.partitions);
        partitions.for_each(|partition| settled(&mut partition.error_code));
    })?;
    let out = |side: &Side| super::request(side, &[("dir1", "lost", &[0])]);
    pair.both_less(
        &format!("{case}: out of it"),
        2,
        out,
        |answer: &mut AlterReplicaLogDirsResponse| {
            let partitions = answer.results.iter_mut().flat_map(|t| &mut t.partitions);
            partitions.for_each(|partition| settled(&mut partition.error_code));
        },
    )?;
    alter(pair, &format!("{case}: into it"), &[("dir2", "kept", &[0])])?;
    alter(pair, &format!("{case}: among the others"), &[("dir0", "kept", &[0])])?;
    alter(pair, &format!("{case}: where it is"), &[("dir1", "kept", &[0])])?;
    fill(pair, "kept", 0, 1)?;
    same_records(pair, "kept", 0)?;
    // New partitions come elsewhere.
    let new = format!("new-{}", case.replace(' ', "-"));
    create(pair, case, 7, &[topic(&new, 3, 1)], false)?;
    settle(pair, &[&new])?;
    for side in pair.sides() {
        for index in 0..3 {
            until("a new partition", side, |side| Ok(!places(side, &new, index)?.is_empty()))?;
        }
    }
    pair.both(case, 9, |_| produce(&new, 2, -1, one("to the others")))
}

/// Of a partition that was away at start Kafka says in one run that the storage has failed, in the
/// next that it does not lead, or have, it.
fn settled(code: &mut i16) {
    let either = [
        ErrorCode::KafkaStorageError,
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::ReplicaNotAvailable,
    ];
    if either.contains(&ErrorCode::from(*code)) {
        *code = ErrorCode::KafkaStorageError.into();
    }
}

/// Everything is there again.
fn with(pair: &mut Pair, case: &str) -> anyhow::Result<()> {
    for side in pair.sides() {
        arrived(side, "lost", 0, "dir2")?;
        arrived(side, "kept", 0, "dir1")?;
    }
    describe(pair, case, &[("lost", &[0]), ("kept", &[0])])?;
    same_records(pair, "lost", 0)?;
    fill(pair, "lost", 0, 1)?;
    same_records(pair, "lost", 0)?;
    same_records(pair, "kept", 0)
}
