//! 5: latency under a fixed rate, in the page cache.

use super::{Bound, Cell, Goal, Scenario, Subject, limits, paced};
use crate::bench::Bench;
use crate::figures::Found;

const fn tenth(figure: &'static str) -> Goal {
    Goal { cell: "ottla, os", figure, bound: Bound::TimesAtMost(0.1, "kafka") }
}

pub(super) const SCENARIO: Scenario = Scenario {
    number: 5,
    name: "latency",
    about: "open loop: 1,000, 5,000 and 20,000 records/s of 1 KiB, one partition, os",
    cells: &[Cell::OTTLA_OS, Cell::KAFKA, Cell::LIMIT],
    goals: &[
        tenth("1,000/s: ack p99, ms"),
        tenth("1,000/s: ack p99.9, ms"),
        tenth("1,000/s: end to end p99, ms"),
        tenth("1,000/s: end to end p99.9, ms"),
        tenth("5,000/s: ack p99, ms"),
        tenth("5,000/s: ack p99.9, ms"),
        tenth("5,000/s: end to end p99, ms"),
        tenth("5,000/s: end to end p99.9, ms"),
        tenth("20,000/s: ack p99, ms"),
        tenth("20,000/s: ack p99.9, ms"),
        tenth("20,000/s: end to end p99, ms"),
        tenth("20,000/s: end to end p99.9, ms"),
    ],
    run,
};

fn run(bench: &Bench, cell: &Cell) -> anyhow::Result<Found> {
    if cell.subject == Subject::Limit {
        return limits::paced(bench, false);
    }
    let broker = bench.start(cell)?;
    paced::one_partition(bench, &broker)
}
