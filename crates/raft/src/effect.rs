//! What a replica wants done. Must not know how.

use ottla_protocol::{LeaderEpoch, NodeId, Offset};

use crate::{LogEnd, QuorumState, ReplicaKey};

/// What this replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Knows no leader and is no candidate.
    Unattached,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
    /// Follows this leader.
    Follower(NodeId),
}

/// Something to do, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Put this on disk, then say [`crate::Input::Saved`]. Nothing that depends on it is asked for
    /// before.
    SaveQuorumState(QuorumState),
    /// Ask a voter for its vote.
    RequestVote {
        /// The voter.
        voter: ReplicaKey,
        /// The candidate's epoch.
        epoch: LeaderEpoch,
        /// Where the candidate's log ends.
        log_end: LogEnd,
    },
    /// Answer a candidate.
    AnswerVote {
        /// The candidate.
        candidate: ReplicaKey,
        /// The epoch this replica is in.
        epoch: LeaderEpoch,
        /// Who leads it, when known.
        leader: Option<NodeId>,
        /// Whether the candidate has the vote.
        granted: bool,
    },
    /// Append the first batch of the epoch, with the leader change first in it; then say
    /// [`crate::Input::Appended`].
    BeginEpoch {
        /// The epoch.
        epoch: LeaderEpoch,
        /// Who voted for this leader.
        granting: Vec<ReplicaKey>,
    },
    /// Tell a voter who leads.
    AnnounceEpoch {
        /// The voter.
        voter: ReplicaKey,
        /// The epoch.
        epoch: LeaderEpoch,
    },
    /// Everything before this offset is committed.
    HighWatermark(Offset),
    /// This replica is something else now.
    Became(Role),
}
