//! Scale: how fast partitions are created, what each costs in memory and open files, and how long
//! a restart takes until all can be used: after a clean stop, and after `kill -9`.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::bench::Bench;
use crate::broker::Broker;
use crate::process;
use crate::report::tell;
use crate::scenario::Cell;
use crate::wire::Client;

/// Partitions of a topic: one request may make 10,000 records, here and in Kafka.
const TOPIC_PARTITIONS_MAX: u32 = 5_000;
/// A JVM with Kafka needs minutes and gigabytes for more.
const KAFKA_PARTITIONS_MAX: u32 = 10_000;
/// Long enough that what comes back every minute is in it.
const IDLE: Duration = Duration::from_secs(60);

/// How many partitions.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Partitions in all; Apache Kafka gets at most 10,000 of them.
    #[arg(long, default_value_t = 100_000)]
    partitions: u32,
    /// Only Ottla: nothing to compare with, but quick.
    #[arg(long)]
    alone: bool,
}

/// Measures each broker and prints what was found.
pub(crate) fn run(bench: &Bench, options: &Options) -> anyhow::Result<()> {
    one(bench, &Cell::OTTLA_DURABLE, options.partitions)?;
    if !options.alone {
        let partitions = options.partitions.min(KAFKA_PARTITIONS_MAX);
        if partitions < options.partitions {
            one(bench, &Cell::OTTLA_DURABLE, partitions)?;
        }
        one(bench, &Cell::KAFKA, partitions)?;
    }
    Ok(())
}

/// The topics, by name, with their numbers of partitions.
fn topics(partitions: u32) -> anyhow::Result<Vec<(String, i32)>> {
    let mut topics = Vec::new();
    let mut left = partitions;
    while left > 0 {
        let count = left.min(TOPIC_PARTITIONS_MAX);
        topics.push((format!("scale-{}", topics.len()), i32::try_from(count)?));
        left -= count;
    }
    Ok(topics)
}

fn one(bench: &Bench, cell: &Cell, partitions: u32) -> anyhow::Result<()> {
    tell(&format!("{}, {partitions} partitions", cell.name));
    let mut broker = bench.prepare(cell, &[])?;
    broker.launch(None)?;
    let mut client = Client::connect(broker.address())?;
    // Whatever is done once is done now.
    client.create_topic("first", 1)?;
    let before = process::resident_kib(broker.pid()?)?;
    let topics = topics(partitions)?;
    let (begun, used) = (Instant::now(), broker.cpu_seconds()?);
    for (topic, count) in &topics {
        client.create_topic(topic, *count)?;
    }
    let took = begun.elapsed().as_secs_f64();
    let used = broker.cpu_seconds()? - used;
    let resident = process::resident_kib(broker.pid()?)?;
    let each = resident.saturating_sub(before) as f64 / f64::from(partitions);
    tell(&format!("  created and usable        {:>10.0} a second", f64::from(partitions) / took));
    tell(&format!("  CPU of that               {used:>10.2} s"));
    tell(&format!("  resident                  {:>10.1} MiB", mib(resident)));
    tell(&format!("  resident, each partition  {each:>10.1} KiB"));
    tell(&format!("  open files                {:>10}", process::open_files(broker.pid()?)?));
    for (how, clean) in [("clean stop", true), ("kill -9", false)] {
        let begun = Instant::now();
        if clean {
            broker.stop()?;
            tell(&format!("  clean stop                {:>10.2} s", begun.elapsed().as_secs_f64()));
        } else {
            broker.kill()?;
        }
        let (first, all) = restart(&mut broker, &topics)?;
        tell(&format!("  {how}, then one usable {first:>13.2} s"));
        tell(&format!("  {how}, then all usable {all:>13.2} s"));
        tell(&format!("  CPU of that               {:>10.2} s", broker.cpu_seconds()?));
    }
    let pid = broker.pid()?;
    tell(&format!("  resident after restart    {:>10.1} MiB", mib(process::resident_kib(pid)?)));
    tell(&format!("  open files after restart  {:>10}", process::open_files(pid)?));
    let before = process::cpu_seconds(pid)?;
    let idle = IDLE;
    thread::sleep(idle);
    let used = (process::cpu_seconds(pid)? - before) / idle.as_secs_f64() * 100.0;
    tell(&format!("  idle CPU                  {used:>10.2} %"));
    broker.stop().map(|_| ())
}

/// Seconds from the start to the first topic's and to all topics' readiness.
fn restart(broker: &mut Broker, topics: &[(String, i32)]) -> anyhow::Result<(f64, f64)> {
    let begun = Instant::now();
    broker.launch(None)?;
    let mut client = Client::connect(broker.address())?;
    let (first, count) = topics.first().context("no topic")?;
    client.wait_for_leaders(first, (*count).min(1))?;
    let one = begun.elapsed().as_secs_f64();
    for (topic, count) in topics {
        client.wait_for_leaders(topic, *count)?;
    }
    Ok((one, begun.elapsed().as_secs_f64()))
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
