//! Which place of configuration wins, and Kafka's own file.

use crate::process::{NO_WARNING_OF_SPACE, Node, ottla, start};
use std::path::Path;
use std::process::Command;

/// Adds the first `count` of the places that say `node.id`, weakest first.
fn speak(command: &mut Command, dir: &Path, count: usize) {
    std::fs::write(dir.join("s.properties"), "node.id=2\n").unwrap();
    if count >= 1 {
        command.args(["--config", "s.properties"]);
    }
    if count >= 2 {
        command.env("OTTLA_NODE_ID", "3");
    }
    if count >= 3 {
        command.args(["--node-id", "4"]);
    }
    if count >= 4 {
        command.args(["-o", "node.id=5"]);
    }
}

#[test]
fn the_stronger_place_wins() {
    for (count, expected) in ["1", "2", "3", "4", "5"].into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = start(dir.path());
        speak(&mut command, dir.path(), count);
        assert_eq!(Node::start(&mut command).told("node "), expected);
    }
}

#[test]
fn the_environment_has_the_flags_too() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("s.properties"), "node.id=6\nlog.dirs=from-file\n").unwrap();
    let mut command = ottla(dir.path());
    command.args(["start", "-o", NO_WARNING_OF_SPACE]).env("OTTLA_CONFIG", "s.properties");
    command.env("OTTLA_DATA_DIR", "from-environment").env("OTTLA_LISTEN", "127.0.0.1:0");
    command.env("OTTLA_LOG_FORMAT", "json").env("OTTLA_LOG_LEVEL", "warn");
    let node = Node::start(&mut command);
    assert_eq!(node.told("node "), "6");
    assert_eq!(node.told("data in "), "from-environment");
    assert_eq!(node.stop(), (Some(0), String::new()), "nothing to warn of");
}

#[test]
fn kafkas_file_of_a_combined_node() {
    let dir = tempfile::tempdir().unwrap();
    // As Apache Kafka ships it for one node, but for the ports.
    std::fs::write(
        dir.path().join("server.properties"),
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:9093
listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0
advertised.listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=data
num.network.threads=3
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
",
    )
    .unwrap();
    let node = Node::start(ottla(dir.path()).args(["start", "--config", "server.properties"]));
    assert_eq!(node.told("data in "), "data");
    let (code, stderr) = node.stop();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stderr.contains("server.properties line 10: num.network.threads has no effect"),
        "{stderr}"
    );
}
