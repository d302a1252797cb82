//! Which settings of a broker may change while it runs (KIP-226; Kafka's `DynamicBrokerConfig`).
//! Must not know what a change does.

use std::collections::BTreeSet;

use ottla_protocol::ErrorCode;

use super::Context;
use crate::configs::{self, ConfigKind, UpdateMode, validate::ConfigMap};
use crate::image::ConfigResource;
use crate::refusal::Refusal;

/// Settings of a listener that Kafka keeps under the listener's name only, by how they begin.
const PER_LISTENER: [&str; 1] = ["ssl."];

pub(super) fn validate(
    context: &Context<'_>,
    resource: &ConfigResource,
    settings: &ConfigMap,
) -> Result<(), Refusal> {
    let invalid = |message: String| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    if !resource.name.is_empty() {
        match resource.name.parse::<i32>() {
            Ok(id) if id == context.settings.node.get() => {}
            Ok(_) => {
                let (node, name) = (context.settings.node, &resource.name);
                return invalid(format!(
                    "Unexpected broker id, expected {node}, but received {name}"
                ));
            }
            Err(_) => {
                return invalid(format!(
                    "Node id must be an integer, but it is: {}",
                    resource.name
                ));
            }
        }
    }
    let listed = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(", ");
    let known = || settings.keys().filter_map(|name| configs::find(ConfigKind::Broker, name));
    let fixed: BTreeSet<&str> =
        known().filter(|def| def.update_mode == UpdateMode::ReadOnly).map(|def| def.name).collect();
    if !fixed.is_empty() {
        return invalid(format!("Cannot update these configs dynamically: [{}]", listed(fixed)));
    }
    let bare: BTreeSet<&str> = known()
        .filter(|def| def.update_mode == UpdateMode::PerBroker)
        .map(|def| def.name)
        .filter(|name| PER_LISTENER.iter().any(|prefix| name.starts_with(prefix)))
        .collect();
    if !bare.is_empty() {
        return invalid(format!(
            "These security configs can be dynamically updated only per-listener using the listener prefix: [{}]",
            listed(bare)
        ));
    }
    for (name, value) in settings {
        if let Some(def) = configs::find(ConfigKind::Broker, name) {
            def.parse(Some(value))
                .map_err(|wrong| Refusal::new(ErrorCode::InvalidRequest, wrong.0))?;
        }
    }
    if resource.name.is_empty() {
        let single: BTreeSet<&str> = known()
            .filter(|def| def.update_mode == UpdateMode::PerBroker)
            .map(|def| def.name)
            .collect();
        if !single.is_empty() {
            return invalid(format!(
                "Cannot update these configs at default cluster level, broker id must be specified: [{}]",
                listed(single)
            ));
        }
    }
    // A value for all brokers was refused above.
    if let Some(cordoned) = settings.get("cordoned.log.dirs") {
        let def = configs::find(ConfigKind::Broker, "cordoned.log.dirs");
        let cordoned = def.and_then(|def| def.parse(Some(cordoned)).ok());
        let cordoned = cordoned.as_ref().and_then(configs::Value::as_list).unwrap_or_default();
        let checked = context.effective().check_cordoned(cordoned);
        checked.map_err(|wrong| Refusal::new(ErrorCode::InvalidRequest, wrong.0))?;
    }
    Ok(())
}
