//! The coordinator of one partition of `__consumer_offsets`: loads, applies, and hands each
//! command to the group it is for. Must not know the log, nor when its replies are given out.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ottla_protocol::k09_offset_fetch::OffsetFetchRequestGroup;
use ottla_protocol::k13_leave_group::{MemberIdentity, MemberResponse};
use ottla_protocol::{
    ErrorCode, GroupMetadataValue, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
    LeaveGroupResponse, Millis, Offset, OffsetCommitRequest, OffsetDeleteRequest, ProducerId,
    StrBytes, SyncGroupRequest, TopicId,
};

use crate::admin;
use crate::classic::{ClassicGroup, Joining, Step, Waiter};
use crate::foreign::{ForeignGroup, ForeignKind};
use crate::group::Group;
use crate::offsets::{Offsets, commit, delete, fetch};
use crate::records::{Key, decode_group, decode_offset};
use crate::reply::{
    heartbeat_error, join_error, leave_error, offset_commit_error, offset_delete_error,
    offset_fetch_error, sync_error,
};
use crate::{Command, Config, LoadError, Now, Outcome, Reply, Token};

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

/// When each group wants to be woken. A group may be woken too early, never too late: so a
/// heartbeat, which moves a deadline away, costs nothing here.
#[derive(Clone, Debug, Default)]
struct WakeUps {
    by_time: BTreeSet<(Millis, StrBytes)>,
    by_group: BTreeMap<StrBytes, Millis>,
}

impl WakeUps {
    fn next(&self) -> Option<Millis> {
        self.by_time.first().map(|(at, _)| *at)
    }

    fn arm(&mut self, group: &StrBytes, at: Millis) {
        match self.by_group.get(group).copied() {
            Some(armed) if armed <= at => return,
            Some(armed) => {
                self.by_time.remove(&(armed, group.clone()));
            }
            None => {}
        }
        self.by_group.insert(group.clone(), at);
        self.by_time.insert((at, group.clone()));
    }

    /// After a member was heard of. Its deadline moved away, mostly; then this does nothing.
    fn arm_member(&mut self, group: &ClassicGroup, member_id: &str) {
        if let Some(at) = group.members.get(member_id).and_then(|member| member.deadline) {
            self.arm(&group.id, at);
        }
    }

    fn take_due(&mut self, now: Millis) -> Option<StrBytes> {
        if self.next()? > now {
            return None;
        }
        let (_, group) = self.by_time.pop_first()?;
        self.by_group.remove(&group);
        Some(group)
    }
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

    fn apply_record(
        &mut self,
        offset: Offset,
        producer: Option<ProducerId>,
        key: &Bytes,
        value: Option<&Bytes>,
    ) -> Result<(), LoadError> {
        self.unapplied = self.unapplied.saturating_sub(1);
        let damaged = |error: &dyn std::fmt::Display| LoadError { offset, what: error.to_string() };
        match Key::decode(key).map_err(|error| damaged(&error))? {
            Key::Offset { group, topic, partition, legacy } => match value {
                Some(value) => {
                    let value = decode_offset(value, legacy).map_err(|error| damaged(&error))?;
                    self.ensure_group(&group);
                    self.offsets.put(offset, producer, (&group, &topic, partition), &value);
                }
                None => self.offsets.remove(&group, &topic, partition),
            },
            Key::Group { group } => match value {
                Some(value) => {
                    // What is kept of it must not keep a whole batch of the log alive.
                    let value = decode_group(&Bytes::copy_from_slice(value))
                        .map_err(|error| damaged(&error))?;
                    self.apply_group(&group, value);
                }
                None => {
                    self.groups.remove(&group);
                }
            },
            Key::Other { kind, group } => self.apply_foreign(kind, &group, key, value),
            Key::Unknown => {}
        }
        Ok(())
    }

    /// Offsets make a group: one without members or protocol type, unless there is one.
    fn ensure_group(&mut self, id: &StrBytes) {
        if !self.groups.contains_key(id) {
            let id = id.detached();
            let group = ClassicGroup::new(id.clone(), None);
            self.groups.insert(id, Group::Classic(group));
        }
    }

    /// Loading, the record makes the group. Serving, it tells what the group has come to be
    /// already: the plan that made the record has changed the soft state, which is ahead of it
    /// while joins are gathered.
    fn apply_group(&mut self, id: &StrBytes, value: GroupMetadataValue) {
        if self.serving && matches!(self.groups.get(id), Some(Group::Classic(_))) {
            return;
        }
        let id = id.detached();
        let group = ClassicGroup::from_value(id.clone(), value);
        self.groups.insert(id, Group::Classic(group));
    }

    fn apply_foreign(&mut self, kind: i16, id: &StrBytes, key: &Bytes, value: Option<&Bytes>) {
        let Some(foreign) = ForeignKind::of_key(kind) else { return };
        let key = Bytes::copy_from_slice(key);
        let value = value.map(|value| Bytes::copy_from_slice(value));
        if let Some(Group::Foreign(group)) = self.groups.get_mut(id)
            && group.kind == foreign
        {
            if !group.apply(kind, &key, value.as_ref()) {
                self.groups.remove(id);
            }
        } else if value.is_some() {
            let mut group = ForeignGroup::new(foreign);
            group.apply(kind, &key, value.as_ref());
            self.groups.insert(id.detached(), Group::Foreign(group));
        }
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

    fn join(&mut self, mut joining: Joining, now: Now, out: &mut Outcome) {
        let request = &mut joining.request;
        if joining.waiter.version == 0 {
            request.rebalance_timeout_ms = request.session_timeout_ms;
        }
        let id = request.group_id.clone();
        if let Err((member_id, error)) = self.check_join(request) {
            out.reply(joining.waiter.token, Reply::JoinGroup(join_error(member_id, error)));
            return;
        }
        let is_new = self.make_way(&id, now, out);
        let records = out.records.len();
        self.with_classic(&id, now, out, |group, step| group.on_join(joining, step));
        if is_new && out.records.len() == records {
            // So that a group is known from its first member on, though nothing is settled yet.
            if let Some(Group::Classic(group)) = self.groups.get(&id) {
                out.records.push(group.birth_record(now));
            }
        }
    }

    /// What no group would accept; and groups that are no classic ones.
    fn check_join(&self, request: &JoinGroupRequest) -> Result<(), (StrBytes, ErrorCode)> {
        let member_id = &request.member_id;
        let timeout = i64::from(request.session_timeout_ms);
        if request.group_id.is_empty() {
            return Err((member_id.clone(), ErrorCode::InvalidGroupId));
        }
        if timeout < self.config.group_min_session_timeout.0
            || timeout > self.config.group_max_session_timeout.0
        {
            return Err((member_id.clone(), ErrorCode::InvalidSessionTimeout));
        }
        match self.groups.get(&request.group_id) {
            Some(Group::Classic(_)) => Ok(()),
            Some(Group::Foreign(group)) if !group.gives_way() => {
                Err((StrBytes::default(), ErrorCode::InconsistentGroupProtocol))
            }
            Some(Group::Foreign(_)) | None if member_id.is_empty() => Ok(()),
            Some(Group::Foreign(_)) | None => Err((member_id.clone(), ErrorCode::UnknownMemberId)),
        }
    }

    /// Sees to it that there is a classic group; an empty one of another type gives way. Says
    /// whether it has just come to be.
    fn make_way(&mut self, id: &StrBytes, now: Now, out: &mut Outcome) -> bool {
        match self.groups.get(id) {
            Some(Group::Classic(_)) => return false,
            Some(Group::Foreign(group)) => group.tombstones(&mut out.records),
            None => {}
        }
        let id = id.detached();
        let group = ClassicGroup::new(id.clone(), Some(now.wall));
        self.groups.insert(id, Group::Classic(group));
        true
    }

    fn sync(&mut self, request: &SyncGroupRequest, waiter: Waiter, now: Now, out: &mut Outcome) {
        let refuse = |out: &mut Outcome, error| {
            out.reply(waiter.token, Reply::SyncGroup(sync_error(error)));
        };
        if request.group_id.is_empty() {
            refuse(out, ErrorCode::InvalidGroupId);
            return;
        }
        let id = &request.group_id;
        let done =
            self.with_classic(id, now, out, |group, step| group.on_sync(request, waiter, step));
        if done.is_none() {
            refuse(out, ErrorCode::UnknownMemberId);
        }
    }

    fn heartbeat(&mut self, request: &HeartbeatRequest, now: Now) -> Result<(), ErrorCode> {
        if request.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        match self.groups.get_mut(&request.group_id) {
            Some(Group::Classic(group)) => {
                let result = group.on_heartbeat(request, now);
                self.wake_ups.arm_member(group, &request.member_id);
                result
            }
            Some(Group::Foreign(_)) | None => Err(ErrorCode::UnknownMemberId),
        }
    }

    fn leave(
        &mut self,
        request: LeaveGroupRequest,
        version: i16,
        now: Now,
        out: &mut Outcome,
    ) -> LeaveGroupResponse {
        if request.group_id.is_empty() {
            return leave_error(ErrorCode::InvalidGroupId);
        }
        let members = if version < 3 {
            vec![MemberIdentity { member_id: request.member_id, ..MemberIdentity::default() }]
        } else {
            request.members
        };
        let answers = self
            .with_classic(&request.group_id, now, out, |group, step| group.on_leave(&members, step))
            .unwrap_or_else(|| unknown_members(&members));
        if version < 3 {
            // One member, whose error is that of the whole.
            let error_code = answers.first().map_or(0, |answer| answer.error_code);
            return LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() };
        }
        LeaveGroupResponse { members: answers, ..LeaveGroupResponse::default() }
    }

    fn commit(
        &mut self,
        request: &OffsetCommitRequest,
        version: i16,
        now: Now,
        out: &mut Outcome,
    ) -> Reply {
        if let Err(error) = self.check_commit(request, version) {
            return Reply::OffsetCommit(offset_commit_error(request, error));
        }
        if let Some(Group::Classic(group)) = self.groups.get_mut(&request.group_id) {
            group.on_commit(&request.member_id, now);
            self.wake_ups.arm_member(group, &request.member_id);
        }
        Reply::OffsetCommit(commit::plan(request, now, &self.config, &mut out.records))
    }

    fn check_commit(&self, request: &OffsetCommitRequest, version: i16) -> Result<(), ErrorCode> {
        let generation = request.generation_id_or_member_epoch;
        match self.groups.get(&request.group_id) {
            Some(group) => group.check_commit(
                &request.member_id,
                request.group_instance_id.as_deref(),
                generation,
            ),
            // Someone who needs no group: the record makes one.
            None if generation < 0 => Ok(()),
            None if version >= 9 => Err(ErrorCode::GroupIdNotFound),
            None => Err(ErrorCode::IllegalGeneration),
        }
    }

    fn fetch(&self, request: &OffsetFetchRequestGroup, require_stable: bool) -> Reply {
        let group = self.groups.get(&request.group_id);
        let checked = group
            .ok_or(ErrorCode::GroupIdNotFound)
            .and_then(|g| g.check_fetch(request.member_id.as_deref(), request.member_epoch));
        let exists = match checked {
            Ok(()) => true,
            Err(ErrorCode::GroupIdNotFound) => false,
            Err(error) => {
                return Reply::OffsetFetch(offset_fetch_error(request.group_id.clone(), error));
            }
        };
        Reply::OffsetFetch(fetch::answer(&self.offsets, request, exists, require_stable))
    }

    fn delete_offsets(&self, request: &OffsetDeleteRequest, out: &mut Outcome) -> Reply {
        let group = if request.group_id.is_empty() {
            Err(ErrorCode::InvalidGroupId)
        } else {
            self.groups.get(&request.group_id).ok_or(ErrorCode::GroupIdNotFound)
        };
        let group = group.and_then(|group| group.check_offset_delete().map(|()| group));
        Reply::OffsetDelete(match group {
            Ok(group) => delete::plan(&self.offsets, group, request, &mut out.records),
            Err(error) => offset_delete_error(error),
        })
    }

    /// Looks for offsets that have expired, and for groups that have nothing left.
    fn expire(&self, now: Now, out: &mut Outcome) {
        let retention = self.config.offsets_retention;
        for (id, group) in &self.groups {
            let bare = self.offsets.expire(id, group, now.wall, retention, &mut out.records);
            if bare && group.is_empty() && group.goes_when_empty() {
                admin::delete::tombstones(id, group, &mut out.records);
            }
        }
    }
}

fn unknown_members(members: &[MemberIdentity]) -> Vec<MemberResponse> {
    let unknown = members.iter().map(|member| MemberResponse {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        error_code: ErrorCode::UnknownMemberId.into(),
        ..MemberResponse::default()
    });
    unknown.collect()
}
