//! The ottla binary: chooses the command, prints what it has to say, ends with its exit code.
//! Must not know anything that `ottla-node` could know.

mod args;
mod format;
mod log;
mod logging;
mod signals;
mod start;

use args::{Command, CommandLine, SettingArgs};
use clap::Parser;
use ottla_node::{ConfigError, NodeError, Sources};
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let begun = Instant::now();
    take_small_pages();
    let done = match CommandLine::parse().command {
        Command::Start(args) => start::run(args, begun),
        Command::Format(args) => format::run(args),
        Command::Log(command) => return log::run(command),
        Command::Version => {
            say(&format!("ottla {}", env!("CARGO_PKG_VERSION")));
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Usage(sentence)) => {
            complain(&sentence, None);
            ExitCode::from(2)
        }
        Err(Stop::Node(error)) => {
            complain(&error.to_string(), error.hint());
            ExitCode::from(error.exit_code())
        }
    }
}

/// Where the system gives huge pages to everybody: a broker that has little to do fills a few with
/// some KiB each, more memory than all the rest of it takes, and clearing them costs a busy one more
/// than they save. The allocator is built not to ask for them (`no_thp`), for it has its first pages
/// before anything here runs. Where the system cannot do without, it stays as it is.
fn take_small_pages() {
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Why a command ends without success.
enum Stop {
    /// The command line is wrong.
    Usage(String),
    /// The node says why.
    Node(NodeError),
}

impl From<NodeError> for Stop {
    fn from(error: NodeError) -> Self {
        Self::Node(error)
    }
}

impl From<ConfigError> for Stop {
    fn from(error: ConfigError) -> Self {
        Self::Node(error.into())
    }
}

/// Where the settings come from.
fn sources(args: SettingArgs, listen: Option<String>) -> Sources {
    let SettingArgs { config, options, data_dir, node_id } = args;
    let environment = std::env::vars_os().collect();
    Sources { config, options, data_dir, listen, node_id, environment }
}

/// A line for whoever reads standard output. If nobody does any more, that is no error.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn complain(sentence: &str, hint: Option<&str>) {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "ottla: {sentence}");
    if let Some(hint) = hint {
        let _ = writeln!(err, "hint: {hint}");
    }
}
