//! `kill -9` while partitions move: in the middle of a copy, and when it takes the log's place.
//! What was acknowledged is there, once, at its offset, in one directory.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use ottla_interop::broker::{Broker, Kind};

use super::{Client, arrived, dirs, served};
use crate::both_ways::kafka_log;
use crate::wire::requests::one;

const TOPIC: &str = "killed";
const PARTITIONS: i32 = 4;
const ROUNDS: u64 = 16;

/// What was acknowledged: partition, offset, value.
type Acknowledged = Vec<(i32, i64, String)>;

/// A sequence of numbers that looks like none.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[test]
fn a_broker_that_is_killed_while_partitions_move_loses_nothing() -> anyhow::Result<()> {
    let kind = Kind::chosen();
    let mut broker = Broker::movable(kind.clone(), &super::SETTINGS, 3)?;
    let dirs = dirs(&broker)?;
    let mut client = Client::of(&broker)?;
    client.create(TOPIC, PARTITIONS)?;
    for index in 0..PARTITIONS {
        served(&mut client, TOPIC, index)?;
        // A copy that is not done at once.
        for number in 0..4 {
            let value = format!("{number} of what was there{}", "-".repeat(400_000));
            let (code, _) = client.produce(TOPIC, index, one(&value))?;
            ensure!(code == 0, "error {code}");
        }
    }
    let mut acknowledged = Acknowledged::new();
    let mut random = Random(0x0dd_ba11);
    let mut begun = 0;
    for round in 0..ROUNDS {
        // Half of the time a copy is slow, so that it is there when the kill comes.
        let rate = (round % 2 == 0).then(|| (1 + random.below(20)).to_string() + "000000");
        Client::of(&broker)?.throttle(rate.as_deref())?;
        begun += turn(&mut broker, &dirs, &mut random, &mut acknowledged)?;
        broker.start_again()?;
        check(&broker, &dirs, &acknowledged).with_context(|| format!("round {round}"))?;
    }
    ensure!(begun > 50, "only {begun} moves");
    ensure!(acknowledged.len() > 200, "only {} records", acknowledged.len());
    println!("{begun} moves, {} records, {ROUNDS} kills", acknowledged.len());
    let mut client = Client::of(&broker)?;
    client.throttle(None)?;
    for index in 0..PARTITIONS {
        arrived(&mut client, &dirs, (TOPIC, index), None)?;
    }
    broker.stop()?;
    if kind == Kind::Ottla {
        remove_set_aside(&dirs)?;
        broker.start_again_as(Kind::Kafka)?;
        kafka_log::check(&broker.said()?, true)?;
        check(&broker, &dirs, &acknowledged).context("Kafka")?;
    }
    Ok(())
}

/// A kill between the two renames of a move leaves two logs of a partition, of which the start sets
/// the shorter aside for its owner to look at. Every start was checked to serve all that was
/// acknowledged from the other; Kafka, which warns of what is set aside, gets the rest.
fn remove_set_aside(dirs: &[String]) -> anyhow::Result<()> {
    for dir in dirs {
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with("-stray") {
                ensure!(name.starts_with(&format!("{TOPIC}-")), "{dir}/{name} is set aside");
                std::fs::remove_dir_all(entry.path())?;
            }
        }
    }
    Ok(())
}

/// Produces and moves until the broker is killed; how many moves were begun.
fn turn(
    broker: &mut Broker,
    dirs: &[String],
    random: &mut Random,
    acknowledged: &mut Acknowledged,
) -> anyhow::Result<usize> {
    let (over, begun) = (AtomicBool::new(false), AtomicUsize::new(0));
    let clients: Vec<Client> =
        (0..PARTITIONS).map(|_| Client::of(broker)).collect::<Result<_, _>>()?;
    let mut mover = Client::of(broker)?;
    let mut chosen = Random(random.below(u64::MAX) | 1);
    let pause = Duration::from_millis(100 + random.below(500));
    std::thread::scope(|scope| {
        let over = &over;
        let producers: Vec<_> = (0..PARTITIONS)
            .zip(clients)
            .map(|(index, mut client)| {
                scope.spawn(move || {
                    let mut sent = Acknowledged::new();
                    let mut number = 0_u64;
                    // The kill ends it.
                    while !over.load(Ordering::Relaxed) {
                        let value = format!("{index}:{number}:{}", "+".repeat(500));
                        match client.produce(TOPIC, index, one(&value)) {
                            Ok((0, offset)) => sent.push((index, offset, value)),
                            Ok(_) => {}
                            Err(_killed) => break,
                        }
                        number += 1;
                    }
                    sent
                })
            })
            .collect();
        let moving = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let index = i32::try_from(chosen.below(4)).unwrap_or_default();
                let to = usize::try_from(chosen.below(3)).unwrap_or_default();
                let Some(dir) = dirs.get(to) else { break };
                match mover.alter(dir, TOPIC, index) {
                    Ok(0) => drop(begun.fetch_add(1, Ordering::Relaxed)),
                    Ok(_) => {}
                    Err(_killed) => break,
                }
                std::thread::sleep(Duration::from_millis(chosen.below(60)));
            }
        });
        std::thread::sleep(pause);
        let killed = broker.kill();
        over.store(true, Ordering::Relaxed);
        moving.join().map_err(|_| anyhow::anyhow!("the mover panicked"))?;
        for producer in producers {
            let sent = producer.join().map_err(|_| anyhow::anyhow!("a producer panicked"))?;
            acknowledged.extend(sent);
        }
        killed
    })?;
    Ok(begun.load(Ordering::Relaxed))
}

fn check(broker: &Broker, dirs: &[String], acknowledged: &Acknowledged) -> anyhow::Result<()> {
    let mut client = Client::of(broker)?;
    for index in 0..PARTITIONS {
        served(&mut client, TOPIC, index)?;
        let places = client.places(dirs, TOPIC, index)?;
        let logs = places.iter().filter(|(_, is_copy, ..)| !is_copy).count();
        ensure!(logs == 1 && places.len() <= 2, "{TOPIC}-{index} is in {places:?}");
        let found = client.read(TOPIC, index)?;
        for (at, (offset, _)) in found.iter().enumerate() {
            ensure!(i64::try_from(at)? == *offset, "{TOPIC}-{index}: {offset} follows {at}");
        }
        for (_, offset, value) in acknowledged.iter().filter(|(of, ..)| *of == index) {
            let there = usize::try_from(*offset).ok().and_then(|at| found.get(at));
            let same = there.is_some_and(|(_, there)| there == value.as_bytes());
            ensure!(same, "{TOPIC}-{index}: what was acknowledged at {offset} is not there");
        }
    }
    Ok(())
}
