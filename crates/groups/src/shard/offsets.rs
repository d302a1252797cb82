//! The requests about offsets: whether the group allows them, then on to the offsets. Must not
//! know how offsets are kept.

use ottla_protocol::k09_offset_fetch::OffsetFetchRequestGroup;
use ottla_protocol::{ErrorCode, OffsetCommitRequest, OffsetDeleteRequest};

use super::Shard;
use crate::group::Group;
use crate::offsets::{commit, delete, fetch};
use crate::reply::{offset_commit_error, offset_delete_error, offset_fetch_error};
use crate::{Now, Outcome, Reply, admin};

impl Shard {
    pub(super) fn commit(
        &mut self,
        request: &OffsetCommitRequest,
        version: i16,
        now: Now,
        out: &mut Outcome,
    ) -> Reply {
        if let Err(error) = self.check_commit(request, version) {
            return Reply::OffsetCommit(offset_commit_error(request, error));
        }
        if let Some(Group::Classic(group)) = self.groups.get_mut(&request.group_id) {
            group.on_commit(&request.member_id, now);
            self.wake_ups.arm_member(group, &request.member_id);
        }
        Reply::OffsetCommit(commit::plan(request, now, &self.config, &mut out.records))
    }

    fn check_commit(&self, request: &OffsetCommitRequest, version: i16) -> Result<(), ErrorCode> {
        let generation = request.generation_id_or_member_epoch;
        match self.groups.get(&request.group_id) {
            Some(group) => group.check_commit(
                &request.member_id,
                request.group_instance_id.as_deref(),
                generation,
            ),
            // Someone who needs no group: the record makes one.
            None if generation < 0 => Ok(()),
            None if version >= 9 => Err(ErrorCode::GroupIdNotFound),
            None => Err(ErrorCode::IllegalGeneration),
        }
    }

    pub(super) fn fetch(&self, request: &OffsetFetchRequestGroup, require_stable: bool) -> Reply {
        let group = self.groups.get(&request.group_id);
        let checked = group
            .ok_or(ErrorCode::GroupIdNotFound)
            .and_then(|g| g.check_fetch(request.member_id.as_deref(), request.member_epoch));
        let exists = match checked {
            Ok(()) => true,
            Err(ErrorCode::GroupIdNotFound) => false,
            Err(error) => {
                return Reply::OffsetFetch(offset_fetch_error(request.group_id.clone(), error));
            }
        };
        Reply::OffsetFetch(fetch::answer(&self.offsets, request, exists, require_stable))
    }

    pub(super) fn delete_offsets(&self, request: &OffsetDeleteRequest, out: &mut Outcome) -> Reply {
        let group = if request.group_id.is_empty() {
            Err(ErrorCode::InvalidGroupId)
        } else {
            self.groups.get(&request.group_id).ok_or(ErrorCode::GroupIdNotFound)
        };
        let group = group.and_then(|group| group.check_offset_delete().map(|()| group));
        Reply::OffsetDelete(match group {
            Ok(group) => delete::plan(&self.offsets, group, request, &mut out.records),
            Err(error) => offset_delete_error(error),
        })
    }

    /// Looks for offsets that have expired, and for groups that have nothing left.
    pub(super) fn expire(&self, now: Now, out: &mut Outcome) {
        let retention = self.config.offsets_retention;
        for (id, group) in &self.groups {
            let bare = self.offsets.expire(id, group, now.wall, retention, &mut out.records);
            if bare && group.is_empty() && group.goes_when_empty() {
                admin::delete::tombstones(id, group, &mut out.records);
            }
        }
    }
}
