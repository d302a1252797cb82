//! A leader's view of its replicas, and the high watermark that follows from it. Must not know
//! how replicas fetch.

use std::collections::BTreeMap;

use ottla_protocol::{Millis, Offset};

use crate::{ReplicaKey, VoterSet};

/// How far a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaProgress {
    /// Everything before it is on the replica's disk.
    pub log_end: Offset,
    /// When it last fetched; none for the leader itself.
    pub last_fetch: Option<Millis>,
    /// When it last had everything; none when it never had.
    pub last_caught_up: Option<Millis>,
}

/// What a leader keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leadership {
    pub(crate) granting: Vec<ReplicaKey>,
    /// Offset of the epoch's first record; none until it is appended.
    pub(crate) epoch_start: Option<Offset>,
    pub(crate) replicas: BTreeMap<ReplicaKey, ReplicaProgress>,
    pub(crate) high_watermark: Option<Offset>,
    /// Whether the state that says so is on disk.
    pub(crate) saved: bool,
}

impl Leadership {
    pub(crate) fn new(granting: Vec<ReplicaKey>) -> Self {
        Self {
            granting,
            epoch_start: None,
            replicas: BTreeMap::new(),
            high_watermark: None,
            saved: false,
        }
    }

    /// The new high watermark, if it rose: what a majority of voters has on disk. It is known only
    /// once a record of this epoch is among it: what earlier leaders left may still be undone by
    /// one that does not have it.
    pub(crate) fn raise(&mut self, voters: &VoterSet) -> Option<Offset> {
        let epoch_start = self.epoch_start?;
        let mut ends: Vec<Offset> = voters
            .iter()
            .map(|voter| {
                let known = self.replicas.iter().find(|(replica, _)| {
                    replica.id == voter.id
                        && (voter.directory_id.is_zero()
                            || replica.directory_id == voter.directory_id)
                });
                known.map_or(Offset::NONE, |(_, progress)| progress.log_end)
            })
            .collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        let end = *ends.get(voters.majority().checked_sub(1)?)?;
        if end <= epoch_start || self.high_watermark.is_some_and(|known| end <= known) {
            return None;
        }
        self.high_watermark = Some(end);
        Some(end)
    }
}
