//! JoinGroup: who is let in, as whom, and what their join sets going. Must not know how a group
//! comes to be; the shard makes it before the first join.

use bytes::Bytes;
use ottla_protocol::k11_join_group::JoinGroupRequestProtocol;
use ottla_protocol::{ErrorCode, JoinGroupRequest, JoinGroupResponse, StrBytes, Uuid};

use super::rebalance::NEW_MEMBER_JOIN_TIMEOUT;
use super::{ClassicGroup, Member, State, Step, Waiter};
use crate::Reply;
use crate::reply::{finish_join, join_error};

/// The longest string a record or a response can carry.
const STRING_MAX: usize = 32_767;

/// A JoinGroup with all that belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Joining {
    pub(crate) request: JoinGroupRequest,
    pub(crate) waiter: Waiter,
    pub(crate) client_id: StrBytes,
    pub(crate) client_host: StrBytes,
    pub(crate) random: [u8; 16],
}

impl Joining {
    /// Refuses, naming this member.
    pub(super) fn refuse(&self, member_id: StrBytes, error: ErrorCode, step: &mut Step<'_>) {
        let response = join_error(self.waiter.version, member_id, error);
        step.reply(self.waiter, Reply::JoinGroup(response));
    }

    /// The id the member gets when it has none: its instance or client id, and a random UUID.
    fn new_member_id(&self) -> Option<StrBytes> {
        let prefix = self.request.group_instance_id.as_ref().unwrap_or(&self.client_id);
        let id = format!("{prefix}-{}", hyphenated(Uuid::from_random(self.random)));
        (id.len() <= STRING_MAX).then(|| StrBytes::from(id))
    }

    /// Its protocols; what is kept must not keep the whole request alive.
    fn protocols(&self) -> Vec<JoinGroupRequestProtocol> {
        let protocols = self.request.protocols.iter().map(|protocol| JoinGroupRequestProtocol {
            name: protocol.name.detached(),
            metadata: Bytes::copy_from_slice(&protocol.metadata),
            ..JoinGroupRequestProtocol::default()
        });
        protocols.collect()
    }

    fn member(&self) -> Member {
        Member {
            instance_id: self.request.group_instance_id.as_ref().map(StrBytes::detached),
            client_id: self.client_id.detached(),
            client_host: self.client_host.detached(),
            rebalance_timeout: self.request.rebalance_timeout_ms,
            session_timeout: self.request.session_timeout_ms,
            protocols: self.protocols(),
            assignment: Bytes::new(),
            join: Some(self.waiter),
            sync: None,
            is_new: true,
            deadline: None,
        }
    }
}

/// The text form of Java's UUIDs.
fn hyphenated(id: Uuid) -> String {
    let hex = format!("{:032x}", u128::from_be_bytes(id.0));
    let mut text = String::with_capacity(36);
    for (at, digit) in hex.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

impl ClassicGroup {
    /// A member joins. Its session time-out is within the limits.
    pub(crate) fn on_join(&mut self, joining: Joining, step: &mut Step<'_>) {
        let member_id = joining.request.member_id.clone();
        if !self.has_room(&member_id, step) {
            self.remove(&member_id, step);
            joining.refuse(StrBytes::default(), ErrorCode::GroupMaxSizeReached, step);
        } else if !self.supports(&joining.request.protocol_type, &joining.request.protocols) {
            joining.refuse(member_id, ErrorCode::InconsistentGroupProtocol, step);
        } else if member_id.is_empty() {
            self.on_first_join(joining, step);
        } else if self.pending_join.contains_key(&member_id) {
            if joining.request.group_instance_id.is_some() {
                // Only dynamic members are ever asked to come back with an id.
                joining.refuse(StrBytes::default(), ErrorCode::UnknownServerError, step);
            } else {
                self.let_in(member_id, joining, step);
            }
        } else {
            self.on_rejoin(joining, step);
        }
    }

    /// Whether the group is small enough for this member. While joins are gathered those count
    /// who have joined: so the last to come back are the ones to go, should the limit have been
    /// lowered.
    fn has_room(&self, member_id: &str, step: &Step<'_>) -> bool {
        let member = self.members.get(member_id);
        match self.state {
            State::Empty => true,
            State::PreparingRebalance => {
                member.is_some_and(|member| member.join.is_some())
                    || self.awaiting_join < step.config.group_max_size
            }
            State::CompletingRebalance | State::Stable => {
                member.is_some() || self.members.len() < step.config.group_max_size
            }
        }
    }

    /// Someone without a member id.
    fn on_first_join(&mut self, joining: Joining, step: &mut Step<'_>) {
        let Some(member_id) = joining.new_member_id() else {
            joining.refuse(StrBytes::default(), ErrorCode::UnknownServerError, step);
            return;
        };
        if let Some(instance_id) = &joining.request.group_instance_id {
            match self.static_members.get(instance_id).cloned() {
                Some(old) => self.replace_static(&old, member_id, joining, step),
                None => self.let_in(member_id, joining, step),
            }
        } else if joining.waiter.version >= 4 {
            // Asked to come back with the id, lest a client that never heard the answer leaves
            // one dead member behind with each retry (KIP-394).
            let until = step.now.after(i64::from(joining.request.session_timeout_ms));
            self.pending_join.insert(member_id.clone(), until);
            joining.refuse(member_id, ErrorCode::MemberIdRequired, step);
        } else {
            self.let_in(member_id, joining, step);
        }
    }

    /// A new member becomes one.
    fn let_in(&mut self, member_id: StrBytes, joining: Joining, step: &mut Step<'_>) {
        let mut member = joining.member();
        // A new member cannot send heartbeats while its join waits, and nobody sees it go: were
        // there no end to that wait, its retries would pile up in the group.
        member.deadline = Some(step.now.after(NEW_MEMBER_JOIN_TIMEOUT));
        if self.state == State::PreparingRebalance && self.previous == State::Empty {
            self.new_member_added = true;
        }
        self.add(member_id.detached(), member, joining.request.protocol_type.detached());
        self.rebalance_or_complete_join(step);
    }

    /// Someone who gives a member id that is not pending.
    fn on_rejoin(&mut self, joining: Joining, step: &mut Step<'_>) {
        let request = &joining.request;
        let member_id = request.member_id.clone();
        if let Err(error) = self.check_member(&member_id, request.group_instance_id.as_deref()) {
            joining.refuse(member_id, error, step);
            return;
        }
        let same = self
            .members
            .get(&member_id)
            .is_some_and(|member| member.has_protocols(&request.protocols));
        match self.state {
            State::PreparingRebalance => self.rejoin(joining, step),
            // The answer got lost, perhaps: it is given again.
            State::CompletingRebalance if same => {
                self.answer_current(&member_id, joining.waiter, self.is_leader(&member_id), step);
            }
            // The leader's way to have the assignment made again, without a change of its own.
            State::Stable if same && !self.is_leader(&member_id) => {
                self.answer_current(&member_id, joining.waiter, false, step);
            }
            State::CompletingRebalance | State::Stable => self.rejoin(joining, step),
            State::Empty => joining.refuse(member_id, ErrorCode::UnknownMemberId, step),
        }
    }

    /// A member's join counts for the next generation.
    fn rejoin(&mut self, joining: Joining, step: &mut Step<'_>) {
        let waiter = joining.waiter;
        self.update_member(&joining.request.member_id.clone(), &joining, Some(waiter), step);
        self.rebalance_or_complete_join(step);
    }

    /// Takes over what a join says of a member, and which join of it waits.
    pub(super) fn update_member(
        &mut self,
        member_id: &str,
        joining: &Joining,
        waiter: Option<Waiter>,
        step: &mut Step<'_>,
    ) {
        let Some((id, mut member)) = self.members.remove_entry(member_id) else { return };
        self.count_protocols(&member, false);
        self.awaiting_join -= usize::from(member.join.is_some());
        member.protocols = joining.protocols();
        member.rebalance_timeout = joining.request.rebalance_timeout_ms;
        member.session_timeout = joining.request.session_timeout_ms;
        let superseded = std::mem::replace(&mut member.join, waiter);
        self.awaiting_join += usize::from(member.join.is_some());
        self.count_protocols(&member, true);
        self.members.insert(id.clone(), member);
        if let Some(old) = superseded {
            // Kafka leaves such a request without an answer; but here later requests of its
            // connection may be waiting behind it.
            let response = join_error(old.version, id, ErrorCode::RebalanceInProgress);
            step.reply(old, Reply::JoinGroup(response));
        }
    }

    /// Tells a member of the current generation.
    fn answer_current(
        &self,
        member_id: &StrBytes,
        waiter: Waiter,
        with_members: bool,
        step: &mut Step<'_>,
    ) {
        let response = self.generation_response(member_id, with_members);
        step.reply(waiter, Reply::JoinGroup(finish_join(waiter.version, response)));
    }

    /// The answer that makes someone a member of the current generation; only the leader is told
    /// who the others are.
    pub(super) fn generation_response(
        &self,
        member_id: &StrBytes,
        with_members: bool,
    ) -> JoinGroupResponse {
        JoinGroupResponse {
            error_code: ErrorCode::None.into(),
            generation_id: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            member_id: member_id.clone(),
            members: if with_members { self.response_members() } else { Vec::new() },
            ..JoinGroupResponse::default()
        }
    }
}
