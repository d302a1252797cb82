//! A shard with a log of its own: every outcome is appended and applied, every reply kept. After
//! each step the log, replayed into a new shard, must say the same as the shard that lived it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ottla_groups::{Command, Config, Now, Outcome, Record, Reply, Shard, Token};
use ottla_protocol::k09_offset_fetch::{OffsetFetchRequestGroup, OffsetFetchResponseGroup};
use ottla_protocol::k15_describe_groups::DescribedGroup;
use ottla_protocol::{Millis, Offset, StrBytes, TopicId};

/// Where the wall clock is when the monotonic one is at 0.
pub(crate) const WALL: i64 = 1_000_000;

pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) shard: Shard,
    pub(crate) time: i64,
    pub(crate) log: Vec<Record>,
    next_token: u64,
    waiting: BTreeSet<Token>,
}

/// What a step did.
#[derive(Default)]
pub(crate) struct Did {
    pub(crate) records: Vec<Record>,
    pub(crate) replies: Vec<(Token, Reply)>,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        let mut world = Self {
            shard: Shard::new(config.clone()),
            config,
            time: 0,
            log: Vec::new(),
            next_token: 1,
            waiting: BTreeSet::new(),
        };
        assert!(world.shard.loaded(now(0)).is_empty(), "nothing to do for an empty log");
        world
    }

    pub(crate) fn next_token(&self) -> Token {
        Token(self.next_token)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn command(&mut self, command: Command) -> Did {
        let token = self.next_token();
        self.next_token += 1;
        self.waiting.insert(token);
        let outcome = self.shard.handle(now(self.time), token, command);
        self.settle(outcome)
    }

    pub(crate) fn topics_deleted(&mut self, topics: &[(StrBytes, TopicId)]) -> Did {
        let outcome = self.shard.topics_deleted(topics);
        self.settle(outcome)
    }

    /// Lets the time pass, and everything become due that does.
    pub(crate) fn pass(&mut self, until: i64, mut each: impl FnMut(i64, Did)) {
        let mut ticks = 0;
        while let Some(Millis(at)) = self.shard.next_deadline().filter(|at| at.0 <= until) {
            self.time = self.time.max(at);
            let outcome = self.shard.tick(now(self.time));
            let did = self.settle(outcome);
            let next = self.shard.next_deadline();
            assert!(next.is_none_or(|next| next.0 > self.time), "all that was due is done");
            each(self.time, did);
            ticks += 1;
            assert!(ticks < 100_000, "time does not pass");
        }
        self.time = until;
    }

    /// The shard is lost and loaded again from its log.
    pub(crate) fn reload(&mut self) -> Did {
        let replies = self.shard.unload();
        let mut did = Did { records: Vec::new(), replies };
        self.answered(&did.replies);
        assert!(self.waiting.is_empty(), "unloading leaves nobody without an answer");
        self.shard = self.replay();
        let outcome = self.shard.loaded(now(self.time));
        let loaded = self.settle(outcome);
        did.records.extend(loaded.records);
        did.replies.extend(loaded.replies);
        did
    }

    fn replay(&self) -> Shard {
        let mut shard = Shard::new(self.config.clone());
        for (at, record) in (0_i64..).zip(&self.log) {
            shard.apply(Offset(at), &record.key, record.value.as_ref()).expect("our own record");
        }
        shard
    }

    fn settle(&mut self, outcome: Outcome) -> Did {
        let Outcome { records, replies } = outcome;
        for record in &records {
            let at = i64::try_from(self.log.len()).unwrap();
            self.log.push(record.clone());
            self.shard.apply(Offset(at), &record.key, record.value.as_ref()).expect("own record");
        }
        self.answered(&replies);
        self.check_replay();
        Did { records, replies }
    }

    fn answered(&mut self, replies: &[(Token, Reply)]) {
        for (token, reply) in replies {
            assert!(self.waiting.remove(token), "{token:?} is answered once, not by {reply:?}");
        }
    }

    /// G1: live state is the replay of the log. Of a group that is being rebalanced the log holds
    /// the generation before; its existence and its offsets it holds always.
    fn check_replay(&self) {
        let mut replayed = self.replay();
        assert!(replayed.loaded(now(self.time)).records.is_empty() || self.is_over_size());
        let live = View::of(self.shard.clone(), self.time);
        let mut then = View::of(replayed, self.time);
        for (id, group) in &live.groups {
            if group.group_state == "PreparingRebalance"
                || group.group_state == "CompletingRebalance"
            {
                assert!(then.groups.contains_key(id), "{id} is in the log");
                then.groups.insert(id.clone(), group.clone());
            }
        }
        assert_eq!(live, then, "the log says what the shard is");
    }

    fn is_over_size(&self) -> bool {
        self.config.group_max_size < 100
    }
}

fn now(mono: i64) -> Now {
    Now { wall: Millis(WALL + mono), mono: Millis(mono) }
}

/// All that can be seen of a shard from outside.
#[derive(Debug, PartialEq)]
struct View {
    groups: BTreeMap<StrBytes, DescribedGroup>,
    offsets: Vec<OffsetFetchResponseGroup>,
}

impl View {
    fn of(mut shard: Shard, time: i64) -> Self {
        let mut ask =
            |command| shard.handle(now(time), Token(u64::MAX), command).replies.remove(0).1;
        let Reply::ListGroups(list) = ask(Command::ListGroups { states: vec![], types: vec![] })
        else {
            panic!("a list")
        };
        let ids: Vec<StrBytes> = list.groups.into_iter().map(|group| group.group_id).collect();
        let Reply::DescribeGroups(described) =
            ask(Command::DescribeGroups { group_ids: ids.clone(), version: 6 })
        else {
            panic!("descriptions")
        };
        let offsets = ids.iter().map(|id| {
            let group = OffsetFetchRequestGroup {
                group_id: id.clone(),
                topics: None,
                ..OffsetFetchRequestGroup::default()
            };
            let Reply::OffsetFetch(offsets) =
                ask(Command::OffsetFetch { group, require_stable: true })
            else {
                panic!("offsets")
            };
            offsets
        });
        Self { offsets: offsets.collect(), groups: ids.iter().cloned().zip(described).collect() }
    }
}

/// Reads what a record starts with.
pub(crate) fn number(bytes: &Bytes) -> i16 {
    i16::from_be_bytes([bytes[0], bytes[1]])
}
