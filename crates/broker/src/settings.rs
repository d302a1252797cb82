//! What the broker takes from its settings once, at start: those that Kafka calls read-only.
//! Must not know where settings come from, or what they are used for.

use std::time::Duration;

use ottla_metadata::configs::Effective;

/// Intervals below it would only keep a thread busy.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Settings that hold from start to stop.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Bytes of records in one answer to a fetch (`fetch.max.bytes`).
    pub(crate) fetch_bytes_max: usize,
    /// Fetch sessions that are remembered (`max.incremental.fetch.session.cache.slots`).
    pub(crate) fetch_session_slots: usize,
    /// Partitions of one DescribeTopicPartitions answer (`max.request.partition.size.limit`).
    pub(crate) described_partitions_max: usize,
    /// How often the broker says that it is alive (`broker.heartbeat.interval.ms`).
    pub(crate) heartbeat_interval: Duration,
    /// How often high watermarks are written down
    /// (`replica.high.watermark.checkpoint.interval.ms`).
    pub(crate) high_watermark_interval: Duration,
    /// How often recovery points are (`log.flush.offset.checkpoint.interval.ms`).
    pub(crate) recovery_point_interval: Duration,
    /// Threads that open the logs of one log directory (`num.recovery.threads.per.data.dir`), no
    /// more than there are cores.
    pub(crate) recovery_threads: usize,
    /// From so many files on a commit syncs their whole file system (`log.flush.file.system.min.files`).
    pub(crate) whole_from: usize,
    /// How often log starts are (`log.flush.start.offset.checkpoint.interval.ms`).
    pub(crate) log_start_interval: Duration,
    /// How often old segments are looked for (`log.retention.check.interval.ms`).
    pub(crate) retention_interval: Duration,
    /// When they are looked for first (`log.initial.task.delay.ms`).
    pub(crate) first_task_delay: Duration,
    /// How often idle producers are looked for (`producer.id.expiration.check.interval.ms`).
    pub(crate) producer_check_interval: Duration,
}

impl Settings {
    /// As they are in force now.
    pub(crate) fn read(effective: &Effective<'_>) -> Self {
        let size = |name: &str| {
            let number = effective.broker(name).as_i64().unwrap_or_default();
            usize::try_from(number).unwrap_or(0)
        };
        let never_or = |name: &str| {
            let number = effective.broker(name).as_i64().unwrap_or(-1);
            usize::try_from(number).unwrap_or(usize::MAX)
        };
        let interval = |name: &str| {
            let number = effective.broker(name).as_i64().unwrap_or_default();
            Duration::from_millis(u64::try_from(number).unwrap_or(0)).max(INTERVAL_MIN)
        };
        Self {
            fetch_bytes_max: size("fetch.max.bytes"),
            fetch_session_slots: size("max.incremental.fetch.session.cache.slots"),
            described_partitions_max: size("max.request.partition.size.limit"),
            heartbeat_interval: interval("broker.heartbeat.interval.ms"),
            high_watermark_interval: interval("replica.high.watermark.checkpoint.interval.ms"),
            recovery_point_interval: interval("log.flush.offset.checkpoint.interval.ms"),
            recovery_threads: size("num.recovery.threads.per.data.dir").clamp(1, cores()),
            whole_from: never_or("log.flush.file.system.min.files"),
            log_start_interval: interval("log.flush.start.offset.checkpoint.interval.ms"),
            retention_interval: interval("log.retention.check.interval.ms"),
            first_task_delay: interval("log.initial.task.delay.ms"),
            producer_check_interval: interval("producer.id.expiration.check.interval.ms"),
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Connections that the system completes before they are accepted (`socket.listen.backlog.size`).
pub(crate) fn listen_backlog(effective: &Effective<'_>) -> i32 {
    let number = effective.broker("socket.listen.backlog.size").as_i64().unwrap_or_default();
    i32::try_from(number).unwrap_or(i32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_metadata::Image;
    use ottla_metadata::configs::BrokerProperties;
    use ottla_protocol::NodeId;

    fn read(properties: &[(&str, &str)]) -> (Settings, i32) {
        let image = Image::default();
        let properties: BrokerProperties = properties.iter().copied().collect();
        let effective = Effective { image: &image, node: NodeId(1), properties: &properties };
        (Settings::read(&effective), listen_backlog(&effective))
    }

    #[test]
    fn kafkas_defaults() {
        let (settings, backlog) = read(&[]);
        assert_eq!(settings.fetch_bytes_max, 55 * 1024 * 1024);
        assert_eq!(settings.fetch_session_slots, 1000);
        assert_eq!(settings.described_partitions_max, 2000);
        assert_eq!(settings.heartbeat_interval, Duration::from_secs(2));
        assert_eq!(settings.high_watermark_interval, Duration::from_secs(5));
        assert_eq!(settings.recovery_point_interval, Duration::from_secs(60));
        assert_eq!(settings.log_start_interval, Duration::from_secs(60));
        assert_eq!(settings.retention_interval, Duration::from_secs(300));
        assert_eq!(settings.first_task_delay, Duration::from_secs(30));
        assert_eq!(settings.producer_check_interval, Duration::from_secs(600));
        assert_eq!(backlog, 50);
    }

    #[test]
    fn what_was_given_holds_and_no_interval_keeps_a_thread_busy() {
        let (settings, backlog) = read(&[
            ("fetch.max.bytes", "2048"),
            ("log.flush.offset.checkpoint.interval.ms", "0"),
            ("replica.high.watermark.checkpoint.interval.ms", "7000"),
            ("socket.listen.backlog.size", "7"),
        ]);
        assert_eq!(settings.fetch_bytes_max, 2048);
        assert_eq!(settings.recovery_point_interval, INTERVAL_MIN);
        assert_eq!(settings.high_watermark_interval, Duration::from_secs(7));
        assert_eq!(backlog, 7);
    }
}
