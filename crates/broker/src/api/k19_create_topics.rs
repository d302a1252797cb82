//! CreateTopics 2–7: new topics. 4 defaults by −1 · 5 flexible, settings in the answer · 7 topic ids.

use bytes::BytesMut;
use ottla_metadata::{Command, Refusal, Reply};
use ottla_protocol::k19_create_topics::CreatableTopicResult;
use ottla_protocol::{CreateTopicsRequest, CreateTopicsResponse, ErrorCode, TopicId};

use crate::connection::Handled;
use crate::dispatch::Context;
use crate::topics;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, CreateTopicsRequest);
    let context = cx.clone();
    later!(cx, Later, async move {
        let asked = request.clone();
        if !asked.validate_only
            && let Some(full) = context.shared.no_space()
        {
            return refused(&asked, &Refusal::new(ErrorCode::PolicyViolation, full));
        }
        match topics::call(&context.shared, Command::CreateTopics(request)).await {
            Ok(Reply::CreateTopics(response)) => {
                let ids: Vec<TopicId> = response.topics.iter().map(|t| t.topic_id).collect();
                topics::until_open(&context.shared, &ids, asked.timeout_ms).await;
                response
            }
            Ok(_) => refused(&asked, &topics::wrong_reply()),
            Err(refusal) => refused(&asked, &refusal),
        }
    })
}

/// The controller granted nothing: each part of the request hears why.
fn refused(request: &CreateTopicsRequest, refusal: &Refusal) -> CreateTopicsResponse {
    let topics = request.topics.iter().map(|topic| CreatableTopicResult {
        name: topic.name.clone(),
        error_code: refusal.code.into(),
        error_message: refusal.wire_message(),
        ..Default::default()
    });
    CreateTopicsResponse { topics: topics.collect(), ..Default::default() }
}
