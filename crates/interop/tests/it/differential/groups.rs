//! The group APIs: what is unknown, what is not allowed, and the life of one group with one
//! member.

use bytes::Bytes;
use ottla_protocol::k08_offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use ottla_protocol::k09_offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use ottla_protocol::k11_join_group::JoinGroupRequestProtocol;
use ottla_protocol::k13_leave_group::MemberIdentity;
use ottla_protocol::k14_sync_group::SyncGroupRequestAssignment;
use ottla_protocol::k47_offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use ottla_protocol::{
    ApiKey, DeleteGroupsRequest, DescribeGroupsRequest, DescribeGroupsResponse,
    FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, ListGroupsRequest, ListGroupsResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
    SyncGroupRequest, Uuid,
};

use super::pair::{Pair, Side, versions};
use super::topics::{create, settle, topic};

pub(super) fn compare(pair: &mut Pair) -> anyhow::Result<()> {
    create(pair, "for groups", 7, &[topic("eaten", 2, 1)], false)?;
    settle(pair, &["eaten"])?;
    wait_for_coordinators(pair)?;
    find_coordinator(pair)?;
    unknown(pair)?;
    join_refused(pair)?;
    offsets_without_members(pair)?;
    life(pair)
}

/// Kafka answers for groups in the order of a hash map.
fn listed(answer: &mut ListGroupsResponse) {
    answer.groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
}

fn described(answer: &mut DescribeGroupsResponse) {
    answer.groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
}

fn deleted(answer: &mut OffsetDeleteResponse) {
    answer.topics.sort_by(|a, b| a.name.cmp(&b.name));
}

/// Waits until both brokers have loaded the coordinator of every group used here.
fn wait_for_coordinators(pair: &mut Pair) -> anyhow::Result<()> {
    for side in [&mut pair.kafka, &mut pair.ottla] {
        for group in ["", "nobody", "alone", "group", "simple", "a", "b"] {
            let find = FindCoordinatorRequest {
                coordinator_keys: vec![group.into()],
                ..Default::default()
            };
            let describe =
                DescribeGroupsRequest { groups: vec![group.into()], ..Default::default() };
            let mut tries = 0;
            loop {
                let found = side.ask(4, &find)?.coordinators;
                let there = found.iter().all(|c| c.error_code == 0);
                let described = side.ask(5, &describe)?.groups;
                if there && described.iter().all(|g| ![14, 15, 16].contains(&g.error_code)) {
                    break;
                }
                tries += 1;
                anyhow::ensure!(tries < 100_000, "no coordinator for {group:?}: {found:?}");
            }
        }
    }
    Ok(())
}

fn find_coordinator(pair: &mut Pair) -> anyhow::Result<()> {
    for version in versions(ApiKey::FindCoordinator) {
        for (key, key_type) in
            [("group", 0), ("", 0), ("group", 2), ("a:b:c", 2), ("group", 3), ("group", -1)]
        {
            if version == 0 && key_type != 0 {
                continue;
            }
            pair.both(&format!("{key:?} of kind {key_type}"), version, |_| {
                let mut request = FindCoordinatorRequest { key_type, ..Default::default() };
                if version >= 4 {
                    request.coordinator_keys = vec![key.into(), "nobody".into()];
                } else {
                    request.key = key.into();
                }
                request
            })?;
        }
        if version >= 4 {
            pair.both("no key", version, |_| FindCoordinatorRequest::default())?;
        }
    }
    Ok(())
}

fn heartbeat(group: &str, generation_id: i32, member: &str) -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: group.into(),
        generation_id,
        member_id: member.into(),
        ..Default::default()
    }
}

fn sync(group: &str, generation_id: i32, member: &str, protocol: Option<&str>) -> SyncGroupRequest {
    SyncGroupRequest {
        group_id: group.into(),
        generation_id,
        member_id: member.into(),
        protocol_type: protocol.map(|_| "consumer".into()),
        protocol_name: protocol.map(Into::into),
        ..Default::default()
    }
}

fn leave(version: i16, group: &str, member: &str) -> LeaveGroupRequest {
    let mut request = LeaveGroupRequest { group_id: group.into(), ..Default::default() };
    if version >= 3 {
        let member = MemberIdentity { member_id: member.into(), ..Default::default() };
        request.members = vec![member];
    } else {
        request.member_id = member.into();
    }
    request
}

fn commit(
    version: i16,
    side: &Side,
    who: (&str, i32, &str),
    topics: &[(&str, &[(i32, i64)])],
) -> OffsetCommitRequest {
    let (group, generation, member) = who;
    let partition =
        |(partition_index, committed_offset): &(i32, i64)| OffsetCommitRequestPartition {
            partition_index: *partition_index,
            committed_offset: *committed_offset,
            committed_metadata: Some("said".into()),
            ..Default::default()
        };
    let topic = |(topic, partitions): &(&str, &[(i32, i64)])| {
        let by_id = version >= 10;
        let id = side.id(topic);
        OffsetCommitRequestTopic {
            name: if by_id { "".into() } else { (*topic).into() },
            topic_id: match by_id {
                false => Uuid::ZERO,
                true if id.is_zero() => Uuid([8; 16]),
                true => id,
            },
            partitions: partitions.iter().map(partition).collect(),
            ..Default::default()
        }
    };
    OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: generation,
        member_id: member.into(),
        topics: topics.iter().map(topic).collect(),
        ..Default::default()
    }
}

fn committed(
    version: i16,
    side: &Side,
    group: &str,
    topics: Option<&[(&str, &[i32])]>,
) -> OffsetFetchRequest {
    let mut request = OffsetFetchRequest::default();
    if version < 8 {
        request.group_id = group.into();
        request.topics = topics.map(|topics| {
            let topic = |(name, partitions): &(&str, &[i32])| OffsetFetchRequestTopic {
                name: (*name).into(),
                partition_indexes: partitions.to_vec(),
                ..Default::default()
            };
            topics.iter().map(topic).collect()
        });
        return request;
    }
    let topic = |(name, partitions): &(&str, &[i32])| {
        let id = side.id(name);
        OffsetFetchRequestTopics {
            name: if version < 10 { (*name).into() } else { "".into() },
            topic_id: match version {
                ..10 => Uuid::ZERO,
                _ if id.is_zero() => Uuid([8; 16]),
                _ => id,
            },
            partition_indexes: partitions.to_vec(),
            ..Default::default()
        }
    };
    request.groups = vec![OffsetFetchRequestGroup {
        group_id: group.into(),
        topics: topics.map(|topics| topics.iter().map(topic).collect()),
        ..Default::default()
    }];
    request
}

fn unknown(pair: &mut Pair) -> anyhow::Result<()> {
    for group in ["nobody", ""] {
        let case = |what: &str| format!("group {group:?}: {what}");
        for (member, generation) in [("someone", 1), ("", 0), ("", -1), ("someone", -1)] {
            let case = |what: &str| case(&format!("{what} of {member:?} in {generation}"));
            let beat = heartbeat(group, generation, member);
            pair.in_each_version(&case("heartbeat"), |_, _| beat.clone())?;
            pair.in_each_version(&case("sync"), |_, version| {
                sync(group, generation, member, (version >= 5).then_some("range"))
            })?;
            pair.in_each_version(&case("commit"), |side, version| {
                commit(version, side, (group, generation, member), &[("eaten", &[(0, 5)])])
            })?;
        }
        pair.in_each_version(&case("leave"), |_, version| leave(version, group, "someone"))?;
        for version in versions(ApiKey::DescribeGroups) {
            let request = |_: &_| DescribeGroupsRequest {
                groups: vec![group.into(), "other".into(), group.into()],
                ..Default::default()
            };
            pair.both_less(&case("describe"), version, request, described)?;
        }
        pair.in_each_version(&case("delete"), |_, _| DeleteGroupsRequest {
            groups_names: vec![group.into(), "other".into()],
            ..Default::default()
        })?;
        pair.in_each_version(&case("forget offsets"), |_, _| {
            forget(group, &[("eaten", 0), ("no-such-topic", 0)])
        })?;
        pair.in_each_version(&case("offsets"), |side, version| {
            committed(version, side, group, Some(&[("eaten", &[0, 9]), ("no-such-topic", &[0])]))
        })?;
        for version in 2..=10 {
            pair.both(&case("all offsets"), version, |side| committed(version, side, group, None))?;
        }
    }
    pair.in_each_version("no groups to describe", |_, _| DescribeGroupsRequest::default())?;
    pair.in_each_version("no groups to delete", |_, _| DeleteGroupsRequest::default())?;
    pair.in_each_version("no groups to list", |_, _| ListGroupsRequest::default())
}

fn forget(group: &str, partitions: &[(&str, i32)]) -> OffsetDeleteRequest {
    let topic = |(name, partition_index): &(&str, i32)| OffsetDeleteRequestTopic {
        name: (*name).into(),
        partitions: vec![OffsetDeleteRequestPartition { partition_index: *partition_index }],
    };
    OffsetDeleteRequest { group_id: group.into(), topics: partitions.iter().map(topic).collect() }
}

/// A member that would like to join with these protocols.
fn join(version: i16, group: &str, member: &str, protocols: &[&str]) -> JoinGroupRequest {
    let protocol = |name: &&str| JoinGroupRequestProtocol {
        name: (*name).into(),
        metadata: Bytes::from_static(&[0, 1, 2]),
        ..Default::default()
    };
    JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: if version >= 1 { 60_000 } else { -1 },
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: protocols.iter().map(protocol).collect(),
        ..Default::default()
    }
}

fn join_refused(pair: &mut Pair) -> anyhow::Result<()> {
    type Change = fn(&mut JoinGroupRequest);
    let cases: [(&str, Change); 7] = [
        ("unknown member", |r| r.member_id = "someone".into()),
        ("no group", |r| r.group_id = "".into()),
        ("session too short", |r| r.session_timeout_ms = 1),
        ("session too long", |r| r.session_timeout_ms = i32::MAX),
        ("negative session", |r| r.session_timeout_ms = -1),
        ("no protocols", |r| r.protocols.clear()),
        ("no protocol type", |r| r.protocol_type = "".into()),
    ];
    for version in versions(ApiKey::JoinGroup) {
        for (case, change) in cases {
            pair.both_less(
                case,
                version,
                |_| {
                    let mut request = join(version, "nobody", "", &["range"]);
                    change(&mut request);
                    request
                },
                anonymous,
            )?;
        }
        if version >= 4 {
            let first = |_: &_| join(version, "nobody", "", &["range"]);
            pair.both_less("an id first", version, first, anonymous)?;
        }
        if version >= 5 {
            let fixed = |_: &_| JoinGroupRequest {
                group_instance_id: Some("fixed".into()),
                ..join(version, "nobody", "someone", &["range"])
            };
            pair.both_less("unknown, with instance id", version, fixed, anonymous)?;
        }
    }
    Ok(())
}

/// Without the member ids that the broker made up, but for their client's part.
fn anonymous(answer: &mut JoinGroupResponse) {
    if answer.member_id.len() > 36 {
        let kept = answer.member_id.len() - 36;
        answer.member_id = answer.member_id.as_str().get(..kept).unwrap_or_default().into();
    }
}

fn offsets_without_members(pair: &mut Pair) -> anyhow::Result<()> {
    let nobody = ("simple", -1, "");
    for version in versions(ApiKey::OffsetCommit) {
        let offset = i64::from(version) + 10;
        let eaten = [(0, offset), (1, 0), (9, 1)];
        let asked = [("eaten", &eaten[..]), ("unheard-of", &[(0, 1)])];
        let request = |side: &Side| commit(version, side, nobody, &asked);
        // Kafka answers first what it refuses by itself.
        pair.both_less("commits", version, request, |answer: &mut OffsetCommitResponse| {
            answer.topics.sort_by_key(|topic| topic.partitions.len());
            for topic in &mut answer.topics {
                topic.partitions.sort_by_key(|partition| partition.partition_index);
            }
        })?;
        pair.both("commits -1", version, |side| {
            commit(version, side, nobody, &[("eaten", &[(1, -1)])])
        })?;
        pair.both("long words", version, |side| {
            let mut request = commit(version, side, nobody, &[("eaten", &[(0, 1)])]);
            for partition in request.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                partition.committed_metadata = Some("m".repeat(4097).into());
            }
            request
        })?;
        pair.both("null words", version, |side| {
            let mut request = commit(version, side, nobody, &[("eaten", &[(1, 7)])]);
            for partition in request.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                partition.committed_metadata = None;
                partition.committed_leader_epoch = if version >= 6 { 3 } else { -1 };
            }
            request
        })?;
    }
    pair.in_each_version("committed", |side, version| {
        committed(version, side, "simple", Some(&[("eaten", &[0, 1, 2])]))
    })?;
    for version in 2..=10 {
        pair.both("all committed", version, |side| committed(version, side, "simple", None))?;
    }
    pair.both("nothing asked", 9, |side| committed(9, side, "simple", Some(&[])))?;
    pair.in_each_version("a group of offsets", |_, _| DescribeGroupsRequest {
        groups: vec!["simple".into()],
        ..Default::default()
    })?;
    for version in versions(ApiKey::ListGroups) {
        pair.both_less("listed", version, |_| ListGroupsRequest::default(), listed)?;
    }
    let request = |_: &_| forget("simple", &[("eaten", 0), ("unheard-of", 3)]);
    pair.both_less("forgotten", 0, request, deleted)?;
    pair.both("after that", 9, |side| committed(9, side, "simple", None))
}

/// Joins on both sides and learns the member id as `member`.
fn join_both(pair: &mut Pair, case: &str, version: i16, group: &str) -> anyhow::Result<()> {
    let first = |_: &Side| join(version, group, "", &["range", "sticky"]);
    let outcomes = pair.outcomes(case, version, first, |answer| {
        anonymous(answer);
        answer.leader = "".into();
        answer.members.iter_mut().for_each(|member| member.member_id = "".into());
    })?;
    for (side, outcome) in [&mut pair.kafka, &mut pair.ottla].into_iter().zip(outcomes) {
        if let Ok(answer) = outcome {
            side.learn(&answer.member_id, &format!("member of {group}"));
        }
    }
    if version >= 4 {
        pair.both(&format!("{case}, with the id"), version, |side| {
            let member = side.word(&format!("member of {group}"));
            join(version, group, &member, &["range", "sticky"])
        })?;
    }
    Ok(())
}

fn life(pair: &mut Pair) -> anyhow::Result<()> {
    for version in versions(ApiKey::JoinGroup) {
        let group = format!("group-{version}");
        wait_for(pair, &group)?;
        join_both(pair, "joins", version, &group)?;
        let member = |side: &Side| side.word(&format!("member of {group}"));
        let described = |_: &Side, _| DescribeGroupsRequest {
            groups: vec![group.as_str().into()],
            ..Default::default()
        };
        pair.in_each_version("before the assignment", described)?;
        pair.both("commit before it", 8, |side| {
            commit(8, side, (&group, 1, &member(side)), &[("eaten", &[(0, 3)])])
        })?;
        pair.both("heartbeat before it", 4, |side| heartbeat(&group, 1, &member(side)))?;
        for (case, protocol, generation) in
            [("another protocol", Some("other"), 1), ("another generation", Some("range"), 7)]
        {
            pair.both(case, 5, |side| sync(&group, generation, &member(side), protocol))?;
        }
        let sync_version = version.min(5);
        pair.both("the assignment", sync_version, |side| {
            let mut request =
                sync(&group, 1, &member(side), (sync_version >= 5).then_some("range"));
            request.assignments = vec![SyncGroupRequestAssignment {
                member_id: member(side).into(),
                assignment: Bytes::from_static(&[9, 8, 7]),
                ..Default::default()
            }];
            request
        })?;
        stable(pair, &group)?;
        pair.in_each_version("with its member", described)?;
        for version in versions(ApiKey::ListGroups) {
            let request = |_: &_| ListGroupsRequest {
                states_filter: if version >= 4 { vec!["Stable".into()] } else { vec![] },
                ..Default::default()
            };
            pair.both_less("listed", version, request, listed)?;
        }
        pair.in_each_version("leaves, but who", |_, version| leave(version, &group, "nobody"))?;
        pair.both("leaves", version.min(5), |side| leave(version.min(5), &group, &member(side)))?;
        pair.in_each_version("empty", described)?;
        pair.in_each_version("delete", |_, _| DeleteGroupsRequest {
            groups_names: vec![group.as_str().into()],
            ..Default::default()
        })?;
        pair.in_each_version("deleted", described)?;
    }
    for (states, kinds) in
        [(&["Empty"][..], &[][..]), (&["nonsense"], &[]), (&[], &["classic"]), (&[], &["x"])]
    {
        let request = |_: &_| ListGroupsRequest {
            states_filter: states.iter().map(|state| (*state).into()).collect(),
            types_filter: kinds.iter().map(|kind| (*kind).into()).collect(),
            ..Default::default()
        };
        pair.both_less(&format!("list {states:?} {kinds:?}"), 5, request, listed)?;
    }
    Ok(())
}

fn wait_for(pair: &mut Pair, group: &str) -> anyhow::Result<()> {
    let describe = DescribeGroupsRequest { groups: vec![group.into()], ..Default::default() };
    for side in [&mut pair.kafka, &mut pair.ottla] {
        let mut tries = 0;
        while side.ask(5, &describe)?.groups.iter().any(|g| [14, 15, 16].contains(&g.error_code)) {
            tries += 1;
            anyhow::ensure!(tries < 100_000, "no coordinator for {group}");
        }
    }
    Ok(())
}

/// What a stable group allows and what not.
fn stable(pair: &mut Pair, group: &str) -> anyhow::Result<()> {
    let member = |side: &Side| side.word(&format!("member of {group}"));
    for generation in [1, 0, 2, -1] {
        let case = |what: &str| format!("{what} in generation {generation}");
        pair.in_each_version(&case("heartbeat"), |side, _| {
            heartbeat(group, generation, &member(side))
        })?;
        pair.in_each_version(&case("sync"), |side, version| {
            sync(group, generation, &member(side), (version >= 5).then_some("range"))
        })?;
        pair.in_each_version(&case("commit"), |side, version| {
            commit(version, side, (group, generation, &member(side)), &[("eaten", &[(0, 3)])])
        })?;
        pair.in_each_version(&case("commit of nobody"), |side, version| {
            commit(version, side, (group, generation, ""), &[("eaten", &[(0, 3)])])
        })?;
    }
    pair.both("another heartbeat", 4, |_| heartbeat(group, 1, "someone"))?;
    pair.both("another protocol type", 9, |_| JoinGroupRequest {
        protocol_type: "connect".into(),
        ..join(9, group, "someone", &["range"])
    })?;
    pair.both("no protocol in common", 3, |_| join(3, group, "", &["exotic"]))?;
    pair.in_each_version("delete with a member", |_, _| DeleteGroupsRequest {
        groups_names: vec![group.into()],
        ..Default::default()
    })?;
    let request = |_: &_| forget(group, &[("eaten", 0), ("unheard-of", 3)]);
    pair.both_less("forget offsets", 0, request, deleted)
}
