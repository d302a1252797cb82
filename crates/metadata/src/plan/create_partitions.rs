//! CreatePartitions: more partitions for topics that exist. Must not know their data.

use std::collections::BTreeSet;

use ottla_protocol::k37_create_partitions::{CreatePartitionsTopic, CreatePartitionsTopicResult};
use ottla_protocol::{
    CreatePartitionsRequest, CreatePartitionsResponse, ErrorCode, NodeId, StrBytes,
};

use super::{Context, RECORDS_MAX, Records, placement, replicas};
use crate::feature_table::MetadataVersion;
use crate::refusal::Refusal;

pub(super) fn plan(
    context: &mut Context<'_>,
    request: &CreatePartitionsRequest,
) -> Result<(Records, CreatePartitionsResponse), Refusal> {
    check_size(context, request)?;
    let mut records = Records::new();
    let mut results = Vec::with_capacity(request.topics.len());
    let mut seen = BTreeSet::new();
    let repeated: BTreeSet<&StrBytes> = request
        .topics
        .iter()
        .filter(|topic| !seen.insert(&topic.name))
        .map(|topic| &topic.name)
        .collect();
    for topic in request.topics.iter().filter(|topic| !repeated.contains(&topic.name)) {
        let outcome = one(context, topic);
        results.push(result(&topic.name, outcome.as_ref().err()));
        records.extend(outcome.unwrap_or_default());
    }
    let twice = Refusal::new(ErrorCode::InvalidRequest, "Duplicate topic name.");
    results.extend(repeated.into_iter().map(|name| result(name, Some(&twice))));
    if request.validate_only {
        records.clear();
    }
    Ok((records, CreatePartitionsResponse { results, ..CreatePartitionsResponse::default() }))
}

fn result(name: &StrBytes, refusal: Option<&Refusal>) -> CreatePartitionsTopicResult {
    CreatePartitionsTopicResult {
        name: name.clone(),
        error_code: refusal.map_or(0, |refusal| refusal.code.code()),
        error_message: refusal.and_then(Refusal::wire_message),
        ..CreatePartitionsTopicResult::default()
    }
}

fn check_size(context: &Context<'_>, request: &CreatePartitionsRequest) -> Result<(), Refusal> {
    let additional = request.topics.iter().filter_map(|topic| {
        let present = context.image.topic(&topic.name)?.partition_count();
        usize::try_from(topic.count).ok()?.checked_sub(present)
    });
    if additional.fold(0_usize, usize::saturating_add) > RECORDS_MAX {
        return Err(Refusal::new(
            ErrorCode::PolicyViolation,
            "Excessively large number of additional partitions per request.",
        ));
    }
    Ok(())
}

fn one(context: &mut Context<'_>, request: &CreatePartitionsTopic) -> Result<Records, Refusal> {
    let image = context.image;
    let Some(topic) = image.topic(&request.name) else {
        return Err(Refusal { code: ErrorCode::UnknownTopicOrPartition, message: None });
    };
    let present = topic.partition_count();
    let invalid = |message: String| Err(Refusal::new(ErrorCode::InvalidPartitions, message));
    let wanted = usize::try_from(request.count).unwrap_or(0);
    if request.count >= 0 && wanted == present {
        return invalid(format!("Topic already has {present} partition(s)."));
    }
    let Some(additional) = wanted.checked_sub(present) else {
        return invalid(format!(
            "The topic {} currently has {present} partition(s); {} would not be an increase.",
            request.name, request.count
        ));
    };
    let factor = topic.partition(0).map_or(1, |partition| partition.replicas.len());
    let placed = match &request.assignments {
        Some(assignments) if assignments.len() != additional => {
            return Err(Refusal::new(
                ErrorCode::InvalidReplicaAssignment,
                format!(
                    "Attempted to add {additional} additional partition(s), but only {} assignment(s) were specified.",
                    assignments.len()
                ),
            ));
        }
        Some(assignments) => assignments
            .iter()
            .map(|assignment| replicas::check_manual(image, &assignment.broker_ids, Some(factor)))
            .collect::<Result<Vec<Vec<NodeId>>, Refusal>>()?,
        None => {
            let factor = i64::try_from(factor).unwrap_or(i64::MAX);
            placement::place(image, context.random, additional, factor)?
        }
    };
    let version = MetadataVersion(image.features().metadata_version());
    let mut records = Records::with_capacity(additional);
    let first = i32::try_from(present).unwrap_or(i32::MAX);
    for (index, nodes) in (first..).zip(placed) {
        let Some(partition) = replicas::begin(image, &nodes) else {
            return Err(if request.assignments.is_some() {
                Refusal::new(
                    ErrorCode::InvalidReplicaAssignment,
                    format!(
                        "All brokers specified in the manual partition assignment for partition {index} are fenced \
                         or in controlled shutdown."
                    ),
                )
            } else {
                Refusal::new(
                    ErrorCode::InvalidReplicationFactor,
                    format!(
                        "Unable to replicate the partition {factor} time(s): All brokers are currently fenced or in \
                         controlled shutdown."
                    ),
                )
            });
        };
        records.push(partition.to_record(topic.id, index, version));
    }
    Ok(records)
}
