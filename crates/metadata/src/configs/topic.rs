//! A topic's settings as the log and the broker use them, typed. Must not know where each comes
//! from.

use super::effective::Effective;
use super::value::Value;

/// When an acknowledged batch is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushMode {
    /// Synced before `acks=all` is answered.
    Durable,
    /// Written; the operating system syncs when it likes, as in Apache Kafka.
    Os,
}

/// Whose time a record carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, when the batch is appended.
    LogAppendTime,
}

/// What codec batches are stored with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As the producer sent them.
    Producer,
    /// None.
    Uncompressed,
    /// GZIP at this level; −1 is the codec's own choice.
    Gzip(i32),
    /// Snappy.
    Snappy,
    /// LZ4 at this level.
    Lz4(i32),
    /// ZSTD at this level.
    Zstd(i32),
}

/// The settings in force for one topic. Sizes in bytes, times in milliseconds, as their names say.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    missing_docs,
    reason = "each field is Kafka's topic setting of the same name, with its unit"
)]
pub struct TopicConfig {
    pub segment_bytes: i32,
    pub segment_ms: i64,
    pub segment_jitter_ms: i64,
    pub segment_index_bytes: i32,
    pub index_interval_bytes: i32,
    pub retention_bytes: i64,
    pub retention_ms: i64,
    pub delete_retention_ms: i64,
    pub min_compaction_lag_ms: i64,
    pub max_compaction_lag_ms: i64,
    pub min_cleanable_dirty_ratio: f64,
    /// `cleanup.policy` has `compact`.
    pub compact: bool,
    /// `cleanup.policy` has `delete`.
    pub delete: bool,
    pub max_message_bytes: i32,
    pub max_decompressed_message_bytes: i32,
    pub compression: Compression,
    pub timestamp_type: TimestampType,
    pub timestamp_before_max_ms: i64,
    pub timestamp_after_max_ms: i64,
    pub min_insync_replicas: i32,
    pub unclean_leader_election: bool,
    pub preallocate: bool,
    pub file_delete_delay_ms: i64,
    pub flush_messages: i64,
    pub flush_ms: i64,
    pub flush_mode: FlushMode,
}

impl Effective<'_> {
    /// The settings in force for a topic; for a name that does not exist, those it would get.
    #[must_use]
    pub fn topic(&self, topic: &str) -> TopicConfig {
        let value = |name: &str| self.topic_value(topic, name);
        let long = |name: &str| value(name).as_i64().unwrap_or_default();
        // The table bounds every INT to 32 bits; a test resolves them all.
        let int = |name: &str| i32::try_from(long(name)).unwrap_or(i32::MAX);
        let text = |name: &str| value(name).as_str().unwrap_or_default().to_owned();
        let policy = value("cleanup.policy");
        let has_policy =
            |word: &str| policy.as_list().unwrap_or_default().iter().any(|item| item == word);
        TopicConfig {
            segment_bytes: int("segment.bytes"),
            segment_ms: long("segment.ms"),
            segment_jitter_ms: long("segment.jitter.ms"),
            segment_index_bytes: int("segment.index.bytes"),
            index_interval_bytes: int("index.interval.bytes"),
            retention_bytes: long("retention.bytes"),
            retention_ms: long("retention.ms"),
            delete_retention_ms: long("delete.retention.ms"),
            min_compaction_lag_ms: long("min.compaction.lag.ms"),
            max_compaction_lag_ms: long("max.compaction.lag.ms"),
            min_cleanable_dirty_ratio: value("min.cleanable.dirty.ratio")
                .as_f64()
                .unwrap_or_default(),
            compact: has_policy("compact"),
            delete: has_policy("delete"),
            max_message_bytes: int("max.message.bytes"),
            max_decompressed_message_bytes: int("max.decompressed.message.bytes"),
            compression: match text("compression.type").as_str() {
                "uncompressed" => Compression::Uncompressed,
                "gzip" => Compression::Gzip(int("compression.gzip.level")),
                "snappy" => Compression::Snappy,
                "lz4" => Compression::Lz4(int("compression.lz4.level")),
                "zstd" => Compression::Zstd(int("compression.zstd.level")),
                _ => Compression::Producer,
            },
            timestamp_type: match text("message.timestamp.type").as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_before_max_ms: long("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: long("message.timestamp.after.max.ms"),
            min_insync_replicas: int("min.insync.replicas"),
            unclean_leader_election: value("unclean.leader.election.enable")
                == Value::Boolean(true),
            preallocate: value("preallocate") == Value::Boolean(true),
            file_delete_delay_ms: long("file.delete.delay.ms"),
            flush_messages: long("flush.messages"),
            flush_ms: long("flush.ms"),
            flush_mode: if text("flush.mode") == "os" { FlushMode::Os } else { FlushMode::Durable },
        }
    }
}
