//! DescribeGroups 0–6: members and assignments of classic groups. 3 authorised operations ·
//! 4 static members · 5 flexible · 6 GROUP_ID_NOT_FOUND (KIP-1043).

use bytes::BytesMut;
use ottla_groups::{Command, Reply};
use ottla_protocol::{DescribeGroupsRequest, DescribeGroupsResponse};

use crate::authorise;
use crate::connection::Handled;
use crate::dispatch::Context;
use crate::group_request;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, DescribeGroupsRequest);
    let context = cx.clone();
    later!(cx, Later, async move {
        let mut groups = Vec::new();
        for (shard, group_ids) in group_request::by_shard(&context, &request.groups) {
            let command = Command::DescribeGroups { group_ids, version: context.version };
            if let Reply::DescribeGroups(described) =
                context.shared.groups.submit(shard, command).await
            {
                groups.extend(described);
            }
        }
        if request.include_authorized_operations {
            for group in groups.iter_mut().filter(|group| group.error_code == 0) {
                group.authorized_operations = authorise::GROUP_OPERATIONS;
            }
        }
        // As they were asked for.
        let place = |id| request.groups.iter().position(|group| *group == id);
        groups.sort_by_key(|group| place(group.group_id.clone()));
        DescribeGroupsResponse { groups, ..Default::default() }
    })
}
