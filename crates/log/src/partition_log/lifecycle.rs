//! Opening, closing and giving up a log. Must not know when the host does so.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use ottla_env::OpenMode;
use ottla_env::mark;
use ottla_partition::{EpochCache, ProducerRules, ProducerStates, encode_snapshot};
use ottla_protocol::{Millis, Offset, TopicId};

use super::{Active, PartitionLog, append};
use crate::commit::{Op, WriteSet};
use crate::config::LogConfig;
use crate::error::LogError;
use crate::load::{self, LoadReport, Loaded};
use crate::log_dir::LogDir;
use crate::names::{self, TopicPartition};
use crate::partition_metadata;
use crate::segment::{PartitionDir, Segment};
use crate::tail::Tail;

/// `partition.metadata` before everything else of a new partition is safe.
const METADATA_TMP: &str = "partition.metadata.tmp";

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
        Self::open_in(PartitionDir::of(log_dir, partition), partition, options)
    }

    /// As [`PartitionLog::open`], whatever name the directory has.
    pub(crate) fn open_in(
        dir: Arc<PartitionDir>,
        partition: &TopicPartition,
        options: OpenOptions,
    ) -> Result<(Self, LoadReport), LogError> {
        dir.log_dir.check()?;
        let loaded = load::load(&dir, partition.partition, &options)?;
        let report = loaded.report.clone();
        let mut log = Self::assemble(dir, partition, options.config, loaded);
        log.compacted = log.dir.log_dir.was_cleaned(partition);
        if log.has_final_entries() {
            let snapshot = names::file(log.log_end, names::SNAPSHOT);
            // Nobody needs to be told that an empty log has no producers.
            let known = log.log_end == Offset::ZERO
                || log.dir.disk().exists(&log.dir.path.join(snapshot))?;
            log.at_rest = known.then_some(log.log_end);
        }
        Ok((log, report))
    }

    /// Creates the log of a new partition; `None` when its directory is there already, whatever
    /// is in it: that is for [`PartitionLog::open`]. Nothing is synced, and before
    /// [`PartitionLog::finish_create`] Apache Kafka and [`PartitionLog::open`] take the directory
    /// for one that nobody has written to: for hosts that create many and sync them together.
    /// Blocks.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn create(
        log_dir: &Arc<LogDir>,
        partition: &TopicPartition,
        options: OpenOptions,
    ) -> Result<Option<Self>, LogError> {
        log_dir.check()?;
        let dir = PartitionDir::of(log_dir, partition);
        let disk = dir.disk();
        if disk.exists(&dir.path)? {
            return Ok(None);
        }
        disk.create_dir(&dir.path)?;
        if let Some(id) = options.topic_id {
            let file = disk.open(&dir.path.join(METADATA_TMP), OpenMode::CreateEmpty)?;
            file.write_at(&[Bytes::from(partition_metadata::encode(id))], 0)?;
        }
        let first = Segment::new(&dir, Offset::ZERO);
        first.create()?;
        let loaded = Loaded {
            topic_id: options.topic_id,
            segments: vec![Arc::new(first)],
            active: Active::empty(options.now),
            epochs: EpochCache::new(),
            producers: ProducerStates::new(options.producer_rules, Offset::ZERO),
            log_start: Offset::ZERO,
            log_end: Offset::ZERO,
            report: LoadReport::default(),
        };
        let mut log = Self::assemble(dir, partition, options.config, loaded);
        log.at_rest = Some(Offset::ZERO);
        Ok(Some(log))
    }

    /// Second step of [`PartitionLog::create`], after one [`ottla_env::Disk::sync_volume`] for all
    /// that were created; another follows, before anything is appended. Blocks.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn finish_create(&mut self) -> Result<(), LogError> {
        if self.topic_id.is_some() {
            let path = &self.dir.path;
            let to = path.join(names::PARTITION_METADATA);
            self.dir.disk().rename(&path.join(METADATA_TMP), &to)?;
        }
        Ok(())
    }

    fn assemble(
        dir: Arc<PartitionDir>,
        partition: &TopicPartition,
        config: LogConfig,
        loaded: Loaded,
    ) -> Self {
        Self {
            partition: partition.clone(),
            topic_id: loaded.topic_id,
            config,
            segments: Arc::new(loaded.segments),
            active: loaded.active,
            tail: Tail::new(&dir.log_dir, loaded.log_end),
            epochs: loaded.epochs,
            epochs_unwritten: false,
            producers: loaded.producers,
            log_start: loaded.log_start,
            log_end: loaded.log_end,
            written_end: loaded.log_end,
            durable_end: loaded.log_end,
            idle_from: Offset::NONE,
            in_flight: false,
            uncommitted_bytes: 0,
            taken_bytes: 0,
            closing: Vec::new(),
            pending: Vec::new(),
            queued: false,
            halted: false,
            held: false,
            at_rest: None,
            failure: None,
            maintenance: Arc::default(),
            compacted: false,
            dir,
        }
    }

    /// Stops cleanly: writes and syncs everything, takes a producer snapshot. Returns the
    /// recovery point, for the checkpoint. Blocks; no commit may be in flight.
    ///
    /// # Errors
    /// When the disk fails, or has failed before.
    pub fn close(mut self) -> Result<Offset, LogError> {
        self.shut(SyncOn::Open)?;
        Ok(self.log_end)
    }

    /// As [`PartitionLog::close`], for a host that cannot give the log away. Nothing may be
    /// appended afterwards; the log's end is its recovery point. Returns whether anything was
    /// written: with [`SyncOn::Later`] the host has to sync it. A log whose files are as a clean
    /// stop leaves them is not touched.
    ///
    /// # Errors
    /// When the disk fails, or has failed before.
    pub fn shut(&mut self, sync: SyncOn) -> Result<bool, LogError> {
        match self.write_last(sync) {
            // What there was no space for can be made again from the batches.
            Err(error)
                if error.is_no_space()
                    && self.failure.is_none()
                    && self.durable_end == self.log_end =>
            {
                mark!("closed-without-space");
                self.drop_unfinished_indexes()?;
                self.end("it was closed");
                Ok(true)
            }
            other => other,
        }
    }

    /// After a clean stop Apache Kafka takes a time index for whole; without an offset index it
    /// makes both anew, and so does this crate.
    fn drop_unfinished_indexes(&self) -> Result<(), LogError> {
        let disk = self.dir.disk();
        let active = self.active_segment().base;
        for segment in self.segments.iter().filter(|s| s.base == active || !s.is_sealed()) {
            match disk.remove_file(&segment.path(names::OFFSET_INDEX)) {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(disk.sync_dir(&self.dir.path)?)
    }

    fn write_last(&mut self, sync: SyncOn) -> Result<bool, LogError> {
        // Its producers are not known before.
        self.resume(Millis(0))?;
        if self.is_at_rest() {
            self.check()?;
            self.end("it was closed");
            return Ok(false);
        }
        let segment = Arc::clone(self.active_segment());
        append::seal(&mut self.active, &segment, &mut self.pending);
        let content = Bytes::from(encode_snapshot(self.producers.entries()));
        let name = names::file(self.log_end, names::SNAPSHOT);
        // With `SyncOn::Later` the old one must stay until the new one is safe.
        self.pending.push(Op::Snapshot { name, content, instead_of: None });
        // What replaces or removes something must not come before a sync.
        let in_order =
            |op: &Op| matches!(op, Op::Replace { .. } | Op::Remove { .. } | Op::Bury { .. });
        if sync == SyncOn::Open || self.pending.iter().any(in_order) {
            self.flush_now()?;
        } else {
            self.write_now()?;
        }
        self.end("it was closed");
        Ok(true)
    }

    /// Whether the files are as a clean stop leaves them.
    fn is_at_rest(&self) -> bool {
        self.at_rest == Some(self.log_end)
            && self.pending.is_empty()
            && self.durable_end == self.log_end
    }

    /// Whether the indexes of the last segment end as those of a closed one do.
    fn has_final_entries(&self) -> bool {
        self.active.largest.timestamp <= self.active.last_time_entry
            && self.active_segment().entries() == self.active_segment().entries_on_disk()
    }

    /// Writes what is queued and syncs nothing.
    fn write_now(&mut self) -> Result<(), LogError> {
        self.check()?;
        assert!(!self.in_flight, "one commit of a log at a time");
        let ops = std::mem::take(&mut self.pending);
        let done = WriteSet::new(&self.dir, ops, self.log_end).write();
        match done {
            Err(error) if error.is_no_space() => {
                self.roll_back()?;
                Err(error)
            }
            other => self.fail_on(other),
        }
    }

    /// Gives the log up, before its directory is moved aside: from here on its files may vanish,
    /// and that is no failure of the log directory. Drops what is queued.
    pub fn retire(&mut self) {
        self.dir.retired.store(true, Ordering::Release);
        if let Some(key) = self.durable_end_key() {
            self.dir.log_dir.durable_ends.forget(key);
        }
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
