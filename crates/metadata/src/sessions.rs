//! Which brokers were heard of lately: soft state of the active controller alone, begun anew by
//! each. Must not know what a broker's silence leads to.

use std::collections::BTreeMap;

use ottla_protocol::{Millis, NodeId};

/// What is known of one broker.
#[derive(Clone, Copy, Debug)]
struct Session {
    last_contact: Millis,
    metadata_offset: i64,
    /// Offset at which its controlled shutdown was recorded.
    shutdown_at: Option<i64>,
    /// Whether it was heard of since this controller became active and since it was last fenced.
    heard: bool,
}

/// All brokers' sessions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions {
    brokers: BTreeMap<NodeId, Session>,
}

impl Sessions {
    /// Gives the broker a session from `now` without having heard of it.
    pub(crate) fn expect(&mut self, id: NodeId, now: Millis) {
        let session =
            Session { last_contact: now, metadata_offset: -1, shutdown_at: None, heard: false };
        self.brokers.insert(id, session);
    }

    /// The broker was heard of.
    pub(crate) fn touch(&mut self, id: NodeId, now: Millis, metadata_offset: i64) {
        let shutdown_at = self.shutdown_at(id);
        self.brokers
            .insert(id, Session { last_contact: now, metadata_offset, shutdown_at, heard: true });
    }

    /// Whether the broker was heard of, and not too long ago.
    pub(crate) fn is_valid(&self, id: NodeId, now: Millis, timeout: Millis) -> bool {
        let heard = self.brokers.get(&id).is_some_and(|session| session.heard);
        heard && self.ends_at(id, timeout).is_some_and(|end| end >= now)
    }

    /// The broker begins to stop; its leaderships had moved by `offset`.
    pub(crate) fn shut_down_at(&mut self, id: NodeId, offset: i64) {
        if let Some(session) = self.brokers.get_mut(&id) {
            session.shutdown_at.get_or_insert(offset);
        }
    }

    /// The broker was fenced: it is silent or gone, and may come back as another process.
    pub(crate) fn fenced(&mut self, id: NodeId) {
        if let Some(session) = self.brokers.get_mut(&id) {
            session.shutdown_at = None;
            session.heard = false;
        }
    }

    /// The broker is no more.
    pub(crate) fn remove(&mut self, id: NodeId) {
        self.brokers.remove(&id);
    }

    /// The broker registered: it stops no more.
    pub(crate) fn registered(&mut self, id: NodeId) {
        if let Some(session) = self.brokers.get_mut(&id) {
            session.shutdown_at = None;
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.brokers.clear();
    }

    /// Offset at which the broker's controlled shutdown was recorded.
    pub(crate) fn shutdown_at(&self, id: NodeId) -> Option<i64> {
        self.brokers.get(&id)?.shutdown_at
    }

    /// When the broker's session ends unless it is heard of again.
    pub(crate) fn ends_at(&self, id: NodeId, timeout: Millis) -> Option<Millis> {
        let session = self.brokers.get(&id)?;
        Some(Millis(session.last_contact.get().saturating_add(timeout.get())))
    }

    /// The lowest offset up to which those of `active` follow the log; the highest there is when
    /// nobody is active.
    pub(crate) fn lowest_offset(&self, active: impl Iterator<Item = NodeId>) -> i64 {
        let offsets = active.filter_map(|id| self.brokers.get(&id));
        offsets
            .filter(|session| session.shutdown_at.is_none())
            .map(|session| session.metadata_offset)
            .min()
            .unwrap_or(i64::MAX)
    }
}
