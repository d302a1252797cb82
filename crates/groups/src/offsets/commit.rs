//! OffsetCommit: the records of a commit, and each partition's answer. Must not know whether the
//! group lets its sender commit; that has been asked.

use ottla_protocol::k08_offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use ottla_protocol::{
    ErrorCode, OffsetCommitRequest, OffsetCommitResponse, OffsetCommitValue, TopicId,
};

use crate::reply::offset_commit_error;
use crate::{Config, Now, Record};

/// The records that make the commit, and the answer. A commit is in the log as a whole or not at
/// all, so it must fit into one batch.
pub(crate) fn plan(
    request: &OffsetCommitRequest,
    now: Now,
    config: &Config,
    records: &mut Vec<Record>,
) -> OffsetCommitResponse {
    let expires = (request.retention_time_ms != -1)
        .then(|| now.wall.0.saturating_add(request.retention_time_ms));
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
            let error = if is_too_long(metadata, config.offset_metadata_max) {
                ErrorCode::OffsetMetadataTooLarge
            } else {
                let value = value_of(partition, topic.topic_id, now, expires);
                let index = partition.partition_index;
                records.push(Record::offset(&request.group_id, &topic.name, index, &value));
                ErrorCode::None
            };
            partitions.push(OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: error.into(),
                ..OffsetCommitResponsePartition::default()
            });
        }
        topics.push(OffsetCommitResponseTopic {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions,
            ..OffsetCommitResponseTopic::default()
        });
    }
    if !Record::fit(records, config.batch_max) {
        records.clear();
        return offset_commit_error(request, ErrorCode::UnknownServerError);
    }
    OffsetCommitResponse { topics, ..OffsetCommitResponse::default() }
}

fn value_of(
    partition: &OffsetCommitRequestPartition,
    topic_id: TopicId,
    now: Now,
    expires: Option<i64>,
) -> OffsetCommitValue {
    OffsetCommitValue {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: partition.committed_metadata.clone().unwrap_or_default(),
        commit_timestamp: now.wall.0,
        expire_timestamp: expires.unwrap_or(-1),
        topic_id,
        ..OffsetCommitValue::default()
    }
}

/// Kafka counts UTF-16 code units, of which there are never more than bytes.
fn is_too_long(metadata: &str, max: usize) -> bool {
    metadata.len() > max && metadata.encode_utf16().count() > max
}
