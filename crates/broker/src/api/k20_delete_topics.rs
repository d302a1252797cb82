//! DeleteTopics 1–6: topics go, with their partitions. 4 flexible · 5 error messages · 6 by topic id.

use bytes::BytesMut;
use ottla_metadata::{Command, Refusal, Reply};
use ottla_protocol::k20_delete_topics::DeletableTopicResult;
use ottla_protocol::{DeleteTopicsRequest, DeleteTopicsResponse, TopicId};

use crate::connection::Handled;
use crate::dispatch::Context;
use crate::topics;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, DeleteTopicsRequest);
    let context = cx.clone();
    later!(cx, Later, async move {
        let asked = request.clone();
        match topics::call(&context.shared, Command::DeleteTopics(request)).await {
            Ok(Reply::DeleteTopics(response)) => response,
            Ok(_) => refused(&asked, &topics::wrong_reply()),
            Err(refusal) => refused(&asked, &refusal),
        }
    })
}

/// The controller granted nothing: each part of the request hears why.
fn refused(request: &DeleteTopicsRequest, refusal: &Refusal) -> DeleteTopicsResponse {
    let result = |name, topic_id| DeletableTopicResult {
        name,
        topic_id,
        error_code: refusal.code.into(),
        error_message: refusal.wire_message(),
        ..Default::default()
    };
    let by_name = request.topic_names.iter().map(|name| result(Some(name.clone()), TopicId::ZERO));
    let by_state = request.topics.iter().map(|topic| result(topic.name.clone(), topic.topic_id));
    DeleteTopicsResponse { responses: by_name.chain(by_state).collect(), ..Default::default() }
}
