//! Project tooling: `cargo xtask COMMAND`. Knows the workspace's folders and the tools that check
//! it; knows nothing of what the product does at run time.
#![expect(clippy::print_stdout, reason = "a command line tool reports on stdout")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod clients;
mod codegen;
mod configs;
mod fuzz;
mod process;
mod settings_page;
mod sim;
mod test_run;
mod tidy;
mod tools;
mod torture;
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
    /// Write the generated messages from the schema text.
    Codegen(Writing),
    /// Compare the schema text with the schemas in Kafka's jars.
    SchemaDiff(Jars),
    /// Compare our codec with Kafka's over random messages of every kind and version.
    CodecEquality(Jars),
    /// Write the generated table of settings and its page.
    Configs(Writing),
    /// Measure the release build beside Apache Kafka on this machine.
    Bench {
        /// Options of the measurement; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Simulate the storage on a disk that loses, tears and fails.
    Sim {
        /// What to simulate and for how long; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Run the fuzz targets; needs a nightly toolchain.
    Fuzz(fuzz::Choice),
    /// Cut the power of the release build, kill it, let its disk fail or be full.
    Torture {
        /// What to do and for how long; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
}

#[derive(clap::Args)]
struct Jars {
    /// Their folder; the one that `cargo xtask clients java` fills when none is named.
    #[arg(long)]
    jars: Option<PathBuf>,
}

impl Jars {
    fn folder(self, root: &Path) -> PathBuf {
        self.jars.unwrap_or_else(|| clients::kafka_jars(root))
    }
}

#[derive(clap::Args)]
struct Writing {
    /// Write nothing; fail when the committed text is out of date.
    #[arg(long)]
    check: bool,
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
        Command::Codegen(Writing { check }) => codegen::run(check).map(|()| true),
        Command::SchemaDiff(jars) => codegen::diff::run(&root, &jars.folder(&root)),
        Command::CodecEquality(jars) => {
            codegen::codec_equality(&root, &jars.folder(&root)).map(|()| true)
        }
        Command::Configs(Writing { check }) => {
            configs::run(check)?;
            settings_page::run(check).map(|()| true)
        }
        Command::Sim { options } => sim::run(&root, &options).map(|()| true),
        Command::Fuzz(choice) => fuzz::run(&root, &choice).map(|()| true),
        Command::Torture { options } => torture::run(&root, &options).map(|()| true),
        Command::Bench { options } => bench::run(&root, &options).map(|()| true),
        Command::Clients { family } => {
            let all = <clients::Family as clap::ValueEnum>::value_variants();
            let wanted = if family.is_empty() { all } else { &family };
            clients::provide(&root, wanted).map(|()| true)
        }
    }
}
