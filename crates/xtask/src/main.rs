//! Project tooling: `cargo xtask COMMAND`. Knows the workspace's folders and the tools that check
//! it; knows nothing of what the product does at run time.
#![expect(clippy::print_stdout, reason = "a command line tool reports on stdout")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod clients;
mod process;
mod test_run;
mod tidy;
mod workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Project tooling", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything that a change must pass.
    Test(test_run::Choice),
    /// Check the crate graph, file heads and lengths, purity, names and dependencies.
    Tidy,
    /// Fetch and build the real clients that the tests run, into `target/clients`.
    Clients {
        /// Which ones; all when none is named.
        family: Vec<clients::Family>,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one command; `false` means that it ran and found something wrong.
fn run(command: Command) -> anyhow::Result<bool> {
    let root = workspace::root()?;
    match command {
        Command::Test(choice) => test_run::run(&root, &choice),
        Command::Tidy => tidy::run(&root),
        Command::Clients { family } => {
            let all = <clients::Family as clap::ValueEnum>::value_variants();
            let wanted = if family.is_empty() { all } else { &family };
            clients::provide(&root, wanted).map(|()| true)
        }
    }
}
