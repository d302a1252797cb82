//! Up to where each log was cleaned, in memory and in `cleaner-offset-checkpoint` of its log
//! directory. Must not know when logs are cleaned.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_log::{LogError, Offsets};
use ottla_metadata::Image;
use ottla_protocol::Offset;
use parking_lot::Mutex;
use tracing::warn;

use super::{Key, key};
use crate::replica::{HostedPartition, Partitions};
use crate::shared::Shared;

/// Of one log directory.
#[derive(Debug, Default)]
struct InDir {
    /// By topic, so that a topic of the same name does not inherit.
    offsets: BTreeMap<Key, Offset>,
    /// What the file holds.
    written: Offsets,
}

/// Of all log directories.
#[derive(Debug)]
pub(super) struct Checkpoints {
    dirs: Vec<Mutex<InDir>>,
}

impl Checkpoints {
    /// Reads the files. A damaged one means that the logs are cleaned from their start.
    pub(super) fn load(shared: &Arc<Shared>) -> Self {
        let image = shared.image.load();
        let load = |volume: &crate::replica::Volume| {
            let written = volume.dir.read_cleaner_offsets().unwrap_or_else(|error| {
                warn!(%error, "logs are compacted from their start");
                Offsets::new()
            });
            let known = written.iter().filter_map(|(name, offset)| {
                let topic = image.topic(&name.topic)?;
                topic.partition(name.partition)?;
                Some(((topic.id, name.partition), *offset))
            });
            Mutex::new(InDir { offsets: known.collect(), written })
        };
        Self { dirs: shared.partitions.volumes.iter().map(load).collect() }
    }

    /// Up to where the log was cleaned.
    pub(super) fn of(&self, hosted: &HostedPartition) -> Option<Offset> {
        self.dirs.get(hosted.dir())?.lock().offsets.get(&key(hosted)).copied()
    }

    /// Notes up to where the log is clean.
    pub(super) fn set(&self, hosted: &HostedPartition, offset: Offset) {
        if let Some(dir) = self.dirs.get(hosted.dir()) {
            dir.lock().offsets.insert(key(hosted), offset);
        }
    }

    /// Forgets partitions that the image has no more, and writes the files that have changed.
    pub(super) fn write(&self, partitions: &Partitions, image: &Image) {
        for (volume, dir) in partitions.volumes.iter().zip(&self.dirs) {
            let mut dir = dir.lock();
            let mut now = Offsets::new();
            dir.offsets.retain(|(id, index), offset| {
                let topic = image.topic_by_id(*id).filter(|t| t.partition(*index).is_some());
                if let Some(topic) = topic {
                    let name = ottla_log::TopicPartition::new(&topic.name, *index);
                    now.insert(name, *offset);
                }
                topic.is_some()
            });
            if now == dir.written || volume.dir.failure().is_some() {
                continue;
            }
            match volume.dir.write_cleaner_offsets(&now) {
                Ok(()) => dir.written = now,
                Err(error) => told(volume, &error),
            }
        }
    }
}

/// Without space it is tried again; any other failure is the directory's.
fn told(volume: &crate::replica::Volume, error: &LogError) {
    warn!(%error, "the checkpoint of compaction is not written");
    if !error.is_no_space() {
        volume.dir.fail(error);
    }
}
