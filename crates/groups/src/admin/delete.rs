//! DeleteGroups: empty groups end, with all their offsets. Must not know why one is empty.

use ottla_protocol::k42_delete_groups::DeletableGroupResult;
use ottla_protocol::{ErrorCode, StrBytes};

use crate::Record;
use crate::group::Group;
use crate::offsets::Offsets;
use crate::reply::deleted_group_error;

/// The records that delete a group, and its answer.
pub(crate) fn plan(
    id: &StrBytes,
    group: Option<&Group>,
    offsets: &Offsets,
    records: &mut Vec<Record>,
) -> DeletableGroupResult {
    let error = match group {
        None => ErrorCode::GroupIdNotFound,
        Some(group) if !group.is_empty() => ErrorCode::NonEmptyGroup,
        Some(group) => {
            offsets.delete_all(id, records);
            tombstones(id, group, records);
            ErrorCode::None
        }
    };
    deleted_group_error(id.clone(), error)
}

/// The records that end a group, without its offsets.
pub(crate) fn tombstones(id: &StrBytes, group: &Group, records: &mut Vec<Record>) {
    match group {
        Group::Classic(_) => records.push(Record::group_tombstone(id)),
        Group::Foreign(group) => group.tombstones(records),
    }
}
