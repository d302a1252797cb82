//! Recovery: gigabytes in many segments, `kill -9` while they are written to, and the time from
//! the next start to the first acknowledged record, and to one on every partition.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use crate::bench::Bench;
use crate::process;
use crate::report::tell;
use crate::scenario::Cell;
use crate::wire::{self, Client};
use anyhow::ensure;
use bytes::Bytes;

const TOPIC: &str = "recovery";
const PARTITIONS: i32 = 16;
const SEGMENT_MIB: u64 = 10;
/// Records of 1 KiB in a batch of just under 1 MB.
const BATCH_RECORDS: u64 = 950;
const IN_FLIGHT: usize = 5;

/// How much data.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// GiB of records, in segments of 10 MiB.
    #[arg(long, default_value_t = 10)]
    gib: u64,
    /// Only Ottla: nothing to compare with, but quick.
    #[arg(long)]
    alone: bool,
}

/// Measures each broker, on data of its own, and prints what was found.
pub(crate) fn run(bench: &Bench, options: &Options) -> anyhow::Result<()> {
    let batch = wire::batch(BATCH_RECORDS, 1024)?;
    one(bench, &Cell::OTTLA_DURABLE, options.gib, &batch)?;
    if !options.alone {
        one(bench, &Cell::KAFKA, options.gib, &batch)?;
    }
    Ok(())
}

fn one(bench: &Bench, cell: &Cell, gib: u64, batch: &Bytes) -> anyhow::Result<()> {
    let segment = format!("log.segment.bytes={}", SEGMENT_MIB << 20);
    let mut broker = bench.prepare(cell, &[&segment])?;
    broker.launch(None)?;
    let mut client = Client::connect(broker.address())?;
    client.create_topic(TOPIC, PARTITIONS)?;
    let batches = (gib << 30) / u64::try_from(batch.len())?;
    wire::produce(broker.address(), TOPIC, 0..PARTITIONS, batch, batches, IN_FLIGHT)?;
    // Killed while it writes, not at rest.
    let (address, stop) = (broker.address().to_owned(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut alive = true;
            while alive && !stop.load(Ordering::Relaxed) {
                let sent = wire::produce(&address, TOPIC, 0..PARTITIONS, batch, 16, IN_FLIGHT);
                alive = sent.is_ok();
            }
        });
        thread::sleep(std::time::Duration::from_millis(500));
        let killed = broker.kill();
        stop.store(true, Ordering::Relaxed);
        killed
    })?;
    let begun = Instant::now();
    broker.launch(None)?;
    let single = wire::batch(1, 100)?;
    let mut client = Client::connect(&address)?;
    client.produce_until_acknowledged(TOPIC, 0, &single)?;
    let first = begun.elapsed().as_secs_f64();
    for partition in 1..PARTITIONS {
        client.produce_until_acknowledged(TOPIC, partition, &single)?;
    }
    let all = begun.elapsed().as_secs_f64();
    let found = Client::connect(broker.address())?.count(TOPIC, PARTITIONS)?.unwrap_or(0);
    let least = batches * BATCH_RECORDS;
    ensure!(u64::try_from(found)? >= least, "{found} records are there, {least} were acknowledged");
    tell(&format!("{}: {gib} GiB in segments of {SEGMENT_MIB} MiB, after kill -9", cell.name));
    tell(&format!("  first acknowledged record  {first:>8.2} s"));
    tell(&format!("  one on every partition     {all:>8.2} s"));
    tell(&format!("  open files                 {:>8}", process::open_files(broker.pid()?)?));
    Ok(())
}
