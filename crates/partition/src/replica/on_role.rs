//! Becoming leader or follower, as the metadata log says. Owns what a change of role does to the
//! followers' known ends and to waiting answers.

use ottla_protocol::{LeaderEpoch, NodeId, Offset};

use super::machine::{RemoteReplica, Replica, ReplicaEffect, ReplicaError, Role};

/// A partition's state in the metadata, when this broker leads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// Grows with each change of leader.
    pub leader_epoch: LeaderEpoch,
    /// Grows with each change of the partition's state.
    pub partition_epoch: i32,
    /// All replicas.
    pub replicas: Vec<NodeId>,
    /// Those in sync.
    pub isr: Vec<NodeId>,
}

impl<T> Replica<T> {
    /// The metadata says that this broker leads, or changes the replicas or the ISR while it
    /// does. Returns whether a new leader epoch begins here: then the host notes it in the epoch
    /// cache at the log end. Older metadata than known is ignored.
    ///
    /// Answers go on waiting when the leader stays. Followers' ends are unknown in a new epoch,
    /// so that nothing is committed on the word of an older one.
    pub fn on_leader(
        &mut self,
        leadership: &Leadership,
        effects: &mut Vec<ReplicaEffect<T>>,
    ) -> bool {
        if !self.accepts(leadership.leader_epoch, leadership.partition_epoch) {
            return false;
        }
        let new_epoch = self.role != Role::Leader || leadership.leader_epoch > self.leader_epoch;
        self.leader_epoch = leadership.leader_epoch;
        self.partition_epoch = leadership.partition_epoch;
        self.role = Role::Leader;
        let known = |id: NodeId, remotes: &[RemoteReplica]| {
            let end = remotes.iter().find(|r| r.id == id).map(|r| r.end);
            if new_epoch { Offset::NONE } else { end.unwrap_or(Offset::NONE) }
        };
        self.remotes = leadership
            .replicas
            .iter()
            .filter(|id| **id != self.local)
            .map(|id| RemoteReplica {
                id: *id,
                in_sync: leadership.isr.contains(id),
                end: known(*id, &self.remotes),
            })
            .collect();
        self.advance(effects);
        new_epoch
    }

    /// The metadata says that another broker leads, or none. Whoever waits for an answer is told
    /// to look for the leader. Older metadata than known is ignored; returns whether it was not.
    pub fn on_follower(
        &mut self,
        leader_epoch: LeaderEpoch,
        partition_epoch: i32,
        leader: Option<NodeId>,
        effects: &mut Vec<ReplicaEffect<T>>,
    ) -> bool {
        if !self.accepts(leader_epoch, partition_epoch) {
            return false;
        }
        self.leader_epoch = leader_epoch;
        self.partition_epoch = partition_epoch;
        self.role = Role::Follower(leader);
        self.remotes = Vec::new();
        self.answer_lost(Offset::NONE, ReplicaError::NotLeaderOrFollower, effects);
        true
    }

    fn accepts(&self, leader_epoch: LeaderEpoch, partition_epoch: i32) -> bool {
        self.role != Role::Failed
            && leader_epoch >= self.leader_epoch
            && partition_epoch >= self.partition_epoch
    }
}
