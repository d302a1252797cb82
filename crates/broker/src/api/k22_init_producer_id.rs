//! InitProducerId 0–5: an id for an idempotent producer. 2 flexible · 3 epoch bumps (KIP-360) ·
//! 4 PRODUCER_FENCED · 5 transactions V2 · 6 (unstable, not served) two-phase commit.

use bytes::BytesMut;
use ottla_protocol::{ErrorCode, InitProducerIdRequest, InitProducerIdResponse};

use crate::connection::Handled;
use crate::dispatch::Context;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, InitProducerIdRequest);
    if let Some(error) = refusal(&request) {
        return ready!(cx, refused(error));
    }
    let context = cx.clone();
    later!(cx, Later, async move {
        match context.shared.producer_ids.next(&context.shared).await {
            Ok(id) => InitProducerIdResponse {
                producer_id: id.get(),
                producer_epoch: 0,
                ..Default::default()
            },
            Err(error) => refused(error),
        }
    })
}

fn refusal(request: &InitProducerIdRequest) -> Option<ErrorCode> {
    match &request.transactional_id {
        // Transactions are not there yet: fatal for the producer, at once, with a name for it.
        Some(id) if !id.is_empty() => Some(ErrorCode::TransactionalIdAuthorizationFailed),
        Some(_) => Some(ErrorCode::InvalidRequest),
        None if (request.producer_id >= 0) != (request.producer_epoch >= 0) => {
            Some(ErrorCode::InvalidRequest)
        }
        None => None,
    }
}

fn refused(error: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse {
        error_code: error.into(),
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    }
}
