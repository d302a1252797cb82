//! The log: segments, indexes, recovery, group commit, over `env::Disk`, in Apache Kafka's file
//! formats. Must not know requests, replication, or who waits for what.
//!
//! A [`PartitionLog`] lives behind one short lock of its host. Under it there is no I/O: an append
//! is kept in the in-memory tail and queued; the [`Committer`] of the log directory takes what is
//! queued, writes and syncs it, and tells the partition. What is not in the tail is read through a
//! [`LogView`], without the lock.
//!
//! | piece | owns |
//! |---|---|
//! | [`LogDir`] | the lock of a log directory, its small files, the partitions' directories, its failure |
//! | [`PartitionLog`] | one partition: offsets, segments, tail, epochs, producers, what is queued |
//! | [`LogView`] | looking up in files what is no longer in memory |
//! | [`Committer`] | group commit: gather, write, sync, tell ([`CommitTarget`]) |
//!
//! The path of a batch: [`PartitionLog::append`] assigns offsets and queues; the host enqueues the
//! partition with the committer when told so; the committer calls [`CommitTarget::take`]
//! ([`PartitionLog::take_pending`]), writes, and reports [`CommitEvent::Written`] (survives the end
//! of the process), then [`CommitEvent::Durable`] (survives a power cut), each to be passed to
//! [`PartitionLog::on_commit`]. A failed write or sync takes the whole directory out of service:
//! nothing is tried again as if nothing had happened.
//!
//! The path of a read: [`PartitionLog::read`] answers from the tail, or gives a view that reads
//! the files after the lock is released.
//!
//! Indexes, producer snapshots and the leader-epoch file are derived: they are rebuilt when
//! missing or damaged, and an index entry is held against the log before it is used. Batches read
//! from files have their checksums checked: damaged data is never given out.

mod buried;
mod commit;
mod compact;
mod config;
mod durable_ends;
mod error;
mod failure;
mod future_log;
mod index;
mod load;
mod log_dir;
mod maintenance;
mod meta_properties;
mod names;
mod offset_checkpoint;
mod open_files;
mod partition_log;
mod partition_metadata;
mod producer_batch;
mod read;
mod read_buffers;
mod scan;
mod segment;
mod tail;
mod txn_index;
mod view;

pub use commit::{CommitEvent, CommitTarget, Committer, Group, Stage, WriteSet};
pub use compact::{
    CleaningRules, CompactError, CompactStats, Compacted, CompactionTarget, Compactor,
    CompactorOptions, Dirt, Pass,
};
pub use config::{FlushMode, LogConfig, LogDirLimits};
pub use error::{AppendError, LogError, ReadError};
pub use failure::Failure;
pub use future_log::{CopyError, FutureLog, Promoted};
pub use index::{Entry as IndexEntry, OffsetEntry, TimeEntry};
pub use load::{Judgement, LoadReport, judge};
pub use log_dir::{CleanShutdown, LoadPoints, LogDir, LogDirEntry};
pub use maintenance::{Claim, Maintenance};
pub use meta_properties::MetaProperties;
pub use names::{DirState, TopicPartition, file as file_name, future_dir, offset_of, parse_dir};
pub use offset_checkpoint::{OffsetCheckpoint, Offsets, decode as decode_offsets};
pub use partition_log::{
    Appended, OpenOptions, PartitionLog, Reload, Reloaded, Retention, RetentionPlan,
    RetentionRules, Rollback, RolledBack, SyncOn,
};
pub use partition_metadata::decode as decode_partition_metadata;
pub use producer_batch::producer_batch;
pub use read::{Answer, AtHand, Fetched, Piece, ReadRequest, TimestampOffset, timestamps};
pub use txn_index::AbortedTransaction;
pub use view::LogView;
