//! The coordinator of one partition of `__consumer_offsets`: loads, applies, and hands each
//! command to the group it is for. Must not know the log, nor when its replies are given out.

mod apply;
mod members;
mod offsets;
mod wake_ups;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ottla_protocol::{ErrorCode, Millis, Offset, ProducerId, StrBytes, TopicId};

use crate::admin;
use crate::classic::{ClassicGroup, Joining, Step, Waiter};
use crate::group::Group;
use crate::offsets::Offsets;
use crate::reply::heartbeat_error;
use crate::{Command, Config, LoadError, Now, Outcome, Reply, Token};

use wake_ups::WakeUps;

/// The coordinator of one partition of `__consumer_offsets`; see the crate's documentation for
/// what its host has to do.
#[derive(Clone, Debug)]
pub struct Shard {
    config: Config,
    groups: BTreeMap<StrBytes, Group>,
    offsets: Offsets,
    /// Set once the log has been replayed.
    serving: bool,
    /// Records of the last outcome that have not been applied.
    unapplied: usize,
    wake_ups: WakeUps,
    /// When expired offsets are looked for next.
    expiry_at: Option<Millis>,
}

impl Shard {
    /// A shard of an empty log, about to be loaded.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            groups: BTreeMap::new(),
            offsets: Offsets::default(),
            serving: false,
            unapplied: 0,
            wake_ups: WakeUps::default(),
            expiry_at: None,
        }
    }

    /// From now on other settings hold; what is running keeps its time-outs.
    pub fn set_config(&mut self, config: Config) {
        self.config = config;
    }

    /// Takes in a record of the log: while loading each, in order; later those of each outcome.
    ///
    /// # Errors
    /// A record that cannot be read: the shard cannot be loaded.
    pub fn apply(
        &mut self,
        offset: Offset,
        key: &Bytes,
        value: Option<&Bytes>,
    ) -> Result<(), LoadError> {
        self.apply_record(offset, None, key, value)
    }

    /// Takes in a record of a transactional batch. It counts when its transaction is committed,
    /// see [`Shard::end_transaction`].
    ///
    /// # Errors
    /// As [`Shard::apply`].
    pub fn apply_transactional(
        &mut self,
        offset: Offset,
        producer: ProducerId,
        key: &Bytes,
        value: Option<&Bytes>,
    ) -> Result<(), LoadError> {
        self.apply_record(offset, Some(producer), key, value)
    }

    /// Takes in the control record that ends a producer's transaction.
    pub fn end_transaction(&mut self, producer: ProducerId, committed: bool) {
        self.offsets.end_transaction(producer, committed);
    }

    /// The log has been replayed: sessions start, commands may come.
    ///
    /// # Panics
    /// When it was called before.
    pub fn loaded(&mut self, now: Now) -> Outcome {
        assert!(!self.serving, "a shard is loaded once");
        self.serving = true;
        self.expiry_at = Some(now.after(self.config.offsets_retention_check_interval.0));
        let mut out = Outcome::default();
        let ids: Vec<StrBytes> = self.groups.keys().cloned().collect();
        for id in ids {
            self.with_classic(&id, now, &mut out, |group, step| group.on_loaded(step));
        }
        self.planned(out)
    }

    /// Does what a command asks. Replies may be to this command, to earlier ones, or to none yet.
    ///
    /// # Panics
    /// When the shard is not loaded, or records of the last outcome were not applied.
    pub fn handle(&mut self, now: Now, token: Token, command: Command) -> Outcome {
        self.expect_settled();
        let mut out = Outcome::default();
        let reply = match command {
            Command::JoinGroup { request, version, client_id, client_host, random } => {
                let waiter = Waiter { token, version };
                let joining = Joining { request, waiter, client_id, client_host, random };
                self.join(joining, now, &mut out);
                None
            }
            Command::SyncGroup { request, version } => {
                self.sync(&request, Waiter { token, version }, now, &mut out);
                None
            }
            Command::Heartbeat { request } => {
                let result = self.heartbeat(&request, now);
                let error = result.err().unwrap_or(ErrorCode::None);
                Some(Reply::Heartbeat(heartbeat_error(error)))
            }
            Command::LeaveGroup { request, version } => {
                Some(Reply::LeaveGroup(self.leave(request, version, now, &mut out)))
            }
            Command::OffsetCommit { request, version } => {
                Some(self.commit(&request, version, now, &mut out))
            }
            Command::OffsetFetch { group, require_stable } => {
                Some(self.fetch(&group, require_stable))
            }
            Command::OffsetDelete { request } => Some(self.delete_offsets(&request, &mut out)),
            Command::DescribeGroups { group_ids, version } => {
                let described = group_ids
                    .iter()
                    .map(|id| admin::describe::describe(id, self.groups.get(id), version));
                Some(Reply::DescribeGroups(described.collect()))
            }
            Command::ListGroups { states, types } => {
                Some(Reply::ListGroups(admin::list::list(&self.groups, &states, &types)))
            }
            Command::DeleteGroups { group_ids } => {
                let distinct: BTreeSet<StrBytes> = group_ids.into_iter().collect();
                let results = distinct.iter().map(|id| {
                    let group = self.groups.get(id);
                    admin::delete::plan(id, group, &self.offsets, &mut out.records)
                });
                Some(Reply::DeleteGroups(results.collect()))
            }
        };
        if let Some(reply) = reply {
            out.reply(token, reply);
        }
        self.planned(out)
    }

    /// Does what is due.
    ///
    /// # Panics
    /// As [`Shard::handle`].
    pub fn tick(&mut self, now: Now) -> Outcome {
        self.expect_settled();
        let mut out = Outcome::default();
        while let Some(id) = self.wake_ups.take_due(now.mono) {
            self.with_classic(&id, now, &mut out, |group, step| group.on_time(step));
        }
        if self.expiry_at.is_some_and(|at| at <= now.mono) {
            self.expiry_at = Some(now.after(self.config.offsets_retention_check_interval.0.max(1)));
            self.expire(now, &mut out);
        }
        self.planned(out)
    }

    /// When [`Shard::tick`] is wanted next, on the monotonic clock of [`Now`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        self.wake_ups.next().into_iter().chain(self.expiry_at).min()
    }

    /// Topics have been deleted: their offsets go.
    ///
    /// # Panics
    /// As [`Shard::handle`].
    pub fn topics_deleted(&mut self, deleted: &[(StrBytes, TopicId)]) -> Outcome {
        self.expect_settled();
        let mut out = Outcome::default();
        self.offsets.delete_topics(deleted, &mut out.records);
        self.planned(out)
    }

    /// The shard ends: everyone who waits is told to look for the coordinator elsewhere. Nothing
    /// may be asked of it afterwards.
    pub fn unload(&mut self) -> Vec<(Token, Reply)> {
        let mut out = Outcome::default();
        let now = Now { wall: Millis(0), mono: Millis(0) };
        let mut step = Step { now, config: &self.config, out: &mut out };
        for group in self.groups.values_mut() {
            match group {
                Group::Classic(group) => group.unload(&mut step),
                Group::Foreign(_) => {}
            }
        }
        self.serving = false;
        self.wake_ups = WakeUps::default();
        self.expiry_at = None;
        out.replies
    }

    fn expect_settled(&self) {
        assert!(self.serving, "a shard serves between loaded and unload");
        assert!(self.unapplied == 0, "the records of an outcome are applied before the next call");
    }

    fn planned(&mut self, out: Outcome) -> Outcome {
        self.unapplied = out.records.len();
        out
    }

    /// Lets an event happen to a classic group, and sees to it that it is woken in time.
    fn with_classic<R>(
        &mut self,
        id: &StrBytes,
        now: Now,
        out: &mut Outcome,
        event: impl FnOnce(&mut ClassicGroup, &mut Step<'_>) -> R,
    ) -> Option<R> {
        let Some(Group::Classic(group)) = self.groups.get_mut(id) else { return None };
        let result = event(group, &mut Step { now, config: &self.config, out });
        if let Some(at) = group.next_deadline() {
            self.wake_ups.arm(&group.id, at);
        }
        Some(result)
    }
}
