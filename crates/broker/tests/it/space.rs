//! A log directory that gets full: who fills it further is refused at once, everybody else goes
//! on, nothing that was acknowledged is lost, and it goes on by itself when there is space.

use std::time::Instant;

use ottla_protocol::k00_produce::PartitionProduceResponse;
use ottla_protocol::k19_create_topics::CreatableTopic;
use ottla_protocol::k21_delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use ottla_protocol::k37_create_partitions::CreatePartitionsTopic;
use ottla_protocol::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, ErrorCode, MetadataRequest,
};
use ottla_records::BatchOptions;

use crate::data::{batch, create, delete, fetch, fetched, produce, produced, values, write};
use crate::fixture::{Client, LIMIT, Running, World, set, until};

const MIB: u64 = 1 << 20;
/// So many small steps are more than any test needs.
const STEPS_MAX: usize = 100_000;

fn try_write(
    client: &mut Client,
    name: &'static str,
    acks: i16,
    size: usize,
) -> PartitionProduceResponse {
    let value = vec![7; size];
    produced(client, &produce(acks, name, batch(BatchOptions::default(), &value)))
}

/// Writes until it is refused; the offsets that were acknowledged end here.
fn write_until_refused(client: &mut Client, name: &'static str, size: usize) -> i64 {
    for (end, acks) in (0..).zip([-1, 1].into_iter().cycle()).take(STEPS_MAX) {
        let answer = try_write(client, name, acks, size);
        if answer.error_code != 0 {
            assert_eq!(ErrorCode::from(answer.error_code), ErrorCode::PolicyViolation);
            assert!(answer.error_message.is_some_and(|why| why.contains("space")), "a sentence");
            return end;
        }
        assert_eq!(answer.base_offset, end);
    }
    panic!("the disk never gets full");
}

fn write_until_taken(client: &mut Client, name: &'static str) -> i64 {
    let begun = Instant::now();
    while begun.elapsed() < LIMIT {
        let answer = try_write(client, name, -1, 100);
        if answer.error_code == 0 {
            return answer.base_offset;
        }
        assert_eq!(ErrorCode::from(answer.error_code), ErrorCode::PolicyViolation);
        std::thread::yield_now();
    }
    panic!("records are never taken again");
}

/// acks=1 is answered before the record is safe, and only then others see it.
fn until_seen(client: &mut Client, name: &'static str, end: i64) {
    until(|| fetched(client, &fetch(name, &[end - 1]))[0].high_watermark == end);
}

fn read_to(client: &mut Client, name: &'static str, end: i64) {
    until_seen(client, name, end);
    let mut at = 0;
    while at < end {
        let found = fetched(client, &fetch(name, &[at]));
        assert_eq!(found[0].high_watermark, end);
        let count = i64::try_from(values(&found[0]).len()).unwrap();
        assert!(count > 0, "at {at} of {end}");
        at += count;
    }
    assert_eq!(at, end);
}

fn create_error(client: &mut Client, name: &'static str) -> (ErrorCode, Option<String>) {
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: 1,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let request =
        CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    let answer = client.ask(7, &request).unwrap().topics.remove(0);
    (answer.error_code.into(), answer.error_message.map(|why| why.to_string()))
}

fn more_partitions(client: &mut Client, name: &'static str) -> ErrorCode {
    let topic = CreatePartitionsTopic { name: name.into(), count: 2, ..Default::default() };
    let request =
        CreatePartitionsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    client.ask(3, &request).unwrap().results[0].error_code.into()
}

pub(crate) fn delete_records(
    client: &mut Client,
    name: &'static str,
    offset: i64,
) -> (i64, ErrorCode) {
    let partition = DeleteRecordsPartition { offset, ..DeleteRecordsPartition::default() };
    let topic = DeleteRecordsTopic {
        name: name.into(),
        partitions: vec![partition],
        ..DeleteRecordsTopic::default()
    };
    let request = DeleteRecordsRequest { topics: vec![topic], ..Default::default() };
    let answer = client.ask(2, &request).unwrap();
    let answer = &answer.topics[0].partitions[0];
    (answer.low_watermark, answer.error_code.into())
}

fn start(world: &World, refuse: u64) -> Running {
    let refuse = refuse.to_string();
    world.start(&[
        ("log.dir.free.refuse.bytes", &refuse),
        ("log.dir.free.warn.bytes", "0"),
        ("log.segment.bytes", "1048576"),
        ("log.retention.check.interval.ms", "3600000"),
    ])
}

#[test]
fn below_the_watermark_producers_are_refused_and_all_else_goes_on() {
    let world = World::new();
    world.disk.set_capacity(8 * MIB);
    let running = start(&world, 2 * MIB);
    let mut client = running.client();
    create(&mut client, "orders");
    create(&mut client, "old");
    write(&mut client, "old", b"x");
    let end = write_until_refused(&mut client, "orders", 100_000);
    assert!(end > 40, "the watermark and not the disk's end: {end}");
    // At once, again and again, in every partition of the directory.
    for acks in [1, -1, 1, -1] {
        let error = try_write(&mut client, "old", acks, 10).error_code;
        assert_eq!(ErrorCode::from(error), ErrorCode::PolicyViolation);
    }
    let (error, why) = create_error(&mut client, "new");
    assert_eq!(error, ErrorCode::PolicyViolation);
    assert!(why.unwrap().contains("/data is full"));
    assert_eq!(more_partitions(&mut client, "old"), ErrorCode::PolicyViolation);
    let on_demand = MetadataRequest {
        topics: Some(vec![ottla_protocol::k03_metadata::MetadataRequestTopic {
            name: Some("demanded".into()),
            ..Default::default()
        }]),
        allow_auto_topic_creation: true,
        ..MetadataRequest::default()
    };
    let answer = client.ask(12, &on_demand).unwrap();
    assert_eq!(ErrorCode::from(answer.topics[0].error_code), ErrorCode::PolicyViolation);

    read_to(&mut client, "orders", end);
    set(&mut client, "orders", "retention.ms", "1000000");
    delete(&mut client, "old");
    assert_eq!(delete_records(&mut client, "orders", end), (end, ErrorCode::None));
    // By itself: closed segments go at once when there is no space for them.
    assert_eq!(write_until_taken(&mut client, "orders"), end);
    assert_eq!(create_error(&mut client, "new").0, ErrorCode::None);
    running.stop();
}

#[test]
fn a_disk_that_is_full_to_the_brim_loses_nothing() {
    let world = World::new();
    world.disk.set_capacity(4 * MIB);
    let running = start(&world, 0);
    let (mut client, mut other) = (running.client(), running.client());
    create(&mut client, "orders");
    create(&mut client, "other");
    write(&mut other, "other", b"x");
    let end = write_until_refused(&mut client, "orders", 70_001);
    assert!(end > 20, "{end}");
    read_to(&mut client, "orders", end);
    read_to(&mut other, "other", 1);
    let answer = try_write(&mut client, "orders", -1, 10);
    assert_eq!(ErrorCode::from(answer.error_code), ErrorCode::PolicyViolation);
    // It may be stopped and started as it is.
    running.stop();
    let running = start(&world, 0);
    let mut client = running.client();
    read_to(&mut client, "orders", end);
    let refused = write_until_refused(&mut client, "orders", 70_001);
    assert_eq!(refused, 0, "there is still no space");
    world.disk.set_capacity(8 * MIB);
    assert_eq!(write_until_taken(&mut client, "orders"), end);
    read_to(&mut client, "orders", end + 1);
    running.stop();
}

#[test]
fn to_the_brim_and_back_by_deleting_records() {
    let world = World::new();
    world.disk.set_capacity(4 * MIB);
    let running = start(&world, 0);
    let mut client = running.client();
    create(&mut client, "orders");
    let end = write_until_refused(&mut client, "orders", 10_001);
    until_seen(&mut client, "orders", end);
    // Not a byte is left, but for what is kept back.
    let used: usize = world.disk.files().values().map(Vec::len).sum();
    world.disk.set_capacity(used as u64);
    assert_eq!(delete_records(&mut client, "orders", end - 1), (end - 1, ErrorCode::None));
    assert_eq!(write_until_taken(&mut client, "orders"), end);
    let found = fetched(&mut client, &fetch("orders", &[end - 1]));
    assert_eq!(values(&found[0]).len(), 2);
    running.stop();
}

#[test]
fn partitions_without_space_are_opened_when_there_is_some() {
    let world = World::new();
    world.disk.set_capacity(4 * MIB);
    let running = start(&world, 0);
    let mut client = running.client();
    create(&mut client, "orders");
    let used: usize = world.disk.files().values().map(Vec::len).sum();
    // Room in the metadata log, and then none for the partition's files.
    world.disk.set_fault(Some(Box::new(|verb, path| {
        let new = path.to_string_lossy().contains("new-0");
        (verb == "write" && new).then_some(ottla_env::DiskErrorKind::NoSpace)
    })));
    assert_eq!(create_error(&mut client, "new").0, ErrorCode::None);
    let answer = try_write(&mut client, "new", -1, 10);
    assert_eq!(ErrorCode::from(answer.error_code), ErrorCode::KafkaStorageError);
    world.disk.set_fault(None);
    world.disk.set_capacity(used as u64 + 4 * MIB);
    // By itself; clients try this one again.
    let begun = Instant::now();
    while try_write(&mut client, "new", -1, 100).error_code != 0 {
        assert!(begun.elapsed() < LIMIT, "it stays closed");
        std::thread::yield_now();
    }
    read_to(&mut client, "new", 1);
    running.stop();
}

#[test]
fn many_small_requests_at_the_brim() {
    let world = World::new();
    let running = start(&world, 0);
    let mut client = running.client();
    create(&mut client, "orders");
    write(&mut client, "orders", b"x");
    for round in 0..10 {
        world.disk.set_capacity(16 * MIB);
        let first = write_until_taken(&mut client, "orders");
        let used: usize = world.disk.files().values().map(Vec::len).sum();
        world.disk.set_capacity(used as u64 + 3000 + round * 97);
        let mut end = first + 1;
        for step in 0.. {
            let answer = try_write(&mut client, "orders", [-1, 1][step % 2], 333);
            if answer.error_code != 0 {
                break;
            }
            assert_eq!(answer.base_offset, end);
            end += 1;
        }
        read_to(&mut client, "orders", end);
    }
    running.stop();
}

#[test]
fn a_partition_that_cannot_be_read_again_at_once_is_later() {
    let world = World::new();
    let running = start(&world, 0);
    let mut client = running.client();
    create(&mut client, "orders");
    write(&mut client, "orders", b"x");
    let (mut refuse, mut fail) = (Some(()), Some(()));
    world.disk.set_fault(Some(Box::new(move |verb, path| {
        let is_log = path.ends_with("orders-0/00000000000000000000.log");
        if verb == "write" && is_log && refuse.take().is_some() {
            return Some(ottla_env::DiskErrorKind::NoSpace);
        }
        let again = refuse.is_none() && verb == "list" && path.ends_with("orders-0");
        (again && fail.take().is_some()).then_some(ottla_env::DiskErrorKind::Io)
    })));
    assert_eq!(
        ErrorCode::from(try_write(&mut client, "orders", -1, 100).error_code),
        ErrorCode::PolicyViolation
    );
    assert_eq!(write_until_taken(&mut client, "orders"), 1);
    read_to(&mut client, "orders", 2);
    running.stop();
}

#[test]
fn segments_that_may_go_go_when_an_append_finds_the_disk_full() {
    let world = World::new();
    world.disk.set_capacity(24 * MIB);
    let running = start(&world, 4 * MIB);
    let mut client = running.client();
    create(&mut client, "orders");
    set(&mut client, "orders", "segment.bytes", "1048576");
    set(&mut client, "orders", "retention.bytes", "1048576");
    let end = write_until_refused(&mut client, "orders", 100_000);
    assert!(write_until_taken(&mut client, "orders") >= end);
    running.stop();
}
