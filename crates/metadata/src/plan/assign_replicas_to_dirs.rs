//! AssignReplicasToDirs: a broker says in which of its log directories replicas are (KIP-858).
//! Must not know what is in the directories.

use ottla_protocol::k73_assign_replicas_to_dirs::{
    AssignReplicasToDirsResponseDirectoryData, AssignReplicasToDirsResponsePartitionData,
    AssignReplicasToDirsResponseTopicData,
};
use ottla_protocol::{
    AssignReplicasToDirsRequest, AssignReplicasToDirsResponse, ErrorCode, NodeId, TopicId, Uuid,
};

use super::{Context, Records, brokers, partition_change};
use crate::feature_table::MetadataVersion;
use crate::refusal::Refusal;

pub(super) fn plan(
    context: &mut Context<'_>,
    request: &AssignReplicasToDirsRequest,
) -> Result<(Records, AssignReplicasToDirsResponse), Refusal> {
    if !MetadataVersion(context.image.features().metadata_version()).has_directories() {
        return Err(Refusal::new(
            ErrorCode::UnsupportedVersion,
            "Directory assignment is not supported yet.",
        ));
    }
    let broker = brokers::check_epoch(context.image, request.broker_id, request.broker_epoch)?.id;
    let mut records = Records::new();
    let mut directories = Vec::with_capacity(request.directories.len());
    for directory in &request.directories {
        let mut topics = Vec::with_capacity(directory.topics.len());
        for topic in &directory.topics {
            let partitions = topic.partitions.iter().map(|partition| {
                let at = (topic.topic_id, partition.partition_index);
                let code = assign(context, broker, directory.id, at, &mut records);
                AssignReplicasToDirsResponsePartitionData {
                    partition_index: partition.partition_index,
                    error_code: code.code(),
                    ..AssignReplicasToDirsResponsePartitionData::default()
                }
            });
            topics.push(AssignReplicasToDirsResponseTopicData {
                topic_id: topic.topic_id,
                partitions: partitions.collect(),
                ..AssignReplicasToDirsResponseTopicData::default()
            });
        }
        directories.push(AssignReplicasToDirsResponseDirectoryData {
            id: directory.id,
            topics,
            ..AssignReplicasToDirsResponseDirectoryData::default()
        });
    }
    let response =
        AssignReplicasToDirsResponse { directories, ..AssignReplicasToDirsResponse::default() };
    Ok((records, response))
}

/// Adds what changes for one partition. A replica that is now in a directory which the broker does
/// not have (any more) leaves the ISR, and leads no longer.
fn assign(
    context: &Context<'_>,
    broker: NodeId,
    directory: Uuid,
    (topic, index): (TopicId, i32),
    records: &mut Records,
) -> ErrorCode {
    let Some(topic) = context.image.topic_by_id(topic) else { return ErrorCode::UnknownTopicId };
    let Some(partition) = topic.partition(index) else {
        return ErrorCode::UnknownTopicOrPartition;
    };
    if !partition.replicas.contains(&broker) {
        return ErrorCode::NotLeaderOrFollower;
    }
    let effective = context.effective();
    records.extend(partition_change::assigned(&effective, topic, index, (broker, directory)));
    ErrorCode::None
}
