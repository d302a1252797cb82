//! Compaction: how much latency of producing it costs while it runs. The same open loop on a topic
//! of its own, alone and while a log of many keys is compacted for the first time.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use ottla_protocol::StrBytes;
use ottla_protocol::k44_incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use ottla_records::{BatchBuilder, BatchOptions};

use crate::bench::Bench;
use crate::broker::Broker;
use crate::load::{Fill, OpenLoop, Record, Sending, Timed};
use crate::report::tell;
use crate::scenario::Cell;
use crate::wire::{self, Client};

const TOPIC: &str = "compacted";
/// The resource type of topics.
const TOPIC_RESOURCE: i8 = 2;
const RECORD_BYTES: usize = 512;
/// So many records make just under 1 MB.
const BATCH_RECORDS: u64 = 1_900;
const RATE: u64 = 5_000;
const WARM_UP_SECONDS: u64 = 5;
const SECONDS: u64 = 15;
/// Compaction looks for work every 15 seconds by default.
const BEGIN_LIMIT: Duration = Duration::from_secs(60);
const END_LIMIT: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_millis(20);

/// How much there is to compact.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// GiB of records of 512 bytes.
    #[arg(long, default_value_t = 8)]
    gib: u64,
    /// Different keys; each record has the next one.
    #[arg(long, default_value_t = 2_000_000)]
    keys: u64,
    /// Only Ottla: nothing to compare with, but quick.
    #[arg(long)]
    alone: bool,
}

/// Measures each broker and prints what was found.
pub(crate) fn run(bench: &Bench, options: &Options) -> anyhow::Result<()> {
    ensure!(options.keys > 0, "no keys");
    one(bench, &Cell::OTTLA_DURABLE, options)?;
    one(bench, &Cell::OTTLA_OS, options)?;
    if options.alone {
        return Ok(());
    }
    one(bench, &Cell::KAFKA, options)
}

fn one(bench: &Bench, cell: &Cell, options: &Options) -> anyhow::Result<()> {
    let broker = bench.start(cell)?;
    let mut client = Client::connect(broker.address())?;
    client.create_topic(TOPIC, 1)?;
    alter(&mut client, "segment.bytes", &(100 << 20).to_string())?;
    let records = fill(&mut client, (options.gib << 30) / RECORD_BYTES as u64, options.keys)?;
    let quiet = produce(bench, &broker, "quiet")?;

    alter(&mut client, "cleanup.policy", "compact")?;
    let log = Compacted(broker.data().join(format!("{TOPIC}-0")));
    await_that(BEGIN_LIMIT, "compaction has not begun", || log.is_running())?;
    let (begun, cpu) = (Instant::now(), broker.cpu_seconds()?);
    let (beside, seconds) = thread::scope(|scope| {
        let running = scope.spawn(|| {
            await_that(END_LIMIT, "compaction does not end", || log.has_ended())?;
            anyhow::Ok((begun.elapsed().as_secs_f64(), broker.cpu_seconds()? - cpu))
        });
        let beside = produce(bench, &broker, "beside")?;
        let ended = running.join().map_err(|_| anyhow::anyhow!("the observer has panicked"))?;
        anyhow::Ok((beside, ended?))
    })?;
    let (took, used) = seconds;
    let measured = (WARM_UP_SECONDS + SECONDS) as f64;
    let ms = |micros: u64| micros as f64 / 1000.0;
    tell(&format!(
        "{}: {} GiB, {records} records, {} keys; {RATE} records/s of 1 KiB beside",
        cell.name, options.gib, options.keys
    ));
    tell(&format!("  compaction                {took:>9.1} s, the broker's CPU {used:.1} s"));
    for (what, timed) in [("alone", &quiet), ("while compacting", &beside)] {
        let (p50, p99, p999) = (ms(timed.ack.p50), ms(timed.ack.p99), ms(timed.ack.p999));
        tell(&format!("  ack {what:<17} p50 {p50:>9.2} ms, p99 {p99:.2} ms, p99.9 {p999:.2} ms"));
    }
    let times = beside.ack.p99 as f64 / quiet.ack.p99 as f64;
    tell(&format!("  p99, times that alone     {times:>9.2}"));
    ensure!(
        bench.short || took >= measured,
        "compaction ended after {took:.1} s, the load needs {measured:.0}: give it more GiB"
    );
    Ok(())
}

fn produce(bench: &Bench, broker: &Broker, topic: &str) -> anyhow::Result<Timed> {
    bench.open_loop(&OpenLoop {
        target: bench.topic(broker, topic, 1)?,
        sending: Sending::PROMPT,
        record: Record { bytes: 1024, fill: Fill::Random },
        connections: 1,
        consumers: 0,
        shared_out: false,
        rate: RATE,
        warm_up_seconds: WARM_UP_SECONDS,
        seconds: SECONDS,
    })
}

fn alter(client: &mut Client, name: &'static str, value: &str) -> anyhow::Result<()> {
    let config = AlterableConfig {
        name: StrBytes::from_static(name),
        value: Some(StrBytes::from(value)),
        ..Default::default()
    };
    let resource = AlterConfigsResource {
        resource_type: TOPIC_RESOURCE,
        resource_name: StrBytes::from_static(TOPIC),
        configs: vec![config],
        ..Default::default()
    };
    client.alter_configs(vec![resource])
}

/// Sends at least `records`, keys in turn; gives how many.
fn fill(client: &mut Client, records: u64, keys: u64) -> anyhow::Result<u64> {
    const IN_FLIGHT: u64 = 5;
    let batches = records.div_ceil(BATCH_RECORDS);
    for number in 0..batches {
        if number >= IN_FLIGHT {
            client.expect_produced()?;
        }
        client.produce(TOPIC, 0, &keyed(number * BATCH_RECORDS, keys)?)?;
    }
    for _ in 0..batches.min(IN_FLIGHT) {
        client.expect_produced()?;
    }
    Ok(batches * BATCH_RECORDS)
}

/// A batch of records whose keys begin with that of number `first`.
fn keyed(first: u64, keys: u64) -> anyhow::Result<Bytes> {
    let mut builder = BatchBuilder::new(BatchOptions::default())?;
    let now = wire::now()?;
    let mut value = vec![0x5a; RECORD_BYTES];
    for number in first..first + BATCH_RECORDS {
        if let Some(front) = value.first_chunk_mut::<8>() {
            *front = number.to_be_bytes();
        }
        builder.append(now, Some(&(number % keys).to_be_bytes()), Some(&value), &[])?;
    }
    Ok(Bytes::from(builder.build()?))
}

/// The directory of a log that is compacted.
#[derive(Debug)]
struct Compacted(PathBuf);

impl Compacted {
    /// A segment is being rewritten.
    fn is_running(&self) -> anyhow::Result<bool> {
        let ends = |path: &Path| path.extension().is_some_and(|ending| ending == "cleaned");
        for entry in std::fs::read_dir(&self.0)? {
            if ends(&entry?.path()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The directory's checkpoint speaks of the log.
    fn has_ended(&self) -> anyhow::Result<bool> {
        let root = self.0.parent().context("a log has a directory above it")?;
        let known = std::fs::read_to_string(root.join("cleaner-offset-checkpoint"));
        let ends =
            |line: &str| line.strip_prefix(&format!("{TOPIC} 0 ")).is_some_and(|at| at != "0");
        Ok(known.unwrap_or_default().lines().any(ends))
    }
}

fn await_that(
    limit: Duration,
    otherwise: &str,
    mut holds: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let end = Instant::now() + limit;
    while !holds()? {
        ensure!(Instant::now() < end, "{otherwise}");
        thread::sleep(LOOK);
    }
    Ok(())
}
