//! A log directory that Apache Kafka 4.4.0 wrote: our dump is, line for line, that of Kafka's own
//! DumpLogSegments; verify finds nothing wrong; a start would trust it.

use std::collections::BTreeMap;

use ottla_inspect::{DumpOptions, Format};

use crate::support::*;

const DUMP: &[u8] = include_bytes!("../../../log/tests/golden/kafka-4.4.0-dump.txt.gz");

/// What Kafka's tool said, by partition.
fn kafkas() -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut partition = String::new();
    for line in String::from_utf8(gunzip(DUMP)).unwrap().lines() {
        match line.strip_prefix("== ") {
            Some(name) => partition = name.to_owned(),
            None => found.entry(partition.clone()).or_default().push(line.to_owned()),
        }
    }
    found
}

/// What our tool says of the same files.
fn ours(partition: &str, kafkas: &[String]) -> Vec<String> {
    let disk = golden();
    let with_data = partition.starts_with("__") || partition == "checkpoint";
    let options = DumpOptions { print_data: with_data, deep: true, ..DumpOptions::default() };
    let mut lines = Vec::new();
    for file in kafkas.iter().filter_map(|line| line.strip_prefix("Dumping ")) {
        let text = dumped(&disk, &format!("/{file}"), &options);
        lines.extend(text.lines().map(|line| line.replace("Dumping /d/", "Dumping d/")));
    }
    lines
}

#[test]
fn every_line_is_kafkas() {
    let kafkas = kafkas();
    assert_eq!(kafkas.len(), 10);
    for (partition, theirs) in kafkas {
        // What does not follow comes on standard error there, for all files together.
        let theirs: Vec<_> = theirs
            .into_iter()
            .filter(|line| !line.starts_with("Non-consecutive") && !line.starts_with("  "))
            .collect();
        let mut ours = ours(&partition, &theirs);
        ours.retain(|line| !line.starts_with("Non-consecutive") && !line.starts_with("  "));
        assert_eq!(ours.len(), theirs.len(), "{partition}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "{partition}");
        }
    }
}

#[test]
fn nothing_is_wrong() {
    let (tally, text) = verified(&golden(), "/d");
    assert_eq!((tally.repairable, tally.damage), (0, 0), "{text}");
    assert_eq!(tally.partitions, 10, "{text}");
    assert!(tally.batches > 100, "{text}");
}

#[test]
fn a_start_trusts_it() {
    let (tally, text) = planned(&golden(), "/d");
    assert!(!tally.has_problems(), "{text}");
    assert!(text.starts_with("/d: stopped cleanly\n"), "{text}");
    assert!(text.contains("txn-0: open as it is: offsets 0 to 9, recovery point 9"), "{text}");
}

#[test]
fn every_answer_is_an_object_a_line() {
    let disk = golden();
    let options = DumpOptions { print_data: true, ..DumpOptions::default() };
    let rows = objects(&dumped_as(&disk, "/d", &options, Format::Json));
    let count = |kind: &str| rows.iter().filter(|row| row["type"] == kind).count();
    for kind in [
        "file",
        "batch",
        "record",
        "timeEntry",
        "abortedTransaction",
        "producer",
        "leaderEpoch",
        "offset",
        "partitionMetadata",
        "property",
        "cleanShutdown",
        "quorumState",
    ] {
        assert!(count(kind) > 0, "no {kind}");
    }
    let registered = rows.iter().find(|row| row["payload"]["type"] == "REGISTER_BROKER_RECORD");
    assert_eq!(registered.unwrap()["payload"]["data"]["brokerId"], 1);
    objects(&verified_as(&disk, "/d", Format::Json).1);
    objects(&planned_as(&disk, "/d", Format::Json).1);
    let (bad, text) = indexed(&disk, "/d", Format::Json);
    let rows = objects(&text);
    assert_eq!(bad, 0, "{text}");
    assert!(rows.iter().any(|row| row["padding"].as_i64().is_some_and(|n| n > 0)), "{text}");
}
