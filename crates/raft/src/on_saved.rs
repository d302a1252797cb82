//! The quorum state is on disk, or a wait is over: what was held back until then happens.

use ottla_protocol::{LeaderEpoch, Millis};

use crate::candidate::Candidacy;
use crate::leader::Leadership;
use crate::machine::{Raft, State};
use crate::{Effect, QuorumState};

impl Raft {
    pub(crate) fn on_tick(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        if self.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.stand(now, effects);
        }
    }

    /// Stands for election in a new epoch; its own vote is the first to be saved.
    fn stand(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let epoch = LeaderEpoch(self.durable.epoch.get().saturating_add(1));
        let deadline = self.draw_deadline(now);
        self.become_state(State::Candidate(Candidacy::new(deadline)), effects);
        self.save(QuorumState { epoch, leader: None, voted: Some(self.config.me) }, effects);
    }

    pub(crate) fn on_saved(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        assert!(self.saves_pending > 0, "nothing was to be saved");
        self.saves_pending = self.saves_pending.saturating_sub(1);
        if self.saves_pending > 0 {
            // What a later save replaced is not what is acted upon.
            return;
        }
        for vote in std::mem::take(&mut self.owed_votes) {
            let granted =
                self.durable.epoch == vote.epoch && self.durable.voted == Some(vote.candidate);
            effects.push(Effect::AnswerVote {
                candidate: vote.candidate,
                epoch: self.durable.epoch,
                leader: self.leader(),
                granted,
            });
        }
        let (me, epoch, log_end) = (self.config.me, self.durable.epoch, self.log_end);
        let others: Vec<_> = self.config.voters.iter().filter(|voter| voter.id != me.id).collect();
        match &mut self.state {
            State::Candidate(candidacy) if !candidacy.voted => {
                candidacy.voted = true;
                candidacy.count(me.id, true);
                effects.extend(others.into_iter().map(|voter| Effect::RequestVote {
                    voter,
                    epoch,
                    log_end,
                }));
                self.after_vote(now, effects);
            }
            State::Leader(leadership) if !leadership.saved => {
                leadership.saved = true;
                effects.push(Effect::BeginEpoch { epoch, granting: leadership.granting.clone() });
                effects
                    .extend(others.into_iter().map(|voter| Effect::AnnounceEpoch { voter, epoch }));
            }
            State::Candidate(_)
            | State::Leader(_)
            | State::Unattached { .. }
            | State::Follower { .. } => {}
        }
    }

    /// Leads when the votes are enough, gives up when they cannot be any more.
    pub(crate) fn after_vote(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let State::Candidate(candidacy) = &self.state else { return };
        if candidacy.is_won(&self.config.voters) {
            let granting = candidacy.granting(&self.config.voters);
            self.become_state(State::Leader(Leadership::new(granting)), effects);
            let epoch = self.durable.epoch;
            self.save(QuorumState { epoch, leader: Some(self.config.me.id), voted: None }, effects);
        } else if candidacy.is_lost(&self.config.voters) {
            // The vote stays given: one vote an epoch.
            let deadline = self.draw_deadline(now);
            self.become_state(State::Unattached { deadline }, effects);
        }
    }
}
