//! What of a classic group the log holds: made when a generation is settled, read back when the
//! shard is loaded. Must not know when that is.

use ottla_protocol::group_metadata_value::MemberMetadata;
use ottla_protocol::k11_join_group::JoinGroupRequestProtocol;
use ottla_protocol::{GroupMetadataValue, Millis, StrBytes};

use super::{ClassicGroup, Member, State};
use crate::{Now, Record};

impl ClassicGroup {
    /// The group as its record has it: stable with members, empty without.
    pub(crate) fn from_value(id: StrBytes, value: GroupMetadataValue) -> Self {
        let since =
            (value.current_state_timestamp != -1).then_some(Millis(value.current_state_timestamp));
        let mut group = Self::new(id, since);
        group.generation = value.generation;
        group.protocol.clone_from(&value.protocol);
        group.leader = value.leader;
        let protocol_type = value.protocol_type;
        group.protocol_type = (!protocol_type.is_empty()).then(|| protocol_type.clone());
        if !value.members.is_empty() {
            group.state = State::Stable;
        }
        for stored in value.members {
            let rebalance_timeout = if stored.rebalance_timeout == -1 {
                stored.session_timeout
            } else {
                stored.rebalance_timeout
            };
            let protocol = JoinGroupRequestProtocol {
                name: value.protocol.clone().unwrap_or_default(),
                metadata: stored.subscription,
                ..JoinGroupRequestProtocol::default()
            };
            let member = Member {
                instance_id: stored.group_instance_id,
                client_id: stored.client_id,
                client_host: stored.client_host,
                rebalance_timeout,
                session_timeout: stored.session_timeout,
                protocols: vec![protocol],
                assignment: stored.assignment,
                join: None,
                sync: None,
                is_new: false,
                deadline: None,
            };
            group.add(stored.member_id, member, protocol_type.clone());
        }
        group.learn_subscriptions();
        group
    }

    /// The record that says what the group is now.
    pub(super) fn to_record(&self) -> Record {
        let protocol = self.protocol.as_deref();
        let members = self.members.iter().map(|(id, member)| MemberMetadata {
            member_id: id.clone(),
            group_instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout: member.rebalance_timeout,
            session_timeout: member.session_timeout,
            subscription: protocol
                .and_then(|name| member.metadata(name).cloned())
                .unwrap_or_default(),
            assignment: member.assignment.clone(),
            ..MemberMetadata::default()
        });
        let value = GroupMetadataValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            current_state_timestamp: self.state_since.map_or(-1, Millis::get),
            members: members.collect(),
            ..GroupMetadataValue::default()
        };
        Record::group(&self.id, &value)
    }

    /// The record of a group that has just come to be, whatever has happened to it since.
    pub(crate) fn birth_record(&self, now: Now) -> Record {
        let value = GroupMetadataValue {
            current_state_timestamp: now.wall.0,
            ..GroupMetadataValue::default()
        };
        Record::group(&self.id, &GroupMetadataValue { protocol: None, leader: None, ..value })
    }
}
