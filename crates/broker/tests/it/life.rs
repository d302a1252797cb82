//! A broker's life: it serves, stops, comes back, or does not come up at all.

use std::net::TcpListener;
use std::sync::Arc;

use ottla_broker::{Broker, StartError};
use ottla_protocol::k01_fetch::{FetchPartition, FetchTopic};
use ottla_protocol::k75_describe_topic_partitions::TopicRequest;
use ottla_protocol::{
    ApiVersionsRequest, DescribeTopicPartitionsRequest, ErrorCode, FetchRequest, MetadataRequest,
    NodeId,
};

use crate::fixture::{Client, Running, World, create, listener};

const CLEAN: &str = ".kafka_cleanshutdown";

/// The topics that there are, and who leads their first partition.
fn topics(client: &mut Client) -> Vec<(String, i32)> {
    let all = MetadataRequest { topics: None, ..MetadataRequest::default() };
    let answer = client.ask(12, &all).unwrap();
    let topic = |t: &ottla_protocol::k03_metadata::MetadataResponseTopic| {
        (t.name.clone().unwrap_or_default().to_string(), t.partitions[0].leader_id)
    };
    answer.topics.iter().map(topic).collect()
}

#[test]
fn topics_outlive_the_broker() {
    let world = World::new();
    let running = world.start(&[]);
    create(&mut running.client(), "orders", 2);
    running.stop();
    assert!(world.names().iter().any(|name| name == CLEAN));

    let again = world.start(&[]);
    assert!(world.names().iter().any(|name| name == "orders-1"));
    assert_eq!(topics(&mut again.client()), [("orders".to_owned(), 1)]);
    again.stop();
}

#[test]
fn the_quorums_own_feature_is_told() {
    let world = World::new();
    let running = world.start(&[]);
    let request = ApiVersionsRequest {
        client_software_name: "test".into(),
        client_software_version: "1".into(),
        node_id: -1,
        ..ApiVersionsRequest::default()
    };
    let answer = running.client().ask(4, &request).unwrap();
    let levels: Vec<(String, i16)> = answer
        .finalized_features
        .iter()
        .map(|feature| (feature.name.to_string(), feature.max_version_level))
        .collect();
    // As Kafka formatted with --standalone tells it.
    assert!(levels.contains(&("kraft.version".to_owned(), 1)), "{levels:?}");
    running.stop();
}

#[test]
fn a_broker_that_stopped_is_fenced_and_leads_nothing() {
    let world = World::new();
    let running = world.start(&[]);
    create(&mut running.client(), "orders", 1);
    running.broker.stop().unwrap();
    let image = running.controller.image();
    let broker = image.broker(NodeId(1)).unwrap();
    assert!(broker.fenced && broker.in_controlled_shutdown);
    assert_eq!(image.topic("orders").unwrap().partition(0).unwrap().leader, NodeId::NONE);
    running.stop();

    let again = world.start(&[]);
    assert_eq!(topics(&mut again.client()), [("orders".to_owned(), 1)]);
    again.stop();
}

#[test]
fn stopping_twice_is_stopping_once_and_nobody_holds_on() {
    let world = World::new();
    let start = world.broker_start(&[]);
    let log_dir = Arc::clone(&start.log_dirs[0]);
    let running = Running::start(start).unwrap();
    create(&mut running.client(), "orders", 1);
    let address = running.address();
    running.broker.stop().unwrap();
    let position = running.controller.image().position();
    running.broker.stop().unwrap();
    assert_eq!(running.controller.image().position(), position);
    assert!(Client::connect(address).is_err());
    // The controller, which still runs, does not keep the broker it once told of everything.
    drop(running.broker);
    assert_eq!(Arc::strong_count(&log_dir), 1);
    running.controller.stop();
}

#[test]
fn a_broker_that_is_dropped_has_stopped_cleanly() {
    let world = World::new();
    let Running { broker, controller } = world.start(&[]);
    drop(broker);
    assert!(world.names().iter().any(|name| name == CLEAN));
    controller.stop();
}

#[test]
fn a_start_that_fails_leaves_nothing_running() {
    let world = World::new();
    let running = world.start(&[]);
    create(&mut running.client(), "orders", 1);
    running.stop();

    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut start = world.broker_start(&[]);
    let (controller, log_dir) = (start.controller.clone(), Arc::clone(&start.log_dirs[0]));
    start.listeners.push(listener(taken.local_addr().unwrap().port()));
    assert!(matches!(Broker::start(start), Err(StartError::Bind(_))));
    assert_eq!(Arc::strong_count(&log_dir), 1);
    drop(log_dir);
    controller.stop();

    let mut start = world.broker_start(&[]);
    let (controller, log_dir) = (start.controller.clone(), Arc::clone(&start.log_dirs[0]));
    start.cluster_id = "AAAAAAAAAAAAAAAAAAAAAA".to_owned();
    assert!(matches!(Broker::start(start), Err(StartError::Registration(_))));
    assert_eq!(Arc::strong_count(&log_dir), 1);
    drop(log_dir);
    // What was clean before it is clean after it.
    assert!(world.names().iter().any(|name| name == CLEAN));
    controller.stop();

    let again = world.start(&[]);
    assert_eq!(topics(&mut again.client()), [("orders".to_owned(), 1)]);
    again.stop();
}

#[test]
fn limits_of_answers_are_settings() {
    let world = World::new();
    let running = world.start(&[
        ("max.request.partition.size.limit", "2"),
        ("max.incremental.fetch.session.cache.slots", "0"),
    ]);
    let mut client = running.client();
    create(&mut client, "orders", 3);
    let request = DescribeTopicPartitionsRequest {
        topics: vec![TopicRequest { name: "orders".into(), ..TopicRequest::default() }],
        response_partition_limit: 2000,
        ..DescribeTopicPartitionsRequest::default()
    };
    let answer = client.ask(0, &request).unwrap();
    assert_eq!(answer.topics[0].partitions.len(), 2);
    assert_eq!(answer.next_cursor.unwrap().partition_index, 2);

    let partition = FetchPartition { partition_max_bytes: 1000, ..FetchPartition::default() };
    let request = FetchRequest {
        max_bytes: 1000,
        topics: vec![FetchTopic {
            topic: "orders".into(),
            partitions: vec![partition],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    };
    let answer = client.ask(12, &request).unwrap();
    assert_eq!((answer.error_code, answer.session_id), (ErrorCode::None.into(), 0));
    running.stop();
}
