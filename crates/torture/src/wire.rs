//! The few requests that the tester makes, as calls. Knows the protocol; must not know what is
//! expected of the answers.

use std::io;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use ottla_interop::raw::Connection;
use ottla_protocol::k00_produce::{PartitionProduceData, TopicProduceData};
use ottla_protocol::k01_fetch::{FetchPartition, FetchTopic, PartitionData};
use ottla_protocol::k02_list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use ottla_protocol::k03_metadata::{MetadataRequestTopic, MetadataResponseTopic};
use ottla_protocol::k08_offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use ottla_protocol::k09_offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use ottla_protocol::k19_create_topics::{CreatableTopic, CreatableTopicConfig};
use ottla_protocol::k20_delete_topics::DeleteTopicState;
use ottla_protocol::k21_delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use ottla_protocol::k32_describe_configs::DescribeConfigsResource;
use ottla_protocol::k34_alter_replica_log_dirs::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use ottla_protocol::k44_incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use ottla_protocol::{
    AlterReplicaLogDirsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeConfigsRequest, DescribeLogDirsRequest, FetchRequest, FindCoordinatorRequest,
    IncrementalAlterConfigsRequest, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest,
    OffsetCommitRequest, OffsetFetchRequest, ProduceRequest, Records,
};

/// How long an answer may take before the broker counts as hung.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// The version of Produce that is used: topics have names.
pub const PRODUCE: i16 = 12;

/// A connection to the broker under test.
#[derive(Debug)]
pub struct Client {
    /// The connection itself.
    pub connection: Connection,
}

/// The error code in an answer; 0 is none.
pub type Code = i16;

/// A log directory: error, path, and the partitions that lie there.
pub type LogDir = (Code, String, Vec<(String, i32)>);

/// One partition's part of a fetch.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The topic.
    pub topic: String,
    /// Its part of the answer.
    pub data: PartitionData,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn open(address: &str) -> io::Result<Self> {
        let mut connection = Connection::open(address)?;
        connection.wait_at_most(PATIENCE)?;
        Ok(Self { connection })
    }

    /// Creates a topic; its id.
    pub fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(String, String)],
    ) -> anyhow::Result<(Code, ottla_protocol::Uuid)> {
        let configs = configs.iter().map(|(name, value)| CreatableTopicConfig {
            name: name.into(),
            value: Some(value.into()),
            ..Default::default()
        });
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: 1,
            configs: configs.collect(),
            ..Default::default()
        };
        let request =
            CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
        let answer = self.connection.ask(7, &request)?;
        let topic = answer.topics.first().context("no topic in the answer")?;
        Ok((topic.error_code, topic.topic_id))
    }

    /// Deletes a topic.
    pub fn delete_topic(&mut self, name: &str) -> anyhow::Result<Code> {
        let topic = DeleteTopicState { name: Some(name.into()), ..Default::default() };
        let request =
            DeleteTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
        let answer = self.connection.ask(6, &request)?;
        Ok(answer.responses.first().context("no topic in the answer")?.error_code)
    }

    /// Describes these topics.
    pub fn metadata(&mut self, names: &[&str]) -> anyhow::Result<Vec<MetadataResponseTopic>> {
        let topics = names
            .iter()
            .map(|name| MetadataRequestTopic { name: Some((*name).into()), ..Default::default() });
        let request = MetadataRequest { topics: Some(topics.collect()), ..Default::default() };
        Ok(self.connection.ask(12, &request)?.topics)
    }

    /// A new idempotent producer: id and epoch.
    pub fn new_producer(&mut self) -> anyhow::Result<(Code, i64, i16)> {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: i32::MAX,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        let answer = self.connection.ask(4, &request)?;
        Ok((answer.error_code, answer.producer_id, answer.producer_epoch))
    }

    /// Offsets of these times (−1 latest, −2 earliest) of partitions.
    pub fn offsets_at(
        &mut self,
        topic: &str,
        times: &[(i32, i64)],
    ) -> anyhow::Result<Vec<(Code, i64)>> {
        let mut found = Vec::new();
        // A partition stands once in a request.
        for (partition, timestamp) in times {
            let partition = ListOffsetsPartition {
                partition_index: *partition,
                timestamp: *timestamp,
                current_leader_epoch: -1,
                ..Default::default()
            };
            let topics = vec![ListOffsetsTopic {
                name: topic.into(),
                partitions: vec![partition],
                ..Default::default()
            }];
            let request = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
            let answer = self.connection.ask(7, &request)?;
            let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
            let partition = partition.context("no partition in the answer")?;
            found.push((partition.error_code, partition.offset));
        }
        Ok(found)
    }

    /// Fetches from partitions of topics: topic, partition, offset.
    pub fn fetch(
        &mut self,
        from: &[(&str, i32, i64)],
        wait_ms: i32,
    ) -> anyhow::Result<Vec<Fetched>> {
        let mut topics: Vec<FetchTopic> = Vec::new();
        for (topic, partition, offset) in from {
            let partition = FetchPartition {
                partition: *partition,
                fetch_offset: *offset,
                current_leader_epoch: -1,
                last_fetched_epoch: -1,
                log_start_offset: -1,
                partition_max_bytes: 1 << 20,
                ..Default::default()
            };
            match topics.last_mut() {
                Some(last) if &*last.topic == *topic => last.partitions.push(partition),
                _ => topics.push(FetchTopic {
                    topic: (*topic).into(),
                    partitions: vec![partition],
                    ..Default::default()
                }),
            }
        }
        let request = FetchRequest {
            replica_id: -1,
            max_wait_ms: wait_ms,
            min_bytes: 1,
            max_bytes: 64 << 20,
            session_epoch: -1,
            topics,
            ..Default::default()
        };
        let answer = self.connection.ask(12, &request)?;
        if answer.error_code != 0 {
            bail!("Fetch is answered with error {}", answer.error_code);
        }
        let topics = answer.responses.into_iter();
        let partitions = topics.flat_map(|topic| {
            let name = topic.topic.to_string();
            topic.partitions.into_iter().map(move |data| Fetched { topic: name.clone(), data })
        });
        Ok(partitions.collect())
    }

    /// Deletes records below an offset; the start of the log then.
    pub fn delete_records(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> anyhow::Result<(Code, i64)> {
        let partition =
            DeleteRecordsPartition { partition_index: partition, offset, ..Default::default() };
        let topics = vec![DeleteRecordsTopic {
            name: topic.into(),
            partitions: vec![partition],
            ..Default::default()
        }];
        let request = DeleteRecordsRequest { topics, timeout_ms: 10_000, ..Default::default() };
        let answer = self.connection.ask(2, &request)?;
        let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
        let partition = partition.context("no partition in the answer")?;
        Ok((partition.error_code, partition.low_watermark))
    }

    /// Asks where a group is coordinated, which makes its topic.
    pub fn find_coordinator(&mut self, group: &str) -> anyhow::Result<Code> {
        let request =
            FindCoordinatorRequest { coordinator_keys: vec![group.into()], ..Default::default() };
        let answer = self.connection.ask(4, &request)?;
        Ok(answer.coordinators.first().context("no coordinator in the answer")?.error_code)
    }

    /// Commits an offset of a group without members.
    pub fn commit(
        &mut self,
        group: &str,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> anyhow::Result<Code> {
        let partition = OffsetCommitRequestPartition {
            partition_index: partition,
            committed_offset: offset,
            committed_leader_epoch: -1,
            committed_metadata: Some(format!("at {offset}").into()),
            ..Default::default()
        };
        let topics = vec![OffsetCommitRequestTopic {
            name: topic.into(),
            partitions: vec![partition],
            ..Default::default()
        }];
        let request = OffsetCommitRequest {
            group_id: group.into(),
            generation_id_or_member_epoch: -1,
            topics,
            ..Default::default()
        };
        let answer = self.connection.ask(8, &request)?;
        let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
        Ok(partition.context("no partition in the answer")?.error_code)
    }

    /// The committed offset of a group and its metadata; −1 when there is none.
    pub fn committed(
        &mut self,
        group: &str,
        topic: &str,
        partition: i32,
    ) -> anyhow::Result<(Code, i64, String)> {
        let topics = vec![OffsetFetchRequestTopics {
            name: topic.into(),
            partition_indexes: vec![partition],
            ..Default::default()
        }];
        let group = OffsetFetchRequestGroup {
            group_id: group.into(),
            member_epoch: -1,
            topics: Some(topics),
            ..Default::default()
        };
        let request = OffsetFetchRequest { groups: vec![group], ..Default::default() };
        let answer = self.connection.ask(8, &request)?;
        let group = answer.groups.first().context("no group in the answer")?;
        if group.error_code != 0 {
            return Ok((group.error_code, -1, String::new()));
        }
        let partition = group.topics.first().and_then(|topic| topic.partitions.first());
        let partition = partition.context("no partition in the answer")?;
        let metadata = partition.metadata.as_deref().unwrap_or_default().to_owned();
        Ok((partition.error_code, partition.committed_offset, metadata))
    }

    /// Sets a topic's setting.
    pub fn set(&mut self, topic: &str, name: &str, value: &str) -> anyhow::Result<Code> {
        let config = AlterableConfig {
            name: name.into(),
            config_operation: 0,
            value: Some(value.into()),
            ..Default::default()
        };
        let resources = vec![AlterConfigsResource {
            resource_type: 2,
            resource_name: topic.into(),
            configs: vec![config],
            ..Default::default()
        }];
        let request = IncrementalAlterConfigsRequest { resources, ..Default::default() };
        let answer = self.connection.ask(1, &request)?;
        Ok(answer.responses.first().context("no resource in the answer")?.error_code)
    }

    /// A topic's setting.
    pub fn setting(&mut self, topic: &str, name: &str) -> anyhow::Result<(Code, String)> {
        let resources = vec![DescribeConfigsResource {
            resource_type: 2,
            resource_name: topic.into(),
            configuration_keys: Some(vec![name.into()]),
            ..Default::default()
        }];
        let request = DescribeConfigsRequest { resources, ..Default::default() };
        let answer = self.connection.ask(4, &request)?;
        let result = answer.results.first().context("no resource in the answer")?;
        let value = result.configs.first().and_then(|config| config.value.as_deref());
        Ok((result.error_code, value.unwrap_or_default().to_owned()))
    }

    /// Asks for a partition to be moved to a log directory.
    pub fn move_to(&mut self, topic: &str, partition: i32, path: &str) -> anyhow::Result<Code> {
        let topics = vec![AlterReplicaLogDirTopic {
            name: topic.into(),
            partitions: vec![partition],
            ..Default::default()
        }];
        let dirs = vec![AlterReplicaLogDir { path: path.into(), topics, ..Default::default() }];
        let request = AlterReplicaLogDirsRequest { dirs, ..Default::default() };
        let answer = self.connection.ask(2, &request)?;
        let partition = answer.results.first().and_then(|topic| topic.partitions.first());
        Ok(partition.context("no partition in the answer")?.error_code)
    }

    /// Log directories: error, path, and the partitions that lie there, without copies.
    pub fn log_dirs(&mut self) -> anyhow::Result<Vec<LogDir>> {
        let answer = self
            .connection
            .ask(4, &DescribeLogDirsRequest { topics: None, ..Default::default() })?;
        let dirs = answer.results.into_iter().map(|dir| {
            let partitions = dir.topics.iter().flat_map(|topic| {
                let lying = topic.partitions.iter().filter(|p| !p.is_future_key);
                lying.map(|p| (topic.name.to_string(), p.partition_index))
            });
            (dir.error_code, dir.log_dir.to_string(), partitions.collect())
        });
        Ok(dirs.collect())
    }
}

/// A produce request of batches to partitions of topics.
#[must_use]
pub fn produce(acks: i16, batches: Vec<(String, i32, Bytes)>) -> ProduceRequest {
    let mut topics: Vec<TopicProduceData> = Vec::new();
    for (topic, index, bytes) in batches {
        let partition = PartitionProduceData {
            index,
            records: Some(Records::from(bytes)),
            ..Default::default()
        };
        match topics.iter_mut().find(|data| *data.name == *topic) {
            Some(data) => data.partition_data.push(partition),
            None => topics.push(TopicProduceData {
                name: topic.into(),
                partition_data: vec![partition],
                ..Default::default()
            }),
        }
    }
    ProduceRequest { acks, timeout_ms: 10_000, topic_data: topics, ..Default::default() }
}
