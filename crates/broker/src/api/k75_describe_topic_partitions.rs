//! DescribeTopicPartitions 0: topics page by page (KIP-966).

use std::collections::BTreeSet;

use bytes::BytesMut;
use ottla_metadata::{Image, Topic};
use ottla_protocol::k75_describe_topic_partitions::{
    DescribeTopicPartitionsResponseCursor as NextCursor, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};
use ottla_protocol::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, ErrorCode, NodeId, StrBytes,
};

use crate::authorise;
use crate::connection::Handled;
use crate::dispatch::Context;
use crate::topics;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, DescribeTopicPartitionsRequest);
    if is_lost(&request) {
        return ready!(cx, refused(&request));
    }
    ready!(cx, respond(&cx, &request))
}

/// Whether the cursor stands at no partition of what is asked for.
fn is_lost(request: &DescribeTopicPartitionsRequest) -> bool {
    let Some(cursor) = &request.cursor else { return false };
    let asked = request.topics.is_empty()
        || request.topics.iter().any(|topic| topic.name == cursor.topic_name);
    !asked || cursor.partition_index < 0
}

fn refused(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let topics = request.topics.iter().map(|topic| DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::InvalidRequest.into(),
        name: Some(topic.name.clone()),
        ..Default::default()
    });
    DescribeTopicPartitionsResponse { topics: topics.collect(), ..Default::default() }
}

fn respond(
    cx: &Context,
    request: &DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let image = cx.shared.image.load();
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut room = limit.min(cx.shared.settings.described_partitions_max).max(1);
    let all = request.topics.is_empty();
    let names: BTreeSet<StrBytes> = if all {
        image.topics().map(|topic| topic.name.clone()).collect()
    } else {
        request.topics.iter().map(|topic| topic.name.clone()).collect()
    };
    let from = request.cursor.as_ref();
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names {
        if from.is_some_and(|cursor| name < cursor.topic_name) {
            continue;
        }
        let first =
            from.filter(|cursor| cursor.topic_name == name).map_or(0, |c| c.partition_index);
        let next = |partition_index| {
            Some(NextCursor { topic_name: name.clone(), partition_index, ..Default::default() })
        };
        if room == 0 {
            response.next_cursor = next(first);
            break;
        }
        let Some(topic) = image.topic(&name) else {
            if !all {
                response.topics.push(unknown(name));
            }
            continue;
        };
        let described = describe(&image, topic, first, room);
        let shown = described.partitions.len();
        room -= shown.min(room);
        let last = described.partitions.last().map_or(first, |p| p.partition_index + 1);
        response.topics.push(described);
        if topic.partition(last).is_some() {
            response.next_cursor = next(last);
            break;
        }
    }
    response
}

fn unknown(name: StrBytes) -> DescribeTopicPartitionsResponseTopic {
    let error = if topics::is_valid_name(&name) {
        ErrorCode::UnknownTopicOrPartition
    } else {
        ErrorCode::InvalidTopicException
    };
    DescribeTopicPartitionsResponseTopic {
        error_code: error.into(),
        is_internal: topics::is_internal(&name),
        name: Some(name),
        topic_authorized_operations: authorise::TOPIC_OPERATIONS,
        ..Default::default()
    }
}

fn describe(
    image: &Image,
    topic: &Topic,
    first: i32,
    room: usize,
) -> DescribeTopicPartitionsResponseTopic {
    let ids = |nodes: &[NodeId]| nodes.iter().map(|id| id.get()).collect::<Vec<i32>>();
    let partitions = topic.partitions().filter(|(index, _)| *index >= first).take(room);
    DescribeTopicPartitionsResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: topics::is_internal(&topic.name),
        partitions: partitions
            .map(|(index, partition)| DescribeTopicPartitionsResponsePartition {
                partition_index: index,
                leader_id: partition.leader.get(),
                leader_epoch: partition.leader_epoch.get(),
                replica_nodes: ids(&partition.replicas),
                isr_nodes: ids(&partition.isr),
                eligible_leader_replicas: Some(ids(&partition.elr)),
                last_known_elr: Some(ids(&partition.last_known_elr)),
                offline_replicas: topics::offline_replicas(image, partition),
                ..Default::default()
            })
            .collect(),
        topic_authorized_operations: authorise::TOPIC_OPERATIONS,
        ..Default::default()
    }
}
