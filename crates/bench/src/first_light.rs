//! First light: start to first acknowledged record, idle memory and CPU, and records of 1 KiB in
//! large batches per core-second of the broker's own CPU time, beside Apache Kafka.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ottla_interop::broker::{Broker, Kind};

use crate::driver::{self, Client};
use crate::figures::Figures;
use crate::process;

const TOPIC: &str = "bench";
const PARTITIONS: i32 = 16;
const CONNECTIONS: i32 = 4;
const IN_FLIGHT: usize = 5;
/// Records of 1 KiB in a batch of just under 1 MB, Kafka's largest by default.
const BATCH_RECORDS: u64 = 950;
const RECORD_BYTES: usize = 1024;
const BROKER_CORE: u32 = 0;
const DRIVER_CORE: u32 = 1;
const IDLE: Duration = Duration::from_secs(10);

/// One broker's figures over the runs.
#[derive(Default)]
struct Measured {
    first_ack_ms: Figures,
    per_core_second: Figures,
    wall: Figures,
    idle_mib: Figures,
    idle_cpu_percent: Figures,
}

/// The cells: name, kind of broker, settings.
fn cells(with_kafka: bool) -> Vec<(&'static str, Kind, Vec<&'static str>)> {
    let mut cells = vec![
        ("ottla, durable", Kind::Ottla, vec![]),
        ("ottla, os", Kind::Ottla, vec!["flush.mode=os"]),
    ];
    if with_kafka {
        cells.push(("kafka 4.4.0", Kind::Kafka, vec![]));
    }
    cells
}

/// Runs everything and prints a table.
pub(crate) fn run(records: u64, runs: usize, with_kafka: bool) -> anyhow::Result<()> {
    process::pin(std::process::id(), DRIVER_CORE)?;
    let batch = driver::batch(BATCH_RECORDS, RECORD_BYTES)?;
    let cells = cells(with_kafka);
    let mut measured: Vec<Measured> = cells.iter().map(|_| Measured::default()).collect();
    for run in 1..=runs {
        for ((name, kind, settings), measured) in cells.iter().zip(&mut measured) {
            eprintln!("run {run} of {runs}: {name}");
            one(kind, settings, &batch, records, measured).with_context(|| (*name).to_owned())?;
        }
    }
    print(&cells, &measured);
    Ok(())
}

fn one(
    kind: &Kind,
    settings: &[&str],
    batch: &bytes::Bytes,
    records: u64,
    measured: &mut Measured,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let broker = Broker::start_as(kind.clone(), settings)?;
    let pid = broker.pid()?;
    let mut client = Client::connect(broker.address())?;
    client.create_topic("first", 1)?;
    let single = driver::batch(1, 100)?;
    client.produce("first", 0, &single)?;
    client.expect_produced()?;
    measured.first_ack_ms.push(started.elapsed().as_secs_f64() * 1000.0);

    let before = process::cpu_seconds(pid)?;
    thread::sleep(IDLE);
    let idle = process::cpu_seconds(pid)? - before;
    measured.idle_cpu_percent.push(idle / IDLE.as_secs_f64() * 100.0);
    measured.idle_mib.push(process::resident_kib(pid)? as f64 / 1024.0);

    process::pin(pid, BROKER_CORE)?;
    client.create_topic(TOPIC, PARTITIONS)?;
    // Warm: caches, and a JVM's compiler.
    load(&broker, batch, records / 2)?;
    let (cpu, clock) = (process::cpu_seconds(pid)?, Instant::now());
    let sent = load(&broker, batch, records)?;
    let (cpu, wall) = (process::cpu_seconds(pid)? - cpu, clock.elapsed());
    measured.per_core_second.push(sent as f64 / cpu / 1000.0);
    measured.wall.push(sent as f64 / wall.as_secs_f64() / 1000.0);

    let expected = sent + load_size(records / 2);
    let found = client.count(TOPIC, PARTITIONS)?.context("the topic has no leaders")?;
    ensure!(u64::try_from(found)? == expected, "{found} records are there, {expected} were sent");
    Ok(())
}

/// Records that are sent when about `records` are asked for: whole batches on each connection.
fn load_size(records: u64) -> u64 {
    batches_each(records) * u64::from(CONNECTIONS.unsigned_abs()) * BATCH_RECORDS
}

fn batches_each(records: u64) -> u64 {
    (records / BATCH_RECORDS / u64::from(CONNECTIONS.unsigned_abs())).max(1)
}

/// Sends about `records`; gives how many.
fn load(broker: &Broker, batch: &bytes::Bytes, records: u64) -> anyhow::Result<u64> {
    let share = PARTITIONS / CONNECTIONS;
    let address = broker.address();
    let count = batches_each(records);
    thread::scope(|scope| {
        let senders: Vec<_> = (0..CONNECTIONS)
            .map(|index| {
                let own = index * share..(index + 1) * share;
                scope.spawn(move || driver::produce(address, TOPIC, own, batch, count, IN_FLIGHT))
            })
            .collect();
        senders.into_iter().try_for_each(|sender| {
            sender.join().map_err(|_| anyhow::anyhow!("a sender has panicked"))?
        })
    })?;
    Ok(load_size(records))
}

#[expect(clippy::print_stdout, reason = "the figures are the program's result")]
fn print(cells: &[(&str, Kind, Vec<&str>)], measured: &[Measured]) {
    println!("median (lowest to highest); broker pinned to one core, driver to another");
    type Column = (&'static str, fn(&Measured) -> &Figures);
    let columns: [Column; 5] = [
        ("start to first ack, ms", |m| &m.first_ack_ms),
        ("idle resident, MiB", |m| &m.idle_mib),
        ("idle CPU, %", |m| &m.idle_cpu_percent),
        ("1 KiB records per broker core-second, thousands", |m| &m.per_core_second),
        ("1 KiB records per second, thousands", |m| &m.wall),
    ];
    for (title, figures) in columns {
        println!("{title}");
        let kafka = cells.iter().position(|(_, kind, _)| *kind == Kind::Kafka);
        let kafka = kafka.and_then(|index| measured.get(index)).map(|m| figures(m).median());
        for ((name, ..), measured) in cells.iter().zip(measured) {
            let figures = figures(measured);
            let ratio = kafka.map(|kafka| figures.median() / kafka);
            let ratio = ratio.map(|ratio| format!("  {ratio:.2} x Kafka")).unwrap_or_default();
            println!("  {name:<16} {figures}{ratio}");
        }
    }
}
