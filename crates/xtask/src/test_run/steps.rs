//! The steps of the whole test run, cheap ones first. A step fails with one sentence; what went
//! wrong in detail stands above it in the output.

use std::path::Path;

use crate::clients::{self, Family};
use crate::{codegen, configs, process, settings_page, sim, tidy, tools, torture};

/// One step.
pub(super) struct Step {
    /// Its name on the command line.
    pub(super) name: &'static str,
    /// What it checks, in a few words.
    pub(super) about: &'static str,
    /// Does it.
    pub(super) run: fn(&Path) -> anyhow::Result<()>,
}

/// All steps in the order in which they run.
pub(super) const STEPS: &[Step] = &[
    Step { name: "format", about: "every source is as rustfmt writes it", run: format },
    Step { name: "tidy", about: "crate graph, lengths, heads, purity, names", run: run_tidy },
    Step { name: "generated", about: "generated code and tables are up to date", run: generated },
    Step { name: "clippy", about: "no warning of the compiler or of clippy", run: clippy },
    Step { name: "licences", about: "licences and sources of dependencies", run: licences },
    Step { name: "unit", about: "unit, property, golden and integration tests", run: unit },
    Step { name: "release", about: "the binary as it ships", run: release },
    Step { name: "clients", about: "the real clients are there", run: fetch_clients },
    Step { name: "codec", about: "schemas and codec against Apache Kafka's", run: codec },
    Step { name: "sim", about: "the storage on a simulated disk, from seeds", run: run_sim },
    Step { name: "torture", about: "power cuts, kills, failing and full disks", run: run_torture },
    Step { name: "interop", about: "real clients against the real binary", run: interop },
    Step { name: "suites", about: "test suites of kafka-python and rskafka", run: suites },
];

/// The version of cargo-deny that the licence check was written for.
const CARGO_DENY: &str = "0.20.2";

fn format(root: &Path) -> anyhow::Result<()> {
    process::run(process::cargo(root).args(["fmt", "--all", "--check"]))?;
    for own_workspace in ["fuzz", "clients/rust"] {
        let folder = root.join(own_workspace);
        process::run(process::cargo(&folder).args(["fmt", "--all", "--check"]))?;
    }
    Ok(())
}

fn run_tidy(root: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(tidy::run(root)?, "the house rules are broken");
    Ok(())
}

fn generated(_root: &Path) -> anyhow::Result<()> {
    codegen::run(true)?;
    configs::run(true)?;
    settings_page::run(true)
}

fn clippy(root: &Path) -> anyhow::Result<()> {
    let deny = ["--", "-D", "warnings"];
    let all = ["clippy", "--locked", "--workspace", "--all-targets"];
    process::run(process::cargo(root).args(all).args(deny))?;
    let clients = ["clippy", "--locked", "--package", "ottla-interop", "--test", "it"];
    process::run(process::cargo(root).args(clients).args(deny))
}

fn licences(root: &Path) -> anyhow::Result<()> {
    let deny = tools::provide(root, "cargo-deny", CARGO_DENY)?;
    let check = ["--locked", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"];
    process::run(process::command(&deny, root).args(check))
}

fn unit(root: &Path) -> anyhow::Result<()> {
    process::run(process::cargo(root).args(["test", "--quiet", "--locked", "--workspace"]))
}

fn release(root: &Path) -> anyhow::Result<()> {
    // The command of the README, as far as it ends by itself.
    process::run(process::cargo(root).args(["run", "--locked", "--release", "--", "--version"]))
}

fn fetch_clients(root: &Path) -> anyhow::Result<()> {
    use clap::ValueEnum;
    clients::provide(root, Family::value_variants())
}

fn codec(root: &Path) -> anyhow::Result<()> {
    let jars = clients::kafka_jars(root);
    anyhow::ensure!(codegen::diff::run(root, &jars)?, "the schema text is not Kafka's");
    codegen::codec_equality(root, &jars)
}

fn interop(root: &Path) -> anyhow::Result<()> {
    run_interop(root, &["--skip", "suites::"])
}

fn suites(root: &Path) -> anyhow::Result<()> {
    run_interop(root, &["suites::"])
}

fn run_sim(root: &Path) -> anyhow::Result<()> {
    sim::short(root)
}

fn run_torture(root: &Path) -> anyhow::Result<()> {
    torture::run(root, &["short".to_owned()])
}

/// The tests of the crate `interop`: two at a time, each with a broker of its own.
fn run_interop(root: &Path, filter: &[&str]) -> anyhow::Result<()> {
    let test = ["test", "--locked", "--package", "ottla-interop", "--test", "it", "--"];
    let mut cargo = process::cargo(root);
    cargo.env("RUST_BACKTRACE", "0").env("OTTLA_BIN", root.join("target/release/ottla"));
    process::run(cargo.args(test).args(["--test-threads", "2"]).args(filter))
}
