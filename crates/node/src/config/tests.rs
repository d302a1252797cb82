//! What settings make of a configuration: defaults, Kafka's own file, refusals, warnings.

use super::*;
use std::path::Path;

fn settings(text: &str) -> Settings {
    let mut settings = Settings::new();
    for entry in crate::properties::parse(text.as_bytes()).unwrap() {
        let origin = Origin::File { path: "server.properties".into(), line: entry.line };
        settings.set(&entry.key, &entry.value, origin);
    }
    settings
}

fn config(text: &str) -> Config {
    Config::from_settings(settings(text)).unwrap()
}

/// The sentence with which `text` is refused.
fn refusal(text: &str) -> String {
    Config::from_settings(settings(text)).unwrap_err().to_string()
}

fn listener(name: &str, host: &str, port: u16, role: ListenerRole) -> Listener {
    let endpoint = Endpoint { listener: name.into(), host: host.into(), port };
    Listener { endpoint, role, advertised: None }
}

#[test]
fn without_settings() {
    let config = config("");
    assert_eq!(config.node_id, None);
    assert_eq!(config.log_dirs, [Path::new("./ottla-data")]);
    assert_eq!(config.metadata_log_dir, Path::new("./ottla-data"));
    assert_eq!(config.listeners, [listener("PLAINTEXT", "127.0.0.1", 9092, ListenerRole::Broker)]);
    assert!(!config.static_quorum);
    assert!(config.limits.queued_bytes_max < usize::MAX, "finite by default");
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn kafkas_combined_node_is_accepted_as_it_is() {
    let config = config(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:9093
listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093
advertised.listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=data
offsets.topic.replication.factor=1
group.initial.rebalance.delay.ms=0
",
    );
    assert_eq!(config.node_id, Some(1));
    assert_eq!(config.log_dirs, [Path::new("data")]);
    assert!(config.static_quorum);
    let told = |host: &str, port| Some((host.to_owned(), port));
    assert_eq!(
        config.listeners,
        [
            Listener {
                advertised: told("127.0.0.1", 9092),
                ..listener("PLAINTEXT", "127.0.0.1", 9092, ListenerRole::Broker)
            },
            Listener {
                advertised: told("127.0.0.1", 9093),
                ..listener("CONTROLLER", "127.0.0.1", 9093, ListenerRole::Controller)
            },
        ]
    );
    assert_eq!(config.properties.get("group.initial.rebalance.delay.ms"), Some("0"));
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn directories() {
    let dirs = config("log.dir=a\nlog.dirs=b, c").log_dirs;
    assert_eq!(dirs, [Path::new("b"), Path::new("c")]);
    assert_eq!(config("log.dir=a").log_dirs, [Path::new("a")]);
    let config = config("log.dirs=a,b\nmetadata.log.dir=b");
    assert_eq!(config.metadata_log_dir, Path::new("b"));
    assert_eq!(config.log_dirs.len(), 2);
    assert_eq!(refusal("log.dirs=a,b,a"), "server.properties line 1: log.dirs: a comes twice");
}

#[test]
fn cordoned_directories() {
    assert!(config("log.dirs=a,b\ncordoned.log.dirs=b").warnings.is_empty());
    assert!(config("log.dirs=a,b\ncordoned.log.dirs=*").warnings.is_empty());
    assert_eq!(
        refusal("log.dirs=a,b\ncordoned.log.dirs=b,c"),
        "server.properties line 2: cordoned.log.dirs: All entries in cordoned.log.dirs must be present in \
         log.dirs or log.dir. Missing entries : c"
    );
    assert!(
        refusal("log.dirs=a,b\ncordoned.log.dirs=*,b").contains("must not contain other values")
    );
}

#[test]
fn a_bad_value_names_the_line_and_the_setting() {
    for (text, begin) in [
        ("\nnum.partitions=abc", "server.properties line 2: num.partitions: "),
        ("num.partitions=0", "server.properties line 1: num.partitions: "),
        ("listeners=localhost", "server.properties line 1: listeners: "),
        ("controller.quorum.voters=x", "server.properties line 1: controller.quorum.voters: "),
        ("log.cleanup.policy=shred", "server.properties line 1: log.cleanup.policy: "),
    ] {
        let sentence = refusal(text);
        assert!(sentence.starts_with(begin) && sentence.len() > begin.len(), "{sentence}");
    }
}

#[test]
fn what_this_version_cannot_be() {
    for (text, part) in [
        ("process.roles=broker", "the role controller is missing"),
        ("process.roles=controller", "the role broker is missing"),
        ("node.id=1\nbroker.id=2", "node.id is 1 and broker.id is 2"),
        ("node.id=1\ncontroller.quorum.voters=1@a:1,2@b:1,3@c:1", "3 voters are named"),
        ("node.id=1\ncontroller.quorum.voters=2@a:1", "voter 2 is another node than node.id 1"),
        ("controller.quorum.voters=2@a:1", "node.id must be given"),
        ("listeners=SSL://:9092", "speaks SSL"),
        ("listeners=INSIDE://:9092", "no security protocol is defined for listener INSIDE"),
        (
            "listeners=CONTROLLER://:9093\ncontroller.listener.names=CONTROLLER",
            "no listener is left for clients",
        ),
        ("listeners=A://:1,B://:1", "port"),
        ("inter.broker.listener.name=OTHER", "OTHER is not one of listeners"),
        ("advertised.listeners=PLAINTEXT://0.0.0.0:9092", "no address that a client can dial"),
        ("advertised.listeners=OTHER://a:9092", "OTHER is not one of listeners"),
    ] {
        let sentence = refusal(text);
        assert!(sentence.contains(part), "{text}: {sentence}");
    }
}

#[test]
fn settings_without_effect_are_one_warning_each() {
    let config = config("foo.bar=1\nnum.io.threads=9\nlistener.name.plaintext.max.connections=2");
    let [foo, listener, threads] = config.warnings.as_slice() else {
        panic!("{:?}", config.warnings);
    };
    assert_eq!(
        foo,
        "server.properties line 1: foo.bar is ignored: there is no such broker setting in \
         Kafka 4.4 or Ottla"
    );
    assert!(
        listener.starts_with("server.properties line 3: listener.name.plaintext"),
        "{listener}"
    );
    assert!(
        threads.starts_with("server.properties line 2: num.io.threads has no effect: "),
        "{threads}"
    );
}

#[test]
fn limits_follow_kafkas_names() {
    let limits = config(
        "socket.request.max.bytes=1000\nqueued.max.request.bytes=2000\nconnections.max.idle.ms=7",
    )
    .limits;
    assert_eq!(
        (limits.request_bytes_max, limits.queued_bytes_max, limits.idle),
        (1000, 2000, Duration::from_millis(7))
    );
    let endless = config("queued.max.request.bytes=-1\nconnections.max.idle.ms=-1").limits;
    assert_eq!(endless.queued_bytes_max, Limits::default().queued_bytes_max);
    assert_eq!(endless.idle, Duration::MAX);
}

#[test]
fn listen_replaces_the_listeners_for_clients_only() {
    let listen = |text: &str, at: &str| {
        let mut settings = settings(text);
        listen_at(&mut settings, at, Origin::Flag("--listen"))
            .map(|()| settings.get("listeners").unwrap().value.clone())
    };
    assert_eq!(listen("", "0.0.0.0:0").unwrap(), "PLAINTEXT://0.0.0.0:0");
    assert_eq!(listen("", "[::1]:9").unwrap(), "PLAINTEXT://[::1]:9");
    assert_eq!(
        listen(
            "listeners=PLAINTEXT://:1,CONTROLLER://:2\ncontroller.listener.names=controller",
            "localhost:3"
        )
        .unwrap(),
        "PLAINTEXT://localhost:3,CONTROLLER://:2"
    );
    let refused = listen("", "nowhere").unwrap_err().to_string();
    assert!(refused.starts_with("flag --listen: listeners: \"nowhere\""), "{refused}");
}

#[test]
fn what_is_dynamic_alone_is_not_read_from_a_file() {
    let name = "replica.alter.log.dirs.io.max.bytes.per.second";
    let config = config(&format!("{name}=5"));
    assert_eq!(config.properties.get(name), None);
    let wanted = format!(
        "server.properties line 1: {name} is ignored: it is set while the node runs (kafka-configs)"
    );
    assert_eq!(config.warnings, [wanted]);
}
