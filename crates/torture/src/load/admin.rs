//! The administrator: commits offsets, creates and deletes topics, deletes records, changes
//! settings, one after the other. Must not know what happened to the broker.

use std::time::{Duration, Instant};

use anyhow::Context;
use ottla_protocol::ProduceRequest;
use ottla_records::Compression;

use super::batch;
use crate::history::{Origin, Policy, Register};
use crate::payload::Shape;
use crate::scene::Scene;
use crate::seeded::Seeded;
use crate::wire::{self, Client, Code};
use crate::world::SETTING;

/// The topic of committed offsets. A part of it lies in each log directory.
pub(super) const OFFSETS: &str = "__consumer_offsets";

/// How long something is asked for that is not ready yet.
const PATIENCE: Duration = Duration::from_secs(10);

/// Works until the scene ends.
pub(super) fn run(scene: &Scene, client: &mut Client, mut seeded: Seeded) -> anyhow::Result<()> {
    while !scene.is_stopped() {
        match seeded.below(12) {
            0..=5 => commit(scene, client, &mut seeded)?,
            6 | 7 => change_topic(scene, client, &mut seeded)?,
            8 | 9 => delete_records(scene, client, &mut seeded)?,
            _ => set(scene, client, &mut seeded)?,
        }
        if !scene.failing().is_empty() && scene.has_fired() {
            return Ok(());
        }
    }
    Ok(())
}

/// Creates the topics that stay and do not exist yet.
///
/// # Errors
/// The broker refuses, or its connection fails.
pub fn create_topics(scene: &Scene, client: &mut Client) -> anyhow::Result<()> {
    let names: Vec<String> = {
        let world = scene.world();
        let lasting = world.topics.values().filter(|topic| !topic.plan.comes_and_goes);
        let missing = lasting.filter(|topic| topic.life.last().is_none());
        missing.map(|topic| topic.plan.name.clone()).collect()
    };
    for name in names {
        create(scene, client, &name)?;
    }
    settled(scene, || client.find_coordinator("group-0"))?;
    Ok(())
}

/// Asks until the answer is no longer that something is not ready yet.
fn settled(scene: &Scene, mut ask: impl FnMut() -> anyhow::Result<Code>) -> anyhow::Result<Code> {
    let end = Instant::now() + PATIENCE;
    loop {
        let code = ask()?;
        scene.still_powered()?;
        if !matches!(code, 3 | 5 | 6 | 14..=16) || scene.has_fired() {
            return Ok(code);
        }
        anyhow::ensure!(Instant::now() < end, "error {code} for {PATIENCE:?}");
    }
}

fn commit(scene: &Scene, client: &mut Client, seeded: &mut Seeded) -> anyhow::Result<()> {
    let lasting = scene.world().lasting();
    let Some((topic, index)) = seeded.one_of(&lasting).cloned() else { return Ok(()) };
    let group = format!("group-{}", seeded.below(4));
    let key = (group.clone(), topic.clone(), index);
    let offset = {
        let mut world = scene.world();
        let offset = i64::try_from(world.number())?;
        world.commits.entry(key.clone()).or_insert_with(|| Register::new(-1)).asked(offset);
        offset
    };
    let code = settled(scene, || client.commit(&group, &topic, index, offset))?;
    let mut world = scene.world();
    let Some(register) = world.commits.get_mut(&key) else { return Ok(()) };
    if code == 0 {
        register.acked();
    } else if !(matches!(code, 14..=16) && scene.is_offline(OFFSETS, 0)) {
        drop(world);
        scene.refused("a commit", &topic, index, code);
    }
    Ok(())
}

fn change_topic(scene: &Scene, client: &mut Client, seeded: &mut Seeded) -> anyhow::Result<()> {
    let candidates: Vec<(String, bool)> = {
        let world = scene.world();
        let changing = world.topics.values().filter(|topic| topic.plan.comes_and_goes);
        changing.map(|topic| (topic.plan.name.clone(), topic.life.last().is_some())).collect()
    };
    match seeded.one_of(&candidates).cloned() {
        Some((name, true)) => delete(scene, client, &name),
        Some((name, false)) => {
            create(scene, client, &name)?;
            fill(scene, client, &name)
        }
        None => Ok(()),
    }
}

/// Creates a topic.
///
/// # Errors
/// No answer.
pub fn create(scene: &Scene, client: &mut Client, name: &str) -> anyhow::Result<()> {
    let (incarnation, plan) = {
        let mut world = scene.world();
        let incarnation = world.create_asked(name);
        (incarnation, world.topics.get(name).map(|topic| topic.plan.clone()))
    };
    let (Some(incarnation), Some(plan)) = (incarnation, plan) else { return Ok(()) };
    let (code, id) = client.create_topic(name, plan.partitions, &plan.configs)?;
    scene.still_powered()?;
    let mut world = scene.world();
    let Some(topic) = world.topics.get_mut(name) else { return Ok(()) };
    if code == 0 {
        topic.life.acked();
        topic.incarnations.retain(|number, _| *number == incarnation);
        if let Some(made) = topic.incarnations.get_mut(&incarnation) {
            made.id = Some(id);
        }
    } else {
        drop(world);
        scene.refused("a creation", name, -1, code);
    }
    Ok(())
}

/// Deletes a topic.
///
/// # Errors
/// No answer.
pub fn delete(scene: &Scene, client: &mut Client, name: &str) -> anyhow::Result<()> {
    if let Some(topic) = scene.world().topics.get_mut(name) {
        topic.life.asked(None);
    }
    let code = client.delete_topic(name)?;
    scene.still_powered()?;
    if code != 0 {
        scene.refused("a deletion", name, -1, code);
        return Ok(());
    }
    let mut world = scene.world();
    if let Some(topic) = world.topics.get_mut(name) {
        topic.life.acked();
        topic.incarnations.clear();
    }
    // A topic's offsets go with it.
    world.commits.retain(|(_, topic, _), _| topic != name);
    Ok(())
}

/// A few records in each partition of a new topic.
fn fill(scene: &Scene, client: &mut Client, name: &str) -> anyhow::Result<()> {
    let partitions = scene.world().topics.get(name).map_or(0, |topic| topic.plan.partitions);
    for index in 0..partitions {
        let (drawn, bytes) = {
            let mut world = scene.world();
            let origin = Origin { stream: world.number(), number: 0, idempotent: false };
            let drawn = world.draw(name, index, origin, &[Shape::Small, Shape::Small]);
            let Some(drawn) = drawn else { return Ok(()) };
            let bytes = batch::build(&drawn.records, Compression::None, None)?;
            (drawn, bytes)
        };
        let mut base = -1;
        let code = settled(scene, || {
            let request = wire::produce(-1, vec![(name.to_owned(), index, bytes.clone())]);
            let answer = batch::only(ask_produce(client, &request)?)?;
            base = answer.base_offset;
            Ok(answer.error_code)
        })?;
        if code == 0 {
            scene.world().acked(name, index, base, &drawn.ids);
        } else {
            scene.refused("a first batch", name, index, code);
        }
    }
    Ok(())
}

/// Appends a batch with acks=all; what was answered.
///
/// # Errors
/// No answer.
pub fn append(
    scene: &Scene,
    client: &mut Client,
    topic: &str,
    index: i32,
    shapes: &[Shape],
) -> anyhow::Result<Code> {
    let (drawn, bytes) = {
        let mut world = scene.world();
        let origin = Origin { stream: world.number(), number: 0, idempotent: false };
        let drawn = world.draw(topic, index, origin, shapes);
        let drawn = drawn.with_context(|| format!("there is no {topic}-{index}"))?;
        let bytes = batch::build(&drawn.records, Compression::None, None)?;
        (drawn, bytes)
    };
    let request = wire::produce(-1, vec![(topic.to_owned(), index, bytes)]);
    let answer = batch::only(ask_produce(client, &request)?)?;
    scene.still_powered()?;
    if answer.error_code == 0 {
        scene.world().acked(topic, index, answer.base_offset, &drawn.ids);
    }
    Ok(answer.error_code)
}

fn ask_produce(
    client: &mut Client,
    request: &ProduceRequest,
) -> anyhow::Result<ottla_protocol::ProduceResponse> {
    client.connection.ask(wire::PRODUCE, request)
}

fn delete_records(scene: &Scene, client: &mut Client, seeded: &mut Seeded) -> anyhow::Result<()> {
    let (topic, index, offset) = {
        let mut world = scene.world();
        let mut whole = world.lasting();
        whole.retain(|(topic, _)| {
            world.topics.get(topic).is_some_and(|topic| topic.plan.policy == Policy::Whole)
        });
        let Some((topic, index)) = seeded.one_of(&whole).cloned() else { return Ok(()) };
        let Some(partition) = world.partition(&topic, index) else { return Ok(()) };
        let history = &partition.history;
        let (start, end) = (history.start(), history.end());
        let room = u64::try_from(end - start)?;
        // Now and then all of it.
        let part = if seeded.once_in(10) { room } else { seeded.below(room / 2 + 1) };
        let offset = start + i64::try_from(part)?;
        (topic, index, offset)
    };
    delete_to(scene, client, &topic, index, offset)
}

/// Deletes the records of a partition below an offset.
///
/// # Errors
/// No answer.
pub fn delete_to(
    scene: &Scene,
    client: &mut Client,
    topic: &str,
    index: i32,
    offset: i64,
) -> anyhow::Result<()> {
    if let Some(partition) = scene.world().partition(topic, index) {
        partition.history.delete_asked(offset);
    }
    let (code, start) = client.delete_records(topic, index, offset)?;
    scene.still_powered()?;
    if code == 0 {
        if let Some(partition) = scene.world().partition(topic, index) {
            partition.history.delete_acked(start);
        }
    } else {
        scene.refused("a deletion of records", topic, index, code);
    }
    Ok(())
}

/// Changes a setting of a topic.
///
/// # Errors
/// No answer.
pub fn set(scene: &Scene, client: &mut Client, seeded: &mut Seeded) -> anyhow::Result<()> {
    let (name, value) = {
        let mut world = scene.world();
        let existing = world.topics.values().filter(|topic| topic.life.last().is_some());
        let names: Vec<String> = existing.map(|topic| topic.plan.name.clone()).collect();
        let value = 86_400_000 + world.number();
        let Some(name) = seeded.one_of(&names).cloned() else { return Ok(()) };
        if let Some(topic) = world.topics.get_mut(&name) {
            topic.setting.asked(Some(value));
        }
        (name, value)
    };
    set_to(scene, client, &name, value)
}

/// Sets a topic's setting that was noted as asked for.
fn set_to(scene: &Scene, client: &mut Client, name: &str, value: u64) -> anyhow::Result<()> {
    let code = client.set(name, SETTING, &value.to_string())?;
    scene.still_powered()?;
    if code == 0 {
        if let Some(topic) = scene.world().topics.get_mut(name) {
            topic.setting.acked();
        }
    } else {
        scene.refused("a setting", name, -1, code);
    }
    Ok(())
}
