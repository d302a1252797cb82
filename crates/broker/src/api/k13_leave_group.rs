//! LeaveGroup 0–5: members leave. 3 several members (KIP-345) · 4 flexible · 5 reasons.

use bytes::BytesMut;
use ottla_groups::{Command, Reply};
use ottla_protocol::{ErrorCode, LeaveGroupRequest, LeaveGroupResponse};

use crate::connection::Handled;
use crate::dispatch::Context;
use crate::group_request;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, LeaveGroupRequest);
    let context = cx.clone();
    later!(cx, Later, async move {
        let group = request.group_id.clone();
        let command = Command::LeaveGroup { request, version: context.version };
        let reply = group_request::submit(&context, &group, command).await;
        let Reply::LeaveGroup(response) = reply else {
            let error_code = ErrorCode::UnknownServerError.into();
            return LeaveGroupResponse { error_code, ..Default::default() };
        };
        response
    })
}
