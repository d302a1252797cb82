//! KRaft's decisions: epochs, votes, leadership, high watermark of the metadata log.
//!
//! A [`Raft`] is one replica of a quorum. [`Raft::step`] takes what happened and gives what is to
//! be done, in order; [`Raft::next_deadline`] says when it wants a [`Input::Tick`]. A quorum of one
//! voter is a quorum: it votes, has a majority, and leads.
//!
//! Pure: knows no clock, no files, no sockets, and not what the log's records mean.

mod candidate;
mod effect;
mod input;
mod leader;
mod machine;
mod on_begin_epoch;
mod on_saved;
mod on_vote;
mod quorum_state;
mod voters;

pub use effect::{Effect, Role};
pub use input::{Input, LogEnd};
pub use leader::ReplicaProgress;
pub use machine::{Raft, RaftConfig};
pub use quorum_state::QuorumState;
pub use voters::{ReplicaKey, VoterSet};

#[cfg(test)]
mod tests;
