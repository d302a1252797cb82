//! 4: one record a request, five requests in flight on each connection.

use super::bulk;
use super::{Bound, Cell, Goal, Scenario};
use crate::bench::Bench;
use crate::figures::Found;
use crate::load::{Produce, Sending};

const ONE: &str = "1 connection: records per broker core-second, thousands";
const FIFTY: &str = "50 connections: records per broker core-second, thousands";
/// With durable answers one connection is bound by the disk's flushes.
const SECONDS_MAX: u64 = 20;
const LEAST: Bound = Bound::TimesAtLeast(8.0, "kafka");

pub(super) const SCENARIO: Scenario = Scenario {
    number: 4,
    name: "single-records",
    about: "one record of 1 KiB a request, five in flight on each of 1 and 50 connections, \
            16 partitions",
    cells: &[Cell::OTTLA_OS, Cell::OTTLA_DURABLE, Cell::KAFKA],
    goals: &[
        Goal { cell: "ottla, os", figure: ONE, bound: LEAST },
        Goal { cell: "ottla, os", figure: FIFTY, bound: LEAST },
    ],
    run,
};

fn run(bench: &Bench, cell: &Cell) -> anyhow::Result<Found> {
    let broker = bench.start(cell)?;
    let mut found = Found::default();
    for (connections, topic, what) in
        [(1, "single-1", "1 connection: "), (50, "single-50", "50 connections: ")]
    {
        let moved = bench.produce(&Produce {
            target: bench.topic(&broker, topic, bulk::PARTITIONS)?,
            sending: Sending::SINGLE,
            record: bulk::KIB,
            connections,
            warm_up: bench.amount(100_000, 2_000),
            records: bench.amount(200_000, 5_000),
            seconds_max: Some(bench.amount(SECONDS_MAX, 2)),
        })?;
        bulk::add(&mut found, what, &moved);
    }
    Ok(found)
}
