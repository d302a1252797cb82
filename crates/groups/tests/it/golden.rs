//! `__consumer_offsets` as Apache Kafka 4.4.0 wrote it (`tests/golden`): a classic group and a
//! consumer group, each with one member of librdkafka that commits. It is loaded; and the same
//! life lived here must give the same bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use ottla_groups::{Command, Config, Now, Outcome, Record, Reply, Shard, Token};
use ottla_protocol::group_metadata_value::MemberMetadata;
use ottla_protocol::k08_offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use ottla_protocol::k09_offset_fetch::{OffsetFetchRequestGroup, OffsetFetchResponseGroup};
use ottla_protocol::k11_join_group::JoinGroupRequestProtocol;
use ottla_protocol::k13_leave_group::MemberIdentity;
use ottla_protocol::k14_sync_group::SyncGroupRequestAssignment;
use ottla_protocol::k47_offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use ottla_protocol::{
    ErrorCode, GroupMetadataValue, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, Millis, Offset, OffsetCommitRequest, OffsetCommitValue, OffsetDeleteRequest,
    ProducerId, Reader, StrBytes, SyncGroupRequest, Writer,
};

use crate::script::subscription;

/// The records of the golden log, from offset 0.
fn golden() -> Vec<Record> {
    let mut log = Bytes::from_static(include_bytes!("../golden/consumer-offsets-4.4.0.log"));
    let mut records = Vec::new();
    while !log.is_empty() {
        let length = usize::try_from((&log[8..12]).get_i32()).unwrap();
        let mut batch = log.split_to(12 + length);
        let count = (&batch[57..61]).get_i32();
        batch.advance(61);
        for _ in 0..count {
            let length = varint(&mut batch);
            let mut record = batch.split_to(length);
            record.advance(1);
            varint(&mut record);
            varint(&mut record);
            let length = varint(&mut record);
            let key = record.split_to(length);
            let length = varint(&mut record);
            let value = record.split_to(length);
            records.push(Record { key, value: Some(value) });
        }
    }
    assert_eq!(records.len(), 10, "as Kafka's own dump says");
    records
}

/// A zigzag integer that is not negative.
fn varint(bytes: &mut Bytes) -> usize {
    let mut value = 0_usize;
    for shift in (0..).step_by(7) {
        let byte = bytes.get_u8();
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    assert_eq!(value & 1, 0, "a length is not negative");
    value >> 1
}

fn now(wall: i64) -> Now {
    Now { wall: Millis(wall), mono: Millis(wall - WRITTEN) }
}

/// About when the golden log was written.
const WRITTEN: i64 = 1_795_244_104_000;

fn load(records: &[Record]) -> Shard {
    let mut shard = Shard::new(Config::default());
    for (at, record) in (0_i64..).zip(records) {
        shard.apply(Offset(at), &record.key, record.value.as_ref()).expect("Kafka's record");
    }
    assert!(shard.loaded(now(WRITTEN)).is_empty());
    shard
}

/// The one reply to a command, and its records, applied.
fn ask(shard: &mut Shard, wall: i64, command: Command) -> (Vec<Record>, Reply) {
    let Outcome { records, mut replies } = shard.handle(now(wall), Token(1), command);
    for (at, record) in (100_i64..).zip(&records) {
        shard.apply(Offset(at), &record.key, record.value.as_ref()).expect("own record");
    }
    assert_eq!(replies.len(), 1);
    (records, replies.remove(0).1)
}

fn fetch(shard: &mut Shard, group: &str, stable: bool) -> OffsetFetchResponseGroup {
    let group = OffsetFetchRequestGroup {
        group_id: StrBytes::from(group),
        topics: None,
        ..OffsetFetchRequestGroup::default()
    };
    let command = Command::OffsetFetch { group, require_stable: stable };
    let (_, Reply::OffsetFetch(response)) = ask(shard, WRITTEN, command) else {
        panic!("an OffsetFetch response")
    };
    response
}

fn join(group: &str, request: JoinGroupRequest, random: [u8; 16]) -> Command {
    Command::JoinGroup {
        request: JoinGroupRequest {
            group_id: StrBytes::from(group),
            session_timeout_ms: 45_000,
            rebalance_timeout_ms: 300_000,
            protocol_type: StrBytes::from("consumer"),
            ..request
        },
        version: 5,
        client_id: StrBytes::from("rdkafka"),
        client_host: StrBytes::from("/127.0.0.1"),
        random,
    }
}

#[test]
fn kafkas_log_is_loaded() {
    let mut shard = load(&golden());
    let (_, list) = ask(&mut shard, WRITTEN, Command::ListGroups { states: vec![], types: vec![] });
    let Reply::ListGroups(list) = list else { panic!("{list:?}") };
    let listed: Vec<String> = list
        .groups
        .iter()
        .map(|g| format!("{} {} {} {}", g.group_id, g.protocol_type, g.group_state, g.group_type))
        .collect();
    assert_eq!(
        listed,
        ["golden-classic consumer Empty classic", "golden-consumer consumer Stable consumer"]
    );
    for group in ["golden-classic", "golden-consumer"] {
        let fetched = fetch(&mut shard, group, true);
        let topic = &fetched.topics[0];
        assert_eq!((topic.name.as_str(), topic.partitions[0].committed_offset), ("codecs", 104));
        assert_eq!(topic.partitions[0].committed_leader_epoch, 0);
    }
}

/// The first four records, made here from the requests that librdkafka sent then.
#[test]
fn same_life_same_bytes() {
    let golden = golden();
    let stored = golden[1].value.clone().unwrap();
    let stored = GroupMetadataValue::decode(&mut Reader::new(stored.slice(2..)), 3).unwrap();
    let MemberMetadata { member_id, subscription, assignment, .. } = stored.members[0].clone();
    let commit = golden[2].value.clone().unwrap();
    let commit = OffsetCommitValue::decode(&mut Reader::new(commit.slice(2..)), 4).unwrap();
    let hex = member_id.trim_start_matches("rdkafka-").replace('-', "");
    let random = u128::from_str_radix(&hex, 16).unwrap().to_be_bytes();
    let protocols = |name: &str| JoinGroupRequestProtocol {
        name: StrBytes::from(name),
        metadata: subscription.clone(),
        ..JoinGroupRequestProtocol::default()
    };
    let request = JoinGroupRequest {
        protocols: vec![protocols("range"), protocols("roundrobin")],
        ..JoinGroupRequest::default()
    };
    let rejoin = JoinGroupRequest { member_id: member_id.clone(), ..request.clone() };
    let group_id = StrBytes::from("golden-classic");
    let mut shard = load(&[]);
    let mut log = Vec::new();
    let mut step = |wall, command| {
        let (records, reply) = ask(&mut shard, wall, command);
        log.extend(records);
        reply
    };
    let reply = step(1_795_244_104_075, join("golden-classic", request, random));
    let Reply::JoinGroup(JoinGroupResponse { error_code, member_id: given, .. }) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!((error_code, &given), (ErrorCode::MemberIdRequired.code(), &member_id));
    step(1_795_244_104_087, join("golden-classic", rejoin, [0; 16]));
    step(
        1_795_244_104_088,
        Command::SyncGroup {
            request: SyncGroupRequest {
                group_id: group_id.clone(),
                generation_id: 1,
                member_id: member_id.clone(),
                assignments: vec![SyncGroupRequestAssignment {
                    member_id: member_id.clone(),
                    assignment,
                    ..SyncGroupRequestAssignment::default()
                }],
                ..SyncGroupRequest::default()
            },
            version: 3,
        },
    );
    step(
        1_795_244_104_215,
        Command::OffsetCommit {
            request: OffsetCommitRequest {
                group_id: group_id.clone(),
                generation_id_or_member_epoch: 1,
                member_id: member_id.clone(),
                topics: vec![OffsetCommitRequestTopic {
                    name: StrBytes::from("codecs"),
                    topic_id: commit.topic_id,
                    partitions: vec![OffsetCommitRequestPartition {
                        committed_offset: 104,
                        committed_leader_epoch: 0,
                        ..OffsetCommitRequestPartition::default()
                    }],
                    ..OffsetCommitRequestTopic::default()
                }],
                ..OffsetCommitRequest::default()
            },
            version: 9,
        },
    );
    step(
        1_795_244_104_221,
        Command::LeaveGroup {
            request: LeaveGroupRequest { group_id, member_id, ..LeaveGroupRequest::default() },
            version: 1,
        },
    );
    assert_eq!(log, golden[..4], "byte for byte");
}

#[test]
fn consumer_group_refuses_classic_members() {
    let mut shard = load(&golden());
    let group_id = StrBytes::from("golden-consumer");
    let member_id = StrBytes::from("7SsTW8ObTaGNtv9O6+d7aQ");
    let mut error = |command| match ask(&mut shard, WRITTEN, command) {
        (records, _) if !records.is_empty() => panic!("{records:?}"),
        (_, Reply::JoinGroup(response)) => ErrorCode::from_code(response.error_code),
        (_, Reply::SyncGroup(response)) => ErrorCode::from_code(response.error_code),
        (_, Reply::Heartbeat(response)) => ErrorCode::from_code(response.error_code),
        (_, Reply::LeaveGroup(response)) => ErrorCode::from_code(response.members[0].error_code),
        (_, Reply::OffsetCommit(response)) => {
            ErrorCode::from_code(response.topics[0].partitions[0].error_code)
        }
        (_, Reply::DescribeGroups(groups)) => {
            assert_eq!(
                groups[0].error_message.as_deref(),
                Some("Group golden-consumer is not a classic group.")
            );
            ErrorCode::from_code(groups[0].error_code)
        }
        (_, Reply::DeleteGroups(groups)) => ErrorCode::from_code(groups[0].error_code),
        (_, other) => panic!("{other:?}"),
    };
    let joined = join("golden-consumer", JoinGroupRequest::default(), [0; 16]);
    assert_eq!(error(joined), ErrorCode::InconsistentGroupProtocol);
    let request = SyncGroupRequest {
        group_id: group_id.clone(),
        member_id: member_id.clone(),
        ..SyncGroupRequest::default()
    };
    assert_eq!(error(Command::SyncGroup { request, version: 4 }), ErrorCode::UnknownMemberId);
    let request = HeartbeatRequest {
        group_id: group_id.clone(),
        member_id: member_id.clone(),
        ..HeartbeatRequest::default()
    };
    assert_eq!(error(Command::Heartbeat { request }), ErrorCode::UnknownMemberId);
    let members = vec![MemberIdentity { member_id, ..MemberIdentity::default() }];
    let request =
        LeaveGroupRequest { group_id: group_id.clone(), members, ..LeaveGroupRequest::default() };
    assert_eq!(error(Command::LeaveGroup { request, version: 5 }), ErrorCode::UnknownMemberId);
    let partitions = vec![OffsetCommitRequestPartition::default()];
    let topics =
        vec![OffsetCommitRequestTopic { partitions, ..OffsetCommitRequestTopic::default() }];
    let request = OffsetCommitRequest {
        group_id: group_id.clone(),
        topics,
        ..OffsetCommitRequest::default()
    };
    assert_eq!(error(Command::OffsetCommit { request, version: 9 }), ErrorCode::UnknownMemberId);
    let group_ids = vec![group_id];
    let described = Command::DescribeGroups { group_ids: group_ids.clone(), version: 6 };
    assert_eq!(error(described), ErrorCode::GroupIdNotFound);
    assert_eq!(error(Command::DeleteGroups { group_ids }), ErrorCode::NonEmptyGroup);
}

/// The consumer group, without its member's records, gives way to a classic one; or goes.
#[test]
fn empty_consumer_group_gives_way() {
    let member_types = [5, 7, 8];
    let all = golden();
    let is_members = |record: &Record| member_types.contains(&(&record.key[..2]).get_i16());
    let mut log = all.clone();
    let tombstones = all.iter().filter(|record| is_members(record));
    log.extend(tombstones.map(|record| Record { key: record.key.clone(), value: None }));

    let protocols = vec![JoinGroupRequestProtocol {
        name: StrBytes::from("range"),
        ..JoinGroupRequestProtocol::default()
    }];
    let request = JoinGroupRequest { protocols, ..JoinGroupRequest::default() };
    let mut shard = load(&log);
    let (records, reply) = ask(&mut shard, WRITTEN, join("golden-consumer", request, [7; 16]));
    let Reply::JoinGroup(response) = reply else { panic!("{reply:?}") };
    assert_eq!(ErrorCode::from_code(response.error_code), ErrorCode::MemberIdRequired);
    let types: Vec<(i16, bool)> =
        records.iter().map(|r| ((&r.key[..2]).get_i16(), r.value.is_some())).collect();
    assert_eq!(types, [(6, false), (3, false), (2, true)]);
    assert_eq!(fetch(&mut shard, "golden-consumer", true).topics.len(), 1, "offsets stay");
    log.extend(records);
    let (_, again) =
        ask(&mut load(&log), WRITTEN, Command::ListGroups { states: vec![], types: vec![] });
    let Reply::ListGroups(again) = again else { panic!("{again:?}") };
    assert!(again.groups.iter().all(|group| group.group_type == "classic"));

    let group_ids = vec![StrBytes::from("golden-consumer")];
    let mut shard = load(&log[..log.len() - 3]);
    let (records, _) = ask(&mut shard, WRITTEN, Command::DeleteGroups { group_ids });
    let types: Vec<i16> = records.iter().map(|r| (&r.key[..2]).get_i16()).collect();
    assert_eq!(types, [1, 6, 3]);
    assert!(records.iter().all(|record| record.value.is_none()));
    assert!(fetch(&mut shard, "golden-consumer", false).topics.is_empty());
}

/// Offsets of a transaction count from its end on; the later one of a mix holds.
#[test]
fn transactional_offsets() {
    let golden = golden();
    let (key, value) = (&golden[2].key, golden[2].value.as_ref());
    let with_offset = |offset: i64| {
        let value = value.unwrap();
        Bytes::from([&value[..2], &offset.to_be_bytes()[..], &value[10..]].concat())
    };
    let mut shard = Shard::new(Config::default());
    let (first, second) = (ProducerId(1), ProducerId(2));
    shard.apply_transactional(Offset(0), first, key, Some(&with_offset(1))).unwrap();
    shard.apply(Offset(1), key, Some(&with_offset(2))).unwrap();
    shard.apply_transactional(Offset(2), second, key, Some(&with_offset(3))).unwrap();
    assert!(shard.loaded(now(WRITTEN)).is_empty());
    let seen = |shard: &mut Shard, stable| {
        let fetched = fetch(shard, "golden-classic", stable);
        let partition = &fetched.topics[0].partitions[0];
        (partition.committed_offset, ErrorCode::from_code(partition.error_code))
    };
    assert_eq!(seen(&mut shard, false), (2, ErrorCode::None));
    assert_eq!(seen(&mut shard, true), (-1, ErrorCode::UnstableOffsetCommit));
    shard.end_transaction(first, true);
    assert_eq!(seen(&mut shard, false), (2, ErrorCode::None), "the later record holds");
    assert_eq!(seen(&mut shard, true), (-1, ErrorCode::UnstableOffsetCommit));
    let mut aborted = shard.clone();
    aborted.end_transaction(second, false);
    assert_eq!(seen(&mut aborted, true), (2, ErrorCode::None));
    shard.end_transaction(second, true);
    assert_eq!(seen(&mut shard, true), (3, ErrorCode::None));
    assert_eq!(seen(&mut aborted, true), (2, ErrorCode::None), "ended before");
    shard.end_transaction(ProducerId(3), true);
    assert_eq!(seen(&mut shard, true), (3, ErrorCode::None));
}

/// A tombstone ends what is pending, too; and what is pending can be deleted before it shows.
#[test]
fn deletion_ends_what_is_pending() {
    let golden = golden();
    let (key, value) = (&golden[2].key, golden[2].value.as_ref());
    let producer = ProducerId(1);
    let mut shard = Shard::new(Config::default());
    shard.apply_transactional(Offset(0), producer, key, value).unwrap();
    assert!(shard.loaded(now(WRITTEN)).is_empty());
    let mut expired = shard.clone();
    let late = WRITTEN + Config::default().offsets_retention.0 * 2;
    assert!(expired.tick(now(late)).is_empty(), "an open transaction keeps its group");
    let group_id = StrBytes::from("golden-classic");
    let topics = vec![OffsetDeleteRequestTopic {
        name: StrBytes::from("codecs"),
        partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
    }];
    let request = OffsetDeleteRequest { group_id: group_id.clone(), topics };
    let tombstone = Record { key: key.clone(), value: None };
    let delete = Command::DeleteGroups { group_ids: vec![group_id] };
    let (records, _) = ask(&mut shard.clone(), WRITTEN, delete);
    assert_eq!(records.first(), Some(&tombstone));
    let (records, _) = ask(&mut shard, WRITTEN, Command::OffsetDelete { request });
    assert_eq!(records, std::slice::from_ref(&tombstone));
    shard.end_transaction(producer, true);
    assert!(fetch(&mut shard, "golden-classic", true).topics.is_empty());

    let committed = golden[2].clone();
    let mut both = load(std::slice::from_ref(&committed));
    both.apply_transactional(Offset(1), producer, key, value).unwrap();
    assert!(both.tick(now(late)).is_empty(), "nor does what it may change expire");
    both.end_transaction(producer, false);
    assert_eq!(both.tick(now(late * 2)).records.len(), 2, "the offset and its group");

    let other = offset_key("golden-classic", "codecs", 1);
    let mut mixed = load(&[committed]);
    mixed.apply_transactional(Offset(1), producer, &other, value).unwrap();
    assert_eq!(mixed.tick(now(late)).records, [tombstone], "the offset, but not its group");
}

/// A group of which only a record of the oldest version tells: no rebalance time-out, no time
/// since when it is empty.
#[test]
fn groups_of_old_records() {
    let member = MemberMetadata {
        member_id: StrBytes::from("m"),
        session_timeout: 20_000,
        subscription: subscription("codecs"),
        ..MemberMetadata::default()
    };
    let value = |members| GroupMetadataValue {
        protocol_type: StrBytes::from("consumer"),
        generation: 4,
        protocol: Some(StrBytes::from("range")),
        leader: Some(StrBytes::from("m")),
        members,
        ..GroupMetadataValue::default()
    };
    let encoded = |value: GroupMetadataValue| {
        let mut writer = Writer::new();
        writer.i16(0);
        value.encode(&mut writer, 0).unwrap();
        writer.finish().to_bytes()
    };
    let record = |value| Record { key: key(2, "golden-classic", ""), value: Some(encoded(value)) };
    let commit = golden()[2].clone();
    let mut shard = load(&[record(value(vec![member])), commit.clone()]);
    let beat = |generation_id| Command::Heartbeat {
        request: HeartbeatRequest {
            group_id: StrBytes::from("golden-classic"),
            generation_id,
            member_id: StrBytes::from("m"),
            ..HeartbeatRequest::default()
        },
    };
    let error = |reply: Reply| {
        let Reply::Heartbeat(response) = reply else { panic!("{reply:?}") };
        ErrorCode::from_code(response.error_code)
    };
    assert_eq!(error(ask(&mut shard, WRITTEN, beat(4)).1), ErrorCode::None);
    let protocols = vec![JoinGroupRequestProtocol {
        name: StrBytes::from("range"),
        ..JoinGroupRequestProtocol::default()
    }];
    let newcomer = JoinGroupRequest {
        protocols,
        group_instance_id: Some(StrBytes::from("i")),
        ..JoinGroupRequest::default()
    };
    let mut newcomer = join("golden-classic", newcomer, [1; 16]);
    if let Command::JoinGroup { request, .. } = &mut newcomer {
        request.rebalance_timeout_ms = 5_000;
    }
    assert!(shard.handle(now(WRITTEN), Token(7), newcomer).is_empty(), "m has to rejoin");
    assert_eq!(error(ask(&mut shard, WRITTEN + 10_000, beat(4)).1), ErrorCode::RebalanceInProgress);
    assert!(shard.tick(now(WRITTEN + 19_999)).is_empty());
    let joined = shard.tick(now(WRITTEN + 20_000)).replies;
    assert_eq!(joined.len(), 1, "m's session time-out is its rebalance time-out");

    let mut empty = load(&[record(value(vec![])), commit]);
    let committed = 1_795_244_104_215;
    let retention = Config::default().offsets_retention.0;
    assert!(empty.tick(now(committed + retention - 1)).is_empty());
    assert_eq!(empty.tick(now(committed + retention + 600_000)).records.len(), 2);
}

fn offset_key(group: &str, topic: &str, partition: i32) -> Bytes {
    let mut bytes = BytesMut::from(&key(1, group, topic)[..]);
    bytes.put_i32(partition);
    bytes.freeze()
}

/// A key of another type than offsets.
fn key(kind: i16, group: &str, member: &str) -> Bytes {
    let mut key = BytesMut::new();
    key.put_i16(kind);
    for text in [group, member].iter().filter(|text| !text.is_empty()) {
        key.put_i16(i16::try_from(text.len()).unwrap());
        key.put_slice(text.as_bytes());
    }
    key.freeze()
}

/// Share and streams groups are kept and listed; share groups stay when they are empty.
#[test]
fn other_groups_are_kept() {
    let anything = Bytes::from_static(&[0, 0]);
    let mut shard = Shard::new(Config::default());
    let records = [
        (11, "share", ""),
        (10, "share", "m"),
        (17, "streams", ""),
        (19, "streams", "m"),
        (11, "idle", ""),
        (3, "bare", ""),
        (3, "gone", ""),
        (5, "gone", "m"),
    ];
    for (kind, group, member) in records {
        shard.apply(Offset(0), &key(kind, group, member), Some(&anything)).unwrap();
    }
    shard.apply(Offset(0), &key(3, "gone", ""), None).unwrap();
    assert!(shard.loaded(now(WRITTEN)).is_empty());
    let listed = |shard: &mut Shard| {
        let list = Command::ListGroups { states: vec![], types: vec![] };
        let (_, Reply::ListGroups(list)) = ask(shard, WRITTEN, list) else { panic!("a list") };
        let groups = list.groups.iter();
        groups.map(|g| format!("{} {} {}", g.group_id, g.group_state, g.group_type)).collect()
    };
    let all: Vec<String> = listed(&mut shard);
    assert_eq!(
        all,
        ["bare Empty consumer", "idle Empty share", "share Stable share", "streams Stable streams"]
    );
    let error = |group: &str| {
        let protocols = vec![JoinGroupRequestProtocol::default()];
        let request = JoinGroupRequest { protocols, ..JoinGroupRequest::default() };
        let (_, reply) = ask(&mut shard.clone(), WRITTEN, join(group, request, [0; 16]));
        let Reply::JoinGroup(response) = reply else { panic!("{reply:?}") };
        ErrorCode::from_code(response.error_code)
    };
    for group in ["share", "streams", "idle"] {
        assert_eq!(error(group), ErrorCode::InconsistentGroupProtocol);
    }
    assert_eq!(error("bare"), ErrorCode::MemberIdRequired);
    let late = WRITTEN + 24 * 60 * 60_000;
    let outcome = shard.tick(now(late));
    let tombstone = Record { key: key(3, "bare", ""), value: None };
    assert_eq!(outcome.records, [tombstone], "a consumer group with nothing left goes");
}

#[test]
fn damage_is_told_and_the_unknown_skipped() {
    let golden = golden();
    let mut shard = Shard::new(Config::default());
    let unknown = Bytes::from_static(&[0, 99, 1, 2, 3]);
    shard.apply(Offset(0), &unknown, Some(&unknown)).expect("a type of a later version");
    shard.apply(Offset(1), &unknown, None).expect("its tombstone");
    for record in &golden[..4] {
        let value = record.value.clone().unwrap();
        for end in 0..value.len() {
            let cut = value.slice(..end);
            let error = shard.apply(Offset(7), &record.key, Some(&cut)).expect_err("cut short");
            assert!(
                error
                    .to_string()
                    .starts_with("the record at offset 7 of __consumer_offsets is damaged: ")
            );
        }
        for end in 0..record.key.len() {
            shard.apply(Offset(7), &record.key.slice(..end), None).expect_err("cut short");
        }
    }
    assert!(shard.loaded(now(WRITTEN)).is_empty());
}
