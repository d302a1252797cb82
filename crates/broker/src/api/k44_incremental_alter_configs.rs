//! IncrementalAlterConfigs 0–1: single settings change (KIP-339). 1 flexible.

use bytes::BytesMut;
use ottla_metadata::{Command, Refusal, Reply};
use ottla_protocol::k44_incremental_alter_configs::AlterConfigsResourceResponse;
use ottla_protocol::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

use crate::connection::Handled;
use crate::dispatch::Context;
use crate::topics;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, IncrementalAlterConfigsRequest);
    let context = cx.clone();
    later!(cx, Later, async move {
        let asked = request.clone();
        match topics::call(&context.shared, Command::IncrementalAlterConfigs(request)).await {
            Ok(Reply::IncrementalAlterConfigs(response)) => response,
            Ok(_) => refused(&asked, &topics::wrong_reply()),
            Err(refusal) => refused(&asked, &refusal),
        }
    })
}

/// The controller granted nothing: each part of the request hears why.
fn refused(
    request: &IncrementalAlterConfigsRequest,
    refusal: &Refusal,
) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.iter().map(|resource| AlterConfigsResourceResponse {
        error_code: refusal.code.into(),
        error_message: refusal.wire_message(),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        ..Default::default()
    });
    IncrementalAlterConfigsResponse { responses: responses.collect(), ..Default::default() }
}
