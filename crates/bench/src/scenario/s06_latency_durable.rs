//! 6: latency under a fixed rate, acknowledged after the sync. Kafka that syncs each batch cannot
//! keep up with 5,000 records a second, so it is compared with its page cache.

use super::{Bound, Cell, Goal, Scenario, Subject, limits, paced};
use crate::bench::Bench;
use crate::figures::Found;

pub(super) const SCENARIO: Scenario = Scenario {
    number: 6,
    name: "latency-durable",
    about: "the same, durable; Kafka in its page cache",
    cells: &[Cell::OTTLA_DURABLE, Cell::KAFKA, Cell::LIMIT],
    goals: &[
        Goal {
            cell: "ottla, durable",
            figure: "5,000/s: ack p99, ms",
            bound: Bound::TimesAtMost(0.333, "kafka"),
        },
        // All but what the last acknowledgement came late.
        Goal {
            cell: "ottla, durable",
            figure: "20,000/s: reached, records/s",
            bound: Bound::AtLeast(19_800.0),
        },
    ],
    run,
};

fn run(bench: &Bench, cell: &Cell) -> anyhow::Result<Found> {
    if cell.subject == Subject::Limit {
        return limits::paced(bench, true);
    }
    let broker = bench.start(cell)?;
    paced::one_partition(bench, &broker)
}
