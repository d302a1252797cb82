//! DeleteRecords 0–2: the log start moves forward. 2 flexible.

use bytes::BytesMut;
use ottla_protocol::k21_delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use ottla_protocol::{DeleteRecordsRequest, DeleteRecordsResponse, ErrorCode, Offset};

use crate::connection::Handled;
use crate::dispatch::Context;
use crate::errors;
use crate::topics;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, DeleteRecordsRequest);
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let (low_watermark, error) = match one(&cx, &topic.name, partition) {
                Ok(start) => (start.get(), ErrorCode::None),
                Err(error) => (-1, error),
            };
            DeleteRecordsPartitionResult {
                partition_index: partition.partition_index,
                low_watermark,
                error_code: error.into(),
                ..Default::default()
            }
        });
        DeleteRecordsTopicResult {
            name: topic.name.clone(),
            partitions: partitions.collect(),
            ..Default::default()
        }
    });
    let topics = topics.collect();
    ready!(cx, DeleteRecordsResponse { topics, ..Default::default() })
}

fn one(cx: &Context, topic: &str, partition: &DeleteRecordsPartition) -> Result<Offset, ErrorCode> {
    let hosted = cx.hosted(topic, partition.partition_index)?;
    if topics::is_internal(topic) {
        return Err(ErrorCode::InvalidTopicException);
    }
    // Only what retention may delete, and not what compaction still needs.
    if !hosted.config().deletes_records() {
        return Err(ErrorCode::PolicyViolation);
    }
    let start = hosted.delete_records(partition.offset).map_err(errors::replica)?;
    cx.shared.storage.log_starts_moved();
    start.ok_or(ErrorCode::OffsetOutOfRange)
}
