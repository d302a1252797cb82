//! The log of one partition: its segments, its tail, its epochs and producers, and what is queued
//! for the committer. Does no I/O where it does not say so. Must not know who waits for commits,
//! nor which replicas there are.

mod append;
mod hold;
mod lifecycle;
mod on_commit;
mod reading;
mod retention;
mod rollback;
mod swap;
mod truncate;

use std::sync::Arc;

use bytes::Bytes;
use ottla_env::planted;
use ottla_partition::{EpochCache, ProducerStates};
use ottla_protocol::{LeaderEpoch, Millis, Offset, TopicId};

pub use append::Appended;
pub use lifecycle::{OpenOptions, SyncOn};
pub use retention::{Retention, RetentionPlan, RetentionRules};
pub use rollback::{Reload, Reloaded, Rollback, RolledBack};

use crate::commit::Op;
use crate::config::LogConfig;
use crate::durable_ends::{self, DurableEnd};
use crate::error::LogError;
use crate::log_dir::LogDir;
use crate::maintenance::Maintenance;
use crate::names::{self, TopicPartition};
use crate::segment::{Largest, PartitionDir, Segment};
use crate::tail::Tail;

/// The log of one partition. Its host keeps it behind one lock, held for moments.
///
/// Operations that queue something return whether the host must call
/// [`crate::Committer::enqueue`] now (`needs_commit`): true for the first since the committer last
/// took what is queued.
#[derive(Debug)]
pub struct PartitionLog {
    partition: TopicPartition,
    topic_id: Option<TopicId>,
    dir: Arc<PartitionDir>,
    config: LogConfig,
    segments: Arc<Vec<Arc<Segment>>>,
    active: Active,
    tail: Tail,
    epochs: EpochCache,
    /// The file has not got the last epoch yet: it gets it with the epoch's first batch.
    epochs_unwritten: bool,
    producers: ProducerStates,
    log_start: Offset,
    log_end: Offset,
    written_end: Offset,
    durable_end: Offset,
    /// The log's end when idleness was last looked at.
    idle_from: Offset,
    /// A write set was taken, and its last report is not there yet.
    in_flight: bool,
    /// Bytes of batches whose commit is not through, and how many of them were taken.
    uncommitted_bytes: u64,
    taken_bytes: u64,
    /// Closed segments that were not written whole when the last one was closed, and their bytes.
    closing: Vec<(Arc<Segment>, u64)>,
    pending: Vec<Op>,
    /// The committer was told, and has not taken yet.
    queued: bool,
    /// There was no space; nothing is appended until [`PartitionLog::resume`].
    halted: bool,
    /// Nothing is given to the committer: the log is about to move.
    held: bool,
    /// Where the log ended when its files were as a clean stop leaves them, if nothing was appended
    /// since.
    at_rest: Option<Offset>,
    failure: Option<LogError>,
    maintenance: Arc<Maintenance>,
    /// It was compacted, now or earlier, whatever its topic's policy is now: where a segment ends
    /// before the next begins, nothing is lost.
    compacted: bool,
}

/// What an append needs to know of the last segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Active {
    /// Bytes, with what is not written yet.
    pub(crate) size: u64,
    pub(crate) bytes_since_index: u64,
    /// Last entry of the time index, −1 for none.
    pub(crate) last_time_entry: i64,
    pub(crate) largest: Largest,
    /// Maximum timestamp of the first batch; `None` for an empty segment.
    pub(crate) first_timestamp: Option<i64>,
    pub(crate) created: Millis,
    /// The entries that wait in memory are queued to be written.
    pub(crate) index_queued: bool,
    /// The newest snapshot of the producers that is not at the segment's base: how large the
    /// segment was then, and the log's end.
    pub(crate) snapshot: Option<(u64, Offset)>,
}

impl Active {
    pub(crate) fn empty(now: Millis) -> Self {
        Self {
            size: 0,
            bytes_since_index: 0,
            last_time_entry: -1,
            largest: Largest::NONE,
            first_timestamp: None,
            created: now,
            index_queued: false,
            snapshot: None,
        }
    }

    fn snapshot_name(&self) -> Option<String> {
        self.snapshot.map(|(_, offset)| names::file(offset, names::SNAPSHOT))
    }
}

impl PartitionLog {
    /// Which partition's log it is.
    #[must_use]
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The log directory it is in.
    #[must_use]
    pub fn log_dir(&self) -> &Arc<LogDir> {
        &self.dir.log_dir
    }

    /// The topic's id, when `partition.metadata` has one.
    #[must_use]
    pub fn topic_id(&self) -> Option<TopicId> {
        self.topic_id
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Changes the settings; they count from the next append on.
    pub fn set_config(&mut self, config: LogConfig) {
        self.config = config;
    }

    /// First offset of the log.
    #[must_use]
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// Offset of the next record.
    #[must_use]
    pub fn log_end(&self) -> Offset {
        self.log_end
    }

    /// Batches below are with the operating system.
    #[must_use]
    pub fn written_end(&self) -> Offset {
        self.written_end
    }

    /// Batches below are on stable storage: the log's recovery point.
    #[must_use]
    pub fn durable_end(&self) -> Offset {
        self.durable_end
    }

    /// Bytes of all segments, with what is not written yet.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        let closed = self.segments.split_last().map_or(&[][..], |(_, closed)| closed);
        closed.iter().map(|s| s.written()).sum::<u64>() + self.active.size
    }

    /// Bytes of batches that the tail holds in memory.
    #[must_use]
    pub fn tail_bytes(&self) -> usize {
        self.tail.bytes()
    }

    /// Number of segments.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// Who may remove, replace or cut segments: used without the log's lock.
    #[must_use]
    pub fn maintenance(&self) -> &Arc<Maintenance> {
        &self.maintenance
    }

    /// The leader epochs.
    #[must_use]
    pub fn epochs(&self) -> &EpochCache {
        &self.epochs
    }

    /// What is known of producers, and the last stable offset.
    #[must_use]
    pub fn producers(&self) -> &ProducerStates {
        &self.producers
    }

    /// The producers, for what changes nothing in the log: verification, expiry, the high
    /// watermark's movement.
    pub fn producers_mut(&mut self) -> &mut ProducerStates {
        &mut self.producers
    }

    /// Why nothing more can be appended, when the log directory failed.
    #[must_use]
    pub fn failure(&self) -> Option<&LogError> {
        self.failure.as_ref()
    }

    /// A new leader begins: its epoch starts at the log's end. The file of epochs gets it with
    /// its first batch: who loads a log, here and in Apache Kafka, drops an epoch that begins at
    /// the log's end, and a broker that starts leads all its partitions anew.
    pub fn assign_epoch(&mut self, epoch: LeaderEpoch) {
        self.epochs_unwritten |= self.epochs.assign(epoch, self.log_end);
        self.note_durable_end();
    }

    fn durable_end_key(&self) -> Option<durable_ends::Key> {
        Some((self.topic_id?, self.partition.partition))
    }

    /// For who writes down, beside the commits, how far they are.
    pub(crate) fn note_durable_end(&self) {
        let Some(key) = self.durable_end_key() else { return };
        // A commit may end after the log was given up, and then nobody would forget it any more.
        if self.dir.is_retired() {
            return;
        }
        let epoch = self.epochs.latest().map_or(LeaderEpoch::NONE, |latest| latest.epoch);
        let end = match planted("durable-end-before-sync") {
            true => self.log_end,
            false => self.durable_end,
        };
        let known = DurableEnd { epoch, end };
        self.dir.log_dir.durable_ends.note(key, known);
    }

    fn queue_epochs(&mut self) {
        self.epochs_unwritten = false;
        let content = Bytes::from(self.epochs.encode_checkpoint());
        self.pending.push(Op::Replace { name: names::LEADER_EPOCHS, content });
    }

    /// Whether the host must tell the committer now.
    fn queue(&mut self) -> bool {
        if self.pending.is_empty() || self.queued {
            return false;
        }
        self.queued = true;
        true
    }

    fn active_segment(&self) -> &Arc<Segment> {
        let last = self.segments.last();
        assert!(last.is_some(), "a log has at least one segment");
        #[expect(clippy::expect_used, reason = "asserted in the line before")]
        last.expect("a log has at least one segment")
    }

    fn check(&self) -> Result<(), LogError> {
        match &self.failure {
            Some(error) => Err(error.clone()),
            None => self.dir.log_dir.check(),
        }
    }
}
