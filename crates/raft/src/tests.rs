//! A quorum of one step by step, and quorums of three played out with lost and late messages.

use std::collections::{BTreeMap, VecDeque};

use ottla_protocol::{LeaderEpoch, Millis, NodeId, Offset, Uuid};

use crate::{Effect, Input, LogEnd, QuorumState, Raft, RaftConfig, ReplicaKey, Role};

fn key(id: i32) -> ReplicaKey {
    ReplicaKey { id: NodeId(id), directory_id: Uuid([u8::try_from(id).unwrap(); 16]) }
}

fn raft(me: i32, voters: &[i32], saved: QuorumState, end: LogEnd, seed: u64) -> Raft {
    let config = RaftConfig {
        me: key(me),
        voters: voters.iter().map(|id| key(*id)).collect(),
        election_timeout: Millis(1000),
        fetch_timeout: Millis(2000),
        seed,
    };
    Raft::new(config, saved, end, Millis(0))
}

fn end(epoch: i32, offset: i64) -> LogEnd {
    LogEnd { epoch: LeaderEpoch(epoch), offset: Offset(offset) }
}

fn step(raft: &mut Raft, input: Input) -> Vec<Effect> {
    let mut effects = Vec::new();
    raft.step(Millis(0), input, &mut effects);
    effects
}

#[test]
fn a_sole_voter_leads_after_two_saves() {
    let mut raft = raft(1, &[1], QuorumState::default(), end(0, 0), 7);
    let voted = QuorumState { epoch: LeaderEpoch(1), leader: None, voted: Some(key(1)) };
    let leads = QuorumState { epoch: LeaderEpoch(1), leader: Some(NodeId(1)), voted: None };
    assert_eq!(raft.next_deadline(), Some(Millis(0)));
    assert_eq!(
        step(&mut raft, Input::Tick),
        [Effect::Became(Role::Candidate), Effect::SaveQuorumState(voted)]
    );
    assert_eq!(
        step(&mut raft, Input::Saved),
        [Effect::Became(Role::Leader), Effect::SaveQuorumState(leads)]
    );
    let begin = Effect::BeginEpoch { epoch: LeaderEpoch(1), granting: vec![key(1)] };
    assert_eq!(step(&mut raft, Input::Saved), [begin]);
    assert_eq!(step(&mut raft, Input::Appended(end(1, 3))), []);
    assert_eq!(raft.high_watermark(), None, "nothing is committed before it is durable");
    assert_eq!(step(&mut raft, Input::Durable(Offset(3))), [Effect::HighWatermark(Offset(3))]);
    assert_eq!(step(&mut raft, Input::Durable(Offset(3))), []);
    assert_eq!(raft.next_deadline(), None);
}

#[test]
fn what_an_earlier_epoch_left_is_committed_with_the_first_record_of_this_one() {
    let saved = QuorumState { epoch: LeaderEpoch(4), leader: Some(NodeId(1)), voted: None };
    let mut raft = raft(1, &[1], saved, end(4, 100), 7);
    assert_eq!(raft.role(), Role::Unattached, "a leader of an earlier life does not lead again");
    for input in [Input::Tick, Input::Saved, Input::Saved] {
        step(&mut raft, input);
    }
    assert_eq!((raft.role(), raft.epoch()), (Role::Leader, LeaderEpoch(5)));
    assert_eq!(step(&mut raft, Input::Durable(Offset(100))), []);
    step(&mut raft, Input::Appended(end(5, 101)));
    assert_eq!(step(&mut raft, Input::Durable(Offset(101))), [Effect::HighWatermark(Offset(101))]);
}

#[test]
fn a_later_epoch_in_the_log_wins_over_the_saved_one() {
    let saved = QuorumState { epoch: LeaderEpoch(2), leader: Some(NodeId(1)), voted: None };
    assert_eq!(raft(1, &[1], saved, end(6, 9), 7).epoch(), LeaderEpoch(6));
}

#[test]
fn a_vote_is_given_once_an_epoch_and_to_no_shorter_log() {
    let mut raft = raft(1, &[1, 2, 3], QuorumState::default(), end(2, 10), 7);
    let ask = |candidate, epoch, log_end| Input::VoteRequest {
        candidate: key(candidate),
        epoch: LeaderEpoch(epoch),
        log_end,
    };
    let answered = |effects: &[Effect]| {
        effects.iter().find_map(|effect| {
            if let Effect::AnswerVote { granted, .. } = effect { Some(*granted) } else { None }
        })
    };
    assert_eq!(answered(&step(&mut raft, ask(2, 3, end(2, 9)))), Some(false), "a shorter log");
    step(&mut raft, Input::Saved);
    let held = step(&mut raft, ask(2, 3, end(2, 10)));
    assert_eq!(answered(&held), None, "no vote is told before it is on disk");
    assert_eq!(answered(&step(&mut raft, Input::Saved)), Some(true));
    assert_eq!(answered(&step(&mut raft, ask(3, 3, end(9, 99)))), Some(false), "one vote an epoch");
    assert_eq!(answered(&step(&mut raft, ask(2, 2, end(2, 10)))), Some(false), "an old epoch");
}

#[test]
fn the_high_watermark_is_what_a_majority_has() {
    let mut raft = raft(1, &[1, 2, 3], QuorumState::default(), end(0, 0), 7);
    let now = raft.next_deadline().unwrap();
    raft.step(now, Input::Tick, &mut Vec::new());
    step(&mut raft, Input::Saved);
    step(&mut raft, Input::VoteResponse { voter: key(3), epoch: LeaderEpoch(1), granted: true });
    step(&mut raft, Input::Saved);
    assert_eq!(raft.role(), Role::Leader);
    step(&mut raft, Input::Appended(end(1, 5)));
    assert_eq!(step(&mut raft, Input::Durable(Offset(5))), []);
    let fetched = |id, offset| Input::Fetched { replica: key(id), offset: Offset(offset) };
    assert_eq!(step(&mut raft, fetched(2, 3)), [Effect::HighWatermark(Offset(3))]);
    assert_eq!(step(&mut raft, fetched(9, 5)), [], "an observer does not count");
    assert_eq!(step(&mut raft, fetched(3, 5)), [Effect::HighWatermark(Offset(5))]);
}

/// Three replicas that exchange votes and announcements over a network that drops some.
struct Cluster {
    replicas: BTreeMap<i32, Raft>,
    mail: VecDeque<(i32, Input)>,
    leaders: BTreeMap<i32, i32>,
    random: u64,
}

impl Cluster {
    fn draw(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn step(&mut self, id: i32, now: i64, input: Input) {
        let mut effects = Vec::new();
        let raft = self.replicas.get_mut(&id).unwrap();
        raft.step(Millis(now), input, &mut effects);
        let (epoch, me) = (raft.epoch(), raft.me());
        if raft.role() == Role::Leader {
            let before = self.leaders.insert(epoch.get(), id);
            assert!(before.is_none_or(|before| before == id), "two leaders in epoch {epoch}");
        }
        for effect in effects {
            match effect {
                Effect::SaveQuorumState(_) => self.step(id, now, Input::Saved),
                Effect::RequestVote { voter, epoch, log_end } => {
                    self.send(voter, Input::VoteRequest { candidate: me, epoch, log_end });
                }
                Effect::AnswerVote { candidate, epoch, granted, .. } => {
                    self.send(candidate, Input::VoteResponse { voter: me, epoch, granted });
                }
                Effect::AnnounceEpoch { voter, epoch } => {
                    self.send(voter, Input::BeginQuorumEpoch { leader: me.id, epoch });
                }
                Effect::BeginEpoch { .. } | Effect::HighWatermark(_) | Effect::Became(_) => {}
            }
        }
    }

    fn send(&mut self, to: ReplicaKey, input: Input) {
        if self.draw(10) < 7 {
            self.mail.push_back((to.id.get(), input));
        }
    }
}

#[test]
fn no_epoch_has_two_leaders_and_one_is_found() {
    for seed in 1..200 {
        let ids = [1, 2, 3];
        let replicas = ids.map(|id| {
            let seed = seed * 31 + u64::try_from(id).unwrap();
            (id, raft(id, &ids, QuorumState::default(), end(0, 0), seed))
        });
        let mut cluster = Cluster {
            replicas: replicas.into(),
            mail: VecDeque::new(),
            leaders: BTreeMap::new(),
            random: seed,
        };
        for now in (0..60_000).step_by(50) {
            for id in ids {
                cluster.step(id, now, Input::Tick);
            }
            for _ in 0..cluster.draw(6) {
                let Some((to, input)) = cluster.mail.pop_front() else { break };
                if cluster.draw(8) == 0 {
                    cluster.mail.push_back((to, input));
                } else {
                    cluster.step(to, now, input);
                }
            }
        }
        assert!(!cluster.leaders.is_empty(), "seed {seed}: nobody leads after a minute");
    }
}
