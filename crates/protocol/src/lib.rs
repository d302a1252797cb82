//! Kafka's wire and storage messages: schema text, generated codecs, error codes, newtypes.
//!
//! Pure: knows no files, no sockets, no time.
//!
//! Every message of Apache Kafka 4.4 is a plain struct of the same name at this level, such as
//! [`FetchRequest`]; the structs inside it live in a module named after the API key, such as
//! [`k01_fetch`], or after the record. `decode`, `encode` and `encoded_len` take the version.
//! Strings and bytes share the buffer they were read from.

mod api;
mod control_record;
mod cursor;
mod error;
mod error_code;
mod generated;
mod header;
mod len;
pub mod message;
pub mod newtypes;
mod quorum_state;
#[cfg(feature = "random")]
pub mod random;
mod reader;
mod records;
pub mod schema;
mod stored;
mod str_bytes;
mod tagged;
mod version;
mod view;
mod writer;

pub use api::{ApiInfo, Listener, Listeners, api_versions};
pub use control_record::ControlRecord;
pub use error::{DecodeError, EncodeError};
pub use error_code::ErrorCode;
pub use generated::*;
pub use header::{request_frame, response_frame};
pub use message::Message;
pub use newtypes::{LeaderEpoch, Millis, NodeId, Offset, ProducerEpoch, ProducerId, TopicId, Uuid};
pub use quorum_state::QuorumStateError;
#[cfg(feature = "random")]
pub use random::RandomSource;
pub use reader::Reader;
pub use records::Records;
pub use str_bytes::StrBytes;
pub use tagged::TaggedFields;
pub use version::VersionRange;
pub use view::{
    FetchForgottenView, FetchForgottenViews, FetchPartitionView, FetchPartitionViews,
    FetchRequestView, FetchTopicView, FetchTopicViews, PartitionNumbers, ProduceBeginning,
    ProducePartitionView, ProducePartitionViews, ProduceRequestView, ProduceTopicView,
    ProduceTopicViews,
};
pub use writer::{Segments, Writer};
