//! Topics with their ids and settings, settings of brokers, groups and what they committed. Must
//! not know records.

use ottla_interop::raw::Connection;
use ottla_protocol::k09_offset_fetch::OffsetFetchRequestGroup;
use ottla_protocol::k32_describe_configs::{DescribeConfigsResource, DescribeConfigsResult};
use ottla_protocol::{
    DescribeClientQuotasRequest, DescribeConfigsRequest, DescribeUserScramCredentialsRequest,
    ListGroupsRequest, MetadataRequest, OffsetFetchRequest,
};

use super::{Patient, Picture, Topic};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
/// Sources of settings that are kept in the metadata: of a topic, a broker, all brokers.
const KEPT: [i8; 3] = [1, 2, 3];

fn configs(kind: i8, name: &str) -> DescribeConfigsRequest {
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        ..Default::default()
    };
    DescribeConfigsRequest { resources: vec![resource], ..Default::default() }
}

impl Picture {
    /// Topics and settings; gives the topics.
    pub(super) fn cluster(&mut self, client: &mut Connection) -> anyhow::Result<Vec<Topic>> {
        let everything = MetadataRequest { topics: None, ..Default::default() };
        let answer = client.ask_until(12, &everything, |answer| {
            let topics = answer.topics.iter().map(|topic| topic.error_code);
            let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
            topics.chain(partitions.map(|partition| partition.error_code)).collect()
        })?;
        let mut topics = Vec::new();
        for topic in &answer.topics {
            let name = topic.name.as_ref().map(ToString::to_string).unwrap_or_default();
            let mut partitions: Vec<i32> = Vec::new();
            for partition in &topic.partitions {
                let index = partition.partition_index;
                self.epochs.insert((name.clone(), index), partition.leader_epoch);
                let (leader, replicas) = (partition.leader_id, &partition.replica_nodes);
                let isr = &partition.isr_nodes;
                self.line(
                    format!("topic {name} partition {index}"),
                    format!("leader {leader} replicas {replicas:?} in sync {isr:?}"),
                );
                partitions.push(index);
            }
            partitions.sort_unstable();
            let (id, internal) = (topic.topic_id, topic.is_internal);
            self.line(format!("topic {name}"), format!("id {id} internal {internal}"));
            let compacted = self.topic_settings(client, &name)?;
            topics.push(Topic { name, partitions, compacted });
        }
        for name in ["", "1"] {
            let request = configs(BROKER, name);
            let answer = client.ask_until(4, &request, errors_of)?;
            for result in &answer.results {
                self.settings(&format!("broker {name:?}"), result);
            }
        }
        Ok(topics)
    }

    /// Settings of a topic; says whether it is compacted.
    fn topic_settings(&mut self, client: &mut Connection, name: &str) -> anyhow::Result<bool> {
        let answer = client.ask_until(4, &configs(TOPIC, name), errors_of)?;
        let mut compacted = false;
        for result in &answer.results {
            self.settings(&format!("topic {name}"), result);
            compacted |= result.configs.iter().any(|config| {
                let value = config.value.as_ref().map(ToString::to_string).unwrap_or_default();
                &*config.name == "cleanup.policy" && value.contains("compact")
            });
        }
        Ok(compacted)
    }

    fn settings(&mut self, of: &str, result: &DescribeConfigsResult) {
        for config in result.configs.iter().filter(|config| KEPT.contains(&config.config_source)) {
            let value = config.value.as_ref().map(ToString::to_string);
            let source = config.config_source;
            self.line(format!("{of} setting {}", config.name), format!("{value:?} from {source}"));
        }
    }

    /// Groups and their offsets.
    pub(super) fn groups(&mut self, client: &mut Connection) -> anyhow::Result<()> {
        let answer =
            client.ask_until(5, &ListGroupsRequest::default(), |answer| vec![answer.error_code])?;
        for listed in &answer.groups {
            let name = listed.group_id.to_string();
            let (kind, protocol) = (&listed.group_type, &listed.protocol_type);
            let state = &listed.group_state;
            self.line(format!("group {name}"), format!("{kind} {protocol:?} {state}"));
            for require_stable in [false, true] {
                self.offsets_of(client, &name, require_stable)?;
            }
        }
        Ok(())
    }

    fn offsets_of(
        &mut self,
        client: &mut Connection,
        name: &str,
        require_stable: bool,
    ) -> anyhow::Result<()> {
        let group = OffsetFetchRequestGroup {
            group_id: name.into(),
            member_epoch: -1,
            topics: None,
            ..Default::default()
        };
        let request =
            OffsetFetchRequest { groups: vec![group], require_stable, ..Default::default() };
        let answer = client.ask_until(9, &request, |answer| {
            answer.groups.iter().map(|group| group.error_code).collect()
        })?;
        for topic in answer.groups.iter().flat_map(|group| &group.topics) {
            for partition in &topic.partitions {
                let (offset, epoch) =
                    (partition.committed_offset, partition.committed_leader_epoch);
                let (metadata, error) = (&partition.metadata, partition.error_code);
                let index = partition.partition_index;
                let stable = if require_stable { " stable" } else { "" };
                self.line(
                    format!("group {name} offset of {}-{index}{stable}", topic.name),
                    format!("{offset} epoch {epoch} metadata {metadata:?} error {error}"),
                );
            }
        }
        Ok(())
    }
}

impl Picture {
    /// Quotas and passwords of users.
    pub(super) fn users(&mut self, client: &mut Connection) -> anyhow::Result<()> {
        let all = DescribeClientQuotasRequest::default();
        let answer = client.ask_until(1, &all, |answer| vec![answer.error_code])?;
        for entry in answer.entries.iter().flatten() {
            let entity =
                entry.entity.iter().map(|e| format!("{} {:?}", e.entity_type, e.entity_name));
            let entity: Vec<String> = entity.collect();
            for value in &entry.values {
                self.line(format!("quota {entity:?} {}", value.key), value.value.to_string());
            }
        }
        let all = DescribeUserScramCredentialsRequest::default();
        let answer = client.ask_until(0, &all, |answer| vec![answer.error_code])?;
        for user in &answer.results {
            let infos = user.credential_infos.iter().map(|i| (i.mechanism, i.iterations));
            self.line(format!("user {}", user.user), format!("{:?}", infos.collect::<Vec<_>>()));
        }
        Ok(())
    }
}

fn errors_of(answer: &ottla_protocol::DescribeConfigsResponse) -> Vec<i16> {
    answer.results.iter().map(|result| result.error_code).collect()
}
