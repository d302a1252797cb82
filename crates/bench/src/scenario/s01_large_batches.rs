//! 1: records of 1 KiB in batches of up to 1 MB, in the page cache; Apache Kafka's own tool as a
//! cross-check.

use super::bulk::{self, PER_CORE, PREPARED_PER_CORE};
use super::{Bound, Cell, Goal, Scenario, Subject, limits};
use crate::bench::Bench;
use crate::figures::Found;

pub(super) const SCENARIO: Scenario = Scenario {
    number: 1,
    name: "large-batches",
    about: "records of 1 KiB, 16 partitions, 4 connections, batches of up to 1 MB, acks=all, os",
    cells: &[Cell::OTTLA_OS, Cell::KAFKA, Cell::LIMIT],
    goals: &[
        Goal { cell: "ottla, os", figure: PER_CORE, bound: Bound::TimesAtLeast(5.0, "kafka") },
        Goal {
            cell: "ottla, os",
            figure: PREPARED_PER_CORE,
            bound: Bound::TimesAtLeast(0.8, "limit"),
        },
    ],
    run,
};

fn run(bench: &Bench, cell: &Cell) -> anyhow::Result<Found> {
    if cell.subject == Subject::Limit {
        return limits::writing(bench, false);
    }
    let broker = bench.start(cell)?;
    let mut found = bulk::large_batches(bench, &broker)?;
    bulk::add(&mut found, "producer-perf-test: ", &bulk::perf_test(bench, &broker)?);
    Ok(found)
}
