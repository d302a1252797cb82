//! Kafka's wire and storage messages: schema text, generated codecs, error codes, newtypes.
//!
//! Pure: knows no files, no sockets, no time.

pub mod newtypes;

pub use newtypes::{LeaderEpoch, Millis, NodeId, Offset, ProducerEpoch, ProducerId, TopicId, Uuid};
