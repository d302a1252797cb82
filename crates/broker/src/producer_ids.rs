//! Ids for idempotent producers, from blocks that the controller gives out. Must not know what a
//! producer does with them.

use std::sync::Arc;

use ottla_metadata::{Command, Reply};
use ottla_protocol::{AllocateProducerIdsRequest, ErrorCode, ProducerId};

use crate::shared::Shared;
use crate::topics;

/// What is left of the block at hand.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds {
    block: tokio::sync::Mutex<std::ops::Range<i64>>,
}

impl ProducerIds {
    /// An id that no producer of the cluster ever had.
    pub(crate) async fn next(&self, shared: &Arc<Shared>) -> Result<ProducerId, ErrorCode> {
        let mut block = self.block.lock().await;
        if block.is_empty() {
            *block = allocate(shared).await?;
        }
        block.next().map(ProducerId).ok_or(ErrorCode::CoordinatorLoadInProgress)
    }
}

async fn allocate(shared: &Arc<Shared>) -> Result<std::ops::Range<i64>, ErrorCode> {
    let node = shared.identity.node;
    let epoch = shared.image.load().broker(node).map_or(-1, |broker| broker.epoch);
    let request = AllocateProducerIdsRequest {
        broker_id: node.get(),
        broker_epoch: epoch,
        ..Default::default()
    };
    let reply = topics::call(shared, Command::AllocateProducerIds(request)).await;
    // Whatever the controller has against it: the client tries again.
    let reply = reply.map_err(|_| ErrorCode::CoordinatorLoadInProgress)?;
    let Reply::AllocateProducerIds(response) = reply else {
        return Err(ErrorCode::UnknownServerError);
    };
    if response.error_code != 0 {
        return Err(ErrorCode::CoordinatorLoadInProgress);
    }
    let start = response.producer_id_start;
    Ok(start..start.saturating_add(i64::from(response.producer_id_len)))
}
