//! The protocol as clients use it, over raw connections: order, waiting, limits, sessions,
//! idempotence, topic ids.

mod acks;
mod idempotence;
mod order;
pub(crate) mod requests;
mod sessions;
mod sizes;
mod topic_ids;
mod waiting;

use anyhow::{Context, ensure};
use ottla_interop::raw::Connection;
use ottla_protocol::k00_produce::PartitionProduceResponse;
use ottla_protocol::k01_fetch::{FetchTopic, PartitionData};
use ottla_protocol::k03_metadata::MetadataRequestTopic;
use ottla_protocol::k19_create_topics::{CreatableTopic, CreatableTopicConfig};
use ottla_protocol::{
    CreateTopicsRequest, FetchResponse, MetadataRequest, ProduceRequest, ProduceResponse, TopicId,
};
use ottla_records::Batches;

use requests::{FETCH_BY_NAME, fetch_from, from};

/// Creates a topic and waits until its partitions have leaders; gives its id.
pub(crate) fn create(
    client: &mut Connection,
    name: &str,
    partitions: i32,
    configs: &[(&str, &str)],
) -> anyhow::Result<TopicId> {
    let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
        name: (*name).into(),
        value: Some((*value).into()),
        ..Default::default()
    };
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: 1,
        configs: configs.iter().map(config).collect(),
        ..Default::default()
    };
    let request =
        CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, ..Default::default() };
    let answer = client.ask(7, &request)?;
    let created = answer.topics.first().context("no topic in the answer")?;
    ensure!(created.error_code == 0, "{name} is not created: {created:?}");
    let wanted = MetadataRequestTopic { name: Some(name.into()), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![wanted]), ..Default::default() };
    for _ in 0..10_000 {
        let answer = client.ask(12, &request)?;
        let found = answer.topics.first().context("no topic in the answer")?;
        if found.error_code != 0 || found.partitions.iter().any(|p| p.error_code != 0) {
            continue;
        }
        // Kafka tells of a leader before the leader knows.
        let wanted =
            (0..found.partitions.len()).map(|index| from(i32::try_from(index).unwrap(), 0));
        let all = fetch_from(vec![FetchTopic {
            topic: name.into(),
            partitions: wanted.collect(),
            ..Default::default()
        }]);
        let answer = client.ask(FETCH_BY_NAME, &all)?;
        if answer.responses.iter().flat_map(|topic| &topic.partitions).all(|p| p.error_code == 0) {
            return Ok(found.topic_id);
        }
    }
    anyhow::bail!("{name} never appears")
}

/// Produces to one partition; what the answer says of it.
pub(crate) fn produced(
    client: &mut Connection,
    version: i16,
    request: &ProduceRequest,
) -> anyhow::Result<PartitionProduceResponse> {
    only_produced(client.ask(version, request)?)
}

/// The one partition of an answer.
fn only_produced(answer: ProduceResponse) -> anyhow::Result<PartitionProduceResponse> {
    let partitions = answer.responses.into_iter().flat_map(|topic| topic.partition_responses);
    let mut partitions: Vec<PartitionProduceResponse> = partitions.collect();
    ensure!(partitions.len() == 1, "{partitions:?}");
    partitions.pop().context("no partition in the answer")
}

/// The one partition of an answer.
fn only_fetched(answer: FetchResponse) -> anyhow::Result<PartitionData> {
    ensure!(answer.error_code == 0, "{answer:?}");
    let partitions = answer.responses.into_iter().flat_map(|topic| topic.partitions);
    let mut partitions: Vec<PartitionData> = partitions.collect();
    ensure!(partitions.len() == 1, "{partitions:?}");
    partitions.pop().context("no partition in the answer")
}

/// Base offsets of the whole batches in what was fetched.
fn offsets(partition: &PartitionData) -> Vec<i64> {
    let records = partition.records.as_ref().map(|records| records.to_bytes()).unwrap_or_default();
    let batches = Batches::new(&records).map_while(Result::ok);
    batches.map(|batch| batch.header().base_offset.get()).collect()
}
