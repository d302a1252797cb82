//! OffsetCommit 2–10: a group's positions. 2–4 retention time of these offsets · 6 leader epoch ·
//! 7 static members · 8 flexible · 9 consumer groups · 10 topic ids (KIP-848).

use bytes::BytesMut;
use ottla_groups::{Command, Reply};
use ottla_protocol::k08_offset_commit::{
    OffsetCommitRequestTopic, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use ottla_protocol::{ErrorCode, OffsetCommitRequest, OffsetCommitResponse};

use crate::connection::Handled;
use crate::dispatch::Context;
use crate::group_request;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let mut request = decode!(cx, body, OffsetCommitRequest);
    let refused = take_out_unknown(&cx, &mut request);
    let context = cx.clone();
    later!(cx, Later, async move {
        let mut response = OffsetCommitResponse::default();
        // With nothing left there is nothing to ask the group, as in Kafka.
        if !request.topics.is_empty() || refused.is_empty() {
            let group = request.group_id.clone();
            let command = Command::OffsetCommit { request, version: context.version };
            if let Reply::OffsetCommit(reply) =
                group_request::submit(&context, &group, command).await
            {
                response = reply;
            }
        }
        for refused in refused {
            let same = |topic: &&mut OffsetCommitResponseTopic| {
                topic.name == refused.name && topic.topic_id == refused.topic_id
            };
            match response.topics.iter_mut().find(same) {
                Some(topic) => topic.partitions.extend(refused.partitions),
                None => response.topics.push(refused),
            }
        }
        response
    })
}

/// Gives every topic its name and id, and takes out what does not exist.
fn take_out_unknown(
    cx: &Context,
    request: &mut OffsetCommitRequest,
) -> Vec<OffsetCommitResponseTopic> {
    let image = cx.shared.image.load();
    let by_id = cx.version >= 10;
    let mut refused = Vec::new();
    let mut kept = Vec::new();
    for mut topic in std::mem::take(&mut request.topics) {
        let found =
            if by_id { image.topic_by_id(topic.topic_id) } else { image.topic(&topic.name) };
        let Some(found) = found else {
            let error =
                if by_id { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
            refused.push(refuse(&topic, |_| true, error));
            continue;
        };
        topic.name = found.name.clone();
        topic.topic_id = found.id;
        let unknown = |index: i32| found.partition(index).is_none();
        let gone = refuse(&topic, unknown, ErrorCode::UnknownTopicOrPartition);
        if !gone.partitions.is_empty() {
            refused.push(gone);
        }
        topic.partitions.retain(|partition| !unknown(partition.partition_index));
        if !topic.partitions.is_empty() {
            kept.push(topic);
        }
    }
    request.topics = kept;
    refused
}

fn refuse(
    topic: &OffsetCommitRequestTopic,
    which: impl Fn(i32) -> bool,
    error: ErrorCode,
) -> OffsetCommitResponseTopic {
    let partitions = topic.partitions.iter().filter(|p| which(p.partition_index));
    OffsetCommitResponseTopic {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: partitions
            .map(|partition| OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: error.into(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}
