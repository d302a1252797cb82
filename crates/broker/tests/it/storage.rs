//! What keeps log directories in order while the broker runs: retention by live settings, and a
//! directory that fails while the others go on.

use std::time::Instant;

use ottla_env::DiskErrorKind;
use ottla_protocol::k02_list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use ottla_protocol::{ErrorCode, ListOffsetsRequest, NodeId};
use ottla_records::BatchOptions;

use crate::data::{batch, create, fetch, fetched, produce, produced, values, write};
use crate::fixture::{Client, LIMIT, World};
use crate::space::{delete_records, set};

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

fn until(mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while begun.elapsed() < LIMIT {
        if done() {
            return;
        }
        std::thread::yield_now();
    }
    panic!("it never comes to that");
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
