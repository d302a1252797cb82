//! CreatePartitions 0–3: topics get more partitions. 2 flexible.

use bytes::BytesMut;
use ottla_metadata::{Command, Refusal, Reply};
use ottla_protocol::k37_create_partitions::CreatePartitionsTopicResult;
use ottla_protocol::{CreatePartitionsRequest, CreatePartitionsResponse, ErrorCode, TopicId};

use crate::connection::Handled;
use crate::dispatch::Context;
use crate::topics;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, CreatePartitionsRequest);
    let context = cx.clone();
    later!(cx, Later, async move {
        let asked = request.clone();
        if !asked.validate_only
            && let Some(full) = context.shared.no_space()
        {
            return refused(&asked, &Refusal::new(ErrorCode::PolicyViolation, full));
        }
        match topics::call(&context.shared, Command::CreatePartitions(request)).await {
            Ok(Reply::CreatePartitions(response)) => {
                let image = context.shared.image.load_full();
                let named = response.results.iter().filter_map(|result| image.topic(&result.name));
                let ids: Vec<TopicId> = named.map(|topic| topic.id).collect();
                topics::until_open(&context.shared, &ids, asked.timeout_ms).await;
                response
            }
            Ok(_) => refused(&asked, &topics::wrong_reply()),
            Err(refusal) => refused(&asked, &refusal),
        }
    })
}

/// The controller granted nothing: each part of the request hears why.
fn refused(request: &CreatePartitionsRequest, refusal: &Refusal) -> CreatePartitionsResponse {
    let results = request.topics.iter().map(|topic| CreatePartitionsTopicResult {
        name: topic.name.clone(),
        error_code: refusal.code.into(),
        error_message: refusal.wire_message(),
        ..Default::default()
    });
    CreatePartitionsResponse { results: results.collect(), ..Default::default() }
}
