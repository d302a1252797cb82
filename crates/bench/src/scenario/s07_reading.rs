//! 7: reading records of 1 KiB, out of the page cache and from the disk; beside it the limit
//! program, which reads and sums files of the same bytes and sends them.

use std::time::Instant;

use anyhow::ensure;

use super::bare_reads::{self, Checksums};
use super::bulk::{self, BATCH_RECORDS, IN_FLIGHT};
use super::{Bound, Cell, Goal, Scenario, Subject, page_cache};
use crate::bench::Bench;
use crate::broker::Broker;
use crate::figures::Found;
use crate::limit::{self, Reading, Shape};
use crate::load::{Consume, Moved, Target};
use crate::{process, wire};

const CONNECTIONS: usize = 4;
/// In percent of the bytes; the rest may be in the broker's own memory.
const FROM_DISK_LEAST: u64 = 90;

const BARE_CACHED: &str = "bare fetches, cached: records per broker core-second, thousands";
const BARE_COLD: &str = "bare fetches, cold: records per second, thousands";
const CACHED: &str = "cached: records per broker core-second, thousands";

pub(super) const SCENARIO: Scenario = Scenario {
    number: 7,
    name: "reading",
    about: "3 GB of 1 KiB records, 16 partitions: from the page cache, and from the disk \
            (after sync and POSIX_FADV_DONTNEED); by librdkafka, and by bare fetches over 4 \
            connections",
    cells: &[Cell::OTTLA_DURABLE, Cell::KAFKA, Cell::LIMIT],
    goals: &[
        Goal { cell: "ottla, durable", figure: CACHED, bound: Bound::TimesAtLeast(1.5, "kafka") },
        Goal {
            cell: "ottla, durable",
            figure: BARE_CACHED,
            bound: Bound::TimesAtLeast(0.85, "limit"),
        },
        Goal {
            cell: "ottla, durable",
            figure: BARE_COLD,
            bound: Bound::TimesAtLeast(0.85, "limit"),
        },
    ],
    run,
};

fn run(bench: &Bench, cell: &Cell) -> anyhow::Result<Found> {
    let mib = bench.amount(2861, 100);
    if cell.subject == Subject::Limit {
        return limits(bench, mib);
    }
    let broker = bench.start(cell)?;
    let target = bench.topic(&broker, "read", bulk::PARTITIONS)?;
    let batch = wire::batch(BATCH_RECORDS, bulk::KIB.bytes)?;
    let batches = (mib << 20) / batch.len() as u64;
    let partitions = 0..i32::try_from(bulk::PARTITIONS)?;
    wire::produce(&target.bootstrap, &target.topic, partitions, &batch, batches, IN_FLIGHT)?;
    let read = Read { bench, broker, target, records: batches * BATCH_RECORDS, mib };

    let mut found = Found::default();
    // The first of two readings fills the page cache and warms the broker.
    bulk::add(&mut found, "cached: ", &read.by_librdkafka(true)?);
    bulk::add(&mut found, "bare fetches, cached: ", &read.bare()?);
    bulk::add(&mut found, "cold: ", &read.cold(|| read.by_librdkafka(false))?);
    bulk::add(&mut found, "bare fetches, cold: ", &read.cold(|| read.bare())?);
    Ok(found)
}

/// A topic that is read again and again.
struct Read<'a> {
    bench: &'a Bench,
    broker: Broker,
    target: Target,
    records: u64,
    mib: u64,
}

impl Read<'_> {
    fn by_librdkafka(&self, warm_up: bool) -> anyhow::Result<Moved> {
        self.bench.consume(&Consume {
            target: self.target.clone(),
            records: self.records,
            numbered: false,
            record_bytes: bulk::KIB.bytes,
            warm_up,
            check_crcs: false,
        })
    }

    fn bare(&self) -> anyhow::Result<Moved> {
        let spans = bare_reads::spans(&self.target)?;
        let own = process::cpu_seconds(std::process::id())?;
        let (cpu, clock) = (self.broker.cpu_seconds()?, Instant::now());
        let records = bare_reads::read(&self.target, &spans, CONNECTIONS, Checksums::Trusted)?;
        let wall_seconds = clock.elapsed().as_secs_f64();
        ensure!(records == self.records, "{records} records were read of {}", self.records);
        Ok(Moved {
            records,
            in_topic: records,
            wall_seconds,
            broker_cpu_seconds: self.broker.cpu_seconds()? - cpu,
            driver_cpu_seconds: process::cpu_seconds(std::process::id())? - own,
        })
    }

    /// Reads what is not in the page cache; an error when it was.
    fn cold(&self, read: impl Fn() -> anyhow::Result<Moved>) -> anyhow::Result<Moved> {
        let pid = self.broker.pid()?;
        page_cache::evict(&self.broker.data())?;
        let before = page_cache::disk_bytes(pid)?;
        let moved = read()?;
        let came = (page_cache::disk_bytes(pid)? - before) >> 20;
        let least = self.mib * FROM_DISK_LEAST / 100;
        ensure!(
            self.bench.short || came >= least,
            "only {came} of {} MiB came from the disk",
            self.mib
        );
        Ok(moved)
    }
}

fn limits(bench: &Bench, mib: u64) -> anyhow::Result<Found> {
    let shape = Shape::large_batches(mib)?;
    let files = limit::prepare(bench.data(), &shape)?;
    let mut found = Found::default();
    // As with the brokers, the first reading fills the page cache.
    limit::read(&files, &shape, Reading::File)?;
    for (what, from) in [
        ("bare fetches, cached: ", Reading::File),
        ("cached, sendfile: ", Reading::Sendfile),
        ("from memory: ", Reading::Memory),
    ] {
        bulk::add(&mut found, what, &limit::read(&files, &shape, from)?.moved());
    }
    page_cache::evict(files.path())?;
    let cold = limit::read(&files, &shape, Reading::File)?;
    bulk::add(&mut found, "bare fetches, cold: ", &cold.moved());
    Ok(found)
}
