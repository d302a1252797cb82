//! DeleteTopics, by name and by id (Kafka's `ControllerApis.deleteTopics`). Must not know the
//! topics' data.

use std::collections::BTreeMap;

use ottla_protocol::k20_delete_topics::DeletableTopicResult;
use ottla_protocol::{
    DeleteTopicsRequest, DeleteTopicsResponse, ErrorCode, MetadataRecord, RemoveTopicRecord,
    StrBytes, TopicId, Uuid,
};

use super::{Context, Records};
use crate::configs::Value;
use crate::record::VersionedRecord;
use crate::refusal::Refusal;

/// What was named, and how often.
#[derive(Default)]
struct Named {
    names: BTreeMap<StrBytes, usize>,
    ids: BTreeMap<TopicId, usize>,
}

pub(super) fn plan(
    context: &mut Context<'_>,
    request: &DeleteTopicsRequest,
) -> Result<(Records, DeleteTopicsResponse), Refusal> {
    if context.effective().broker("delete.topic.enable") == Value::Boolean(false) {
        return Err(Refusal::bare(ErrorCode::TopicDeletionDisabled));
    }
    let mut responses = Vec::new();
    let named = read(request, &mut responses);
    let mut doomed: BTreeMap<TopicId, StrBytes> = BTreeMap::new();
    for (id, count) in &named.ids {
        match context.image.topic_by_id(*id) {
            _ if *count > 1 => {
                responses.push(refused(None, *id, ErrorCode::InvalidRequest, "Duplicate topic id."))
            }
            Some(topic) => {
                doomed.insert(*id, topic.name.clone());
            }
            None => responses.push(bare(None, *id, ErrorCode::UnknownTopicId)),
        }
    }
    for (name, count) in &named.names {
        match context.image.topic(name) {
            _ if *count > 1 => {
                responses.push(refused(
                    Some(name),
                    Uuid::ZERO,
                    ErrorCode::InvalidRequest,
                    "Duplicate topic name.",
                ));
            }
            Some(topic) if named.ids.contains_key(&topic.id) => {
                doomed.remove(&topic.id);
                let message = "The provided topic name maps to an ID that was already supplied.";
                responses.push(refused(Some(name), topic.id, ErrorCode::InvalidRequest, message));
            }
            Some(topic) => {
                doomed.insert(topic.id, topic.name.clone());
            }
            None => {
                responses.push(bare(Some(name), Uuid::ZERO, ErrorCode::UnknownTopicOrPartition))
            }
        }
    }
    let mut records = Records::with_capacity(doomed.len());
    for (topic_id, name) in doomed {
        let record = RemoveTopicRecord { topic_id, ..RemoveTopicRecord::default() };
        records.push(VersionedRecord::new(MetadataRecord::RemoveTopic(Box::new(record)), 0));
        responses.push(DeletableTopicResult {
            name: Some(name),
            topic_id,
            error_message: None,
            ..DeletableTopicResult::default()
        });
    }
    Ok((records, DeleteTopicsResponse { responses, ..DeleteTopicsResponse::default() }))
}

fn read(request: &DeleteTopicsRequest, responses: &mut Vec<DeletableTopicResult>) -> Named {
    let mut named = Named::default();
    for name in &request.topic_names {
        *named.names.entry(name.clone()).or_default() += 1;
    }
    for topic in &request.topics {
        match (&topic.name, topic.topic_id) {
            (None, Uuid::ZERO) => {
                let message = "Neither topic name nor id were specified.";
                responses.push(refused(None, Uuid::ZERO, ErrorCode::InvalidRequest, message));
            }
            (None, id) => *named.ids.entry(id).or_default() += 1,
            (Some(name), Uuid::ZERO) => *named.names.entry(name.clone()).or_default() += 1,
            (Some(name), id) => {
                let message = "You may not specify both topic name and topic id.";
                responses.push(refused(Some(name), id, ErrorCode::InvalidRequest, message));
            }
        }
    }
    named
}

fn refused(
    name: Option<&StrBytes>,
    id: Uuid,
    code: ErrorCode,
    message: &str,
) -> DeletableTopicResult {
    DeletableTopicResult {
        name: name.cloned(),
        topic_id: id,
        error_code: code.code(),
        error_message: Some(StrBytes::from(message)),
        ..DeletableTopicResult::default()
    }
}

fn bare(name: Option<&StrBytes>, id: Uuid, code: ErrorCode) -> DeletableTopicResult {
    refused(name, id, code, code.message())
}
