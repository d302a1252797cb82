//! What becomes due in a classic group, and when. Must not know who wakes it.

use ottla_protocol::{Millis, StrBytes};

use super::rebalance::JoinTimer;
use super::{ClassicGroup, State, Step};
use crate::Now;

/// Something that becomes due.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Due {
    /// A member was not heard of.
    Member(StrBytes),
    /// A member did not come back with its id.
    Pending(StrBytes),
    Join(JoinTimer),
    Sync,
}

impl ClassicGroup {
    /// When something becomes due.
    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        let members = self.members.values().filter_map(|member| member.deadline);
        let pending = self.pending_join.values().copied();
        let timers = self.join_timer.map(|timer| timer.at).into_iter().chain(self.sync_timer);
        members.chain(pending).chain(timers).min()
    }

    /// Does all that is due, the longest due first.
    pub(crate) fn on_time(&mut self, step: &mut Step<'_>) {
        for due in self.take_due(step.now) {
            match due {
                Due::Member(id) => self.on_session_timeout(&id, step),
                Due::Pending(id) => self.on_pending_timeout(&id, step),
                Due::Join(timer) => {
                    // What fired before may have ended the gathering, or begun another.
                    if self.join_timer == Some(timer) {
                        self.join_timer = None;
                        self.on_join_timer(timer, step);
                    }
                }
                Due::Sync => {
                    if self.sync_timer.is_some_and(|at| at <= step.now.mono) {
                        self.sync_timer = None;
                        self.on_sync_timer(step);
                    }
                }
            }
        }
    }

    fn take_due(&self, now: Now) -> Vec<Due> {
        let is_due = |at: &Millis| *at <= now.mono;
        let mut due: Vec<(Millis, Due)> = Vec::new();
        for (id, member) in &self.members {
            due.extend(member.deadline.filter(is_due).map(|at| (at, Due::Member(id.clone()))));
        }
        for (id, at) in &self.pending_join {
            due.extend(Some(*at).filter(is_due).map(|at| (at, Due::Pending(id.clone()))));
        }
        due.extend(self.join_timer.filter(|t| is_due(&t.at)).map(|t| (t.at, Due::Join(t))));
        due.extend(self.sync_timer.filter(is_due).map(|at| (at, Due::Sync)));
        due.sort_by_key(|(at, _)| *at);
        due.into_iter().map(|(_, due)| due).collect()
    }

    fn on_session_timeout(&mut self, id: &str, step: &mut Step<'_>) {
        let Some(member) = self.members.get_mut(id) else { return };
        if member.deadline.is_none_or(|at| at > step.now.mono) {
            return;
        }
        member.deadline = None;
        if member.is_excused() {
            return;
        }
        self.remove(id, step);
        match self.state {
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(step),
            State::PreparingRebalance if self.all_joined() => self.complete_join(step),
            State::PreparingRebalance | State::Empty => {}
        }
    }

    fn on_pending_timeout(&mut self, id: &str, step: &mut Step<'_>) {
        if self.pending_join.get(id).is_none_or(|at| *at > step.now.mono) {
            return;
        }
        self.remove(id, step);
        if self.state == State::PreparingRebalance && self.all_joined() {
            self.complete_join(step);
        }
    }

    /// The shard has been loaded: everyone gets a session to be heard in.
    pub(crate) fn on_loaded(&mut self, step: &mut Step<'_>) {
        for member in self.members.values_mut() {
            member.heard(step.now);
        }
        if self.members.len() > step.config.group_max_size {
            // The limit was lowered; a rebalance lets the others commit before they go.
            self.prepare_rebalance(step);
        }
    }
}
