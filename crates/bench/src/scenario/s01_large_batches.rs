//! 1: records of 1 KiB in batches of up to 1 MB, in the page cache.

use crate::bench::Bench;
use crate::figures::Found;
use crate::load::{Fill, Produce, Record, Sending};
use crate::scenario::{Bound, Cell, Goal, Scenario};

const PER_CORE: &str = "records per broker core-second, thousands";
const PARTITIONS: u32 = 16;
const CONNECTIONS: u32 = 4;
pub(super) const RECORD: Record = Record { bytes: 1024, fill: Fill::Random };

pub(super) const SCENARIO: Scenario = Scenario {
    number: 1,
    name: "large-batches",
    about: "records of 1 KiB, 16 partitions, 4 connections, batches of up to 1 MB, acks=all, os",
    cells: &[Cell::OTTLA_OS, Cell::KAFKA],
    goals: &[Goal {
        cell: "ottla, os",
        figure: PER_CORE,
        bound: Bound::TimesAtLeast(5.0, "kafka"),
    }],
    run,
};

fn run(bench: &Bench, cell: &Cell) -> anyhow::Result<Found> {
    let broker = bench.start(cell)?;
    let mut found = Found::default();
    let moved = bench.produce(&Produce {
        target: bench.topic(&broker, "large", PARTITIONS)?,
        sending: Sending::BULK,
        record: RECORD,
        connections: CONNECTIONS,
        warm_up: bench.amount(1_000_000, 20_000),
        records: bench.amount(2_000_000, 50_000),
    })?;
    found.add(PER_CORE, moved.per_core_second());
    found.add("records per second, thousands", moved.per_second());
    found.add("broker's core busy, %", moved.broker_busy());
    found.add("load's core busy, %", moved.driver_busy());
    Ok(found)
}
