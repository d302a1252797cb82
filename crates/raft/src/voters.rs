//! Who votes. Must not know where voters listen.

use std::collections::BTreeMap;
use std::fmt;

use ottla_protocol::{NodeId, Uuid};

/// A replica of the metadata log: a node and the directory it keeps the log in (KIP-853). A node
/// with a new disk is another replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaKey {
    /// Node id.
    pub id: NodeId,
    /// Id of its metadata directory; zero where directories are not known (`kraft.version` 0).
    pub directory_id: Uuid,
}

impl fmt::Display for ReplicaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.directory_id.is_zero() {
            write!(f, "{}", self.id)
        } else {
            write!(f, "{} in directory {}", self.id, self.directory_id)
        }
    }
}

/// The voters of a quorum, by node id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VoterSet {
    voters: BTreeMap<NodeId, Uuid>,
}

impl VoterSet {
    /// How many votes or replicas are more than half.
    #[must_use]
    pub fn majority(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// Whether this replica votes. A voter without a directory id stands for any directory.
    #[must_use]
    pub fn contains(&self, replica: ReplicaKey) -> bool {
        self.voters
            .get(&replica.id)
            .is_some_and(|directory| directory.is_zero() || *directory == replica.directory_id)
    }

    /// All voters, by node id.
    pub fn iter(&self) -> impl Iterator<Item = ReplicaKey> {
        self.voters
            .iter()
            .map(|(id, directory_id)| ReplicaKey { id: *id, directory_id: *directory_id })
    }

    /// How many vote.
    #[must_use]
    pub fn len(&self) -> usize {
        self.voters.len()
    }

    /// Whether nobody votes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty()
    }
}

impl FromIterator<ReplicaKey> for VoterSet {
    fn from_iter<I: IntoIterator<Item = ReplicaKey>>(iter: I) -> Self {
        Self {
            voters: iter.into_iter().map(|replica| (replica.id, replica.directory_id)).collect(),
        }
    }
}
