//! Settings of topics, brokers, groups and more: described, altered in both ways, listed.

use ottla_protocol::k32_describe_configs::DescribeConfigsResource;
use ottla_protocol::{
    AlterConfigsRequest, ApiKey, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, ListConfigResourcesRequest, ListConfigResourcesResponse,
    k33_alter_configs as k33, k44_incremental_alter_configs as k44,
};

use super::pair::{Pair, versions};
use super::topics::{configured, create, settle, topic};

/// Kinds of resources (`ConfigResource.Type`).
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

/// Operations of IncrementalAlterConfigs.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// Name and value of a setting.
pub(super) type Setting<'a> = (&'a str, Option<&'a str>);

/// Settings that no topic may have.
pub(super) const BAD_TOPIC_CONFIGS: &[Setting<'_>] = &[
    ("no.such.setting", Some("1")),
    ("", Some("1")),
    ("retention.ms", Some("abc")),
    ("retention.ms", Some("")),
    ("retention.ms", Some("-2")),
    ("retention.ms", Some("99999999999999999999")),
    ("retention.ms", None),
    ("cleanup.policy", Some("none")),
    ("cleanup.policy", Some("")),
    ("cleanup.policy", Some("compact,compact")),
    ("cleanup.policy", Some("compact,archive")),
    ("compression.type", Some("brotli")),
    ("compression.type", Some("ZSTD")),
    ("compression.gzip.level", Some("0")),
    ("compression.lz4.level", Some("99")),
    ("compression.zstd.level", Some("23")),
    ("min.insync.replicas", Some("0")),
    ("max.message.bytes", Some("-1")),
    ("max.message.bytes", Some("2147483648")),
    ("segment.bytes", Some("13")),
    ("segment.bytes", Some("1.5")),
    ("segment.ms", Some("0")),
    ("segment.index.bytes", Some("3")),
    ("min.cleanable.dirty.ratio", Some("1.1")),
    ("min.cleanable.dirty.ratio", Some("x")),
    ("message.timestamp.type", Some("Sometimes")),
    ("message.timestamp.before.max.ms", Some("-1")),
    ("unclean.leader.election.enable", Some("maybe")),
    ("preallocate", Some("1")),
    ("file.delete.delay.ms", Some("-1")),
    ("flush.messages", Some("0")),
    ("local.retention.ms", Some("-3")),
    ("local.retention.bytes", Some("9223372036854775807")),
    ("remote.storage.enable", Some("true")),
    ("min.compaction.lag.ms", Some("-1")),
    ("max.compaction.lag.ms", Some("0")),
    ("leader.replication.throttled.replicas", Some("x")),
    ("follower.replication.throttled.replicas", Some("0:1,1")),
    ("delete.retention.ms", Some("-1")),
    ("index.interval.bytes", Some("-1")),
    ("message.format.version", Some("2.8")),
];

pub(super) fn compare(pair: &mut Pair) -> anyhow::Result<()> {
    let settings = [("retention.ms", Some("1234")), ("cleanup.policy", Some("compact,delete"))];
    let topics = [topic("plain", 1, 1), configured("set", &settings), topic("altered", 1, 1)];
    create(pair, "for settings", 7, &topics, false)?;
    settle(pair, &["plain", "set", "altered"])?;
    describe_topics(pair)?;
    describe_others(pair)?;
    alter_topics(pair)?;
    alter_incrementally(pair)?;
    alter_others(pair)?;
    describe_topics(pair)?;
    list(pair)
}

fn wanted(kind: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResource {
    DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configuration_keys: keys.map(|keys| keys.iter().map(|key| (*key).into()).collect()),
        ..Default::default()
    }
}

/// Describes in each version; the order of settings is that of a hash map in Kafka.
fn describe(
    pair: &mut Pair,
    case: &str,
    resources: &[DescribeConfigsResource],
) -> anyhow::Result<()> {
    let sorted = |answer: &mut DescribeConfigsResponse| {
        for result in &mut answer.results {
            result.configs.sort_by(|a, b| a.name.cmp(&b.name));
        }
    };
    for version in versions(ApiKey::DescribeConfigs) {
        for (include_synonyms, include_documentation) in [(true, false), (false, version >= 3)] {
            let request = |_: &_| DescribeConfigsRequest {
                resources: resources.to_vec(),
                include_synonyms,
                include_documentation,
                ..Default::default()
            };
            pair.both_less(case, version, request, sorted)?;
        }
    }
    Ok(())
}

fn describe_topics(pair: &mut Pair) -> anyhow::Result<()> {
    describe(pair, "topics", &[wanted(TOPIC, "plain", None), wanted(TOPIC, "set", None)])?;
    describe(pair, "altered topic", &[wanted(TOPIC, "altered", None)])?;
    let keys = ["retention.ms", "no.such.setting", "retention.ms", "segment.bytes"];
    describe(pair, "some settings", &[wanted(TOPIC, "set", Some(&keys))])?;
    describe(pair, "no settings", &[wanted(TOPIC, "set", Some(&[]))])?;
    describe(pair, "a topic twice", &[wanted(TOPIC, "set", None), wanted(TOPIC, "set", None)])?;
    for name in ["no-such-topic", "a b", "", "__consumer_offsets"] {
        describe(pair, &format!("topic {name:?}"), &[wanted(TOPIC, name, None)])?;
    }
    describe(pair, "nothing", &[])
}

fn describe_others(pair: &mut Pair) -> anyhow::Result<()> {
    describe(pair, "broker", &[wanted(BROKER, "1", None)])?;
    describe(pair, "all brokers", &[wanted(BROKER, "", None)])?;
    let keys =
        ["log.retention.ms", "log.retention.hours", "num.io.threads", "listeners", "node.id"];
    describe(pair, "some of a broker", &[wanted(BROKER, "1", Some(&keys))])?;
    for name in ["2", "-1", "x"] {
        describe(pair, &format!("broker {name:?}"), &[wanted(BROKER, name, None)])?;
    }
    for name in ["a-group", ""] {
        describe(pair, &format!("group {name:?}"), &[wanted(GROUP, name, None)])?;
    }
    for name in ["subscription", ""] {
        describe(pair, &format!("metrics {name:?}"), &[wanted(CLIENT_METRICS, name, None)])?;
    }
    for kind in [0, 1, 3, 5, 64, -1] {
        describe(pair, &format!("kind {kind}"), &[wanted(kind, "x", None)])?;
    }
    for name in ["2", ""] {
        describe(pair, &format!("logger {name:?}"), &[wanted(BROKER_LOGGER, name, None)])?;
    }
    Ok(())
}

fn alter_topics(pair: &mut Pair) -> anyhow::Result<()> {
    let good = [("retention.ms", Some("77")), ("segment.bytes", Some("2000000"))];
    for version in versions(ApiKey::AlterConfigs) {
        alter(pair, "a topic", version, &[(TOPIC, "altered", &good)])?;
        alter(pair, "a topic back", version, &[(TOPIC, "altered", &[])])?;
        for (name, value) in BAD_TOPIC_CONFIGS {
            let settings = [("retention.bytes", Some("5")), (*name, *value)];
            let case = format!("{name}={value:?}");
            alter(pair, &case, version, &[(TOPIC, "altered", &settings)])?;
        }
        alter(pair, "unknown topic", version, &[(TOPIC, "no-such-topic", &good)])?;
        alter(pair, "illegal name", version, &[(TOPIC, "a b", &good)])?;
        alter(pair, "no name", version, &[(TOPIC, "", &good)])?;
        // A topic twice gets no answer from Kafka, ever.
        let same = [("retention.ms", Some("1")), ("retention.ms", Some("2"))];
        alter(pair, "a setting twice", version, &[(TOPIC, "altered", &same)])?;
        let two = [(TOPIC, "altered", &good[..]), (TOPIC, "no-such-topic", &good[..])];
        alter(pair, "one of two", version, &two)?;
        alter(pair, "kind 3", version, &[(3, "altered", &good)])?;
        alter(pair, "broker 2", version, &[(BROKER, "2", &[])])?;
        alter(pair, "nothing", version, &[])?;
    }
    alter(pair, "last", 2, &[(TOPIC, "altered", &good)])
}

/// Kind and name of a resource and its settings.
type Resource<'a> = (i8, &'a str, &'a [Setting<'a>]);

fn alter(
    pair: &mut Pair,
    case: &str,
    version: i16,
    resources: &[Resource<'_>],
) -> anyhow::Result<()> {
    let resource = |(kind, name, settings): &Resource<'_>| k33::AlterConfigsResource {
        resource_type: *kind,
        resource_name: (*name).into(),
        configs: settings
            .iter()
            .map(|(name, value)| k33::AlterableConfig {
                name: (*name).into(),
                value: value.map(Into::into),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    for validate_only in [true, false] {
        let case = if validate_only { format!("{case}, only to see") } else { case.to_owned() };
        pair.both(&case, version, |_| AlterConfigsRequest {
            resources: resources.iter().map(resource).collect(),
            validate_only,
            ..Default::default()
        })?;
    }
    Ok(())
}

/// Kind and name of a resource, and operation, setting and value of each change.
type Change<'a> = (i8, &'a str, &'a [Op<'a>]);

/// Operation, setting, value.
type Op<'a> = (i8, &'a str, Option<&'a str>);

fn change(pair: &mut Pair, case: &str, version: i16, changes: &[Change<'_>]) -> anyhow::Result<()> {
    let resource = |(kind, name, changes): &Change<'_>| k44::AlterConfigsResource {
        resource_type: *kind,
        resource_name: (*name).into(),
        configs: changes
            .iter()
            .map(|(operation, name, value)| k44::AlterableConfig {
                name: (*name).into(),
                config_operation: *operation,
                value: value.map(Into::into),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    for validate_only in [true, false] {
        let case = if validate_only { format!("{case}, only to see") } else { case.to_owned() };
        pair.both(&case, version, |_| IncrementalAlterConfigsRequest {
            resources: changes.iter().map(resource).collect(),
            validate_only,
            ..Default::default()
        })?;
    }
    Ok(())
}

fn alter_incrementally(pair: &mut Pair) -> anyhow::Result<()> {
    let on_topic: &[(&str, &[Op<'_>])] = &[
        ("set", &[(SET, "retention.ms", Some("5")), (SET, "cleanup.policy", Some("compact"))]),
        ("append", &[(APPEND, "cleanup.policy", Some("delete"))]),
        ("append what is there", &[(APPEND, "cleanup.policy", Some("delete"))]),
        ("append two", &[(APPEND, "cleanup.policy", Some("delete,compact"))]),
        ("subtract", &[(SUBTRACT, "cleanup.policy", Some("compact"))]),
        ("subtract what is not there", &[(SUBTRACT, "cleanup.policy", Some("compact"))]),
        ("subtract the last", &[(SUBTRACT, "cleanup.policy", Some("delete"))]),
        ("append to a default", &[(APPEND, "leader.replication.throttled.replicas", Some("0:1"))]),
        ("append to no list", &[(APPEND, "retention.ms", Some("5"))]),
        ("subtract from no list", &[(SUBTRACT, "retention.ms", Some("5"))]),
        ("append null", &[(APPEND, "cleanup.policy", None)]),
        ("subtract null", &[(SUBTRACT, "cleanup.policy", None)]),
        ("append to unknown", &[(APPEND, "no.such.setting", Some("5"))]),
        ("delete", &[(DELETE, "retention.ms", None)]),
        ("delete what is not set", &[(DELETE, "retention.ms", None)]),
        ("delete with a value", &[(DELETE, "retention.ms", Some("5"))]),
        ("delete unknown", &[(DELETE, "no.such.setting", None)]),
        ("operation 4", &[(4, "retention.ms", Some("5"))]),
        ("operation -1", &[(-1, "retention.ms", Some("5"))]),
        ("set twice", &[(SET, "retention.ms", Some("5")), (SET, "retention.ms", Some("6"))]),
        ("set and delete", &[(SET, "retention.ms", Some("5")), (DELETE, "retention.ms", None)]),
        ("one good, one bad", &[(SET, "retention.ms", Some("5")), (SET, "x", Some("6"))]),
        ("no change", &[]),
    ];
    for version in versions(ApiKey::IncrementalAlterConfigs) {
        for (case, changes) in on_topic {
            change(pair, case, version, &[(TOPIC, "altered", changes)])?;
        }
        for (name, value) in BAD_TOPIC_CONFIGS {
            let case = format!("{name}={value:?}");
            change(pair, &case, version, &[(TOPIC, "altered", &[(SET, name, *value)])])?;
        }
        let good = [(SET, "retention.ms", Some("5"))];
        change(pair, "unknown topic", version, &[(TOPIC, "no-such-topic", &good)])?;
        change(pair, "illegal name", version, &[(TOPIC, "a b", &good)])?;
        change(pair, "no name", version, &[(TOPIC, "", &good)])?;
        let twice = [(TOPIC, "altered", &good[..]), (TOPIC, "altered", &good[..])];
        change(pair, "a topic twice", version, &twice)?;
        change(pair, "kind 3", version, &[(3, "x", &good)])?;
        change(pair, "nothing", version, &[])?;
    }
    Ok(())
}

fn alter_others(pair: &mut Pair) -> anyhow::Result<()> {
    let on_broker: &[(&str, &[Op<'_>])] = &[
        ("dynamic", &[(SET, "log.retention.ms", Some("360000000"))]),
        ("dynamic, bad value", &[(SET, "log.retention.ms", Some("x"))]),
        ("dynamic, out of range", &[(SET, "log.cleaner.threads", Some("-1"))]),
        ("read-only", &[(SET, "num.partitions", Some("3"))]),
        ("read-only, its id", &[(SET, "node.id", Some("3"))]),
        ("unknown", &[(SET, "no.such.setting", Some("3"))]),
        ("append", &[(APPEND, "log.cleanup.policy", Some("compact"))]),
        ("delete", &[(DELETE, "log.cleanup.policy", None)]),
    ];
    for broker in ["1", ""] {
        for (case, changes) in on_broker {
            let case = format!("broker {broker:?}: {case}");
            change(pair, &case, 1, &[(BROKER, broker, changes)])?;
        }
        wait_until_deleted(pair, broker, "log.cleanup.policy")?;
        describe(pair, &format!("broker {broker:?} altered"), &[wanted(BROKER, broker, None)])?;
        let back = [(DELETE, "log.retention.ms", None)];
        change(pair, &format!("broker {broker:?}: back"), 1, &[(BROKER, broker, &back)])?;
    }
    for broker in ["2", "-1", "x"] {
        let dynamic = [(SET, "log.retention.ms", Some("360000000"))];
        change(pair, &format!("broker {broker:?}"), 1, &[(BROKER, broker, &dynamic)])?;
    }
    let on_group: &[(&str, &str, &[Op<'_>])] = &[
        ("good", "a-group", &[(SET, "consumer.session.timeout.ms", Some("50000"))]),
        ("bad", "a-group", &[(SET, "consumer.session.timeout.ms", Some("x"))]),
        ("too small", "a-group", &[(SET, "consumer.session.timeout.ms", Some("1"))]),
        ("unknown", "a-group", &[(SET, "no.such.setting", Some("1"))]),
        ("no name", "", &[(SET, "consumer.session.timeout.ms", Some("50000"))]),
    ];
    for (case, group, changes) in on_group {
        change(pair, &format!("group: {case}"), 1, &[(GROUP, group, changes)])?;
    }
    describe(pair, "group altered", &[wanted(GROUP, "a-group", None)])?;
    let on_metrics: &[(&str, &[Op<'_>])] = &[
        ("good", &[(SET, "interval.ms", Some("5000"))]),
        ("bad", &[(SET, "interval.ms", Some("x"))]),
        ("too small", &[(SET, "interval.ms", Some("1"))]),
        ("pattern", &[(SET, "match", Some("client_id=[a"))]),
        ("unknown", &[(SET, "no.such.setting", Some("1"))]),
    ];
    for (case, changes) in on_metrics {
        change(pair, &format!("metrics: {case}"), 1, &[(CLIENT_METRICS, "m", changes)])?;
    }
    Ok(())
}

/// Kafka's broker hears of its settings a moment after they are altered.
fn wait_until_deleted(pair: &mut Pair, broker: &str, setting: &str) -> anyhow::Result<()> {
    let request = DescribeConfigsRequest {
        resources: vec![wanted(BROKER, broker, Some(&[setting]))],
        ..Default::default()
    };
    for side in [&mut pair.kafka, &mut pair.ottla] {
        let mut tries = 0;
        loop {
            let answer = side.ask(4, &request)?;
            let configs = answer.results.iter().flat_map(|result| &result.configs);
            // Set by a dynamic setting of brokers.
            if !configs.into_iter().any(|config| [2, 3].contains(&config.config_source)) {
                break;
            }
            tries += 1;
            anyhow::ensure!(tries < 10_000, "{setting} stays: {answer:?}");
        }
    }
    Ok(())
}

fn list(pair: &mut Pair) -> anyhow::Result<()> {
    let sorted = |answer: &mut ListConfigResourcesResponse| {
        answer.config_resources.sort_by_key(|r| (r.resource_type, r.resource_name.clone()));
    };
    for version in versions(ApiKey::ListConfigResources) {
        pair.both_less("all", version, |_| ListConfigResourcesRequest::default(), sorted)?;
    }
    for kinds in [&[TOPIC][..], &[BROKER], &[GROUP, CLIENT_METRICS], &[BROKER_LOGGER], &[0], &[7]] {
        let request = |_: &_| ListConfigResourcesRequest {
            resource_types: kinds.to_vec(),
            ..Default::default()
        };
        pair.both_less(&format!("kinds {kinds:?}"), 1, request, sorted)?;
    }
    Ok(())
}
