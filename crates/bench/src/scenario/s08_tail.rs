//! 8: many consumers at the tail, in long polls. With a partition each a record wakes one of them,
//! which is what the goals are about; with one partition for all it wakes every one, and broker and
//! load may both fill their cores: what that costs for a record says little then.

use super::{Bound, Cell, Goal, Scenario, bulk, paced};
use crate::bench::Bench;
use crate::broker::Broker;
use crate::figures::Found;
use crate::load::{OpenLoop, Sending};
use crate::report::LOAD_BUSY;

const CONSUMERS: u64 = 200;
const RATE: u64 = 1_000;
const DELIVERED: &str = "a partition each: records delivered per broker core-second, thousands";

pub(super) const SCENARIO: Scenario = Scenario {
    number: 8,
    name: "tail-consumers",
    about: "200 consumers at the tail, 1,000 records/s of 1 KiB, fetch long poll: a partition \
            each, and one partition that all read",
    cells: &[Cell::OTTLA_OS, Cell::OTTLA_DURABLE, Cell::KAFKA],
    goals: &[
        Goal { cell: "ottla, os", figure: DELIVERED, bound: Bound::TimesAtLeast(8.0, "kafka") },
        Goal {
            cell: "ottla, os",
            figure: "a partition each: end to end p99, ms",
            bound: Bound::TimesAtMost(0.2, "kafka"),
        },
    ],
    run,
};

fn run(bench: &Bench, cell: &Cell) -> anyhow::Result<Found> {
    let broker = bench.start(cell)?;
    let mut found = Found::default();
    tail(bench, &broker, "a partition each: ", true, &mut found)?;
    tail(bench, &broker, "one partition for all: ", false, &mut found)?;
    Ok(found)
}

fn tail(
    bench: &Bench,
    broker: &Broker,
    what: &str,
    shared_out: bool,
    found: &mut Found,
) -> anyhow::Result<()> {
    let consumers = bench.amount(CONSUMERS, 20);
    let count = u32::try_from(consumers)?;
    let (topic, partitions) = if shared_out { ("tails", count) } else { ("tail", 1) };
    let timed = bench.open_loop(&OpenLoop {
        target: bench.topic(broker, topic, partitions)?,
        sending: Sending::PROMPT,
        record: bulk::KIB,
        connections: 1,
        consumers: count,
        shared_out,
        rate: RATE,
        warm_up_seconds: bench.amount(15, 1),
        seconds: bench.amount(30, 2),
    })?;
    let delivered = timed.moved.records * if shared_out { 1 } else { consumers };
    found.add(
        format!("{what}records delivered per broker core-second, thousands"),
        delivered as f64 / timed.moved.broker_cpu_seconds / 1000.0,
    );
    paced::add(found, &format!("{what}end to end"), &timed.end_to_end);
    paced::add(found, &format!("{what}ack"), &timed.ack);
    found.add(format!("{what}broker's core busy, %"), timed.moved.broker_busy());
    found.add(format!("{what}{LOAD_BUSY}"), timed.moved.driver_busy());
    Ok(())
}
