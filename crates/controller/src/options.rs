//! What a controller is started with. Must not know where it was written.

use std::path::PathBuf;
use std::sync::Arc;

use ottla_env::{Clock, Disk, Rng};
use ottla_metadata::configs::BrokerProperties;

use crate::meta::MetaProperties;
use crate::voters::Endpoint;

/// What a controller is started with.
pub struct ControllerOptions {
    /// Where the metadata directory is.
    pub disk: Arc<dyn Disk>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// The log directory with `meta.properties`; the log is in `__cluster_metadata-0` in it.
    pub metadata_dir: PathBuf,
    /// What its `meta.properties` says.
    pub meta: MetaProperties,
    /// Where this controller listens for others; empty when it does not.
    pub endpoints: Vec<Endpoint>,
    /// The settings of the process.
    pub properties: BrokerProperties,
    /// When the log is rolled and snapshots are taken.
    pub log: MetadataLogSettings,
}

/// When the log is rolled and snapshots are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataLogSettings {
    /// Size of a segment, in bytes (`metadata.log.segment.bytes`).
    pub segment_bytes: u64,
    /// Bytes of records after which a snapshot is taken
    /// (`metadata.log.max.record.bytes.between.snapshots`).
    pub snapshot_bytes: u64,
    /// Time after which a snapshot is taken if there is anything new
    /// (`metadata.log.max.snapshot.interval.ms`); 0 for never.
    pub snapshot_interval_ms: u64,
    /// Space kept back for the log, in bytes (`metadata.log.reserve.bytes`); `None` for a small
    /// part of the volume.
    pub reserve_bytes: Option<u64>,
}

impl Default for MetadataLogSettings {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            snapshot_bytes: 20 << 20,
            snapshot_interval_ms: 3_600_000,
            reserve_bytes: Some(0),
        }
    }
}
