//! ListGroups 0–5: the groups that this broker coordinates. 3 flexible · 4 by state (KIP-518) ·
//! 5 by type (KIP-848).

use bytes::BytesMut;
use ottla_groups::{Command, Reply};
use ottla_protocol::{ErrorCode, ListGroupsRequest, ListGroupsResponse};

use crate::connection::Handled;
use crate::dispatch::Context;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, ListGroupsRequest);
    let context = cx.clone();
    later!(cx, Later, async move {
        let mut response = ListGroupsResponse::default();
        for shard in context.shared.groups.indexes() {
            let command = Command::ListGroups {
                states: request.states_filter.clone(),
                types: request.types_filter.clone(),
            };
            let reply = context.shared.groups.submit(shard, command).await;
            let Reply::ListGroups(listed) = reply else { continue };
            let error = ErrorCode::from(listed.error_code);
            // What is another broker's by now, or nobody's, is not here in any case.
            if error != ErrorCode::None && error != ErrorCode::NotCoordinator {
                // Half a list would be taken for the whole.
                return ListGroupsResponse { error_code: error.into(), ..Default::default() };
            }
            response.groups.extend(listed.groups);
        }
        response
    })
}
