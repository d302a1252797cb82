//! When the classic groups of a shard want to be woken. Must not know what for.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::{Millis, StrBytes};

use crate::classic::ClassicGroup;

/// When each group wants to be woken. A group may be woken too early, never too late: so a
/// heartbeat, which moves a deadline away, costs nothing here.
#[derive(Clone, Debug, Default)]
pub(super) struct WakeUps {
    by_time: BTreeSet<(Millis, StrBytes)>,
    by_group: BTreeMap<StrBytes, Millis>,
}

impl WakeUps {
    pub(super) fn next(&self) -> Option<Millis> {
        self.by_time.first().map(|(at, _)| *at)
    }

    pub(super) fn arm(&mut self, group: &StrBytes, at: Millis) {
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
    pub(super) fn arm_member(&mut self, group: &ClassicGroup, member_id: &str) {
        if let Some(at) = group.members.get(member_id).and_then(|member| member.deadline) {
            self.arm(&group.id, at);
        }
    }

    pub(super) fn take_due(&mut self, now: Millis) -> Option<StrBytes> {
        if self.next()? > now {
            return None;
        }
        let (_, group) = self.by_time.pop_first()?;
        self.by_group.remove(&group);
        Some(group)
    }
}
