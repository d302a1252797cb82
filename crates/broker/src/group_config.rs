//! The group coordinator's settings out of the broker's. Must not know what they do.

use ottla_groups::Config;
use ottla_metadata::configs::Effective;
use ottla_protocol::Millis;

/// The settings in force.
pub(crate) fn read(effective: &Effective<'_>) -> Config {
    let number = |name: &str| effective.broker(name).as_i64();
    let millis = |name: &str, default: Millis| number(name).map_or(default, Millis);
    let size = |name: &str, default: usize| {
        number(name).and_then(|n| usize::try_from(n).ok()).unwrap_or(default)
    };
    let default = Config::default();
    let minutes = number("offsets.retention.minutes").map(|m| Millis(m.saturating_mul(60_000)));
    Config {
        group_min_session_timeout: millis(
            "group.min.session.timeout.ms",
            default.group_min_session_timeout,
        ),
        group_max_session_timeout: millis(
            "group.max.session.timeout.ms",
            default.group_max_session_timeout,
        ),
        group_max_size: size("group.max.size", default.group_max_size),
        group_initial_rebalance_delay: millis(
            "group.initial.rebalance.delay.ms",
            default.group_initial_rebalance_delay,
        ),
        offsets_retention: minutes.unwrap_or(default.offsets_retention),
        offsets_retention_check_interval: millis(
            "offsets.retention.check.interval.ms",
            default.offsets_retention_check_interval,
        ),
        offset_metadata_max: size("offset.metadata.max.bytes", default.offset_metadata_max),
        batch_max: size("message.max.bytes", default.batch_max),
    }
}
