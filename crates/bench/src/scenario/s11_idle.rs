//! 11: many partitions that get little, many that get nothing, and many connections that say
//! nothing: what they cost in memory and CPU time.

use std::thread;
use std::time::Duration;

use anyhow::ensure;
use ottla_protocol::{ApiVersionsRequest, ApiVersionsResponse};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Bound, Cell, Goal, Scenario, bulk};
use crate::bench::Bench;
use crate::broker::Broker;
use crate::figures::Found;
use crate::load::{OpenLoop, Sending};
use crate::report::LOAD_BUSY;
use crate::wire::Client;

const BUSY_PARTITIONS: u64 = 1_000;
const EACH_PER_SECOND: u64 = 20;
const IDLE_PARTITIONS: u64 = 10_000;
/// One request may make 10,000 records, here and in Kafka.
const TOPIC_PARTITIONS_MAX: u64 = 5_000;
const IDLE_CONNECTIONS: u64 = 5_000;
/// Files that this process has open besides its connections, at most.
const OTHER_FILES: u64 = 200;

const fn tenth(figure: &'static str) -> Goal {
    Goal { cell: "ottla, durable", figure, bound: Bound::TimesAtMost(0.1, "kafka") }
}

pub(super) const SCENARIO: Scenario = Scenario {
    number: 11,
    name: "many-and-idle",
    about: "1,000 partitions with 20 records/s of 1 KiB each; 10,000 idle partitions; 5,000 idle \
            connections",
    cells: &[Cell::OTTLA_DURABLE, Cell::OTTLA_OS, Cell::KAFKA],
    goals: &[
        tenth("1,000 partitions x 20/s: resident, MiB"),
        tenth("1,000 partitions x 20/s: CPU, % of a core"),
        tenth("10,000 idle partitions: resident, MiB"),
        tenth("10,000 idle partitions: CPU, % of a core"),
        tenth("5,000 idle connections: resident, MiB"),
        tenth("5,000 idle connections: CPU, % of a core"),
    ],
    run,
};

fn run(bench: &Bench, cell: &Cell) -> anyhow::Result<Found> {
    raise_open_files(bench.amount(IDLE_CONNECTIONS, 500) + OTHER_FILES)?;
    let mut found = Found::default();
    busy_partitions(bench, cell, &mut found)?;
    let broker = bench.start(cell)?;
    idle(bench, &broker, "nothing", &mut found)?;
    let partitions = bench.amount(IDLE_PARTITIONS, 500);
    for first in (0..partitions).step_by(usize::try_from(TOPIC_PARTITIONS_MAX)?) {
        let count = (partitions - first).min(TOPIC_PARTITIONS_MAX);
        bench.topic(&broker, &format!("idle-{first}"), u32::try_from(count)?)?;
    }
    idle(bench, &broker, "10,000 idle partitions", &mut found)?;
    drop(broker);
    idle_connections(bench, cell, &mut found)?;
    Ok(found)
}

fn busy_partitions(bench: &Bench, cell: &Cell, found: &mut Found) -> anyhow::Result<()> {
    let broker = bench.start(cell)?;
    let partitions = u32::try_from(bench.amount(BUSY_PARTITIONS, 100))?;
    let job = OpenLoop {
        target: bench.topic(&broker, "busy", partitions)?,
        sending: Sending::PROMPT,
        record: bulk::KIB,
        connections: 1,
        consumers: 0,
        shared_out: false,
        rate: u64::from(partitions) * EACH_PER_SECOND,
        warm_up_seconds: bench.amount(20, 1),
        seconds: bench.amount(30, 2),
    };
    let timed = bench.load().open_loop(&job, LIMIT)?;
    let what = "1,000 partitions x 20/s: ";
    found.add(format!("{what}resident, MiB"), broker.resident_mib()?);
    found.add(format!("{what}CPU, % of a core"), timed.moved.broker_busy());
    found.add(format!("{what}ack p99, ms"), timed.ack.p99 as f64 / 1000.0);
    found.add(format!("{what}reached, records/s"), timed.moved.per_second() * 1000.0);
    found.add(format!("{what}{LOAD_BUSY}"), timed.moved.driver_busy());
    bench.read_back(&job.target, timed.moved.in_topic, job.record.bytes)
}

const LIMIT: Duration = Duration::from_secs(600);

fn idle_connections(bench: &Bench, cell: &Cell, found: &mut Found) -> anyhow::Result<()> {
    let broker = bench.start(cell)?;
    let connect = |_| {
        let mut client = Client::connect(broker.address())?;
        ask(&mut client)?;
        anyhow::Ok(client)
    };
    let count = bench.amount(IDLE_CONNECTIONS, 500);
    let mut clients = (0..count).map(connect).collect::<anyhow::Result<Vec<_>>>()?;
    idle(bench, &broker, "5,000 idle connections", found)?;
    // Nobody was thrown out.
    clients.iter_mut().try_for_each(ask)
}

/// What every client asks first.
fn ask(client: &mut Client) -> anyhow::Result<()> {
    client.send(0, &ApiVersionsRequest::default())?;
    let answer: ApiVersionsResponse = client.receive(0, 0)?;
    ensure!(answer.error_code == 0, "ApiVersions: error {}", answer.error_code);
    Ok(())
}

/// Memory and CPU time of a broker that is asked nothing.
fn idle(bench: &Bench, broker: &Broker, what: &str, found: &mut Found) -> anyhow::Result<()> {
    // What was begun before is done by then.
    thread::sleep(Duration::from_secs(bench.amount(5, 0)));
    let idle = Duration::from_secs(bench.amount(20, 1));
    let before = broker.cpu_seconds()?;
    thread::sleep(idle);
    let used = broker.cpu_seconds()? - before;
    found.add(format!("{what}: resident, MiB"), broker.resident_mib()?);
    found.add(format!("{what}: CPU, % of a core"), used / idle.as_secs_f64() * 100.0);
    Ok(())
}

/// Of this process, and of the brokers that it starts from now on.
fn raise_open_files(least: u64) -> anyhow::Result<()> {
    let granted = getrlimit(Resource::Nofile).maximum;
    ensure!(
        granted.is_none_or(|granted| granted >= least),
        "the system grants {granted:?} open files; {least} are needed"
    );
    Ok(setrlimit(Resource::Nofile, Rlimit { current: granted, maximum: granted })?)
}
