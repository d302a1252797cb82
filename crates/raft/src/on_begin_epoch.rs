//! Somebody leads: this replica follows, unless it knows of a later epoch.

use ottla_protocol::{LeaderEpoch, Millis, NodeId};

use crate::machine::{Raft, State, later};
use crate::{Effect, QuorumState};

impl Raft {
    pub(crate) fn on_begin_epoch(
        &mut self,
        now: Millis,
        leader: NodeId,
        epoch: LeaderEpoch,
        effects: &mut Vec<Effect>,
    ) {
        if epoch < self.durable.epoch || leader == self.config.me.id {
            return;
        }
        if epoch == self.durable.epoch {
            // Two leaders of one epoch mean that a vote was given twice: nothing is safe any more.
            assert!(
                !matches!(self.state, State::Leader(_)),
                "node {leader} claims epoch {epoch} that this replica leads"
            );
            if let State::Follower { leader: known, .. } = self.state {
                assert!(known == leader, "nodes {known} and {leader} both claim epoch {epoch}");
            }
        }
        let deadline = later(now, self.config.fetch_timeout);
        let known = self.durable.epoch == epoch && self.durable.leader == Some(leader);
        self.become_state(State::Follower { leader, deadline }, effects);
        if !known {
            let voted = if epoch == self.durable.epoch { self.durable.voted } else { None };
            self.save(QuorumState { epoch, leader: Some(leader), voted }, effects);
        }
    }
}
