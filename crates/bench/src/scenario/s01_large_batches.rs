//! 1: records of 1 KiB in batches of up to 1 MB, in the page cache.

use super::bulk::{self, PER_CORE};
use super::{Bound, Cell, Goal, Scenario};
use crate::bench::Bench;
use crate::figures::Found;

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
    bulk::large_batches(bench, &broker)
}
