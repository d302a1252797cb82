//! `ottla log dump` beside Kafka's own `DumpLogSegments`, on the same files: sound ones that a
//! broker wrote, and damaged ones. Line for line the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use ottla_interop::broker::Broker;
use ottla_interop::{program, repository};

const LIMIT: Duration = Duration::from_secs(120);

/// Files that both tools read, of all partitions.
const ENDINGS: [&str; 6] = ["log", "index", "timeindex", "txnindex", "snapshot", "checkpoint"];

/// What is told at the end of it all: there on standard error, and here in other places.
const ASIDE: [&str; 8] = [
    "Mismatches in",
    "  Index ",
    "Found timestamp",
    "Found out of order",
    "Non-consecutive",
    "The following indexed",
    "Indexed offset",
    "Ignoring",
];

fn plain(said: &str) -> Vec<String> {
    let aside = |line: &&str| {
        !ASIDE.iter().any(|begins| line.starts_with(begins)) && !line.contains(" is followed by ")
    };
    said.lines().filter(aside).map(str::to_owned).collect()
}

fn kafkas(files: &[PathBuf], arguments: &[&str]) -> anyhow::Result<Vec<String>> {
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let mut java = program::java(&repository::tool_classes()?, "error")?;
    java.arg("org.apache.kafka.tools.DumpLogSegments").args(arguments);
    Ok(plain(&program::run(java.args(["--files", &names.join(",")]), LIMIT)?.text()))
}

fn ours(files: &[PathBuf], arguments: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut ottla = Command::new(repository::binary()?);
    ottla.args(["log", "dump"]).args(arguments).args(files);
    Ok(plain(&program::run(&mut ottla, LIMIT)?.text()))
}

/// The files of these partitions with an ending that both know.
fn files(data: &Path, partitions: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(data).with_context(|| format!("no {}", data.display()))? {
        let dir = entry?.path();
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !dir.is_dir() || !name.starts_with(partitions) {
            continue;
        }
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| ENDINGS.iter().any(|known| end == *known)) {
                found.push(path);
            }
        }
    }
    found.sort();
    ensure!(!found.is_empty(), "no files of {partitions}");
    Ok(found)
}

fn compare(files: &[PathBuf], arguments: &[&str]) -> anyhow::Result<usize> {
    let (theirs, ours) = (kafkas(files, arguments)?, ours(files, arguments)?);
    for (number, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
        ensure!(theirs == ours, "{arguments:?}, line {number}\nkafka: {theirs}\nottla: {ours}");
    }
    ensure!(theirs.len() == ours.len(), "{} lines, and {} here", theirs.len(), ours.len());
    Ok(theirs.len())
}

fn feed(broker: &Broker, arguments: &[&str], input: &str) -> anyhow::Result<()> {
    let mut kcat = Command::new(repository::installed("kcat")?);
    kcat.args(["-b", broker.address(), "-P"]).args(arguments);
    program::run_with(&mut kcat, input.as_bytes(), LIMIT).map(|_| ())
}

#[test]
fn dump_says_what_kafkas_tool_says() -> anyhow::Result<()> {
    let settings = ["log.segment.bytes=1048576", "offsets.topic.num.partitions=1"];
    let mut broker = Broker::start(&settings)?;
    let topic = format!("it-inspect-{}", std::process::id());
    let line = |n: u32| format!("key{n}:{}\n", format!("value {n} \u{e9} ").repeat(20));
    let input: String = (0..3_000).map(line).collect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let settings = ["-X", "batch.size=20000", "-X", "enable.idempotence=true"];
        let headers = ["-H", "one=1", "-H", "two=2"];
        let arguments = [&["-t", &topic, "-K", ":", "-z", codec], &settings[..], &headers].concat();
        feed(&broker, &arguments, &input)?;
    }
    let mut kcat = Command::new(repository::installed("kcat")?);
    kcat.args(["-b", broker.address(), "-G", "the-group", "-e", "-q"]);
    kcat.args(["-X", "auto.offset.reset=earliest"]);
    program::run(kcat.arg(&topic), LIMIT)?;
    broker.stop()?;
    let data = broker.data()?;
    let of_topic = files(&data, &topic)?;
    ensure!(compare(&of_topic, &[])? > 100, "little was compared");
    ensure!(compare(&of_topic, &["--print-data-log"])? > 15_000, "records are missing");
    compare(&of_topic, &["--deep-iteration"])?;
    compare(&of_topic, &["--print-data-log", "--skip-record-metadata"])?;
    compare(&of_topic, &["--max-bytes", "100000"])?;
    compare(&of_topic, &["--verify-index-only"])?;
    compare(&of_topic, &["--index-sanity-check"])?;
    compare(&files(&data, "__cluster_metadata-0")?, &["--cluster-metadata-decoder"])?;
    let offsets = files(&data, "__consumer_offsets-0")?;
    compare(&offsets, &["--offsets-decoder"])?;
    // Of indexes whose log is torn Kafka's tool gives up with an exception.
    let logs: Vec<PathBuf> = of_topic
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .collect();
    damage(&logs)?;
    compare(&logs, &["--deep-iteration"])?;
    Ok(())
}

/// A wrong checksum in the first segment, a torn end of the last.
fn damage(logs: &[PathBuf]) -> anyhow::Result<()> {
    let (Some(first), Some(last)) = (logs.first(), logs.last()) else {
        anyhow::bail!("no segments");
    };
    let mut content = fs::read(first)?;
    let value = content.windows(8).position(|w| w == b"value 0 ").context("no value")?;
    content[value] ^= 1;
    fs::write(first, content)?;
    let content = fs::read(last)?;
    fs::write(last, &content[..content.len() - 10])?;
    Ok(())
}
