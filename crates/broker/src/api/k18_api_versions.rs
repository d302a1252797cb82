//! ApiVersions 0–5: what is served, in which versions, and the feature levels.
//! 0 · 3 flexible, client software, features · 4 features whose lowest level is 0 (KAFKA-17011) ·
//! 5 cluster and node id that the client expects (KIP-1242).

use bytes::BytesMut;
use ottla_metadata::feature_table::{FEATURES, KRAFT_VERSION};
use ottla_protocol::k18_api_versions::{
    ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use ottla_protocol::{ApiKey, ErrorCode, Listener, StrBytes, api_versions};

use crate::api::handler;
use crate::connection::Handled;
use crate::dispatch::Context;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, ApiVersionsRequest);
    if cx.version >= 3 {
        let software = (&request.client_software_name, &request.client_software_version);
        if !is_software_name(software.0) || !is_software_name(software.1) {
            return ready!(cx, refused(ErrorCode::InvalidRequest));
        }
        let software = (software.0.detached(), software.1.detached());
        *cx.connection.software.borrow_mut() = Some(software);
    }
    if let Some(error) = wrong_target(&cx, &request) {
        return ready!(cx, refused(error));
    }
    ready!(cx, respond(&cx, ErrorCode::None))
}

/// A version beyond the newest: the versions of this API itself, in version 0, so that the client
/// can choose one (KIP-511).
pub(crate) fn unsupported(cx: &Context) -> Handled {
    let own = |api| api == ApiKey::ApiVersions;
    ready!(
        *cx,
        ApiVersionsResponse {
            api_keys: api_versions(Listener::Broker, false, &own),
            ..refused(ErrorCode::UnsupportedVersion)
        }
    )
}

/// A client that was sent to another cluster or node than it wanted; it has to name both or
/// neither.
fn wrong_target(cx: &Context, request: &ApiVersionsRequest) -> Option<ErrorCode> {
    let identity = &cx.shared.identity;
    match (&request.cluster_id, request.node_id) {
        (None, ..0) => None,
        (Some(cluster), node @ 0..) => {
            let here = *cluster == identity.cluster_id && node == identity.node.get();
            (!here).then_some(ErrorCode::RebootstrapRequired)
        }
        (None, _) | (Some(_), _) => Some(ErrorCode::InvalidRequest),
    }
}

fn refused(error: ErrorCode) -> ApiVersionsResponse {
    ApiVersionsResponse { error_code: error.into(), ..Default::default() }
}

fn respond(cx: &Context, error: ErrorCode) -> ApiVersionsResponse {
    let image = cx.shared.image.load();
    let table = api_versions(Listener::Broker, false, &|api| handler(api).is_some());
    let supported = FEATURES.iter().filter(|f| f.max > 0 && (cx.version >= 4 || f.min > 0));
    // The quorum's own feature is in its log, not in the image.
    let kraft_version = cx.shared.controller.quorum().kraft_version;
    let kraft = (kraft_version > 0).then(|| (StrBytes::from_static(KRAFT_VERSION), kraft_version));
    ApiVersionsResponse {
        error_code: error.into(),
        api_keys: table,
        supported_features: supported
            .map(|feature| SupportedFeatureKey {
                name: StrBytes::from_static(feature.name),
                min_version: feature.min,
                max_version: feature.max,
                ..Default::default()
            })
            .collect(),
        finalized_features_epoch: image.position().offset.get(),
        finalized_features: image
            .features()
            .iter()
            .map(|(name, level)| (name.clone(), level))
            .chain(kraft)
            .map(|(name, level)| FinalizedFeatureKey {
                name,
                max_version_level: level,
                min_version_level: level,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?` (KIP-511).
fn is_software_name(name: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'.';
    let outer = |c: Option<&u8>| c.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    outer(bytes.first()) && outer(bytes.last()) && bytes.iter().all(|c| inner(*c))
}

#[cfg(test)]
mod tests {
    use super::is_software_name;

    #[test]
    fn software_names() {
        for good in ["a", "apache-kafka-java", "4.4.0", "librdkafka"] {
            assert!(is_software_name(good), "{good}");
        }
        for bad in ["", "-a", "a.", "a b", "ä"] {
            assert!(!is_software_name(bad), "{bad}");
        }
    }
}
