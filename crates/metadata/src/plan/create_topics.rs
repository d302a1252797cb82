//! CreateTopics, with all options (Kafka's `ControllerApis.createTopics` and
//! `ReplicationControlManager.createTopics`). Must not know which broker stores what.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::k19_create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult,
};
use ottla_protocol::{
    ConfigRecord, CreateTopicsRequest, CreateTopicsResponse, ErrorCode, MetadataRecord, StrBytes,
    TopicRecord, Uuid,
};

use super::{Context, RECORDS_MAX, Records, placement, replicas};
use crate::configs::{DescribedConfig, validate};
use crate::feature_table::MetadataVersion;
use crate::image::{ConfigResource, Image, Partition, ResourceKind};
use crate::random::draw_id;
use crate::record::VersionedRecord;
use crate::refusal::Refusal;
use crate::topic_name;

pub(super) fn plan(
    context: &mut Context<'_>,
    request: &CreateTopicsRequest,
) -> Result<(Records, CreateTopicsResponse), Refusal> {
    check_size(context, request)?;
    let mut records = Records::new();
    let mut results = Vec::with_capacity(request.topics.len());
    let mut prohibited = Vec::new();
    let repeated = repeated_names(request);
    for topic in request.topics.iter().filter(|topic| !repeated.contains(&topic.name)) {
        if topic.name == topic_name::CLUSTER_METADATA {
            let message = format!(
                "Creation of internal topic {} is prohibited.",
                topic_name::CLUSTER_METADATA
            );
            prohibited.push(failed(&topic.name, &Refusal::new(ErrorCode::InvalidRequest, message)));
            continue;
        }
        match one(context, topic) {
            Ok((new, result)) => {
                records.extend(new);
                results.push(result);
            }
            Err(refusal) => results.push(failed(&topic.name, &refusal)),
        }
    }
    let twice = Refusal::new(ErrorCode::InvalidRequest, "Duplicate topic name.");
    results.extend(repeated.iter().map(|name| failed(name, &twice)));
    results.extend(prohibited);
    if request.validate_only {
        records.clear();
    }
    Ok((records, CreateTopicsResponse { topics: results, ..CreateTopicsResponse::default() }))
}

/// Whether the request asks for more partitions than one batch of records may hold.
fn check_size(context: &Context<'_>, request: &CreateTopicsRequest) -> Result<(), Refusal> {
    let partitions = request.topics.iter().map(|topic| {
        if !topic.assignments.is_empty() {
            topic.assignments.len()
        } else if topic.num_partitions == -1 {
            usize::try_from(default_of(context, "num.partitions")).unwrap_or(1)
        } else {
            usize::try_from(topic.num_partitions).unwrap_or(0)
        }
    });
    if partitions.fold(0_usize, usize::saturating_add) > RECORDS_MAX {
        return Err(Refusal::new(
            ErrorCode::PolicyViolation,
            "Excessively large number of partitions per request.",
        ));
    }
    Ok(())
}

fn default_of(context: &Context<'_>, setting: &str) -> i64 {
    context.effective().broker(setting).as_i64().unwrap_or(1)
}

/// Names that stand in the request more than once.
fn repeated_names(request: &CreateTopicsRequest) -> BTreeSet<StrBytes> {
    let mut seen = BTreeSet::new();
    request
        .topics
        .iter()
        .filter(|topic| !seen.insert(&topic.name))
        .map(|topic| topic.name.clone())
        .collect()
}

fn failed(name: &StrBytes, refusal: &Refusal) -> CreatableTopicResult {
    CreatableTopicResult {
        name: name.clone(),
        error_code: refusal.code.code(),
        error_message: refusal.wire_message(),
        num_partitions: -1,
        replication_factor: -1,
        ..CreatableTopicResult::default()
    }
}

fn one(
    context: &mut Context<'_>,
    topic: &CreatableTopic,
) -> Result<(Records, CreatableTopicResult), Refusal> {
    check_name(context.image, &topic.name)?;
    let configs = check_configs(context, topic)?;
    let partitions = if topic.assignments.is_empty() {
        placed(context, topic)?
    } else {
        assigned(context, topic)?
    };
    let id = draw_id(context.random);
    let effective = context.effective();
    let described = effective.describe_new_topic(&configs);
    let version = MetadataVersion(context.image.features().metadata_version());
    let mut records = vec![VersionedRecord::new(
        MetadataRecord::Topic(Box::new(TopicRecord {
            name: topic.name.clone(),
            topic_id: id,
            ..TopicRecord::default()
        })),
        0,
    )];
    records.extend(configs.into_iter().map(|(name, value)| {
        let record = ConfigRecord {
            resource_type: ResourceKind::Topic.wire_id(),
            resource_name: topic.name.clone(),
            name,
            value: Some(value),
            ..ConfigRecord::default()
        };
        VersionedRecord::new(MetadataRecord::Config(Box::new(record)), 0)
    }));
    records.extend(
        partitions.iter().map(|(index, partition)| partition.to_record(id, *index, version)),
    );
    Ok((records, created(&topic.name, id, &partitions, described)))
}

fn created(
    name: &StrBytes,
    id: Uuid,
    partitions: &BTreeMap<i32, Partition>,
    described: Vec<DescribedConfig>,
) -> CreatableTopicResult {
    let factor = partitions.values().next().map_or(0, |partition| partition.replicas.len());
    let configs = described.into_iter().map(|config| CreatableTopicConfigs {
        name: config.name,
        value: config.value.map(StrBytes::from),
        read_only: config.read_only,
        config_source: config.source.wire_id(),
        is_sensitive: config.sensitive,
        ..CreatableTopicConfigs::default()
    });
    CreatableTopicResult {
        name: name.clone(),
        topic_id: id,
        error_message: None,
        num_partitions: i32::try_from(partitions.len()).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(factor).unwrap_or(i16::MAX),
        configs: Some(configs.collect()),
        ..CreatableTopicResult::default()
    }
}

fn check_name(image: &Image, name: &StrBytes) -> Result<(), Refusal> {
    if image.topic(name).is_some() {
        return Err(Refusal::new(
            ErrorCode::TopicAlreadyExists,
            format!("Topic '{name}' already exists."),
        ));
    }
    if let Some(other) = image.colliding_topic(name) {
        let message = format!("Topic '{name}' collides with existing topic: {other}");
        return Err(Refusal::new(ErrorCode::InvalidTopicException, message));
    }
    topic_name::validate(name)
}

fn check_configs(
    context: &Context<'_>,
    topic: &CreatableTopic,
) -> Result<validate::ConfigMap, Refusal> {
    let without: Vec<&str> = topic
        .configs
        .iter()
        .filter(|config| config.value.is_none())
        .map(|config| config.name.as_str())
        .collect();
    if !without.is_empty() {
        let message = format!("Null value not supported for topic configs: {}", without.join(","));
        return Err(Refusal::new(ErrorCode::InvalidConfig, message));
    }
    let configs: validate::ConfigMap = topic
        .configs
        .iter()
        .filter_map(|config| Some((config.name.clone(), config.value.clone()?)))
        .collect();
    let resource = ConfigResource { kind: ResourceKind::Topic, name: topic.name.clone() };
    validate::settings(&context.effective(), &resource, &configs)?;
    Ok(configs)
}

/// Partitions where the request says.
fn assigned(
    context: &Context<'_>,
    topic: &CreatableTopic,
) -> Result<BTreeMap<i32, Partition>, Refusal> {
    let refuse = |code, message: String| Err(Refusal::new(code, message));
    if topic.replication_factor != -1 {
        return refuse(
            ErrorCode::InvalidRequest,
            "A manual partition assignment was specified, but replication factor was not set to -1.".to_owned(),
        );
    }
    if topic.num_partitions != -1 {
        return refuse(
            ErrorCode::InvalidRequest,
            "A manual partition assignment was specified, but numPartitions was not set to -1."
                .to_owned(),
        );
    }
    let mut partitions = BTreeMap::new();
    let mut count = None;
    for assignment in &topic.assignments {
        let index = assignment.partition_index;
        if partitions.contains_key(&index) {
            let message =
                format!("Found multiple manual partition assignments for partition {index}");
            return refuse(ErrorCode::InvalidReplicaAssignment, message);
        }
        let nodes = replicas::check_manual(context.image, &assignment.broker_ids, count)?;
        count = Some(nodes.len());
        let Some(partition) = replicas::begin(context.image, &nodes) else {
            let message = format!(
                "All brokers specified in the manual partition assignment for partition {index} are fenced or in \
                 controlled shutdown."
            );
            return refuse(ErrorCode::InvalidReplicaAssignment, message);
        };
        partitions.insert(index, partition);
    }
    if !partitions.keys().copied().eq((0_i32..).take(partitions.len())) {
        let message = "partitions should be a consecutive 0-based integer sequence".to_owned();
        return refuse(ErrorCode::InvalidReplicaAssignment, message);
    }
    Ok(partitions)
}

/// Partitions wherever there is room.
fn placed(
    context: &mut Context<'_>,
    topic: &CreatableTopic,
) -> Result<BTreeMap<i32, Partition>, Refusal> {
    if topic.replication_factor < -1 || topic.replication_factor == 0 {
        return Err(Refusal::new(
            ErrorCode::InvalidReplicationFactor,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        ));
    }
    if topic.num_partitions < -1 || topic.num_partitions == 0 {
        return Err(Refusal::new(
            ErrorCode::InvalidPartitions,
            "Number of partitions was set to an invalid non-positive value.",
        ));
    }
    let count = match topic.num_partitions {
        -1 => default_of(context, "num.partitions"),
        count => i64::from(count),
    };
    let factor = match topic.replication_factor {
        -1 => default_of(context, "default.replication.factor"),
        factor => i64::from(factor),
    };
    let impossible = |why: String| {
        let message = format!("Unable to replicate the partition {factor} time(s): {why}");
        Refusal::new(ErrorCode::InvalidReplicationFactor, message)
    };
    let count = usize::try_from(count).unwrap_or(1);
    let placed = placement::place(context.image, context.random, count, factor)
        .map_err(|refusal| impossible(refusal.to_string()))?;
    let mut partitions = BTreeMap::new();
    for (index, nodes) in (0_i32..).zip(placed) {
        let partition = replicas::begin(context.image, &nodes).ok_or_else(|| {
            impossible("All brokers are currently fenced or in controlled shutdown.".to_owned())
        })?;
        partitions.insert(index, partition);
    }
    Ok(partitions)
}
