//! Well-formed requests about what does not exist or must not: topics, partitions, groups, members,
//! generations, illegal and colliding names. Each hears Kafka's error.

use anyhow::ensure;
use ottla_interop::raw::Connection;
use ottla_protocol::k08_offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use ottla_protocol::k11_join_group::JoinGroupRequestProtocol;
use ottla_protocol::k19_create_topics::CreatableTopic;
use ottla_protocol::{
    CreateTopicsRequest, DescribeGroupsRequest, ErrorCode, FindCoordinatorRequest,
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest, SyncGroupRequest,
    Uuid,
};

use super::scene::Scene;
use crate::wire::requests::{
    FETCH_BY_ID, FETCH_BY_NAME, PRODUCE_BY_ID, PRODUCE_BY_NAME, fetch, fetch_by_id, one, produce,
    produce_by_id,
};

/// No topic is created because somebody asks for it.
const SETTINGS: &[&str] = &["auto.create.topics.enable=false", "offsets.topic.num.partitions=1"];

fn produce_error(
    client: &mut Connection,
    version: i16,
    request: &ottla_protocol::ProduceRequest,
) -> anyhow::Result<ErrorCode> {
    let answer = client.ask(version, request)?;
    let errors = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
    let errors: Vec<ErrorCode> = errors.map(|partition| partition.error_code.into()).collect();
    let [error] = errors.as_slice() else { anyhow::bail!("{answer:?}") };
    Ok(*error)
}

fn fetch_error(
    client: &mut Connection,
    version: i16,
    request: &ottla_protocol::FetchRequest,
) -> anyhow::Result<ErrorCode> {
    let answer = client.ask(version, request)?;
    let errors = answer.responses.iter().flat_map(|topic| &topic.partitions);
    let errors: Vec<ErrorCode> = errors.map(|partition| partition.error_code.into()).collect();
    let [error] = errors.as_slice() else { anyhow::bail!("{answer:?}") };
    Ok(*error)
}

#[test]
fn unknown_topics_and_partitions_are_named_so() -> anyhow::Result<()> {
    let mut scene = Scene::start(SETTINGS)?;
    let id = scene.create("there", &[])?;
    let mut client = scene.connect()?;
    let unknown = ErrorCode::UnknownTopicOrPartition;
    for (topic, partition) in [("nowhere", 0), ("there", 1), ("there", i32::MAX), ("there", -1)] {
        let error =
            produce_error(&mut client, PRODUCE_BY_NAME, &produce(topic, partition, -1, one("v")))?;
        ensure!(error == unknown, "produce to {topic} {partition}: {error:?}");
        let error = fetch_error(&mut client, FETCH_BY_NAME, &fetch(topic, partition, 0))?;
        ensure!(error == unknown, "fetch of {topic} {partition}: {error:?}");
        scene.serves()?;
    }
    for (id, partition, wanted) in [(Uuid([5; 16]), 0, ErrorCode::UnknownTopicId), (id, 7, unknown)]
    {
        let request = produce_by_id(id, partition, -1, one("v"));
        let error = produce_error(&mut client, PRODUCE_BY_ID, &request)?;
        ensure!(error == wanted, "produce to {id} {partition}: {error:?}");
        let error = fetch_error(&mut client, FETCH_BY_ID, &fetch_by_id(id, partition, 0))?;
        ensure!(error == wanted, "fetch of {id} {partition}: {error:?}");
    }
    scene.ends_well()
}

/// Waits until the group's coordinator answers.
fn coordinate(client: &mut Connection, group: &str) -> anyhow::Result<()> {
    let find =
        FindCoordinatorRequest { coordinator_keys: vec![group.into()], ..Default::default() };
    let describe = DescribeGroupsRequest { groups: vec![group.into()], ..Default::default() };
    for _ in 0..100_000 {
        let there = client.ask(4, &find)?.coordinators.iter().all(|c| c.error_code == 0);
        let groups = client.ask(5, &describe)?.groups;
        if there && groups.iter().all(|group| ![14, 15, 16].contains(&group.error_code)) {
            return Ok(());
        }
    }
    anyhow::bail!("no coordinator for {group}")
}

#[test]
fn unknown_groups_members_and_generations_are_named_so() -> anyhow::Result<()> {
    let mut scene = Scene::start(SETTINGS)?;
    let mut client = scene.connect()?;
    coordinate(&mut client, "group")?;
    let beat = |group: &str, member: &str, generation| HeartbeatRequest {
        group_id: group.into(),
        generation_id: generation,
        member_id: member.into(),
        ..Default::default()
    };
    let unknown = i16::from(ErrorCode::UnknownMemberId);
    let error = client.ask(4, &beat("nobody", "m", 1))?.error_code;
    ensure!(error == unknown, "heartbeat of an unknown group: {error}");
    let member = joined(&mut client)?;
    for (member, generation, wanted) in [
        (member.as_str(), 1, ErrorCode::None),
        ("someone", 1, ErrorCode::UnknownMemberId),
        ("", 1, ErrorCode::UnknownMemberId),
        (member.as_str(), 0, ErrorCode::IllegalGeneration),
        (member.as_str(), 2, ErrorCode::IllegalGeneration),
        (member.as_str(), -1, ErrorCode::IllegalGeneration),
    ] {
        let error = client.ask(4, &beat("group", member, generation))?.error_code;
        ensure!(error == i16::from(wanted), "{member} {generation}: {error}, not {wanted:?}");
        let commit = OffsetCommitRequest {
            group_id: "group".into(),
            member_id: member.into(),
            generation_id_or_member_epoch: generation,
            topics: vec![OffsetCommitRequestTopic {
                name: "kept".into(),
                partitions: vec![OffsetCommitRequestPartition::default()],
                ..Default::default()
            }],
            ..Default::default()
        };
        let answer = client.ask(8, &commit)?;
        let error = answer.topics.iter().flat_map(|topic| &topic.partitions).next();
        let error = error.map(|partition| partition.error_code);
        ensure!(error == Some(i16::from(wanted)), "commit {member} {generation}: {answer:?}");
        scene.serves()?;
    }
    let leave = LeaveGroupRequest {
        group_id: "group".into(),
        member_id: "someone".into(),
        ..Default::default()
    };
    let error = client.ask(2, &leave)?.error_code;
    ensure!(error == unknown, "leave of nobody: {error}");
    scene.ends_well()
}

/// Joins the group alone and gets the assignment; gives the member id.
fn joined(client: &mut Connection) -> anyhow::Result<String> {
    let join = JoinGroupRequest {
        group_id: "group".into(),
        session_timeout_ms: 45_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".into(), ..Default::default() }],
        ..Default::default()
    };
    let answer = client.ask(3, &join)?;
    ensure!(answer.error_code == 0 && answer.generation_id == 1, "{answer:?}");
    let sync = SyncGroupRequest {
        group_id: "group".into(),
        generation_id: 1,
        member_id: answer.member_id.clone(),
        ..Default::default()
    };
    let synced = client.ask(3, &sync)?;
    ensure!(synced.error_code == 0, "{synced:?}");
    Ok(answer.member_id.to_string())
}

#[test]
fn illegal_and_colliding_topic_names_are_refused() -> anyhow::Result<()> {
    let mut scene = Scene::start(SETTINGS)?;
    let mut client = scene.connect()?;
    let mut error_of = |name: &str| -> anyhow::Result<ErrorCode> {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        };
        let topics = vec![topic];
        let request = CreateTopicsRequest { topics, timeout_ms: 30_000, ..Default::default() };
        let answer = client.ask(7, &request)?;
        let [result] = answer.topics.as_slice() else { anyhow::bail!("{answer:?}") };
        let refused = result.error_code != 0;
        ensure!(!refused || result.error_message.is_some(), "no reason: {result:?}");
        Ok(result.error_code.into())
    };
    let long = "n".repeat(250);
    for name in ["", ".", "..", "a b", "a/b", "a\\b", "ä", "a\u{0}", "a,b", long.as_str()] {
        let error = error_of(name)?;
        ensure!(error == ErrorCode::InvalidTopicException, "{name:?}: {error:?}");
        scene.serves()?;
    }
    for (name, wanted) in [
        ("a.b", ErrorCode::None),
        ("a.b", ErrorCode::TopicAlreadyExists),
        ("a_b", ErrorCode::InvalidTopicException),
        ("a_c", ErrorCode::None),
        ("a.c", ErrorCode::InvalidTopicException),
        (long.get(1..).unwrap_or_default(), ErrorCode::None),
    ] {
        let error = error_of(name)?;
        ensure!(error == wanted, "{name:?}: {error:?}, not {wanted:?}");
    }
    scene.ends_well()
}
