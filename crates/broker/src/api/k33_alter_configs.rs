//! AlterConfigs 0–2: the settings of resources are replaced. 2 flexible.

use bytes::BytesMut;
use ottla_metadata::{Command, Refusal, Reply};
use ottla_protocol::k33_alter_configs::AlterConfigsResourceResponse;
use ottla_protocol::{AlterConfigsRequest, AlterConfigsResponse};

use crate::connection::Handled;
use crate::dispatch::Context;
use crate::topics;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, AlterConfigsRequest);
    let context = cx.clone();
    later!(cx, Later, async move {
        let asked = request.clone();
        match topics::call(&context.shared, Command::AlterConfigs(request)).await {
            Ok(Reply::AlterConfigs(response)) => response,
            Ok(_) => refused(&asked, &topics::wrong_reply()),
            Err(refusal) => refused(&asked, &refusal),
        }
    })
}

/// The controller granted nothing: each part of the request hears why.
fn refused(request: &AlterConfigsRequest, refusal: &Refusal) -> AlterConfigsResponse {
    let responses = request.resources.iter().map(|resource| AlterConfigsResourceResponse {
        error_code: refusal.code.into(),
        error_message: refusal.wire_message(),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        ..Default::default()
    });
    AlterConfigsResponse { responses: responses.collect(), ..Default::default() }
}
