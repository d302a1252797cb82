//! Static membership (KIP-345): a known group instance id comes back without a member id and
//! takes the place of its former self. Must not know other joins.

use ottla_protocol::{ErrorCode, JoinGroupResponse, StrBytes};

use super::{ClassicGroup, Joining, State, Step};
use crate::reply::finish_join;
use crate::{Record, Reply};

impl ClassicGroup {
    /// The instance that was member `old` is now member `new`.
    pub(super) fn replace_static(
        &mut self,
        old: &StrBytes,
        new: StrBytes,
        joining: Joining,
        step: &mut Step<'_>,
    ) {
        let leader_before = self.leader.clone().unwrap_or_default();
        if !self.rename_static(old, &new, &joining, step) {
            joining.refuse(StrBytes::default(), ErrorCode::UnknownMemberId, step);
            return;
        }
        let waiter = joining.waiter;
        if self.state == State::Stable {
            self.update_member(&new, &joining, None, step);
            let record = self.to_record();
            let fits = Record::fit(std::slice::from_ref(&record), step.config.batch_max);
            if fits && self.protocol.is_some() && self.select_protocol() == self.protocol {
                // The generation goes on: the record tells of the new id, nobody has to rejoin.
                step.record(record);
                let response = self.takeover_response(&new, leader_before, waiter.version);
                step.reply(waiter, Reply::JoinGroup(finish_join(waiter.version, response)));
                return;
            }
        }
        self.update_member(&new, &joining, Some(waiter), step);
        // While the assignment is being made the old id may be in the leader's hands already;
        // the new one would get nothing. So that generation has to end, too.
        self.rebalance_or_complete_join(step);
    }

    /// Moves the membership to the new id and fences whoever waits on the old one.
    fn rename_static(
        &mut self,
        old: &StrBytes,
        new: &StrBytes,
        joining: &Joining,
        step: &mut Step<'_>,
    ) -> bool {
        let Some(mut member) = self.members.remove(old) else { return false };
        self.awaiting_join -= usize::from(member.join.is_some());
        member.answer_fenced(old, step);
        member.is_new = false;
        member.heard(step.now);
        if let Some(instance_id) = &joining.request.group_instance_id {
            self.static_members.insert(instance_id.clone(), new.clone());
        }
        if self.leader.as_ref() == Some(old) {
            self.leader = Some(new.clone());
        }
        if self.pending_sync.remove(old) {
            // Kafka forgets to, and rebalances when the old id does not sync.
            self.pending_sync.insert(new.clone());
            self.sync_timer = Some(step.now.after(self.rebalance_timeout()));
        }
        self.members.insert(new.clone(), member);
        true
    }

    /// From version 9 a leader can be told that no assignment is wanted of it (KIP-814); before,
    /// it is told that the old id leads, so that it does not think of making one.
    fn takeover_response(
        &self,
        member_id: &StrBytes,
        leader_before: StrBytes,
        version: i16,
    ) -> JoinGroupResponse {
        if version < 9 {
            return JoinGroupResponse {
                leader: leader_before,
                ..self.generation_response(member_id, false)
            };
        }
        let leads = self.is_leader(member_id);
        JoinGroupResponse { skip_assignment: leads, ..self.generation_response(member_id, leads) }
    }
}
