//! DescribeCluster 0–2: cluster id and brokers. 1 endpoint type (KIP-919) · 2 fenced brokers.

use bytes::BytesMut;
use ottla_protocol::k60_describe_cluster::DescribeClusterBroker;
use ottla_protocol::{DescribeClusterRequest, DescribeClusterResponse, ErrorCode, StrBytes};

use crate::authorise;
use crate::connection::Handled;
use crate::dispatch::Context;

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, DescribeClusterRequest);
    ready!(cx, respond(&cx, &request))
}

fn respond(cx: &Context, request: &DescribeClusterRequest) -> DescribeClusterResponse {
    if request.endpoint_type != BROKERS {
        let (error, message) = match request.endpoint_type {
            CONTROLLERS => (
                ErrorCode::MismatchedEndpointType,
                "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
            ),
            _ => (ErrorCode::UnsupportedEndpointType, "Unsupported endpoint type."),
        };
        return DescribeClusterResponse {
            error_code: error.into(),
            error_message: Some(StrBytes::from_static(message)),
            endpoint_type: BROKERS,
            ..Default::default()
        };
    }
    let image = cx.shared.image.load();
    let shown = image.brokers().filter(|b| !b.fenced || request.include_fenced_brokers);
    let brokers = shown.filter_map(|broker| {
        let (host, port) = cx.endpoint(broker)?;
        Some(DescribeClusterBroker {
            broker_id: broker.id.get(),
            host,
            port: i32::from(port),
            rack: broker.rack.clone(),
            is_fenced: broker.fenced,
            ..Default::default()
        })
    });
    DescribeClusterResponse {
        endpoint_type: BROKERS,
        cluster_id: StrBytes::from(cx.shared.identity.cluster_id.as_str()),
        controller_id: cx.shared.identity.node.get(),
        brokers: brokers.collect(),
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            authorise::CLUSTER_OPERATIONS
        } else {
            authorise::NOT_ASKED
        },
        ..Default::default()
    }
}
