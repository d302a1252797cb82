//! The cluster metadata image and the controller's decisions: plan gives records, apply changes state.
//!
//! Pure: knows no clock, no randomness, no files, no sockets, and nothing of how the quorum agrees.

pub mod configs;
pub mod feature_table;
pub mod image;
mod record;
mod refusal;
pub mod topic_name;

pub use image::{
    ApplyError, Broker, ConfigResource, Controller, Delta, Features, Image, Listener, Partition,
    Position, Replay, ResourceKind, Topic, TopicDelta, VersionRange,
};
pub use record::VersionedRecord;
pub use refusal::Refusal;
