//! DeleteGroups 0–3: groups without members are deleted, with their offsets. 2 flexible ·
//! 3 error messages.

use bytes::BytesMut;
use ottla_groups::{Command, Reply};
use ottla_protocol::{DeleteGroupsRequest, DeleteGroupsResponse};

use crate::connection::Handled;
use crate::dispatch::Context;
use crate::group_request;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, DeleteGroupsRequest);
    let context = cx.clone();
    later!(cx, Later, async move {
        let mut response = DeleteGroupsResponse::default();
        for (shard, mut group_ids) in group_request::by_shard(&context, &request.groups_names) {
            // Each group that was named is answered once.
            group_ids.sort_unstable();
            group_ids.dedup();
            let command = Command::DeleteGroups { group_ids };
            let reply = context.shared.groups.submit(shard, command).await;
            if let Reply::DeleteGroups(results) = reply {
                response.results.extend(results);
            }
        }
        response
    })
}
