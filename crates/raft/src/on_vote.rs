//! Votes: asked of this replica, and given to it. One vote an epoch, saved before it is told; none
//! for a log that ends before this one's.

use ottla_protocol::{LeaderEpoch, Millis};

use crate::machine::{OwedVote, Raft, State};
use crate::{Effect, LogEnd, QuorumState, ReplicaKey};

impl Raft {
    pub(crate) fn on_vote_request(
        &mut self,
        now: Millis,
        candidate: ReplicaKey,
        epoch: LeaderEpoch,
        log_end: LogEnd,
        effects: &mut Vec<Effect>,
    ) {
        let refuse = |raft: &Self| Effect::AnswerVote {
            candidate,
            epoch: raft.durable.epoch,
            leader: raft.leader(),
            granted: false,
        };
        if epoch < self.durable.epoch {
            effects.push(refuse(self));
            return;
        }
        let newer = epoch > self.durable.epoch;
        if newer {
            let deadline = self.draw_deadline(now);
            self.become_state(State::Unattached { deadline }, effects);
        }
        let voted = if newer { None } else { self.durable.voted };
        let free = match voted {
            Some(voted) => voted == candidate,
            None => {
                matches!(self.state, State::Unattached { .. })
                    && self.config.voters.contains(self.config.me)
            }
        };
        let granted = free && log_end >= self.log_end;
        if granted {
            self.owed_votes.push(OwedVote { candidate, epoch });
            self.save(QuorumState { epoch, leader: None, voted: Some(candidate) }, effects);
            if let State::Unattached { .. } = self.state {
                // Whoever has the vote gets a whole wait to win with it.
                let deadline = self.draw_deadline(now);
                self.state = State::Unattached { deadline };
            }
            return;
        }
        if newer {
            self.save(QuorumState { epoch, leader: None, voted: None }, effects);
        }
        effects.push(refuse(self));
    }

    pub(crate) fn on_vote_response(
        &mut self,
        now: Millis,
        voter: ReplicaKey,
        epoch: LeaderEpoch,
        granted: bool,
        effects: &mut Vec<Effect>,
    ) {
        if epoch > self.durable.epoch {
            let deadline = self.draw_deadline(now);
            self.become_state(State::Unattached { deadline }, effects);
            self.save(QuorumState { epoch, leader: None, voted: None }, effects);
            return;
        }
        if epoch < self.durable.epoch || !self.config.voters.contains(voter) {
            return;
        }
        if let State::Candidate(candidacy) = &mut self.state {
            candidacy.count(voter.id, granted);
            self.after_vote(now, effects);
        }
    }
}
