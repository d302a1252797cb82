//! One member of a classic group, and the requests of it that wait. Must not know the group.

use bytes::Bytes;
use ottla_protocol::k11_join_group::JoinGroupRequestProtocol;
use ottla_protocol::{ErrorCode, Millis, StrBytes};

use super::Step;
use crate::reply::{join_error, sync_error};
use crate::{Now, Reply, Token};

/// A request that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiter {
    pub(crate) token: Token,
    /// Version of the request.
    pub(crate) version: i16,
}

/// A member of a classic group.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) instance_id: Option<StrBytes>,
    pub(crate) client_id: StrBytes,
    pub(crate) client_host: StrBytes,
    /// Milliseconds, as the member asked.
    pub(crate) rebalance_timeout: i32,
    /// Milliseconds, as the member asked.
    pub(crate) session_timeout: i32,
    /// In the member's order of preference.
    pub(crate) protocols: Vec<JoinGroupRequestProtocol>,
    pub(crate) assignment: Bytes,
    pub(crate) join: Option<Waiter>,
    pub(crate) sync: Option<Waiter>,
    /// Not part of a generation yet: it may time out even while it waits.
    pub(crate) is_new: bool,
    /// When it is given up, unless it is heard of; none while nobody looks.
    pub(crate) deadline: Option<Millis>,
}

impl Member {
    /// What this member told for a protocol; none when it does not support it.
    pub(crate) fn metadata(&self, protocol: &str) -> Option<&Bytes> {
        self.protocols.iter().find(|own| *own.name == *protocol).map(|own| &own.metadata)
    }

    /// Whether these are its protocols, in its order, and what it told for them.
    pub(super) fn has_protocols(&self, protocols: &[JoinGroupRequestProtocol]) -> bool {
        let told = |of: &JoinGroupRequestProtocol| (of.name.clone(), of.metadata.clone());
        self.protocols.iter().map(told).eq(protocols.iter().map(told))
    }

    /// Whether waiting counts as being alive.
    pub(super) fn is_excused(&self) -> bool {
        !self.is_new && (self.join.is_some() || self.sync.is_some())
    }

    /// Heard of: its session starts anew.
    pub(super) fn heard(&mut self, now: Now) {
        self.deadline = Some(now.after(i64::from(self.session_timeout)));
    }

    /// Answers whatever waits with an error. The caller keeps the count of waiting joins.
    pub(super) fn answer_unknown(&mut self, id: StrBytes, error: ErrorCode, step: &mut Step<'_>) {
        if let Some(waiter) = self.join.take() {
            step.reply(waiter, Reply::JoinGroup(join_error(waiter.version, id, error)));
        }
        if let Some(waiter) = self.sync.take() {
            step.reply(waiter, Reply::SyncGroup(sync_error(error)));
        }
    }

    /// Answers whatever waits under an id that its instance has given up.
    pub(super) fn answer_fenced(&mut self, id: &StrBytes, step: &mut Step<'_>) {
        if let Some(waiter) = self.join.take() {
            let error = ErrorCode::FencedInstanceId;
            let response = join_error(waiter.version, id.clone(), error);
            step.reply(waiter, Reply::JoinGroup(response));
        }
        if let Some(waiter) = self.sync.take() {
            step.reply(waiter, Reply::SyncGroup(sync_error(ErrorCode::FencedInstanceId)));
        }
    }
}
