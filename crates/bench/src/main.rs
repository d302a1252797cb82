//! Measurements of Ottla beside Apache Kafka 4.4.0, in one run, as ratios. Knows brokers by their
//! process and their port only.

mod driver;
mod figures;
mod first_light;
mod process;
mod recovery;
mod scale;

use clap::{Parser, Subcommand};

/// Measures Ottla beside Apache Kafka on this machine and prints the figures.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    other: Option<Other>,
    /// Records of 1 KiB in each run.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Runs of each broker; they alternate.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Only Ottla: nothing to compare with, but quick.
    #[arg(long)]
    alone: bool,
}

/// What is measured instead of start, idling and throughput.
#[derive(Debug, Subcommand)]
enum Other {
    /// Many partitions: creation, memory, restarts.
    Scale(scale::Options),
    /// Gigabytes in many segments, and a start after kill -9.
    Recovery(recovery::Options),
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    match &options.other {
        Some(Other::Scale(options)) => return scale::run(options),
        Some(Other::Recovery(options)) => return recovery::run(options),
        None => {}
    }
    first_light::run(options.records, options.runs, !options.alone)
}
