//! The consumer: reads the ends of all partitions while they are written. What it was shown must
//! stay, acknowledged or not. Must not know what happened to the broker.

use std::collections::BTreeMap;

use crate::reading;
use crate::scene::Scene;
use crate::wire::Client;

const OFFSET_OUT_OF_RANGE: i16 = 1;

/// Reads until the scene ends.
pub(super) fn run(scene: &Scene, client: &mut Client) -> anyhow::Result<()> {
    let mut positions: BTreeMap<(String, i32), i64> = BTreeMap::new();
    while !scene.is_stopped() {
        {
            let mut world = scene.world();
            for (topic, index) in world.lasting() {
                let end = world.partition(&topic, index).map_or(0, |p| p.history.end());
                positions.entry((topic, index)).or_insert(end);
            }
        }
        let mut from: Vec<(&str, i32, i64)> = positions
            .iter()
            .map(|((topic, index), offset)| (topic.as_str(), *index, *offset))
            .collect();
        from.retain(|(topic, index, _)| !scene.is_offline(topic, *index));
        if from.is_empty() {
            return Ok(());
        }
        let answer = client.fetch(&from, 5)?;
        scene.still_powered()?;
        for part in answer {
            let key = (part.topic, part.data.partition_index);
            let Some(position) = positions.get_mut(&key) else { continue };
            match part.data.error_code {
                0 => *position = observe(scene, &key, *position, &part.data),
                // The log begins or ends elsewhere: on from what is certain.
                OFFSET_OUT_OF_RANGE => {
                    let mut world = scene.world();
                    let end = world.partition(&key.0, key.1).map_or(0, |p| p.history.end());
                    *position = end.max(part.data.log_start_offset);
                }
                code => scene.refused("a fetch", &key.0, key.1, code),
            }
        }
    }
    Ok(())
}

/// Notes what was read; the next position.
fn observe(
    scene: &Scene,
    (topic, index): &(String, i32),
    position: i64,
    data: &ottla_protocol::k01_fetch::PartitionData,
) -> i64 {
    let bytes = data.records.as_ref().map(ottla_protocol::Records::to_bytes).unwrap_or_default();
    if bytes.is_empty() {
        return position;
    }
    let (seed, epoch_ms, place) = {
        let mut world = scene.world();
        let place = world.partition(topic, *index).map(|partition| partition.place);
        let Some(place) = place else { return position };
        (world.seed, world.epoch_ms, place)
    };
    let batch = reading::read(seed, epoch_ms, place, position, &bytes);
    let mut world = scene.world();
    let partition = world.partition(topic, *index);
    let wrong = partition.map(|p| p.history.observed(&batch.records)).unwrap_or_default();
    world.violations.extend(wrong);
    batch.next
}
