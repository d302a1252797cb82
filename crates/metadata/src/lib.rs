//! The cluster metadata image and the controller's decisions: plan gives records, apply changes state.
//!
//! Pure: knows no clock, no randomness, no files, no sockets, and nothing of how the quorum agrees.

mod command;
pub mod configs;
pub mod feature_table;
pub mod image;
mod machine;
mod plan;
mod random;
mod record;
mod refusal;
mod refused;
mod sessions;
pub mod topic_name;

pub use command::{Command, Reply};
pub use image::{
    ApplyError, Broker, ConfigResource, Controller, Delta, Features, Image, Listener, Partition,
    Position, Replay, ResourceKind, Topic, TopicDelta, VersionRange,
};
pub use machine::{Machine, Plan, Settings};
pub use random::{Random, draw_id};
pub use record::VersionedRecord;
pub use refusal::Refusal;
