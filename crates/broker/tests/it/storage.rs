//! What keeps log directories in order while the broker runs: retention by live settings, and a
//! directory that fails while the others go on.

use std::path::Path;

use ottla_env::{Disk, DiskErrorKind};
use ottla_protocol::k02_list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use ottla_protocol::k61_describe_producers::TopicRequest;
use ottla_protocol::{
    DescribeProducersRequest, ErrorCode, ListOffsetsRequest, Millis, NodeId, ProducerEpoch,
    ProducerId,
};
use ottla_records::{BatchBuilder, BatchOptions};

use crate::data::{batch, create, delete, fetch, fetched, produce, produced, values, write};
use crate::fixture::{Client, NOW, World, set, until};
use crate::space::delete_records;

const EARLIEST: i64 = -2;

fn list_offset(client: &mut Client, name: &'static str, partition_index: i32) -> (i64, ErrorCode) {
    let partition =
        ListOffsetsPartition { partition_index, timestamp: EARLIEST, ..Default::default() };
    let topic =
        ListOffsetsTopic { name: name.into(), partitions: vec![partition], ..Default::default() };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    let answer = client.ask(7, &request).unwrap();
    let answer = &answer.topics[0].partitions[0];
    (answer.offset, answer.error_code.into())
}

const OFTEN: &[(&str, &str)] = &[
    ("log.segment.bytes", "1048576"),
    ("log.retention.check.interval.ms", "100"),
    ("log.initial.task.delay.ms", "0"),
];

fn write_many(client: &mut Client, name: &'static str, count: i64) {
    for _ in 0..count {
        write(client, name, &[7; 300_000]);
    }
}

#[test]
fn retention_follows_the_settings_and_is_there_after_a_restart() {
    let world = World::new();
    let running = world.start(OFTEN);
    let mut client = running.client();
    create(&mut client, "orders");
    create(&mut client, "kept");
    // Three to a segment.
    write_many(&mut client, "orders", 10);
    write_many(&mut client, "kept", 10);
    assert_eq!(list_offset(&mut client, "orders", 0), (0, ErrorCode::None));
    set(&mut client, "orders", "retention.bytes", "1500000");
    until(|| list_offset(&mut client, "orders", 0).0 == 3);
    set(&mut client, "orders", "retention.bytes", "-1");
    set(&mut client, "orders", "retention.ms", "1000");
    world.clock.advance_ms(500);
    write(&mut client, "kept", b"x");
    assert_eq!(list_offset(&mut client, "orders", 0).0, 3);
    world.clock.advance_ms(501);
    // The last segment too: a new one begins.
    until(|| list_offset(&mut client, "orders", 0).0 == 10);
    assert_eq!(
        ErrorCode::from(fetched(&mut client, &fetch("orders", &[9]))[0].error_code),
        ErrorCode::OffsetOutOfRange
    );
    assert_eq!(list_offset(&mut client, "kept", 0).0, 0);
    running.stop();

    let running = world.start(&[]);
    let mut client = running.client();
    assert_eq!(list_offset(&mut client, "orders", 0).0, 10);
    assert_eq!(write(&mut client, "orders", b"a"), 10);
    assert_eq!(values(&fetched(&mut client, &fetch("orders", &[10]))[0]), [b"a"]);
    assert_eq!(list_offset(&mut client, "kept", 0).0, 0);
    running.stop();
}

#[test]
fn what_a_start_finds_goes_in_time_and_so_does_what_comes_later() {
    let world = World::new();
    let running = world.start(OFTEN);
    let mut client = running.client();
    create(&mut client, "orders");
    write_many(&mut client, "orders", 4);
    running.stop();

    let running = world.start(OFTEN);
    let mut client = running.client();
    // Nobody appends: it is the start that knows of it.
    set(&mut client, "orders", "retention.ms", "1000");
    world.clock.advance_ms(2000);
    until(|| list_offset(&mut client, "orders", 0).0 == 4);
    // There was nothing in it for a while.
    for end in 5..7 {
        write(&mut client, "orders", b"x");
        world.clock.advance_ms(2000);
        until(|| list_offset(&mut client, "orders", 0).0 == end);
    }
    running.stop();
}

#[test]
fn deleted_records_make_room_after_the_delay() {
    let world = World::new();
    let mut settings = OFTEN.to_vec();
    settings.push(("log.segment.delete.delay.ms", "0"));
    let running = world.start(&settings);
    let mut client = running.client();
    create(&mut client, "orders");
    write_many(&mut client, "orders", 10);
    assert_eq!(delete_records(&mut client, "orders", 7), (7, ErrorCode::None));
    let logs = |world: &World| {
        let files = world.disk.files().into_keys();
        files.filter(|path| path.to_string_lossy().contains("orders-0/000")).count()
    };
    // Two segments of four are left: logs, two indexes each, producer snapshots.
    until(|| logs(&world) <= 2 * 3 + 2);
    let text = String::from_utf8(
        world.disk.files()[&World::dir().join("log-start-offset-checkpoint")].clone(),
    );
    assert!(text.unwrap().contains("orders 0 7\n"));
    running.stop();
}

#[test]
fn a_directory_that_fails_takes_only_its_partitions_with_it() {
    let world = World::with_dirs(&["/data", "/more"]);
    let running = world.start(&[]);
    let mut client = running.client();
    // One in each directory.
    create(&mut client, "here");
    create(&mut client, "there");
    let at_more = |name: &str| {
        let dir = format!("/more/{name}-0");
        world.disk.files().keys().any(|path| path.starts_with(&dir))
    };
    let (good, bad) = if at_more("there") { ("here", "there") } else { ("there", "here") };
    assert!(at_more(bad) && !at_more(good));
    write(&mut client, good, b"a");
    write(&mut client, bad, b"b");
    assert_eq!(running.controller.image().broker(NodeId(1)).unwrap().log_dirs.len(), 2);
    world.disk.set_fault(Some(Box::new(|verb, path| {
        (verb == "sync" && path.starts_with("/more")).then_some(DiskErrorKind::Io)
    })));
    let answer = produced(&mut client, &produce(-1, bad, batch(BatchOptions::default(), b"c")));
    assert_eq!(ErrorCode::from(answer.error_code), ErrorCode::KafkaStorageError);
    // The controller hears of it at once.
    until(|| running.controller.image().broker(NodeId(1)).unwrap().log_dirs.len() == 1);
    for acks in [1, -1] {
        let request = produce(acks, bad, batch(BatchOptions::default(), b"d"));
        let answer = produced(&mut client, &request);
        assert_eq!(ErrorCode::from(answer.error_code), ErrorCode::KafkaStorageError);
    }
    let found = fetched(&mut client, &fetch(bad, &[0]));
    assert_eq!(ErrorCode::from(found[0].error_code), ErrorCode::KafkaStorageError);
    assert_eq!(list_offset(&mut client, bad, 0).1, ErrorCode::KafkaStorageError);
    assert_eq!(delete_records(&mut client, bad, 0).1, ErrorCode::KafkaStorageError);
    assert_eq!(write(&mut client, good, b"e"), 1);
    assert_eq!(values(&fetched(&mut client, &fetch(good, &[0]))[0]), [b"a", b"e"]);
    create(&mut client, "new");
    assert!(!at_more("new"), "nothing is placed where nothing can be written");
    write(&mut client, "new", b"f");
    drop(running);
    world.disk.set_fault(None);
    let running = world.start(&[]);
    let mut client = running.client();
    assert_eq!(values(&fetched(&mut client, &fetch(good, &[0]))[0]), [b"a", b"e"]);
    let found = fetched(&mut client, &fetch(bad, &[0]));
    assert_eq!(values(&found[0])[0], b"b", "what was acknowledged is there");
    running.stop();
}

#[test]
fn a_sync_that_fails_for_a_new_partition_is_the_directorys_end() {
    let world = World::with_dirs(&["/data", "/more"]);
    let running = world.start(&[]);
    let mut client = running.client();
    for name in ["one", "two"] {
        create(&mut client, name);
        write(&mut client, name, b"a");
    }
    world.disk.set_fault(Some(Box::new(|verb, path| {
        (verb == "sync" && path.starts_with("/more")).then_some(DiskErrorKind::Io)
    })));
    // One of them is placed there.
    for name in ["three", "four"] {
        create(&mut client, name);
    }
    until(|| running.controller.image().broker(NodeId(1)).unwrap().log_dirs.len() == 1);
    let code = |client: &mut Client, name| {
        let answer = produced(client, &produce(-1, name, batch(BatchOptions::default(), b"b")));
        ErrorCode::from(answer.error_code)
    };
    for pair in [["one", "two"], ["three", "four"]] {
        let mut codes = pair.map(|name| code(&mut client, name));
        codes.sort_by_key(|code| code.code());
        assert_eq!(codes, [ErrorCode::None, ErrorCode::KafkaStorageError], "{pair:?}");
    }
    drop(running);
    world.disk.set_fault(None);
}

#[test]
fn a_write_that_fails_while_a_log_is_opened_is_the_directorys_end() {
    const NAMES: [&str; 4] = ["one", "two", "three", "four"];
    let world = World::with_dirs(&["/data", "/more"]);
    let running = world.start(&[]);
    let mut client = running.client();
    for name in NAMES {
        create(&mut client, name);
        write(&mut client, name, b"a");
    }
    running.stop();
    let dir = |name: &str| Path::new("/more").join(format!("{name}-0"));
    let is_there = |name: &str| world.disk.exists(&dir(name)).unwrap();
    let there = NAMES.into_iter().filter(|name| is_there(name)).collect::<Vec<_>>();
    assert_eq!(there.len(), 2, "two in each");
    // As a kill may leave it: the file is written when the log is opened.
    let without = dir(there[0]);
    world.disk.remove_file(&without.join("partition.metadata")).unwrap();
    world.disk.set_fault(Some(Box::new(move |verb, path| {
        (verb == "rename" && path.starts_with(&without)).then_some(DiskErrorKind::Io)
    })));
    let running = world.start(&[]);
    until(|| running.controller.image().broker(NodeId(1)).unwrap().log_dirs.len() == 1);
    let mut client = running.client();
    for name in NAMES {
        let answer =
            produced(&mut client, &produce(-1, name, batch(BatchOptions::default(), b"b")));
        let expected = if is_there(name) { ErrorCode::KafkaStorageError } else { ErrorCode::None };
        assert_eq!(ErrorCode::from(answer.error_code), expected, "{name}");
    }
    running.stop();
    world.disk.set_fault(None);
    let running = world.start(&[]);
    let mut client = running.client();
    for name in NAMES {
        assert_eq!(values(&fetched(&mut client, &fetch(name, &[0]))[0])[0], b"a", "{name}");
    }
    running.stop();
}

#[test]
fn a_deleted_topic_that_cannot_be_put_aside_is_the_directorys_end() {
    let world = World::with_dirs(&["/data", "/more"]);
    let running = world.start(&[]);
    let mut client = running.client();
    for name in ["one", "two", "gone", "gone-too"] {
        create(&mut client, name);
        write(&mut client, name, b"a");
    }
    let dirs = ["gone-0", "gone-too-0"].map(|name| Path::new("/more").join(name));
    world.disk.set_fault(Some(Box::new(move |verb, path| {
        (verb == "rename" && dirs.iter().any(|dir| path == dir)).then_some(DiskErrorKind::Io)
    })));
    // One of them is there.
    delete(&mut client, "gone");
    delete(&mut client, "gone-too");
    until(|| running.controller.image().broker(NodeId(1)).unwrap().log_dirs.len() == 1);
    let mut codes = ["one", "two"].map(|name| {
        let answer =
            produced(&mut client, &produce(-1, name, batch(BatchOptions::default(), b"b")));
        ErrorCode::from(answer.error_code)
    });
    codes.sort_by_key(|code| code.code());
    assert_eq!(codes, [ErrorCode::None, ErrorCode::KafkaStorageError]);
    running.stop();
    world.disk.set_fault(None);
    let running = world.start(&[]);
    let mut client = running.client();
    for name in ["one", "two"] {
        assert_eq!(values(&fetched(&mut client, &fetch(name, &[0]))[0])[0], b"a", "{name}");
    }
    running.stop();
}

/// A batch of an idempotent producer, with this timestamp.
fn produced_by(id: i64, timestamp: i64) -> bytes::Bytes {
    let options = BatchOptions {
        producer_id: ProducerId(id),
        producer_epoch: ProducerEpoch(0),
        base_sequence: 0,
        ..BatchOptions::default()
    };
    let mut builder = BatchBuilder::new(options).unwrap();
    builder.append(Millis(timestamp), None, Some(b"x"), &[]).unwrap();
    builder.build().unwrap().into()
}

fn producers(client: &mut Client, name: &'static str) -> Vec<i64> {
    let topic =
        TopicRequest { name: name.into(), partition_indexes: vec![0], ..TopicRequest::default() };
    let request = DescribeProducersRequest { topics: vec![topic], ..Default::default() };
    let answer = client.ask(0, &request).unwrap();
    answer.topics[0].partitions[0].active_producers.iter().map(|p| p.producer_id).collect()
}

#[test]
fn idle_producers_are_forgotten_while_the_broker_runs() {
    let world = World::new();
    let running = world.start(&[
        ("producer.id.expiration.ms", "20000"),
        ("producer.id.expiration.check.interval.ms", "100"),
    ]);
    let mut client = running.client();
    create(&mut client, "orders");
    for (id, age) in [(7, 0), (8, 15_000)] {
        let request = produce(-1, "orders", produced_by(id, NOW - age));
        assert_eq!(produced(&mut client, &request).error_code, 0);
    }
    assert_eq!(producers(&mut client, "orders"), [7, 8]);
    world.clock.advance_ms(10_000);
    until(|| producers(&mut client, "orders") == [7]);
    world.clock.advance_ms(10_000);
    until(|| producers(&mut client, "orders").is_empty());
    running.stop();
}

#[test]
fn limits_of_timestamps_follow_the_settings() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "orders");
    let error = |client: &mut Client, timestamp: i64| {
        let request = produce(-1, "orders", produced_by(-1, timestamp));
        ErrorCode::from(produced(client, &request).error_code)
    };
    assert_eq!(error(&mut client, NOW - 5000), ErrorCode::None);
    assert_eq!(error(&mut client, NOW + 5000), ErrorCode::None);
    set(&mut client, "orders", "message.timestamp.before.max.ms", "1000");
    assert_eq!(error(&mut client, NOW - 5000), ErrorCode::InvalidTimestamp);
    assert_eq!(error(&mut client, NOW + 5000), ErrorCode::None);
    set(&mut client, "orders", "message.timestamp.after.max.ms", "1000");
    assert_eq!(error(&mut client, NOW + 5000), ErrorCode::InvalidTimestamp);
    // With the broker's own time the producer's does not matter.
    set(&mut client, "orders", "message.timestamp.type", "LogAppendTime");
    assert_eq!(error(&mut client, NOW + 5000), ErrorCode::None);
    set(&mut client, "orders", "message.timestamp.type", "CreateTime");
    set(&mut client, "orders", "message.timestamp.before.max.ms", "9000");
    assert_eq!(error(&mut client, NOW - 5000), ErrorCode::None);
    running.stop();
}
