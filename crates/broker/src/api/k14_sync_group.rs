//! SyncGroup 0–5: the assignment of a generation. 3 static members · 4 flexible · 5 protocol checked.

use bytes::BytesMut;
use ottla_groups::{Command, Reply};
use ottla_protocol::{ErrorCode, SyncGroupRequest, SyncGroupResponse};

use crate::connection::Handled;
use crate::dispatch::Context;
use crate::group_request;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, SyncGroupRequest);
    let context = cx.clone();
    later!(cx, Later, async move {
        let group = request.group_id.clone();
        let command = Command::SyncGroup { request, version: context.version };
        let reply = group_request::submit(&context, &group, command).await;
        let Reply::SyncGroup(response) = reply else {
            let error_code = ErrorCode::UnknownServerError.into();
            return SyncGroupResponse { error_code, ..Default::default() };
        };
        response
    })
}
