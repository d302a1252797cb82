//! The small text files: checkpoints, `partition.metadata`, `meta.properties`, the marker of a
//! clean stop, `quorum-state`. Must not know what their content leads to.

use std::path::Path;

use ottla_env::Disk;
use ottla_log::{decode_offsets, decode_partition_metadata};
use ottla_partition::EpochCache;
use ottla_protocol::QuorumStateData;

use super::row;
use crate::error::InspectError;
use crate::json::Json;
use crate::kind::Kind;
use crate::out::Out;

pub(super) fn dump(
    disk: &dyn Disk,
    path: &Path,
    kind: Kind,
    out: &mut Out<'_>,
) -> Result<(), InspectError> {
    let content = disk.read(path)?;
    let fault = match std::str::from_utf8(&content) {
        Ok(text) => lines(path, text, kind, out)?,
        Err(_) => Some("it is no text".to_owned()),
    };
    let Some(fault) = fault else { return Ok(()) };
    out.say(
        || format!("{} cannot be read: {fault}", path.display()),
        || row("unreadable", path, [("reason", fault.clone().into())]),
    )
}

/// Shows a file, or says why it cannot be read.
fn lines(
    path: &Path,
    text: &str,
    kind: Kind,
    out: &mut Out<'_>,
) -> Result<Option<String>, InspectError> {
    let shown = match kind {
        Kind::LeaderEpochs => epochs(path, text),
        Kind::OffsetCheckpoint => offsets(path, text),
        Kind::PartitionMetadata => decode_partition_metadata(text).map(|id| {
            let id = id.to_string();
            vec![(
                format!("version: 0 topicId: {id}"),
                row("partitionMetadata", path, [("version", Json::Int(0)), ("topicId", id.into())]),
            )]
        }),
        Kind::MetaProperties => Ok(properties(path, text)),
        Kind::CleanShutdown => Ok(vec![(
            text.trim().to_owned(),
            row("cleanShutdown", path, [("content", text.trim().to_owned().into())]),
        )]),
        Kind::QuorumState => quorum(path, text),
        Kind::Log(_)
        | Kind::OffsetIndex(_)
        | Kind::TimeIndex(_)
        | Kind::TxnIndex(_)
        | Kind::Snapshot(_)
        | Kind::MetadataSnapshot
        | Kind::Passing
        | Kind::Other => Ok(Vec::new()),
    };
    match shown {
        Ok(lines) => {
            for (text, json) in lines {
                out.say(|| text, || json)?;
            }
            Ok(None)
        }
        Err(fault) => Ok(Some(fault)),
    }
}

type Lines = Vec<(String, Json)>;

fn epochs(path: &Path, text: &str) -> Result<Lines, String> {
    let cache = EpochCache::decode_checkpoint(text).map_err(|error| error.to_string())?;
    let line = |entry: &ottla_partition::EpochEntry| {
        let (epoch, start) = (entry.epoch, entry.start_offset);
        let fields = [("epoch", epoch.0.into()), ("startOffset", start.0.into())];
        (format!("epoch: {epoch} startOffset: {start}"), row("leaderEpoch", path, fields))
    };
    Ok(cache.entries().iter().map(line).collect())
}

fn offsets(path: &Path, text: &str) -> Result<Lines, String> {
    let offsets = decode_offsets(text)?;
    let line = |(partition, offset): (&ottla_log::TopicPartition, &ottla_protocol::Offset)| {
        let (topic, number) = (&partition.topic, partition.partition);
        let fields = [
            ("topic", topic.to_string().into()),
            ("partition", number.into()),
            ("offset", offset.0.into()),
        ];
        (
            format!("topic: {topic} partition: {number} offset: {offset}"),
            row("offset", path, fields),
        )
    };
    Ok(offsets.iter().map(line).collect())
}

/// Shown as they stand: the tool must not hide what the decoder passes over.
fn properties(path: &Path, text: &str) -> Lines {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines
        .map(|line| {
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            let fields = [("key", key.to_owned().into()), ("value", value.to_owned().into())];
            (line.to_owned(), row("property", path, fields))
        })
        .collect()
}

fn quorum(path: &Path, text: &str) -> Result<Lines, String> {
    let (state, version) = QuorumStateData::from_json(text).map_err(|error| error.to_string())?;
    let json = row(
        "quorumState",
        path,
        [
            ("dataVersion", i32::from(version).into()),
            ("leaderId", state.leader_id.into()),
            ("leaderEpoch", state.leader_epoch.into()),
            ("votedId", state.voted_id.into()),
            ("votedDirectoryId", state.voted_directory_id.to_string().into()),
        ],
    );
    Ok(vec![(text.trim().to_owned(), json)])
}
