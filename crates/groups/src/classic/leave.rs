//! LeaveGroup: members go, or an administrator removes static ones. Must not know the shape of
//! the request before version 3; the shard has made it one.

use ottla_protocol::k13_leave_group::{MemberIdentity, MemberResponse};
use ottla_protocol::{ErrorCode, StrBytes};

use super::{ClassicGroup, State, Step};

impl ClassicGroup {
    /// Members leave, all at once. Each has an answer of its own.
    pub(crate) fn on_leave(
        &mut self,
        members: &[MemberIdentity],
        step: &mut Step<'_>,
    ) -> Vec<MemberResponse> {
        let mut any = false;
        let mut answers = Vec::with_capacity(members.len());
        for member in members {
            let result = self.leave_one(member, step);
            any |= result.is_ok();
            answers.push(MemberResponse {
                member_id: member.member_id.clone(),
                group_instance_id: member.group_instance_id.clone(),
                error_code: result.err().unwrap_or(ErrorCode::None).into(),
                ..MemberResponse::default()
            });
        }
        if any {
            match self.state {
                State::Stable | State::CompletingRebalance => self.prepare_rebalance(step),
                State::PreparingRebalance => self.maybe_complete_join(step),
                State::Empty => {}
            }
        }
        answers
    }

    fn leave_one(&mut self, member: &MemberIdentity, step: &mut Step<'_>) -> Result<(), ErrorCode> {
        let member_id: StrBytes = if member.member_id.is_empty() {
            let by_instance = member.group_instance_id.as_deref();
            by_instance
                .and_then(|instance_id| self.static_members.get(instance_id))
                .ok_or(ErrorCode::UnknownMemberId)?
                .clone()
        } else {
            member.member_id.clone()
        };
        if !self.pending_join.contains_key(&member_id) && !member.member_id.is_empty() {
            self.check_member(&member_id, member.group_instance_id.as_deref())?;
        }
        self.remove(&member_id, step);
        Ok(())
    }
}
