//! Votes counted in one election. Must not know how they travel.

use std::collections::BTreeSet;

use ottla_protocol::{Millis, NodeId};

use crate::{ReplicaKey, VoterSet};

/// An election this replica stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidacy {
    pub(crate) granted: BTreeSet<NodeId>,
    pub(crate) rejected: BTreeSet<NodeId>,
    /// When it is given up.
    pub(crate) deadline: Millis,
    /// Whether its own vote is on disk.
    pub(crate) voted: bool,
}

impl Candidacy {
    pub(crate) fn new(deadline: Millis) -> Self {
        Self { granted: BTreeSet::new(), rejected: BTreeSet::new(), deadline, voted: false }
    }

    pub(crate) fn count(&mut self, voter: NodeId, granted: bool) {
        // A voter that changes its mind has not followed the rules; its first answer stands.
        if self.granted.contains(&voter) || self.rejected.contains(&voter) {
            return;
        }
        if granted { &mut self.granted } else { &mut self.rejected }.insert(voter);
    }

    pub(crate) fn is_won(&self, voters: &VoterSet) -> bool {
        self.voted && self.granted.len() >= voters.majority()
    }

    pub(crate) fn is_lost(&self, voters: &VoterSet) -> bool {
        self.rejected.len() > voters.len().saturating_sub(voters.majority())
    }

    pub(crate) fn granting(&self, voters: &VoterSet) -> Vec<ReplicaKey> {
        voters.iter().filter(|voter| self.granted.contains(&voter.id)).collect()
    }
}
