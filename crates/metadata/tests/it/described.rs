//! Settings as Apache Kafka 4.4.0 describes them, with their sources and synonyms.

use ottla_metadata::configs::{BrokerProperties, ConfigSource, DescribedConfig, Effective};
use ottla_metadata::{Command, ConfigResource, Image, ResourceKind};
use ottla_protocol::{CreateTopicsRequest, NodeId, StrBytes};

use crate::cluster::Cluster;
use crate::decisions::topic;

/// Settings whose default is Ottla's own, and Ottla's own settings.
const DIFFERENT: [&str; 12] = [
    "flush.mode",
    "group.initial.rebalance.delay.ms",
    "listeners",
    "log.dir",
    "log.dir.free.refuse.bytes",
    "log.dir.free.warn.bytes",
    "log.flush.file.system.min.files",
    "log.initial.task.delay.ms",
    "max.connections",
    "max.connections.per.ip",
    "metadata.log.reserve.bytes",
    "producer.id.expiration.check.interval.ms",
];

fn source(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::DynamicTopic => "DYNAMIC_TOPIC_CONFIG",
        ConfigSource::DynamicBroker => "DYNAMIC_BROKER_CONFIG",
        ConfigSource::DynamicDefaultBroker => "DYNAMIC_DEFAULT_BROKER_CONFIG",
        ConfigSource::StaticBroker => "STATIC_BROKER_CONFIG",
        ConfigSource::Default => "DEFAULT_CONFIG",
        ConfigSource::DynamicBrokerLogger => "DYNAMIC_BROKER_LOGGER_CONFIG",
        ConfigSource::DynamicClientMetrics => "DYNAMIC_CLIENT_METRICS_CONFIG",
        ConfigSource::DynamicGroup => "DYNAMIC_GROUP_CONFIG",
    }
}

fn line(kind: &str, config: &DescribedConfig) -> String {
    const TYPES: [&str; 10] = [
        "UNKNOWN", "BOOLEAN", "STRING", "INT", "SHORT", "LONG", "DOUBLE", "LIST", "CLASS",
        "PASSWORD",
    ];
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
    let synonyms = config
        .synonyms
        .iter()
        .map(|one| format!("{}:{}={}", source(one.source), one.name, text(&one.value)));
    format!(
        "{kind}\t{}\t{}\t{}\t{}\t{}\t{}\t[{}]",
        config.name,
        text(&config.value),
        source(config.source),
        TYPES[usize::try_from(config.config_type).unwrap()],
        if config.read_only { "ro" } else { "rw" },
        if config.sensitive { "sens" } else { "" },
        synonyms.collect::<Vec<_>>().join(" ")
    )
}

fn with_topic() -> Cluster {
    let mut cluster = Cluster::new();
    let topics = vec![topic(
        "meta.probe",
        1,
        &[("retention.ms", "1000"), ("cleanup.policy", "compact,delete")],
    )];
    cluster
        .run(&Command::CreateTopics(CreateTopicsRequest { topics, ..Default::default() }))
        .unwrap();
    cluster
}

fn describe(
    image: &Image,
    properties: &BrokerProperties,
    kind: ResourceKind,
    name: &str,
) -> Vec<DescribedConfig> {
    let effective = Effective { image, node: NodeId(1), properties };
    effective.describe(&ConfigResource { kind, name: StrBytes::from(name) }, None).unwrap()
}

#[test]
fn defaults_are_described_as_kafka_describes_them() {
    let cluster = with_topic();
    let image = cluster.machine.latest();
    let properties = BrokerProperties::default();
    let resources = [
        ("TOPIC", ResourceKind::Topic, "meta.probe"),
        ("GROUP", ResourceKind::Group, "g1"),
        ("CLIENT_METRICS", ResourceKind::ClientMetrics, "cm"),
        ("BROKER", ResourceKind::Broker, "1"),
    ];
    let mut wrong = Vec::new();
    let mut rows = 0;
    for (word, kind, name) in resources {
        let described = describe(image, &properties, kind, name);
        let golden = include_str!("../golden/described.tsv")
            .lines()
            .filter(|line| line.starts_with(&format!("{word}\t")));
        for expected in golden {
            let name = expected.split('\t').nth(1).unwrap();
            if DIFFERENT.contains(&name) {
                continue;
            }
            rows += 1;
            let ours = described
                .iter()
                .find(|config| config.name == name)
                .map(|config| line(word, config));
            if ours.as_deref() != Some(expected) {
                wrong.push(format!("{expected}\n  is described\n{}", ours.unwrap_or_default()));
            }
        }
    }
    assert!(rows > 350, "{rows} rows");
    assert!(wrong.is_empty(), "{} of {rows}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_strongest_source_wins() {
    let mut cluster = with_topic();
    let properties: BrokerProperties = [
        ("node.id", "1"),
        ("log.retention.hours", "2"),
        ("log.segment.bytes", "2097152"),
        ("flush.mode", "os"),
    ]
    .into_iter()
    .collect();
    let value = |cluster: &Cluster, topic: &str, name: &str| {
        let effective =
            Effective { image: cluster.machine.latest(), node: NodeId(1), properties: &properties };
        effective.topic_value(topic, name).to_text().unwrap()
    };
    assert_eq!(value(&cluster, "other", "retention.ms"), "7200000", "hours of the properties file");
    assert_eq!(value(&cluster, "meta.probe", "retention.ms"), "1000", "the topic's own");
    assert_eq!(value(&cluster, "other", "segment.bytes"), "2097152");
    assert_eq!(value(&cluster, "other", "flush.mode"), "os");
    crate::decisions::set(
        &mut cluster,
        4,
        "",
        &[("log.segment.bytes", "3145728"), ("log.retention.ms", "50")],
    );
    assert_eq!(value(&cluster, "other", "segment.bytes"), "3145728", "set for all brokers");
    assert_eq!(value(&cluster, "other", "retention.ms"), "50", "milliseconds win over hours");
    crate::decisions::set(&mut cluster, 4, "1", &[("log.segment.bytes", "4194304")]);
    assert_eq!(value(&cluster, "other", "segment.bytes"), "4194304", "set for this broker");
    let described =
        describe(cluster.machine.latest(), &properties, ResourceKind::Topic, "meta.probe");
    let segment = described.iter().find(|config| config.name == "segment.bytes").unwrap();
    assert_eq!(
        line("TOPIC", segment),
        "TOPIC\tsegment.bytes\t4194304\tDYNAMIC_BROKER_CONFIG\tINT\trw\t\t[DYNAMIC_BROKER_CONFIG:log.segment.bytes=4194304 \
         DYNAMIC_DEFAULT_BROKER_CONFIG:log.segment.bytes=3145728 STATIC_BROKER_CONFIG:log.segment.bytes=2097152 \
         DEFAULT_CONFIG:log.segment.bytes=1073741824]"
    );
}

#[test]
fn passwords_are_never_shown() {
    let properties: BrokerProperties =
        [("node.id", "1"), ("ssl.keystore.password", "secret-word")].into_iter().collect();
    let described = describe(&Image::default(), &properties, ResourceKind::Broker, "1");
    let password = described.iter().find(|config| config.name == "ssl.keystore.password").unwrap();
    assert!(password.sensitive && password.value.is_none());
    assert!(!format!("{described:?}").contains("secret-word"));
}
