//! A partition's settings, ready for use. Must not know where they come from.

use ottla_log::{LogConfig, RetentionRules};
use ottla_metadata::configs::{self, FlushMode, TopicConfig};
use ottla_partition::{ProducerRules, ReplicaConfig};
use ottla_protocol::Millis;
use ottla_records::{AppendOrigin, Compression, TargetCompression, TimestampType, ValidationRules};

use crate::cleaner::CleaningConfig;

/// Settings of one partition.
#[derive(Debug)]
pub(crate) struct PartitionConfig {
    pub(crate) log: LogConfig,
    pub(crate) replica: ReplicaConfig,
    pub(crate) producers: ProducerRules,
    pub(crate) retention: RetentionRules,
    pub(crate) cleaning: CleaningConfig,
    rules: ValidationRules,
}

impl PartitionConfig {
    /// `jitter_ms` was drawn for this partition from 0..`segment.jitter.ms`.
    pub(crate) fn new(topic: &TopicConfig, producers: ProducerRules, jitter_ms: Millis) -> Self {
        let durable = topic.flush_mode == FlushMode::Durable;
        let unsigned = |n: i32| u32::try_from(n).unwrap_or(0);
        let size = |n: i32| usize::try_from(n).unwrap_or(0);
        Self {
            log: LogConfig {
                compact: topic.compact,
                segment_bytes: unsigned(topic.segment_bytes),
                segment_ms: Millis(topic.segment_ms),
                segment_jitter_ms: jitter_ms,
                index_interval_bytes: unsigned(topic.index_interval_bytes),
                segment_index_bytes: unsigned(topic.segment_index_bytes),
                flush_mode: if durable {
                    ottla_log::FlushMode::Durable
                } else {
                    ottla_log::FlushMode::Os
                },
                max_decompressed_bytes: size(topic.max_decompressed_message_bytes),
                file_delete_delay: Millis(topic.file_delete_delay_ms),
                ..LogConfig::default()
            },
            replica: ReplicaConfig {
                durable,
                min_insync_replicas: size(topic.min_insync_replicas),
            },
            producers,
            retention: RetentionRules {
                delete: topic.delete,
                retention_ms: (topic.retention_ms >= 0).then_some(Millis(topic.retention_ms)),
                retention_bytes: u64::try_from(topic.retention_bytes).ok(),
            },
            cleaning: CleaningConfig::new(topic),
            rules: ValidationRules {
                origin: AppendOrigin::Client,
                max_message_bytes: size(topic.max_message_bytes),
                compacted: topic.compact,
                timestamp_type: match topic.timestamp_type {
                    configs::TimestampType::CreateTime => TimestampType::CreateTime,
                    configs::TimestampType::LogAppendTime => TimestampType::LogAppendTime,
                },
                now: Millis(0),
                before_max: Millis(topic.timestamp_before_max_ms),
                after_max: Millis(topic.timestamp_after_max_ms),
                target_compression: target(topic.compression),
                max_decompressed_message_bytes: topic.max_decompressed_message_bytes,
                ..ValidationRules::default()
            },
        }
    }

    /// Bytes of the largest batch (`max.message.bytes`).
    pub(crate) fn max_message_bytes(&self) -> usize {
        self.rules.max_message_bytes
    }

    /// Whether records may be deleted: `cleanup.policy` contains `delete`.
    pub(crate) fn deletes_records(&self) -> bool {
        self.retention.delete
    }

    /// What a client's batch is held against at the time `now`.
    pub(crate) fn rules(&self, now: Millis) -> ValidationRules {
        ValidationRules { now, ..self.rules.clone() }
    }
}

/// The codec that batches are stored with.
fn target(compression: configs::Compression) -> TargetCompression {
    let (codec, level) = match compression {
        configs::Compression::Producer => return TargetCompression::Producer,
        configs::Compression::Uncompressed => (Compression::None, None),
        configs::Compression::Gzip(level) => (Compression::Gzip, Some(level)),
        configs::Compression::Snappy => (Compression::Snappy, None),
        configs::Compression::Lz4(level) => (Compression::Lz4, Some(level)),
        configs::Compression::Zstd(level) => (Compression::Zstd, Some(level)),
    };
    // −1 is gzip's own way to say "default".
    TargetCompression::Codec { codec, level: level.filter(|level| *level != -1) }
}
