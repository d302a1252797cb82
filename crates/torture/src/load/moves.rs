//! Who moves partitions from one log directory to another, all the time. Must not know what happened
//! to the broker.

use std::time::{Duration, Instant};

use super::admin::OFFSETS;
use crate::scene::Scene;
use crate::seeded::Seeded;
use crate::wire::{Client, Code};

/// How long a partition is waited for before another one moves too.
const WAIT: Duration = Duration::from_millis(200);

/// `UNKNOWN_TOPIC_OR_PARTITION` and `REPLICA_NOT_AVAILABLE`: it is not there, or not yet.
const ABSENT: [Code; 2] = [3, 9];

/// Works until the scene ends.
pub(super) fn run(scene: &Scene, client: &mut Client, mut seeded: Seeded) -> anyhow::Result<()> {
    let dirs: Vec<String> = client.log_dirs()?.into_iter().map(|(_, path, _)| path).collect();
    while !scene.is_stopped() {
        let all = movable(scene);
        let Some((topic, index, stays)) = seeded.one_of(&all).cloned() else { return Ok(()) };
        let Some(to) = seeded.one_of(&dirs) else { return Ok(()) };
        let code = client.move_to(&topic, index, to)?;
        scene.still_powered()?;
        if code != 0 && (stays || !ABSENT.contains(&code)) {
            scene.refused("a move", &topic, index, code);
        }
        // Now and then several move at once, or one is called back on its way.
        if !seeded.once_in(3) && wait(scene, client, &topic, index, to)? {
            scene.world().moved += 1;
        }
    }
    Ok(())
}

/// All partitions, and whether they are always there.
fn movable(scene: &Scene) -> Vec<(String, i32, bool)> {
    let world = scene.world();
    let mut all = Vec::new();
    for topic in world.topics.values() {
        let stays = !topic.plan.comes_and_goes;
        let indexes = 0..topic.plan.partitions;
        all.extend(indexes.map(|index| (topic.plan.name.clone(), index, stays)));
    }
    all.extend((0..2).map(|index| (OFFSETS.to_owned(), index, false)));
    all
}

/// Whether the partition is in this log directory after a while.
fn wait(
    scene: &Scene,
    client: &mut Client,
    topic: &str,
    index: i32,
    to: &str,
) -> anyhow::Result<bool> {
    let end = Instant::now() + WAIT;
    while !scene.is_stopped() && Instant::now() < end {
        let dirs = client.log_dirs()?;
        let is_it = |(name, at): &(String, i32)| name == topic && *at == index;
        let there = |(_, path, partitions): &(Code, String, Vec<(String, i32)>)| {
            path == to && partitions.iter().any(is_it)
        };
        if dirs.iter().any(there) {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(false)
}
