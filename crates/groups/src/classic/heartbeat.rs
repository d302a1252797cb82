//! Heartbeat: a member is alive, and hears whether it has to rejoin. Must not know time-outs'
//! ends; see the timers.

use ottla_protocol::{ErrorCode, HeartbeatRequest};

use super::{ClassicGroup, State};
use crate::Now;

impl ClassicGroup {
    /// A member is heard of. The error is what it is told.
    pub(crate) fn on_heartbeat(
        &mut self,
        request: &HeartbeatRequest,
        now: Now,
    ) -> Result<(), ErrorCode> {
        self.check_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if self.state == State::Empty {
            return Err(ErrorCode::UnknownMemberId);
        }
        if let Some(member) = self.members.get_mut(&request.member_id) {
            member.heard(now);
        }
        match self.state {
            State::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            State::Empty | State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    /// A commit of a member keeps its session alive, too, where members may commit.
    pub(crate) fn on_commit(&mut self, member_id: &str, now: Now) {
        match self.state {
            State::PreparingRebalance | State::Stable => {
                if let Some(member) = self.members.get_mut(member_id) {
                    member.heard(now);
                }
            }
            State::Empty | State::CompletingRebalance => {}
        }
    }
}
