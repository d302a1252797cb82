//! The requests of members, on their way to their group: what no group would accept, groups that
//! are not there, groups of another type. Must not know what happens in a group.

use ottla_protocol::k13_leave_group::{MemberIdentity, MemberResponse};
use ottla_protocol::{
    ErrorCode, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, LeaveGroupResponse, StrBytes,
    SyncGroupRequest,
};

use super::Shard;
use crate::classic::{ClassicGroup, Joining, Waiter};
use crate::group::Group;
use crate::reply::{join_error, leave_error, sync_error};
use crate::{Now, Outcome, Reply};

impl Shard {
    pub(super) fn join(&mut self, mut joining: Joining, now: Now, out: &mut Outcome) {
        let request = &mut joining.request;
        if joining.waiter.version == 0 {
            request.rebalance_timeout_ms = request.session_timeout_ms;
        }
        let id = request.group_id.clone();
        if let Err((member_id, error)) = self.check_join(request) {
            let Waiter { token, version } = joining.waiter;
            out.reply(token, Reply::JoinGroup(join_error(version, member_id, error)));
            return;
        }
        let is_new = self.make_way(&id, now, out);
        let records = out.records.len();
        self.with_classic(&id, now, out, |group, step| group.on_join(joining, step));
        if is_new && out.records.len() == records {
            // So that a group is known from its first member on, though nothing is settled yet.
            if let Some(Group::Classic(group)) = self.groups.get(&id) {
                out.records.push(group.birth_record(now));
            }
        }
    }

    /// What no group would accept; and groups that are no classic ones.
    fn check_join(&self, request: &JoinGroupRequest) -> Result<(), (StrBytes, ErrorCode)> {
        let member_id = &request.member_id;
        let timeout = i64::from(request.session_timeout_ms);
        if request.group_id.is_empty() {
            return Err((member_id.clone(), ErrorCode::InvalidGroupId));
        }
        if timeout < self.config.group_min_session_timeout.0
            || timeout > self.config.group_max_session_timeout.0
        {
            return Err((member_id.clone(), ErrorCode::InvalidSessionTimeout));
        }
        match self.groups.get(&request.group_id) {
            Some(Group::Classic(_)) => Ok(()),
            Some(Group::Foreign(group)) if !group.gives_way() => {
                Err((StrBytes::default(), ErrorCode::InconsistentGroupProtocol))
            }
            Some(Group::Foreign(_)) | None if member_id.is_empty() => Ok(()),
            Some(Group::Foreign(_)) | None => Err((member_id.clone(), ErrorCode::UnknownMemberId)),
        }
    }

    /// Sees to it that there is a classic group; an empty one of another type gives way. Says
    /// whether it has just come to be.
    fn make_way(&mut self, id: &StrBytes, now: Now, out: &mut Outcome) -> bool {
        match self.groups.get(id) {
            Some(Group::Classic(_)) => return false,
            Some(Group::Foreign(group)) => group.tombstones(&mut out.records),
            None => {}
        }
        let id = id.detached();
        let group = ClassicGroup::new(id.clone(), Some(now.wall));
        self.groups.insert(id, Group::Classic(group));
        true
    }

    pub(super) fn sync(
        &mut self,
        request: &SyncGroupRequest,
        waiter: Waiter,
        now: Now,
        out: &mut Outcome,
    ) {
        let refuse = |out: &mut Outcome, error| {
            out.reply(waiter.token, Reply::SyncGroup(sync_error(error)));
        };
        if waiter.version >= 5
            && (request.protocol_type.is_none() || request.protocol_name.is_none())
        {
            // Nullable on the wire for the sake of older versions alone (KIP-559).
            refuse(out, ErrorCode::InconsistentGroupProtocol);
            return;
        }
        if request.group_id.is_empty() {
            refuse(out, ErrorCode::InvalidGroupId);
            return;
        }
        let id = &request.group_id;
        let done =
            self.with_classic(id, now, out, |group, step| group.on_sync(request, waiter, step));
        if done.is_none() {
            refuse(out, ErrorCode::UnknownMemberId);
        }
    }

    pub(super) fn heartbeat(
        &mut self,
        request: &HeartbeatRequest,
        now: Now,
    ) -> Result<(), ErrorCode> {
        if request.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        match self.groups.get_mut(&request.group_id) {
            Some(Group::Classic(group)) => {
                let result = group.on_heartbeat(request, now);
                self.wake_ups.arm_member(group, &request.member_id);
                result
            }
            Some(Group::Foreign(_)) | None => Err(ErrorCode::UnknownMemberId),
        }
    }

    pub(super) fn leave(
        &mut self,
        request: LeaveGroupRequest,
        version: i16,
        now: Now,
        out: &mut Outcome,
    ) -> LeaveGroupResponse {
        if request.group_id.is_empty() {
            return leave_error(ErrorCode::InvalidGroupId);
        }
        let members = if version < 3 {
            vec![MemberIdentity { member_id: request.member_id, ..MemberIdentity::default() }]
        } else {
            request.members
        };
        let answers = self
            .with_classic(&request.group_id, now, out, |group, step| group.on_leave(&members, step))
            .unwrap_or_else(|| unknown_members(&members));
        if version < 3 {
            // One member, whose error is that of the whole.
            let error_code = answers.first().map_or(0, |answer| answer.error_code);
            return LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() };
        }
        LeaveGroupResponse { members: answers, ..LeaveGroupResponse::default() }
    }
}

fn unknown_members(members: &[MemberIdentity]) -> Vec<MemberResponse> {
    let unknown = members.iter().map(|member| MemberResponse {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        error_code: ErrorCode::UnknownMemberId.into(),
        ..MemberResponse::default()
    });
    unknown.collect()
}
