//! Which settings a client-metrics subscription may have (KIP-714; Kafka's
//! `ClientMetricsConfigs`). Must not know metrics.

use ottla_protocol::ErrorCode;

use super::definition::ConfigKind;
use super::find;
use super::validate::{ConfigMap, parse_all};
use super::value::Value;
use crate::refusal::Refusal;

const INTERVAL_MS: std::ops::RangeInclusive<i64> = 100..=3_600_000;
const MATCHED: [&str; 6] = [
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

pub(super) fn validate(configs: &ConfigMap) -> Result<(), Refusal> {
    if let Some(name) = configs.keys().find(|name| find(ConfigKind::ClientMetrics, name).is_none())
    {
        let message = format!("Unknown client metrics configuration: {name}");
        return Err(Refusal::new(ErrorCode::InvalidRequest, message));
    }
    let values = parse_all(ConfigKind::ClientMetrics, configs)?;
    if let Some(interval) =
        values.get("interval.ms").and_then(Value::as_i64).filter(|ms| !INTERVAL_MS.contains(ms))
    {
        let message = format!(
            "Invalid value {interval} for interval.ms, interval must be between 100 and 3600000 (1 hour)"
        );
        return Err(Refusal::new(ErrorCode::InvalidRequest, message));
    }
    for pattern in values.get("match").and_then(Value::as_list).unwrap_or_default() {
        let illegal = |what: &str| {
            Refusal::new(
                ErrorCode::InvalidConfig,
                format!("Illegal client matching pattern: {what}"),
            )
        };
        let (name, expression) = pattern.split_once('=').ok_or_else(|| illegal(pattern))?;
        if !MATCHED.contains(&name.trim()) || !brackets_close(expression) {
            return Err(illegal(pattern));
        }
    }
    Ok(())
}

/// Whether the brackets of a regular expression close. The subscriptions are only kept today; what
/// else makes an expression bad shows when they are compiled.
fn brackets_close(expression: &str) -> bool {
    let (mut open, mut escaped) = (Vec::new(), false);
    for letter in expression.chars() {
        let in_class = open.last() == Some(&'[');
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => open.push('['),
            ']' if in_class => {
                open.pop();
            }
            '(' if !in_class => open.push('('),
            ')' if !in_class && open.pop() != Some('(') => return false,
            _ => {}
        }
    }
    open.is_empty() && !escaped
}
