//! AlterConfigs and IncrementalAlterConfigs for topics, brokers, groups and client-metrics
//! subscriptions (Kafka's `ConfigAdminManager` and `ConfigurationControlManager`). Must not know
//! what a setting does.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::k33_alter_configs as legacy;
use ottla_protocol::k44_incremental_alter_configs as incremental;
use ottla_protocol::{
    AlterConfigsRequest, AlterConfigsResponse, ClearElrRecord, ConfigRecord, ErrorCode,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, MetadataRecord, NodeId,
    StrBytes,
};

use super::{Context, Records, broker_configs};
use crate::configs::{self, ConfigKind, ValueType, validate};
use crate::feature_table::MetadataVersion;
use crate::image::{ConfigResource, ResourceKind};
use crate::record::VersionedRecord;
use crate::refusal::Refusal;

const VALUE_BYTES_MAX: usize = 32_767;
const MIN_ISR: &str = "min.insync.replicas";

/// What is done to one setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Set,
    Delete,
    Append,
    Subtract,
}

/// The settings that change: the new value, or none for one that goes.
type Changes = BTreeMap<StrBytes, Option<StrBytes>>;

/// Single settings change; the others stay.
pub(super) fn change(
    context: &mut Context<'_>,
    request: &IncrementalAlterConfigsRequest,
) -> (Records, IncrementalAlterConfigsResponse) {
    let mut records = Records::new();
    let resources: Vec<ConfigResource> = request
        .resources
        .iter()
        .map(|one| resource(one.resource_type, &one.resource_name))
        .collect();
    let repeated = repeated(&resources);
    let responses = request.resources.iter().zip(&resources).map(|(asked, resource)| {
        let outcome = if repeated.contains(resource) {
            Err(twice())
        } else {
            changes(context, resource, &asked.configs)
        };
        let outcome =
            outcome.and_then(|changes| apply(context, resource, changes, &BTreeSet::new()));
        let refusal = outcome.as_ref().err();
        let response = incremental::AlterConfigsResourceResponse {
            error_code: refusal.map_or(0, |refusal| refusal.code.code()),
            error_message: refusal.and_then(Refusal::wire_message),
            resource_type: asked.resource_type,
            resource_name: asked.resource_name.clone(),
            ..incremental::AlterConfigsResourceResponse::default()
        };
        records.extend(outcome.unwrap_or_default());
        response
    });
    let responses = responses.collect();
    if request.validate_only {
        records.clear();
    }
    (
        records,
        IncrementalAlterConfigsResponse { responses, ..IncrementalAlterConfigsResponse::default() },
    )
}

/// All settings are replaced: what is not named goes.
pub(super) fn replace(
    context: &mut Context<'_>,
    request: &AlterConfigsRequest,
) -> (Records, AlterConfigsResponse) {
    let mut records = Records::new();
    let resources: Vec<ConfigResource> = request
        .resources
        .iter()
        .map(|one| resource(one.resource_type, &one.resource_name))
        .collect();
    let repeated = repeated(&resources);
    let responses = request.resources.iter().zip(&resources).map(|(asked, resource)| {
        let outcome = if repeated.contains(resource) {
            Err(twice())
        } else {
            replacement(context, resource, &asked.configs)
        };
        let outcome = outcome.and_then(|(changes, gone)| apply(context, resource, changes, &gone));
        let refusal = outcome.as_ref().err();
        let response = legacy::AlterConfigsResourceResponse {
            error_code: refusal.map_or(0, |refusal| refusal.code.code()),
            error_message: refusal.and_then(Refusal::wire_message),
            resource_type: asked.resource_type,
            resource_name: asked.resource_name.clone(),
            ..legacy::AlterConfigsResourceResponse::default()
        };
        records.extend(outcome.unwrap_or_default());
        response
    });
    let responses = responses.collect();
    if request.validate_only {
        records.clear();
    }
    (records, AlterConfigsResponse { responses, ..AlterConfigsResponse::default() })
}

fn resource(kind: i8, name: &StrBytes) -> ConfigResource {
    ConfigResource { kind: ResourceKind::from_wire(kind), name: name.clone() }
}

fn repeated(resources: &[ConfigResource]) -> BTreeSet<ConfigResource> {
    let mut seen = BTreeSet::new();
    resources.iter().filter(|resource| !seen.insert(*resource)).cloned().collect()
}

fn twice() -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, "Each resource must appear at most once.")
}

/// Checks that every name stands once and every value that is needed is there.
fn check_shape<'a>(settings: impl Iterator<Item = (&'a StrBytes, bool)>) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    let (mut repeats, mut without) = (false, Vec::new());
    for (name, lacks_value) in settings {
        repeats |= !seen.insert(name);
        if lacks_value {
            without.push(name.as_str());
        }
    }
    if repeats {
        return Err(Refusal::new(ErrorCode::InvalidRequest, "Error due to duplicate config keys"));
    }
    if !without.is_empty() {
        let message = format!("Null value not supported for : {}", without.join(", "));
        return Err(Refusal::new(ErrorCode::InvalidRequest, message));
    }
    Ok(())
}

fn changes(
    context: &Context<'_>,
    resource: &ConfigResource,
    settings: &[incremental::AlterableConfig],
) -> Result<Changes, Refusal> {
    check_shape(
        settings.iter().map(|setting| {
            (&setting.name, setting.config_operation != 1 && setting.value.is_none())
        }),
    )?;
    check_kind(resource)?;
    let mut changes = Changes::new();
    for setting in settings {
        let operation = match setting.config_operation {
            0 => Operation::Set,
            1 => Operation::Delete,
            2 => Operation::Append,
            3 => Operation::Subtract,
            other => {
                let message = format!("Unknown operations type {other}");
                return Err(Refusal::new(ErrorCode::InvalidRequest, message));
            }
        };
        let value = setting.value.as_ref();
        let new = match operation {
            Operation::Set => value.cloned(),
            Operation::Delete => None,
            Operation::Append | Operation::Subtract => Some(listed(
                context,
                resource,
                &setting.name,
                operation,
                value.map_or("", |value| value.as_str()),
            )?),
        };
        changes.insert(setting.name.clone(), new);
    }
    let before = context.image.config(resource);
    // A broker acts on a setting each time it is set, so that it is written even if it is the same.
    changes.retain(|name, new| {
        resource.kind == ResourceKind::Broker
            || before.and_then(|before| before.get(name)) != new.as_ref()
    });
    Ok(changes)
}

/// A list setting's value with items added or taken away.
fn listed(
    context: &Context<'_>,
    resource: &ConfigResource,
    name: &StrBytes,
    operation: Operation,
    items: &str,
) -> Result<StrBytes, Refusal> {
    let kind = match resource.kind {
        ResourceKind::Topic => ConfigKind::Topic,
        ResourceKind::Group => ConfigKind::Group,
        ResourceKind::ClientMetrics => ConfigKind::ClientMetrics,
        ResourceKind::Broker | ResourceKind::BrokerLogger | ResourceKind::Other(_) => {
            ConfigKind::Broker
        }
    };
    let def = configs::find(kind, name).filter(|def| def.value_type == ValueType::List);
    let Some(def) = def else {
        let word = if operation == Operation::Append { "APPEND" } else { "SUBTRACT" };
        let message = if resource.kind == ResourceKind::Broker {
            format!(
                "Config value {} is not allowed for config key: {name}",
                word.to_ascii_lowercase()
            )
        } else {
            format!("Can't {word} to key {name} because its type is not LIST.")
        };
        return Err(Refusal::new(ErrorCode::InvalidConfig, message));
    };
    let before = context
        .image
        .config(resource)
        .and_then(|settings| settings.get(name))
        .map(ToString::to_string);
    let before = before.or_else(|| def.default_value().to_text()).unwrap_or_default();
    let mut list: Vec<&str> = before.split(',').filter(|item| !item.is_empty()).collect();
    for item in items.split(',') {
        let place = list.iter().position(|present| *present == item);
        match (operation, place) {
            (Operation::Append, None) => list.push(item),
            (Operation::Subtract, Some(place)) => {
                list.remove(place);
            }
            (Operation::Append | Operation::Subtract | Operation::Set | Operation::Delete, _) => {}
        }
    }
    Ok(StrBytes::from(list.join(",")))
}

fn replacement(
    context: &Context<'_>,
    resource: &ConfigResource,
    settings: &[legacy::AlterableConfig],
) -> Result<(Changes, BTreeSet<StrBytes>), Refusal> {
    check_shape(settings.iter().map(|setting| (&setting.name, setting.value.is_none())))?;
    check_kind(resource)?;
    let before = context.image.config(resource);
    let wanted: BTreeSet<&StrBytes> = settings.iter().map(|setting| &setting.name).collect();
    let present = before.into_iter().flat_map(|before| before.keys());
    let gone: BTreeSet<StrBytes> = present.filter(|name| !wanted.contains(name)).cloned().collect();
    let changed = settings.iter().filter(|setting| {
        resource.kind == ResourceKind::Broker
            || before.and_then(|before| before.get(&setting.name)) != setting.value.as_ref()
    });
    let changes = changed.map(|setting| (setting.name.clone(), setting.value.clone())).collect();
    Ok((changes, gone))
}

fn check_kind(resource: &ConfigResource) -> Result<(), Refusal> {
    let unknown = |kind: String| Err(Refusal::new(ErrorCode::InvalidRequest, kind));
    match resource.kind {
        ResourceKind::Topic
        | ResourceKind::Broker
        | ResourceKind::Group
        | ResourceKind::ClientMetrics => Ok(()),
        ResourceKind::BrokerLogger | ResourceKind::Other(_) => {
            unknown(format!("Unknown resource type {}", resource.kind.wire_id()))
        }
    }
}

/// Checks what the settings would be, and gives the records that make them so.
fn apply(
    context: &Context<'_>,
    resource: &ConfigResource,
    changes: Changes,
    gone: &BTreeSet<StrBytes>,
) -> Result<Records, Refusal> {
    let mut settings = context.image.config(resource).cloned().unwrap_or_default();
    for name in gone {
        settings.remove(name);
    }
    for (name, value) in &changes {
        match value {
            Some(value) => settings.insert(name.clone(), value.clone()),
            None => settings.remove(name),
        };
    }
    if resource.kind == ResourceKind::Broker {
        broker_configs::validate(context, resource, &settings)?;
    }
    let version = MetadataVersion(context.image.features().metadata_version());
    let elr =
        version.has_elr() && context.image.features().level("eligible.leader.replicas.version") > 0;
    check_values(resource, &changes, gone, elr)?;
    validate::settings(&context.effective(), resource, &settings)?;
    check_exists(context, resource)?;
    let gone = gone.iter().map(|name| (name.clone(), None));
    let mut records = Records::new();
    let mut new_minimum = false;
    for (name, value) in changes.into_iter().chain(gone) {
        new_minimum |= name == MIN_ISR;
        let record = ConfigRecord {
            resource_type: resource.kind.wire_id(),
            resource_name: resource.name.clone(),
            name,
            value,
            ..ConfigRecord::default()
        };
        records.push(VersionedRecord::new(MetadataRecord::Config(Box::new(record)), 0));
    }
    if elr && new_minimum && matches!(resource.kind, ResourceKind::Topic | ResourceKind::Broker) {
        // Who was eligible under the old minimum may not be under the new one (KIP-966).
        let topic_name = if resource.kind == ResourceKind::Topic {
            resource.name.clone()
        } else {
            StrBytes::default()
        };
        let record = ClearElrRecord { topic_name, ..ClearElrRecord::default() };
        records.push(VersionedRecord::new(MetadataRecord::ClearElr(Box::new(record)), 0));
    }
    Ok(records)
}

fn check_values(
    resource: &ConfigResource,
    changes: &Changes,
    gone: &BTreeSet<StrBytes>,
    elr: bool,
) -> Result<(), Refusal> {
    let refuse = |message: &str| Err(Refusal::new(ErrorCode::InvalidConfig, message));
    if changes.values().flatten().any(|value| value.len() > VALUE_BYTES_MAX) {
        return refuse(
            "The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes.",
        );
    }
    if elr && resource.kind == ResourceKind::Broker {
        if !resource.name.is_empty() && (changes.contains_key(MIN_ISR) || gone.contains(MIN_ISR)) {
            return refuse(
                "Broker-level min.insync.replicas cannot be altered while ELR is enabled.",
            );
        }
        if resource.name.is_empty()
            && (changes.get(MIN_ISR) == Some(&None) || gone.contains(MIN_ISR))
        {
            return refuse(
                "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.",
            );
        }
    }
    Ok(())
}

fn check_exists(context: &Context<'_>, resource: &ConfigResource) -> Result<(), Refusal> {
    match resource.kind {
        ResourceKind::Topic if context.image.topic(&resource.name).is_none() => Err(Refusal::new(
            ErrorCode::UnknownTopicOrPartition,
            format!("The topic '{}' does not exist.", resource.name),
        )),
        ResourceKind::Broker if !resource.name.is_empty() => {
            let id = resource.name.parse().map(NodeId).unwrap_or(NodeId::NONE);
            if context.image.broker(id).is_some() || context.image.controller(id).is_some() {
                return Ok(());
            }
            Err(Refusal::new(
                ErrorCode::BrokerIdNotRegistered,
                format!("No node with id {id} found."),
            ))
        }
        ResourceKind::Topic
        | ResourceKind::Broker
        | ResourceKind::BrokerLogger
        | ResourceKind::ClientMetrics
        | ResourceKind::Group
        | ResourceKind::Other(_) => Ok(()),
    }
}
