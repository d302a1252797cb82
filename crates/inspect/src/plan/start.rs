//! A start in rehearsal: a log directory, its metadata, its partitions, opened as the broker opens
//! them. Must not know what is said of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_controller::{ControllerError, Rehearsed, rehearse};
use ottla_env::Disk;
use ottla_log::{
    FlushMode, LoadPoints, LoadReport, LogConfig, LogDir, LogDirLimits, LogError, OpenOptions,
    PartitionLog, TopicPartition,
};
use ottla_metadata::Image;
use ottla_metadata::configs::{self, BrokerProperties, Effective};
use ottla_protocol::{Millis, NodeId, Offset};

use super::rehearsal::{Change, Reads, Rehearsal};
use crate::error::InspectError;

/// Directory of the metadata log.
pub(crate) const METADATA_DIR: &str = "__cluster_metadata-0";

/// How a start is rehearsed.
#[derive(Clone, Copy, Debug)]
pub struct PlanOptions {
    /// `flush.mode` of the topics: decides what was promised above the recovery point. `None`: as
    /// the metadata says, where the directory has it.
    pub flush_mode: Option<FlushMode>,
    /// `index.interval.bytes`, where the metadata says nothing.
    pub index_interval_bytes: u32,
    /// Milliseconds since the Unix epoch.
    pub now: Millis,
}

/// A log directory whose start is being rehearsed.
pub(crate) struct Start {
    rehearsal: Rehearsal,
    pub(crate) dir: Arc<LogDir>,
    pub(crate) points: LoadPoints,
    options: PlanOptions,
    pub(crate) node: Option<NodeId>,
}

/// What opening a partition gives.
pub(crate) struct Outcome {
    /// First and next offset, and what was done; or why the partition stays offline.
    pub(crate) result: Result<(Offset, Offset, LoadReport), LogError>,
    pub(crate) changes: Vec<Change>,
    pub(crate) reads: BTreeMap<PathBuf, Reads>,
}

/// What loading the metadata log gives.
pub(crate) struct MetadataOutcome {
    pub(crate) result: Result<Rehearsed, ControllerError>,
    pub(crate) changes: Vec<Change>,
    pub(crate) reads: BTreeMap<PathBuf, Reads>,
}

impl Start {
    /// Reads what a start reads first: `meta.properties`, the marker of a clean stop, checkpoints.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn begin(
        disk: &Arc<dyn Disk>,
        path: &Path,
        options: PlanOptions,
    ) -> Result<Self, InspectError> {
        let rehearsal = Rehearsal::new(Arc::clone(disk));
        let dir = LogDir::open(Arc::new(rehearsal.clone()), path, LogDirLimits::default())
            .map_err(cannot_look)?;
        let node = dir.read_meta_properties().ok().flatten().and_then(|meta| meta.node_id);
        let points = dir.begin_load().map_err(cannot_look)?;
        rehearsal.take();
        Ok(Self { rehearsal, dir, points, options, node })
    }

    /// Whether the last stop was clean.
    pub(crate) fn is_clean(&self) -> bool {
        self.points.clean.is_some()
    }

    pub(crate) fn recovery_point(&self, partition: &TopicPartition) -> Option<Offset> {
        self.points.recovery.get(partition).copied()
    }

    /// Opens a partition as the broker does, and forgets what that changed.
    ///
    /// # Errors
    /// When the disk fails: then nothing is known.
    pub(crate) fn open(
        &self,
        partition: &TopicPartition,
        image: Option<&Image>,
    ) -> Result<Outcome, InspectError> {
        let topic = image.and_then(|image| image.topic(&partition.topic));
        let config = self.config(partition, image.filter(|_| topic.is_some()));
        let mut options = OpenOptions::new(topic.map(|topic| topic.id), config, self.options.now);
        options.clean = self.is_clean();
        options.recovery_point = self.recovery_point(partition).unwrap_or_default();
        options.log_start = self.points.log_start.get(partition).copied().unwrap_or_default();
        let result = PartitionLog::open(&self.dir, partition, options)
            .map(|(log, report)| (log.log_start(), log.log_end(), report));
        let (changes, reads) = self.rehearsal.take();
        self.rehearsal.forget(&self.dir.path().join(partition.to_string()));
        if let Err(LogError::Disk(error)) = &result {
            return Err(error.clone().into());
        }
        Ok(Outcome { result, changes, reads })
    }

    /// The settings that decide what recovery does. What the node was started with is not known
    /// here: topics' own settings and the cluster's are.
    fn config(&self, partition: &TopicPartition, image: Option<&Image>) -> LogConfig {
        let mut config = LogConfig {
            index_interval_bytes: self.options.index_interval_bytes,
            ..LogConfig::default()
        };
        if let Some(image) = image {
            let properties = BrokerProperties::default();
            let node = self.node.unwrap_or(NodeId(0));
            let topic = Effective { image, node, properties: &properties }.topic(&partition.topic);
            config.compact = topic.compact;
            config.index_interval_bytes =
                u32::try_from(topic.index_interval_bytes).unwrap_or(config.index_interval_bytes);
            config.flush_mode = match topic.flush_mode {
                configs::FlushMode::Durable => FlushMode::Durable,
                configs::FlushMode::Os => FlushMode::Os,
            };
        }
        config.flush_mode = self.options.flush_mode.unwrap_or(config.flush_mode);
        config
    }

    /// Loads the metadata log as the controller does.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn metadata(&self) -> Result<MetadataOutcome, InspectError> {
        let disk: Arc<dyn Disk> = Arc::new(self.rehearsal.clone());
        let node = self.node.unwrap_or(NodeId(0));
        let result = rehearse(&disk, self.dir.path(), node);
        let (changes, reads) = self.rehearsal.take();
        self.rehearsal.forget(&self.dir.path().join(METADATA_DIR));
        if let Err(ControllerError::Disk(error)) = &result {
            return Err(error.clone().into());
        }
        Ok(MetadataOutcome { result, changes, reads })
    }
}

fn cannot_look(error: LogError) -> InspectError {
    if let LogError::Disk(error) = error {
        return error.into();
    }
    InspectError::Usage(error.to_string())
}
