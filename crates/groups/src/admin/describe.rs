//! DescribeGroups: classic groups and their members. Must not know authorised operations; the
//! host fills them in.

use ottla_protocol::k15_describe_groups::{DescribedGroup, DescribedGroupMember};
use ottla_protocol::{ErrorCode, StrBytes};

use crate::classic::{ClassicGroup, State};
use crate::foreign::ForeignGroup;
use crate::group::Group;

/// The state of a group that does not exist.
const DEAD: &str = "Dead";

/// One group of the answer.
pub(crate) fn describe(id: &StrBytes, group: Option<&Group>, version: i16) -> DescribedGroup {
    match group {
        Some(Group::Classic(group)) => describe_classic(group),
        Some(Group::Foreign(_)) => absent(id, ForeignGroup::not_classic(id), version),
        None => absent(id, format!("Group {id} not found."), version),
    }
}

/// From version 6 a missing group is an error (KIP-1043); before, it is a dead group.
fn absent(id: &StrBytes, message: String, version: i16) -> DescribedGroup {
    let dead = DescribedGroup {
        group_id: id.clone(),
        group_state: StrBytes::from_static(DEAD),
        ..DescribedGroup::default()
    };
    if version < 6 {
        return dead;
    }
    DescribedGroup {
        error_code: ErrorCode::GroupIdNotFound.into(),
        error_message: Some(StrBytes::from(message)),
        ..dead
    }
}

fn describe_classic(group: &ClassicGroup) -> DescribedGroup {
    // Only a stable group says what it uses.
    let protocol = group.protocol.clone().filter(|_| group.state == State::Stable);
    let members = group.members.iter().map(|(id, member)| DescribedGroupMember {
        member_id: id.clone(),
        group_instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        member_metadata: protocol
            .as_deref()
            .and_then(|name| member.metadata(name).cloned())
            .unwrap_or_default(),
        member_assignment: member.assignment.clone(),
        ..DescribedGroupMember::default()
    });
    DescribedGroup {
        group_id: group.id.clone(),
        group_state: StrBytes::from_static(group.state.name()),
        protocol_type: group.protocol_type.clone().unwrap_or_default(),
        members: members.collect(),
        protocol_data: protocol.clone().unwrap_or_default(),
        ..DescribedGroup::default()
    }
}
