//! Whether a resource may have these settings: names known, values good, and good together, as
//! Kafka 4.4's `ControllerConfigurationValidator` decides. Must not know who asks.

use std::collections::BTreeMap;

use ottla_protocol::{ErrorCode, StrBytes};

use super::definition::{ConfigKind, Origin};
use super::value::{InvalidValue, Value};
use super::{ConfigDef, client_metrics, find, group};
use crate::configs::Effective;
use crate::image::{ConfigResource, ResourceKind};
use crate::refusal::Refusal;
use crate::topic_name;

/// Settings of one resource by name.
pub(crate) type ConfigMap = BTreeMap<StrBytes, StrBytes>;

impl From<InvalidValue> for Refusal {
    fn from(invalid: InvalidValue) -> Self {
        Self::new(ErrorCode::InvalidConfig, invalid.0)
    }
}

/// Whether a resource of this name can have settings at all.
pub(crate) fn resource(resource: &ConfigResource) -> Result<(), Refusal> {
    let invalid = |message: &str| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    match resource.kind {
        ResourceKind::Topic if resource.name.is_empty() => {
            invalid("Default topic resources are not allowed.")
        }
        ResourceKind::Topic => topic_name::validate(&resource.name),
        ResourceKind::Broker if resource.name.is_empty() => Ok(()),
        ResourceKind::Broker => match resource.name.parse::<i32>() {
            Ok(id) if id < 0 => invalid("Invalid negative broker ID."),
            Ok(_) => Ok(()),
            Err(_) => invalid("Unable to parse broker name as a base 10 number."),
        },
        ResourceKind::Group if resource.name.is_empty() => {
            invalid("Default group resources are not allowed.")
        }
        ResourceKind::ClientMetrics if resource.name.is_empty() => {
            invalid("Subscription name can't be empty")
        }
        ResourceKind::Group | ResourceKind::ClientMetrics => Ok(()),
        ResourceKind::BrokerLogger | ResourceKind::Other(_) => Err(Refusal::new(
            ErrorCode::InvalidRequest,
            format!("Unknown resource type {}", resource.kind),
        )),
    }
}

/// Whether the resource may have exactly these settings. `base` resolves what the broker says,
/// for rules that compare with it.
pub(crate) fn settings(
    base: &Effective<'_>,
    target: &ConfigResource,
    configs: &ConfigMap,
) -> Result<(), Refusal> {
    resource(target)?;
    match target.kind {
        ResourceKind::Topic => topic(base, configs),
        ResourceKind::Group => group::validate(base, configs),
        ResourceKind::ClientMetrics => client_metrics::validate(configs),
        // What a broker may change is checked where the request arrives (`alter_broker`).
        ResourceKind::Broker => Ok(()),
        ResourceKind::BrokerLogger | ResourceKind::Other(_) => Ok(()),
    }
}

fn topic(base: &Effective<'_>, configs: &ConfigMap) -> Result<(), Refusal> {
    if let Some(name) = configs.keys().find(|name| find(ConfigKind::Topic, name).is_none()) {
        return Err(Refusal::new(
            ErrorCode::InvalidConfig,
            format!("Unknown topic config name: {name}"),
        ));
    }
    let values = parse_all(ConfigKind::Topic, configs)?;
    let number = |name: &str| {
        let set = values.get(name).and_then(Value::as_i64);
        set.or_else(|| base.topic_default(name).as_i64()).unwrap_or_default()
    };
    let (least, most) = (number("min.compaction.lag.ms"), number("max.compaction.lag.ms"));
    if least > most {
        return Err(Refusal::new(
            ErrorCode::InvalidConfig,
            format!(
                "conflict topic config setting min.compaction.lag.ms ({least}) > max.compaction.lag.ms ({most})"
            ),
        ));
    }
    if values.get("remote.storage.enable").and_then(Value::as_bool) == Some(true) {
        return Err(Refusal::new(
            ErrorCode::InvalidConfig,
            "Tiered Storage functionality is disabled in the broker. \
             Topic cannot be configured with remote log storage.",
        ));
    }
    Ok(())
}

/// The settings read by their types; names the table does not know are left out.
pub(super) fn parse_all(
    kind: ConfigKind,
    configs: &ConfigMap,
) -> Result<BTreeMap<&'static str, Value>, InvalidValue> {
    let mut values = BTreeMap::new();
    for (name, text) in configs {
        if let Some(def) = find(kind, name) {
            values.insert(def.name, def.parse(Some(text))?);
        }
    }
    Ok(values)
}

/// Whether the table lists the setting to users.
pub(super) fn is_listed(def: &ConfigDef) -> bool {
    def.origin != Origin::Internal
}

#[cfg(test)]
mod tests {
    use ottla_protocol::{NodeId, StrBytes};

    use super::{ConfigMap, settings};
    use crate::configs::{BrokerProperties, Effective};
    use crate::image::{ConfigResource, Image, ResourceKind};

    /// What Apache Kafka 4.4.0 answers to each kind of wrong value of each setting.
    #[test]
    fn values_are_judged_as_kafka_judges_them() {
        let (image, properties) = (Image::default(), BrokerProperties::default());
        let base = Effective { image: &image, node: NodeId(1), properties: &properties };
        let mut wrong = Vec::new();
        let mut rows = 0;
        for line in include_str!("../../tests/golden/config-values.tsv")
            .lines()
            .filter(|line| !line.starts_with('#'))
        {
            let columns: Vec<&str> = line.split('\t').collect();
            let kind = match columns[0] {
                "topic" => ResourceKind::Topic,
                "group" => ResourceKind::Group,
                _ => ResourceKind::ClientMetrics,
            };
            let resource = ConfigResource { kind, name: StrBytes::from("foo") };
            let configs =
                ConfigMap::from([(StrBytes::from(columns[1]), StrBytes::from(columns[2]))]);
            let answer = match settings(&base, &resource, &configs) {
                Ok(()) => "ok".to_owned(),
                Err(refusal) => {
                    format!("{}\t{}", refusal.code.name(), refusal.message.unwrap_or_default())
                }
            };
            rows += 1;
            if answer != columns[3..].join("\t") {
                wrong.push(format!("{line}\n  is answered\t{answer}"));
            }
        }
        assert!(rows > 500, "{rows} rows");
        assert!(wrong.is_empty(), "{} of {rows}:\n{}", wrong.len(), wrong.join("\n"));
    }
}
