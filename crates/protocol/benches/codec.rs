//! What the two requests that carry records cost to read and to answer, without the records.
//! `cargo bench -p ottla-protocol`. Must not know sockets.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on may stop")]

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion};
use ottla_protocol::k00_produce::{
    PartitionProduceData, PartitionProduceResponse, TopicProduceData, TopicProduceResponse,
};
use ottla_protocol::k01_fetch::{
    FetchPartition, FetchTopic, FetchableTopicResponse, PartitionData,
};
use ottla_protocol::{
    ApiKey, FetchRequest, FetchRequestView, FetchResponse, Message, ProduceRequest,
    ProduceRequestView, ProduceResponse, Reader, Records, Uuid, response_frame,
};
use std::hint::black_box;

const PRODUCE_VERSION: i16 = 13;
const FETCH_VERSION: i16 = 18;
const TOPIC_ID: Uuid = Uuid([7; 16]);
/// Partitions of one topic in a request.
const PARTITIONS: [i32; 3] = [1, 16, 100];
/// Bytes of records in each.
const RECORDS: usize = 16 << 10;

fn encoded<M: Message>(message: &M, version: i16) -> Bytes {
    let mut writer = ottla_protocol::Writer::with_capacity(0);
    message.encode(&mut writer, version).unwrap();
    writer.finish().into_parts().into_iter().flatten().collect::<Vec<u8>>().into()
}

fn produce_request(partitions: i32) -> ProduceRequest {
    let partition = |index| PartitionProduceData {
        index,
        records: Some(Records::from(Bytes::from(vec![1; RECORDS]))),
        ..PartitionProduceData::default()
    };
    let topic = TopicProduceData {
        topic_id: TOPIC_ID,
        partition_data: (0..partitions).map(partition).collect(),
        ..TopicProduceData::default()
    };
    ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic], ..Default::default() }
}

fn produce(c: &mut Criterion) {
    let mut group = c.benchmark_group("produce");
    for partitions in PARTITIONS {
        let request = encoded(&produce_request(partitions), PRODUCE_VERSION);
        group.bench_function(BenchmarkId::new("view of the request", partitions), |b| {
            b.iter(|| {
                let view = ProduceRequestView::parse(black_box(&request), 0, PRODUCE_VERSION);
                let topics = view.unwrap().topics();
                topics.flat_map(|topic| topic.partitions()).filter_map(|p| p.records).count()
            });
        });
        group.bench_function(BenchmarkId::new("decode request", partitions), |b| {
            b.iter(|| {
                let mut reader = Reader::new(request.clone());
                ProduceRequest::decode(&mut reader, PRODUCE_VERSION).unwrap()
            });
        });
        let partition = |index| PartitionProduceResponse { index, ..Default::default() };
        let topic = TopicProduceResponse {
            topic_id: TOPIC_ID,
            partition_responses: (0..partitions).map(partition).collect(),
            ..TopicProduceResponse::default()
        };
        let response = ProduceResponse { responses: vec![topic], ..Default::default() };
        group.bench_function(BenchmarkId::new("encode response", partitions), |b| {
            b.iter(|| response_frame(ApiKey::Produce, PRODUCE_VERSION, 1, &response).unwrap());
        });
    }
    group.finish();
}

fn fetch(c: &mut Criterion) {
    let mut group = c.benchmark_group("fetch");
    for partitions in PARTITIONS {
        let partition = |partition| FetchPartition {
            partition,
            partition_max_bytes: 1 << 20,
            ..FetchPartition::default()
        };
        let topic = FetchTopic {
            topic_id: TOPIC_ID,
            partitions: (0..partitions).map(partition).collect(),
            ..FetchTopic::default()
        };
        let request = FetchRequest { topics: vec![topic], ..FetchRequest::default() };
        let request = encoded(&request, FETCH_VERSION);
        group.bench_function(BenchmarkId::new("view of the request", partitions), |b| {
            b.iter(|| {
                let view = FetchRequestView::parse(black_box(&request), 0, FETCH_VERSION);
                view.unwrap().topics().flat_map(|topic| topic.partitions()).count()
            });
        });
        // Records in two pieces, as they lie in a log's tail: none is copied.
        let piece = Bytes::from(vec![1; RECORDS / 2]);
        let partition = |partition_index| PartitionData {
            partition_index,
            records: Some([piece.clone(), piece.clone()].into_iter().collect()),
            ..PartitionData::default()
        };
        let topic = FetchableTopicResponse {
            topic_id: TOPIC_ID,
            partitions: (0..partitions).map(partition).collect(),
            ..FetchableTopicResponse::default()
        };
        let response = FetchResponse { responses: vec![topic], ..FetchResponse::default() };
        group.bench_function(BenchmarkId::new("encode response", partitions), |b| {
            b.iter(|| response_frame(ApiKey::Fetch, FETCH_VERSION, 1, &response).unwrap());
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    produce(&mut criterion);
    fetch(&mut criterion);
    criterion.final_summary();
}
