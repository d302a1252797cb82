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

/// Of one log directory, by topic, so that a topic of the same name does not inherit.
type InDir = BTreeMap<Key, Offset>;

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
            Mutex::new(known.collect())
        };
        Self { dirs: shared.partitions.volumes.iter().map(load).collect() }
    }

    /// Up to where the log was cleaned. What is known of it in another directory moves with it.
    pub(super) fn of(&self, hosted: &HostedPartition) -> Option<Offset> {
        let key = key(hosted);
        let own = self.dirs.get(hosted.dir())?;
        if let Some(offset) = own.lock().get(&key) {
            return Some(*offset);
        }
        let elsewhere = self.dirs.iter().find_map(|dir| dir.lock().remove(&key))?;
        own.lock().insert(key, elsewhere);
        Some(elsewhere)
    }

    /// Notes up to where the log is clean.
    pub(super) fn set(&self, hosted: &HostedPartition, offset: Offset) {
        if let Some(dir) = self.dirs.get(hosted.dir()) {
            dir.lock().insert(key(hosted), offset);
        }
    }

    /// Forgets partitions that the metadata has no more, and writes the files that have changed.
    pub(super) fn write(&self, partitions: &Partitions) {
        for (volume, dir) in partitions.volumes.iter().zip(&self.dirs) {
            if volume.dir.failure().is_some() {
                continue;
            }
            let written = volume.dir.write_cleaner_offsets(|| {
                // A deleted topic is gone from it before a namesake makes the file forget it.
                named(&mut dir.lock(), &partitions.followed())
            });
            if let Err(error) = written {
                told(volume, &error);
            }
        }
    }
}

/// By name, as the file has it; without those that the image does not have.
fn named(offsets: &mut InDir, image: &Image) -> Offsets {
    let mut named = Offsets::new();
    offsets.retain(|(id, index), offset| {
        let topic = image.topic_by_id(*id).filter(|topic| topic.partition(*index).is_some());
        if let Some(topic) = topic {
            named.insert(ottla_log::TopicPartition::new(&topic.name, *index), *offset);
        }
        topic.is_some()
    });
    named
}

/// Without space it is tried again; any other failure is the directory's.
fn told(volume: &crate::replica::Volume, error: &LogError) {
    warn!(%error, "the checkpoint of compaction is not written");
    if !error.is_no_space() {
        volume.dir.fail(error);
    }
}
