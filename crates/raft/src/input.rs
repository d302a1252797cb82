//! What can happen to a replica. Must not know where it comes from.

use ottla_protocol::{LeaderEpoch, NodeId, Offset};

use crate::ReplicaKey;

/// Where a log ends: the epoch of its last record and the offset after it. Of two logs the greater
/// has everything that was committed in the lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogEnd {
    /// Epoch of the last batch; 0 for an empty log.
    pub epoch: LeaderEpoch,
    /// The offset after the last record.
    pub offset: Offset,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Time passed.
    Tick,
    /// The state of the last [`crate::Effect::SaveQuorumState`] is on disk.
    Saved,
    /// This replica's log ends here now.
    Appended(LogEnd),
    /// This replica's log is on disk up to here.
    Durable(Offset),
    /// A candidate asks for a vote.
    VoteRequest {
        /// The candidate.
        candidate: ReplicaKey,
        /// Its epoch.
        epoch: LeaderEpoch,
        /// Where its log ends.
        log_end: LogEnd,
    },
    /// A voter answers a request for its vote.
    VoteResponse {
        /// The voter.
        voter: ReplicaKey,
        /// The epoch it is in.
        epoch: LeaderEpoch,
        /// Whether it gave its vote.
        granted: bool,
    },
    /// Somebody leads an epoch.
    BeginQuorumEpoch {
        /// Who.
        leader: NodeId,
        /// The epoch.
        epoch: LeaderEpoch,
    },
    /// A replica fetches from this leader: it has everything before `offset` on disk.
    Fetched {
        /// The replica.
        replica: ReplicaKey,
        /// The offset it fetches from.
        offset: Offset,
    },
}
