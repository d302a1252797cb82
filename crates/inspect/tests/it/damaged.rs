//! Every kind of damage is found, with its place and how bad it is.

use ottla_env::Disk;
use ottla_env::memory::MemoryDisk;
use std::path::Path;

use crate::support::*;

const LOG: &str = "/d/t-0/00000000000000000000.log";
const SECOND: &str = "/d/t-0/00000000000000000020.log";

/// What is done to a directory of two segments (offsets 0 to 19 and 20 to 39), and how the finding
/// begins and what it says.
type Case = (&'static str, fn(&MemoryDisk), &'static str, &'static str);

const CASES: &[Case] = &[
    (
        "a bit in a closed segment",
        |disk| edit(disk, LOG, |bytes| bytes[2000] ^= 4),
        "damage: /d/t-0/00000000000000000000.log at byte ",
        "offsets 2 to 3: ",
    ),
    (
        "a closed segment cut short",
        |disk| edit(disk, LOG, |bytes| bytes.truncate(bytes.len() - 100)),
        "damage: /d/t-0/00000000000000000000.log at byte ",
        "are no sound batch",
    ),
    (
        "zeros in the middle",
        |disk| edit(disk, SECOND, |bytes| bytes[3000..7000].fill(0)),
        "damage: /d/t-0/00000000000000000020.log at byte ",
        "are no sound batch",
    ),
    (
        "a batch there twice",
        |disk| {
            let first = batch(20, 2, 1500);
            edit(disk, SECOND, |bytes| {
                bytes.splice(0..0, first);
            });
        },
        "damage: /d/t-0/00000000000000000020.log at byte ",
        "the batch follows offset 21",
    ),
    (
        "a segment is gone",
        |disk| {
            put(disk, "/d/t-0/00000000000000000044.log", &batch(44, 2, 1500));
        },
        "damage: /d/t-0/00000000000000000044.log at byte 0, offsets 40 to 43: ",
        "these records are missing",
    ),
    (
        "a name that lies",
        |disk| {
            let bytes = disk.read(Path::new(SECOND)).unwrap();
            disk.remove_file(Path::new(SECOND)).unwrap();
            put(disk, "/d/t-0/00000000000000000025.log", &bytes);
        },
        "damage: /d/t-0/00000000000000000025.log at byte 0, offsets 20 to 21: ",
        "the batch lies below 25",
    ),
    (
        "an index without a log",
        |disk| put(disk, "/d/t-0/00000000000000000090.index", b""),
        "repairable: /d/t-0/00000000000000000090.index: ",
        "the log that it belongs to is missing",
    ),
    (
        "no index",
        |disk| disk.remove_file(Path::new("/d/t-0/00000000000000000000.index")).unwrap(),
        "repairable: /d/t-0/00000000000000000000.index: ",
        "it is missing",
    ),
    (
        "an index entry that lies",
        |disk| edit(disk, "/d/t-0/00000000000000000000.index", |bytes| bytes[7] ^= 1),
        "repairable: /d/t-0/00000000000000000000.index: ",
        "is no batch's beginning",
    ),
    (
        "half an index entry",
        |disk| edit(disk, "/d/t-0/00000000000000000000.index", |bytes| bytes.push(1)),
        "repairable: /d/t-0/00000000000000000000.index: ",
        "torn entry",
    ),
    (
        "a time too early",
        |disk| edit(disk, "/d/t-0/00000000000000000000.timeindex", |bytes| bytes[19] -= 1),
        "repairable: /d/t-0/00000000000000000000.timeindex: ",
        "timestamps go to",
    ),
    (
        "no snapshot of producers",
        |disk| put(disk, "/d/t-0/00000000000000000020.snapshot", b"garbage"),
        "repairable: /d/t-0/00000000000000000020.snapshot: ",
        "a start takes an older one",
    ),
    (
        "a snapshot of the future",
        |disk| {
            let empty = ottla_partition::encode_snapshot([].iter());
            put(disk, "/d/t-0/00000000000000000099.snapshot", &empty);
        },
        "repairable: /d/t-0/00000000000000000099.snapshot: ",
        "the log ends at 40",
    ),
    (
        "epochs that are none",
        |disk| put(disk, "/d/t-0/leader-epoch-checkpoint", b"0\n2\n0 0\n"),
        "repairable: /d/t-0/leader-epoch-checkpoint: ",
        "announces 2 entries",
    ),
    (
        "epochs that the batches do not have",
        |disk| put(disk, "/d/t-0/leader-epoch-checkpoint", b"0\n1\n3 0\n"),
        "repairable: /d/t-0/00000000000000000000.log at byte 0, offset 0: ",
        "the batch has leader epoch 0, leader-epoch-checkpoint 3",
    ),
    (
        "an epoch beyond the end",
        |disk| put(disk, "/d/t-0/leader-epoch-checkpoint", b"0\n2\n0 0\n1 77\n"),
        "repairable: /d/t-0/leader-epoch-checkpoint: ",
        "epoch 1 begins at offset 77",
    ),
    (
        "no topic id",
        |disk| put(disk, "/d/t-0/partition.metadata", b"version: 0\n"),
        "damage: /d/t-0/partition.metadata: ",
        "topic_id",
    ),
    (
        "a recovery point beyond the end",
        |disk| put(disk, "/d/recovery-point-offset-checkpoint", b"0\n1\nt 0 50\n"),
        "damage: /d/recovery-point-offset-checkpoint, offsets 40 to 49: ",
        "the log ends at 40",
    ),
    (
        "a checkpoint that is none",
        |disk| put(disk, "/d/replication-offset-checkpoint", b"1\n"),
        "repairable: /d/replication-offset-checkpoint: ",
        "only 0 is known",
    ),
    (
        "a checkpoint of another partition",
        |disk| put(disk, "/d/replication-offset-checkpoint", b"0\n1\nx 0 1\n"),
        "note: /d/replication-offset-checkpoint: ",
        "it speaks of x-0",
    ),
    (
        "whose directory it is",
        |disk| put(disk, "/d/meta.properties", b"version=7\n"),
        "damage: /d/meta.properties: ",
        "only 0 and 1 are known",
    ),
    (
        "a directory that is no partition's",
        |disk| disk.create_dir(Path::new("/d/lost+found")).unwrap(),
        "damage: /d/lost+found: ",
        "its name is no partition's",
    ),
    (
        "what a compaction left",
        |disk| put(disk, "/d/t-0/00000000000000000000.log.cleaned", b"x"),
        "note: /d/t-0/00000000000000000000.log.cleaned: ",
        "a start finishes or removes it",
    ),
    (
        "an entry for a transaction that nobody aborted",
        |disk| put(disk, "/d/t-0/00000000000000000000.txnindex", &[0; 33]),
        "repairable: /d/t-0/00000000000000000000.txnindex: ",
        "torn entry",
    ),
];

#[test]
fn a_sound_directory_has_nothing() {
    let (tally, text) = verified(&written(&[10, 10]), "/d");
    assert_eq!((tally.notes, tally.repairable, tally.damage), (0, 0, 0), "{text}");
    assert_eq!((tally.partitions, tally.batches), (1, 20), "{text}");
}

#[test]
fn every_kind_of_damage_is_found() {
    for (name, damage, begins, says) in CASES {
        let disk = written(&[10, 10]);
        damage(&disk);
        let (tally, text) = verified(&disk, "/d");
        let told = text.lines().any(|line| line.starts_with(begins) && line.contains(says));
        assert!(told, "{name}:\n{text}");
        let note = begins.starts_with("note");
        assert_eq!(tally.repairable + tally.damage == 0, note, "{name}:\n{text}");
    }
}

#[test]
fn transactions_are_held_against_their_index() {
    let index = "/d/txn-0/00000000000000000000.txnindex";
    let disk = golden();
    disk.remove_file(Path::new(index)).unwrap();
    let (tally, text) = verified(&disk, "/d/txn-0");
    assert_eq!((tally.repairable, tally.damage), (1, 0), "{text}");
    assert!(text.contains("offsets 3 to 5: the aborted transaction of producer 2 has no entry"));
    let disk = golden();
    // The transaction that was committed with the marker at offset 7.
    edit(&disk, index, |bytes| {
        let mut entry = bytes.clone();
        entry[25] = 7;
        entry[17] = 6;
        bytes.extend(entry);
    });
    let (_, text) = verified(&disk, "/d/txn-0");
    assert!(text.contains("the committed transaction of producer 2 has an entry"), "{text}");
}

#[test]
fn snapshots_are_held_against_the_log() {
    let disk = golden();
    // The state at offset 9 under the name of an earlier one.
    let snapshot = disk.read(Path::new("/d/txn-0/00000000000000000009.snapshot")).unwrap();
    put(&disk, "/d/txn-0/00000000000000000005.snapshot", &snapshot);
    let (tally, text) = verified(&disk, "/d/txn-0");
    assert!(tally.repairable > 0, "{text}");
    assert!(text.contains("producer 2 has a batch beyond the snapshot's own offset"), "{text}");
}

#[test]
fn the_metadata_is_read_record_by_record() {
    let disk = golden();
    let snapshot = "/d/__cluster_metadata-0/00000000000000000000-0000000000.checkpoint";
    edit(&disk, snapshot, |bytes| bytes.truncate(419));
    let (_, text) = verified(&disk, "/d/__cluster_metadata-0");
    assert!(text.contains("it does not end with a snapshot's footer"), "{text}");
    put(&disk, "/d/__cluster_metadata-0/quorum-state", b"{}");
    let (_, text) = verified(&disk, "/d/__cluster_metadata-0");
    assert!(text.contains("damage: /d/__cluster_metadata-0/quorum-state: "), "{text}");
}

#[test]
fn one_file_alone() {
    let disk = written(&[10, 10]);
    edit(&disk, LOG, |bytes| bytes[2000] ^= 4);
    let (tally, text) = verified(&disk, SECOND);
    assert_eq!(tally.damage, 0, "{text}");
    let (tally, text) = verified(&disk, LOG);
    assert_eq!(tally.damage, 1, "{text}");
}
