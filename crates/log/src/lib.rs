//! The log: segments, indexes, recovery, group commit, over `env::Disk`, in Apache Kafka's file
//! formats. Must not know requests, replication, or who waits for what.
//!
//! A [`PartitionLog`] lives behind one short lock of its host. Under it there is no I/O: an append
//! is kept in the in-memory tail and queued; the [`Committer`] of the log directory takes what is
//! queued, writes and syncs it, and tells the partition. What is not in the tail is read through a
//! [`LogView`], without the lock.
//!
//! Closed down to the file formats, the pieces are: [`LogDir`] (lock, small files),
//! [`PartitionLog`], [`LogView`], [`Committer`].

mod commit;
mod config;
mod error;
mod index;
mod load;
mod log_dir;
mod meta_properties;
mod names;
mod offset_checkpoint;
mod open_files;
mod partition_log;
mod partition_metadata;
mod producer_batch;
mod read;
mod scan;
mod segment;
mod tail;
mod txn_index;
mod view;

pub use commit::{CommitEvent, CommitTarget, Committer, Group, Stage, WriteSet};
pub use config::{FlushMode, LogConfig, LogDirLimits};
pub use error::{AppendError, LogError, ReadError};
pub use load::LoadReport;
pub use log_dir::{CleanShutdown, LoadPoints, LogDir, LogDirEntry};
pub use meta_properties::MetaProperties;
pub use names::{DirState, TopicPartition};
pub use offset_checkpoint::{OffsetCheckpoint, Offsets};
pub use partition_log::{Appended, OpenOptions, PartitionLog};
pub use read::{Answer, Fetched, ReadRequest, TimestampOffset, timestamps};
pub use txn_index::AbortedTransaction;
pub use view::LogView;
