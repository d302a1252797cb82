//! The plain producer: batches for several partitions in one request, every codec, nothing sent
//! twice. Must not know what happened to the broker.

use std::collections::VecDeque;

use bytes::Bytes;
use ottla_protocol::ProduceRequest;
use ottla_records::Compression;

use super::batch;
use crate::history::{Origin, Policy, Rule};
use crate::scene::Scene;
use crate::seeded::Seeded;
use crate::wire::{self, Client};
use crate::world::{self, World};

/// Requests in flight.
const DEPTH: usize = 3;

/// A batch on its way.
struct Part {
    topic: String,
    index: i32,
    ids: Vec<u64>,
    /// The disk had failed before it was sent.
    is_late: bool,
}

struct Sent {
    correlation: i32,
    parts: Vec<Part>,
}

/// Produces until the scene ends.
pub(super) fn run(scene: &Scene, client: &mut Client, mut seeded: Seeded) -> anyhow::Result<()> {
    let stream = scene.world().number();
    let mut number = 0;
    let mut flight = VecDeque::new();
    loop {
        while flight.len() < DEPTH && !scene.is_stopped() {
            match send(scene, client, &mut seeded, stream, &mut number)? {
                Some(sent) => flight.push_back(sent),
                None => break,
            }
        }
        let Some(sent) = flight.pop_front() else { return Ok(()) };
        hear(scene, client, sent)?;
    }
}

fn send(
    scene: &Scene,
    client: &mut Client,
    seeded: &mut Seeded,
    stream: u64,
    number: &mut u64,
) -> anyhow::Result<Option<Sent>> {
    let mut world = scene.world();
    let mut targets = world.lasting();
    let loose = seeded.once_in(6);
    targets.retain(|(topic, _)| is_loose(&world, topic) == loose);
    let (mut parts, mut batches): (Vec<Part>, Vec<(String, i32, Bytes)>) = Default::default();
    for _ in 0..seeded.between(1, 4) {
        let Some((topic, index)) = seeded.one_of(&targets).cloned() else { break };
        targets.retain(|target| *target != (topic.clone(), index));
        let compacted = world.topics.get(&topic).map(|t| t.plan.policy) == Some(Policy::Compacted);
        let shapes = world::shapes(seeded, compacted);
        let origin = Origin { stream, number: *number, idempotent: false };
        *number += shapes.len() as u64;
        let Some(drawn) = world.draw(&topic, index, origin, &shapes) else { continue };
        let codec = seeded.one_of(&Compression::ALL).copied().unwrap_or_default();
        batches.push((topic.clone(), index, batch::build(&drawn.records, codec, None)?));
        let is_late = scene.is_late(&topic, index);
        parts.push(Part { topic, index, ids: drawn.ids, is_late });
    }
    drop(world);
    if parts.is_empty() {
        return Ok(None);
    }
    // What the operating system is trusted with is not waited for, either.
    let acks = if loose { 1 } else { -1 };
    let correlation = client.connection.tell(wire::PRODUCE, &wire::produce(acks, batches))?;
    Ok(Some(Sent { correlation, parts }))
}

fn is_loose(world: &World, topic: &str) -> bool {
    world.topics.get(topic).is_some_and(|topic| {
        topic.plan.configs.iter().any(|(name, value)| name == "flush.mode" && value == "os")
    })
}

fn hear(scene: &Scene, client: &mut Client, sent: Sent) -> anyhow::Result<()> {
    let answer = client.connection.hear::<ProduceRequest>(wire::PRODUCE, sent.correlation)?;
    let answers = batch::answers(answer);
    for part in sent.parts {
        let answer = answers
            .iter()
            .find(|(topic, answer)| *topic == part.topic && answer.index == part.index);
        let Some((topic, answer)) = answer else {
            anyhow::bail!("nothing in the answer about {}-{}", part.topic, part.index);
        };
        if answer.error_code != 0 {
            scene.refused("a batch", topic, part.index, answer.error_code);
            continue;
        }
        if !part.is_late {
            scene.still_powered()?;
        }
        let mut world = scene.world();
        if part.is_late && !is_loose(&world, topic) {
            let what = format!("a batch to {topic}-{} is acknowledged", part.index);
            world.wrong(Rule::AfterFailure, what);
        }
        world.acked(topic, part.index, answer.base_offset, &part.ids);
    }
    Ok(())
}
