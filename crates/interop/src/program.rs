//! Running a client program to its end, within a limit, keeping what it said. Must not know which
//! broker it talks to.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::repository;

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output, undamaged.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Finished {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Everything it said, for a message.
    pub fn everything(&self) -> String {
        format!("{}\n{}", self.text(), String::from_utf8_lossy(&self.stderr))
    }
}

/// Runs a program with `input` as its standard input; one that takes longer than `limit` is killed
/// and an error, and so is one that ends with a failure.
pub fn run_with(command: &mut Command, input: &[u8], limit: Duration) -> anyhow::Result<Finished> {
    let finished = finish(command, input, limit)?;
    let name = command.get_program().to_string_lossy().into_owned();
    ensure!(finished.status.success(), "{name}: {}\n{}", finished.status, finished.everything());
    Ok(finished)
}

/// As [`run_with`], without standard input.
pub fn run(command: &mut Command, limit: Duration) -> anyhow::Result<Finished> {
    run_with(command, &[], limit)
}

/// Runs a program to its end whatever its status; one that takes longer than `limit` is killed and
/// an error.
pub fn finish(command: &mut Command, input: &[u8], limit: Duration) -> anyhow::Result<Finished> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
    let stdin = child.stdin.take();
    let input = input.to_vec();
    let writer = thread::spawn(move || {
        // A program may end without reading everything.
        let _ = stdin.map(|mut stdin| std::io::Write::write_all(&mut stdin, &input));
    });
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let status = wait(&mut child, limit)?;
    let said = |reader: JoinHandle<Vec<u8>>| reader.join().unwrap_or_default();
    if status.is_none() {
        child.kill().context("cannot kill a program")?;
        child.wait().context("cannot wait for a program")?;
    }
    let (stdout, stderr) = (said(stdout), said(stderr));
    let _ = writer.join();
    let Some(status) = status else {
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        bail!("{name} did not end within {limit:?}\n{stdout}\n{stderr}");
    };
    Ok(Finished { status, stdout, stderr })
}

fn collect(stream: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut said = Vec::new();
        let _ = stream.map(|mut stream| stream.read_to_end(&mut said));
        said
    })
}

/// Waits for the end; `None` after `limit`.
fn wait(child: &mut Child, limit: Duration) -> anyhow::Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a program")? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// A Java virtual machine that starts quickly, with these classes.
pub fn java(class_path: &str, log_level: &str) -> anyhow::Result<Command> {
    let mut java = Command::new(repository::installed("java")?);
    java.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx768m"]);
    java.arg(format!("-Dorg.slf4j.simpleLogger.defaultLogLevel={log_level}"));
    java.args(["-cp", class_path]);
    Ok(java)
}

/// Runs a client program that reports `ok NAME` or `FAILED NAME: what` for each scenario.
pub fn scenarios(command: &mut Command, limit: Duration) -> anyhow::Result<Vec<String>> {
    let finished = finish(command, &[], limit)?;
    let text = finished.text();
    let named = |word: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(word));
        lines.map(|line| line.trim().to_owned()).collect()
    };
    let failed = named("FAILED ");
    ensure!(failed.is_empty(), "{}\n{}", failed.join("\n"), finished.everything());
    ensure!(finished.status.success(), "{}\n{}", finished.status, finished.everything());
    let passed = named("ok ");
    ensure!(!passed.is_empty(), "no scenario was run\n{}", finished.everything());
    Ok(passed)
}

/// Gives each line of a stream to a channel until the stream ends.
pub fn lines(stream: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let reader = std::io::BufReader::new(stream);
        for line in std::io::BufRead::lines(reader).map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
