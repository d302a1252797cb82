//! What a controller is asked and what it answers: the protocol's own requests and responses.
//! Must not know how either travels.

use ottla_protocol::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, AlterConfigsRequest,
    AlterConfigsResponse, AssignReplicasToDirsRequest, AssignReplicasToDirsResponse,
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest,
    BrokerRegistrationResponse, ControllerRegistrationRequest, ControllerRegistrationResponse,
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, UnregisterBrokerRequest, UnregisterBrokerResponse,
    UpdateFeaturesRequest, UpdateFeaturesResponse,
};

/// A request to the controller. Who sent it was allowed to.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A broker registers.
    RegisterBroker(BrokerRegistrationRequest),
    /// A broker lives, and says what it wants.
    BrokerHeartbeat(BrokerHeartbeatRequest),
    /// A broker is gone for good.
    UnregisterBroker(UnregisterBrokerRequest),
    /// A controller registers.
    RegisterController(ControllerRegistrationRequest),
    /// Topics are created.
    CreateTopics(CreateTopicsRequest),
    /// Topics are deleted.
    DeleteTopics(DeleteTopicsRequest),
    /// Topics get more partitions.
    CreatePartitions(CreatePartitionsRequest),
    /// The settings of resources are replaced.
    AlterConfigs(AlterConfigsRequest),
    /// Single settings of resources change.
    IncrementalAlterConfigs(IncrementalAlterConfigsRequest),
    /// Feature levels change.
    UpdateFeatures {
        /// The request.
        request: UpdateFeaturesRequest,
        /// Its version: the meaning of a downgrade changed with 1.
        version: i16,
    },
    /// A broker takes a block of producer ids.
    AllocateProducerIds(AllocateProducerIdsRequest),
    /// A broker says in which of its directories replicas are.
    AssignReplicasToDirs(AssignReplicasToDirsRequest),
}

/// The answer to a [`Command`], under the same name.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each is the answer to the command of the same name")]
pub enum Reply {
    RegisterBroker(BrokerRegistrationResponse),
    BrokerHeartbeat(BrokerHeartbeatResponse),
    UnregisterBroker(UnregisterBrokerResponse),
    RegisterController(ControllerRegistrationResponse),
    CreateTopics(CreateTopicsResponse),
    DeleteTopics(DeleteTopicsResponse),
    CreatePartitions(CreatePartitionsResponse),
    AlterConfigs(AlterConfigsResponse),
    IncrementalAlterConfigs(IncrementalAlterConfigsResponse),
    UpdateFeatures(UpdateFeaturesResponse),
    AllocateProducerIds(AllocateProducerIdsResponse),
    AssignReplicasToDirs(AssignReplicasToDirsResponse),
}
