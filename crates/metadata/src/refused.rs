//! The answer to a command that is refused as a whole: each part of it gets the refusal, as each
//! request's own error response does in Kafka. Must not know why it was refused.

use ottla_protocol::k19_create_topics::CreatableTopicResult;
use ottla_protocol::k20_delete_topics::DeletableTopicResult;
use ottla_protocol::k37_create_partitions::CreatePartitionsTopicResult;
use ottla_protocol::{
    AllocateProducerIdsResponse, AlterConfigsResponse, BrokerHeartbeatResponse,
    BrokerRegistrationResponse, ControllerRegistrationResponse, CreatePartitionsResponse,
    CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    IncrementalAlterConfigsResponse, StrBytes, TopicId, UnregisterBrokerResponse,
    UpdateFeaturesResponse, k33_alter_configs, k44_incremental_alter_configs,
};

use crate::command::{Command, Reply};
use crate::refusal::Refusal;

impl Command {
    /// The answer that says of every part of the command that it was refused.
    #[must_use]
    pub fn refused(&self, refusal: &Refusal) -> Reply {
        let (error_code, error_message) = (refusal.code.code(), refusal.wire_message());
        match self {
            Self::RegisterBroker(_) => Reply::RegisterBroker(BrokerRegistrationResponse {
                error_code,
                broker_epoch: -1,
                ..BrokerRegistrationResponse::default()
            }),
            Self::BrokerHeartbeat(_) => Reply::BrokerHeartbeat(BrokerHeartbeatResponse {
                error_code,
                is_fenced: true,
                ..BrokerHeartbeatResponse::default()
            }),
            Self::UnregisterBroker(_) => Reply::UnregisterBroker(UnregisterBrokerResponse {
                error_code,
                error_message,
                ..UnregisterBrokerResponse::default()
            }),
            Self::RegisterController(_) => {
                Reply::RegisterController(ControllerRegistrationResponse {
                    error_code,
                    error_message,
                    ..ControllerRegistrationResponse::default()
                })
            }
            Self::CreateTopics(request) => {
                let topics = request.topics.iter().map(|topic| CreatableTopicResult {
                    name: topic.name.clone(),
                    error_code,
                    error_message: error_message.clone(),
                    num_partitions: -1,
                    replication_factor: -1,
                    ..CreatableTopicResult::default()
                });
                Reply::CreateTopics(CreateTopicsResponse {
                    topics: topics.collect(),
                    ..CreateTopicsResponse::default()
                })
            }
            Self::DeleteTopics(request) => {
                let responses = named(request).map(|(name, topic_id)| DeletableTopicResult {
                    name,
                    topic_id,
                    error_code,
                    error_message: error_message.clone(),
                    ..DeletableTopicResult::default()
                });
                Reply::DeleteTopics(DeleteTopicsResponse {
                    responses: responses.collect(),
                    ..DeleteTopicsResponse::default()
                })
            }
            Self::CreatePartitions(request) => {
                let results = request.topics.iter().map(|topic| CreatePartitionsTopicResult {
                    name: topic.name.clone(),
                    error_code,
                    error_message: error_message.clone(),
                    ..CreatePartitionsTopicResult::default()
                });
                Reply::CreatePartitions(CreatePartitionsResponse {
                    results: results.collect(),
                    ..CreatePartitionsResponse::default()
                })
            }
            Self::AlterConfigs(request) => {
                let responses = request.resources.iter().map(|one| {
                    k33_alter_configs::AlterConfigsResourceResponse {
                        error_code,
                        error_message: error_message.clone(),
                        resource_type: one.resource_type,
                        resource_name: one.resource_name.clone(),
                        ..k33_alter_configs::AlterConfigsResourceResponse::default()
                    }
                });
                Reply::AlterConfigs(AlterConfigsResponse {
                    responses: responses.collect(),
                    ..AlterConfigsResponse::default()
                })
            }
            Self::IncrementalAlterConfigs(request) => {
                type One = k44_incremental_alter_configs::AlterConfigsResourceResponse;
                let responses = request.resources.iter().map(|one| One {
                    error_code,
                    error_message: error_message.clone(),
                    resource_type: one.resource_type,
                    resource_name: one.resource_name.clone(),
                    ..One::default()
                });
                Reply::IncrementalAlterConfigs(IncrementalAlterConfigsResponse {
                    responses: responses.collect(),
                    ..IncrementalAlterConfigsResponse::default()
                })
            }
            Self::UpdateFeatures { .. } => Reply::UpdateFeatures(UpdateFeaturesResponse {
                error_code,
                error_message,
                ..UpdateFeaturesResponse::default()
            }),
            Self::AllocateProducerIds(_) => {
                Reply::AllocateProducerIds(AllocateProducerIdsResponse {
                    error_code,
                    ..AllocateProducerIdsResponse::default()
                })
            }
        }
    }
}

/// What a request names, by name or by id.
fn named(request: &DeleteTopicsRequest) -> impl Iterator<Item = (Option<StrBytes>, TopicId)> {
    let by_name = request.topic_names.iter().map(|name| (Some(name.clone()), TopicId::default()));
    by_name.chain(request.topics.iter().map(|topic| (topic.name.clone(), topic.topic_id)))
}
