//! OffsetDelete 0: committed offsets of topics are deleted (KIP-496).

use bytes::BytesMut;
use ottla_groups::{Command, Reply};
use ottla_protocol::k47_offset_delete::{
    OffsetDeleteRequestTopic, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use ottla_protocol::{ErrorCode, OffsetDeleteRequest, OffsetDeleteResponse};

use crate::connection::Handled;
use crate::dispatch::Context;
use crate::group_request;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let mut request = decode!(cx, body, OffsetDeleteRequest);
    let image = cx.shared.image.load_full();
    let all = std::mem::take(&mut request.topics);
    let (there, unknown): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|topic| image.topic(&topic.name).is_some());
    request.topics = there;
    if request.topics.is_empty() && !unknown.is_empty() {
        let topics = unknown.iter().map(refused).collect();
        return ready!(cx, OffsetDeleteResponse { topics, ..Default::default() });
    }
    let context = cx.clone();
    later!(cx, Later, async move {
        let group = request.group_id.clone();
        let command = Command::OffsetDelete { request };
        let reply = group_request::submit(&context, &group, command).await;
        let Reply::OffsetDelete(mut response) = reply else {
            let error_code = ErrorCode::UnknownServerError.into();
            return OffsetDeleteResponse { error_code, ..Default::default() };
        };
        if response.error_code == 0 {
            response.topics.extend(unknown.iter().map(refused));
        }
        response
    })
}

fn refused(topic: &OffsetDeleteRequestTopic) -> OffsetDeleteResponseTopic {
    let partitions = topic.partitions.iter().map(|partition| OffsetDeleteResponsePartition {
        partition_index: partition.partition_index,
        error_code: ErrorCode::UnknownTopicOrPartition.into(),
    });
    OffsetDeleteResponseTopic { name: topic.name.clone(), partitions: partitions.collect() }
}
