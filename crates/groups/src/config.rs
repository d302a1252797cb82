//! The settings a shard obeys. Must not know where they were written.

use ottla_protocol::Millis;

/// Settings of the group coordinator, each named as Kafka's broker setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `group.min.session.timeout.ms`: the shortest session time-out a member may ask for.
    pub group_min_session_timeout: Millis,
    /// `group.max.session.timeout.ms`: the longest session time-out a member may ask for.
    pub group_max_session_timeout: Millis,
    /// `group.max.size`: how many members a classic group may have.
    pub group_max_size: usize,
    /// `group.initial.rebalance.delay.ms`: how long an empty group waits for more members before
    /// its first rebalance completes.
    pub group_initial_rebalance_delay: Millis,
    /// `offsets.retention.minutes`, in milliseconds: how long offsets outlive their group, or,
    /// without a group, their commit.
    pub offsets_retention: Millis,
    /// `offsets.retention.check.interval.ms`: how often expired offsets are looked for.
    pub offsets_retention_check_interval: Millis,
    /// `offset.metadata.max.bytes`: how long the text beside a committed offset may be, in UTF-16
    /// code units, as Kafka counts.
    pub offset_metadata_max: usize,
    /// `max.message.bytes` of `__consumer_offsets`: how long one batch of its log may be, in bytes.
    /// What has to be in one batch and is longer is refused.
    pub batch_max: usize,
}

impl Default for Config {
    /// Kafka's defaults, except that the first rebalance of a group is not delayed.
    fn default() -> Self {
        Self {
            group_min_session_timeout: Millis(6_000),
            group_max_session_timeout: Millis(1_800_000),
            group_max_size: usize::try_from(i32::MAX).unwrap_or(usize::MAX),
            group_initial_rebalance_delay: Millis(0),
            offsets_retention: Millis(7 * 24 * 60 * 60_000),
            offsets_retention_check_interval: Millis(600_000),
            offset_metadata_max: 4096,
            batch_max: 1_048_588,
        }
    }
}
