//! Which settings a group may have: the ranges a broker sets for its groups (KIP-848, KIP-932,
//! KIP-1071; Kafka's `GroupConfig.validate`). Must not know what the settings do.

use std::collections::BTreeMap;

use ottla_protocol::ErrorCode;

use super::definition::ConfigKind;
use super::validate::{ConfigMap, parse_all};
use super::value::Value;
use super::{Effective, find};
use crate::refusal::Refusal;

/// A group's setting and the broker's bounds for it.
struct Bounds {
    name: &'static str,
    least: Option<&'static str>,
    most: Option<&'static str>,
}

const fn between(name: &'static str, least: &'static str, most: &'static str) -> Bounds {
    Bounds { name, least: Some(least), most: Some(most) }
}

const fn at_most(name: &'static str, most: &'static str) -> Bounds {
    Bounds { name, least: None, most: Some(most) }
}

const fn at_least(name: &'static str, least: &'static str) -> Bounds {
    Bounds { name, least: Some(least), most: None }
}

/// In the order in which Kafka checks them.
const BOUNDS: [Bounds; 15] = [
    between(
        "consumer.heartbeat.interval.ms",
        "group.consumer.min.heartbeat.interval.ms",
        "group.consumer.max.heartbeat.interval.ms",
    ),
    between(
        "consumer.session.timeout.ms",
        "group.consumer.min.session.timeout.ms",
        "group.consumer.max.session.timeout.ms",
    ),
    between(
        "consumer.assignment.interval.ms",
        "group.consumer.min.assignment.interval.ms",
        "group.consumer.max.assignment.interval.ms",
    ),
    between(
        "share.heartbeat.interval.ms",
        "group.share.min.heartbeat.interval.ms",
        "group.share.max.heartbeat.interval.ms",
    ),
    between(
        "share.session.timeout.ms",
        "group.share.min.session.timeout.ms",
        "group.share.max.session.timeout.ms",
    ),
    between(
        "share.record.lock.duration.ms",
        "group.share.min.record.lock.duration.ms",
        "group.share.max.record.lock.duration.ms",
    ),
    between(
        "share.delivery.count.limit",
        "group.share.min.delivery.count.limit",
        "group.share.max.delivery.count.limit",
    ),
    between(
        "share.partition.max.record.locks",
        "group.share.min.partition.max.record.locks",
        "group.share.max.partition.max.record.locks",
    ),
    between(
        "share.assignment.interval.ms",
        "group.share.min.assignment.interval.ms",
        "group.share.max.assignment.interval.ms",
    ),
    between(
        "streams.heartbeat.interval.ms",
        "group.streams.min.heartbeat.interval.ms",
        "group.streams.max.heartbeat.interval.ms",
    ),
    between(
        "streams.session.timeout.ms",
        "group.streams.min.session.timeout.ms",
        "group.streams.max.session.timeout.ms",
    ),
    at_most("streams.num.standby.replicas", "group.streams.max.standby.replicas"),
    between(
        "streams.assignment.interval.ms",
        "group.streams.min.assignment.interval.ms",
        "group.streams.max.assignment.interval.ms",
    ),
    at_least("streams.task.offset.interval.ms", "group.streams.min.task.offset.interval.ms"),
    at_most("streams.num.warmup.replicas", "group.streams.max.warmup.replicas"),
];

const TAGS: &str = "streams.rack.aware.assignment.tags";

pub(super) fn validate(base: &Effective<'_>, configs: &ConfigMap) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::new(ErrorCode::InvalidConfig, message));
    if let Some(name) = configs.keys().find(|name| find(ConfigKind::Group, name).is_none()) {
        return refuse(format!("Unknown group config name: {name}"));
    }
    if configs.get(TAGS).is_some_and(|text| has_repetition(text)) {
        return refuse(format!("{TAGS} must not contain duplicate tag keys."));
    }
    let values = parse_all(ConfigKind::Group, configs)?;
    for bounds in &BOUNDS {
        let Some(number) = values.get(bounds.name).and_then(Value::as_i64) else { continue };
        let limit = |name: Option<&str>| name.and_then(|name| base.broker(name).as_i64());
        let (name, least, most) = (bounds.name, limit(bounds.least), limit(bounds.most));
        let (below, above) =
            (least.is_some_and(|least| number < least), most.is_some_and(|most| number > most));
        match (least, most) {
            (Some(least), Some(most)) if below || above => {
                return refuse(format!("{name} must be in the range {least} to {most} inclusive."));
            }
            (None, Some(most)) if above => {
                return refuse(format!("{name} must be less than or equal to {most}"));
            }
            (Some(least), None) if below => {
                return refuse(format!("{name} must be greater than or equal to {least}"));
            }
            _ => {}
        }
    }
    assignor(base, &values)?;
    for kind in ["consumer", "share", "streams"] {
        let (session, heartbeat) =
            (format!("{kind}.session.timeout.ms"), format!("{kind}.heartbeat.interval.ms"));
        if !values.contains_key(session.as_str()) && !values.contains_key(heartbeat.as_str()) {
            continue;
        }
        let number = |name: &str| {
            let set = values.get(name).and_then(Value::as_i64);
            set.or_else(|| base.broker(&format!("group.{name}")).as_i64()).unwrap_or_default()
        };
        if number(&session) <= number(&heartbeat) {
            return refuse(format!("{session} must be greater than {heartbeat}"));
        }
    }
    let letters = values.get("errors.deadletterqueue.topic.name").and_then(Value::as_str);
    if letters.is_some_and(|name| name.starts_with("__")) {
        return refuse(
            "errors.deadletterqueue.topic.name: DLQ topic name must not start with '__'".to_owned(),
        );
    }
    Ok(())
}

fn assignor(base: &Effective<'_>, values: &BTreeMap<&'static str, Value>) -> Result<(), Refusal> {
    let Some(name) = values.get("streams.assignor.name").and_then(Value::as_str) else {
        return Ok(());
    };
    let registered = base.broker("group.streams.assignors");
    if registered.as_list().unwrap_or_default().iter().any(|known| known == name) {
        return Ok(());
    }
    let message = format!(
        "streams.assignor.name '{name}' is not a registered task assignor. Registered assignors are: {registered}."
    );
    Err(Refusal::new(ErrorCode::InvalidConfig, message))
}

fn has_repetition(text: &str) -> bool {
    if text.trim().is_empty() {
        return false;
    }
    let items: Vec<&str> = text.split(',').map(str::trim).collect();
    items
        .iter()
        .enumerate()
        .any(|(index, item)| items.iter().take(index).any(|earlier| earlier == item))
}
