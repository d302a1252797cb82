//! The file `quorum-state`: what this replica must remember of epochs and votes, put on disk
//! before anything that depends on it is done. Must not know what it is for.

use std::path::Path;

use bytes::Bytes;
use ottla_env::{Disk, OpenMode, planted};
use ottla_protocol::quorum_state_data::Voter;
use ottla_protocol::{LeaderEpoch, NodeId, QuorumStateData, Uuid};
use ottla_raft::{QuorumState, ReplicaKey, VoterSet};

use crate::error::ControllerError;

pub(crate) const FILE: &str = "quorum-state";

/// The state on disk; a new one when there is none.
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<QuorumState, ControllerError> {
    let path = dir.join(FILE);
    if !disk.exists(&path)? {
        return Ok(QuorumState::default());
    }
    let damaged = |what: &dyn std::fmt::Display| {
        ControllerError::Damaged(format!("{} is damaged: {what}", path.display()))
    };
    let content = disk.read(&path)?;
    let text = std::str::from_utf8(&content).map_err(|error| damaged(&error))?;
    let (data, _) = QuorumStateData::from_json(text).map_err(|error| damaged(&error))?;
    if data.leader_epoch < 0 {
        return Err(damaged(&format!("its epoch is {}", data.leader_epoch)));
    }
    let voted = ReplicaKey { id: NodeId(data.voted_id), directory_id: data.voted_directory_id };
    Ok(QuorumState {
        epoch: LeaderEpoch(data.leader_epoch),
        leader: (data.leader_id >= 0).then_some(NodeId(data.leader_id)),
        voted: (data.voted_id >= 0).then_some(voted),
    })
}

/// Replaces the state on disk.
pub(crate) fn write(
    disk: &dyn Disk,
    dir: &Path,
    state: &QuorumState,
    kraft_version: i16,
    voters: &VoterSet,
) -> Result<(), ControllerError> {
    let mut data = QuorumStateData {
        leader_id: state.leader.unwrap_or(NodeId::NONE).get(),
        leader_epoch: state.epoch.get(),
        voted_id: state.voted.map_or(-1, |voted| voted.id.get()),
        ..QuorumStateData::default()
    };
    let version = i16::from(kraft_version > 0);
    if version == 0 {
        let voters =
            voters.iter().map(|voter| Voter { voter_id: voter.id.get(), ..Voter::default() });
        data.current_voters = Some(voters.collect());
    } else {
        data.voted_directory_id = state.voted.map_or(Uuid::ZERO, |voted| voted.directory_id);
    }
    let text = data.to_json(version).map_err(|error| {
        ControllerError::Damaged(format!("{} cannot be written: {error}", dir.join(FILE).display()))
    })?;
    if planted("metadata-quorum-state-in-place") {
        let file = disk.open(&dir.join(FILE), OpenMode::CreateEmpty)?;
        file.write_at(&[Bytes::from(text)], 0)?;
        return Ok(file.sync_data()?);
    }
    Ok(disk.write_atomically(&dir.join(FILE), Bytes::from(text))?)
}
