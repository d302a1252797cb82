//! 8: many consumers at the tail of one partition, each of which gets every record by long polls.

use super::{Bound, Cell, Goal, Scenario, bulk, paced};
use crate::bench::Bench;
use crate::figures::Found;
use crate::load::{OpenLoop, Sending};

const CONSUMERS: u64 = 200;
const RATE: u64 = 1_000;
const DELIVERED: &str = "records delivered per broker core-second, thousands";

pub(super) const SCENARIO: Scenario = Scenario {
    number: 8,
    name: "tail-consumers",
    about: "200 consumers at the tail of one partition, 1,000 records/s of 1 KiB, fetch long poll",
    cells: &[Cell::OTTLA_OS, Cell::OTTLA_DURABLE, Cell::KAFKA],
    goals: &[
        Goal { cell: "ottla, os", figure: DELIVERED, bound: Bound::TimesAtLeast(8.0, "kafka") },
        Goal {
            cell: "ottla, os",
            figure: "end to end p99, ms",
            bound: Bound::TimesAtMost(0.2, "kafka"),
        },
    ],
    run,
};

fn run(bench: &Bench, cell: &Cell) -> anyhow::Result<Found> {
    let broker = bench.start(cell)?;
    let consumers = bench.amount(CONSUMERS, 20);
    let timed = bench.open_loop(&OpenLoop {
        target: bench.topic(&broker, "tail", 1)?,
        sending: Sending::PROMPT,
        record: bulk::KIB,
        connections: 1,
        consumers: u32::try_from(consumers)?,
        rate: RATE,
        warm_up_seconds: bench.amount(15, 1),
        seconds: bench.amount(30, 2),
    })?;
    let mut found = Found::default();
    let delivered = timed.moved.records * consumers;
    found.add(DELIVERED, delivered as f64 / timed.moved.broker_cpu_seconds / 1000.0);
    paced::add(&mut found, "end to end", &timed.end_to_end);
    paced::add(&mut found, "ack", &timed.ack);
    found.add("broker's core busy, %", timed.moved.broker_busy());
    found.add("load's core busy, %", timed.moved.driver_busy());
    Ok(found)
}
