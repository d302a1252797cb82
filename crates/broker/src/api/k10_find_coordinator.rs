//! FindCoordinator 0–6: the broker that coordinates a group.
//! 0 · 1 key type · 3 flexible · 4 several keys (KIP-699) · 5 transactions V2 · 6 share groups.

use bytes::BytesMut;
use ottla_groups::partition_for;
use ottla_metadata::Image;
use ottla_protocol::k10_find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};
use ottla_protocol::{ErrorCode, StrBytes};

use crate::connection::Handled;
use crate::dispatch::Context;
use crate::topics::{self, OFFSETS_TOPIC};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, FindCoordinatorRequest);
    let image = cx.shared.image.load_full();
    if request.key_type != GROUP || image.topic(OFFSETS_TOPIC).is_some() {
        return ready!(cx, respond(&cx, &image, &request));
    }
    let context = cx.clone();
    later!(cx, Later, async move {
        let missing = vec![StrBytes::from_static(OFFSETS_TOPIC)];
        for (topic, error) in topics::create_on_demand(&context.shared, missing).await {
            tracing::warn!(%topic, %error, "the offsets topic cannot be created");
        }
        respond(&context, &context.shared.image.load_full(), &request)
    })
}

fn respond(
    cx: &Context,
    image: &Image,
    request: &FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    if cx.version >= 4 {
        let find = |key| find(cx, image, request.key_type, key);
        return FindCoordinatorResponse {
            coordinators: request.coordinator_keys.iter().map(find).collect(),
            ..Default::default()
        };
    }
    let found = find(cx, image, request.key_type, &request.key);
    FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: found.error_message,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..Default::default()
    }
}

fn find(cx: &Context, image: &Image, key_type: i8, key: &StrBytes) -> Coordinator {
    let refuse = |error: ErrorCode, message: &'static str| Coordinator {
        key: key.clone(),
        node_id: -1,
        port: -1,
        error_code: error.into(),
        error_message: Some(StrBytes::from_static(message)),
        ..Default::default()
    };
    match key_type {
        GROUP => {}
        TRANSACTION => {
            return refuse(ErrorCode::InvalidRequest, "Transactions are not supported yet.");
        }
        _ => return refuse(ErrorCode::InvalidRequest, "This type of coordinator is not known."),
    }
    let leader = image.topic(OFFSETS_TOPIC).and_then(|topic| {
        let count = i32::try_from(topic.partition_count()).ok()?;
        let index = partition_for(key, count);
        let broker = image.broker(topic.partition(index)?.leader)?;
        Some((broker.id, cx.endpoint(broker)?))
    });
    let Some((node, (host, port))) = leader else {
        return refuse(ErrorCode::CoordinatorNotAvailable, "The coordinator is not available.");
    };
    Coordinator {
        key: key.clone(),
        node_id: node.get(),
        host,
        port: i32::from(port),
        // Kafka names the error that there is not, until version 4.
        error_message: match cx.version {
            0 => None,
            1..=3 => Some(StrBytes::from_static(ErrorCode::None.name())),
            _ => Some(StrBytes::new()),
        },
        ..Default::default()
    }
}
