//! The rounds: who serves, what is written, how it ends, and the comparison with what the one
//! before showed. Must not know what a picture is made of.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ottla_interop::broker::{Broker, Kind};
use ottla_interop::{program, repository};

use super::duplicates::Repeating;
use super::kafka_log;
use super::picture::Picture;

const LIMIT: Duration = Duration::from_secs(120);

/// For both brokers: little is kept in memory or put off.
pub(super) const SETTINGS: [&str; 8] = [
    "offsets.topic.num.partitions=3",
    "transaction.state.log.num.partitions=3",
    "log.flush.start.offset.checkpoint.interval.ms=500",
    "metadata.log.max.record.bytes.between.snapshots=2000",
    "log.cleaner.backoff.ms=500",
    "log.segment.delete.delay.ms=1000",
    "log.initial.task.delay.ms=500",
    "auto.create.topics.enable=false",
];

/// How a broker's turn ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Stop,
    Kill,
}

/// The turns: odd ones are Kafka's.
fn turns(short: &[(Kind, End)]) -> anyhow::Result<Vec<(Kind, End)>> {
    let Ok(asked) = std::env::var("OTTLA_BOTH_WAYS_ROUNDS") else { return Ok(short.to_vec()) };
    let rounds: usize = asked.parse().context("OTTLA_BOTH_WAYS_ROUNDS is no number")?;
    // Each kind of end before each kind of start, in turn.
    let ends = [End::Stop, End::Stop, End::Kill, End::Kill];
    let turn = |number: usize| {
        let kind = if number.is_multiple_of(2) { Kind::Kafka } else { Kind::Ottla };
        (kind, ends.get(number % ends.len()).copied().unwrap_or(End::Stop))
    };
    Ok((0..=rounds).map(turn).collect())
}

/// One round of writing by a Java program.
pub(super) fn write(broker: &Broker, round: usize) -> anyhow::Result<()> {
    let mut java = program::java(&repository::client_classes()?, "error")?;
    let what = if *broker.kind() == Kind::Kafka { "transactions" } else { "plain" };
    java.args(["BothWays", broker.address(), &round.to_string(), what]);
    program::scenarios(&mut java, LIMIT).map(|_| ())
}

/// Waits until the starts of logs are where a killed broker finds them again: neither broker
/// promises more.
fn wait_for_log_starts(broker: &Broker) -> anyhow::Result<()> {
    let mut client = ottla_interop::raw::Connection::open(broker.address())?;
    let mut wanted = Vec::new();
    for partition in 0..2 {
        let start = super::picture::log_start(&mut client, "cut", partition)?;
        wanted.push(format!("cut {partition} {start}"));
    }
    let end = Instant::now() + LIMIT;
    loop {
        let mut found = String::new();
        for dir in broker.log_dirs()? {
            found +=
                &fs::read_to_string(dir.join("log-start-offset-checkpoint")).unwrap_or_default();
        }
        if wanted.iter().all(|wanted| found.lines().any(|line| line == wanted)) {
            return Ok(());
        }
        ensure!(Instant::now() < end, "{wanted:?} are not in the checkpoint:\n{found}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The newest snapshot of the metadata, by the name that Kafka gives it.
fn newest_snapshot(broker: &Broker) -> anyhow::Result<String> {
    let first = broker.log_dirs()?.into_iter().next().context("no log directory")?;
    let mut names = Vec::new();
    for entry in fs::read_dir(first.join("__cluster_metadata-0"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| name.ends_with(".checkpoint"));
    names.into_iter().max().context("no snapshot of the metadata")
}

/// As in Kafka, who was killed forgets producers of whom it has no record any more.
const FORGOTTEN: [&str; 2] = ["cut-0 producer ", "cut-1 producer "];

pub(super) fn compare(
    before: &Picture,
    after: &Picture,
    ended: End,
    what: &str,
) -> anyhow::Result<()> {
    let may_go = if ended == End::Kill { &FORGOTTEN[..] } else { &[] };
    let differences = before.differences(after, may_go);
    let count = differences.len();
    let shown = differences.get(..count.min(60)).unwrap_or_default().join("\n");
    ensure!(count == 0, "{what}: {count} of {} lines differ:\n{shown}", before.len());
    Ok(())
}

fn run(turns: &[(Kind, End)], log_dirs: usize) -> anyhow::Result<()> {
    let mut broker: Option<Broker> = None;
    let mut last: Option<(Picture, End)> = None;
    let mut of_kafka: Option<Picture> = None;
    let mut repeating: Option<Repeating> = None;
    let (mut snapshots, mut wrote_snapshots) = (BTreeSet::new(), BTreeSet::new());
    for (round, (kind, end)) in turns.iter().enumerate() {
        let what = format!("round {}, {kind:?} until {end:?}", round + 1);
        let start = Instant::now();
        let broker = match &mut broker {
            Some(broker) => {
                broker.start_again_as(kind.clone())?;
                broker
            }
            none => none.insert(Broker::movable(kind.clone(), &SETTINGS, log_dirs)?),
        };
        if let Some((before, ended)) = &last {
            let after = Picture::take(broker.address(), Some(before))
                .with_context(|| what.clone())
                .with_context(|| broker.log())?;
            compare(before, &after, *ended, &what)?;
            if *kind == Kind::Kafka {
                kafka_log::check(&broker.said()?, *ended == End::Stop).context(what.clone())?;
                let users = Picture::of_kafka(broker.address())?;
                let before = of_kafka.take().context("Kafka was not first")?;
                compare(&before, &users, End::Stop, &what)?;
            }
        }
        match &mut repeating {
            Some(repeating) => repeating.go_on(broker.address()).with_context(|| what.clone())?,
            none => *none = Some(Repeating::begin(broker.address())?),
        }
        write(broker, round + 1).with_context(|| what.clone()).with_context(|| broker.log())?;
        let picture = Picture::take(broker.address(), None).with_context(|| what.clone())?;
        if *kind == Kind::Kafka {
            let users = Picture::of_kafka(broker.address())?;
            ensure!(users.has("quota ") && users.has("user "), "{what}: no quotas or users");
            of_kafka = Some(users);
        }
        println!(
            "{what}: {} lines of {} records, {} aborted transactions, {:.1} s",
            picture.len(),
            picture.records,
            picture.aborted,
            start.elapsed().as_secs_f64()
        );
        for seen in ["keyed-0 key ", "transactions-0 producer ", "group in-transactions offset "] {
            ensure!(picture.has(seen), "{what}: no {seen:?} in the picture");
        }
        ensure!(picture.aborted > 0 && picture.held_back > 0, "{what}: no open transaction");
        match end {
            End::Stop => broker.stop()?,
            End::Kill => {
                wait_for_log_starts(broker)?;
                broker.kill()?;
            }
        }
        if snapshots.insert(newest_snapshot(broker)?) {
            wrote_snapshots.insert(format!("{kind:?}"));
        }
        last = Some((picture, *end));
    }
    println!("snapshots of the metadata: {snapshots:?} by {wrote_snapshots:?}");
    ensure!(wrote_snapshots.len() == 2, "only {wrote_snapshots:?} wrote snapshots of the metadata");
    Ok(())
}

#[test]
fn what_one_stops_the_other_serves() -> anyhow::Result<()> {
    let (kafka, ottla) = (Kind::Kafka, Kind::Ottla);
    let short = [
        (kafka.clone(), End::Stop),
        (ottla.clone(), End::Stop),
        (kafka.clone(), End::Kill),
        (ottla, End::Kill),
        (kafka, End::Stop),
    ];
    run(&turns(&short)?, 1)
}

#[test]
fn two_log_directories_go_both_ways() -> anyhow::Result<()> {
    let (kafka, ottla) = (Kind::Kafka, Kind::Ottla);
    let short = [(kafka.clone(), End::Stop), (ottla, End::Stop), (kafka, End::Stop)];
    run(&turns(&short)?, 2)
}
