//! ApiVersions, DescribeCluster and Metadata of an empty cluster, in every version.

use ottla_protocol::k57_update_features::FeatureUpdateKey;
use ottla_protocol::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, DescribeClusterRequest, MetadataRequest,
    UpdateFeaturesRequest,
};

use super::pair::Pair;

pub(super) fn compare(pair: &mut Pair) -> anyhow::Result<()> {
    api_versions(pair)?;
    learn_cluster(pair)?;
    pair.in_each_version("the cluster", |_, version| DescribeClusterRequest {
        include_fenced_brokers: version >= 2,
        ..Default::default()
    })?;
    pair.in_each_version("with operations", |_, _| DescribeClusterRequest {
        include_cluster_authorized_operations: true,
        ..Default::default()
    })?;
    for endpoint_type in [0, 2, 3] {
        let case = format!("endpoint type {endpoint_type}");
        for version in [1, 2] {
            let request = |_: &_| DescribeClusterRequest { endpoint_type, ..Default::default() };
            pair.both(&case, version, request)?;
        }
    }
    pair.in_each_version("empty cluster", |_, version| MetadataRequest {
        topics: (version == 0).then(Vec::new),
        allow_auto_topic_creation: true,
        ..Default::default()
    })?;
    update_features(pair)
}

fn api_versions(pair: &mut Pair) -> anyhow::Result<()> {
    let epoch = |answer: &mut ApiVersionsResponse| answer.finalized_features_epoch = 0;
    for version in 0..=5 {
        let request = |_: &_| ApiVersionsRequest {
            client_software_name: if version >= 3 { "a-client".into() } else { "".into() },
            client_software_version: if version >= 3 { "1.0".into() } else { "".into() },
            ..Default::default()
        };
        pair.both_less("the table", version, request, epoch)?;
    }
    for (name, number) in [("", "1"), ("a", ""), ("-a", "1"), ("a b", "1"), ("a", "1.")] {
        for version in 3..=5 {
            let request = |_: &_| ApiVersionsRequest {
                client_software_name: name.into(),
                client_software_version: number.into(),
                ..Default::default()
            };
            pair.both_less(&format!("software {name:?} {number:?}"), version, request, epoch)?;
        }
    }
    for (cluster, node) in [(None, 1), (None, 7), (Some("another"), -1), (Some("another"), 1)] {
        let request = |_: &_| ApiVersionsRequest {
            client_software_name: "a".into(),
            client_software_version: "1".into(),
            cluster_id: cluster.map(Into::into),
            node_id: node,
            ..Default::default()
        };
        pair.both_less(&format!("for {cluster:?} {node}"), 5, request, epoch)?;
    }
    Ok(())
}

/// The cluster ids differ; whatever else is in them must not.
pub(super) fn learn_cluster(pair: &mut Pair) -> anyhow::Result<()> {
    for side in [&mut pair.kafka, &mut pair.ottla] {
        let cluster = side.ask(2, &DescribeClusterRequest::default())?.cluster_id;
        side.learn(&cluster, "cluster");
    }
    Ok(())
}

fn update_features(pair: &mut Pair) -> anyhow::Result<()> {
    let cases = [
        ("unknown", "no.such.feature", 1, 1),
        ("level too high", "metadata.version", 999, 1),
        ("level 0 as upgrade", "metadata.version", 0, 1),
        ("negative level", "group.version", -1, 1),
        ("unknown type", "metadata.version", 20, 9),
        ("type 0", "metadata.version", 20, 0),
        ("the level it has", "group.version", 1, 1),
        ("empty name", "", 1, 1),
    ];
    for version in super::pair::versions(ApiKey::UpdateFeatures) {
        for (case, feature, max_version_level, upgrade_type) in cases {
            let update = FeatureUpdateKey {
                feature: feature.into(),
                max_version_level,
                upgrade_type: if version >= 1 { upgrade_type } else { 1 },
                ..Default::default()
            };
            pair.both(case, version, |_| UpdateFeaturesRequest {
                timeout_ms: 5_000,
                feature_updates: vec![update.clone()],
                validate_only: version >= 1,
                ..Default::default()
            })?;
        }
        pair.both("no update", version, |_| UpdateFeaturesRequest {
            timeout_ms: 5_000,
            ..Default::default()
        })?;
    }
    Ok(())
}
