//! Measurements of Ottla beside Apache Kafka 4.4.0, in one run, as ratios. Knows brokers by their
//! process and their port only.

mod driver;
mod figures;
mod first_light;
mod process;

use clap::Parser;

/// Measures Ottla beside Apache Kafka on this machine and prints the figures.
#[derive(Debug, Parser)]
struct Options {
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

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    first_light::run(options.records, options.runs, !options.alone)
}
