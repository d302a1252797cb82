//! From a group's request to its shard. Must not know what the shards decide.

use std::collections::BTreeMap;

use ottla_groups::{Command, Reply, partition_for};
use ottla_protocol::{ErrorCode, StrBytes};

use crate::dispatch::Context;
use crate::topics::OFFSETS_TOPIC;

/// The partition of the offsets topic that coordinates `group`; `None` while there is no such
/// topic.
fn shard_of(cx: &Context, group: &str) -> Option<i32> {
    let image = cx.shared.image.load();
    let topic = image.topic(OFFSETS_TOPIC)?;
    Some(partition_for(group, i32::try_from(topic.partition_count()).ok()?))
}

/// Sends a command to the shard of `group`.
pub(crate) async fn submit(cx: &Context, group: &str, command: Command) -> Reply {
    match shard_of(cx, group) {
        Some(shard) => cx.shared.groups.submit(shard, command).await,
        None => command.refuse(ErrorCode::NotCoordinator),
    }
}

/// Groups by their shard; those of no shard (there is no offsets topic yet) under −1.
pub(crate) fn by_shard(cx: &Context, groups: &[StrBytes]) -> BTreeMap<i32, Vec<StrBytes>> {
    let mut shards: BTreeMap<i32, Vec<StrBytes>> = BTreeMap::new();
    for group in groups {
        shards.entry(shard_of(cx, group).unwrap_or(-1)).or_default().push(group.clone());
    }
    shards
}
