//! Heartbeat 0–4: a member is alive. 3 static members · 4 flexible.

use bytes::BytesMut;
use ottla_groups::{Command, Reply};
use ottla_protocol::{ErrorCode, HeartbeatRequest, HeartbeatResponse};

use crate::connection::Handled;
use crate::dispatch::Context;
use crate::group_request;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, HeartbeatRequest);
    let context = cx.clone();
    later!(cx, Later, async move {
        let group = request.group_id.clone();
        let command = Command::Heartbeat { request };
        let reply = group_request::submit(&context, &group, command).await;
        let Reply::Heartbeat(response) = reply else {
            let error_code = ErrorCode::UnknownServerError.into();
            return HeartbeatResponse { error_code, ..Default::default() };
        };
        response
    })
}
