//! Compaction: how fast it is by itself, and how much latency of producing it costs while it runs.
//! The same open loop on topics of their own, alone and while a log of many keys is compacted for
//! the first time, in turn. Files that compaction has replaced are removed within its time, not in
//! the time of the window behind it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use bytes::Bytes;
use ottla_interop::program;
use ottla_protocol::StrBytes;
use ottla_protocol::k44_incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use ottla_records::{BatchBuilder, BatchOptions};

use crate::bench::Bench;
use crate::broker::Broker;
use crate::load::{Fill, OpenLoop, Record, Sending, Timed};
use crate::process;
use crate::report::tell;
use crate::scenario::Cell;
use crate::wire::{self, Client};

/// The resource type of topics.
const TOPIC_RESOURCE: i8 = 2;
const RECORD_BYTES: usize = 512;
/// So many records make just under 1 MB.
const BATCH_RECORDS: u64 = 1_900;
const RATE: u64 = 5_000;
/// Given to every broker: compaction begins soon after it is asked for, files that it has put
/// aside go soon, and the map of keys has the size of the goal (the smallest that Kafka takes).
const SETTINGS: [&str; 2] =
    ["log.cleaner.backoff.ms=500", "log.cleaner.dedupe.buffer.size=67108864"];
const END_LIMIT: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_millis(20);
/// What is in no process's time: the device works off what was written and removed before.
const CALM_LIMIT: Duration = Duration::from_secs(60);
/// It is calm when a sync takes at most so many times what it took before anything was done.
const CALM: f64 = 1.5;
const PROBES: usize = 60;

/// How much there is to compact.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// GiB of records of 512 bytes, for each time that something is compacted.
    #[arg(long, default_value_t = 3)]
    gib: u64,
    /// Different keys; each record has the next one.
    #[arg(long, default_value_t = 2_000_000)]
    keys: u64,
    /// How often producing is measured alone, and while compacting.
    #[arg(long, default_value_t = 5)]
    windows: u32,
    /// Seconds that are measured of each, after one that is not.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How long replaced files are kept (`file.delete.delay.ms`).
    #[arg(long, default_value_t = 1_000)]
    delete_delay_ms: u64,
    /// Only Ottla: nothing to compare with, but quick.
    #[arg(long)]
    alone: bool,
    /// Only Ottla as it ships.
    #[arg(long)]
    durable: bool,
    /// One window of small amounts: shows that it works, measures nothing.
    #[arg(long)]
    pub(crate) short: bool,
}

/// Measures each broker and prints what was found.
pub(crate) fn run(bench: &Bench, options: &Options) -> anyhow::Result<()> {
    ensure!(options.keys > 0 && options.windows > 0 && options.seconds > 0, "nothing to do");
    let cells = [Cell::OTTLA_DURABLE, Cell::OTTLA_OS, Cell::KAFKA];
    let count = match (options.durable, options.alone) {
        (true, _) => 1,
        (false, true) => 2,
        (false, false) => cells.len(),
    };
    cells.iter().take(count).try_for_each(|cell| one(bench, cell, options))
}

/// What there is to do, made smaller where it only shows that it works.
struct Amounts {
    records: u64,
    keys: u64,
    segment_bytes: u64,
    delete_delay_ms: u64,
    windows: u32,
    warm_up_seconds: u64,
    seconds: u64,
}

impl Amounts {
    fn new(bench: &Bench, options: &Options) -> Self {
        let bytes = bench.amount(options.gib << 30, 32 << 20);
        Self {
            records: bytes / RECORD_BYTES as u64,
            keys: bench.amount(options.keys, 10_000),
            segment_bytes: bench.amount(100 << 20, 4 << 20),
            delete_delay_ms: options.delete_delay_ms,
            windows: if bench.short { 1 } else { options.windows },
            warm_up_seconds: 1,
            seconds: bench.amount(options.seconds, 2),
        }
    }
}

fn one(bench: &Bench, cell: &Cell, options: &Options) -> anyhow::Result<()> {
    let amounts = Amounts::new(bench, options);
    let calm = Calm::new(bench)?;
    let broker = bench.start_with(cell, &SETTINGS)?;
    let mut client = Client::connect(broker.address())?;
    tell(&format!(
        "{}: {} records of {RECORD_BYTES} bytes compacted each time, {} keys; {RATE} records/s of \
         1 KiB beside",
        cell.name, amounts.records, amounts.keys
    ));
    let mut fill = |name: &str| Dirty::fill(&mut client, &broker, &amounts, name);
    let by_itself = fill("compacted-by-itself")?;
    let logs = (0..amounts.windows).map(|window| fill(&format!("compacted-{window}")));
    let logs: Vec<Dirty> = logs.collect::<anyhow::Result<_>>()?;
    calm.wait()?;
    let took = by_itself.compact(&mut client, &broker, || Ok(()))?.1;
    tell(&format!(
        "  by itself: {}; resident at most {:.0} MiB",
        took.shown(by_itself.bytes),
        process::resident_most_kib(broker.pid()?)? as f64 / 1024.0
    ));
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for (window, dirty) in logs.iter().enumerate() {
        calm.wait()?;
        let quiet = produce(bench, &broker, &amounts, &format!("quiet-{window}"))?;
        calm.wait()?;
        let name = format!("beside-{window}");
        let (busy, took) =
            dirty.compact(&mut client, &broker, || produce(bench, &broker, &amounts, &name))?;
        tell(&format!("  {}", took.shown(dirty.bytes)));
        for (what, timed) in [("alone", &quiet), ("beside", &busy)] {
            let ms = |micros: u64| micros as f64 / 1000.0;
            let (p50, p99, p999) = (ms(timed.ack.p50), ms(timed.ack.p99), ms(timed.ack.p999));
            tell(&format!(
                "  ack {what:<7} p50 {p50:>7.2} ms, p99 {p99:.2} ms, p99.9 {p999:.2} ms"
            ));
        }
        ensure!(
            bench.short || took.seconds >= (amounts.warm_up_seconds + amounts.seconds) as f64,
            "compaction ended before producing did: give it more GiB"
        );
        alone.push(quiet.ack.p99);
        beside.push(busy.ack.p99);
    }
    let times = median(beside) as f64 / median(alone) as f64;
    tell(&format!("  p99 beside, times that alone (medians): {times:.2}"));
    Ok(())
}

fn median(mut of: Vec<u64>) -> u64 {
    of.sort_unstable();
    of.get(of.len() / 2).copied().unwrap_or_default()
}

/// How long a sync of a small write takes when nobody does anything.
struct Calm {
    file: PathBuf,
    usual: Duration,
}

impl Calm {
    fn new(bench: &Bench) -> anyhow::Result<Self> {
        program::run(&mut Command::new("sync"), END_LIMIT)?;
        let mut calm = Self { file: bench.data().join("calm"), usual: Duration::ZERO };
        calm.usual = calm.probe()?;
        Ok(calm)
    }

    /// Waits until what was written and removed before is over and done with.
    fn wait(&self) -> anyhow::Result<()> {
        program::run(&mut Command::new("sync"), END_LIMIT)?;
        let end = Instant::now() + CALM_LIMIT;
        let mut took = self.probe()?;
        while took > self.usual.mul_f64(CALM) && Instant::now() < end {
            took = self.probe()?;
        }
        let us = |duration: Duration| duration.as_micros();
        tell(&format!("  a sync takes {} us, before {} us", us(took), us(self.usual)));
        Ok(())
    }

    /// The ninth decile of some syncs.
    fn probe(&self) -> anyhow::Result<Duration> {
        let mut file = File::create(&self.file)?;
        let mut took = Vec::with_capacity(PROBES);
        for _ in 0..PROBES {
            thread::sleep(LOOK / 4);
            file.write_all(&[0; 4096])?;
            let begun = Instant::now();
            file.sync_data()?;
            took.push(begun.elapsed());
        }
        took.sort_unstable();
        took.get(PROBES * 9 / 10).copied().context("no probe")
    }
}

fn produce(
    bench: &Bench,
    broker: &Broker,
    amounts: &Amounts,
    topic: &str,
) -> anyhow::Result<Timed> {
    bench.open_loop(&OpenLoop {
        target: bench.topic(broker, topic, 1)?,
        sending: Sending::PROMPT,
        record: Record { bytes: 1024, fill: Fill::Random },
        connections: 1,
        consumers: 0,
        shared_out: false,
        rate: RATE,
        warm_up_seconds: amounts.warm_up_seconds,
        seconds: amounts.seconds,
    })
}

/// What a compaction took.
struct Took {
    seconds: f64,
    cpu_seconds: f64,
}

impl Took {
    fn shown(&self, bytes: u64) -> String {
        let mb = bytes as f64 / 1e6;
        let Self { seconds, cpu_seconds } = self;
        format!(
            "compacted {mb:.0} MB in {seconds:.1} s, the broker's CPU {cpu_seconds:.1} s: \
             {:.0} MB/s, {:.0} MB per core-second",
            mb / seconds,
            mb / cpu_seconds
        )
    }
}

/// A log of many keys that was never compacted.
struct Dirty {
    topic: String,
    folder: PathBuf,
    bytes: u64,
    /// Files that are replaced go within moments.
    removed_soon: bool,
}

impl Dirty {
    fn fill(
        client: &mut Client,
        broker: &Broker,
        amounts: &Amounts,
        topic: &str,
    ) -> anyhow::Result<Self> {
        client.create_topic(topic, 1)?;
        alter(client, topic, "segment.bytes", &amounts.segment_bytes.to_string())?;
        alter(client, topic, "file.delete.delay.ms", &amounts.delete_delay_ms.to_string())?;
        fill(client, topic, amounts.records, amounts.keys)?;
        let folder = broker.data().join(format!("{topic}-0"));
        let mut bytes = 0;
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if ends(&path, "log") {
                bytes += path.metadata()?.len();
            }
        }
        let removed_soon = amounts.delete_delay_ms < 60_000;
        Ok(Self { topic: topic.to_owned(), folder, bytes, removed_soon })
    }

    /// Has it compacted, and does `meanwhile`. Returns when that is done, the log is compacted, and
    /// the files that were replaced are gone.
    fn compact<T>(
        &self,
        client: &mut Client,
        broker: &Broker,
        meanwhile: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, Took)> {
        let end = self.active()?;
        alter(client, &self.topic, "cleanup.policy", "compact")?;
        let (begun, cpu) = (Instant::now(), broker.cpu_seconds()?);
        thread::scope(|scope| {
            let running = scope.spawn(|| {
                await_that("compaction does not end", || Ok(self.clean_up_to()? >= end))?;
                let seconds = begun.elapsed().as_secs_f64();
                let cpu_seconds = broker.cpu_seconds()? - cpu;
                if self.removed_soon {
                    await_that("replaced files do not go", || self.has_no_old())?;
                }
                anyhow::Ok(Took { seconds, cpu_seconds })
            });
            let done = meanwhile()?;
            let took = running.join().map_err(|_| anyhow!("the observer has panicked"))??;
            Ok((done, took))
        })
    }

    /// The base offset of the last segment: everything below can be compacted.
    fn active(&self) -> anyhow::Result<u64> {
        let mut last = 0;
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if ends(&path, "log") {
                let base = path.file_stem().and_then(|stem| stem.to_str()).context("no name")?;
                last = last.max(base.parse()?);
            }
        }
        Ok(last)
    }

    /// What the directory's checkpoint says of the log.
    fn clean_up_to(&self) -> anyhow::Result<u64> {
        let root = self.folder.parent().context("a log has a directory above it")?;
        let known = std::fs::read_to_string(root.join("cleaner-offset-checkpoint"));
        let known = known.unwrap_or_default();
        let start = format!("{} 0 ", self.topic);
        let offset = known.lines().find_map(|line| line.strip_prefix(&start));
        offset.map_or(Ok(0), |offset| Ok(offset.parse()?))
    }

    fn has_no_old(&self) -> anyhow::Result<bool> {
        for entry in std::fs::read_dir(&self.folder)? {
            if ends(&entry?.path(), "deleted") {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn ends(path: &Path, with: &str) -> bool {
    path.extension().is_some_and(|ending| ending == with)
}

fn alter(client: &mut Client, topic: &str, name: &'static str, value: &str) -> anyhow::Result<()> {
    let config = AlterableConfig {
        name: StrBytes::from_static(name),
        value: Some(StrBytes::from(value)),
        ..Default::default()
    };
    let resource = AlterConfigsResource {
        resource_type: TOPIC_RESOURCE,
        resource_name: StrBytes::from(topic),
        configs: vec![config],
        ..Default::default()
    };
    client.alter_configs(vec![resource])
}

/// Sends at least `records`, keys in turn.
fn fill(client: &mut Client, topic: &str, records: u64, keys: u64) -> anyhow::Result<()> {
    const IN_FLIGHT: u64 = 5;
    let batches = records.div_ceil(BATCH_RECORDS);
    for number in 0..batches {
        if number >= IN_FLIGHT {
            client.expect_produced()?;
        }
        client.produce(topic, 0, &keyed(number * BATCH_RECORDS, keys)?)?;
    }
    (0..batches.min(IN_FLIGHT)).try_for_each(|_| client.expect_produced())
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

fn await_that(
    otherwise: &str,
    mut holds: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let end = Instant::now() + END_LIMIT;
    while !holds()? {
        ensure!(Instant::now() < end, "{otherwise}");
        thread::sleep(LOOK);
    }
    Ok(())
}
