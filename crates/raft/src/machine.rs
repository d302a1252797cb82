//! One replica's state, and which event goes where. Must not know what an event leads to: each has
//! a file of its own.

use ottla_protocol::{LeaderEpoch, Millis, NodeId, Offset};

use crate::candidate::Candidacy;
use crate::leader::Leadership;
use crate::{Effect, Input, LogEnd, QuorumState, ReplicaKey, ReplicaProgress, Role, VoterSet};

/// What a replica is told at start.
#[derive(Clone, Debug)]
pub struct RaftConfig {
    /// This replica.
    pub me: ReplicaKey,
    /// Who votes.
    pub voters: VoterSet,
    /// `controller.quorum.election.timeout.ms`: each wait is drawn between once and twice this.
    pub election_timeout: Millis,
    /// `controller.quorum.fetch.timeout.ms`: a follower without a word from its leader for this
    /// long stands for election.
    pub fetch_timeout: Millis,
    /// Where the waits' randomness begins; different on each replica and at each start.
    pub seed: u64,
}

/// What this replica is, with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Unattached { deadline: Millis },
    Candidate(Candidacy),
    Leader(Leadership),
    Follower { leader: NodeId, deadline: Millis },
}

/// A vote that may be answered once it is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwedVote {
    pub(crate) candidate: ReplicaKey,
    pub(crate) epoch: LeaderEpoch,
}

/// One replica of the quorum.
#[derive(Clone, Debug)]
pub struct Raft {
    pub(crate) config: RaftConfig,
    /// As last asked to be saved.
    pub(crate) durable: QuorumState,
    pub(crate) state: State,
    pub(crate) log_end: LogEnd,
    pub(crate) saves_pending: u32,
    pub(crate) owed_votes: Vec<OwedVote>,
    random: u64,
}

impl Raft {
    /// A replica that starts with what its disk says. An epoch of the log that is later than the
    /// saved one wins: the save of an epoch may be lost, its records are not. A leader of an
    /// earlier life does not lead again: it stands for election in a new epoch.
    #[must_use]
    pub fn new(config: RaftConfig, saved: QuorumState, log_end: LogEnd, now: Millis) -> Self {
        let durable = if log_end.epoch > saved.epoch {
            QuorumState { epoch: log_end.epoch, leader: None, voted: None }
        } else {
            saved
        };
        let random = config.seed ^ 0x9e37_79b9_7f4a_7c15;
        let mut raft = Self {
            config,
            durable,
            state: State::Unattached { deadline: now },
            log_end,
            saves_pending: 0,
            owed_votes: Vec::new(),
            random,
        };
        let follows = durable.leader.filter(|leader| *leader != raft.config.me.id);
        raft.state = match follows {
            Some(leader) => {
                State::Follower { leader, deadline: later(now, raft.config.fetch_timeout) }
            }
            None => State::Unattached { deadline: raft.first_deadline(now) },
        };
        raft
    }

    /// Nobody else can lead when there is no other voter: then there is nothing to wait for.
    fn first_deadline(&mut self, now: Millis) -> Millis {
        let me = self.config.me.id;
        let alone = self.config.voters.iter().all(|voter| voter.id == me);
        if alone { now } else { self.draw_deadline(now) }
    }

    /// What happened, and what is to be done about it.
    pub fn step(&mut self, now: Millis, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Tick => self.on_tick(now, effects),
            Input::Saved => self.on_saved(now, effects),
            Input::Appended(end) => self.on_appended(end),
            Input::Durable(offset) => self.on_progress(self.config.me, offset, None, effects),
            Input::VoteRequest { candidate, epoch, log_end } => {
                self.on_vote_request(now, candidate, epoch, log_end, effects);
            }
            Input::VoteResponse { voter, epoch, granted } => {
                self.on_vote_response(now, voter, epoch, granted, effects);
            }
            Input::BeginQuorumEpoch { leader, epoch } => {
                self.on_begin_epoch(now, leader, epoch, effects)
            }
            Input::Fetched { replica, offset } => {
                self.on_progress(replica, offset, Some(now), effects)
            }
        }
    }

    /// When the next [`Input::Tick`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        match &self.state {
            State::Unattached { deadline } | State::Follower { deadline, .. } => {
                self.config.voters.contains(self.config.me).then_some(*deadline)
            }
            State::Candidate(candidacy) => Some(candidacy.deadline),
            State::Leader(_) => None,
        }
    }

    /// What this replica is.
    #[must_use]
    pub fn role(&self) -> Role {
        match &self.state {
            State::Unattached { .. } => Role::Unattached,
            State::Candidate(_) => Role::Candidate,
            State::Leader(_) => Role::Leader,
            State::Follower { leader, .. } => Role::Follower(*leader),
        }
    }

    /// The epoch it is in.
    #[must_use]
    pub fn epoch(&self) -> LeaderEpoch {
        self.durable.epoch
    }

    /// Who leads the epoch, when known.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        match &self.state {
            State::Leader(_) => Some(self.config.me.id),
            State::Follower { leader, .. } => Some(*leader),
            State::Unattached { .. } | State::Candidate(_) => None,
        }
    }

    /// This replica.
    #[must_use]
    pub fn me(&self) -> ReplicaKey {
        self.config.me
    }

    /// Who votes.
    #[must_use]
    pub fn voters(&self) -> &VoterSet {
        &self.config.voters
    }

    /// What is committed, on a leader that knows.
    #[must_use]
    pub fn high_watermark(&self) -> Option<Offset> {
        match &self.state {
            State::Leader(leadership) => leadership.high_watermark,
            State::Unattached { .. } | State::Candidate(_) | State::Follower { .. } => None,
        }
    }

    /// How far each replica is that this leader heard of.
    pub fn progress(&self) -> impl Iterator<Item = (ReplicaKey, ReplicaProgress)> {
        let leadership = match &self.state {
            State::Leader(leadership) => Some(leadership),
            State::Unattached { .. } | State::Candidate(_) | State::Follower { .. } => None,
        };
        leadership
            .into_iter()
            .flat_map(|leader| leader.replicas.iter().map(|(key, progress)| (*key, *progress)))
    }

    pub(crate) fn save(&mut self, state: QuorumState, effects: &mut Vec<Effect>) {
        assert!(state.epoch >= self.durable.epoch, "an epoch never falls");
        self.durable = state;
        self.saves_pending = self.saves_pending.saturating_add(1);
        effects.push(Effect::SaveQuorumState(state));
    }

    pub(crate) fn become_state(&mut self, state: State, effects: &mut Vec<Effect>) {
        let before = self.role();
        self.state = state;
        if self.role() != before {
            effects.push(Effect::Became(self.role()));
        }
    }

    /// Somewhere between once and twice the election timeout from now.
    pub(crate) fn draw_deadline(&mut self, now: Millis) -> Millis {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let timeout = self.config.election_timeout.get().max(1);
        let extra = self
            .random
            .checked_rem(timeout.unsigned_abs())
            .and_then(|extra| i64::try_from(extra).ok());
        later(now, Millis(timeout.saturating_add(extra.unwrap_or(0))))
    }

    fn on_appended(&mut self, end: LogEnd) {
        assert!(end >= self.log_end, "a log that is appended to does not get shorter");
        if let State::Leader(leadership) = &mut self.state {
            // The first batch of the epoch begins where the log of the one before ended.
            leadership.epoch_start.get_or_insert(self.log_end.offset);
        }
        self.log_end = end;
    }

    fn on_progress(
        &mut self,
        replica: ReplicaKey,
        offset: Offset,
        at: Option<Millis>,
        effects: &mut Vec<Effect>,
    ) {
        let log_end = self.log_end.offset;
        let State::Leader(leadership) = &mut self.state else { return };
        let before = leadership.replicas.get(&replica);
        let caught_up =
            if offset >= log_end { at } else { before.and_then(|before| before.last_caught_up) };
        let progress = ReplicaProgress {
            log_end: before.map_or(offset, |before| before.log_end.max(offset)),
            last_fetch: at,
            last_caught_up: caught_up,
        };
        leadership.replicas.insert(replica, progress);
        if let Some(offset) = leadership.raise(&self.config.voters) {
            effects.push(Effect::HighWatermark(offset));
        }
    }
}

pub(crate) fn later(now: Millis, wait: Millis) -> Millis {
    Millis(now.get().saturating_add(wait.get()))
}
