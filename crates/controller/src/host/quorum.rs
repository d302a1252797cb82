//! Does what raft wants: saves, begins epochs, counts what is committed. Must not know who wins.

use std::collections::VecDeque;

use ottla_protocol::{KRaftVersionRecord, LeaderEpoch, Millis, NodeId, Offset};
use ottla_raft::{Effect, Input, LogEnd, Raft, ReplicaKey};
use tracing::{info, warn};

use super::Host;
use crate::batch::Control;
use crate::error::ControllerError;
use crate::quorum::{QuorumInfo, QuorumReplica};
use crate::voters::{Endpoint, Voter};
use crate::{batch, quorum_file, voters};

impl Host {
    /// Tells raft what happened and does what it wants.
    pub(super) fn drive(&mut self, input: Input) -> Result<(), ControllerError> {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut effects = Vec::new();
            self.raft.step(self.now(), input, &mut effects);
            for effect in effects {
                self.execute(effect, &mut inputs)?;
            }
        }
        let Self { raft, voters, kraft_version, committed, .. } = self;
        self.shared.set_quorum(quorum_info(raft, voters, *kraft_version, *committed));
        Ok(())
    }

    pub(super) fn execute(
        &mut self,
        effect: Effect,
        inputs: &mut VecDeque<Input>,
    ) -> Result<(), ControllerError> {
        match effect {
            Effect::SaveQuorumState(state) => {
                let voters = voters::set_of(&self.voters);
                let write = || {
                    let version = self.kraft_version;
                    quorum_file::write(self.disk.as_ref(), &self.dir, &state, version, &voters)
                };
                match write() {
                    Err(error) if error.is_no_space() && self.reserve.give_up() => write()?,
                    other => other?,
                }
                inputs.push_back(Input::Saved);
            }
            Effect::BeginEpoch { epoch, granting } => {
                self.begin_epoch(epoch, &granting)?;
                inputs.push_back(Input::Appended(self.end));
                inputs.push_back(Input::Durable(self.end.offset));
            }
            Effect::HighWatermark(offset) => self.committed = offset,
            Effect::Became(role) => {
                info!(?role, epoch = self.raft.epoch().get(), "the metadata quorum")
            }
            Effect::RequestVote { voter, .. } | Effect::AnnounceEpoch { voter, .. } => {
                warn!("there is no connection to voter {voter}");
            }
            Effect::AnswerVote { candidate, .. } => {
                warn!("there is no connection to candidate {candidate}")
            }
        }
        Ok(())
    }

    pub(super) fn begin_epoch(
        &mut self,
        epoch: LeaderEpoch,
        granting: &[ReplicaKey],
    ) -> Result<(), ControllerError> {
        let leader = self.raft.me().id;
        let change = voters::leader_change(leader, self.raft.voters(), granting);
        let mut controls = vec![Control::LeaderChange(change)];
        if self.voters_to_log {
            let version = KRaftVersionRecord {
                kraft_version: self.kraft_version,
                ..KRaftVersionRecord::default()
            };
            controls.push(Control::KRaftVersion(version));
            controls.push(Control::Voters(voters::to_record(&self.voters)));
            self.voters_to_log = false;
        }
        let now = Millis(self.clock.wall_ms());
        let base = self.end.offset;
        let written =
            batch::controls(base, epoch, now, &controls).map_err(ControllerError::Damaged)?;
        let offset = base.plus(i64::try_from(controls.len()).unwrap_or(i64::MAX));
        self.end = LogEnd { epoch, offset };
        self.write_to_log(&[written], self.end)?;
        self.machine.pass(Offset(offset.get().saturating_sub(1)), epoch, now);
        Ok(())
    }
}

pub(super) fn quorum_info(
    raft: &Raft,
    voters: &[Voter],
    kraft_version: i16,
    committed: Offset,
) -> QuorumInfo {
    let progress = |key: ReplicaKey| {
        raft.progress()
            .find(|(known, _)| known.id == key.id && (key.directory_id.is_zero() || *known == key))
    };
    let replica = |key: ReplicaKey, endpoints: Vec<Endpoint>| {
        let known = progress(key).map(|(_, progress)| progress);
        QuorumReplica {
            id: key.id,
            directory_id: key.directory_id,
            log_end: known.map_or(Offset::NONE, |progress| progress.log_end),
            last_fetch: known.and_then(|progress| progress.last_fetch).unwrap_or(Millis(-1)),
            last_caught_up: known
                .and_then(|progress| progress.last_caught_up)
                .unwrap_or(Millis(-1)),
            endpoints,
        }
    };
    let observers = raft.progress().filter(|(key, _)| !raft.voters().contains(*key));
    QuorumInfo {
        leader: raft.leader().unwrap_or(NodeId::NONE),
        epoch: raft.epoch(),
        high_watermark: committed,
        kraft_version,
        voters: voters.iter().map(|voter| replica(voter.key, voter.endpoints.clone())).collect(),
        observers: observers.map(|(key, _)| replica(key, Vec::new())).collect(),
    }
}
