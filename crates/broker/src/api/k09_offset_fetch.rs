//! OffsetFetch 1–10: committed positions. 2 all topics by null · 5 leader epoch · 6 flexible ·
//! 7 stable offsets only · 8 several groups (KIP-709) · 9 consumer groups · 10 topic ids.

use bytes::BytesMut;
use ottla_groups::{Command, Reply};
use ottla_protocol::k09_offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponseGroup,
    OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use ottla_protocol::{ErrorCode, OffsetFetchRequest, OffsetFetchResponse};

use crate::connection::Handled;
use crate::dispatch::Context;
use crate::group_request;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, OffsetFetchRequest);
    let context = cx.clone();
    later!(cx, Later, async move {
        let require_stable = request.require_stable;
        if context.version < 8 {
            let group = fetch(&context, single(request), require_stable).await;
            return flatten(group);
        }
        let mut groups = Vec::with_capacity(request.groups.len());
        for group in request.groups {
            groups.push(fetch(&context, group, require_stable).await);
        }
        OffsetFetchResponse { groups, ..Default::default() }
    })
}

/// The one group of an old request.
fn single(request: OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let topics = request.topics.map(|topics| {
        let topic = |topic: ottla_protocol::k09_offset_fetch::OffsetFetchRequestTopic| {
            OffsetFetchRequestTopics {
                name: topic.name,
                partition_indexes: topic.partition_indexes,
                ..Default::default()
            }
        };
        topics.into_iter().map(topic).collect()
    });
    OffsetFetchRequestGroup { group_id: request.group_id, topics, ..Default::default() }
}

/// One group's offsets, whatever the version; topics named by id have their name filled in for
/// the coordinator.
async fn fetch(
    cx: &Context,
    mut group: OffsetFetchRequestGroup,
    require_stable: bool,
) -> OffsetFetchResponseGroup {
    let mut unknown = Vec::new();
    if cx.version >= 10 {
        let image = cx.shared.image.load();
        let topics = group.topics.take();
        group.topics = topics.map(|topics| {
            let mut known = Vec::with_capacity(topics.len());
            for mut topic in topics {
                match image.topic_by_id(topic.topic_id) {
                    Some(found) => {
                        topic.name = found.name.clone();
                        known.push(topic);
                    }
                    None => unknown.push(refused(&topic, ErrorCode::UnknownTopicId.into())),
                }
            }
            known
        });
    }
    let id = group.group_id.clone();
    // Before version 2 there is no place for the group's error but in each partition.
    let asked = if cx.version < 2 { group.topics.clone() } else { None };
    let command = Command::OffsetFetch { group, require_stable };
    let reply = group_request::submit(cx, &id, command).await;
    let Reply::OffsetFetch(mut response) = reply else {
        return OffsetFetchResponseGroup {
            group_id: id,
            error_code: ErrorCode::UnknownServerError.into(),
            ..Default::default()
        };
    };
    if response.error_code == 0 {
        response.topics.extend(unknown);
    } else if let Some(asked) = asked {
        response.topics = asked.iter().map(|t| refused(t, response.error_code)).collect();
    }
    if cx.version >= 10 {
        let image = cx.shared.image.load();
        for topic in response.topics.iter_mut().filter(|topic| topic.topic_id.is_zero()) {
            topic.topic_id = image.topic(&topic.name).map(|found| found.id).unwrap_or_default();
        }
        response.topics.retain(|topic| !topic.topic_id.is_zero());
    }
    response
}

/// A topic whose partitions all have this error.
fn refused(topic: &OffsetFetchRequestTopics, error_code: i16) -> OffsetFetchResponseTopics {
    let partitions = topic.partition_indexes.iter().map(|index| OffsetFetchResponsePartitions {
        partition_index: *index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(ottla_protocol::StrBytes::new()),
        error_code,
        ..Default::default()
    });
    OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: partitions.collect(),
        ..Default::default()
    }
}

/// The answer in the form before version 8.
fn flatten(group: OffsetFetchResponseGroup) -> OffsetFetchResponse {
    let topics = group.topics.into_iter().map(|topic| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic
            .partitions
            .into_iter()
            .map(|partition| OffsetFetchResponsePartition {
                partition_index: partition.partition_index,
                committed_offset: partition.committed_offset,
                committed_leader_epoch: partition.committed_leader_epoch,
                metadata: partition.metadata,
                error_code: partition.error_code,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    OffsetFetchResponse {
        topics: topics.collect(),
        error_code: group.error_code,
        ..Default::default()
    }
}
