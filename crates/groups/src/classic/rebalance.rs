//! The making of a generation: joins are gathered, who did not come is removed, everyone who came
//! is told. Must not know which request set it going.

use bytes::Bytes;
use ottla_protocol::k11_join_group::JoinGroupResponseMember;
use ottla_protocol::{ErrorCode, Millis, StrBytes};

use super::{ClassicGroup, State, Step};
use crate::Reply;
use crate::reply::sync_error;

/// How long the join of a new member may wait, in milliseconds.
pub(super) const NEW_MEMBER_JOIN_TIMEOUT: i64 = 5 * 60_000;

/// When the gathering of joins ends, at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JoinTimer {
    pub(super) at: Millis,
    /// Of an initial rebalance: how it may be drawn out while members keep coming.
    pub(super) initial: Option<InitialDelay>,
}

/// How far the delay of an initial rebalance has come; milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InitialDelay {
    delay: i64,
    remaining: i64,
}

impl ClassicGroup {
    /// A rebalance begins; or, where joins are being gathered already, perhaps that ends.
    pub(super) fn rebalance_or_complete_join(&mut self, step: &mut Step<'_>) {
        match self.state {
            State::Empty | State::CompletingRebalance | State::Stable => {
                self.prepare_rebalance(step);
            }
            State::PreparingRebalance => self.maybe_complete_join(step),
        }
    }

    /// Joins are gathered from now on.
    pub(crate) fn prepare_rebalance(&mut self, step: &mut Step<'_>) {
        if self.state == State::CompletingRebalance {
            self.abandon_syncs(ErrorCode::RebalanceInProgress, step);
        }
        self.pending_sync.clear();
        self.sync_timer = None;
        let initial = self.state == State::Empty;
        self.enter(State::PreparingRebalance, step.now);
        if initial {
            self.start_initial_delay(step);
        } else if self.all_joined() {
            self.complete_join(step);
        } else {
            self.arm_join(step);
        }
    }

    fn arm_join(&mut self, step: &Step<'_>) {
        let at = step.now.after(self.rebalance_timeout());
        self.join_timer = Some(JoinTimer { at, initial: None });
    }

    /// A group's first members are given some time to gather.
    fn start_initial_delay(&mut self, step: &mut Step<'_>) {
        let delay = step.config.group_initial_rebalance_delay.0;
        if delay <= 0 {
            self.complete_join(step);
            return;
        }
        let remaining = (self.rebalance_timeout() - delay).max(0);
        self.join_timer = Some(JoinTimer {
            at: step.now.after(delay),
            initial: Some(InitialDelay { delay, remaining }),
        });
    }

    /// The time to gather joins is over.
    pub(super) fn on_join_timer(&mut self, timer: JoinTimer, step: &mut Step<'_>) {
        match timer.initial {
            Some(InitialDelay { delay, remaining }) if self.new_member_added && remaining != 0 => {
                self.new_member_added = false;
                let next = step.config.group_initial_rebalance_delay.0.min(remaining);
                let initial = InitialDelay { delay: next, remaining: (remaining - delay).max(0) };
                self.join_timer =
                    Some(JoinTimer { at: step.now.after(next), initial: Some(initial) });
            }
            Some(_) | None => self.complete_join(step),
        }
    }

    /// Ends the gathering if everyone has joined. An initial rebalance ends by its timer alone.
    pub(super) fn maybe_complete_join(&mut self, step: &mut Step<'_>) {
        if self.state == State::PreparingRebalance
            && self.previous != State::Empty
            && self.all_joined()
        {
            self.complete_join(step);
        }
    }

    /// The gathering ends: dynamic members who did not come are out; the next generation begins,
    /// if there is someone to lead it.
    pub(super) fn complete_join(&mut self, step: &mut Step<'_>) {
        self.join_timer = None;
        self.new_member_added = false;
        let gone: Vec<StrBytes> = self
            .members
            .iter()
            .filter(|(_, member)| member.join.is_none() && member.instance_id.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.remove(&id, step);
        }
        if !self.elect_leader() && !self.members.is_empty() {
            // Only static members that are away: their sessions decide.
            self.arm_join(step);
            return;
        }
        self.generation = self.generation.wrapping_add(1);
        self.pending_sync.clear();
        if self.members.is_empty() {
            self.protocol = None;
            self.learn_subscriptions();
            self.enter(State::Empty, step.now);
            step.record(self.to_record());
        } else {
            self.protocol = self.select_protocol();
            self.learn_subscriptions();
            self.enter(State::CompletingRebalance, step.now);
            self.tell_generation(step);
        }
    }

    /// Whether a member who joined leads; if the leader did not come, another one does now.
    fn elect_leader(&mut self) -> bool {
        let Some(leader) = &self.leader else { return false };
        if self.members.get(leader).is_some_and(|member| member.join.is_some()) {
            return true;
        }
        let joined = self.members.iter().find(|(_, member)| member.join.is_some());
        let Some((id, _)) = joined else { return false };
        self.leader = Some(id.clone());
        true
    }

    /// Answers everyone who joined, and awaits everyone's sync.
    fn tell_generation(&mut self, step: &mut Step<'_>) {
        let ids: Vec<StrBytes> = self.members.keys().cloned().collect();
        for id in ids {
            let response = self.generation_response(&id, self.is_leader(&id));
            let Some(member) = self.members.get_mut(&id) else { continue };
            if let Some(waiter) = member.join.take() {
                self.awaiting_join -= 1;
                let response = crate::reply::finish_join(waiter.version, response);
                step.reply(waiter, Reply::JoinGroup(response));
            }
            member.heard(step.now);
            member.is_new = false;
            self.pending_sync.insert(id);
        }
        self.sync_timer = Some(step.now.after(self.rebalance_timeout()));
    }

    /// Members who have the generation but did not sync in time are out.
    pub(super) fn on_sync_timer(&mut self, step: &mut Step<'_>) {
        let late = std::mem::take(&mut self.pending_sync);
        if late.is_empty() {
            return;
        }
        for id in late {
            self.remove(&id, step);
        }
        self.prepare_rebalance(step);
    }

    /// The generation ends before its assignment was made.
    pub(super) fn abandon_syncs(&mut self, error: ErrorCode, step: &mut Step<'_>) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if let Some(waiter) = member.sync.take() {
                step.reply(waiter, Reply::SyncGroup(sync_error(error)));
                member.heard(step.now);
            }
        }
    }

    /// All members, as the leader is told of them.
    pub(super) fn response_members(&self) -> Vec<JoinGroupResponseMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| JoinGroupResponseMember {
            member_id: id.clone(),
            group_instance_id: member.instance_id.clone(),
            metadata: member.metadata(protocol).cloned().unwrap_or_default(),
            ..JoinGroupResponseMember::default()
        });
        members.collect()
    }
}
