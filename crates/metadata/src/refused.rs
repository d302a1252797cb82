//! The answer to a command that is refused as a whole: each part of it gets the refusal, as each
//! request's own error response does in Kafka. Must not know why it was refused.

use ottla_protocol::k19_create_topics::CreatableTopicResult;
use ottla_protocol::k20_delete_topics::DeletableTopicResult;
use ottla_protocol::k37_create_partitions::CreatePartitionsTopicResult;
use ottla_protocol::{
    AllocateProducerIdsResponse, AlterConfigsResponse, AssignReplicasToDirsResponse,
    BrokerHeartbeatResponse, BrokerRegistrationResponse, ControllerRegistrationResponse,
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, IncrementalAlterConfigsResponse, StrBytes, TopicId,
    UnregisterBrokerResponse, UpdateFeaturesResponse, k33_alter_configs,
    k44_incremental_alter_configs,
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
            Self::CreateTopics(request) => Reply::CreateTopics(create_topics(request, refusal)),
            Self::DeleteTopics(request) => Reply::DeleteTopics(delete_topics(request, refusal)),
            Self::CreatePartitions(request) => {
                Reply::CreatePartitions(create_partitions(request, refusal))
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
            Self::AssignReplicasToDirs(_) => {
                Reply::AssignReplicasToDirs(AssignReplicasToDirsResponse {
                    error_code,
                    ..AssignReplicasToDirsResponse::default()
                })
            }
        }
    }
}

fn create_topics(request: &CreateTopicsRequest, refusal: &Refusal) -> CreateTopicsResponse {
    let topics = request.topics.iter().map(|topic| CreatableTopicResult {
        name: topic.name.clone(),
        error_code: refusal.code.code(),
        error_message: refusal.wire_message(),
        num_partitions: -1,
        replication_factor: -1,
        ..CreatableTopicResult::default()
    });
    CreateTopicsResponse { topics: topics.collect(), ..CreateTopicsResponse::default() }
}

fn delete_topics(request: &DeleteTopicsRequest, refusal: &Refusal) -> DeleteTopicsResponse {
    let responses = named(request).map(|(name, topic_id)| DeletableTopicResult {
        name,
        topic_id,
        error_code: refusal.code.code(),
        error_message: refusal.wire_message(),
        ..DeletableTopicResult::default()
    });
    DeleteTopicsResponse { responses: responses.collect(), ..DeleteTopicsResponse::default() }
}

fn create_partitions(
    request: &CreatePartitionsRequest,
    refusal: &Refusal,
) -> CreatePartitionsResponse {
    let results = request.topics.iter().map(|topic| CreatePartitionsTopicResult {
        name: topic.name.clone(),
        error_code: refusal.code.code(),
        error_message: refusal.wire_message(),
        ..CreatePartitionsTopicResult::default()
    });
    CreatePartitionsResponse { results: results.collect(), ..CreatePartitionsResponse::default() }
}

/// What a request names, by name or by id.
fn named(request: &DeleteTopicsRequest) -> impl Iterator<Item = (Option<StrBytes>, TopicId)> {
    let by_name = request.topic_names.iter().map(|name| (Some(name.clone()), TopicId::default()));
    by_name.chain(request.topics.iter().map(|topic| (topic.name.clone(), topic.topic_id)))
}
