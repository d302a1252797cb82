//! ListOffsets 1–11: offsets by timestamp, and the special ones. 2 isolation · 4 leader epochs ·
//! 6 flexible · 7 largest timestamp (KIP-734) · 8 earliest local · 9 latest tiered · 10 time-out ·
//! 11 earliest pending upload.

use std::collections::BTreeMap;

use bytes::BytesMut;
use ottla_log::Answer;
use ottla_log::timestamps;
use ottla_protocol::k02_list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use ottla_protocol::{ErrorCode, ListOffsetsRequest, ListOffsetsResponse, Offset};

use crate::connection::Handled;
use crate::dispatch::Context;
use crate::errors;
use crate::hosted::believed_epoch;
use crate::replica::Isolation;

/// The replica id of a debugging consumer, which sees the log's real end.
const DEBUGGING_CONSUMER: i32 = -2;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, ListOffsetsRequest);
    let isolation = match (request.replica_id, request.isolation_level) {
        (DEBUGGING_CONSUMER, _) => Isolation::LogEnd,
        (_, 1) => Isolation::ReadCommitted,
        _ => Isolation::ReadUncommitted,
    };
    let topics = request.topics.iter().map(|topic| {
        let mut times: BTreeMap<i32, usize> = BTreeMap::new();
        for partition in &topic.partitions {
            *times.entry(partition.partition_index).or_default() += 1;
        }
        let partitions = topic.partitions.iter().filter_map(|partition| {
            // A partition that is named twice is refused, once.
            if times.remove(&partition.partition_index)? > 1 {
                return Some(refuse(partition, ErrorCode::InvalidRequest));
            }
            let found = one(&cx, &topic.name, partition, isolation);
            Some(found.unwrap_or_else(|error| refuse(partition, error)))
        });
        ListOffsetsTopicResponse {
            name: topic.name.clone(),
            partitions: partitions.collect(),
            ..Default::default()
        }
    });
    let topics = topics.collect();
    ready!(cx, ListOffsetsResponse { topics, ..Default::default() })
}

fn one(
    cx: &Context,
    topic: &str,
    partition: &ListOffsetsPartition,
    isolation: Isolation,
) -> Result<ListOffsetsPartitionResponse, ErrorCode> {
    let timestamp = partition.timestamp;
    if !is_known(timestamp, cx.version) {
        return Err(ErrorCode::UnsupportedVersion);
    }
    let hosted = cx.hosted(topic, partition.partition_index)?;
    let believed = believed_epoch(partition.current_leader_epoch);
    let (found, up_to, leader_epoch) = loop {
        let (answer, up_to, leader_epoch) =
            hosted.list_offset(timestamp, believed, isolation).map_err(errors::replica)?;
        let found = match answer {
            Answer::Ready(found) => found,
            Answer::Lookup(view) => match view.list_offset(timestamp) {
                // Compaction replaced a segment meanwhile: looked up again.
                Err(error) if error.is_replaced() => continue,
                // Retention took it: the log begins later now.
                Err(error)
                    if error.is_not_found() && hosted.ends().0.log_start > view.log_start() =>
                {
                    continue;
                }
                found => found.map_err(|error| {
                    cx.shared.partitions.on_failed_read(&error);
                    errors::log(&error)
                })?,
            },
        };
        break (found, up_to, leader_epoch);
    };
    let found = match found {
        // The end is where this reader's log ends.
        _ if timestamp == timestamps::LATEST => Some((-1, up_to, Some(leader_epoch))),
        Some(found) if is_searched(timestamp) && found.offset >= up_to => None,
        Some(found) => Some((found.timestamp, found.offset, found.leader_epoch)),
        None => None,
    };
    let (timestamp, offset, epoch) = found.unwrap_or((-1, Offset::NONE, None));
    Ok(ListOffsetsPartitionResponse {
        partition_index: partition.partition_index,
        timestamp,
        offset: offset.get(),
        leader_epoch: epoch.filter(|_| cx.version >= 4).map_or(-1, |epoch| epoch.get()),
        ..Default::default()
    })
}

/// Whether a record is looked for, which the reader must be allowed to see: the starts of the log
/// are no records.
fn is_searched(timestamp: i64) -> bool {
    !matches!(timestamp, timestamps::EARLIEST | timestamps::EARLIEST_LOCAL)
}

/// Whether the special timestamp exists, in this version.
fn is_known(timestamp: i64, version: i16) -> bool {
    match timestamp {
        timestamps::EARLIEST_PENDING_UPLOAD => version >= 11,
        timestamps::LATEST_TIERED => version >= 9,
        timestamps::EARLIEST_LOCAL => version >= 8,
        timestamps::MAX => version >= 7,
        other => other >= timestamps::EARLIEST,
    }
}

fn refuse(partition: &ListOffsetsPartition, error: ErrorCode) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse {
        partition_index: partition.partition_index,
        error_code: error.into(),
        timestamp: -1,
        offset: -1,
        ..Default::default()
    }
}
