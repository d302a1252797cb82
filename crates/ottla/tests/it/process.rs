//! Runs the binary: to its ready line, or to its end.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

/// The binary with a clean environment and a folder for its data.
pub(crate) fn ottla(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OTTLA_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.current_dir(dir);
    command
}

/// Whatever space this machine has left, nothing is said of it.
pub(crate) const NO_WARNING_OF_SPACE: &str = "log.dir.free.warn.bytes=0";

/// `ottla start` on a free port.
pub(crate) fn start(dir: &Path) -> Command {
    let mut command = ottla(dir);
    command.args(["start", "--listen", "127.0.0.1:0", "-o", NO_WARNING_OF_SPACE]);
    command
}

/// What a process that ended by itself has left.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command that is to end by itself.
pub(crate) fn run(command: &mut Command) -> Ended {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    Ended {
        code: status.code(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// A node that has printed its ready line; killed when dropped.
pub(crate) struct Node {
    child: Child,
    pub(crate) ready: String,
}

impl Node {
    /// Starts it and waits for the ready line.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
        let mut node = Self { child, ready: ready.trim_end().to_owned() };
        if !node.ready.starts_with("ottla ready on ") {
            let (status, stderr) = node.wait();
            panic!("{:?} ended with {status}: {stderr}", node.ready);
        }
        node
    }

    /// The first address of the ready line.
    pub(crate) fn address(&self) -> SocketAddr {
        let rest = self.ready.strip_prefix("ottla ready on ").unwrap();
        rest.split([',', ' ']).next().unwrap().parse().unwrap()
    }

    /// What the ready line says behind a word, up to the next comma.
    pub(crate) fn told(&self, word: &str) -> &str {
        let (_, rest) = self.ready.split_once(word).unwrap();
        rest.split(',').next().unwrap().trim()
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end; gives its standard error too.
    pub(crate) fn wait(&mut self) -> (ExitStatus, String) {
        let mut stderr = String::new();
        self.child.stderr.as_mut().unwrap().read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap(), stderr)
    }

    /// Stops it with SIGTERM; gives its exit code and standard error.
    pub(crate) fn stop(mut self) -> (Option<i32>, String) {
        self.signal(rustix::process::Signal::TERM);
        let (status, stderr) = self.wait();
        (status.code(), stderr)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The names in a folder, sorted.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| AsRef::<OsStr>::as_ref(&entry.unwrap().file_name()).to_string_lossy().into())
        .collect();
    names.sort();
    names
}
