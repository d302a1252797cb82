//! Records through a whole broker, as far as settings of the broker say what becomes of them.

use ottla_protocol::k00_produce::{PartitionProduceData, TopicProduceData};
use ottla_protocol::k01_fetch::{FetchPartition, FetchTopic};
use ottla_protocol::k61_describe_producers::TopicRequest;
use ottla_protocol::{
    DescribeProducersRequest, FetchRequest, Millis, ProduceRequest, ProducerEpoch, ProducerId,
    Records,
};
use ottla_records::{BatchBuilder, BatchOptions, Batches};

use crate::fixture::{Client, NOW, World, create};

/// One record of an idempotent producer.
fn batch(sequence: i32, value: &[u8]) -> Records {
    let mut batch = BatchBuilder::new(BatchOptions {
        producer_id: ProducerId(7),
        producer_epoch: ProducerEpoch(0),
        base_sequence: sequence,
        ..BatchOptions::default()
    })
    .unwrap();
    batch.append(Millis(NOW), None, Some(value), &[]).unwrap();
    Records::from(bytes::Bytes::from(batch.build().unwrap()))
}

fn produce(client: &mut Client, records: Records) {
    let partition = PartitionProduceData { records: Some(records), ..Default::default() };
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: "orders".into(),
            partition_data: vec![partition],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    };
    let answer = client.ask(12, &request).unwrap();
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0, "{answer:?}");
}

/// How many batches one fetch brings.
fn fetched(client: &mut Client) -> usize {
    const MANY: i32 = 1_000_000;
    let partition = FetchPartition { partition_max_bytes: MANY, ..FetchPartition::default() };
    let request = FetchRequest {
        max_bytes: MANY,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: "orders".into(),
            partitions: vec![partition],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    };
    let answer = client.ask(12, &request).unwrap();
    let records = answer.responses[0].partitions[0].records.as_ref().unwrap().to_bytes();
    Batches::new(&records).map_while(Result::ok).count()
}

fn producers(client: &mut Client) -> Vec<i64> {
    let topic =
        TopicRequest { name: "orders".into(), partition_indexes: vec![0], ..Default::default() };
    let request = DescribeProducersRequest { topics: vec![topic], ..Default::default() };
    let answer = client.ask(0, &request).unwrap();
    answer.topics[0].partitions[0].active_producers.iter().map(|p| p.producer_id).collect()
}

#[test]
fn an_answer_is_no_larger_than_the_broker_allows() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "orders", 1);
    for sequence in 0..3 {
        produce(&mut client, batch(sequence, &[1; 700]));
    }
    assert_eq!(fetched(&mut client), 3);
    running.stop();

    let again = world.start(&[("fetch.max.bytes", "1024")]);
    assert_eq!(fetched(&mut again.client()), 1);
    again.stop();
}

#[test]
fn producers_are_forgotten_after_their_time() {
    let world = World::new();
    let running = world.start(&[]);
    let mut client = running.client();
    create(&mut client, "orders", 1);
    produce(&mut client, batch(0, b"value"));
    assert_eq!(producers(&mut client), [7]);
    running.stop();

    world.clock.advance_ms(10_000);
    let again = world.start(&[("producer.id.expiration.ms", "20000")]);
    assert_eq!(producers(&mut again.client()), [7]);
    again.stop();
    let again = world.start(&[("producer.id.expiration.ms", "10000")]);
    assert_eq!(producers(&mut again.client()), [0; 0]);
    again.stop();
}
