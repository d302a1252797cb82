//! Hosts the quorum and the metadata machine over a metadata log.
//!
//! [`format`] makes a directory a node's; [`inspect`] says what a directory is; [`start`] loads the
//! newest snapshot and the log, elects, and runs the controller on a thread of its own, which a
//! [`ControllerHandle`] talks to. All files are Apache Kafka's.
//!
//! Must not know protocol decisions: who leads is `raft`'s, what a request leads to `metadata`'s.

mod batch;
mod error;
mod format;
mod handle;
mod host;
mod load;
mod meta;
mod metadata_log;
mod options;
mod quorum;
mod quorum_file;
mod rehearse;
mod reserve;
mod segment;
mod snapshot;
mod torn;
mod voters;

pub use error::{ControllerError, FormatError};
pub use format::{FeatureChoice, FormatOptions, Voters, format};
pub use handle::{ControllerHandle, Published};
pub use host::{ByHand, start};
pub use meta::{Contents, MetaProperties, has_run, inspect};
pub use options::{ControllerOptions, MetadataLogSettings};
pub use quorum::{QuorumInfo, QuorumReplica};
pub use rehearse::{Rehearsed, rehearse};
pub use voters::Endpoint;
