//! Throughput: what scenarios with a saturating producer have in common. Must not know their
//! cells and goals.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use ottla_interop::{program, repository};

use crate::bench::{Bench, DRIVER_CORE};
use crate::broker::Broker;
use crate::figures::Found;
use crate::load::{Fill, Moved, Produce, Record, Sending, Target};
use crate::report::LOAD_BUSY;
use crate::{process, wire};

pub(super) use crate::wire::BATCH_RECORDS;

pub(super) const PER_CORE: &str = "records per broker core-second, thousands";
pub(super) const PREPARED_PER_CORE: &str =
    "prepared bytes: records per broker core-second, thousands";
pub(super) const PREPARED_PER_SECOND: &str = "prepared bytes: records per second, thousands";

/// Of the large batches.
pub(super) const KIB: Record = Record { bytes: 1024, fill: Fill::Random };
pub(super) const PARTITIONS: u32 = 16;
pub(super) const CONNECTIONS: u32 = 4;
pub(super) const IN_FLIGHT: usize = 5;
const TOOL_LIMIT: Duration = Duration::from_secs(1800);

/// Records of 1 KiB in large batches: by librdkafka, which costs a core more than the broker does,
/// and as prepared bytes, which cost next to nothing.
pub(super) fn large_batches(bench: &Bench, broker: &Broker) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let moved = bench.produce(&Produce {
        target: bench.topic(broker, "large", PARTITIONS)?,
        sending: Sending::BULK,
        record: KIB,
        connections: CONNECTIONS,
        warm_up: bench.amount(1_000_000, 20_000),
        records: bench.amount(2_000_000, 40_000),
        seconds_max: None,
    })?;
    add(&mut found, "", &moved);
    let moved = prepared(bench, broker)?;
    add(&mut found, "prepared bytes: ", &moved);
    Ok(found)
}

/// The figures of one load; `what` stands before their names.
pub(super) fn add(found: &mut Found, what: &str, moved: &Moved) {
    found.add(format!("{what}{PER_CORE}"), moved.per_core_second());
    found.add(format!("{what}records per second, thousands"), moved.per_second());
    found.add(format!("{what}broker's core busy, %"), moved.broker_busy());
    if moved.driver_cpu_seconds.is_finite() {
        found.add(format!("{what}{LOAD_BUSY}"), moved.driver_busy());
    }
}

/// CPU and wall times around something that moves records.
struct Around<'a> {
    broker: &'a Broker,
    begun: Instant,
    broker_cpu: f64,
}

impl<'a> Around<'a> {
    fn begin(broker: &'a Broker) -> anyhow::Result<Self> {
        Ok(Self { broker, broker_cpu: broker.cpu_seconds()?, begun: Instant::now() })
    }

    fn end(self, records: u64, in_topic: u64, driver_cpu_seconds: f64) -> anyhow::Result<Moved> {
        let wall_seconds = self.begun.elapsed().as_secs_f64();
        let broker_cpu_seconds = self.broker.cpu_seconds()? - self.broker_cpu;
        Ok(Moved { records, in_topic, wall_seconds, broker_cpu_seconds, driver_cpu_seconds })
    }
}

/// The same batch of prepared bytes again and again, counted afterwards.
fn prepared(bench: &Bench, broker: &Broker) -> anyhow::Result<Moved> {
    let target = bench.topic(broker, "prepared", PARTITIONS)?;
    let batch = wire::batch(BATCH_RECORDS, KIB.bytes)?;
    let each = |records: u64| (records / BATCH_RECORDS / u64::from(CONNECTIONS)).max(1);
    let sent = |batches: u64| batches * BATCH_RECORDS * u64::from(CONNECTIONS);
    let warm_up = each(bench.amount(500_000, 10_000));
    let batches = each(bench.amount(3_000_000, 100_000));
    send_prepared(&target, &batch, warm_up)?;
    let own = process::cpu_seconds(std::process::id())?;
    let around = Around::begin(broker)?;
    send_prepared(&target, &batch, batches)?;
    let own = process::cpu_seconds(std::process::id())? - own;
    let moved = around.end(sent(batches), sent(batches) + sent(warm_up), own)?;
    bench.count_back(&target, moved.in_topic, KIB.bytes)?;
    Ok(moved)
}

fn send_prepared(target: &Target, batch: &Bytes, batches: u64) -> anyhow::Result<()> {
    let share = i32::try_from(PARTITIONS / CONNECTIONS)?;
    let (address, topic) = (&target.bootstrap, &target.topic);
    thread::scope(|scope| {
        let senders: Vec<_> = (0..i32::try_from(CONNECTIONS)?)
            .map(|index| {
                let own = index * share..(index + 1) * share;
                scope.spawn(move || wire::produce(address, topic, own, batch, batches, IN_FLIGHT))
            })
            .collect();
        senders.into_iter().try_for_each(|sender| {
            sender.join().map_err(|_| anyhow::anyhow!("a sender has panicked"))?
        })
    })
}

/// Apache Kafka's `kafka-producer-perf-test`, one producer with its own defaults but for the
/// batches; its start counts on the broker's side, which does nothing meanwhile.
pub(super) fn perf_test(bench: &Bench, broker: &Broker) -> anyhow::Result<Moved> {
    let target = bench.topic(broker, "perf-test", PARTITIONS)?;
    let records = bench.amount(2_000_000, 20_000);
    let mut tool = Command::new("taskset");
    tool.args(["--cpu-list", &DRIVER_CORE.to_string()]).arg(repository::installed("java")?);
    tool.args(["-Xmx512M", "-XX:+UseG1GC", "-cp", &repository::tool_classes()?]);
    tool.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=error");
    tool.arg("org.apache.kafka.tools.ProducerPerformance");
    tool.args(["--bootstrap-server", &target.bootstrap, "--topic", &target.topic]);
    tool.args(["--num-records", &records.to_string(), "--throughput", "-1"]);
    tool.args(["--record-size", &KIB.bytes.to_string(), "--command-property", "acks=all"]);
    tool.arg(format!("batch.size={}", Sending::BULK.batch_bytes));
    tool.arg(format!("linger.ms={}", Sending::BULK.linger_ms));
    let around = Around::begin(broker)?;
    let said = program::run(&mut tool, TOOL_LIMIT)?.text();
    let mut moved = around.end(records, records, f64::NAN)?;
    let per_second = per_second(&said).with_context(|| format!("no rate in\n{said}"))?;
    moved.wall_seconds = records as f64 / per_second;
    bench.count_back(&target, records, KIB.bytes)?;
    Ok(moved)
}

/// From the last line: `N records sent, R records/sec (M MB/sec), …`.
fn per_second(said: &str) -> Option<f64> {
    let line = said.lines().rfind(|line| line.contains(" records/sec"))?;
    let (before, _) = line.split_once(" records/sec")?;
    before.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::per_second;

    #[test]
    fn the_rate_is_in_the_last_line() {
        let said = "100 records sent, 20.0 records/sec (0.02 MB/sec), 4.0 ms avg latency\n\
                    2000 records sent, 12345.678 records/sec (12.06 MB/sec), 4.0 ms avg latency, \
                    5.00 ms max latency, 4 ms 50th, 5 ms 95th, 5 ms 99th, 5 ms 99.9th.\n";
        assert_eq!(per_second(said), Some(12345.678));
        assert_eq!(per_second("nothing"), None);
    }
}
