//! What DescribeQuorum tells of the quorum. Must not know how it came about.

use ottla_protocol::{LeaderEpoch, Millis, NodeId, Offset, Uuid};

use crate::voters::Endpoint;

/// The quorum as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumInfo {
    /// Who leads; −1 while nobody does.
    pub leader: NodeId,
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// Everything before it is committed; −1 while unknown.
    pub high_watermark: Offset,
    /// Level of `kraft.version`; 0 where directories are not known.
    pub kraft_version: i16,
    /// Who votes.
    pub voters: Vec<QuorumReplica>,
    /// Who follows without a vote.
    pub observers: Vec<QuorumReplica>,
}

/// One replica of the metadata log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumReplica {
    /// Node id.
    pub id: NodeId,
    /// Id of its metadata directory; zero where directories are not known.
    pub directory_id: Uuid,
    /// Everything before it is on its disk; −1 while unknown.
    pub log_end: Offset,
    /// When it last fetched, milliseconds since the Unix epoch; −1 for never.
    pub last_fetch: Millis,
    /// When it last had everything; −1 for never.
    pub last_caught_up: Millis,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
}
