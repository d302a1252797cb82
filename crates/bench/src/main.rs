//! Measurements of Ottla beside Apache Kafka 4.4.0, in one run, as ratios. Knows brokers by their
//! process and their port only.

mod bench;
mod broker;
mod compaction;
mod environment;
mod figures;
mod limit;
mod load;
mod metadata;
mod process;
mod recovery;
mod report;
mod runner;
mod scale;
mod scenario;
mod schedule;
mod wire;

use std::path::PathBuf;

use anyhow::ensure;
use clap::{Parser, Subcommand};
use ottla_interop::repository;

use crate::bench::Bench;
use crate::broker::Builds;
use crate::runner::Plan;

/// Where `cargo xtask bench --compare` says that the other build is.
const BEFORE: &str = "OTTLA_BENCH_BEFORE";

/// Measures Ottla beside Apache Kafka on this machine and prints the figures.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    other: Option<Other>,
    /// Numbers or names of scenarios; all when none is given.
    scenarios: Vec<String>,
    /// Runs of each broker; they alternate.
    #[arg(long)]
    runs: Option<usize>,
    /// One run of small amounts: shows that it works, measures nothing.
    #[arg(long)]
    short: bool,
    /// So much of the usual amounts, in percent: quicker, and coarser.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=100))]
    percent: u64,
    /// Only Ottla: nothing to compare with, but quick.
    #[arg(long)]
    alone: bool,
    /// Where the figures go as JSON; target/bench/figures.json when nothing is said.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Compares with Ottla as it was at this revision, instead of Kafka.
    #[arg(long, value_name = "REV")]
    compare: Option<String>,
    /// How long the scenarios take that are about endurance.
    #[arg(long)]
    minutes: Option<u64>,
    /// Lists the scenarios and what they ask for.
    #[arg(long)]
    list: bool,
}

/// What is measured in a way of its own.
#[derive(Debug, Subcommand)]
enum Other {
    /// Many partitions: creation, memory, restarts.
    Scale(scale::Options),
    /// A long metadata log, and starts that read it.
    Metadata(metadata::Options),
    /// Compaction by itself, and latency of producing while a log is compacted.
    Compaction(compaction::Options),
    /// Gigabytes in many segments, and a start after kill -9.
    Recovery(recovery::Options),
    /// The same bytes between socket and file with no protocol.
    Limit(limit::Options),
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if options.list {
        list();
        return Ok(());
    }
    if let Some(Other::Limit(options)) = &options.other {
        return limit::run(options);
    }
    let before = std::env::var_os(BEFORE).map(PathBuf::from);
    ensure!(
        options.compare.is_some() == before.is_some(),
        "`cargo xtask bench --compare REV` builds the other Ottla; this program does not"
    );
    let short_compaction = matches!(&options.other, Some(Other::Compaction(of)) if of.short);
    let short = options.short || short_compaction;
    let mut bench = Bench::new(short, Builds { ottla: repository::binary()?, before })?;
    bench.minutes = options.minutes;
    bench.percent = options.percent;
    match &options.other {
        Some(Other::Scale(options)) => return scale::run(&bench, options),
        Some(Other::Metadata(options)) => return metadata::run(&bench, options),
        Some(Other::Compaction(options)) => return compaction::run(&bench, options),
        Some(Other::Recovery(options)) => return recovery::run(&bench, options),
        Some(Other::Limit(_)) | None => {}
    }
    let runs = options.runs.unwrap_or(if options.short { 1 } else { 5 });
    ensure!(runs > 0, "no runs");
    let json = options.json.unwrap_or_else(|| bench.data().with_file_name("figures.json"));
    let plan = Plan { runs, alone: options.alone, before: options.compare, json };
    let scenarios = scenario::chosen(&options.scenarios)?;
    runner::run(&bench, &plan, &scenarios)
}

fn list() {
    for scenario in scenario::ALL {
        report::tell(&format!("{:>2} {}: {}", scenario.number, scenario.name, scenario.about));
        for goal in scenario.goals {
            report::tell(&format!("     {}, {}: {}", goal.cell, goal.figure, goal.asks()));
        }
    }
}
