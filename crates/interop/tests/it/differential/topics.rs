//! Creating and deleting topics, good and bad, and what Metadata and DescribeTopicPartitions say
//! of them.

use ottla_protocol::k03_metadata::MetadataRequestTopic;
use ottla_protocol::k19_create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use ottla_protocol::k20_delete_topics::DeleteTopicState;
use ottla_protocol::k75_describe_topic_partitions::{
    DescribeTopicPartitionsRequestCursor, TopicRequest,
};
use ottla_protocol::{
    ApiKey, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    DescribeTopicPartitionsRequest, MetadataRequest, MetadataResponse, Uuid,
};

use super::pair::{Pair, Side, versions};

pub(super) fn compare(pair: &mut Pair) -> anyhow::Result<()> {
    for (case, topics) in refused() {
        for version in versions(ApiKey::CreateTopics) {
            create(pair, case, version, &topics, true)?;
            create(pair, case, version, &topics, false)?;
        }
    }
    for version in versions(ApiKey::CreateTopics) {
        granted(pair, version)?;
    }
    collisions(pair)?;
    settle(pair, &["v2.plain", "v7.manual", "a.b"])?;
    metadata(pair)?;
    describe_partitions(pair)?;
    delete(pair)
}

/// A topic by name, partitions and replication factor.
pub(super) fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic { name: name.into(), num_partitions, replication_factor, ..Default::default() }
}

/// The same with settings.
pub(super) fn configured(name: &str, configs: &[(&str, Option<&str>)]) -> CreatableTopic {
    let config = |(name, value): &(&str, Option<&str>)| CreatableTopicConfig {
        name: (*name).into(),
        value: value.map(Into::into),
        ..Default::default()
    };
    CreatableTopic { configs: configs.iter().map(config).collect(), ..topic(name, 1, 1) }
}

/// The same with replicas chosen by hand: partition and brokers.
fn assigned(name: &str, partitions: i32, factor: i16, by: &[(i32, &[i32])]) -> CreatableTopic {
    let assignment = |(partition_index, brokers): &(i32, &[i32])| CreatableReplicaAssignment {
        partition_index: *partition_index,
        broker_ids: brokers.to_vec(),
        ..Default::default()
    };
    CreatableTopic {
        assignments: by.iter().map(assignment).collect(),
        ..topic(name, partitions, factor)
    }
}

/// Asks both to create the topics; from now on their ids are known by the topics' names.
pub(super) fn create(
    pair: &mut Pair,
    case: &str,
    version: i16,
    topics: &[CreatableTopic],
    validate_only: bool,
) -> anyhow::Result<()> {
    let case = if validate_only { format!("{case}, only to see") } else { case.to_owned() };
    let request = |_: &_| CreateTopicsRequest {
        topics: topics.to_vec(),
        timeout_ms: 30_000,
        validate_only,
        ..Default::default()
    };
    let ids = |answer: &mut CreateTopicsResponse| {
        answer.topics.iter_mut().filter(|t| !t.topic_id.is_zero()).for_each(|topic| {
            topic.topic_id = Uuid::METADATA_TOPIC;
        });
    };
    let outcomes = pair.outcomes(&case, version, request, ids)?;
    for (side, outcome) in [&mut pair.kafka, &mut pair.ottla].into_iter().zip(outcomes) {
        for topic in outcome.into_iter().flat_map(|answer| answer.topics) {
            side.learn_id(topic.topic_id, &topic.name);
        }
    }
    Ok(())
}

fn refused() -> Vec<(&'static str, Vec<CreatableTopic>)> {
    let long: &'static str = Box::leak("n".repeat(250).into_boxed_str());
    let one = |case, topic| (case, vec![topic]);
    let mut cases = vec![
        ("no topic", vec![]),
        one("partitions 0", topic("x", 0, 1)),
        one("partitions -2", topic("x", -2, 1)),
        one("factor 0", topic("x", 1, 0)),
        one("factor -2", topic("x", 1, -2)),
        one("factor 2 on one broker", topic("x", 1, 2)),
        one("too many partitions", topic("x", 2_000_000_000, 1)),
        one("unknown broker", assigned("x", -1, -1, &[(0, &[9])])),
        one("negative broker", assigned("x", -1, -1, &[(0, &[-1])])),
        one("same broker twice", assigned("x", -1, -1, &[(0, &[1, 1])])),
        one("no replicas", assigned("x", -1, -1, &[(0, &[])])),
        one("gap in partitions", assigned("x", -1, -1, &[(0, &[1]), (2, &[1])])),
        one("starts at 1", assigned("x", -1, -1, &[(1, &[1])])),
        one("partition twice", assigned("x", -1, -1, &[(0, &[1]), (0, &[1])])),
        one("uneven replicas", assigned("x", -1, -1, &[(0, &[1]), (1, &[1, 2])])),
        one("replicas and partitions", assigned("x", 1, -1, &[(0, &[1])])),
        one("replicas and factor", assigned("x", -1, 1, &[(0, &[1])])),
        ("topic twice", vec![topic("x", 1, 1), topic("x", 1, 1)]),
        ("topic twice and another", vec![topic("x", 1, 1), topic("y", 0, 1), topic("x", 2, 1)]),
        ("two that collide", vec![topic("c.d", 0, 1), topic("c_d", 0, 1)]),
        one("metadata topic", topic("__cluster_metadata", 1, 1)),
    ];
    for name in ["", ".", "..", "a b", "a/b", "ä", "a\u{0}b", "a,b", "a:b", long] {
        let case: &'static str = Box::leak(format!("name {name:?}").into_boxed_str());
        cases.push(one(case, topic(name, 1, 1)));
    }
    cases.push(one("config twice", {
        configured("x", &[("retention.ms", Some("abc")), ("retention.ms", Some("1"))])
    }));
    for (name, value) in super::configs::BAD_TOPIC_CONFIGS {
        let case: &'static str = Box::leak(format!("config {name}={value:?}").into_boxed_str());
        cases.push(one(case, configured("x", &[(name, *value)])));
    }
    cases
}

fn granted(pair: &mut Pair, version: i16) -> anyhow::Result<()> {
    let name = |what: &str| format!("v{version}.{what}");
    let settings = [
        ("retention.ms", Some("1234")),
        ("cleanup.policy", Some("compact,delete")),
        ("compression.type", Some("zstd")),
        ("min.insync.replicas", Some("1")),
        ("max.message.bytes", Some(" 4000 ")),
        ("message.timestamp.type", Some("LogAppendTime")),
    ];
    let mut cases = vec![
        ("one", vec![topic(&name("plain"), 1, 1)]),
        ("many", vec![topic(&name("many"), 12, 1)]),
        ("manual", vec![assigned(&name("manual"), -1, -1, &[(0, &[1]), (1, &[1])])]),
        ("manual, unordered", vec![assigned(&name("back"), -1, -1, &[(1, &[1]), (0, &[1])])]),
        ("with settings", vec![configured(&name("settings"), &settings)]),
        ("several, some bad", {
            vec![topic(&name("s1"), 1, 1), topic("", 1, 1), topic(&name("s2"), 0, 1)]
        }),
        ("longest name", vec![topic(&format!("v{version}-{}", "n".repeat(246)), 1, 1)]),
        ("it exists", vec![topic(&name("plain"), 3, 1)]),
        ("it exists, and more", vec![topic(&name("plain"), 0, 1), topic(&name("s3"), 1, 1)]),
    ];
    if version >= 4 {
        cases.push(("by default", vec![topic(&name("default"), -1, -1)]));
    }
    for (case, topics) in cases {
        create(pair, case, version, &topics, true)?;
        create(pair, case, version, &topics, false)?;
    }
    Ok(())
}

fn collisions(pair: &mut Pair) -> anyhow::Result<()> {
    create(pair, "first of two", 7, &[topic("a.b", 1, 1)], false)?;
    create(pair, "it collides", 7, &[topic("a_b", 1, 1)], false)?;
    create(pair, "it collides, only to see", 7, &[topic("a_b", 1, 1)], true)?;
    let both = [topic("e.f", 1, 1), topic("e_f", 1, 1)];
    create(pair, "two that collide with each other", 7, &both, false)?;
    create(pair, "the second again", 7, &[topic("e_f", 1, 1)], false)
}

/// Waits until both brokers know the topics, and learns the ids of all that they have.
pub(super) fn settle(pair: &mut Pair, topics: &[&str]) -> anyhow::Result<()> {
    for side in [&mut pair.kafka, &mut pair.ottla] {
        let request = MetadataRequest { topics: Some(named(topics)), ..Default::default() };
        let mut tries = 0;
        while side.ask(12, &request)?.topics.iter().any(|topic| topic.error_code != 0) {
            tries += 1;
            anyhow::ensure!(tries < 10_000, "{topics:?} never appear");
        }
        let all = MetadataRequest { topics: None, ..Default::default() };
        for topic in side.ask(12, &all)?.topics {
            side.learn_id(topic.topic_id, topic.name.as_deref().unwrap_or_default());
        }
    }
    Ok(())
}

pub(super) fn named(topics: &[&str]) -> Vec<MetadataRequestTopic> {
    let topic =
        |name: &&str| MetadataRequestTopic { name: Some((*name).into()), ..Default::default() };
    topics.iter().map(topic).collect()
}

fn metadata(pair: &mut Pair) -> anyhow::Result<()> {
    let some = ["v2.plain", "v7.manual", "no-such-topic", "a b", "", "v2.plain"];
    // The order of topics is that of a hash map in Kafka.
    let sorted = |answer: &mut MetadataResponse| {
        answer.topics.sort_by(|a, b| a.name.cmp(&b.name));
        for topic in &mut answer.topics {
            topic.partitions.sort_by_key(|partition| partition.partition_index);
        }
    };
    for version in versions(ApiKey::Metadata) {
        let request = |_: &_| MetadataRequest { topics: Some(named(&some)), ..Default::default() };
        pair.both_less("some topics", version, request, sorted)?;
    }
    for version in versions(ApiKey::Metadata) {
        let all =
            |_: &_| MetadataRequest { topics: (version == 0).then(Vec::new), ..Default::default() };
        pair.both_less("all topics", version, all, sorted)?;
    }
    for version in 1..=13 {
        pair.both("no topics", version, |_| MetadataRequest {
            topics: Some(Vec::new()),
            ..Default::default()
        })?;
    }
    for version in 8..=13 {
        pair.both("with operations", version, |_| MetadataRequest {
            topics: Some(named(&["a.b"])),
            include_topic_authorized_operations: true,
            include_cluster_authorized_operations: version <= 10,
            ..Default::default()
        })?;
    }
    for version in 10..=13 {
        let request = |side: &Side| {
            let by_id = |topic_id| MetadataRequestTopic { topic_id, ..Default::default() };
            let ids = [side.id("a.b"), Uuid([7; 16]), side.id("v2.plain")];
            MetadataRequest { topics: Some(ids.map(by_id).into()), ..Default::default() }
        };
        pair.both_less("by id", version, request, sorted)?;
        pair.both("by id and name", version, |side| {
            let topics = vec![MetadataRequestTopic {
                topic_id: side.id("a.b"),
                name: Some("v2.plain".into()),
                ..Default::default()
            }];
            MetadataRequest { topics: Some(topics), ..Default::default() }
        })?;
        pair.both("neither id nor name", version, |_| MetadataRequest {
            topics: Some(vec![MetadataRequestTopic::default()]),
            ..Default::default()
        })?;
    }
    Ok(())
}

fn describe_partitions(pair: &mut Pair) -> anyhow::Result<()> {
    let names = |names: &[&str]| -> Vec<TopicRequest> {
        names.iter().map(|n| TopicRequest { name: (*n).into(), ..Default::default() }).collect()
    };
    let all = ["v7.many", "a.b", "no-such-topic", "a b", "v2.plain"];
    for limit in [0, -1, 1, 5, 13, 2000, i32::MAX] {
        pair.both(&format!("limit {limit}"), 0, |_| DescribeTopicPartitionsRequest {
            topics: names(&all),
            response_partition_limit: limit,
            ..Default::default()
        })?;
    }
    pair.both("every topic", 0, |_| DescribeTopicPartitionsRequest {
        response_partition_limit: 2000,
        ..Default::default()
    })?;
    for (topic, partition_index) in
        [("v7.many", 0), ("v7.many", 5), ("v7.many", 99), ("v7.many", -1), ("b", 0), ("zzz", 0)]
    {
        for topics in [&all[..], &[]] {
            let case = format!("from {topic} {partition_index} of {}", topics.len());
            pair.both(&case, 0, |_| DescribeTopicPartitionsRequest {
                topics: names(topics),
                response_partition_limit: 8,
                cursor: Some(DescribeTopicPartitionsRequestCursor {
                    topic_name: topic.into(),
                    partition_index,
                    ..Default::default()
                }),
                ..Default::default()
            })?;
        }
    }
    Ok(())
}

/// Kafka shuffles the answers.
fn shuffled(answer: &mut DeleteTopicsResponse) {
    answer
        .responses
        .sort_by_key(|result| (result.name.clone(), result.topic_id, result.error_code));
}

fn delete(pair: &mut Pair) -> anyhow::Result<()> {
    let by_name = |name: &str| DeleteTopicState { name: Some(name.into()), ..Default::default() };
    for version in versions(ApiKey::DeleteTopics) {
        let plain = format!("v{}.many", version + 1);
        for case in ["it exists", "it is gone"] {
            let request = |_: &_| {
                let names = [plain.as_str(), "no-such-topic", "a b", ""];
                let mut request = DeleteTopicsRequest { timeout_ms: 30_000, ..Default::default() };
                if version >= 6 {
                    request.topics = names.map(by_name).into();
                } else {
                    request.topic_names = names.map(Into::into).into();
                }
                request
            };
            pair.both_less(case, version, request, shuffled)?;
        }
        pair.both("nothing", version, |_| DeleteTopicsRequest::default())?;
        pair.both("twice", version, |_| {
            let mut request = DeleteTopicsRequest { timeout_ms: 30_000, ..Default::default() };
            if version >= 6 {
                request.topics = ["nobody", "nobody"].map(by_name).into();
            } else {
                request.topic_names = ["nobody", "nobody"].map(Into::into).into();
            }
            request
        })?;
    }
    let by_id = |topic_id| DeleteTopicState { topic_id, ..Default::default() };
    type Topics = fn(Uuid) -> Vec<DeleteTopicState>;
    let cases: [(&str, Topics); 5] = [
        ("unknown id", |_| {
            vec![DeleteTopicState { topic_id: Uuid([9; 16]), ..Default::default() }]
        }),
        ("neither", |_| vec![DeleteTopicState::default()]),
        ("id and name", |topic_id| {
            vec![DeleteTopicState { topic_id, name: Some("a.b".into()), ..Default::default() }]
        }),
        ("id and its name", |topic_id| {
            let state = |name: Option<&str>, topic_id| DeleteTopicState {
                name: name.map(Into::into),
                topic_id,
                ..Default::default()
            };
            vec![state(None, topic_id), state(Some("v2.plain"), Uuid::ZERO)]
        }),
        ("id twice", |topic_id| {
            let state = DeleteTopicState { topic_id, ..Default::default() };
            vec![state.clone(), state]
        }),
    ];
    for (case, topics) in cases {
        let request = |side: &Side| DeleteTopicsRequest {
            topics: topics(side.id("v2.plain")),
            timeout_ms: 30_000,
            ..Default::default()
        };
        pair.both_less(case, 6, request, shuffled)?;
    }
    pair.both("by id", 6, |side| DeleteTopicsRequest {
        topics: vec![by_id(side.id("v2.plain"))],
        timeout_ms: 30_000,
        ..Default::default()
    })?;
    create(pair, "again under its name", 7, &[topic("v2.plain", 2, 1)], false)
}
