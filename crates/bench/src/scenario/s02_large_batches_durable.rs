//! 2: as 1, acknowledged after the sync. Kafka with a sync for each batch stands beside it for
//! those who want the same promise of both; the goals compare with Kafka's page cache.

use super::bulk::{self, PER_CORE, PREPARED_PER_SECOND};
use super::{Bound, Cell, Goal, Scenario, Subject, limits};
use crate::bench::Bench;
use crate::figures::Found;

pub(super) const SCENARIO: Scenario = Scenario {
    number: 2,
    name: "large-batches-durable",
    about: "the same, durable",
    cells: &[Cell::OTTLA_DURABLE, Cell::KAFKA, Cell::KAFKA_DURABLE, Cell::LIMIT],
    goals: &[
        Goal { cell: "ottla, durable", figure: PER_CORE, bound: Bound::TimesAtLeast(4.0, "kafka") },
        // Of prepared bytes: librdkafka fills a core before the broker does.
        Goal {
            cell: "ottla, durable",
            figure: PREPARED_PER_SECOND,
            bound: Bound::TimesAtLeast(3.0, "kafka"),
        },
    ],
    run,
};

fn run(bench: &Bench, cell: &Cell) -> anyhow::Result<Found> {
    if cell.subject == Subject::Limit {
        return limits::writing(bench, true);
    }
    let broker = bench.start(cell)?;
    bulk::large_batches(bench, &broker)
}
