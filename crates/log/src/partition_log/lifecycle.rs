//! Opening, closing and giving up a log. Must not know when the host does so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use ottla_partition::{ProducerRules, encode_snapshot};
use ottla_protocol::{Millis, Offset, TopicId};

use super::{PartitionLog, append};
use crate::commit::Op;
use crate::config::LogConfig;
use crate::error::LogError;
use crate::load::{self, LoadReport};
use crate::log_dir::LogDir;
use crate::names::{self, TopicPartition};
use crate::segment::PartitionDir;
use crate::tail::Tail;

/// When what opening a log finds, writes and accepts is made to survive a power cut (L5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncOn {
    /// Before [`PartitionLog::open`] returns: the log can be served at once.
    #[default]
    Open,
    /// By the host, with one [`ottla_env::Disk::sync_volume`] for many logs, after they were opened
    /// and before any of them is served.
    Later,
}

/// How a log is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The topic's id: written when the partition is new (or has none yet), else compared. `None`
    /// takes what is there.
    pub topic_id: Option<TopicId>,
    /// Settings of the log.
    pub config: LogConfig,
    /// Settings of the producer rules.
    pub producer_rules: ProducerRules,
    /// The last stop was clean: what is there is trusted.
    pub clean: bool,
    /// From the checkpoint: below, everything is known to be on stable storage.
    pub recovery_point: Offset,
    /// From the checkpoint.
    pub log_start: Offset,
    /// Milliseconds since the Unix epoch.
    pub now: Millis,
    /// Who syncs.
    pub sync: SyncOn,
}

impl OpenOptions {
    /// For a new partition, or one of which nothing is known: recovered from its start.
    #[must_use]
    pub fn new(topic_id: Option<TopicId>, config: LogConfig, now: Millis) -> Self {
        Self {
            topic_id,
            config,
            producer_rules: ProducerRules::default(),
            clean: false,
            recovery_point: Offset::ZERO,
            log_start: Offset::ZERO,
            now,
            sync: SyncOn::Open,
        }
    }
}

impl PartitionLog {
    /// Opens a partition's log, creating what is missing, recovering what a crash left. What it
    /// accepts is on stable storage when it returns. Blocks.
    ///
    /// # Errors
    /// When the disk fails; when the directory belongs to another topic id.
    pub fn open(
        log_dir: &Arc<LogDir>,
        partition: &TopicPartition,
        options: OpenOptions,
    ) -> Result<(Self, LoadReport), LogError> {
        log_dir.check()?;
        let dir = Arc::new(PartitionDir {
            log_dir: Arc::clone(log_dir),
            path: log_dir.path().join(partition.to_string()),
            retired: AtomicBool::new(false),
        });
        let loaded = load::load(&dir, &options)?;
        let log = Self {
            partition: partition.clone(),
            topic_id: loaded.topic_id,
            config: options.config,
            segments: Arc::new(loaded.segments),
            active: loaded.active,
            tail: Tail::new(log_dir, loaded.log_end),
            epochs: loaded.epochs,
            producers: loaded.producers,
            log_start: loaded.log_start,
            log_end: loaded.log_end,
            written_end: loaded.log_end,
            durable_end: loaded.log_end,
            idle_from: Offset::NONE,
            in_flight: false,
            pending: Vec::new(),
            queued: false,
            failure: None,
            maintenance: Arc::default(),
            dir,
        };
        Ok((log, loaded.report))
    }

    /// Stops cleanly: writes and syncs everything, takes a producer snapshot. Returns the
    /// recovery point, for the checkpoint. Blocks; no commit may be in flight.
    ///
    /// # Errors
    /// When the disk fails, or has failed before.
    pub fn close(mut self) -> Result<Offset, LogError> {
        self.shut()
    }

    /// As [`PartitionLog::close`], for a host that cannot give the log away. Nothing may be
    /// appended afterwards.
    ///
    /// # Errors
    /// When the disk fails, or has failed before.
    pub fn shut(&mut self) -> Result<Offset, LogError> {
        let segment = Arc::clone(self.active_segment());
        append::seal(&mut self.active, &segment, &mut self.pending);
        let content = Bytes::from(encode_snapshot(self.producers.entries()));
        self.pending
            .push(Op::Snapshot { name: names::file(self.log_end, names::SNAPSHOT), content });
        self.flush_now()?;
        self.end("it was closed");
        Ok(self.log_end)
    }

    /// Gives the log up, before its directory is moved aside: from here on its files may vanish,
    /// and that is no failure of the log directory. Drops what is queued.
    pub fn retire(&mut self) {
        self.dir.retired.store(true, Ordering::Release);
        self.pending.clear();
        self.end("the partition is being deleted");
    }

    /// Whether the committer is at work on this log: then its files are not moved.
    #[must_use]
    pub fn is_committing(&self) -> bool {
        self.in_flight
    }

    /// Takes no more writes; reads open the files again.
    fn end(&mut self, reason: &str) {
        let path = self.dir.path.clone();
        self.failure.get_or_insert(LogError::Offline { path, reason: reason.into() });
        for segment in self.segments.iter() {
            segment.close_files();
        }
    }
}
