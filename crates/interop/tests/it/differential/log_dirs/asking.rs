//! Moves: everything that can be asked for, how one is seen, called off, changed and done.

use ottla_protocol::{AlterReplicaLogDirsRequest, ErrorCode};

use super::super::pair::{Pair, Side};
use super::super::topics::{create, settle, topic};
use super::places::{arrived, describe, half_way};
use super::{RATE, alter, codes, fill, request, set, until};
use crate::wire::requests::{FETCH_BY_NAME, fetch};

pub(super) fn compare(pair: &mut Pair) -> anyhow::Result<()> {
    rates(pair)?;
    wanted_before(pair)?;
    refused(pair)?;
    moved(pair)?;
    half_done(pair)
}

/// What may be set as a rate.
fn rates(pair: &mut Pair) -> anyhow::Result<()> {
    let rates = [RATE, "leader.replication.throttled.rate", "follower.replication.throttled.rate"];
    for name in rates {
        for value in ["abc", "", "-1", "1.5", "99999999999999999999", "0", " 7 ", "1000"] {
            set(pair, "1", name, Some(value))?;
            set(pair, "", name, Some(value))?;
        }
        set(pair, "1", name, None)?;
        set(pair, "", name, None)?;
    }
    set(pair, "1", "num.replica.alter.log.dirs.threads", Some("2"))
}

/// Partitions are created where they were wanted before.
fn wanted_before(pair: &mut Pair) -> anyhow::Result<()> {
    let all = [("dir2", "moved", &[0][..]), ("dir1", "moved", &[1]), ("dir0", "far", &[0])];
    alter(pair, "before it is there", &all)?;
    create(pair, "to be moved", 7, &[topic("moved", 2, 1), topic("far", 1, 1)], false)?;
    settle(pair, &["moved", "far"])?;
    for side in pair.sides() {
        arrived(side, "moved", 0, "dir2")?;
        arrived(side, "moved", 1, "dir1")?;
        arrived(side, "far", 0, "dir0")?;
    }
    describe(pair, "created where it was wanted", &[("moved", &[0, 1]), ("far", &[0])])
}

fn refused(pair: &mut Pair) -> anyhow::Result<()> {
    let long = "x".repeat(249);
    let cases: [(&str, &[super::Wanted<'_>]); 15] = [
        ("nothing", &[]),
        ("no partition", &[("dir1", "moved", &[])]),
        ("unknown directory", &[("/no/such/dir", "moved", &[0])]),
        ("empty path", &[("", "moved", &[0])]),
        ("relative path", &[("data1", "moved", &[0])]),
        ("path with a slash more", &[("dir1/", "moved", &[0])]),
        ("path with a dot", &[("dir1/.", "moved", &[0])]),
        ("inside a directory", &[("dir1/moved-1", "moved", &[0])]),
        ("unknown topic", &[("dir1", "no-such-topic", &[0])]),
        ("unknown partition", &[("dir1", "moved", &[99])]),
        ("negative partition", &[("dir1", "moved", &[-1])]),
        ("name too long", &[("dir1", &long, &[0])]),
        ("name too long, unknown directory", &[("/no/such/dir", &long, &[0])]),
        ("where it is", &[("dir2", "moved", &[0]), ("dir1", "moved", &[1])]),
        (
            "many at once",
            &[
                ("dir1", "no-such-topic", &[0, 1]),
                ("/no/such/dir", "moved", &[1]),
                ("dir2", "moved", &[0, 7]),
            ],
        ),
    ];
    for (case, wanted) in cases {
        alter(pair, case, wanted)?;
        describe(pair, case, &[("moved", &[0, 1])])?;
    }
    alter(pair, "illegal name", &[("dir1", "a b", &[0]), ("dir1", "", &[0])])?;
    alter(pair, "the metadata", &[("dir1", "__cluster_metadata", &[0])])?;
    // Of two wishes in one request the last counts.
    alter(pair, "twice", &[("/no/such/dir", "far", &[0]), ("dir0", "far", &[0])])
}

/// A whole move, seen before and after it.
fn moved(pair: &mut Pair) -> anyhow::Result<()> {
    fill(pair, "moved", 1, 3)?;
    alter(pair, "a move", &[("dir2", "moved", &[1])])?;
    for side in pair.sides() {
        arrived(side, "moved", 1, "dir2")?;
    }
    describe(pair, "moved", &[("moved", &[0, 1])])?;
    same_records(pair, "moved", 1)?;
    fill(pair, "moved", 1, 1)?;
    same_records(pair, "moved", 1)
}

/// A move that is slow: changed to a third directory, called off, ended.
fn half_done(pair: &mut Pair) -> anyhow::Result<()> {
    fill(pair, "far", 0, 8)?;
    set(pair, "1", RATE, Some("1000"))?;
    alter(pair, "a slow move", &[("dir1", "far", &[0])])?;
    for side in pair.sides() {
        half_way(side, "far", 0, "dir0", "dir1")?;
    }
    describe(pair, "half way", &[("far", &[0])])?;
    alter(pair, "the same again", &[("dir1", "far", &[0])])?;
    describe(pair, "the same again", &[("far", &[0])])?;
    fill(pair, "far", 0, 1)?;
    same_records(pair, "far", 0)?;
    alter(pair, "to a third one", &[("dir2", "far", &[0])])?;
    for side in pair.sides() {
        until("no copy in dir1", side, |side| {
            let found = super::places::places(side, "far", 0)?;
            let second = |place: &super::places::Place| place.dir == "dir2" && place.is_copy;
            Ok(found.len() == 2 && found.iter().any(second))
        })?;
    }
    alter(pair, "to where it is", &[("dir0", "far", &[0])])?;
    for side in pair.sides() {
        arrived(side, "far", 0, "dir0")?;
    }
    describe(pair, "called off", &[("far", &[0])])?;
    alter(pair, "once more", &[("dir1", "far", &[0])])?;
    set(pair, "1", RATE, None)?;
    for side in pair.sides() {
        arrived(side, "far", 0, "dir1")?;
    }
    describe(pair, "at last", &[("far", &[0])])?;
    same_records(pair, "far", 0)?;
    to_and_fro(pair)
}

/// Each of them at once, many times over.
fn to_and_fro(pair: &mut Pair) -> anyhow::Result<()> {
    for round in 0..3 {
        for dir in ["dir0", "dir1", "dir2"] {
            let all = [(dir, "far", &[0][..]), (dir, "moved", &[0, 1])];
            let what = |side: &Side| -> AlterReplicaLogDirsRequest { request(side, &all) };
            for side in pair.sides() {
                let asked = what(side);
                let answer = side.ask(2, &asked)?;
                anyhow::ensure!(
                    codes(&answer).iter().all(|code| *code == ErrorCode::None),
                    "round {round}: {answer:?}"
                );
                for (topic, index) in [("far", 0), ("moved", 0), ("moved", 1)] {
                    arrived(side, topic, index, dir)?;
                }
            }
        }
        fill(pair, "far", 0, 1)?;
    }
    describe(pair, "after many moves", &[("far", &[0]), ("moved", &[0, 1])])?;
    same_records(pair, "far", 0)?;
    same_records(pair, "moved", 1)
}

/// Every byte of the partition.
pub(super) fn same_records(pair: &mut Pair, topic: &str, index: i32) -> anyhow::Result<()> {
    let mut next = 0;
    loop {
        let request = |_: &Side| fetch(topic, index, next);
        let [kafka, _] = pair.outcomes("records", FETCH_BY_NAME, request, |_| ())?;
        let Ok(answer) = kafka else { anyhow::bail!("Kafka closes the connection") };
        let partition = answer.responses.iter().flat_map(|topic| &topic.partitions).next();
        let Some(partition) = partition else { anyhow::bail!("no partition") };
        let records = partition.records.as_ref().map(|records| records.to_bytes());
        let bytes = records.unwrap_or_default();
        let before = next;
        for batch in ottla_records::Batches::new(&bytes).map_while(Result::ok) {
            next = batch.header().next_offset().get();
        }
        if next == before {
            return Ok(());
        }
    }
}
