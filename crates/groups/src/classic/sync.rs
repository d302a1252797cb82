//! SyncGroup: the leader brings the assignment, everyone fetches theirs. Must not know what an
//! assignment says.

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla_protocol::{ErrorCode, StrBytes, SyncGroupRequest, SyncGroupResponse};

use super::{ClassicGroup, State, Step, Waiter};
use crate::reply::sync_error;
use crate::{Record, Reply};

impl ClassicGroup {
    /// A member wants its assignment.
    pub(crate) fn on_sync(
        &mut self,
        request: &SyncGroupRequest,
        waiter: Waiter,
        step: &mut Step<'_>,
    ) {
        if let Err(error) = self.check_sync(request) {
            step.reply(waiter, Reply::SyncGroup(sync_error(error)));
            return;
        }
        self.synced(&request.member_id);
        if self.state == State::Stable {
            let response = self.assignment_response(&request.member_id);
            step.reply(waiter, Reply::SyncGroup(response));
            return;
        }
        let superseded =
            self.members.get_mut(&request.member_id).and_then(|m| m.sync.replace(waiter));
        if let Some(old) = superseded {
            // As with joins: Kafka would never answer it.
            step.reply(old, Reply::SyncGroup(sync_error(ErrorCode::RebalanceInProgress)));
        }
        if self.is_leader(&request.member_id) {
            self.on_assignment(request, step);
        }
    }

    /// Refusals, and the states that refuse; what is left is a generation that is complete, or
    /// about to be.
    fn check_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        if self.state == State::Empty {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.check_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differ = |ours: &Option<StrBytes>, theirs: &Option<StrBytes>| matches!((ours, theirs), (Some(ours), Some(theirs)) if ours != theirs);
        if differ(&self.protocol_type, &request.protocol_type)
            || differ(&self.protocol, &request.protocol_name)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        if self.state == State::PreparingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    fn synced(&mut self, member_id: &str) {
        self.pending_sync.remove(member_id);
        if self.pending_sync.is_empty() {
            self.sync_timer = None;
        }
    }

    /// The leader's assignment: recorded, and everyone who waits gets theirs. It is given out
    /// only when the record is committed, as every reply is. One that no record can hold ends the
    /// generation.
    fn on_assignment(&mut self, request: &SyncGroupRequest, step: &mut Step<'_>) {
        let mut assignments: BTreeMap<&StrBytes, &Bytes> = BTreeMap::new();
        for assignment in &request.assignments {
            assignments.insert(&assignment.member_id, &assignment.assignment);
        }
        for (id, member) in &mut self.members {
            let assignment = assignments.get(id).copied();
            member.assignment =
                assignment.map(|own| Bytes::copy_from_slice(own)).unwrap_or_default();
        }
        let record = self.to_record();
        if !Record::fit(std::slice::from_ref(&record), step.config.batch_max) {
            self.abandon_syncs(ErrorCode::UnknownServerError, step);
            self.prepare_rebalance(step);
            return;
        }
        step.record(record);
        self.enter(State::Stable, step.now);
        let ids: Vec<StrBytes> = self.members.keys().cloned().collect();
        for id in ids {
            let response = self.assignment_response(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            if let Some(waiter) = member.sync.take() {
                step.reply(waiter, Reply::SyncGroup(response));
                // Its session could not expire while it waited; now it starts anew.
                member.heard(step.now);
            }
        }
    }

    fn assignment_response(&self, member_id: &StrBytes) -> SyncGroupResponse {
        let member = self.members.get(member_id);
        SyncGroupResponse {
            error_code: ErrorCode::None.into(),
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            assignment: member.map(|member| member.assignment.clone()).unwrap_or_default(),
            ..SyncGroupResponse::default()
        }
    }
}
