//! The broker under test: one process with the shim preloaded. Must not know what is tested.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Context;
use ottla_interop::program;
use rustix::process::{Pid, Signal};

use crate::faults::{Control, Shim};

/// How long a start or a stop may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How a broker is started.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The binary.
    pub binary: PathBuf,
    /// What is preloaded into it.
    pub shim: Shim,
    /// Its log directories.
    pub data: Vec<PathBuf>,
    /// Kafka settings, `key=value`.
    pub settings: Vec<String>,
    /// Where it writes its log.
    pub log: PathBuf,
}

/// How a start went.
#[derive(Debug)]
pub enum Started {
    /// It serves.
    Ready(Node),
    /// It ended before it served.
    Ended(ExitStatus),
    /// It neither served nor ended in time; it has been killed.
    Hung,
}

/// A running broker; killed when dropped.
#[derive(Debug)]
pub struct Node {
    child: Child,
    address: String,
    lines: Receiver<String>,
}

impl Recipe {
    /// Starts it and waits until it serves.
    ///
    /// # Errors
    /// It cannot be run at all.
    pub fn start(&self, control: &Control) -> anyhow::Result<Started> {
        let dirs: Vec<_> = self.data.iter().map(|dir| dir.to_string_lossy()).collect();
        let mut command = Command::new(&self.binary);
        command.arg("start").args(["--listen", "127.0.0.1:0"]);
        command.args(["-o", &format!("log.dirs={}", dirs.join(","))]);
        for setting in &self.settings {
            command.args(["-o", setting]);
        }
        command.env("LD_PRELOAD", self.shim.library()).env("TORTURE_CONTROL", control.path());
        // It would be taken for a setting.
        command.env_remove("OTTLA_BIN");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(self.log_file()?);
        let mut child = command.spawn().context("cannot start the broker")?;
        let lines = program::lines(child.stdout.take().context("the broker has no output")?);
        let end = Instant::now() + PATIENCE;
        loop {
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let address = line.strip_prefix("ottla ready on ").map(first_word);
                    if let Some(address) = address {
                        return Ok(Started::Ready(Node { child, address, lines }));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Ok(Started::Ended(child.wait().context("cannot wait")?));
                }
                Err(RecvTimeoutError::Timeout) => {
                    child.kill().context("cannot kill the broker")?;
                    child.wait().context("cannot wait for the broker")?;
                    return Ok(Started::Hung);
                }
            }
        }
    }

    fn log_file(&self) -> anyhow::Result<File> {
        // Only the last start's log is wanted, and that of the one before.
        let before = self.log.with_extension("log.before");
        if self.log.exists() {
            fs::rename(&self.log, before).context("cannot keep the broker's log")?;
        }
        let file = OpenOptions::new().create(true).append(true).open(&self.log);
        file.context("cannot write the broker's log")
    }

    /// The end of what it logged.
    #[must_use]
    pub fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n")
    }
}

fn first_word(rest: &str) -> String {
    rest.split([' ', ',']).next().unwrap_or_default().to_owned()
}

impl Node {
    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `kill -9`, and the end of the process.
    ///
    /// # Errors
    /// The system refuses.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().context("cannot kill the broker")?;
        self.child.wait().context("cannot wait for the broker")?;
        Ok(())
    }

    /// Orders the shim in the process to cut the power now.
    ///
    /// # Errors
    /// The process is gone.
    pub fn order_cut(&self) -> anyhow::Result<()> {
        self.signal(Signal::USR2)
    }

    /// Asks it to stop and waits for its end.
    ///
    /// # Errors
    /// It does not end in time (it is then killed).
    pub fn stop(mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.ended_within(PATIENCE)?.context("the broker does not stop within 60 s")
    }

    /// How it ended, if it does within `limit`.
    ///
    /// # Errors
    /// The system refuses.
    pub fn ended_within(&mut self, limit: Duration) -> anyhow::Result<Option<ExitStatus>> {
        let end = Instant::now() + limit;
        // Its standard output ends with it.
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => {
                    return Ok(Some(self.child.wait().context("cannot wait for the broker")?));
                }
            }
        }
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.context("the broker has no process id")?;
        rustix::process::kill_process(pid, signal).context("cannot signal the broker")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Copies a folder with all that is in it.
///
/// # Errors
/// A file cannot be read or written.
pub fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_folder(&source, &target)?;
        } else if kind.is_file() {
            fs::copy(&source, &target)
                .with_context(|| format!("cannot copy {}", source.display()))?;
        }
    }
    Ok(())
}
