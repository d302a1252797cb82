//! The classic group: its members, its state and who may do what in it. Split by event:
//! [`join`], [`static_member`], [`rebalance`], [`sync`], [`heartbeat`], [`leave`]. It is soft
//! state: what of it the log holds is in [`stored`]. Must not know offsets nor other groups.

mod heartbeat;
mod join;
mod leave;
mod member;
mod protocols;
mod rebalance;
mod static_member;
mod stored;
mod sync;
mod timers;

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::{ErrorCode, Millis, StrBytes};

pub(crate) use join::Joining;
pub(crate) use member::{Member, Waiter};

use crate::group::Retention;
use crate::{Config, Now, Outcome, Record, Reply};

/// The protocol type of consumers.
const CONSUMERS: &str = "consumer";

/// The state of a classic group. Kafka's fifth, Dead, is a group that is not in the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No members: it lives as long as its offsets.
    Empty,
    /// Joins are gathered.
    PreparingRebalance,
    /// The generation is made; the leader's assignment is awaited.
    CompletingRebalance,
    /// Everyone has, or may fetch, an assignment.
    Stable,
}

impl State {
    /// Kafka's name for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// What an event may look at and where it puts what it wants done.
pub(crate) struct Step<'a> {
    pub(crate) now: Now,
    pub(crate) config: &'a Config,
    pub(crate) out: &'a mut Outcome,
}

impl Step<'_> {
    pub(crate) fn reply(&mut self, waiter: Waiter, reply: Reply) {
        self.out.reply(waiter.token, reply);
    }

    fn record(&mut self, record: Record) {
        self.out.records.push(record);
    }
}

/// A classic group.
#[derive(Clone, Debug)]
pub(crate) struct ClassicGroup {
    pub(crate) id: StrBytes,
    pub(crate) state: State,
    /// The state before this one: an initial rebalance comes from Empty.
    previous: State,
    /// Wall clock of the last change of state; none in groups from very old records.
    state_since: Option<Millis>,
    pub(crate) protocol_type: Option<StrBytes>,
    pub(crate) protocol: Option<StrBytes>,
    pub(crate) generation: i32,
    leader: Option<StrBytes>,
    pub(crate) members: BTreeMap<StrBytes, Member>,
    /// Group instance id to member id.
    static_members: BTreeMap<StrBytes, StrBytes>,
    /// Members that were given an id and have not come back with it, and until when they may.
    pending_join: BTreeMap<StrBytes, Millis>,
    /// Members that have not synced in this generation.
    pending_sync: BTreeSet<StrBytes>,
    /// How many members wait for their JoinGroup's answer.
    awaiting_join: usize,
    /// How many members support each protocol.
    supported: BTreeMap<StrBytes, usize>,
    /// The topics the members consume; none when that cannot be known.
    subscribed: Option<BTreeSet<StrBytes>>,
    /// Whether a member came while an initial rebalance was being delayed.
    new_member_added: bool,
    join_timer: Option<rebalance::JoinTimer>,
    sync_timer: Option<Millis>,
}

impl ClassicGroup {
    /// A group without members, as the first join or the first bare commit makes it.
    pub(crate) fn new(id: StrBytes, since: Option<Millis>) -> Self {
        Self {
            id,
            state: State::Empty,
            previous: State::Empty,
            state_since: since,
            protocol_type: None,
            protocol: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_join: BTreeMap::new(),
            pending_sync: BTreeSet::new(),
            awaiting_join: 0,
            supported: BTreeMap::new(),
            subscribed: None,
            new_member_added: false,
            join_timer: None,
            sync_timer: None,
        }
    }

    /// Whether its members are consumers.
    pub(crate) fn is_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMERS)
    }

    fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    fn enter(&mut self, state: State, now: Now) {
        self.previous = self.state;
        self.state = state;
        self.state_since = Some(now.wall);
    }

    /// Whether this member, by this instance id when it has one, is in the group.
    fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(current) if current.as_ref() as &str != member_id => {
                    return Err(ErrorCode::FencedInstanceId);
                }
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// See [`crate::group::Group::check_commit`].
    pub(crate) fn check_commit(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        if generation < 0 && self.state == State::Empty {
            // An admin client, or a consumer that does not use the group for membership.
            return Ok(());
        }
        if generation < 0 && member_id.is_empty() && instance_id.is_none() {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.check_member(member_id, instance_id)?;
        if generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if self.state == State::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// See [`crate::group::Group::is_subscribed`].
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.is_consumers(),
        }
    }

    /// See [`crate::group::Group::retention`] (KIP-211).
    pub(crate) fn retention(&self) -> Option<Retention> {
        if self.protocol_type.is_none() {
            // Bare offsets.
            return Some(Retention::SinceCommit);
        }
        match self.state {
            State::Empty => Some(self.state_since.map_or(Retention::SinceCommit, Retention::Since)),
            State::Stable if self.is_consumers() && self.subscribed.is_some() => {
                Some(Retention::SinceCommit)
            }
            State::PreparingRebalance | State::CompletingRebalance | State::Stable => None,
        }
    }

    /// Puts a member in. Its protocols have been checked against the group's.
    fn add(&mut self, member_id: StrBytes, member: Member, protocol_type: StrBytes) {
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), member_id.clone());
        }
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type);
        }
        if self.leader.is_none() {
            self.leader = Some(member_id.clone());
        }
        self.count_protocols(&member, true);
        self.awaiting_join += usize::from(member.join.is_some());
        self.pending_join.remove(&member_id);
        self.members.insert(member_id, member);
    }

    /// Takes a member, or one that was about to join, out. Whoever still waits on its behalf is
    /// told that the member is unknown.
    fn remove(&mut self, member_id: &str, step: &mut Step<'_>) {
        if let Some((id, mut member)) = self.members.remove_entry(member_id) {
            self.count_protocols(&member, false);
            self.awaiting_join -= usize::from(member.join.is_some());
            if let Some(instance_id) = &member.instance_id
                && self.static_members.get(instance_id) == Some(&id)
            {
                self.static_members.remove(instance_id);
            }
            member.answer_unknown(StrBytes::default(), ErrorCode::UnknownMemberId, step);
            if self.leader.as_ref() == Some(&id) {
                self.leader = self.members.keys().next().cloned();
            }
        }
        self.pending_join.remove(member_id);
        self.pending_sync.remove(member_id);
    }

    /// The longest rebalance time-out of the members, in milliseconds.
    fn rebalance_timeout(&self) -> i64 {
        self.members
            .values()
            .map(|member| i64::from(member.rebalance_timeout))
            .max()
            .unwrap_or(0)
            .max(0)
    }

    fn all_joined(&self) -> bool {
        self.members.len() == self.awaiting_join && self.pending_join.is_empty()
    }

    /// The shard goes away: everyone who waits is told to look for the coordinator again.
    pub(crate) fn unload(&mut self, step: &mut Step<'_>) {
        self.awaiting_join = 0;
        for (id, member) in &mut self.members {
            member.answer_unknown(id.clone(), ErrorCode::NotCoordinator, step);
        }
    }
}
