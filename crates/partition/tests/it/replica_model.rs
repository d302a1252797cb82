//! The replica machine in random runs: what must hold whatever happens.

use std::collections::BTreeMap;

use ottla_partition::{
    Acks, Leadership, Replica, ReplicaConfig, ReplicaEffect, ReplicaError, Role,
};
use ottla_protocol::{LeaderEpoch, Millis, NodeId, Offset};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Event {
    /// Appends records and waits for them, with a time-out that many ticks away.
    Produce {
        records: i64,
        all: bool,
        patience: i64,
    },
    /// A batch from before is sent again.
    Repeat {
        share: i64,
        all: bool,
    },
    Written {
        share: i64,
    },
    Durable {
        share: i64,
    },
    Fetch {
        node: i32,
        share: i64,
    },
    Isr {
        second: bool,
        third: bool,
        new_epoch: bool,
    },
    Tick,
    Follow,
    Fail,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (1_i64..4, any::<bool>(), 1_i64..30)
            .prop_map(|(records, all, patience)| Event::Produce { records, all, patience }),
        2 => (0_i64..=100, any::<bool>()).prop_map(|(share, all)| Event::Repeat { share, all }),
        6 => (0_i64..=100).prop_map(|share| Event::Written { share }),
        6 => (0_i64..=100).prop_map(|share| Event::Durable { share }),
        6 => (2..4, 0_i64..=100).prop_map(|(node, share)| Event::Fetch { node, share }),
        3 => (any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(second, third, new_epoch)| Event::Isr { second, third, new_epoch }),
        4 => Just(Event::Tick),
        1 => Just(Event::Follow),
        1 => Just(Event::Fail),
    ]
}

struct Waiting {
    all: bool,
    end: i64,
    deadline: i64,
}

/// What is known from outside: who waits, and how far everyone is.
struct Model {
    durable_mode: bool,
    min_isr: usize,
    waiting: BTreeMap<usize, Waiting>,
    log_end: i64,
    written: i64,
    durable: i64,
    high_watermark: i64,
    follower_ends: BTreeMap<i32, i64>,
    isr: Vec<i32>,
    leader: bool,
    now: i64,
}

impl Model {
    fn committed(&self) -> i64 {
        let own = if self.durable_mode { self.durable } else { self.written };
        let others = self.isr.iter().filter_map(|id| self.follower_ends.get(id));
        others.fold(own, |end, other| end.min(*other))
    }

    fn check(&mut self, effect: ReplicaEffect<usize>) -> Result<(), TestCaseError> {
        match effect {
            ReplicaEffect::HighWatermark(Offset(offset)) => {
                prop_assert!(offset > self.high_watermark, "the high watermark only grows");
                prop_assert!(offset <= self.committed(), "visible is only what is committed");
                prop_assert!(self.isr.len() >= self.min_isr);
                self.high_watermark = offset;
            }
            ReplicaEffect::Answer(token, answer) => {
                let waited = self.waiting.remove(&token);
                prop_assert!(waited.is_some(), "{token} is answered once");
                let Waiting { all, end, deadline } = waited.unwrap();
                let reached = if all { self.high_watermark >= end } else { self.written >= end };
                match answer {
                    Ok(()) => {
                        prop_assert!(reached && self.leader);
                        prop_assert!(!all || self.isr.len() >= self.min_isr);
                    }
                    Err(ReplicaError::RequestTimedOut) => prop_assert!(deadline <= self.now),
                    Err(ReplicaError::NotEnoughReplicasAfterAppend { .. }) => {
                        prop_assert!(reached && all && self.isr.len() < self.min_isr);
                    }
                    Err(_) => prop_assert!(!self.leader),
                }
            }
        }
        Ok(())
    }
}

/// A point `share` per cent of the way.
fn between(from: i64, to: i64, share: i64) -> i64 {
    from + (to - from) * share / 100
}

struct Run {
    replica: Replica<usize>,
    model: Model,
    leadership: Leadership,
}

fn nodes(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

const fn acks(all: bool) -> Acks {
    if all { Acks::All } else { Acks::Leader }
}

type Effects = Vec<ReplicaEffect<usize>>;

impl Run {
    fn new(durable_mode: bool, min_isr: usize) -> Self {
        let config = ReplicaConfig { durable: durable_mode, min_insync_replicas: min_isr };
        let model = Model {
            durable_mode,
            min_isr,
            waiting: BTreeMap::new(),
            log_end: 0,
            written: 0,
            durable: 0,
            high_watermark: 0,
            follower_ends: BTreeMap::from([(2, -1), (3, -1)]),
            isr: vec![1, 2, 3],
            leader: true,
            now: 0,
        };
        let leadership = Leadership {
            leader_epoch: LeaderEpoch(0),
            partition_epoch: 0,
            replicas: nodes(&[1, 2, 3]),
            isr: nodes(&model.isr),
        };
        let mut replica = Replica::new(NodeId(1), config, Offset(0), Offset(0), None);
        assert!(replica.on_leader(&leadership, &mut Vec::new()));
        Self { replica, model, leadership }
    }

    fn wait(&mut self, token: usize, all: bool, end: i64, patience: i64, effects: &mut Effects) {
        let deadline = self.model.now + patience;
        self.model.waiting.insert(token, Waiting { all, end, deadline });
        self.replica.wait(acks(all), Offset(end), Millis(deadline), token, effects);
    }

    fn step(
        &mut self,
        token: usize,
        event: &Event,
        effects: &mut Effects,
    ) -> Result<(), TestCaseError> {
        let (replica, model) = (&mut self.replica, &mut self.model);
        match *event {
            Event::Produce { records, all, patience } => {
                if replica.check_append(Some(acks(all))).is_err() {
                    prop_assert!(!model.leader || (all && model.isr.len() < model.min_isr));
                    return Ok(());
                }
                model.log_end += records;
                replica.on_append(Offset(model.log_end));
                let end = model.log_end;
                self.wait(token, all, end, patience, effects);
            }
            Event::Repeat { share, all } => {
                let end = between(0, model.log_end, share);
                self.wait(token, all, end, 10, effects);
            }
            Event::Written { share } => {
                model.written = between(model.written, model.log_end, share);
                replica.on_written(Offset(model.written), effects);
            }
            Event::Durable { share } => {
                model.durable = between(model.durable, model.written, share);
                replica.on_durable(Offset(model.durable), effects);
            }
            Event::Fetch { node, share } => {
                let end = between(0, model.log_end, share);
                if model.leader {
                    model.follower_ends.insert(node, end);
                }
                let told = replica.on_follower_fetch(NodeId(node), Offset(end), effects);
                prop_assert_eq!(told.is_ok(), model.leader);
            }
            Event::Tick => {
                model.now += 5;
                replica.on_tick(Millis(model.now), effects);
                let left = model.waiting.len() - effects.len();
                prop_assert!(left == 0 || replica.next_deadline() > Some(Millis(model.now)));
            }
            Event::Isr { second, third, new_epoch } => {
                self.on_isr(&[(1, true), (2, second), (3, third)], new_epoch, effects);
            }
            Event::Follow => {
                model.leader = false;
                self.leadership.leader_epoch.0 += 1;
                self.leadership.partition_epoch += 1;
                let (leader, epoch) =
                    (self.leadership.leader_epoch, self.leadership.partition_epoch);
                replica.on_follower(leader, epoch, Some(NodeId(2)), effects);
            }
            Event::Fail => {
                model.leader = false;
                replica.on_failure(effects);
            }
        }
        Ok(())
    }

    fn on_isr(&mut self, in_sync: &[(i32, bool)], new_epoch: bool, effects: &mut Effects) {
        let model = &mut self.model;
        if self.replica.role() == Role::Failed {
            return;
        }
        model.isr = in_sync.iter().filter(|(_, is)| *is).map(|(id, _)| *id).collect();
        if new_epoch || !model.leader {
            model.follower_ends = BTreeMap::from([(2, -1), (3, -1)]);
            self.leadership.leader_epoch.0 += 1;
        }
        model.leader = true;
        self.leadership.partition_epoch += 1;
        self.leadership.isr = nodes(&model.isr);
        self.replica.on_leader(&self.leadership, effects);
        assert_eq!(self.replica.isr(), nodes(&model.isr));
    }

    /// What must hold between any two events.
    fn check(&self) -> Result<(), TestCaseError> {
        let model = &self.model;
        prop_assert_eq!(self.replica.waiting(), model.waiting.len());
        prop_assert_eq!(self.replica.high_watermark(), Offset(model.high_watermark));
        if model.leader && model.isr.len() >= model.min_isr {
            prop_assert!(model.high_watermark >= model.committed(), "nothing waits for nothing");
        }
        for waiting in model.waiting.values() {
            prop_assert!(model.leader);
            let position = if waiting.all { model.high_watermark } else { model.written };
            prop_assert!(waiting.end > position, "what is reached is answered");
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn what_is_told_is_true_and_told_once(
        events in prop::collection::vec(event(), 0..80),
        durable_mode in any::<bool>(),
        min_isr in 1_usize..=3,
    ) {
        let mut run = Run::new(durable_mode, min_isr);
        for (token, event) in events.iter().enumerate() {
            let mut effects = Vec::new();
            run.step(token, event, &mut effects)?;
            for effect in effects {
                run.model.check(effect)?;
            }
            run.check()?;
        }
    }
}
