//! ListConfigResources 0–1: the resources that have settings. 0 only client metrics ·
//! 1 every type (KIP-1142).

use std::collections::BTreeSet;

use bytes::BytesMut;
use ottla_metadata::{Image, ResourceKind};
use ottla_protocol::k74_list_config_resources::ConfigResource;
use ottla_protocol::{
    ErrorCode, ListConfigResourcesRequest, ListConfigResourcesResponse, StrBytes,
};

use crate::connection::Handled;
use crate::dispatch::Context;

/// The types that are listed when none is asked for.
const ALL: [ResourceKind; 5] = [
    ResourceKind::Topic,
    ResourceKind::Broker,
    ResourceKind::BrokerLogger,
    ResourceKind::ClientMetrics,
    ResourceKind::Group,
];

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, ListConfigResourcesRequest);
    let kinds: Vec<ResourceKind> = if cx.version == 0 {
        vec![ResourceKind::ClientMetrics]
    } else if request.resource_types.is_empty() {
        ALL.to_vec()
    } else {
        request.resource_types.iter().map(|kind| ResourceKind::from_wire(*kind)).collect()
    };
    if kinds.iter().any(|kind| !ALL.contains(kind)) {
        let error_code = ErrorCode::UnsupportedVersion.into();
        return ready!(cx, ListConfigResourcesResponse { error_code, ..Default::default() });
    }
    let image = cx.shared.image.load();
    let mut config_resources = Vec::new();
    for kind in kinds {
        config_resources.extend(names(&image, kind).into_iter().map(|name| ConfigResource {
            resource_name: name,
            resource_type: kind.wire_id(),
            ..Default::default()
        }));
    }
    ready!(cx, ListConfigResourcesResponse { config_resources, ..Default::default() })
}

/// Every topic and every broker, and what else has settings of its own.
fn names(image: &Image, kind: ResourceKind) -> BTreeSet<StrBytes> {
    match kind {
        ResourceKind::Topic => image.topics().map(|topic| topic.name.clone()).collect(),
        ResourceKind::Broker | ResourceKind::BrokerLogger => {
            image.brokers().map(|broker| StrBytes::from(broker.id.to_string())).collect()
        }
        ResourceKind::ClientMetrics | ResourceKind::Group | ResourceKind::Other(_) => image
            .config_resources()
            .filter(|resource| resource.kind == kind)
            .map(|resource| resource.name.clone())
            .collect(),
    }
}
