//! 13: producers that send more than the broker's memory holds, for a long time: a control group
//! of 1 GiB around the broker, retention that keeps the disk from filling up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};

use super::bare_reads::{self, Checksums};
use super::bulk::{self, BATCH_RECORDS};
use super::cgroup::Cgroup;
use super::steady::{self, Pace, SILENCE};
use super::{Bound, Cell, Goal, Scenario, Subject, paced};
use crate::bench::{BROKER_CORE, Bench};
use crate::broker::Broker;
use crate::figures::Found;
use crate::load::{Latency, Target};
use crate::process;
use crate::wire::{self, Client};

const MEMORY_BYTES: u64 = 1 << 30;
const PRODUCERS: u32 = 4;
const BYTES_PER_SECOND_EACH: f64 = 64e6;
const MINUTES: u64 = 10;
const SAMPLE: Duration = Duration::from_millis(500);
/// A part of the time in which a virtual machine warms up and caches fill.
const WARM_UP_PART: u32 = 10;
/// As a user would set it who keeps the last gigabyte of each partition.
const SETTINGS: &[&str] = &[
    "log.retention.bytes=1073741824",
    "log.segment.bytes=268435456",
    "log.retention.check.interval.ms=10000",
    "log.segment.delete.delay.ms=10000",
];
/// After the load retention has come to an end when no log start moved for so long.
const SETTLED: Duration = Duration::from_secs(25);
/// Kafka's own 1 GiB would not fit into the group.
const KAFKA_HEAP: &[&str] = &["-Xmx512M", "-Xms512M"];

const KILLS: &str = "killed for want of memory";
const SILENCES: &str = "fell silent for a minute";
const _: () = assert!(SILENCE.as_secs() == 60);
const GROWTH: &str = "resident, growth from the second third to the last, MiB";
const ACK: &str = "ack p99.9, ms";
const REACHED: &str = "reached, MB/s";

const fn goal(figure: &'static str, bound: Bound) -> Goal {
    Goal { cell: "ottla, durable", figure, bound }
}

pub(super) const SCENARIO: Scenario = Scenario {
    number: 13,
    name: "bounded-memory",
    about: "four producers of 64 MB/s each (batches of just under 1 MB, sent on schedule) against \
            1 GiB of memory, ten minutes; Kafka with a heap of 512 MiB",
    cells: &[Cell::OTTLA_DURABLE, Cell::KAFKA],
    goals: &[
        goal(KILLS, Bound::AtMost(0.0)),
        goal(SILENCES, Bound::AtMost(0.0)),
        goal(GROWTH, Bound::AtMost(16.0)),
        goal(ACK, Bound::AtMost(50.0)),
        goal(REACHED, Bound::AtLeast(253.0)),
    ],
    run,
};

fn run(bench: &Bench, cell: &Cell) -> anyhow::Result<Found> {
    let seconds = bench.minutes.unwrap_or(MINUTES) * 60;
    let seconds = if bench.minutes.is_some() { seconds } else { bench.amount(seconds, 6) };
    // Before the broker, so that it is dropped after it.
    let group = Cgroup::new(MEMORY_BYTES)?;
    let mut broker = bench.prepare(cell, SETTINGS)?;
    if cell.subject == Subject::Kafka {
        broker.java_flags(KAFKA_HEAP);
    }
    broker.launch(None)?;
    group.take(broker.pid()?)?;
    broker.await_port()?;
    process::pin(broker.pid()?, BROKER_CORE)?;
    let target = bench.topic(&broker, "steady", PRODUCERS)?;
    let batch = wire::batch(BATCH_RECORDS, bulk::KIB.bytes)?;
    let every = Duration::from_secs_f64(batch.len() as f64 / BYTES_PER_SECOND_EACH);
    let batches = u32::try_from(Duration::from_secs(seconds).as_nanos() / every.as_nanos())?;
    let pace = Pace { batch, every, batches, warm_up: batches / WARM_UP_PART };
    let watched = watch(&broker, || {
        let (cpu, clock) = (broker.cpu_seconds()?, Instant::now());
        let latency = steady::run(&target, &pace)?;
        Ok((latency, broker.cpu_seconds()? - cpu, clock.elapsed()))
    })?;
    let mut found = Found::default();
    let silent = watched.load.as_ref().is_err_and(steady::is_silence);
    found.add(KILLS, group.kills()? as f64);
    found.add(SILENCES, f64::from(u8::from(silent)));
    found.add("group at its peak, MiB", mib(group.peak()?));
    watched.memory.add(&mut found);
    match watched.load {
        Ok((latency, cpu, wall)) => {
            add(&mut found, &latency, &pace, cpu, wall);
            verify(bench, &target, &pace)?;
        }
        // That is a finding, and there is nothing else to find.
        Err(_) if silent || group.kills()? > 0 => {}
        Err(error) => return Err(error.context(broker.log())),
    }
    Ok(found)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn add(found: &mut Found, latency: &Latency, pace: &Pace, cpu: f64, wall: Duration) {
    let bytes = pace.batch.len() as f64 * f64::from(pace.batches) * f64::from(PRODUCERS);
    found.add(REACHED, bytes / wall.as_secs_f64() / 1e6);
    paced::add(found, "ack", latency);
    found.add("broker's core busy, %", cpu / wall.as_secs_f64() * 100.0);
}

/// Every batch has its offsets, and what retention has left is there and sound.
fn verify(bench: &Bench, target: &Target, pace: &Pace) -> anyhow::Result<()> {
    let partitions = i32::try_from(PRODUCERS)?;
    let found = Client::connect(&target.bootstrap)?.count(&target.topic, partitions)?;
    let sent = u64::from(pace.batches) * u64::from(PRODUCERS) * BATCH_RECORDS;
    ensure!(
        found.and_then(|found| u64::try_from(found).ok()) == Some(sent),
        "{found:?} records were written, {sent} were acknowledged"
    );
    let mut spans = bare_reads::spans(target)?;
    let mut since = Instant::now();
    while since.elapsed() < if bench.short { Duration::ZERO } else { SETTLED } {
        thread::sleep(SAMPLE);
        let now = bare_reads::spans(target)?;
        if spans.iter().zip(&now).any(|(before, now)| before.start != now.start) {
            since = Instant::now();
        }
        spans = now;
    }
    let left: i64 = spans.iter().map(|span| span.end - span.start).sum();
    let read = bare_reads::read(target, &spans, 1, Checksums::Checked)?;
    ensure!(u64::try_from(left)? == read, "{read} records were read, {left} are said to be there");
    Ok(())
}

/// Resident memory of the broker, in KiB, one sample after the other.
struct Memory(Vec<u64>);

impl Memory {
    fn add(&self, found: &mut Found) {
        let count = self.0.len();
        let highest = |from: usize, to: usize| {
            let part = self.0.get(from..to).unwrap_or_default();
            part.iter().max().map_or(f64::NAN, |kib| *kib as f64 / 1024.0)
        };
        for quarter in 1..=4 {
            let name = format!("resident, highest of quarter {quarter}, MiB");
            found.add(name, highest(count * (quarter - 1) / 4, count * quarter / 4));
        }
        let (middle, last) = (highest(count / 3, count * 2 / 3), highest(count * 2 / 3, count));
        found.add(GROWTH, last - middle);
    }
}

/// What a load gave, and the memory meanwhile.
struct Watched<T> {
    load: anyhow::Result<T>,
    memory: Memory,
}

fn watch<T>(
    broker: &Broker,
    load: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<Watched<T>> {
    let (pid, stop) = (broker.pid()?, AtomicBool::new(false));
    thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut samples = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                // It is gone when it was killed; the kernel has counted that.
                let Ok(kib) = process::resident_kib(pid) else { break };
                samples.push(kib);
                thread::sleep(SAMPLE);
            }
            samples
        });
        let load = load();
        stop.store(true, Ordering::Relaxed);
        let samples = watching.join().map_err(|_| anyhow!("the watch has panicked"))?;
        Ok(Watched { load, memory: Memory(samples) })
    })
}
