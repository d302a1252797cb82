//! Kafka's command line tools, as published: topics, configs, console clients, groups, quorum.

use std::time::Duration;

use anyhow::ensure;
use ottla_interop::broker::Broker;
use ottla_interop::{program, repository};

const LIMIT: Duration = Duration::from_secs(90);

/// The tools against one broker.
struct Tools {
    broker: Broker,
    topic: String,
    group: String,
}

impl Tools {
    fn start(name: &str) -> anyhow::Result<Self> {
        let topic = format!("it-tools-{name}-{}", std::process::id());
        Ok(Self { broker: Broker::start(&[])?, group: format!("{topic}-group"), topic })
    }

    /// Runs a class with the broker's address and gives what it printed.
    fn run(&self, class: &str, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        let mut java = program::java(&repository::tool_classes()?, "error")?;
        java.arg(class).args(["--bootstrap-server", self.broker.address()]).args(arguments);
        let finished = program::run_with(&mut java, input.as_bytes(), LIMIT)?;
        Ok(finished.everything())
    }

    fn topics(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let topic = ["--topic", &self.topic];
        self.run("org.apache.kafka.tools.TopicCommand", &[arguments, &topic].concat(), "")
    }

    fn groups(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let class = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
        self.run(class, &[arguments, &["--group", &self.group]].concat(), "")
    }

    fn configs(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let entity = ["--entity-type", "topics", "--entity-name", &self.topic];
        self.run("kafka.admin.ConfigCommand", &[arguments, &entity].concat(), "")
    }
}

fn has(text: &str, wanted: &str) -> anyhow::Result<()> {
    ensure!(text.contains(wanted), "{wanted:?} is not in\n{text}");
    Ok(())
}

#[test]
fn topics_and_their_settings() -> anyhow::Result<()> {
    let tools = Tools::start("topics")?;
    let created =
        tools.topics(&["--create", "--partitions", "3", "--config", "retention.ms=60000"])?;
    has(&created, &format!("Created topic {}.", tools.topic))?;
    let described = tools.topics(&["--describe"])?;
    has(&described, "PartitionCount: 3\tReplicationFactor: 1")?;
    has(&described, "retention.ms=60000")?;
    has(&described, "Partition: 2\tLeader: 1\tReplicas: 1\tIsr: 1")?;
    let altered = tools.configs(&["--alter", "--add-config", "max.message.bytes=2000000"])?;
    has(&altered, "Completed updating config for topic")?;
    let configs = tools.configs(&["--describe"])?;
    has(&configs, "max.message.bytes=2000000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG")?;
    has(&configs, "DEFAULT_CONFIG:message.max.bytes=1048588")?;
    tools.topics(&["--alter", "--partitions", "5"])?;
    has(&tools.topics(&["--describe"])?, "PartitionCount: 5")?;
    tools.topics(&["--delete"])?;
    let listed = tools.run("org.apache.kafka.tools.TopicCommand", &["--list"], "")?;
    ensure!(!listed.contains(&tools.topic), "the deleted topic is listed\n{listed}");
    Ok(())
}

#[test]
fn console_clients_and_groups() -> anyhow::Result<()> {
    let tools = Tools::start("console")?;
    tools.topics(&["--create", "--partitions", "1"])?;
    let input: String = (0..50).map(|n| format!("line {n}\n")).collect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let arguments = ["--topic", &tools.topic, "--compression-codec", codec];
        tools.run("org.apache.kafka.tools.ConsoleProducer", &arguments, &input)?;
    }
    let consumer = "org.apache.kafka.tools.consumer.ConsoleConsumer";
    let all = ["--topic", &tools.topic, "--from-beginning", "--max-messages", "250"];
    let read = tools.run(consumer, &[&all[..], &["--group", &tools.group]].concat(), "")?;
    ensure!(read.contains(&input.repeat(5)), "what was sent did not come back\n{read}");
    let described = tools.groups(&["--describe"])?;
    let fields: Vec<&str> = described.lines().flat_map(str::split_whitespace).collect();
    let wanted = [tools.group.as_str(), &tools.topic, "0", "250", "250", "0"];
    ensure!(fields.windows(6).any(|row| row == wanted), "no {wanted:?} in\n{described}");
    has(&tools.groups(&["--describe", "--state"])?, "Empty")?;
    let reset = ["--reset-offsets", "--to-offset", "7", "--topic", &tools.topic, "--execute"];
    has(&tools.groups(&reset)?, "7")?;
    has(&tools.groups(&["--describe"])?, "243")?;
    let listed = tools.run("org.apache.kafka.tools.GroupsCommand", &["--list"], "")?;
    has(&listed, &tools.group)?;
    has(&tools.groups(&["--delete"])?, "was successful")
}

#[test]
fn records_offsets_and_log_directories() -> anyhow::Result<()> {
    let tools = Tools::start("records")?;
    tools.topics(&["--create", "--partitions", "1"])?;
    let performance = ["--topic", &tools.topic, "--num-records", "20000", "--record-size", "100"];
    let performance = [&performance[..], &["--throughput", "-1"]].concat();
    let sent = tools.run("org.apache.kafka.tools.ProducerPerformance", &performance, "")?;
    has(&sent, "20000 records sent")?;
    let offsets = "org.apache.kafka.tools.GetOffsetShell";
    let found = tools.run(offsets, &["--topic", &tools.topic], "")?;
    has(&found, &format!("{}:0:20000", tools.topic))?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("offsets.json");
    let partition = format!("{{\"topic\":\"{}\",\"partition\":0,\"offset\":123}}", tools.topic);
    std::fs::write(&file, format!("{{\"partitions\":[{partition}],\"version\":1}}"))?;
    let file = file.display().to_string();
    let delete = "org.apache.kafka.tools.DeleteRecordsCommand";
    let deleted = tools.run(delete, &["--offset-json-file", &file], "")?;
    has(&deleted, "low_watermark: 123")?;
    let earliest = tools.run(offsets, &["--topic", &tools.topic, "--time", "earliest"], "")?;
    has(&earliest, &format!("{}:0:123", tools.topic))?;
    let directories = ["--describe", "--topic-list", &tools.topic];
    let described = tools.run("org.apache.kafka.tools.LogDirsCommand", &directories, "")?;
    has(&described, &format!("\"partition\":\"{}-0\"", tools.topic))
}

#[test]
fn quorum_features_and_versions() -> anyhow::Result<()> {
    let tools = Tools::start("cluster")?;
    let quorum = "org.apache.kafka.tools.MetadataQuorumCommand";
    let status = tools.run(quorum, &["describe", "--status"], "")?;
    let fields: Vec<&str> = status.split_whitespace().collect();
    ensure!(fields.windows(2).any(|pair| pair == ["LeaderId:", "1"]), "no leader in\n{status}");
    has(&status, "CurrentVoters:          [{\"id\": 1, \"directoryId\": \"")?;
    has(&tools.run(quorum, &["describe", "--replication"], "")?, "Leader")?;
    let features = tools.run("org.apache.kafka.tools.FeatureCommand", &["describe"], "")?;
    has(&features, "Feature: metadata.version")?;
    let versions = tools.run("org.apache.kafka.tools.BrokerApiVersionsCommand", &[], "")?;
    has(&versions, &format!("{} (id: 1 rack: null", tools.broker.address()))?;
    has(&versions, "Produce(0): 0 to 13 [usable: 13]")?;
    has(&versions, "Fetch(1): 4 to 18 [usable: 18]")?;
    let cluster = program::java(&repository::tool_classes()?, "error")?
        .args(["org.apache.kafka.tools.ClusterTool", "cluster-id", "--bootstrap-server"])
        .arg(tools.broker.address())
        .output()?;
    has(&String::from_utf8_lossy(&cluster.stdout), "Cluster ID: ")
}
