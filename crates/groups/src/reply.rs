//! What a shard answers, and the answers that refuse. Must not know why something is refused.

use bytes::Bytes;
use ottla_protocol::k08_offset_commit::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use ottla_protocol::k09_offset_fetch::OffsetFetchResponseGroup;
use ottla_protocol::k15_describe_groups::DescribedGroup;
use ottla_protocol::k42_delete_groups::DeletableGroupResult;
use ottla_protocol::{
    ErrorCode, HeartbeatResponse, JoinGroupResponse, LeaveGroupResponse, ListGroupsResponse,
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteResponse, StrBytes, SyncGroupResponse,
};

/// The answer to one [`Command`](crate::Command), or the shard's part of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To JoinGroup.
    JoinGroup(JoinGroupResponse),
    /// To SyncGroup.
    SyncGroup(SyncGroupResponse),
    /// To Heartbeat.
    Heartbeat(HeartbeatResponse),
    /// To LeaveGroup.
    LeaveGroup(LeaveGroupResponse),
    /// To OffsetCommit; topics with name and id, whatever the version.
    OffsetCommit(OffsetCommitResponse),
    /// To OffsetFetch: one group. Topics have a name and the id that the request gave; of a
    /// request for all topics the host has to fill in the ids (version 10) itself.
    OffsetFetch(OffsetFetchResponseGroup),
    /// To OffsetDelete.
    OffsetDelete(OffsetDeleteResponse),
    /// To DescribeGroups: the groups that were asked for, in that order.
    DescribeGroups(Vec<DescribedGroup>),
    /// To ListGroups: this shard's groups.
    ListGroups(ListGroupsResponse),
    /// To DeleteGroups: each group that was named, once.
    DeleteGroups(Vec<DeletableGroupResult>),
}

impl Reply {
    /// This reply turned into a refusal: what the host answers in its place when the records it
    /// depends on could not be appended or committed. `error` is a coordinator's error, see
    /// [`append_error`].
    #[must_use]
    pub fn into_refusal(self, error: ErrorCode) -> Self {
        match self {
            // The version is not known here; this name fits all of them.
            Self::JoinGroup(_) => Self::JoinGroup(join_error(0, StrBytes::default(), error)),
            Self::SyncGroup(_) => Self::SyncGroup(sync_error(error)),
            Self::Heartbeat(_) => Self::Heartbeat(heartbeat_error(error)),
            Self::LeaveGroup(_) => Self::LeaveGroup(leave_error(error)),
            Self::OffsetCommit(mut was) => {
                for partition in was.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                    partition.error_code = error.into();
                }
                Self::OffsetCommit(was)
            }
            Self::OffsetFetch(was) => Self::OffsetFetch(offset_fetch_error(was.group_id, error)),
            Self::OffsetDelete(_) => Self::OffsetDelete(offset_delete_error(error)),
            Self::DescribeGroups(was) => Self::DescribeGroups(
                was.into_iter().map(|group| described_group_error(group.group_id, error)).collect(),
            ),
            Self::ListGroups(_) => Self::ListGroups(list_error(error)),
            Self::DeleteGroups(was) => Self::DeleteGroups(
                was.into_iter().map(|group| deleted_group_error(group.group_id, error)).collect(),
            ),
        }
    }
}

/// The error a coordinator's client is told when an append to the coordinator's own partition
/// failed with `error`: what is wrong inside becomes "look for the coordinator again".
#[must_use]
#[expect(clippy::wildcard_enum_match_arm, reason = "all other errors are told as they are")]
pub fn append_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::NotEnoughReplicasAfterAppend
        | ErrorCode::RequestTimedOut
        // There is no space: for now, which clients wait for.
        | ErrorCode::PolicyViolation => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge
        | ErrorCode::RecordListTooLarge
        | ErrorCode::InvalidFetchSize => ErrorCode::UnknownServerError,
        other => other,
    }
}

/// A refused JoinGroup.
pub(crate) fn join_error(version: i16, member_id: StrBytes, error: ErrorCode) -> JoinGroupResponse {
    finish_join(
        version,
        JoinGroupResponse {
            error_code: error.into(),
            member_id,
            protocol_name: None,
            ..JoinGroupResponse::default()
        },
    )
}

/// Makes a JoinGroup response fit its version: below 7 the protocol's name cannot be null.
pub(crate) fn finish_join(version: i16, mut response: JoinGroupResponse) -> JoinGroupResponse {
    if version < 7 && response.protocol_name.is_none() {
        response.protocol_name = Some(StrBytes::default());
    }
    response
}

pub(crate) fn sync_error(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse {
        error_code: error.into(),
        assignment: Bytes::new(),
        ..SyncGroupResponse::default()
    }
}

pub(crate) fn heartbeat_error(error: ErrorCode) -> HeartbeatResponse {
    HeartbeatResponse { error_code: error.into(), ..HeartbeatResponse::default() }
}

pub(crate) fn leave_error(error: ErrorCode) -> LeaveGroupResponse {
    LeaveGroupResponse { error_code: error.into(), ..LeaveGroupResponse::default() }
}

pub(crate) fn offset_commit_error(
    request: &OffsetCommitRequest,
    error: ErrorCode,
) -> OffsetCommitResponse {
    let topics = request
        .topics
        .iter()
        .map(|topic| OffsetCommitResponseTopic {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: topic
                .partitions
                .iter()
                .map(|partition| OffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: error.into(),
                    ..OffsetCommitResponsePartition::default()
                })
                .collect(),
            ..OffsetCommitResponseTopic::default()
        })
        .collect();
    OffsetCommitResponse { topics, ..OffsetCommitResponse::default() }
}

pub(crate) fn offset_fetch_error(group_id: StrBytes, error: ErrorCode) -> OffsetFetchResponseGroup {
    OffsetFetchResponseGroup {
        group_id,
        error_code: error.into(),
        ..OffsetFetchResponseGroup::default()
    }
}

pub(crate) fn offset_delete_error(error: ErrorCode) -> OffsetDeleteResponse {
    OffsetDeleteResponse { error_code: error.into(), ..OffsetDeleteResponse::default() }
}

pub(crate) fn list_error(error: ErrorCode) -> ListGroupsResponse {
    ListGroupsResponse { error_code: error.into(), ..ListGroupsResponse::default() }
}

pub(crate) fn described_group_error(group_id: StrBytes, error: ErrorCode) -> DescribedGroup {
    DescribedGroup { group_id, error_code: error.into(), ..DescribedGroup::default() }
}

pub(crate) fn described_groups_error(
    group_ids: &[StrBytes],
    error: ErrorCode,
) -> Vec<DescribedGroup> {
    group_ids.iter().map(|id| described_group_error(id.clone(), error)).collect()
}

pub(crate) fn deleted_group_error(group_id: StrBytes, error: ErrorCode) -> DeletableGroupResult {
    DeletableGroupResult { group_id, error_code: error.into(), ..DeletableGroupResult::default() }
}

pub(crate) fn deleted_groups_error(
    group_ids: &[StrBytes],
    error: ErrorCode,
) -> Vec<DeletableGroupResult> {
    group_ids.iter().map(|id| deleted_group_error(id.clone(), error)).collect()
}
