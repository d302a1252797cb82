//! DescribeQuorum 0–2: the metadata quorum (KIP-595). 1 fetch times · 2 directory ids, nodes.

use bytes::BytesMut;
use ottla_controller::{QuorumInfo, QuorumReplica};
use ottla_protocol::k55_describe_quorum::{
    DescribeQuorumRequestPartitionData, DescribeQuorumRequestTopicData,
    DescribeQuorumResponsePartitionData, DescribeQuorumResponseTopicData, Listener, Node,
    ReplicaState,
};
use ottla_protocol::{DescribeQuorumRequest, DescribeQuorumResponse, ErrorCode, StrBytes, Uuid};

use crate::connection::Handled;
use crate::dispatch::Context;

const METADATA_TOPIC: &str = "__cluster_metadata";

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, DescribeQuorumRequest);
    ready!(cx, respond(&cx, &request))
}

fn respond(cx: &Context, request: &DescribeQuorumRequest) -> DescribeQuorumResponse {
    let quorum = cx.shared.controller.quorum();
    let known = asks_for_metadata(request);
    let answered = |topic: &DescribeQuorumRequestTopicData| {
        let partitions = topic.partitions.iter();
        DescribeQuorumResponseTopicData {
            topic_name: topic.topic_name.clone(),
            partitions: partitions
                .map(|asked| partition(known, asked, &quorum, cx.version))
                .collect(),
            ..Default::default()
        }
    };
    let nodes = quorum.voters.iter().map(|voter| Node {
        node_id: voter.id.get(),
        listeners: voter
            .endpoints
            .iter()
            .map(|endpoint| Listener {
                name: StrBytes::from(endpoint.listener.as_str()),
                host: StrBytes::from(endpoint.host.as_str()),
                port: endpoint.port,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    DescribeQuorumResponse {
        topics: request.topics.iter().map(answered).collect(),
        nodes: if known && cx.version >= 2 { nodes.collect() } else { Vec::new() },
        ..Default::default()
    }
}

/// Whether the request is for the one partition that there is, and for nothing else.
fn asks_for_metadata(request: &DescribeQuorumRequest) -> bool {
    let [topic] = request.topics.as_slice() else { return false };
    let [partition] = topic.partitions.as_slice() else { return false };
    topic.topic_name == METADATA_TOPIC && partition.partition_index == 0
}

fn partition(
    known: bool,
    asked: &DescribeQuorumRequestPartitionData,
    quorum: &QuorumInfo,
    version: i16,
) -> DescribeQuorumResponsePartitionData {
    if !known {
        let error = ErrorCode::UnknownTopicOrPartition;
        return DescribeQuorumResponsePartitionData {
            partition_index: asked.partition_index,
            error_code: error.into(),
            error_message: Some(StrBytes::from(error.message())),
            ..Default::default()
        };
    }
    DescribeQuorumResponsePartitionData {
        leader_id: quorum.leader.get(),
        leader_epoch: quorum.epoch.get(),
        high_watermark: quorum.high_watermark.get(),
        current_voters: quorum.voters.iter().map(|voter| replica(voter, version)).collect(),
        observers: quorum.observers.iter().map(|voter| replica(voter, version)).collect(),
        ..Default::default()
    }
}

fn replica(replica: &QuorumReplica, version: i16) -> ReplicaState {
    ReplicaState {
        replica_id: replica.id.get(),
        replica_directory_id: if version >= 2 { replica.directory_id } else { Uuid::ZERO },
        log_end_offset: replica.log_end.get(),
        last_fetch_timestamp: replica.last_fetch.get(),
        last_caught_up_timestamp: replica.last_caught_up.get(),
        ..Default::default()
    }
}
