//! One file an API key. Each takes a request's body and gives its answer; none knows sockets.

use bytes::BytesMut;
use ottla_protocol::{ApiKey, DecodeError, EncodeError};

use crate::connection::{CloseReason, Handled};
use crate::dispatch::Context;

/// Handles one request.
pub(crate) type Handler = fn(Context, BytesMut) -> Handled;

/// Decodes a request's body, or ends the connection as Kafka does.
macro_rules! decode {
    ($cx:ident, $body:ident, $request:ty) => {
        match <$request>::decode(&mut ottla_protocol::Reader::new($body.freeze()), $cx.version) {
            Ok(request) => request,
            Err(error) => return crate::api::undecodable(&error),
        }
    };
}

/// The answer that is there.
macro_rules! ready {
    ($cx:expr, $response:expr) => {{
        let (cx, response) = (&$cx, $response);
        match cx.encode(&response) {
            Ok(segments) => crate::connection::Handled::Ready(segments),
            Err(error) => crate::api::unencodable(&error),
        }
    }};
}

/// The answer that a future will give.
macro_rules! later {
    ($cx:expr, $kind:ident, $future:expr) => {{
        let (cx, future) = ($cx, $future);
        crate::connection::Handled::$kind(Box::pin(async move {
            let response = future.await;
            cx.encode(&response).map_err(|error| {
                tracing::error!(api = cx.api.name(), %error, "an answer cannot be encoded");
                crate::connection::CloseReason::Encode(error.to_string())
            })
        }))
    }};
}

pub(crate) mod k00_produce;
pub(crate) mod k01_fetch;
pub(crate) mod k02_list_offsets;
pub(crate) mod k03_metadata;
pub(crate) mod k08_offset_commit;
pub(crate) mod k09_offset_fetch;
pub(crate) mod k10_find_coordinator;
pub(crate) mod k11_join_group;
pub(crate) mod k12_heartbeat;
pub(crate) mod k13_leave_group;
pub(crate) mod k14_sync_group;
pub(crate) mod k15_describe_groups;
pub(crate) mod k16_list_groups;
pub(crate) mod k18_api_versions;
pub(crate) mod k19_create_topics;
pub(crate) mod k20_delete_topics;
pub(crate) mod k21_delete_records;
pub(crate) mod k22_init_producer_id;
pub(crate) mod k23_offset_for_leader_epoch;
pub(crate) mod k32_describe_configs;
pub(crate) mod k33_alter_configs;
pub(crate) mod k34_alter_replica_log_dirs;
pub(crate) mod k35_describe_log_dirs;
pub(crate) mod k37_create_partitions;
pub(crate) mod k42_delete_groups;
pub(crate) mod k44_incremental_alter_configs;
pub(crate) mod k47_offset_delete;
pub(crate) mod k55_describe_quorum;
pub(crate) mod k57_update_features;
pub(crate) mod k60_describe_cluster;
pub(crate) mod k61_describe_producers;
pub(crate) mod k74_list_config_resources;
pub(crate) mod k75_describe_topic_partitions;

/// What handles an API; `None` for what is not served, and therefore not advertised.
pub(crate) fn handler(api: ApiKey) -> Option<Handler> {
    let handler: Handler = match api {
        ApiKey::Produce => k00_produce::handle,
        ApiKey::Fetch => k01_fetch::handle,
        ApiKey::ListOffsets => k02_list_offsets::handle,
        ApiKey::Metadata => k03_metadata::handle,
        ApiKey::OffsetCommit => k08_offset_commit::handle,
        ApiKey::OffsetFetch => k09_offset_fetch::handle,
        ApiKey::FindCoordinator => k10_find_coordinator::handle,
        ApiKey::JoinGroup => k11_join_group::handle,
        ApiKey::Heartbeat => k12_heartbeat::handle,
        ApiKey::LeaveGroup => k13_leave_group::handle,
        ApiKey::SyncGroup => k14_sync_group::handle,
        ApiKey::DescribeGroups => k15_describe_groups::handle,
        ApiKey::ListGroups => k16_list_groups::handle,
        ApiKey::ApiVersions => k18_api_versions::handle,
        ApiKey::CreateTopics => k19_create_topics::handle,
        ApiKey::DeleteTopics => k20_delete_topics::handle,
        ApiKey::DeleteRecords => k21_delete_records::handle,
        ApiKey::InitProducerId => k22_init_producer_id::handle,
        ApiKey::OffsetForLeaderEpoch => k23_offset_for_leader_epoch::handle,
        ApiKey::DescribeConfigs => k32_describe_configs::handle,
        ApiKey::AlterConfigs => k33_alter_configs::handle,
        ApiKey::AlterReplicaLogDirs => k34_alter_replica_log_dirs::handle,
        ApiKey::DescribeLogDirs => k35_describe_log_dirs::handle,
        ApiKey::CreatePartitions => k37_create_partitions::handle,
        ApiKey::DeleteGroups => k42_delete_groups::handle,
        ApiKey::IncrementalAlterConfigs => k44_incremental_alter_configs::handle,
        ApiKey::OffsetDelete => k47_offset_delete::handle,
        ApiKey::DescribeQuorum => k55_describe_quorum::handle,
        ApiKey::UpdateFeatures => k57_update_features::handle,
        ApiKey::DescribeCluster => k60_describe_cluster::handle,
        ApiKey::DescribeProducers => k61_describe_producers::handle,
        ApiKey::ListConfigResources => k74_list_config_resources::handle,
        ApiKey::DescribeTopicPartitions => k75_describe_topic_partitions::handle,
        ApiKey::SaslHandshake
        | ApiKey::SaslAuthenticate
        | ApiKey::AddPartitionsToTxn
        | ApiKey::AddOffsetsToTxn
        | ApiKey::EndTxn
        | ApiKey::WriteTxnMarkers
        | ApiKey::TxnOffsetCommit
        | ApiKey::DescribeAcls
        | ApiKey::CreateAcls
        | ApiKey::DeleteAcls
        | ApiKey::CreateDelegationToken
        | ApiKey::RenewDelegationToken
        | ApiKey::ExpireDelegationToken
        | ApiKey::DescribeDelegationToken
        | ApiKey::ElectLeaders
        | ApiKey::AlterPartitionReassignments
        | ApiKey::ListPartitionReassignments
        | ApiKey::DescribeClientQuotas
        | ApiKey::AlterClientQuotas
        | ApiKey::DescribeUserScramCredentials
        | ApiKey::AlterUserScramCredentials
        | ApiKey::Vote
        | ApiKey::BeginQuorumEpoch
        | ApiKey::EndQuorumEpoch
        | ApiKey::AlterPartition
        | ApiKey::Envelope
        | ApiKey::FetchSnapshot
        | ApiKey::BrokerRegistration
        | ApiKey::BrokerHeartbeat
        | ApiKey::UnregisterBroker
        | ApiKey::DescribeTransactions
        | ApiKey::ListTransactions
        | ApiKey::AllocateProducerIds
        | ApiKey::ConsumerGroupHeartbeat
        | ApiKey::ConsumerGroupDescribe
        | ApiKey::ControllerRegistration
        | ApiKey::GetTelemetrySubscriptions
        | ApiKey::PushTelemetry
        | ApiKey::AssignReplicasToDirs
        | ApiKey::ShareGroupHeartbeat
        | ApiKey::ShareGroupDescribe
        | ApiKey::ShareFetch
        | ApiKey::ShareAcknowledge
        | ApiKey::AddRaftVoter
        | ApiKey::RemoveRaftVoter
        | ApiKey::UpdateRaftVoter
        | ApiKey::InitializeShareGroupState
        | ApiKey::ReadShareGroupState
        | ApiKey::WriteShareGroupState
        | ApiKey::DeleteShareGroupState
        | ApiKey::ReadShareGroupStateSummary
        | ApiKey::StreamsGroupHeartbeat
        | ApiKey::StreamsGroupDescribe
        | ApiKey::DescribeShareGroupOffsets
        | ApiKey::AlterShareGroupOffsets
        | ApiKey::DeleteShareGroupOffsets
        | ApiKey::StreamsGroupTopologyDescriptionUpdate
        | ApiKey::UnregisterController => return None,
    };
    Some(handler)
}

/// A body that is no such request: the connection ends.
pub(crate) fn undecodable(error: &DecodeError) -> Handled {
    Handled::Close(CloseReason::Malformed(error.to_string()))
}

/// An answer that its version cannot carry: a bug, and the connection ends.
pub(crate) fn unencodable(error: &EncodeError) -> Handled {
    tracing::error!(%error, "an answer cannot be encoded");
    Handled::Close(CloseReason::Encode(error.to_string()))
}
