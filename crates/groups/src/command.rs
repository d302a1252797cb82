//! What a shard is asked. Must not know how requests reach the broker, nor who may send them.

use ottla_protocol::k09_offset_fetch::OffsetFetchRequestGroup;
use ottla_protocol::{
    ErrorCode, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest,
    OffsetDeleteRequest, StrBytes, SyncGroupRequest,
};

use crate::Reply;
use crate::reply::{
    deleted_groups_error, described_groups_error, heartbeat_error, join_error, leave_error,
    list_error, offset_commit_error, offset_delete_error, offset_fetch_error, sync_error,
};

/// One request to the shard, decoded and authorised. Of requests that name several groups the
/// host sends each shard its part; topics that do not exist, or that the client may not see, it
/// has taken out.
#[derive(Clone, Debug)]
pub enum Command {
    /// A member wants in, or wants a new generation.
    JoinGroup {
        /// The request.
        request: JoinGroupRequest,
        /// Its version.
        version: i16,
        /// The client id of its header; empty when there is none.
        client_id: StrBytes,
        /// Where it came from, as Kafka writes an address: `/127.0.0.1`.
        client_host: StrBytes,
        /// Random bytes for the member's id, should it need one.
        random: [u8; 16],
    },
    /// A member fetches (the leader: brings) the assignment.
    SyncGroup {
        /// The request.
        request: SyncGroupRequest,
        /// Its version.
        version: i16,
    },
    /// A member is alive.
    Heartbeat {
        /// The request.
        request: HeartbeatRequest,
    },
    /// Members leave, or are removed by their group instance id.
    LeaveGroup {
        /// The request.
        request: LeaveGroupRequest,
        /// Its version.
        version: i16,
    },
    /// Offsets are committed. Every topic has its name and, where it is known, its id, whatever
    /// the version of the request.
    OffsetCommit {
        /// The request.
        request: OffsetCommitRequest,
        /// Its version.
        version: i16,
    },
    /// Committed offsets are read. Every topic has its name, whatever the version.
    OffsetFetch {
        /// One group of the request; versions below 8 know one group only.
        group: OffsetFetchRequestGroup,
        /// Whether offsets that an open transaction may still change are withheld.
        require_stable: bool,
    },
    /// Committed offsets of topics are deleted.
    OffsetDelete {
        /// The request.
        request: OffsetDeleteRequest,
    },
    /// Groups are described.
    DescribeGroups {
        /// Those of the request that are this shard's.
        group_ids: Vec<StrBytes>,
        /// The request's version.
        version: i16,
    },
    /// The shard's groups are listed.
    ListGroups {
        /// States to list; empty: all.
        states: Vec<StrBytes>,
        /// Group types to list; empty: all.
        types: Vec<StrBytes>,
    },
    /// Groups are deleted, with their offsets.
    DeleteGroups {
        /// Those of the request that are this shard's.
        group_ids: Vec<StrBytes>,
    },
}

impl Command {
    /// The reply that refuses this command as a whole: what the host answers while the shard is
    /// loading (`COORDINATOR_LOAD_IN_PROGRESS`) or is not here (`NOT_COORDINATOR`).
    #[must_use]
    pub fn refuse(&self, error: ErrorCode) -> Reply {
        match self {
            Self::JoinGroup { version, .. } => {
                Reply::JoinGroup(join_error(*version, StrBytes::default(), error))
            }
            Self::SyncGroup { .. } => Reply::SyncGroup(sync_error(error)),
            // Nobody can tell yet: the member goes on.
            Self::Heartbeat { .. } if error == ErrorCode::CoordinatorLoadInProgress => {
                Reply::Heartbeat(heartbeat_error(ErrorCode::None))
            }
            Self::Heartbeat { .. } => Reply::Heartbeat(heartbeat_error(error)),
            Self::LeaveGroup { .. } => Reply::LeaveGroup(leave_error(error)),
            Self::OffsetCommit { request, .. } => {
                Reply::OffsetCommit(offset_commit_error(request, error))
            }
            Self::OffsetFetch { group, .. } => {
                Reply::OffsetFetch(offset_fetch_error(group.group_id.clone(), error))
            }
            Self::OffsetDelete { .. } => Reply::OffsetDelete(offset_delete_error(error)),
            Self::DescribeGroups { group_ids, .. } => {
                Reply::DescribeGroups(described_groups_error(group_ids, error))
            }
            Self::ListGroups { .. } => Reply::ListGroups(list_error(error)),
            Self::DeleteGroups { group_ids } => {
                Reply::DeleteGroups(deleted_groups_error(group_ids, error))
            }
        }
    }
}
