//! Group coordinators on their partitions: what fails is loaded again, and says so meanwhile.

use ottla_protocol::k08_offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use ottla_protocol::k09_offset_fetch::OffsetFetchRequestTopic;
use ottla_protocol::{
    DeleteGroupsRequest, ErrorCode, FindCoordinatorRequest, OffsetCommitRequest, OffsetFetchRequest,
};

use crate::data::{create, delete};
use crate::fixture::{Client, World, set};

pub(crate) const SETTINGS: &[(&str, &str)] =
    &[("offsets.topic.num.partitions", "1"), ("offsets.topic.replication.factor", "1")];

pub(crate) fn find(client: &mut Client) {
    let request = FindCoordinatorRequest { key: "g".into(), ..FindCoordinatorRequest::default() };
    assert_eq!(client.ask(0, &request).unwrap().error_code, 0);
}

pub(crate) fn commit(client: &mut Client, offset: i64, metadata: &str) -> ErrorCode {
    let partition = OffsetCommitRequestPartition {
        committed_offset: offset,
        committed_metadata: Some(metadata.into()),
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: "orders".into(),
        partitions: vec![partition],
        ..OffsetCommitRequestTopic::default()
    };
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: -1,
        retention_time_ms: -1,
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    };
    let answer = client.ask(8, &request).unwrap();
    ErrorCode::from(answer.topics[0].partitions[0].error_code)
}

/// The committed offset and the partition's error, in version 1.
pub(crate) fn committed(client: &mut Client) -> (i64, ErrorCode) {
    let topic = OffsetFetchRequestTopic {
        name: "orders".into(),
        partition_indexes: vec![0],
        ..Default::default()
    };
    let request = OffsetFetchRequest {
        group_id: "g".into(),
        topics: Some(vec![topic]),
        ..OffsetFetchRequest::default()
    };
    let answer = client.ask(1, &request).unwrap();
    let partition = &answer.topics[0].partitions[0];
    (partition.committed_offset, ErrorCode::from(partition.error_code))
}

fn set_batch_max(client: &mut Client, bytes: &str) {
    set(client, "__consumer_offsets", "max.message.bytes", bytes);
}

#[test]
fn a_shard_whose_append_failed_is_loaded_again() {
    let world = World::new();
    let running = world.start(SETTINGS);
    let mut client = running.client();
    create(&mut client, "orders");
    find(&mut client);
    assert_eq!(commit(&mut client, 3, ""), ErrorCode::None);
    set_batch_max(&mut client, "300");
    assert_eq!(commit(&mut client, 4, &"m".repeat(1000)), ErrorCode::UnknownServerError);

    // The clock stands still, so that the shard stays away: each partition has the error, and
    // each group is answered once.
    assert_eq!(committed(&mut client), (-1, ErrorCode::NotCoordinator));
    let twice = DeleteGroupsRequest {
        groups_names: vec!["g".into(), "h".into(), "g".into()],
        ..DeleteGroupsRequest::default()
    };
    let answer = client.ask(2, &twice).unwrap();
    let answered: Vec<_> = answer.results.iter().map(|r| (&*r.group_id, r.error_code)).collect();
    let error = i16::from(ErrorCode::NotCoordinator);
    assert_eq!(answered, [("g", error), ("h", error)]);

    world.clock.advance_ms(1000);
    // The next look at the clock is the timer's.
    let found = loop {
        let (offset, error) = committed(&mut client);
        if error != ErrorCode::NotCoordinator && error != ErrorCode::CoordinatorLoadInProgress {
            break (offset, error);
        }
        std::thread::yield_now();
    };
    assert_eq!(found, (3, ErrorCode::None));
    assert_eq!(commit(&mut client, 5, ""), ErrorCode::None);
    assert_eq!(committed(&mut client), (5, ErrorCode::None));
    running.stop();
}

#[test]
fn offsets_outlive_the_broker_and_not_their_topic() {
    let world = World::new();
    let running = world.start(SETTINGS);
    let mut client = running.client();
    create(&mut client, "orders");
    find(&mut client);
    assert_eq!(commit(&mut client, 3, ""), ErrorCode::None);
    running.stop();

    let running = world.start(SETTINGS);
    let mut client = running.client();
    let found = loop {
        let (offset, error) = committed(&mut client);
        if error != ErrorCode::CoordinatorLoadInProgress {
            break (offset, error);
        }
    };
    assert_eq!(found, (3, ErrorCode::None));
    delete(&mut client, "orders");
    create(&mut client, "orders");
    assert_eq!(committed(&mut client), (-1, ErrorCode::None));
    assert_eq!(commit(&mut client, 1, ""), ErrorCode::None);
    assert_eq!(committed(&mut client), (1, ErrorCode::None));
    running.stop();
}
