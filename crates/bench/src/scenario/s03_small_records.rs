//! 3: records of 100 bytes to one partition.

use super::bulk::{self, PER_CORE};
use super::{Bound, Cell, Goal, Scenario};
use crate::bench::Bench;
use crate::figures::Found;
use crate::load::{Fill, Produce, Record, Sending};

pub(super) const SCENARIO: Scenario = Scenario {
    number: 3,
    name: "small-records",
    about: "records of 100 bytes, one partition, one connection, batches of up to 1 MB",
    cells: &[Cell::OTTLA_OS, Cell::OTTLA_DURABLE, Cell::KAFKA],
    goals: &[Goal {
        cell: "ottla, os",
        figure: PER_CORE,
        bound: Bound::TimesAtLeast(4.0, "kafka"),
    }],
    run,
};

fn run(bench: &Bench, cell: &Cell) -> anyhow::Result<Found> {
    let broker = bench.start(cell)?;
    let moved = bench.produce(&Produce {
        target: bench.topic(&broker, "small", 1)?,
        sending: Sending::BULK,
        record: Record { bytes: 100, fill: Fill::Random },
        connections: 1,
        warm_up: bench.amount(3_000_000, 50_000),
        records: bench.amount(6_000_000, 200_000),
        seconds_max: None,
    })?;
    let mut found = Found::default();
    bulk::add(&mut found, "", &moved);
    Ok(found)
}
