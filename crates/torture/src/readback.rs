//! After a restart: reads everything back and holds it against what is known. Must not know what
//! was done to the broker.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use ottla_protocol::Uuid;
use ottla_protocol::k03_metadata::MetadataResponseTopic;

use crate::history::{Content, Found, Policy, Rule};
use crate::payload::Place;
use crate::reading;
use crate::seeded::Seeded;
use crate::wire::{Client, LogDir};
use crate::world::{SETTING, World};

/// How long something may be loading after the broker said that it is ready.
const PATIENCE: Duration = Duration::from_secs(10);

const OFFSET_OUT_OF_RANGE: i16 = 1;
const UNKNOWN_TOPIC: i16 = 3;
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// What a look gave.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Records that had to be there.
    pub wanted: u64,
    /// Records that were there.
    pub records: u64,
}

/// Reads everything and notes in `world` what is wrong; what is right is certain from then on.
///
/// # Errors
/// The broker went away meanwhile: nothing is certain then.
pub fn verify(world: &mut World, client: &mut Client, seeded: &mut Seeded) -> anyhow::Result<Seen> {
    topics(world, client)?;
    let mut seen = Seen { wanted: world.known(), records: 0 };
    let existing: Vec<(String, i32)> = existing(world);
    for (topic, index) in &existing {
        let found = partition(world, client, topic, *index, seeded)?;
        seen.records += found.records.len() as u64;
    }
    commits(world, client)?;
    settings(world, client)?;
    places(world, client, &existing)?;
    Ok(seen)
}

/// Each partition is in one log directory.
fn places(
    world: &mut World,
    client: &mut Client,
    existing: &[(String, i32)],
) -> anyhow::Result<()> {
    // A move goes on after a start, and may end while it is asked.
    let misplaced = |dirs: &Vec<LogDir>| -> Vec<String> {
        let count = |partition: &(String, i32)| {
            dirs.iter().filter(|(_, _, lying)| lying.contains(partition)).count()
        };
        let counted = existing.iter().map(|partition| (partition, count(partition)));
        let wrong = counted.filter(|(_, count)| *count != 1);
        wrong.map(|((name, at), count)| format!("{name}-{at} is in {count}")).collect()
    };
    let dirs = within(|| client.log_dirs(), |dirs: &Vec<LogDir>| misplaced(dirs).is_empty())?;
    let wrong = misplaced(&dirs);
    if !wrong.is_empty() {
        world.wrong(Rule::Place, format!("{} log directories", wrong.join(", ")));
    }
    Ok(())
}

fn existing(world: &World) -> Vec<(String, i32)> {
    let existing = world.topics.values().filter(|topic| topic.life.last().is_some());
    existing
        .flat_map(|topic| (0..topic.plan.partitions).map(|index| (topic.plan.name.clone(), index)))
        .collect()
}

/// Asks until `ready` is content with the answer.
fn within<T>(
    mut ask: impl FnMut() -> anyhow::Result<T>,
    ready: impl Fn(&T) -> bool,
) -> anyhow::Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = ask()?;
        if ready(&answer) || Instant::now() >= end {
            return Ok(answer);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Which topics exist, under which ids, with all partitions online.
fn topics(world: &mut World, client: &mut Client) -> anyhow::Result<()> {
    let names: Vec<String> = world.topics.keys().cloned().collect();
    let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    let online = |topic: &MetadataResponseTopic| {
        topic.error_code == 0 && topic.partitions.iter().all(|p| p.error_code == 0)
    };
    let fits = |world: &World, found: &MetadataResponseTopic| {
        let name = found.name.as_deref().unwrap_or_default();
        let absent = found.error_code == UNKNOWN_TOPIC;
        let id = (!absent).then_some(found.topic_id);
        (absent || online(found)) && incarnation(world, name, id).is_some()
    };
    let answer = within(
        || client.metadata(&wanted),
        |answer: &Vec<_>| answer.iter().all(|found| fits(world, found)),
    )?;
    for found in &answer {
        let name = found.name.as_deref().unwrap_or_default();
        let absent = found.error_code == UNKNOWN_TOPIC;
        let id = (!absent).then_some(found.topic_id);
        if !absent && !online(found) {
            world.wrong(Rule::Topic, format!("{name} is not online: {found:?}"));
        }
        let Some(life) = incarnation(world, name, id) else {
            let life = world.topics.get(name).map(|topic| topic.life.clone());
            let what = format!("{name} has the id {id:?}, error {}; {life:?}", found.error_code);
            world.wrong(Rule::Topic, what);
            continue;
        };
        if life.is_none() {
            world.commits.retain(|(_, topic, _), _| topic != name);
        }
        let Some(topic) = world.topics.get_mut(name) else { continue };
        topic.life.settle(life);
        topic.incarnations.retain(|number, _| Some(*number) == life);
        if let Some(incarnation) = topic.incarnations.values_mut().next() {
            incarnation.id = id;
        }
    }
    anyhow::ensure!(answer.len() == names.len(), "{} topics of {}", answer.len(), names.len());
    Ok(())
}

/// Which of the possible incarnations has this id; none where that is not possible.
#[expect(clippy::option_option, reason = "that none exists is one of the possible answers")]
fn incarnation(world: &World, name: &str, id: Option<Uuid>) -> Option<Option<u64>> {
    let topic = world.topics.get(name)?;
    let fits = |life: &Option<u64>| match (life, id) {
        (None, None) => true,
        (Some(number), Some(id)) => {
            let known = topic.incarnations.get(number).and_then(|incarnation| incarnation.id);
            known.is_none_or(|known| known == id)
        }
        (None, Some(_)) | (Some(_), None) => false,
    };
    topic.life.possible().find(|life| fits(life)).copied()
}

/// Reads one partition from its start to its end.
fn partition(
    world: &mut World,
    client: &mut Client,
    topic: &str,
    index: i32,
    seeded: &mut Seeded,
) -> anyhow::Result<Found> {
    let (seed, epoch_ms) = (world.seed, world.epoch_ms);
    let partition = world.partition(topic, index).context("no such partition")?;
    let (place, policy) = (partition.place, partition.history.policy());
    let first = partition.history.start();
    let mut found = None;
    for _ in 0..5 {
        match read_all(client, topic, index, (seed, epoch_ms, place), first)? {
            Reading::Whole(all) => {
                found = Some(all);
                break;
            }
            // The log begins elsewhere by now.
            Reading::Moved => {}
            Reading::Refused(code) => {
                world.wrong(Rule::Refused, format!("{topic}-{index} gives error {code}"));
                return Ok(Found::default());
            }
            Reading::Stuck(all) => {
                let next = all.records.last().map_or(all.start, |record| record.offset + 1);
                let what = format!("{topic}-{index} gives nothing at {next}, before {}", all.end);
                world.wrong(Rule::Lost, what);
                found = Some(all);
                break;
            }
        }
    }
    let Some(found) = found else { bail!("{topic}-{index}: the log's start does not stay") };
    let partition = world.partition(topic, index).context("no such partition")?;
    let wrong = partition.history.check(&found);
    let is_undone = partition.history.settle(&found);
    world.undone += u64::from(is_undone);
    world.violations.extend(wrong);
    if matches!(policy, Policy::Whole | Policy::Loose) {
        look_up(world, client, topic, index, &found, seeded)?;
    }
    Ok(found)
}

/// How reading a partition went.
enum Reading {
    Whole(Found),
    /// Its start moved while it was read.
    Moved,
    /// An error that stays.
    Refused(i16),
    /// No error, and no records either.
    Stuck(Found),
}

fn read_all(
    client: &mut Client,
    topic: &str,
    index: i32,
    (seed, epoch_ms, place): (u64, i64, Place),
    first: i64,
) -> anyhow::Result<Reading> {
    let mut found = Found::default();
    let mut next = first;
    let mut is_first = true;
    let mut idle_since = None;
    loop {
        let ask = || -> anyhow::Result<_> {
            let fetched = client.fetch(&[(topic, index, next)], 0)?.pop();
            Ok(fetched.context("no partition in the answer")?.data)
        };
        let data = within(ask, |data| matches!(data.error_code, 0 | OFFSET_OUT_OF_RANGE))?;
        if data.error_code == OFFSET_OUT_OF_RANGE {
            if !is_first {
                return Ok(Reading::Moved);
            }
            let start = client.offsets_at(topic, &[(index, EARLIEST)])?;
            let (code, start) = *start.first().context("no offset in the answer")?;
            if code != 0 {
                return Ok(Reading::Refused(code));
            }
            if start == next {
                return Ok(Reading::Refused(OFFSET_OUT_OF_RANGE));
            }
            next = start;
            continue;
        }
        if data.error_code != 0 {
            return Ok(Reading::Refused(data.error_code));
        }
        if is_first {
            (found.start, is_first) = (data.log_start_offset, false);
            if next != found.start {
                next = found.start;
                continue;
            }
        } else if found.start != data.log_start_offset {
            return Ok(Reading::Moved);
        }
        found.end = data.high_watermark;
        if next >= found.end {
            return Ok(Reading::Whole(found));
        }
        let bytes = data.records.as_ref().map(ottla_protocol::Records::to_bytes);
        let batch = reading::read(seed, epoch_ms, place, next, &bytes.unwrap_or_default());
        if batch.next > next {
            idle_since = None;
        } else if *idle_since.get_or_insert_with(Instant::now) + PATIENCE < Instant::now() {
            return Ok(Reading::Stuck(found));
        }
        next = batch.next;
        found.bytes += batch.bytes;
        found.records.extend(batch.records);
    }
}

/// Looks up the ends and a few times, and holds the answers against the records.
fn look_up(
    world: &mut World,
    client: &mut Client,
    topic: &str,
    index: i32,
    found: &Found,
    seeded: &mut Seeded,
) -> anyhow::Result<()> {
    let times: Vec<(i64, i64)> = found
        .records
        .iter()
        .filter_map(|record| match record.content {
            Content::Record { timestamp, .. } => Some((timestamp, record.offset)),
            Content::Broken(_) => None,
        })
        .collect();
    let mut wanted: BTreeMap<i64, i64> = BTreeMap::new();
    if seeded.once_in(3) {
        wanted.insert(EARLIEST, found.start);
        wanted.insert(LATEST, found.end);
    }
    if let Some((time, _)) = seeded.one_of(&times) {
        let time = time + i64::try_from(seeded.below(3))? - 1;
        let first = times.iter().find(|(other, _)| *other >= time);
        wanted.insert(time, first.map_or(-1, |(_, offset)| *offset));
    }
    for (time, expected) in wanted {
        let answer = client.offsets_at(topic, &[(index, time)])?;
        let (code, offset) = *answer.first().context("no offset in the answer")?;
        if code != 0 || offset != expected {
            let what =
                format!("{topic}-{index} at {time}: {offset}, error {code}; {expected} expected");
            world.wrong(Rule::Timestamp, what);
        }
    }
    Ok(())
}

/// Committed offsets, with their metadata.
fn commits(world: &mut World, client: &mut Client) -> anyhow::Result<()> {
    let keys: Vec<_> = world.commits.keys().cloned().collect();
    if let Some((group, ..)) = keys.first() {
        // Their topic may not have been made before the crash.
        within(|| client.find_coordinator(group), |code| *code == 0)?;
    }
    for key in keys {
        let (group, topic, index) = &key;
        let (code, offset, metadata) = within(
            || client.committed(group, topic, *index),
            |(code, ..)| !matches!(code, 14..=16),
        )?;
        let Some(register) = world.commits.get_mut(&key) else { continue };
        let fits = metadata == if offset < 0 { String::new() } else { format!("at {offset}") };
        if code == 0 && fits && register.allows(&offset) {
            register.read(offset);
        } else {
            let what = format!("{key:?}: {offset} ({metadata}), error {code}; {register:?}");
            world.wrong(Rule::GroupOffset, what);
        }
    }
    Ok(())
}

/// The settings that were changed.
fn settings(world: &mut World, client: &mut Client) -> anyhow::Result<()> {
    let names: Vec<String> = {
        let existing = world.topics.values().filter(|topic| topic.life.last().is_some());
        let changed = existing.filter(|topic| topic.setting.possible().any(Option::is_some));
        changed.map(|topic| topic.plan.name.clone()).collect()
    };
    for name in names {
        let (code, value) = client.setting(&name, SETTING)?;
        let Some(topic) = world.topics.get_mut(&name) else { continue };
        let default = 86_400_000;
        let number: Option<u64> = value.parse().ok().filter(|number| *number != default);
        if code == 0 && topic.setting.allows(&number) {
            topic.setting.settle(number);
        } else {
            let what = format!("{name}: {value}, error {code}; {:?}", topic.setting);
            world.wrong(Rule::Setting, what);
        }
    }
    Ok(())
}
