//! Metadata 0–13: brokers, topics, leaders; creates topics when that is allowed.
//! 0: all topics by an empty list · 1: by null; controller, rack, internal · 2 cluster id ·
//! 4 auto-creation can be declined · 5 offline replicas · 7 leader epoch · 8 authorised
//! operations · 9 flexible · 10 topic ids · 12 by topic id · 13 top-level error (KIP-1102).

use bytes::BytesMut;
use hashbrown::HashSet;
use ottla_metadata::{Image, Topic};
use ottla_protocol::k03_metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_protocol::{ErrorCode, StrBytes};

use crate::authorise;
use crate::connection::Handled;
use crate::dispatch::Context;
use crate::topics;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let mut request = decode!(cx, body, MetadataRequest);
    if (10..12).contains(&cx.version) && by_id(&request) {
        return ready!(cx, ids_too_early(&request));
    }
    only_once(&mut request);
    let image = cx.shared.image.load_full();
    let missing = missing_names(&cx, &request, &image);
    if missing.is_empty() {
        return ready!(cx, respond(&cx, &request, &image, &[]));
    }
    let context = cx.clone();
    later!(cx, Later, async move {
        let failed = topics::create_on_demand(&context.shared, missing).await;
        let image = context.shared.image.load_full();
        respond(&context, &request, &image, &failed)
    })
}

/// Whether a topic is asked for by anything but its name.
fn by_id(request: &MetadataRequest) -> bool {
    let mut topics = request.topics.iter().flatten();
    topics.any(|topic| topic.name.is_none() || !topic.topic_id.is_zero())
}

/// Versions 10 and 11 have the fields for ids, and refuse them.
fn ids_too_early(request: &MetadataRequest) -> MetadataResponse {
    let topics = request.topics.iter().flatten().map(|topic| MetadataResponseTopic {
        error_code: ErrorCode::InvalidRequest.into(),
        name: Some(topic.name.clone().unwrap_or_default()),
        topic_id: topic.topic_id,
        ..Default::default()
    });
    MetadataResponse { topics: topics.collect(), ..Default::default() }
}

/// A topic that is asked for twice is answered once.
fn only_once(request: &mut MetadataRequest) {
    let mut seen = HashSet::with_hasher(foldhash::fast::FixedState::default());
    if let Some(topics) = &mut request.topics {
        topics.retain(|topic| seen.insert((topic.name.clone(), topic.topic_id)));
    }
}

/// The topics that the request names, that do not exist, and that may be created for it.
fn missing_names(cx: &Context, request: &MetadataRequest, image: &Image) -> Vec<StrBytes> {
    if !request.allow_auto_topic_creation || !topics::auto_create(&cx.shared) {
        return Vec::new();
    }
    let named = request.topics.iter().flatten().filter(|t| t.topic_id.is_zero());
    named
        .filter_map(|t| t.name.clone())
        .filter(|name| topics::is_valid_name(name) && image.topic(name).is_none())
        .collect()
}

fn respond(
    cx: &Context,
    request: &MetadataRequest,
    image: &Image,
    failed: &[(StrBytes, ErrorCode)],
) -> MetadataResponse {
    let requested = match &request.topics {
        None => None,
        Some(topics) if topics.is_empty() && cx.version == 0 => None,
        Some(topics) => Some(topics),
    };
    let operations = request.include_topic_authorized_operations;
    let topics = match requested {
        None => image.topics().map(|topic| describe(cx, image, topic, operations)).collect(),
        Some(requested) => {
            requested.iter().map(|t| one(cx, image, t, failed, operations)).collect()
        }
    };
    MetadataResponse {
        brokers: brokers(cx, image),
        cluster_id: Some(StrBytes::from(cx.shared.identity.cluster_id.as_str())),
        controller_id: cx.shared.identity.node.get(),
        topics,
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            authorise::CLUSTER_OPERATIONS
        } else {
            authorise::NOT_ASKED
        },
        ..Default::default()
    }
}

/// The brokers that clients may use, with the endpoints of the listener they came by.
fn brokers(cx: &Context, image: &Image) -> Vec<MetadataResponseBroker> {
    let alive = image.brokers().filter(|broker| !broker.fenced);
    alive
        .filter_map(|broker| {
            let (host, port) = cx.endpoint(broker)?;
            Some(MetadataResponseBroker {
                node_id: broker.id.get(),
                host,
                port: i32::from(port),
                rack: broker.rack.clone(),
                ..Default::default()
            })
        })
        .collect()
}

fn one(
    cx: &Context,
    image: &Image,
    wanted: &MetadataRequestTopic,
    failed: &[(StrBytes, ErrorCode)],
    operations: bool,
) -> MetadataResponseTopic {
    let found = match &wanted.name {
        Some(name) if wanted.topic_id.is_zero() => image.topic(name),
        _ => image.topic_by_id(wanted.topic_id),
    };
    if let Some(topic) = found {
        return describe(cx, image, topic, operations);
    }
    let error = match &wanted.name {
        None => ErrorCode::UnknownTopicId,
        Some(_) if !wanted.topic_id.is_zero() => ErrorCode::UnknownTopicId,
        Some(name) if !topics::is_valid_name(name) => ErrorCode::InvalidTopicException,
        Some(name) => failed
            .iter()
            .find(|(failed, _)| failed == name)
            .map_or(ErrorCode::UnknownTopicOrPartition, |(_, error)| *error),
    };
    let by_id = error == ErrorCode::UnknownTopicId;
    MetadataResponseTopic {
        error_code: error.into(),
        name: if by_id && cx.version >= 12 {
            None
        } else {
            Some(wanted.name.clone().unwrap_or_default())
        },
        topic_id: wanted.topic_id,
        is_internal: wanted.name.as_deref().is_some_and(topics::is_internal),
        ..Default::default()
    }
}

fn describe(cx: &Context, image: &Image, topic: &Topic, operations: bool) -> MetadataResponseTopic {
    let reachable = |id| image.broker(id).is_some_and(|b| !b.fenced && cx.endpoint(b).is_some());
    let partitions = topic.partitions().map(|(index, partition)| {
        let error = if partition.leader.get() < 0 {
            ErrorCode::LeaderNotAvailable
        } else if !reachable(partition.leader) {
            ErrorCode::ListenerNotFound
        } else {
            ErrorCode::None
        };
        MetadataResponsePartition {
            error_code: error.into(),
            partition_index: index,
            leader_id: partition.leader.get(),
            leader_epoch: partition.leader_epoch.get(),
            replica_nodes: partition.replicas.iter().map(|id| id.get()).collect(),
            isr_nodes: partition.isr.iter().map(|id| id.get()).collect(),
            offline_replicas: topics::offline_replicas(image, partition),
            ..Default::default()
        }
    });
    MetadataResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: topics::is_internal(&topic.name),
        partitions: partitions.collect(),
        topic_authorized_operations: if operations {
            authorise::TOPIC_OPERATIONS
        } else {
            authorise::NOT_ASKED
        },
        ..Default::default()
    }
}
