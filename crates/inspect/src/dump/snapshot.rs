//! Producer snapshots, and the title of metadata snapshots. Must not know the producers' rules.

use std::path::Path;

use ottla_env::Disk;
use ottla_partition::{ProducerEntry, decode_snapshot};

use super::row;
use crate::error::InspectError;
use crate::json::Json;
use crate::out::Out;

/// What Kafka's tool says of a metadata snapshot by its name.
pub(super) fn title(name: &str) -> String {
    let ids = name.strip_suffix(".checkpoint").and_then(|id| id.split_once('-'));
    let number = |text: &str| text.parse::<i64>().ok();
    match ids.and_then(|(offset, epoch)| Some((number(offset)?, number(epoch)?))) {
        Some((offset, epoch)) => format!("Snapshot end offset: {offset}, epoch: {epoch}"),
        None => "KRaft bootstrap snapshot".to_owned(),
    }
}

pub(super) fn producers(
    disk: &dyn Disk,
    path: &Path,
    out: &mut Out<'_>,
) -> Result<(), InspectError> {
    match decode_snapshot(&disk.read(path)?) {
        Ok(entries) => {
            for entry in &entries {
                out.say(|| text(entry), || json(path, entry))?;
            }
            Ok(())
        }
        Err(error) => out.say(
            || format!("{} cannot be read: {error}", path.display()),
            || row("unreadable", path, [("reason", error.to_string().into())]),
        ),
    }
}

fn text(entry: &ProducerEntry) -> String {
    let first = entry.current_txn_first_offset.map_or_else(
        || "OptionalLong.empty".to_owned(),
        |offset| format!("OptionalLong[{offset}]"),
    );
    let mut line = format!(
        "producerId: {} producerEpoch: {} coordinatorEpoch: {} currentTxnFirstOffset: {first} \
         lastTimestamp: {} ",
        entry.producer_id, entry.producer_epoch, entry.coordinator_epoch, entry.last_timestamp
    );
    if let Some(batch) = entry.batches().first() {
        line.push_str(&format!(
            "firstSequence: {} lastSequence: {} lastOffset: {} offsetDelta: {} timestamp: {}",
            batch.first_sequence(),
            batch.last_sequence,
            batch.last_offset,
            batch.offset_delta,
            batch.timestamp
        ));
    }
    line
}

fn json(path: &Path, entry: &ProducerEntry) -> Json {
    let mut json = row(
        "producer",
        path,
        [
            ("producerId", entry.producer_id.0.into()),
            ("producerEpoch", i32::from(entry.producer_epoch.0).into()),
            ("coordinatorEpoch", entry.coordinator_epoch.into()),
            ("currentTxnFirstOffset", entry.current_txn_first_offset.map(|offset| offset.0).into()),
            ("lastTimestamp", entry.last_timestamp.0.into()),
        ],
    );
    if let Some(batch) = entry.batches().first() {
        json.put("firstSequence", batch.first_sequence());
        json.put("lastSequence", batch.last_sequence);
        json.put("lastOffset", batch.last_offset.0);
        json.put("offsetDelta", batch.offset_delta);
        json.put("timestamp", batch.timestamp.0);
    }
    json
}
