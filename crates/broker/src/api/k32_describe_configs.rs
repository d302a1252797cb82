//! DescribeConfigs 1–4: the settings of resources, with their sources. 3 types and documentation
//! (Ottla has none) · 4 flexible.

use bytes::BytesMut;
use ottla_metadata::configs::{ConfigSynonym, DescribedConfig};
use ottla_metadata::{ConfigResource, Refusal, ResourceKind};
use ottla_protocol::k32_describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult,
    DescribeConfigsSynonym,
};
use ottla_protocol::{DescribeConfigsRequest, DescribeConfigsResponse, ErrorCode, StrBytes};

use crate::connection::Handled;
use crate::dispatch::Context;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, DescribeConfigsRequest);
    let results = request.resources.iter().map(|resource| one(&cx, resource, &request)).collect();
    ready!(cx, DescribeConfigsResponse { results, ..Default::default() })
}

fn one(
    cx: &Context,
    resource: &DescribeConfigsResource,
    request: &DescribeConfigsRequest,
) -> DescribeConfigsResult {
    let result = DescribeConfigsResult {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        ..Default::default()
    };
    match describe(cx, resource) {
        Ok(configs) => DescribeConfigsResult {
            error_message: Some(StrBytes::new()),
            configs: configs.into_iter().map(|config| answer(config, request)).collect(),
            ..result
        },
        Err(refusal) => DescribeConfigsResult {
            error_code: refusal.code.into(),
            error_message: refusal.wire_message(),
            ..result
        },
    }
}

fn describe(
    cx: &Context,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribedConfig>, Refusal> {
    let kind = ResourceKind::from_wire(resource.resource_type);
    if kind == ResourceKind::Topic && resource.resource_name.is_empty() {
        return Err(Refusal::bare(ErrorCode::InvalidTopicException));
    }
    let named = ConfigResource { kind, name: resource.resource_name.clone() };
    let keys = resource.configuration_keys.as_deref().filter(|keys| !keys.is_empty());
    cx.shared.with_effective(|effective| effective.describe(&named, keys))
}

fn answer(
    config: DescribedConfig,
    request: &DescribeConfigsRequest,
) -> DescribeConfigsResourceResult {
    let synonym = |synonym: ConfigSynonym| DescribeConfigsSynonym {
        name: StrBytes::from_static(synonym.name),
        value: synonym.value.map(StrBytes::from),
        source: synonym.source.wire_id(),
        ..Default::default()
    };
    DescribeConfigsResourceResult {
        name: config.name,
        value: config.value.map(StrBytes::from),
        read_only: config.read_only,
        config_source: config.source.wire_id(),
        is_sensitive: config.sensitive,
        synonyms: if request.include_synonyms {
            config.synonyms.into_iter().map(synonym).collect()
        } else {
            Vec::new()
        },
        config_type: config.config_type,
        documentation: None,
        ..Default::default()
    }
}
