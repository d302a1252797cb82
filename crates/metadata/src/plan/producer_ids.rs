//! Blocks of producer ids for brokers. Must not know who uses them.

use ottla_protocol::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, ErrorCode, MetadataRecord,
    ProducerIdsRecord,
};

use super::{Context, Records, brokers};
use crate::record::VersionedRecord;
use crate::refusal::Refusal;

const BLOCK: i32 = 1000;

pub(super) fn allocate(
    context: &mut Context<'_>,
    request: &AllocateProducerIdsRequest,
) -> Result<(Records, AllocateProducerIdsResponse), Refusal> {
    brokers::check_epoch(context.image, request.broker_id, request.broker_epoch)?;
    let start = context.image.next_producer_id();
    let Some(next_producer_id) = start.checked_add(i64::from(BLOCK)) else {
        return Err(Refusal::new(
            ErrorCode::UnknownServerError,
            "Exhausted all producerIds as the next block's end producerId has exceeded the int64 type limit",
        ));
    };
    let record = ProducerIdsRecord {
        broker_id: request.broker_id,
        broker_epoch: request.broker_epoch,
        next_producer_id,
        ..ProducerIdsRecord::default()
    };
    let response = AllocateProducerIdsResponse {
        producer_id_start: start,
        producer_id_len: BLOCK,
        ..AllocateProducerIdsResponse::default()
    };
    Ok((vec![VersionedRecord::new(MetadataRecord::ProducerIds(Box::new(record)), 0)], response))
}
