//! OffsetForLeaderEpoch 2–4: where a leader epoch ends (KIP-320). 3 replica id · 4 flexible.

use bytes::BytesMut;
use ottla_protocol::k23_offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};
use ottla_protocol::{
    ErrorCode, LeaderEpoch, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
};

use crate::connection::Handled;
use crate::dispatch::Context;
use crate::errors;
use crate::hosted::believed_epoch;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, OffsetForLeaderEpochRequest);
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            one(&cx, &topic.topic, partition).unwrap_or_else(|error| EpochEndOffset {
                error_code: error.into(),
                partition: partition.partition,
                ..Default::default()
            })
        });
        OffsetForLeaderTopicResult {
            topic: topic.topic.clone(),
            partitions: partitions.collect(),
            ..Default::default()
        }
    });
    let topics = topics.collect();
    ready!(cx, OffsetForLeaderEpochResponse { topics, ..Default::default() })
}

fn one(
    cx: &Context,
    topic: &str,
    partition: &OffsetForLeaderPartition,
) -> Result<EpochEndOffset, ErrorCode> {
    let hosted = cx.hosted(topic, partition.partition)?;
    let found = hosted
        .offset_for_leader_epoch(
            LeaderEpoch(partition.leader_epoch),
            believed_epoch(partition.current_leader_epoch),
        )
        .map_err(errors::replica)?;
    Ok(EpochEndOffset {
        partition: partition.partition,
        leader_epoch: found.epoch.get(),
        end_offset: found.end_offset.get(),
        ..Default::default()
    })
}
