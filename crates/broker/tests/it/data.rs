//! Produce and Fetch where something comes in between: deletions, failures, small limits,
//! transactions, what is no longer in memory.

use bytes::Bytes;
use ottla_env::{Disk, DiskErrorKind};
use ottla_protocol::k00_produce::{
    PartitionProduceData, PartitionProduceResponse, TopicProduceData,
};
use ottla_protocol::k01_fetch::{FetchPartition, FetchTopic, PartitionData};
use ottla_protocol::k19_create_topics::CreatableTopic;
use ottla_protocol::{
    CreateTopicsRequest, DeleteTopicsRequest, ErrorCode, FetchRequest, Millis, ProduceRequest,
    ProducerEpoch, ProducerId, Records,
};
use ottla_records::{BatchBuilder, BatchOptions, Batches, Scratch};

use crate::fixture::{Client, NOW, World};

/// Longer than a test waits for any answer.
const LONG_MS: i32 = 3_600_000;

pub(crate) fn create(client: &mut Client, name: &'static str) {
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: 1,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let request =
        CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    assert_eq!(client.ask(7, &request).unwrap().topics[0].error_code, 0);
}

pub(crate) fn delete(client: &mut Client, name: &'static str) {
    let request = DeleteTopicsRequest {
        topic_names: vec![name.into()],
        timeout_ms: 10_000,
        ..DeleteTopicsRequest::default()
    };
    assert_eq!(client.ask(5, &request).unwrap().responses[0].error_code, 0);
}

pub(crate) fn batch(options: BatchOptions, value: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new(options).unwrap();
    builder.append(Millis(NOW), None, Some(value), &[]).unwrap();
    builder.build().unwrap().into()
}

pub(crate) fn produce(acks: i16, name: &'static str, records: Bytes) -> ProduceRequest {
    let partition =
        PartitionProduceData { records: Some(Records::from(records)), ..Default::default() };
    let topic = TopicProduceData {
        name: name.into(),
        partition_data: vec![partition],
        ..TopicProduceData::default()
    };
    ProduceRequest { acks, timeout_ms: 0, topic_data: vec![topic], ..ProduceRequest::default() }
}

pub(crate) fn produced(client: &mut Client, request: &ProduceRequest) -> PartitionProduceResponse {
    let mut answer = client.ask(12, request).unwrap();
    answer.responses.remove(0).partition_responses.remove(0)
}

pub(crate) fn write(client: &mut Client, name: &'static str, value: &[u8]) -> i64 {
    let request = produce(-1, name, batch(BatchOptions::default(), value));
    let answer = produced(client, &request);
    assert_eq!(answer.error_code, 0);
    answer.base_offset
}

pub(crate) fn fetch(name: &'static str, offsets: &[i64]) -> FetchRequest {
    let partition = |offset: &i64| FetchPartition {
        fetch_offset: *offset,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    let topic = FetchTopic {
        topic: name.into(),
        partitions: offsets.iter().map(partition).collect(),
        ..FetchTopic::default()
    };
    FetchRequest {
        max_wait_ms: 0,
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: vec![topic],
        ..FetchRequest::default()
    }
}

pub(crate) fn fetched(client: &mut Client, request: &FetchRequest) -> Vec<PartitionData> {
    let mut answer = client.ask(12, request).unwrap();
    assert_eq!(answer.error_code, 0);
    answer.responses.remove(0).partitions
}

pub(crate) fn values(partition: &PartitionData) -> Vec<Vec<u8>> {
    assert_eq!(partition.error_code, 0);
    let records = partition.records.as_ref().unwrap();
    let bytes: Vec<u8> = records.pieces().flatten().copied().collect();
    let mut scratch = Scratch::new();
    let mut values = Vec::new();
    for batch in Batches::new(&bytes) {
        for record in batch.unwrap().records(&mut scratch, 1 << 20).unwrap() {
            values.push(record.unwrap().value.unwrap().to_vec());
        }
    }
    values
}

#[test]
fn transactions_are_refused_before_anything_is_appended() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "orders");
    let options = BatchOptions {
        producer_id: ProducerId(7),
        producer_epoch: ProducerEpoch(0),
        base_sequence: 0,
        transactional: true,
        ..BatchOptions::default()
    };
    let mut request = produce(-1, "orders", batch(options, b"x"));
    let answer = produced(&mut client, &request);
    assert_eq!(ErrorCode::from(answer.error_code), ErrorCode::TransactionalIdAuthorizationFailed);
    request.transactional_id = Some("t".into());
    let answer = produced(&mut client, &request);
    assert_eq!(ErrorCode::from(answer.error_code), ErrorCode::InvalidTxnState);
    assert!(answer.error_message.is_some());
    // Before the acks are looked at, as in Kafka; and nobody can be told with acks=0.
    request.acks = 5;
    let answer = produced(&mut client, &request);
    assert_eq!(ErrorCode::from(answer.error_code), ErrorCode::InvalidTxnState);
    request.acks = 0;
    assert!(client.ask(12, &request).is_err());
    assert_eq!(fetched(&mut running.client(), &fetch("orders", &[0]))[0].high_watermark, 0);
    running.stop();
}

#[test]
fn a_time_out_of_zero_is_for_other_replicas_only() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "orders");
    for acks in [1, -1, 1, -1] {
        let request = produce(acks, "orders", batch(BatchOptions::default(), b"x"));
        assert_eq!(produced(&mut client, &request).error_code, 0, "acks={acks}");
    }
    running.stop();
}

#[test]
fn acks_zero_is_in_order_and_its_failure_ends_the_connection() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "orders");
    for value in [b"a", b"b", b"c"] {
        client.tell(12, &produce(0, "orders", batch(BatchOptions::default(), value))).unwrap();
    }
    assert_eq!(write(&mut client, "orders", b"d"), 3);
    let found = fetched(&mut client, &fetch("orders", &[0]));
    assert_eq!(values(&found[0]), [b"a", b"b", b"c", b"d"]);
    client.tell(12, &produce(0, "nothing", batch(BatchOptions::default(), b"e"))).unwrap();
    assert!(client.ask(12, &fetch("orders", &[0])).is_err());
    running.stop();
}

#[test]
fn parts_of_a_shared_frame_stay_apart() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "orders");
    // Small ones are copied out of the frame, a large one stays in it.
    let parts: Vec<Vec<u8>> = [10, 40_000, 300_000, 20].map(|n| vec![7_u8; n]).to_vec();
    let one = |value: &Vec<u8>| PartitionProduceData {
        records: Some(Records::from(batch(BatchOptions::default(), value))),
        ..PartitionProduceData::default()
    };
    let mut request = produce(-1, "orders", Bytes::new());
    request.topic_data[0].partition_data = parts.iter().map(one).collect();
    let answer = client.ask(12, &request).unwrap();
    let offsets: Vec<i64> =
        answer.responses[0].partition_responses.iter().map(|p| p.base_offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3]);
    assert_eq!(values(&fetched(&mut client, &fetch("orders", &[0]))[0]), parts);
    running.stop();
}

#[test]
fn limits_below_one_batch_give_one_batch_at_once() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "orders");
    for value in [b"a", b"b"] {
        write(&mut client, "orders", value);
    }
    let mut request = fetch("orders", &[0]);
    (request.max_bytes, request.min_bytes, request.max_wait_ms) = (0, 1000, LONG_MS);
    request.topics[0].partitions[0].partition_max_bytes = 0;
    assert_eq!(values(&fetched(&mut client, &request)[0]), [b"a"]);
    running.stop();
}

#[test]
fn of_a_partition_listed_twice_the_last_counts() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "orders");
    for value in [b"a", b"b", b"c"] {
        write(&mut client, "orders", value);
    }
    for session_epoch in [-1, 0] {
        let request = FetchRequest { session_epoch, ..fetch("orders", &[0, 2]) };
        let found = fetched(&mut client, &request);
        assert_eq!(found.len(), 1);
        assert_eq!(values(&found[0]), [b"c"]);
    }
    running.stop();
}

#[test]
fn what_is_only_in_files_is_read_and_not_waited_for() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "orders");
    for value in [b"a", b"b", b"c"] {
        write(&mut client, "orders", value);
    }
    running.stop();
    let running = world.start(&[]);
    let mut client = running.client();
    for isolation_level in [0, 1] {
        let mut request = fetch("orders", &[1]);
        (request.isolation_level, request.min_bytes, request.max_wait_ms) =
            (isolation_level, 1 << 20, LONG_MS);
        let found = fetched(&mut client, &request);
        assert_eq!(values(&found[0]), [b"b", b"c"]);
        assert_eq!(found[0].aborted_transactions.is_some(), isolation_level == 1);
    }
    // From files and from memory, in one session.
    write(&mut client, "orders", b"d");
    let found = fetched(&mut client, &fetch("orders", &[3]));
    assert_eq!(values(&found[0]), [b"d"]);
    running.stop();
}

#[test]
fn who_waits_for_data_gets_it_or_hears_of_the_deletion() {
    let world = World::new();
    let running = world.start(&[]);
    let (mut client, mut other) = (running.client(), running.client());
    create(&mut client, "orders");
    let mut request = fetch("orders", &[0]);
    (request.min_bytes, request.max_wait_ms) = (1, LONG_MS);
    let first = request.clone();
    let waiting = std::thread::spawn(move || {
        let found = fetched(&mut other, &first);
        (other, values(&found[0]))
    });
    write(&mut client, "orders", b"a");
    let (mut other, found) = waiting.join().unwrap();
    assert_eq!(found, [b"a"]);
    request.topics[0].partitions[0].fetch_offset = 1;
    let waiting = std::thread::spawn(move || fetched(&mut other, &request));
    delete(&mut client, "orders");
    let error = ErrorCode::from(waiting.join().unwrap()[0].error_code);
    assert_eq!(error, ErrorCode::UnknownTopicOrPartition);
    running.stop();
}

#[test]
fn a_topic_created_again_has_nothing_of_the_one_before() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    let mut producer = running.client();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = std::sync::Arc::clone(&stop);
    // Commits are under way at any moment.
    let busy = std::thread::spawn(move || {
        while !seen.load(std::sync::atomic::Ordering::Relaxed) {
            let request = produce(1, "orders", batch(BatchOptions::default(), b"old"));
            produced(&mut producer, &request);
        }
    });
    for _ in 0..50 {
        create(&mut client, "orders");
        write(&mut client, "orders", b"new");
        delete(&mut client, "orders");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    busy.join().unwrap();
    create(&mut client, "orders");
    assert_eq!(write(&mut client, "orders", b"last"), 0);
    let live = |name: &String| name.as_str() == "orders-0";
    assert_eq!(world.names().iter().filter(|name| live(name)).count(), 1);
    running.stop();
    let running = world.start(&[]);
    let found = fetched(&mut running.client(), &fetch("orders", &[0]));
    assert_eq!(values(&found[0]), [b"last"]);
    running.stop();
}

#[test]
fn a_removal_that_a_crash_interrupted_is_done_by_the_next_clean_stop() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "orders");
    write(&mut client, "orders", b"a");
    delete(&mut client, "orders");
    running.stop();
    let aside = || world.names().into_iter().find(|name| name.ends_with("-delete"));
    let name = aside().expect("its time has not come");
    let half = World::dir().join(name).join("00000000000000000000.log");
    world.disk.remove_file(&half).unwrap();

    // Apache Kafka would take what is left for a log, and warn of it.
    world.start(&[]).stop();
    assert_eq!(aside(), None);
}

#[test]
fn a_disk_that_fails_is_an_answer() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "orders");
    write(&mut client, "orders", b"a");
    world.disk.set_fault(Some(Box::new(|verb, path| {
        let hit = verb != "read" && path.to_string_lossy().contains("orders-0");
        hit.then_some(DiskErrorKind::Io)
    })));
    for acks in [1, -1, 1, -1] {
        let request = produce(acks, "orders", batch(BatchOptions::default(), b"b"));
        let error = ErrorCode::from(produced(&mut client, &request).error_code);
        assert_eq!(error, ErrorCode::KafkaStorageError, "acks={acks}");
    }
    drop(running);
}

#[test]
fn who_has_finished_sending_is_answered() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "orders");
    client.tell(12, &produce(-1, "orders", batch(BatchOptions::default(), b"a"))).unwrap();
    client.finish();
    let answer = client.hear::<ProduceRequest>(12).unwrap();
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    assert!(client.hear::<ProduceRequest>(12).is_err());
    running.stop();
}
