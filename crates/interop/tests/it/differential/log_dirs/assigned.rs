//! Where a partition is, as the metadata log has it. Must not know what moved it.

use std::fs;

use anyhow::{Context, ensure};
use ottla_protocol::{MetadataRecord, Uuid};
use ottla_records::{Batches, Scratch};

use super::super::pair::Side;
use super::until;
use crate::files::files;

/// Restarts after which a move has to be settled.
const RESTARTS: usize = 10;

/// Stops the broker once its metadata says that the partition is in `dir`.
///
/// Kafka promotes a copy after the controller has taken its directory down. A broker that hears of
/// that before it has promoted the copy reports the old directory, which it corrects when it hears
/// of its own report (`ReplicaManager.maybeUpdateTopicAssignment`). Stopped in between, and started
/// without the new directory, it begins the partition anew in the old one. A start with both
/// directories reports once more.
pub(super) fn stop_when_assigned(
    side: &mut Side,
    topic: &str,
    index: i32,
    dir: &str,
) -> anyhow::Result<()> {
    let wanted = directory_id(side, dir)?;
    for _ in 0..RESTARTS {
        until(&format!("{topic}-{index} assigned to {dir}"), side, |side| {
            Ok(assigned(side, topic, index)? == Some(wanted))
        })?;
        side.broker.stop()?;
        if assigned(side, topic, index)? == Some(wanted) {
            return Ok(());
        }
        side.broker.start_again()?;
        side.connect_again()?;
    }
    anyhow::bail!("{topic}-{index} is never assigned to {dir} for good\n{}", side.broker.log())
}

/// The id that a log directory has in its `meta.properties`.
fn directory_id(side: &Side, dir: &str) -> anyhow::Result<Uuid> {
    let text = fs::read_to_string(format!("{}/meta.properties", side.word(dir)))?;
    let id = text.lines().find_map(|line| line.strip_prefix("directory.id="));
    let id = id.with_context(|| format!("{dir} has no id in\n{text}"))?;
    Uuid::parse(id.trim()).with_context(|| format!("{id} is no id"))
}

/// The directory of the partition's only replica by the last record that names one.
fn assigned(side: &Side, topic: &str, index: i32) -> anyhow::Result<Option<Uuid>> {
    let topic = side.id(topic);
    ensure!(!topic.is_zero(), "the topic's id was not learned");
    let mut last = None;
    for record in metadata(side)? {
        let (of, directories) = if let MetadataRecord::Partition(record) = record {
            ((record.topic_id, record.partition_id), record.directories)
        } else if let MetadataRecord::PartitionChange(record) = record {
            ((record.topic_id, record.partition_id), record.directories.unwrap_or_default())
        } else {
            continue;
        };
        if of == (topic, index) {
            last = directories.first().copied().or(last);
        }
    }
    Ok(last)
}

/// The records of the metadata log so far; a batch that is still being written ends them.
fn metadata(side: &Side) -> anyhow::Result<Vec<MetadataRecord>> {
    let folder = side.broker.data()?.join("__cluster_metadata-0");
    let mut records = Vec::new();
    for segment in files(&folder, "log")? {
        let bytes = fs::read(segment)?;
        for batch in Batches::new(&bytes).map_while(Result::ok) {
            if batch.header().attributes.is_control() {
                continue;
            }
            for record in batch.records(&mut Scratch::new(), bytes.len())? {
                let value = record?.value.context("a record without value")?;
                records.push(MetadataRecord::decode(value.to_vec().into())?);
            }
        }
    }
    Ok(records)
}
