//! `ottla format`: chosen ids, repeated calls, refusals.

use crate::process::{Node, ottla, run, start};

const CLUSTER: &str = "9aNhZueWS4uV4h_MtWNxGQ";
const DIRECTORY: &str = "aTF5Cr6sQROZ8Xd5aKOpEw";

#[test]
fn chosen_ids() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = ottla(dir.path());
    command.args(["format", "--cluster-id", CLUSTER, "--directory-id", DIRECTORY]);
    command.args(["--node-id", "3", "--standalone", "--release-version", "4.4"]);
    let ended = run(&mut command);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(
        ended.stdout,
        format!("./ottla-data formatted (node 3, cluster {CLUSTER}, directory {DIRECTORY})\n")
    );
    let text = std::fs::read_to_string(dir.path().join("ottla-data/meta.properties")).unwrap();
    for line in [
        "version=1",
        "node.id=3",
        &format!("cluster.id={CLUSTER}"),
        &format!("directory.id={DIRECTORY}"),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    let node = Node::start(&mut start(dir.path()));
    assert_eq!((node.told("node "), node.told("cluster ")), ("3", CLUSTER));
}

#[test]
fn a_formatted_directory_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let format = |arguments: &[&str]| run(ottla(dir.path()).arg("format").args(arguments));
    assert_eq!(format(&["-t", CLUSTER]).code, Some(0));
    let again = format(&[]);
    assert_eq!(again.code, Some(9));
    let sentence = format!("./ottla-data is already formatted (node 1, cluster {CLUSTER})");
    assert!(again.stderr.contains(&sentence), "{}", again.stderr);
    assert!(again.stderr.contains("--ignore-formatted"), "{}", again.stderr);
    let ignored = format(&["--ignore-formatted"]);
    assert_eq!(ignored.code, Some(0), "{}", ignored.stderr);
    assert!(ignored.stdout.contains(&format!("was formatted already (node 1, cluster {CLUSTER}")));
    let other = format(&["--ignore-formatted", "-t", DIRECTORY]);
    assert_eq!(other.code, Some(3), "another cluster: {}", other.stderr);
}

#[test]
fn wrong_arguments() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, code, part) in [
        (["--feature", "kraft.version"], 2, "NAME=LEVEL"),
        (["--feature", "no.such.feature=1"], 3, "no.such.feature"),
        (["--release-version", "1.0"], 3, "1.0"),
        (["--directory-id", "short"], 3, "short"),
    ] {
        let ended = run(ottla(dir.path()).arg("format").args(arguments));
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(part), "{arguments:?}: {}", ended.stderr);
    }
    assert!(!dir.path().join("ottla-data/meta.properties").exists());
}
