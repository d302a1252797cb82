//! Files that the broker wrote, read by Kafka's own `DumpLogSegments` after a clean stop.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use ottla_interop::broker::Broker;
use ottla_interop::{program, repository};

const LIMIT: Duration = Duration::from_secs(120);

/// What `DumpLogSegments` says about the files; an error when it fails or complains.
fn dump(files: &[PathBuf], arguments: &[&str]) -> anyhow::Result<String> {
    ensure!(!files.is_empty(), "no files to dump");
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let mut java = program::java(&repository::tool_classes()?, "error")?;
    java.arg("org.apache.kafka.tools.DumpLogSegments").args(arguments);
    let said = program::run(java.args(["--files", &names.join(",")]), LIMIT)?.everything();
    for complaint in ["isvalid: false", "Mismatches", "Found ", "Exception"] {
        ensure!(!said.contains(complaint), "{complaint:?} in\n{said}");
    }
    // The tool calls the first record of each later segment non-consecutive: it follows nothing.
    let hole = |line: &&str| line.contains(" is followed by ") && !line.trim().starts_with("-1 ");
    let holes: Vec<&str> = said.lines().filter(hole).collect();
    ensure!(holes.is_empty(), "holes: {holes:?}");
    Ok(said)
}

/// The files of a folder with this ending, sorted.
pub(crate) fn files(folder: &Path, ending: &str) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<Result<Vec<_>, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|found| found == ending));
    paths.sort();
    Ok(paths)
}

fn feed(broker: &Broker, arguments: &[&str], input: &str) -> anyhow::Result<()> {
    let mut kcat = Command::new(repository::installed("kcat")?);
    kcat.args(["-b", broker.address(), "-P"]).args(arguments);
    program::run_with(&mut kcat, input.as_bytes(), LIMIT).map(|_| ())
}

#[test]
fn a_partition_passes_dump_log_segments() -> anyhow::Result<()> {
    let mut broker = Broker::start(&["log.segment.bytes=1048576"])?;
    let topic = format!("it-files-{}", std::process::id());
    let line = |n: u32| format!("key{n}:{}\n", format!("value {n} ").repeat(20));
    let input: String = (0..5_000).map(line).collect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let settings = ["-X", "batch.size=20000", "-X", "enable.idempotence=true"];
        feed(&broker, &[&["-t", &topic, "-K", ":", "-z", codec], &settings[..]].concat(), &input)?;
    }
    broker.stop()?;
    let folder = broker.data()?.join(format!("{topic}-0"));
    let logs = files(&folder, "log")?;
    ensure!(logs.len() > 1, "one segment only: nothing rolled");
    let said = dump(&logs, &["--deep-iteration", "--print-data-log"])?;
    let records = said.lines().filter(|line| line.starts_with("| offset: ")).count();
    ensure!(records == 25_000, "{records} records, not 25000");
    for ending in ["index", "timeindex"] {
        let indexes = files(&folder, ending)?;
        ensure!(indexes.len() == logs.len(), "{} files of .{ending}", indexes.len());
        let said = dump(&indexes, &["--index-sanity-check"])?;
        let passed = said.matches("passed sanity check.").count();
        ensure!(passed == indexes.len(), "{passed} of {} passed\n{said}", indexes.len());
        dump(&indexes, &["--verify-index-only"])?;
    }
    let snapshots = files(&folder, "snapshot")?;
    let said = dump(&snapshots, &[])?;
    ensure!(said.contains("producerId: "), "no producer in\n{said}");
    Ok(())
}

#[test]
fn the_metadata_log_passes_dump_log_segments() -> anyhow::Result<()> {
    let mut broker = Broker::start(&[])?;
    let topic = format!("it-metadata-{}", std::process::id());
    feed(&broker, &["-t", &topic], "a\n")?;
    broker.stop()?;
    let folder = broker.data()?.join("__cluster_metadata-0");
    let said = dump(&files(&folder, "log")?, &["--cluster-metadata-decoder"])?;
    for wanted in ["TOPIC_RECORD", "PARTITION_RECORD", "REGISTER_BROKER_RECORD", &topic] {
        ensure!(said.contains(wanted), "no {wanted} in\n{said}");
    }
    ensure!(!said.contains("payload:") || said.contains("\"type\""), "undecoded payloads");
    let checkpoints = files(&folder, "checkpoint")?;
    let said = dump(&checkpoints, &["--cluster-metadata-decoder"])?;
    ensure!(said.contains("FEATURE_LEVEL_RECORD"), "no features in\n{said}");
    Ok(())
}

#[test]
fn committed_offsets_pass_dump_log_segments() -> anyhow::Result<()> {
    let mut broker = Broker::start(&["offsets.topic.num.partitions=1"])?;
    let topic = format!("it-offsets-{}", std::process::id());
    feed(&broker, &["-t", &topic], "a\nb\nc\n")?;
    let mut kcat = Command::new(repository::installed("kcat")?);
    kcat.args(["-b", broker.address(), "-G", "the-group", "-e", "-q"]);
    kcat.args(["-X", "auto.offset.reset=earliest"]);
    program::run(kcat.arg(&topic), LIMIT)?;
    broker.stop()?;
    let logs = files(&broker.data()?.join("__consumer_offsets-0"), "log")?;
    let said = dump(&logs, &["--offsets-decoder", "--deep-iteration"])?;
    for wanted in ["\"group\":\"the-group\"", &topic, "\"offset\":3"] {
        ensure!(said.contains(wanted), "no {wanted} in\n{said}");
    }
    Ok(())
}
