//! Measuring the limit program: shapes of the bytes, and figures as those of a broker. Must not
//! know scenarios.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;

use super::child::Program;
use super::options::{From, Options, Through};
use super::{answer, options, peer, receive, send};
use crate::bench::{BROKER_CORE, DRIVER_CORE};
use crate::load::{Latency, Moved};
use crate::report::tell;
use crate::schedule::Schedule;
use crate::{process, wire};

/// What is moved: the same bytes, cut in the same way, as in the scenario.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// One batch.
    pub(crate) batch: Bytes,
    /// Records in it.
    pub(crate) batch_records: u64,
    pub(crate) connections: usize,
    /// Files of each connection.
    pub(crate) files: usize,
    /// Batches over each connection.
    pub(crate) batches: u64,
}

/// How bytes get to the disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writing {
    pub(crate) direct: bool,
    pub(crate) durable: bool,
}

/// Where bytes come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reading {
    Memory,
    /// Read and summed.
    File,
    Sendfile,
}

/// Figures of one run, counted as a broker's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    records: u64,
    /// CPU seconds of the limit program.
    cpu: f64,
    /// CPU seconds of who sends to it or receives from it.
    peer_cpu: f64,
    wall: f64,
    /// Groups that were synced.
    groups: u64,
}

impl Limit {
    /// As a load says it of a broker.
    pub(crate) fn moved(&self) -> Moved {
        Moved {
            records: self.records,
            in_topic: self.records,
            wall_seconds: self.wall,
            broker_cpu_seconds: self.cpu,
            driver_cpu_seconds: self.peer_cpu,
        }
    }
}

impl Shape {
    /// Records of 1 KiB in batches of up to 1 MB over four connections to 16 files, about `mib`.
    pub(crate) fn large_batches(mib: u64) -> anyhow::Result<Self> {
        let batch = wire::batch(wire::BATCH_RECORDS, 1024)?;
        let (connections, files) = (4, 4);
        let batches = ((mib << 20) / batch.len() as u64 / connections).max(1);
        let connections = usize::try_from(connections)?;
        Ok(Self { batch, batch_records: wire::BATCH_RECORDS, connections, files, batches })
    }

    fn moved(&self) -> Amount {
        let batches = self.batches * self.connections as u64;
        Amount { records: batches * self.batch_records, bytes: batches * self.batch.len() as u64 }
    }
}

/// So much has to arrive.
#[derive(Clone, Copy, Debug)]
struct Amount {
    records: u64,
    bytes: u64,
}

/// The command line's part.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match &options.program {
        Some(options::Program::Receive(options)) => receive::run(options),
        Some(options::Program::Send(options)) => send::run(options),
        Some(options::Program::Answer(options)) => answer::run(options),
        None => table(options),
    }
}

/// Socket to file, into a folder of its own below `folder`, which is gone afterwards.
pub(crate) fn write(folder: &Path, shape: &Shape, how: Writing) -> anyhow::Result<Limit> {
    let files = Files::new(folder)?;
    write_into(&files, shape, how)
}

/// A folder with files to read, gone when dropped.
pub(crate) struct Files(tempfile::TempDir);

/// Writes the files that [`read`] reads.
pub(crate) fn prepare(folder: &Path, shape: &Shape) -> anyhow::Result<Files> {
    let files = Files::new(folder)?;
    write_into(&files, shape, Writing { direct: false, durable: true })?;
    Ok(files)
}

/// File or memory to socket.
pub(crate) fn read(files: &Files, shape: &Shape, from: Reading) -> anyhow::Result<Limit> {
    let from = match from {
        Reading::Memory => From::Memory,
        Reading::File => From::Read,
        Reading::Sendfile => From::Sendfile,
    };
    let dir = files.path().display();
    let from = name(from);
    let connections = shape.connections;
    let arguments = format!("send --connections {connections} --chunk {SENT} --from {from}");
    let arguments = with_dir(&arguments, &dir.to_string());
    let moved = shape.moved();
    Ok(measure(&arguments, moved, |address| peer::swallow(address, connections))?.0)
}

/// Records on a schedule, over one connection into one file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paced {
    pub(crate) record_bytes: usize,
    /// Records a second.
    pub(crate) rate: u64,
    pub(crate) warm_up_seconds: u64,
    pub(crate) seconds: u64,
    pub(crate) durable: bool,
}

/// How long after the intended time of its send each record was answered.
pub(crate) fn paced(folder: &Path, paced: &Paced) -> anyhow::Result<(Limit, Latency)> {
    let files = Files::new(folder)?;
    let Paced { record_bytes, rate, warm_up_seconds, seconds, durable } = *paced;
    let mut arguments = format!("answer --bytes {record_bytes}");
    if durable {
        arguments.push_str(" --durable");
    }
    let arguments = with_dir(&arguments, &files.path().display().to_string());
    let records = rate * (warm_up_seconds + seconds);
    let (sends, warm_up) = (u32::try_from(records)?, u32::try_from(rate * warm_up_seconds)?);
    let every = Duration::from_nanos(1_000_000_000 / rate);
    let record = vec![7; record_bytes];
    let moved = Amount { records, bytes: records * record_bytes as u64 };
    let (limit, latencies) = measure(&arguments, moved, |address| {
        let schedule = Schedule { start: Instant::now(), every, sends, warm_up };
        peer::pace(address, &record, &schedule)
    })?;
    Ok((limit, latencies.summary()))
}

/// Sent at a time, as consumers ask for it.
const SENT: usize = 1 << 20;

impl Files {
    fn new(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self(tempfile::Builder::new().prefix("limit-").tempdir_in(folder)?))
    }

    /// Where they are.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

fn write_into(files: &Files, shape: &Shape, how: Writing) -> anyhow::Result<Limit> {
    let Shape { connections, batches, .. } = *shape;
    let through = name(if how.direct { Through::Direct } else { Through::Cache });
    let mut arguments = format!(
        "receive --connections {connections} --files {} --chunk {} --through {through}",
        shape.files,
        shape.batch.len()
    );
    if how.durable {
        arguments.push_str(" --durable");
    }
    let arguments = with_dir(&arguments, &files.path().display().to_string());
    let feed = |address: &str| peer::feed(address, connections, &shape.batch, batches);
    Ok(measure(&arguments, shape.moved(), feed)?.0)
}

fn name(value: impl clap::ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn with_dir(arguments: &str, dir: &str) -> Vec<String> {
    let words = arguments.split(' ').map(ToOwned::to_owned);
    words.chain(["--dir".to_owned(), dir.to_owned()]).collect()
}

/// Runs the program on the broker's core while `peer` works on the driver's.
fn measure<T>(
    arguments: &[String],
    amount: Amount,
    peer: impl Fn(&str) -> anyhow::Result<T>,
) -> anyhow::Result<(Limit, T)> {
    let own = std::process::id();
    process::pin(own, DRIVER_CORE)?;
    let mut program = Program::start(arguments, BROKER_CORE)?;
    let peer_before = process::cpu_seconds(own)?;
    let (before, clock) = (process::cpu_seconds(program.pid())?, Instant::now());
    let address = program.address.clone();
    let found = peer(&address)?;
    let done = program.done()?;
    let wall = clock.elapsed().as_secs_f64();
    let cpu = process::cpu_seconds(program.pid())? - before;
    let peer_cpu = process::cpu_seconds(own)? - peer_before;
    program.end()?;
    let Amount { records, bytes } = amount;
    ensure!(done.bytes == bytes, "{} bytes were moved of {bytes}", done.bytes);
    Ok((Limit { records, cpu, peer_cpu, wall, groups: done.groups }, found))
}

/// Measures every limit once and prints them.
fn table(options: &Options) -> anyhow::Result<()> {
    let shape = Shape::large_batches(options.mib)?;
    tell(&format!(
        "{} records of 1 KiB in batches of {} bytes, {} connections, {} files; {}",
        shape.moved().records,
        shape.batch.len(),
        shape.connections,
        shape.connections * shape.files,
        "thousands of records a second of CPU time, and of wall-clock time"
    ));
    for (direct, durable) in [(false, false), (false, true), (true, false), (true, true)] {
        let limit = write(&options.dir, &shape, Writing { direct, durable })?;
        let how = if direct { "direct" } else { "cache" };
        let synced = if durable { ", durable" } else { "" };
        show(&format!("socket to file, {how}{synced}"), &limit);
    }
    let files = prepare(&options.dir, &shape)?;
    for (name, from) in [
        ("memory to socket", Reading::Memory),
        ("file to socket, read and summed", Reading::File),
        ("file to socket, sendfile", Reading::Sendfile),
    ] {
        show(name, &read(&files, &shape, from)?);
    }
    Ok(())
}

fn show(name: &str, limit: &Limit) {
    let groups = match limit.groups {
        0 => String::new(),
        groups => format!(", {groups} groups"),
    };
    tell(&format!(
        "  {name:<34} {:>8.0} {:>8.0}  ({:.2} s of CPU time, {:.2} s{groups})",
        limit.moved().per_core_second(),
        limit.moved().per_second(),
        limit.cpu,
        limit.wall
    ));
}
