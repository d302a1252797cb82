//! The client programs of `clients/`: each runs all of its scenarios against one broker.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ottla_interop::broker::Broker;
use ottla_interop::{program, repository};

const LIMIT: Duration = Duration::from_secs(300);

/// Runs a program with a broker's address and a prefix for its topics and groups.
fn run(mut command: Command, name: &str) -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    command.args([broker.address(), &prefix(name)]);
    let passed = program::scenarios(&mut command, LIMIT).inspect_err(|_| {
        eprintln!("{}", broker.log());
    })?;
    println!("{name}: {}", passed.join(", "));
    Ok(())
}

/// A prefix that no other run uses, for brokers that are not ours.
fn prefix(name: &str) -> String {
    format!("it-{name}-{}", std::process::id())
}

fn python(script: &str) -> anyhow::Result<Command> {
    let mut python = Command::new(repository::fetched("python/bin/python")?);
    python.env("PYTHONDONTWRITEBYTECODE", "1").args(["-W", "ignore"]);
    python.arg(repository::source("python").join(script));
    Ok(python)
}

fn built(path: &str) -> anyhow::Result<Command> {
    Ok(Command::new::<PathBuf>(repository::fetched(path)?))
}

#[test]
fn confluent_kafka() -> anyhow::Result<()> {
    run(python("confluent_client.py")?, "confluent")
}

#[test]
fn kafka_python() -> anyhow::Result<()> {
    run(python("kafka_python_client.py")?, "kafka-python")
}

#[test]
fn aiokafka() -> anyhow::Result<()> {
    run(python("aiokafka_client.py")?, "aiokafka")
}

#[test]
fn java() -> anyhow::Result<()> {
    let mut java = program::java(&repository::client_classes()?, "off")?;
    java.arg("Clients");
    run(java, "java")
}

#[test]
fn franz_go() -> anyhow::Result<()> {
    run(built("go/franz")?, "franz-go")
}

#[test]
fn kafka_go() -> anyhow::Result<()> {
    run(built("go/kafkago")?, "kafka-go")
}

#[test]
fn kafkajs() -> anyhow::Result<()> {
    let mut node = Command::new(repository::installed("node")?);
    node.env("NODE_PATH", repository::fetched("node/node_modules")?);
    node.arg(repository::source("node").join("kafkajs_client.js"));
    run(node, "kafkajs")
}

#[test]
fn rdkafka() -> anyhow::Result<()> {
    run(built("rust/debug/rdkafka_client")?, "rdkafka")
}

#[test]
fn rskafka() -> anyhow::Result<()> {
    run(built("rust/debug/rskafka_client")?, "rskafka")
}
