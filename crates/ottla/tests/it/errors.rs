//! Every error that `docs/operations.md` lists: its exit code, its sentence, its hint.

use crate::process::{Ended, Node, names, ottla, run, start};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// One sentence, perhaps a hint, nothing on standard output.
fn check(ended: &Ended, code: i32, sentence: &str, hint: &str) {
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    let lines: Vec<&str> = ended.stderr.lines().collect();
    let found = lines.iter().find_map(|line| line.strip_prefix("ottla: "));
    assert!(found.is_some_and(|line| line.contains(sentence)), "{}", ended.stderr);
    let found = lines.iter().find_map(|line| line.strip_prefix("hint: "));
    assert!(found.unwrap_or_default().contains(hint), "{}", ended.stderr);
}

#[test]
fn a_wrong_command_line() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(run(ottla(dir.path()).arg("begin")).code, Some(2));
    let ended = run(start(dir.path()).args(["--log-level", "info,=x=y"]));
    check(&ended, 2, "--log-level", "");
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn a_bad_setting_names_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("s.properties"), "# one\nnum.partitions = many\n").unwrap();
    let ended = run(start(dir.path()).args(["--config", "s.properties"]));
    check(&ended, 3, "s.properties line 2: num.partitions: ", "docs/configuration.md");

    let ended = run(start(dir.path()).args(["-o", "num.partitions=0"]));
    check(&ended, 3, "option -o: num.partitions: ", "");
    let ended = run(start(dir.path()).env("OTTLA_NUM_PARTITIONS", "x"));
    check(&ended, 3, "environment variable OTTLA_NUM_PARTITIONS: num.partitions: ", "");
    let ended = run(start(dir.path()).args(["-o", "num.partitions"]));
    check(&ended, 3, "is not of the form key=value", "");
    let ended = run(start(dir.path()).args(["--config", "none.properties"]));
    check(&ended, 3, "cannot read none.properties", "");
    assert_eq!(names(dir.path()), ["s.properties"]);
}

#[test]
fn an_address_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let ended = run(ottla(dir.path()).args(["start", "--listen", &address]));
    check(&ended, 4, &format!("{address} is already in use"), "--listen HOST:PORT");
}

#[test]
fn an_address_of_another_machine() {
    let dir = tempfile::tempdir().unwrap();
    // TEST-NET-1 (RFC 5737) is nobody's address.
    let ended = run(ottla(dir.path()).args(["start", "--listen", "192.0.2.1:0"]));
    check(&ended, 4, "cannot listen on 192.0.2.1:0", "an address of this machine");
}

#[test]
fn a_locked_directory() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&mut start(dir.path()));
    check(&run(&mut start(dir.path())), 5, "is locked by another process", "--data-dir");
    let ended = run(ottla(dir.path()).args(["format", "--ignore-formatted"]));
    check(&ended, 5, "is locked by another process", "");
    assert_eq!(node.stop().0, Some(0));
}

/// The binary for a user without rights: root may do everything, so the process gives up its
/// rights, and needs a copy of the binary that it can reach.
fn without_rights(dir: &Path) -> Command {
    if !rustix::process::getuid().is_root() {
        return ottla(dir);
    }
    let binary = dir.join("ottla");
    std::fs::copy(env!("CARGO_BIN_EXE_ottla"), &binary).unwrap();
    let mut command = Command::new(binary);
    command.uid(65534).gid(65534).current_dir(dir);
    command
}

#[test]
fn no_permission() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o555)).unwrap();
    if rustix::process::getuid().is_root() {
        // Readable by all, writable by root alone.
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    }
    let mut command = without_rights(dir.path());
    command.args(["start", "--listen", "127.0.0.1:0", "--data-dir", "data"]);
    check(&run(&mut command), 6, "no permission for data", "rights");
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn no_space() {
    let dir = tempfile::tempdir().unwrap();
    // A file size limit of nothing stands for the full disk: both refuse the first byte.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" start --listen 127.0.0.1:0"]);
    command.arg(env!("CARGO_BIN_EXE_ottla")).current_dir(dir.path());
    check(&run(&mut command), 7, "no space left for ", "free some space");
    // Nothing half-made is left in the way of the next start.
    let node = Node::start(&mut start(dir.path()));
    assert_eq!(node.stop().0, Some(0));
}

/// Metadata 4, correlation id 1, no client id: asks for topics, which are created on demand.
fn ask_for_topics(names: impl Iterator<Item = String> + Clone) -> Vec<u8> {
    let count = u32::try_from(names.clone().count()).unwrap();
    let mut frame = vec![0, 0, 0, 0, 0, 3, 0, 4, 0, 0, 0, 1, 0xff, 0xff];
    frame.extend(count.to_be_bytes());
    for name in names {
        frame.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
        frame.extend(name.as_bytes());
    }
    frame.push(1);
    let size = u32::try_from(frame.len() - 4).unwrap();
    frame[..4].copy_from_slice(&size.to_be_bytes());
    frame
}

/// Reads one answer to its end.
fn read_answer(stream: &mut TcpStream) -> Vec<u8> {
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(size)).unwrap()];
    stream.read_exact(&mut answer).unwrap();
    answer
}

#[test]
fn a_disk_that_fills_up_refuses_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    // 20 or 40 KiB, as the shell counts: enough to start, not for the records of these topics.
    command.args(["-c", "trap '' XFSZ; ulimit -f 40; exec \"$0\" start --listen 127.0.0.1:0"]);
    command.arg(env!("CARGO_BIN_EXE_ottla")).current_dir(dir.path());
    let node = Node::start(&mut command);
    let mut stream = TcpStream::connect(node.address()).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let names = |from: usize| (from..from + 300).map(|number| format!("{number:0>240}"));
    // Answered, not left waiting; and so is who asks next.
    for from in [0, 300] {
        stream.write_all(&ask_for_topics(names(from))).unwrap();
        assert!(!read_answer(&mut stream).is_empty());
    }
    let (status, stderr) = node.stop();
    assert_eq!(status, Some(0), "{stderr}");
    assert!(stderr.contains("no space is left"), "{stderr}");
    // With space again the directory is as it should be.
    let mut again = start(dir.path());
    assert_eq!(Node::start(&mut again).stop().0, Some(0));
}

#[test]
fn damaged_metadata() {
    for (file, content) in [
        ("meta.properties", "version=1\ncluster.id=\nnode.id=x\n"),
        ("__cluster_metadata-0/quorum-state", "{"),
        ("__cluster_metadata-0/00000000000000000000-0000000000.checkpoint", "\0\0\0\0"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Node::start(&mut start(dir.path())).stop().0, Some(0));
        let path = dir.path().join("ottla-data").join(file);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, content).unwrap();
        let ended = run(&mut start(dir.path()));
        check(&ended, 8, " is damaged: ", "restore it from a copy");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content, "left as it was");
    }
}

#[test]
fn foreign_content() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("ottla-data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("thesis.txt"), "chapter 1").unwrap();
    let ended = run(&mut start(dir.path()));
    check(&ended, 9, "thesis.txt", "nothing was changed");
    assert_eq!(std::fs::read_to_string(data.join("thesis.txt")).unwrap(), "chapter 1");
    let left: Vec<_> = names(&data).into_iter().filter(|name| name != ".lock").collect();
    assert_eq!(left, ["thesis.txt"]);
}

#[test]
fn another_node_than_the_directory_is_for() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Node::start(start(dir.path()).args(["--node-id", "7"])).stop().0, Some(0));
    let ended = run(start(dir.path()).args(["--node-id", "8"]));
    check(&ended, 3, "node.id is 8, but ./ottla-data was formatted for node 7", "");
    let node = Node::start(&mut start(dir.path()));
    assert_eq!(node.told("node "), "7");
}
