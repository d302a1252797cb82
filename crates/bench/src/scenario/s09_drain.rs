//! 9: producing at a fixed rate while a backlog is drained from the disk as fast as the broker
//! gives it. The drain shares a core with the producer, so it is bare and steps back for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{anyhow, ensure};

use super::bare_reads::{self, Checksums};
use super::bulk::{self, BATCH_RECORDS, IN_FLIGHT};
use super::{Bound, Cell, Goal, Scenario, paced, page_cache};
use crate::bench::Bench;
use crate::broker::Broker;
use crate::figures::Found;
use crate::load::{OpenLoop, Sending, Target, Timed};
use crate::wire;

const RATE: u64 = 5_000;
const CONNECTIONS: usize = 4;
/// Of the threads that drain: whoever produces goes before them.
const NICE: i32 = 19;
const TIMES: &str = "ack p99 with the drain, times that without";

const fn goal(cell: &'static str) -> Goal {
    Goal { cell, figure: TIMES, bound: Bound::AtMost(1.5) }
}

pub(super) const SCENARIO: Scenario = Scenario {
    number: 9,
    name: "backlog",
    about: "5,000 records/s of 1 KiB while a backlog of 2 GB in 16 partitions is drained from the \
            disk over 4 connections, again and again",
    cells: &[Cell::OTTLA_DURABLE, Cell::OTTLA_OS, Cell::KAFKA],
    goals: &[goal("ottla, durable"), goal("ottla, os")],
    run,
};

fn run(bench: &Bench, cell: &Cell) -> anyhow::Result<Found> {
    let broker = bench.start(cell)?;
    let backlog = bench.topic(&broker, "backlog", bulk::PARTITIONS)?;
    let batch = wire::batch(BATCH_RECORDS, bulk::KIB.bytes)?;
    let batches = bench.amount(2_000_000_000, 50_000_000) / batch.len() as u64;
    let partitions = 0..i32::try_from(bulk::PARTITIONS)?;
    wire::produce(&backlog.bootstrap, &backlog.topic, partitions, &batch, batches, IN_FLIGHT)?;
    // A virtual machine compiles what it meets often.
    bare_reads::read(&backlog, &bare_reads::spans(&backlog)?, CONNECTIONS, Checksums::Trusted)?;
    let alone = produce(bench, &broker, "alone")?;
    page_cache::evict(&broker.data())?;
    let records = batches * BATCH_RECORDS;
    let drain = Drain { broker: &broker, backlog, records, stop: AtomicBool::new(false) };
    let (beside, gigabytes) = thread::scope(|scope| {
        let draining = scope.spawn(|| drain.run());
        let beside = produce(bench, &broker, "beside");
        drain.stop.store(true, Ordering::Relaxed);
        let drained = draining.join().map_err(|_| anyhow!("the drain has panicked"))?;
        anyhow::Ok((beside?, drained?))
    })?;
    let mut found = Found::default();
    found.add(TIMES, beside.ack.p99 as f64 / alone.ack.p99 as f64);
    paced::add(&mut found, "alone: ack", &alone.ack);
    paced::add(&mut found, "with the drain: ack", &beside.ack);
    found.add("drained, GB/s", gigabytes);
    for (what, timed) in [("alone: ", &alone), ("with the drain: ", &beside)] {
        found.add(format!("{what}broker's core busy, %"), timed.moved.broker_busy());
        found
            .add(format!("{what}producer's part of the load's core, %"), timed.moved.driver_busy());
    }
    Ok(found)
}

fn produce(bench: &Bench, broker: &Broker, topic: &str) -> anyhow::Result<Timed> {
    let job = OpenLoop {
        target: bench.topic(broker, topic, 1)?,
        sending: Sending::PROMPT,
        record: bulk::KIB,
        connections: 1,
        consumers: 0,
        shared_out: false,
        rate: RATE,
        warm_up_seconds: bench.amount(10, 1),
        seconds: bench.amount(20, 2),
    };
    bench.open_loop(&job)
}

/// Reading the backlog until told to stop, once at least.
struct Drain<'a> {
    broker: &'a Broker,
    backlog: Target,
    records: u64,
    stop: AtomicBool,
}

impl Drain<'_> {
    /// Gives the rate in GB/s.
    fn run(&self) -> anyhow::Result<f64> {
        // On Linux a thread has its own, and its children inherit it.
        rustix::process::setpriority_process(None, NICE)?;
        let spans = bare_reads::spans(&self.backlog)?;
        let clock = Instant::now();
        let mut records = 0;
        loop {
            let read = bare_reads::read(&self.backlog, &spans, CONNECTIONS, Checksums::Trusted)?;
            ensure!(read == self.records, "{read} records were drained of {}", self.records);
            records += read;
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            page_cache::forget(&self.broker.data())?;
        }
        Ok(records as f64 * bulk::KIB.bytes as f64 / clock.elapsed().as_secs_f64() / 1e9)
    }
}
