//! Recovery: gigabytes, `kill -9` while they are written to, and the time from the next start to
//! the first acknowledged record, and to one on every partition.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;

use crate::bench::Bench;
use crate::broker::Broker;
use crate::load::Target;
use crate::process;
use crate::report::tell;
use crate::scenario::Cell;
use crate::wire::{self, BATCH_RECORDS, Client};

const TOPIC: &str = "recovery";
const PARTITIONS: i32 = 16;
const SEGMENT_MIB: u64 = 10;
const RECORD_BYTES: usize = 1024;
const IN_FLIGHT: usize = 5;
/// How long it is written to before it is killed.
const WRITING: Duration = Duration::from_millis(500);

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
    one(bench, &Cell::OTTLA_DURABLE, options.gib)?;
    if !options.alone {
        one(bench, &Cell::KAFKA, options.gib)?;
    }
    Ok(())
}

fn one(bench: &Bench, cell: &Cell, gib: u64) -> anyhow::Result<()> {
    let segment = format!("log.segment.bytes={}", SEGMENT_MIB << 20);
    let mut broker = bench.prepare(cell, &[&segment])?;
    broker.launch(None)?;
    broker.await_port()?;
    let filled = Filled::fill(&broker, (gib << 30) / 1_000_000)?;
    filled.kill_while_writing(&mut broker)?;
    let begun = Instant::now();
    broker.launch(None)?;
    let mut client = filled.first_ack(&broker)?;
    let first = begun.elapsed().as_secs_f64();
    filled.ack_on_the_others(&mut client)?;
    let all = begun.elapsed().as_secs_f64();
    filled.read_back(bench, &broker, &mut client)?;
    let name = &cell.name;
    tell(&format!("{name}: {gib} GiB in segments of {SEGMENT_MIB} MiB, after kill -9"));
    tell(&format!("  first acknowledged record  {first:>8.2} s"));
    tell(&format!("  one on every partition     {all:>8.2} s"));
    tell(&format!("  open files                 {:>8}", process::open_files(broker.pid()?)?));
    Ok(())
}

/// What was written to a broker that is going to be killed.
#[derive(Debug)]
pub(crate) struct Filled {
    batch: Bytes,
    single: Bytes,
    acknowledged: u64,
}

impl Filled {
    /// Writes so many MB of records of 1 KiB to 16 partitions of a topic of its own.
    pub(crate) fn fill(broker: &Broker, megabytes: u64) -> anyhow::Result<Self> {
        let batch = wire::batch(BATCH_RECORDS, RECORD_BYTES)?;
        let single = wire::batch(1, RECORD_BYTES)?;
        Client::connect(broker.address())?.create_topic(TOPIC, PARTITIONS)?;
        let batches = megabytes * 1_000_000 / u64::try_from(batch.len())?;
        wire::produce(broker.address(), TOPIC, 0..PARTITIONS, &batch, batches, IN_FLIGHT)?;
        Ok(Self { batch, single, acknowledged: batches * BATCH_RECORDS })
    }

    /// Kills the broker in the middle of more of the same.
    pub(crate) fn kill_while_writing(&self, broker: &mut Broker) -> anyhow::Result<()> {
        let (address, stop) = (broker.address().to_owned(), AtomicBool::new(false));
        let (address, stop) = (&address, &stop);
        thread::scope(|scope| {
            scope.spawn(move || {
                let mut alive = true;
                while alive && !stop.load(Ordering::Relaxed) {
                    let all = 0..PARTITIONS;
                    let sent = wire::produce(address, TOPIC, all, &self.batch, 16, IN_FLIGHT);
                    alive = sent.is_ok();
                }
            });
            thread::sleep(WRITING);
            let killed = broker.kill();
            stop.store(true, Ordering::Relaxed);
            killed
        })
    }

    /// Waits until the broker takes a record again.
    pub(crate) fn first_ack(&self, broker: &Broker) -> anyhow::Result<Client> {
        let mut client = Client::connect(broker.address())?;
        client.produce_until_acknowledged(TOPIC, 0, &self.single)?;
        Ok(client)
    }

    fn ack_on_the_others(&self, client: &mut Client) -> anyhow::Result<()> {
        (1..PARTITIONS).try_for_each(|partition| {
            client.produce_until_acknowledged(TOPIC, partition, &self.single)
        })
    }

    /// Reads everything; an error when less is there than was acknowledged.
    pub(crate) fn read_back(
        &self,
        bench: &Bench,
        broker: &Broker,
        client: &mut Client,
    ) -> anyhow::Result<()> {
        client.wait_for_leaders(TOPIC, PARTITIONS)?;
        let there = client.count(TOPIC, PARTITIONS)?.context("a partition has no leader")?;
        let (there, least) = (u64::try_from(there)?, self.acknowledged);
        ensure!(there > least, "{there} records are there, {least} were acknowledged before one");
        let target = Target {
            bootstrap: broker.address().to_owned(),
            pid: broker.pid()?,
            topic: TOPIC.to_owned(),
            partitions: PARTITIONS.unsigned_abs(),
        };
        bench.count_back(&target, there, RECORD_BYTES)
    }
}
