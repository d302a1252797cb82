//! ListGroups: the groups of the shard, by state and type if asked. Must not know other shards.

use std::collections::BTreeMap;

use ottla_protocol::k16_list_groups::ListedGroup;
use ottla_protocol::{ListGroupsResponse, StrBytes};

use crate::group::Group;

/// The shard's part of the answer. An empty filter lets everything through; an unknown state or
/// type, nothing. Case does not matter.
pub(crate) fn list(
    groups: &BTreeMap<StrBytes, Group>,
    states: &[StrBytes],
    types: &[StrBytes],
) -> ListGroupsResponse {
    let states = trimmed(states);
    let types: Vec<&str> = types.iter().map(|name| &**name).collect();
    let passes = |filter: &[&str], name: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
    };
    let listed = groups
        .iter()
        .filter(|(_, group)| passes(&states, group.state()) && passes(&types, group.type_name()))
        .map(|(id, group)| ListedGroup {
            group_id: id.clone(),
            protocol_type: group.protocol_type(),
            group_state: StrBytes::from_static(group.state()),
            group_type: StrBytes::from_static(group.type_name()),
            ..ListedGroup::default()
        });
    ListGroupsResponse { groups: listed.collect(), ..ListGroupsResponse::default() }
}

fn trimmed(filter: &[StrBytes]) -> Vec<&str> {
    filter.iter().map(|name| name.trim()).collect()
}
