//! OffsetDelete 0: committed offsets of topics are deleted (KIP-496).

use bytes::BytesMut;
use ottla_groups::{Command, Reply};
use ottla_protocol::{ErrorCode, OffsetDeleteRequest, OffsetDeleteResponse};

use crate::connection::Handled;
use crate::dispatch::Context;
use crate::group_request;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, OffsetDeleteRequest);
    let context = cx.clone();
    later!(cx, Later, async move {
        let group = request.group_id.clone();
        let command = Command::OffsetDelete { request };
        let reply = group_request::submit(&context, &group, command).await;
        let Reply::OffsetDelete(response) = reply else {
            let error_code = ErrorCode::UnknownServerError.into();
            return OffsetDeleteResponse { error_code, ..Default::default() };
        };
        response
    })
}
