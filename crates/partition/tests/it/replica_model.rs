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

fn run(events: Vec<Event>, durable_mode: bool, min_isr: usize) -> Result<(), TestCaseError> {
    let config = ReplicaConfig { durable: durable_mode, min_insync_replicas: min_isr };
    let mut replica: Replica<usize> = Replica::new(NodeId(1), config, Offset(0), Offset(0), None);
    let mut model = Model {
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
    let nodes = |ids: &[i32]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
    let mut leadership = Leadership {
        leader_epoch: LeaderEpoch(0),
        partition_epoch: 0,
        replicas: nodes(&[1, 2, 3]),
        isr: nodes(&model.isr),
    };
    prop_assert!(replica.on_leader(&leadership, &mut Vec::new()));
    for (token, event) in events.into_iter().enumerate() {
        let mut effects = Vec::new();
        let acks = |all| if all { Acks::All } else { Acks::Leader };
        match event {
            Event::Produce { records, all, patience } => {
                if replica.check_append(Some(acks(all))).is_err() {
                    prop_assert!(!model.leader || (all && model.isr.len() < min_isr));
                    continue;
                }
                model.log_end += records;
                replica.on_append(Offset(model.log_end));
                let (end, deadline) = (model.log_end, model.now + patience);
                model.waiting.insert(token, Waiting { all, end, deadline });
                replica.wait(acks(all), Offset(end), Millis(deadline), token, &mut effects);
            }
            Event::Repeat { share, all } => {
                let (end, deadline) = (between(0, model.log_end, share), model.now + 10);
                model.waiting.insert(token, Waiting { all, end, deadline });
                replica.wait(acks(all), Offset(end), Millis(deadline), token, &mut effects);
            }
            Event::Written { share } => {
                model.written = between(model.written, model.log_end, share);
                replica.on_written(Offset(model.written), &mut effects);
            }
            Event::Durable { share } => {
                model.durable = between(model.durable, model.written, share);
                replica.on_durable(Offset(model.durable), &mut effects);
            }
            Event::Fetch { node, share } => {
                let end = between(0, model.log_end, share);
                if model.leader {
                    model.follower_ends.insert(node, end);
                }
                let told = replica.on_follower_fetch(NodeId(node), Offset(end), &mut effects);
                prop_assert_eq!(told.is_ok(), model.leader);
            }
            Event::Isr { second, third, new_epoch } => {
                if replica.role() == Role::Failed {
                    continue;
                }
                model.isr = [(1, true), (2, second), (3, third)]
                    .into_iter()
                    .filter_map(|(id, in_sync)| in_sync.then_some(id))
                    .collect();
                if new_epoch || !model.leader {
                    model.follower_ends = BTreeMap::from([(2, -1), (3, -1)]);
                    leadership.leader_epoch.0 += 1;
                }
                model.leader = true;
                leadership.partition_epoch += 1;
                leadership.isr = nodes(&model.isr);
                replica.on_leader(&leadership, &mut effects);
                prop_assert_eq!(replica.isr(), nodes(&model.isr));
            }
            Event::Tick => {
                model.now += 5;
                replica.on_tick(Millis(model.now), &mut effects);
                let next = model.waiting.len() - effects.len();
                prop_assert!(next == 0 || replica.next_deadline() > Some(Millis(model.now)));
            }
            Event::Follow => {
                model.leader = false;
                leadership.leader_epoch.0 += 1;
                leadership.partition_epoch += 1;
                let (leader, epoch) = (leadership.leader_epoch, leadership.partition_epoch);
                replica.on_follower(leader, epoch, Some(NodeId(2)), &mut effects);
            }
            Event::Fail => {
                model.leader = false;
                replica.on_failure(&mut effects);
            }
        }
        for effect in effects {
            model.check(effect)?;
        }
        prop_assert_eq!(replica.waiting(), model.waiting.len());
        prop_assert_eq!(replica.high_watermark(), Offset(model.high_watermark));
        if model.leader && model.isr.len() >= min_isr {
            prop_assert!(model.high_watermark >= model.committed(), "nothing waits for nothing");
        }
        for waiting in model.waiting.values() {
            prop_assert!(model.leader);
            let position = if waiting.all { model.high_watermark } else { model.written };
            prop_assert!(waiting.end > position, "what is reached is answered");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn what_is_told_is_true_and_told_once(
        events in prop::collection::vec(event(), 0..80),
        durable_mode in any::<bool>(),
        min_isr in 1_usize..=3,
    ) {
        run(events, durable_mode, min_isr)?;
    }
}
