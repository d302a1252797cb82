//! A controller's life: an empty directory, brokers and topics, snapshots, restarts.

use std::sync::{Arc, Mutex};

use ottla_controller::{ControllerHandle, MetadataLogSettings};
use ottla_env::Disk;
use ottla_metadata::{Command, ConfigResource, Reply};
use ottla_protocol::k20_delete_topics::DeleteTopicState;
use ottla_protocol::k44_incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use ottla_protocol::{
    AllocateProducerIdsRequest, DeleteTopicsRequest, IncrementalAlterConfigsRequest, LeaderEpoch,
    NodeId, Offset, StrBytes,
};

use crate::world::{World, creatable, create, heartbeat, register, serving};

fn log_bytes(world: &World) -> usize {
    let dir = World::log_dir();
    let logs = world.names(&dir).into_iter().filter(|name| name.ends_with(".log"));
    logs.map(|name| world.file(&dir.join(name)).len()).sum()
}

#[test]
fn a_new_cluster_begins_with_its_feature_levels() {
    let world = World::new();
    world.formatted();
    let controller = world.start().unwrap();
    let image = controller.image();
    let levels: Vec<_> =
        image.features().iter().map(|(name, level)| (name.to_string(), level)).collect();
    assert_eq!(
        levels,
        [("eligible.leader.replicas.version".to_owned(), 1), ("metadata.version".to_owned(), 33)]
    );
    let all = image.config(&ConfigResource::all_brokers()).unwrap();
    assert_eq!(all.get("min.insync.replicas"), Some(&StrBytes::from("1")));
    assert_eq!(
        image.controllers().map(|controller| controller.id).collect::<Vec<_>>(),
        [NodeId(1)]
    );
    let quorum = controller.quorum();
    // Leader change, version, voters; begin, two levels, a setting, end; the controller.
    assert_eq!(
        (quorum.leader, quorum.epoch, quorum.high_watermark),
        (NodeId(1), LeaderEpoch(1), Offset(9))
    );
    assert_eq!(quorum.kraft_version, 1);
    assert_eq!(quorum.voters[0].log_end, Offset(9));
    assert_eq!(quorum.voters[0].endpoints[0].port, 9093);
}

#[test]
fn what_was_answered_is_there_after_a_restart() {
    let world = World::new();
    world.formatted();
    let controller = world.start().unwrap();
    let epoch = serving(&controller, 1, -1);
    create(
        &controller,
        vec![creatable("orders", 3, &[("retention.ms", "1000")]), creatable("a.b", 1, &[])],
    );
    let request =
        AllocateProducerIdsRequest { broker_id: 1, broker_epoch: epoch, ..Default::default() };
    let Ok(Reply::AllocateProducerIds(block)) =
        controller.call(Command::AllocateProducerIds(request))
    else {
        panic!()
    };
    assert_eq!((block.producer_id_start, block.producer_id_len), (0, 1000));
    let before = controller.image();
    controller.stop();
    drop(controller);
    let again = world.start().unwrap();
    let after = again.image();
    assert_eq!(after.topic("orders"), before.topic("orders"));
    assert_eq!(
        after.config(&ConfigResource::topic("orders")),
        before.config(&ConfigResource::topic("orders"))
    );
    assert_eq!(after.next_producer_id(), 1000);
    assert_eq!(after.colliding_topic("a_b").map(ToString::to_string), Some("a.b".to_owned()));
}

#[test]
fn a_topic_that_comes_back_has_another_id() {
    let world = World::new();
    world.formatted();
    let controller = world.start().unwrap();
    serving(&controller, 1, -1);
    let first =
        create(&controller, vec![creatable("t", 1, &[("retention.ms", "5")])]).topics[0].topic_id;
    let topics = vec![DeleteTopicState { name: Some(StrBytes::from("t")), ..Default::default() }];
    let request = DeleteTopicsRequest { topics, ..Default::default() };
    let Ok(Reply::DeleteTopics(deleted)) = controller.call(Command::DeleteTopics(request)) else {
        panic!()
    };
    assert_eq!((deleted.responses[0].error_code, deleted.responses[0].topic_id), (0, first));
    assert!(controller.image().config(&ConfigResource::topic("t")).is_none());
    let second = create(&controller, vec![creatable("t", 1, &[])]).topics[0].topic_id;
    assert_ne!(first, second);
}

#[test]
fn a_broker_stops_in_order_and_comes_back() {
    let world = World::new();
    world.formatted();
    let controller = world.start().unwrap();
    let epoch = serving(&controller, 1, -1);
    create(&controller, vec![creatable("t", 2, &[])]);
    let leader = || controller.image().topic("t").unwrap().partition(0).unwrap().leader;
    assert_eq!(leader(), NodeId(1));
    let first = heartbeat(&controller, epoch, true).unwrap();
    assert!(!first.should_shut_down, "its leaderships are moved first");
    assert_eq!(leader(), NodeId(-1));
    let second = heartbeat(&controller, epoch, true).unwrap();
    assert!(second.should_shut_down && second.is_fenced);
    let next = serving(&controller, 2, epoch);
    assert!(next > epoch);
    assert_eq!(leader(), NodeId(1));
    assert_eq!(
        controller.image().topic("t").unwrap().partition(0).unwrap().leader_recovery_state,
        0
    );
}

#[test]
fn a_silent_broker_is_fenced() {
    let world = World::new();
    world.formatted();
    let controller = world.start().unwrap();
    let epoch = serving(&controller, 1, -1);
    create(&controller, vec![creatable("t", 1, &[])]);
    world.clock.advance_ms(9_500);
    // Whatever comes next finds the session over; the heartbeat itself came too late.
    let request =
        AllocateProducerIdsRequest { broker_id: 1, broker_epoch: epoch, ..Default::default() };
    controller.call(Command::AllocateProducerIds(request)).unwrap();
    assert!(controller.image().broker(NodeId(1)).unwrap().fenced);
    assert_eq!(controller.image().topic("t").unwrap().partition(0).unwrap().leader, NodeId(-1));
    assert!(!heartbeat(&controller, epoch, false).unwrap().is_fenced);
    assert_eq!(controller.image().topic("t").unwrap().partition(0).unwrap().leader, NodeId(1));
}

#[test]
fn a_process_that_was_killed_registers_again_at_once() {
    let world = World::new();
    world.formatted();
    let controller = world.start().unwrap();
    serving(&controller, 1, -1);
    controller.stop();
    drop(controller);
    let controller = world.start().unwrap();
    serving(&controller, 2, -1);
    let twice =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| register(&controller, 3, -1)));
    assert!(twice.is_err(), "a second process with the same id is refused while the first lives");
}

#[test]
fn subscribers_see_changes_before_the_answer() {
    let world = World::new();
    world.formatted();
    let controller = world.start().unwrap();
    serving(&controller, 1, -1);
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let notes = Arc::clone(&seen);
    let start = controller.image();
    create(&controller, vec![creatable("early", 1, &[])]);
    controller.subscribe_since(start, move |published| {
        let names = published
            .delta
            .topics
            .values()
            .map(|topic| format!("{}{:?}", topic.name, topic.partitions));
        notes.lock().unwrap().push(names.collect::<Vec<_>>().join(" "));
    });
    create(&controller, vec![creatable("a", 2, &[]), creatable("b", 1, &[])]);
    let names: Vec<String> = seen.lock().unwrap().clone();
    let mut sorted: Vec<&str> = names[1].split(" ").collect();
    sorted.sort_unstable();
    assert_eq!((names[0].as_str(), names.len()), ("early{0}", 2));
    assert_eq!(names[1].len(), "a{0, 1} b{0}".len(), "{sorted:?}");
}

fn set(controller: &ControllerHandle, name: &str, value: &str) -> i16 {
    let config = AlterableConfig {
        name: StrBytes::from(name),
        value: Some(StrBytes::from(value)),
        ..AlterableConfig::default()
    };
    let resource = AlterConfigsResource {
        resource_type: 2,
        resource_name: StrBytes::from("t"),
        configs: vec![config],
        ..AlterConfigsResource::default()
    };
    let request =
        IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    let Reply::IncrementalAlterConfigs(response) =
        controller.call(Command::IncrementalAlterConfigs(request)).unwrap()
    else {
        panic!("another reply")
    };
    response.responses[0].error_code
}

/// Sets a setting again and again until there are two snapshots of the image and `enough`; gives
/// the snapshots and the last value.
fn change_until(
    world: &World,
    controller: &ControllerHandle,
    enough: impl Fn() -> bool,
) -> (Vec<String>, u32) {
    for round in 0..200_000 {
        assert_eq!(set(controller, "retention.ms", &round.to_string()), 0);
        let names = world.names(&World::log_dir());
        let taken: Vec<String> =
            names.into_iter().filter(|name| name.ends_with(".checkpoint")).collect();
        let bootstrap = taken.iter().any(|name| name.starts_with("00000000000000000000-"));
        if taken.len() == 2 && !bootstrap && enough() {
            return (taken, round);
        }
    }
    panic!("no two snapshots were taken");
}

#[test]
fn snapshots_stand_for_the_log_before_them() {
    let mut world = World::new();
    world.log = MetadataLogSettings { snapshot_bytes: 4000, ..MetadataLogSettings::default() };
    world.formatted();
    let controller = world.start().unwrap();
    serving(&controller, 1, -1);
    create(&controller, vec![creatable("t", 5, &[])]);
    let (_, last) = change_until(&world, &controller, || log_bytes(&world) < 40_000);
    let before = controller.image();
    controller.stop();
    drop(controller);
    let again = world.start().unwrap();
    assert_eq!(again.image().topic("t"), before.topic("t"));
    let settings = again.image();
    let settings = settings.config(&ConfigResource::topic("t")).unwrap();
    assert_eq!(settings.get("retention.ms"), Some(&StrBytes::from(last.to_string())));
    assert_eq!(
        again.image().broker(NodeId(1)).map(|b| b.epoch),
        before.broker(NodeId(1)).map(|b| b.epoch)
    );
}

#[test]
fn a_damaged_snapshot_gives_way_to_an_older_one() {
    let mut world = World::new();
    world.log = MetadataLogSettings { snapshot_bytes: 4000, ..MetadataLogSettings::default() };
    world.formatted();
    let controller = world.start().unwrap();
    serving(&controller, 1, -1);
    create(&controller, vec![creatable("t", 1, &[])]);
    let (names, _) = change_until(&world, &controller, || true);
    let before = controller.image();
    controller.stop();
    drop(controller);
    let newest = World::log_dir().join(names.last().unwrap());
    let mut content = world.file(&newest);
    let middle = content.len() / 2;
    content[middle] ^= 0xff;
    world.disk.write_atomically(&newest, content.into()).unwrap();
    let again = world.start().unwrap();
    assert_eq!(again.image().topic("t"), before.topic("t"));
    assert_eq!(
        again.image().config(&ConfigResource::topic("t")),
        before.config(&ConfigResource::topic("t"))
    );
}
