//! From start to stop: the ready line, the first request, signals, restarts, log lines.

use crate::process::{Node, names, ottla, run, start};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

#[test]
fn an_empty_directory_becomes_a_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&mut start(dir.path()));
    assert_eq!(node.told("data in "), "./ottla-data");
    assert_eq!(node.told("node "), "1");
    assert_eq!(node.told("cluster ").len(), 22);
    assert_ne!(node.address().port(), 0);
    let found = names(&dir.path().join("ottla-data"));
    for name in ["meta.properties", "__cluster_metadata-0", ".lock"] {
        assert!(found.iter().any(|found| found == name), "{name} in {found:?}");
    }
}

#[test]
fn it_answers() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&mut start(dir.path()));
    let mut stream = TcpStream::connect(node.address()).unwrap();
    // ApiVersions 0, correlation id 7, no client id.
    stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff]).unwrap();
    let mut head = [0; 10];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[4..], [0, 0, 0, 7, 0, 0], "correlation id 7, no error");
}

#[test]
fn it_comes_back_as_the_same_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let first = Node::start(&mut start(dir.path()));
    let cluster = first.told("cluster ").to_owned();
    assert_eq!(first.stop().0, Some(0));
    let data = dir.path().join("ottla-data");
    assert!(names(&data).contains(&".kafka_cleanshutdown".to_owned()), "{:?}", names(&data));

    let mut second = Node::start(&mut start(dir.path()));
    assert_eq!(second.told("cluster "), cluster);
    assert!(!names(&data).contains(&".kafka_cleanshutdown".to_owned()));
    second.signal(Signal::KILL);
    second.wait();

    let third = Node::start(&mut start(dir.path()));
    assert_eq!(third.told("cluster "), cluster);
}

#[test]
fn a_directory_that_kafka_wrote_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("ottla-data");
    std::fs::create_dir(&data).unwrap();
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/../log/tests/golden/kafka-4.4.0.tar.gz");
    let unpacked = Command::new("tar").args(["-xzf", archive, "-C"]).arg(&data).status().unwrap();
    assert!(unpacked.success());
    for _ in 0..2 {
        let node = Node::start(&mut start(dir.path()));
        assert_eq!(node.told("node "), "1");
        assert_eq!(node.told("cluster "), "4L6g3nShT-eMCtK--X86sw");
        let (code, stderr) = node.stop();
        assert_eq!(code, Some(0), "{stderr}");
        assert!(!stderr.contains("WARN") && !stderr.contains("ERROR"), "{stderr}");
    }
    assert!(names(&data).contains(&".kafka_cleanshutdown".to_owned()));
}

#[test]
fn both_signals_stop_it_cleanly() {
    for signal in [Signal::TERM, Signal::INT] {
        let dir = tempfile::tempdir().unwrap();
        let mut node = Node::start(&mut start(dir.path()));
        // A client that says nothing does not hold it up.
        let _silent = TcpStream::connect(node.address()).unwrap();
        node.signal(signal);
        let (status, stderr) = node.wait();
        assert_eq!(status.code(), Some(0), "{stderr}");
        assert!(stderr.contains("received, stopping"), "{stderr}");
    }
}

#[test]
fn several_directories_and_listeners() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = ottla(dir.path());
    command.args(["start", "-o", "log.dirs=a,b"]);
    command.args(["-o", "listeners=PLAINTEXT://127.0.0.1:0,INSIDE://127.0.0.1:0"]);
    command.args(["-o", "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,INSIDE:PLAINTEXT"]);
    let node = Node::start(&mut command);
    assert!(node.ready.contains("(data in a, b, node 1, "), "{}", node.ready);
    let addresses = node.ready.matches("127.0.0.1:").count();
    assert_eq!(addresses, 2, "{}", node.ready);
    assert_eq!(node.stop().0, Some(0));
    assert!(names(&dir.path().join("a")).contains(&"__cluster_metadata-0".to_owned()));
    assert!(!names(&dir.path().join("b")).contains(&"__cluster_metadata-0".to_owned()));
    let ids = ["a", "b"].map(|name| {
        let text = std::fs::read_to_string(dir.path().join(name).join("meta.properties")).unwrap();
        let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
        (line("cluster.id="), line("node.id="), line("directory.id="))
    });
    assert_eq!((&ids[0].0, &ids[0].1), (&ids[1].0, &ids[1].1));
    assert_ne!(ids[0].2, ids[1].2);
}

#[test]
fn one_directory_of_several_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let command = || {
        let mut command = ottla(dir.path());
        command.args(["start", "--listen", "127.0.0.1:0", "-o", "log.dirs=a,b"]);
        command
    };
    let away = |name: &str| {
        std::fs::rename(dir.path().join(name), dir.path().join("away")).unwrap();
        std::fs::write(dir.path().join(name), "no directory").unwrap();
    };
    // A new node begins with all that it is told to have.
    std::fs::write(dir.path().join("b"), "no directory").unwrap();
    let ended = run(&mut command());
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("data directory b: cannot "), "{}", ended.stderr);
    std::fs::remove_file(dir.path().join("b")).unwrap();
    assert_eq!(Node::start(&mut command()).stop().0, Some(0));
    away("b");
    let (code, stderr) = Node::start(&mut command()).stop();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("out of service: its partitions are offline"), "{stderr}");
    std::fs::remove_file(dir.path().join("b")).unwrap();
    // Its disk is not mounted.
    std::fs::create_dir(dir.path().join("b")).unwrap();
    let ended = run(&mut command());
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("data directory b is empty, though this"), "{}", ended.stderr);
    std::fs::remove_dir_all(dir.path().join("b")).unwrap();
    std::fs::rename(dir.path().join("away"), dir.path().join("b")).unwrap();
    // Another one is added.
    let mut format = ottla(dir.path());
    format.args(["format", "--ignore-formatted", "-o", "log.dirs=a,b,c"]);
    assert_eq!(run(&mut format).code, Some(0));
    let mut three = ottla(dir.path());
    three.args(["start", "--listen", "127.0.0.1:0", "-o", "log.dirs=a,b,c"]);
    assert_eq!(Node::start(&mut three).stop().0, Some(0));
    // Without the metadata there is nothing to serve.
    away("a");
    let ended = run(&mut command());
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("data directory a: cannot "), "{}", ended.stderr);
}

#[test]
fn log_lines_are_json_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(start(dir.path()).args(["--log-format", "json", "-o", "foo.bar=1"]));
    let (code, stderr) = node.stop();
    assert_eq!(code, Some(0));
    let lines: Vec<serde_json::Value> =
        stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let warning = lines.iter().find(|line| line["level"] == "WARN").unwrap();
    assert!(warning["message"].as_str().unwrap().contains("foo.bar is ignored"), "{warning}");
}

#[test]
fn the_version() {
    let dir = tempfile::tempdir().unwrap();
    let expected = format!("ottla {}\n", env!("CARGO_PKG_VERSION"));
    for argument in ["version", "--version"] {
        let ended = run(ottla(dir.path()).arg(argument));
        assert_eq!((ended.code, ended.stdout), (Some(0), expected.clone()));
    }
}
