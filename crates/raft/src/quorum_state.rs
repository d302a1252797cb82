//! What a replica must remember through a power cut: the epoch, whom it voted for in it, who leads
//! it (the file `quorum-state`). Must not know the file.

use ottla_protocol::{LeaderEpoch, NodeId};

use crate::ReplicaKey;

/// The durable part of a replica's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumState {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// Who leads it, when known.
    pub leader: Option<NodeId>,
    /// Whom this replica voted for in it.
    pub voted: Option<ReplicaKey>,
}

impl Default for QuorumState {
    /// Before the first election.
    fn default() -> Self {
        Self { epoch: LeaderEpoch(0), leader: None, voted: None }
    }
}
