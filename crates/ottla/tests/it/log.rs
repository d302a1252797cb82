//! `ottla log` as its users meet it: exit codes, lines, a pipe that is closed early, and nothing
//! written.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::process::{Ended, Node, ottla, run, start};

const METADATA: &str = "ottla-data/__cluster_metadata-0/00000000000000000000.log";

/// A node's directory after a clean stop.
fn stopped() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (code, stderr) = Node::start(&mut start(dir.path())).stop();
    assert_eq!(code, Some(0), "{stderr}");
    dir
}

fn log(dir: &Path, arguments: &[&str]) -> Ended {
    run(ottla(dir).arg("log").args(arguments))
}

/// All files below, with their content.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_sound_directory() {
    let dir = stopped();
    let before = files(dir.path());
    let dump = log(dir.path(), &["dump", "--cluster-metadata-decoder", "--files", METADATA]);
    assert_eq!(dump.code, Some(0), "{}", dump.stderr);
    assert!(dump.stdout.starts_with(&format!("Dumping {METADATA}\nLog starting offset: 0\n")));
    assert!(dump.stdout.contains("REGISTER_BROKER_RECORD"), "{}", dump.stdout);
    for command in ["verify", "repair-plan", "indexes"] {
        for format in ["text", "json"] {
            let said = log(dir.path(), &[command, "ottla-data", "--format", format]);
            assert_eq!(said.code, Some(0), "{command}: {}{}", said.stdout, said.stderr);
            assert!(!said.stdout.is_empty());
            if format == "json" {
                for line in said.stdout.lines() {
                    let row: serde_json::Value = serde_json::from_str(line).unwrap();
                    assert!(row["type"].is_string(), "{line}");
                }
            }
        }
    }
    assert_eq!(files(dir.path()), before);
}

#[test]
fn a_plan_takes_the_directories_of_a_properties_file() {
    let dir = stopped();
    fs::write(dir.path().join("server.properties"), "log.dirs=ottla-data\n").unwrap();
    let named = log(dir.path(), &["repair-plan", "ottla-data"]);
    let found = log(dir.path(), &["repair-plan", "--config", "server.properties"]);
    assert_eq!((found.code, &found.stdout), (Some(0), &named.stdout), "{}", found.stderr);
    fs::write(dir.path().join("server.properties"), "log.dirs=a,a\n").unwrap();
    let wrong = log(dir.path(), &["repair-plan", "--config", "server.properties"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("log.dirs: a comes twice"), "{}", wrong.stderr);
    assert_eq!(log(dir.path(), &["repair-plan", "--config", "none"]).code, Some(2));
}

#[test]
fn damage_has_exit_code_1() {
    let dir = stopped();
    let path = dir.path().join(METADATA);
    let mut content = fs::read(&path).unwrap();
    content[100] ^= 1;
    fs::write(&path, content).unwrap();
    let before = files(dir.path());
    let verify = log(dir.path(), &["verify", "ottla-data"]);
    assert_eq!(verify.code, Some(1), "{}{}", verify.stdout, verify.stderr);
    assert!(verify.stdout.contains("damage: ottla-data/__cluster_metadata-0/0000"));
    let plan = log(dir.path(), &["repair-plan", "ottla-data"]);
    assert_eq!(plan.code, Some(1), "{}{}", plan.stdout, plan.stderr);
    assert!(plan.stdout.contains("__cluster_metadata-0: refused"), "{}", plan.stdout);
    assert_eq!(files(dir.path()), before);
}

#[test]
fn what_cannot_be_looked_at_has_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    for command in ["dump", "verify", "repair-plan", "indexes"] {
        let said = log(dir.path(), &[command, "nowhere"]);
        assert_eq!(said.code, Some(2), "{command}");
        let told = "ottla: cannot look at nowhere: there is no such file or directory\n";
        assert_eq!(said.stderr, told, "{command}");
        assert_eq!(log(dir.path(), &[command]).code, Some(2), "{command} without a path");
    }
    let decoder = log(dir.path(), &["dump", "--value-decoder", "mine", "nowhere"]);
    assert_eq!(decoder.code, Some(2));
    assert!(decoder.stderr.contains("is no decoder"), "{}", decoder.stderr);
}

#[test]
fn a_running_node_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&mut start(dir.path()));
    let plan = log(dir.path(), &["repair-plan", "ottla-data"]);
    assert_eq!(plan.code, Some(2), "{}", plan.stdout);
    assert!(plan.stderr.contains("is in use by a running broker"), "{}", plan.stderr);
    let verify = log(dir.path(), &["verify", "ottla-data"]);
    assert!(verify.stdout.contains("a broker is running on this directory"), "{}", verify.stdout);
    let (code, stderr) = node.stop();
    assert_eq!(code, Some(0), "{stderr}");
}

#[test]
fn a_pipe_that_is_closed_early_is_no_error() {
    let dir = stopped();
    let mut command = ottla(dir.path());
    command.args(["log", "dump", "--print-data-log"]);
    // More than a pipe holds.
    command.args(vec![METADATA; 200]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, format!("Dumping {METADATA}\n"));
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}
