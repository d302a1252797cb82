//! The settings of compaction: of the broker, read anew each round, and of a topic. Must not know
//! what they are used for.

use std::time::Duration;

use ottla_log::CleaningRules;
use ottla_metadata::configs::{Effective, TopicConfig};
use ottla_protocol::Millis;

/// The least that a thread's map of keys has, and its buffers.
const MAP_BYTES_MIN: usize = 1024;
const IO_BYTES_MIN: usize = 4096;
/// Resting shorter would only keep a thread busy.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
/// More threads than logs on any broker.
const THREADS_MAX: usize = 64;

/// `log.cleaner.*`
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CleanerSettings {
    pub(super) enabled: bool,
    pub(super) threads: usize,
    /// Bytes of the map of keys of one thread.
    pub(super) map_bytes: usize,
    pub(super) load_factor: f64,
    /// Bytes that a thread reads, and writes, at a time.
    pub(super) io_bytes: usize,
    /// Bytes a second, of all threads, read and written; `None` for no limit.
    pub(super) bytes_per_second: Option<f64>,
    pub(super) backoff: Duration,
}

impl CleanerSettings {
    pub(super) fn read(effective: &Effective<'_>) -> Self {
        let long = |name: &str| effective.broker(name).as_i64().unwrap_or_default();
        let size = |name: &str| usize::try_from(long(name)).unwrap_or(0);
        let double = |name: &str| effective.broker(name).as_f64().unwrap_or(f64::MAX);
        let threads = size("log.cleaner.threads").min(THREADS_MAX);
        let share = threads.max(1);
        let rate = double("log.cleaner.io.max.bytes.per.second");
        Self {
            enabled: effective.broker("log.cleaner.enable").as_bool().unwrap_or(true),
            threads,
            map_bytes: (size("log.cleaner.dedupe.buffer.size") / share).max(MAP_BYTES_MIN),
            load_factor: double("log.cleaner.io.buffer.load.factor"),
            // Half for reading, half for writing, as in Kafka.
            io_bytes: (size("log.cleaner.io.buffer.size") / share / 2).max(IO_BYTES_MIN),
            bytes_per_second: (rate < f64::MAX && rate > 0.0).then_some(rate),
            backoff: Duration::from_millis(
                u64::try_from(long("log.cleaner.backoff.ms")).unwrap_or(0),
            )
            .max(BACKOFF_MIN),
        }
    }
}

/// What of a topic's settings compaction goes by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CleaningConfig {
    /// `cleanup.policy` has `compact`.
    pub(crate) compact: bool,
    /// `cleanup.policy` has `delete` as well.
    pub(crate) delete: bool,
    pub(crate) rules: CleaningRules,
    /// `delete.retention.ms`
    pub(crate) delete_retention: Millis,
}

impl CleaningConfig {
    pub(crate) fn new(topic: &TopicConfig) -> Self {
        Self {
            compact: topic.compact,
            delete: topic.delete,
            rules: CleaningRules {
                min_dirty_ratio: topic.min_cleanable_dirty_ratio,
                min_lag: Millis(topic.min_compaction_lag_ms),
                max_lag: Millis(topic.max_compaction_lag_ms),
            },
            delete_retention: Millis(topic.delete_retention_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_metadata::Image;
    use ottla_metadata::configs::BrokerProperties;
    use ottla_protocol::NodeId;

    fn read(properties: &[(&str, &str)]) -> CleanerSettings {
        let image = Image::default();
        let properties: BrokerProperties = properties.iter().copied().collect();
        CleanerSettings::read(&Effective {
            image: &image,
            node: NodeId(1),
            properties: &properties,
        })
    }

    #[test]
    fn kafkas_defaults() {
        let settings = read(&[]);
        assert_eq!(
            settings,
            CleanerSettings {
                enabled: true,
                threads: 1,
                map_bytes: 128 << 20,
                load_factor: 0.9,
                io_bytes: 256 << 10,
                bytes_per_second: None,
                backoff: Duration::from_secs(15),
            }
        );
    }

    #[test]
    fn threads_share_the_memory() {
        let settings = read(&[
            ("log.cleaner.threads", "4"),
            ("log.cleaner.io.max.bytes.per.second", "1048576"),
            ("log.cleaner.backoff.ms", "0"),
        ]);
        assert_eq!((settings.map_bytes, settings.io_bytes), (32 << 20, 64 << 10));
        assert_eq!(settings.bytes_per_second, Some(1_048_576.0));
        assert_eq!(settings.backoff, BACKOFF_MIN);
    }
}
