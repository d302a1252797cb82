//! The limit program as a process: how it talks to who measures it, and how it is started, pinned
//! and ended. Must not know what it does in between.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, ensure};

use crate::process;

/// A running limit program; killed when dropped.
pub(super) struct Program {
    child: Child,
    output: BufReader<ChildStdout>,
    pub(super) address: String,
}

/// What it says at its end.
pub(super) struct Done {
    pub(super) bytes: u64,
    /// Groups that were synced.
    pub(super) groups: u64,
}

impl Program {
    /// Starts `ottla-bench limit ARGUMENTS` on a core.
    pub(super) fn start(arguments: &[String], core: u32) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("limit").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("the limit program cannot be started")?;
        let output = BufReader::new(child.stdout.take().context("it has no output")?);
        let mut program = Self { child, output, address: String::new() };
        program.address = program.line("listening on ")?;
        process::pin(program.pid(), core)?;
        Ok(program)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it is through; it lives on, so that its CPU time can be read.
    pub(super) fn done(&mut self) -> anyhow::Result<Done> {
        let line = self.line("done ")?;
        let mut numbers = line.split(' ').map(str::parse::<u64>);
        let mut number = || numbers.next().context("a number is missing")?.context("no number");
        let bytes = number()?;
        let _checksums = number()?;
        Ok(Done { bytes, groups: number()? })
    }

    /// Lets it end.
    pub(super) fn end(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        ensure!(status.success(), "the limit program ended with {status}");
        Ok(())
    }

    fn line(&mut self, head: &str) -> anyhow::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let rest = line.trim_end().strip_prefix(head);
        Ok(rest.with_context(|| format!("the limit program said {line:?}"))?.to_owned())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In the program: connections may come.
pub(super) fn ready(listener: &TcpListener) -> anyhow::Result<()> {
    say(&format!("listening on {}", listener.local_addr()?))
}

/// In the program: everything is moved. Waits for the end of the input. The checksums are told so
/// that nobody can leave them out.
pub(super) fn done(bytes: u64, checksums: u32, groups: u64) -> anyhow::Result<()> {
    say(&format!("done {bytes} {checksums} {groups}"))?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
