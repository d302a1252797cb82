//! 12: start to the first acknowledgement, idling, a clean stop, and a start after `kill -9`. On
//! all cores: this is how a broker is started.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::{Bound, Cell, Goal, Scenario};
use crate::bench::Bench;
use crate::figures::Found;
use crate::recovery::Filled;
use crate::wire::{self, Client};

const FIRST_ACK: &str = "start to first ack, ms";
const IDLE_MEMORY: &str = "idle: resident, MiB";
const IDLE_CPU: &str = "idle: CPU, % of a core";
const STOP: &str = "clean stop, s";
const RECOVERED: &str = "kill -9 with 10 GB, start to first ack, s";

const fn at_most(figure: &'static str, bound: f64) -> Goal {
    Goal { cell: "ottla, durable", figure, bound: Bound::AtMost(bound) }
}

pub(super) const SCENARIO: Scenario = Scenario {
    number: 12,
    name: "start-and-stop",
    about: "start to first ack; idle; clean stop; kill -9 with 10 GB and restart to first ack",
    cells: &[Cell::OTTLA_DURABLE, Cell::KAFKA],
    goals: &[
        at_most(FIRST_ACK, 50.0),
        at_most(IDLE_MEMORY, 20.0),
        at_most(IDLE_CPU, 0.1),
        at_most(STOP, 0.5),
        at_most(RECOVERED, 1.0),
    ],
    run,
};

fn run(bench: &Bench, cell: &Cell) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let mut broker = bench.prepare(cell, &[])?;
    let begun = Instant::now();
    broker.launch(None)?;
    let mut client = Client::connect(broker.address())?;
    client.create_topic("first", 1)?;
    client.produce("first", 0, &wire::batch(1, 100)?)?;
    client.expect_produced()?;
    found.add(FIRST_ACK, begun.elapsed().as_secs_f64() * 1000.0);

    // What a start leaves to do is done; the connection stays open.
    thread::sleep(Duration::from_secs(bench.amount(5, 0)));
    let idle = Duration::from_secs(bench.amount(20, 1));
    let before = broker.cpu_seconds()?;
    thread::sleep(idle);
    let used = broker.cpu_seconds()? - before;
    found.add(IDLE_CPU, used / idle.as_secs_f64() * 100.0);
    found.add(IDLE_MEMORY, broker.resident_mib()?);
    ensure!(client.count("first", 1)? == Some(1), "the first record is gone");
    found.add(STOP, broker.stop()?.as_secs_f64());

    broker.launch(None)?;
    broker.await_port()?;
    let filled = Filled::fill(&broker, bench.amount(10_000, 200))?;
    filled.kill_while_writing(&mut broker)?;
    let begun = Instant::now();
    broker.launch(None)?;
    let mut client = filled.first_ack(&broker)?;
    found.add(RECOVERED, begun.elapsed().as_secs_f64());
    filled.read_back(bench, &broker, &mut client)?;
    Ok(found)
}
