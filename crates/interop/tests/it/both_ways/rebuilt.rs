//! Transactions that Kafka committed, aborted and left open, read by Ottla after what can be
//! derived from the log was taken away: the same for both kinds of readers, and for Kafka again.
//! Must not know how either broker rebuilds.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use ottla_interop::broker::{Broker, Kind};

use super::kafka_log;
use super::picture::Picture;
use super::rounds::{End, SETTINGS, compare, write};

/// Files of partitions that a recovery makes again.
const DERIVED: [&str; 4] = ["index", "timeindex", "txnindex", "snapshot"];

/// Removes the derived files of `topic`'s partitions; says how many.
fn remove_derived(
    dirs: &[impl AsRef<Path>],
    topic: &str,
    derived: &[&str],
) -> anyhow::Result<usize> {
    let mut removed = 0;
    for dir in dirs {
        for partition in fs::read_dir(dir.as_ref())? {
            let partition = partition?.path();
            let name = partition.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.rsplit_once('-').is_none_or(|(found, _)| found != topic) {
                continue;
            }
            for file in fs::read_dir(&partition)? {
                let file = file?.path();
                let ending = file.extension().unwrap_or_default().to_string_lossy().into_owned();
                if derived.contains(&ending.as_str()) {
                    fs::remove_file(&file)?;
                    removed += 1;
                }
            }
        }
    }
    Ok(removed)
}

#[test]
fn open_and_aborted_transactions_are_rebuilt() -> anyhow::Result<()> {
    let mut broker = Broker::movable(Kind::Kafka, &SETTINGS, 1)?;
    for round in 1..=2 {
        write(&broker, round)?;
    }
    let kafka = Picture::take(broker.address(), None)?;
    ensure!(kafka.aborted > 8 && kafka.held_back > 0, "{} aborted", kafka.aborted);
    broker.kill()?;
    let topics = ["transactions", "keyed-transactions", "codecs", "plain"];
    for (turn, derived) in [&DERIVED[2..], &DERIVED[..2], &DERIVED[..]].iter().enumerate() {
        let mut removed = 0;
        for topic in topics {
            removed += remove_derived(&broker.log_dirs()?, topic, derived)?;
        }
        ensure!(removed > 3, "only {removed} files of {derived:?}");
        // Below it everything is trusted, and a segment without aborted transactions has no index
        // of them: that one is gone cannot be seen, neither by Kafka.
        for dir in broker.log_dirs()? {
            let checkpoint = dir.join("recovery-point-offset-checkpoint");
            if checkpoint.exists() {
                fs::remove_file(checkpoint)?;
            }
        }
        broker.start_again_as(Kind::Ottla)?;
        let ottla = Picture::take(broker.address(), Some(&kafka))
            .with_context(|| format!("without {derived:?}"))?;
        compare(&kafka, &ottla, End::Kill, &format!("without {derived:?}"))
            .with_context(|| broker.log())?;
        if turn == 2 { broker.stop()? } else { broker.kill()? }
    }
    broker.start_again_as(Kind::Kafka)?;
    let again = Picture::take(broker.address(), Some(&kafka))?;
    compare(&kafka, &again, End::Kill, "Kafka again")?;
    kafka_log::check(&broker.said()?, true)?;
    // The transactions that were left open can still be ended.
    write(&broker, 3)?;
    Ok(())
}
