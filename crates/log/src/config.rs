//! What of a topic's and a broker's settings the log follows. Must not know where they come from.

use ottla_protocol::Millis;

/// When the log's bytes go from the page cache to stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FlushMode {
    /// With each commit: what is acknowledged survives a power cut.
    #[default]
    Durable,
    /// When a segment is closed and at a clean stop; in between the operating system decides, as
    /// in Apache Kafka.
    Os,
}

/// Settings of one partition's log. The defaults are Apache Kafka's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`
    pub segment_bytes: u32,
    /// `segment.ms`
    pub segment_ms: Millis,
    /// Milliseconds by which `segment_ms` is cut short: the host draws them from
    /// 0..`segment.jitter.ms`, so that logs do not all roll at once.
    pub segment_jitter_ms: Millis,
    /// `index.interval.bytes`
    pub index_interval_bytes: u32,
    /// `segment.index.bytes`
    pub segment_index_bytes: u32,
    /// `flush.mode` (Ottla's own)
    pub flush_mode: FlushMode,
    /// `max.decompressed.message.bytes`: bound of what a lookup by timestamp unpacks of one batch.
    pub max_decompressed_bytes: usize,
    /// Bytes of committed batches that stay in memory for readers of the tail.
    pub tail_bytes: usize,
    /// `cleanup.policy` has `compact`: segments may end before the next one begins, and nothing is
    /// missing.
    pub compact: bool,
    /// `file.delete.delay.ms`: how long files of old segments stay after the log has let go of
    /// them.
    pub file_delete_delay: Millis,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: Millis(7 * 24 * 60 * 60 * 1000),
            segment_jitter_ms: Millis(0),
            index_interval_bytes: 4096,
            segment_index_bytes: 10 << 20,
            flush_mode: FlushMode::Durable,
            max_decompressed_bytes: i32::MAX as usize,
            tail_bytes: 2 << 20,
            compact: false,
            file_delete_delay: Millis(60_000),
        }
    }
}

/// Bounds that all logs of a log directory share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogDirLimits {
    /// Files of segments kept open; the least recently used are closed beyond.
    pub open_files: usize,
    /// Bytes of committed batches kept in memory, all partitions together.
    pub tail_bytes: usize,
    /// Each partition that has any may keep an even share of so many, and what its last commit wrote.
    pub tail_share_bytes: usize,
    /// Bytes of a file that are removed at once ([`crate::LogDir::remove_buried_in_steps`]).
    pub removal_step_bytes: u64,
}

impl Default for LogDirLimits {
    fn default() -> Self {
        Self {
            open_files: 4096,
            tail_bytes: 256 << 20,
            tail_share_bytes: 16 << 20,
            removal_step_bytes: 8 << 20,
        }
    }
}
