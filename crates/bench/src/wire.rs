//! The load: the same prepared bytes for every broker, several requests in flight, answers
//! checked. Its cost is next to nothing, so that the broker is what is measured.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use bytes::Bytes;
use ottla_protocol::k00_produce::{PartitionProduceData, TopicProduceData};
use ottla_protocol::k02_list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use ottla_protocol::k19_create_topics::CreatableTopic;
use ottla_protocol::k44_incremental_alter_configs::AlterConfigsResource;
use ottla_protocol::message::{ApiRequest, Message};
use ottla_protocol::{
    CreateTopicsRequest, CreateTopicsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, ListOffsetsRequest, ListOffsetsResponse, Millis,
    ProduceRequest, ProduceResponse, Reader, Records, RequestHeader, ResponseHeader, StrBytes,
    request_frame,
};
use ottla_records::{BatchBuilder, BatchOptions};

/// Records of 1 KiB in a batch of just under 1 MB, Kafka's largest by default.
pub(crate) const BATCH_RECORDS: u64 = 950;
const LIMIT: Duration = Duration::from_secs(60);
/// Creating partitions, and a start with many of them, may take longer.
const LEADERS_LIMIT: Duration = Duration::from_secs(600);
/// Between two questions, so that asking costs the broker next to nothing.
const PAUSE: Duration = Duration::from_millis(20);

/// A connection that speaks whole messages.
pub(crate) struct Client {
    stream: TcpStream,
    correlation_id: i32,
}

impl Client {
    /// Connects, trying again until the port is open.
    pub(crate) fn connect(address: &str) -> anyhow::Result<Self> {
        let end = Instant::now() + LIMIT;
        let stream = loop {
            match TcpStream::connect(address) {
                Ok(stream) => break stream,
                Err(error) => {
                    ensure!(Instant::now() < end, "{address}: {error}");
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        };
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self { stream, correlation_id: 0 })
    }

    /// Sends a request.
    pub(crate) fn send<M: ApiRequest>(&mut self, version: i16, request: &M) -> anyhow::Result<()> {
        self.correlation_id += 1;
        let header =
            RequestHeader { correlation_id: self.correlation_id, ..RequestHeader::default() };
        for part in request_frame(&header, version, request)?.into_parts() {
            self.stream.write_all(&part)?;
        }
        Ok(())
    }

    /// One request and its answer, of APIs and versions with flexible headers.
    pub(crate) fn call<M: Message, R: ApiRequest>(
        &mut self,
        version: i16,
        request: &R,
    ) -> anyhow::Result<M> {
        self.send(version, request)?;
        self.receive(1, version)
    }

    /// Waits for the answer to the oldest request.
    pub(crate) fn receive<M: Message>(
        &mut self,
        header_version: i16,
        version: i16,
    ) -> anyhow::Result<M> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length))?];
        self.stream.read_exact(&mut frame)?;
        let mut reader = Reader::new(Bytes::from(frame));
        ResponseHeader::decode(&mut reader, header_version)?;
        Ok(M::decode(&mut reader, version)?)
    }

    /// Creates a topic with one replica.
    pub(crate) fn create_topic(&mut self, name: &str, partitions: i32) -> anyhow::Result<()> {
        let topic = CreatableTopic {
            name: StrBytes::from(name),
            num_partitions: partitions,
            replication_factor: 1,
            ..Default::default()
        };
        let timeout_ms = 60_000;
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms, ..Default::default() };
        self.send(7, &request)?;
        let response: CreateTopicsResponse = self.receive(1, 7)?;
        let result = response.topics.first().context("no answer for the topic")?;
        ensure!(result.error_code == 0, "create topic: {:?}", result.error_message);
        // Kafka answers before its partitions have leaders.
        self.wait_for_leaders(name, partitions)
    }

    /// Changes settings; an error when one is refused.
    pub(crate) fn alter_configs(
        &mut self,
        resources: Vec<AlterConfigsResource>,
    ) -> anyhow::Result<()> {
        let request = IncrementalAlterConfigsRequest { resources, ..Default::default() };
        let response: IncrementalAlterConfigsResponse = self.call(1, &request)?;
        ensure!(response.responses.len() == request.resources.len(), "answers are missing");
        for answer in &response.responses {
            let (code, name) = (answer.error_code, &answer.resource_name);
            ensure!(code == 0, "settings of {name} are refused: {code} {:?}", answer.error_message);
        }
        Ok(())
    }

    /// Waits until the first `partitions` of a topic can be used.
    pub(crate) fn wait_for_leaders(&mut self, name: &str, partitions: i32) -> anyhow::Result<()> {
        let end = Instant::now() + LEADERS_LIMIT;
        while self.count(name, partitions)?.is_none() {
            ensure!(Instant::now() < end, "{name} has no leaders");
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Sends one batch again and again until it is acknowledged.
    pub(crate) fn produce_until_acknowledged(
        &mut self,
        topic: &str,
        partition: i32,
        batch: &Bytes,
    ) -> anyhow::Result<()> {
        let end = Instant::now() + LEADERS_LIMIT;
        loop {
            self.produce(topic, partition, batch)?;
            let error = self.produced()?;
            if error == 0 {
                return Ok(());
            }
            ensure!(Instant::now() < end, "the batch is still refused: error {error}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends one batch to one partition, acks=all.
    pub(crate) fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        batch: &Bytes,
    ) -> anyhow::Result<()> {
        let partition = PartitionProduceData {
            index: partition,
            records: Some(Records::from(batch.clone())),
            ..Default::default()
        };
        let topic = TopicProduceData {
            name: StrBytes::from(topic),
            partition_data: vec![partition],
            ..Default::default()
        };
        let request = ProduceRequest {
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![topic],
            ..Default::default()
        };
        self.send(9, &request)
    }

    /// Waits for the answer to the oldest batch; its error code.
    fn produced(&mut self) -> anyhow::Result<i16> {
        let response: ProduceResponse = self.receive(1, 9)?;
        let topic = response.responses.first().context("no topic in the answer")?;
        Ok(topic.partition_responses.first().context("no partition in the answer")?.error_code)
    }

    /// As [`Client::produced`]; an error when the batch was refused.
    pub(crate) fn expect_produced(&mut self) -> anyhow::Result<()> {
        let error = self.produced()?;
        ensure!(error == 0, "a batch was refused: error {error}");
        Ok(())
    }

    /// Records in a topic that was empty: the sum of the partitions' ends. `None` while a
    /// partition has no leader.
    pub(crate) fn count(&mut self, topic: &str, partitions: i32) -> anyhow::Result<Option<i64>> {
        let wanted = (0..partitions).map(|index| ListOffsetsPartition {
            partition_index: index,
            timestamp: -1,
            ..Default::default()
        });
        let topic = ListOffsetsTopic {
            name: StrBytes::from(topic),
            partitions: wanted.collect(),
            ..Default::default()
        };
        let request =
            ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
        self.send(6, &request)?;
        let response: ListOffsetsResponse = self.receive(1, 6)?;
        let mut ends = response.topics.iter().flat_map(|t| &t.partitions);
        Ok(ends.try_fold(0, |sum, p| (p.error_code == 0).then(|| sum + p.offset)))
    }
}

/// The time of records that are written now.
pub(crate) fn now() -> anyhow::Result<Millis> {
    Ok(Millis(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?))
}

/// A batch of `count` records of `size` bytes each, not compressible, written now: older ones a
/// broker would delete.
pub(crate) fn batch(count: u64, size: usize) -> anyhow::Result<Bytes> {
    let mut builder = BatchBuilder::new(BatchOptions::default())?;
    let now = now()?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut value = vec![0; size];
    for _ in 0..count {
        for byte in &mut value {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = state.to_le_bytes()[0];
        }
        builder.append(now, None, Some(&value), &[])?;
    }
    Ok(Bytes::from(builder.build()?))
}

/// Sends `batches` batches over one connection, to each of `partitions` in turn, `in_flight`
/// unanswered at most.
pub(crate) fn produce(
    address: &str,
    topic: &str,
    partitions: std::ops::Range<i32>,
    batch: &Bytes,
    batches: u64,
    in_flight: usize,
) -> anyhow::Result<()> {
    let mut client = Client::connect(address)?;
    let mut open = VecDeque::new();
    let partitions: Vec<i32> = partitions.collect();
    for partition in partitions.iter().copied().cycle().take(usize::try_from(batches)?) {
        if open.len() == in_flight {
            open.pop_front();
            client.expect_produced()?;
        }
        client.produce(topic, partition, batch)?;
        open.push_back(partition);
    }
    for _ in open {
        client.expect_produced()?;
    }
    Ok(())
}
