//! JoinGroup 0–9: a member wants in. 1 rebalance time-out · 4 member ids are given first (KIP-394) ·
//! 5 static members · 6 flexible · 7 protocol type · 8 reasons · 9 skips assignment (KIP-814).

use bytes::BytesMut;
use ottla_groups::{Command, Reply};
use ottla_protocol::{ErrorCode, JoinGroupRequest, JoinGroupResponse, StrBytes};

use crate::connection::Handled;
use crate::dispatch::Context;
use crate::group_request;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, JoinGroupRequest);
    let context = cx.clone();
    later!(cx, Later, async move {
        let group = request.group_id.clone();
        let command = Command::JoinGroup {
            request,
            version: context.version,
            client_id: context.connection.client_id.borrow().clone(),
            client_host: StrBytes::from(format!("/{}", context.connection.peer.ip())),
            random: context.shared.rng.bytes16(),
        };
        let reply = group_request::submit(&context, &group, command).await;
        let Reply::JoinGroup(response) = reply else {
            let error_code = ErrorCode::UnknownServerError.into();
            return JoinGroupResponse { error_code, ..Default::default() };
        };
        response
    })
}
