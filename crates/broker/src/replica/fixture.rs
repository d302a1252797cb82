//! Partitions on a disk in memory, with no broker around them. Must not know what is tested.

use std::path::Path;
use std::sync::Arc;

use ottla_env::memory::MemoryDisk;
use ottla_env::{Disk, SeededRng};
use ottla_log::{LogDir, LogDirLimits, OffsetCheckpoint, Offsets, SyncOn, TopicPartition};
use ottla_metadata::configs::BrokerProperties;
use ottla_protocol::{Millis, NodeId, TopicId, Uuid};

use super::volume::{Job, Key};
use super::{HostedPartition, Partitions, PartitionsStart};

/// Log directories and what is in them.
pub(super) struct World {
    pub(super) disk: MemoryDisk,
    pub(super) partitions: Arc<Partitions>,
}

impl World {
    pub(super) fn new(dirs: &[&str]) -> Self {
        let disk = MemoryDisk::new();
        let open = |dir: &&str| {
            LogDir::open(Arc::new(disk.clone()), Path::new(dir), LogDirLimits::default()).unwrap()
        };
        let start = PartitionsStart {
            node: NodeId(1),
            properties: BrokerProperties::default(),
            dirs: dirs.iter().map(open).collect(),
            rng: Arc::new(SeededRng::new(7)),
            recovery_threads: 1,
            whole_from: usize::MAX,
        };
        Self { partitions: Partitions::start(start).unwrap(), disk }
    }

    /// Opens partition 0 of a topic in a log directory, or tries to.
    pub(super) fn open(&self, key: Key, topic: &str, volume: usize) {
        self.partitions.announce(key, TopicPartition::new(topic, key.1), volume);
        self.partitions.open_logs(volume, vec![job(key, topic)], Millis(0));
    }

    /// As [`World::open`], and it is open.
    pub(super) fn host(&self, key: Key, topic: &str, volume: usize) -> Arc<HostedPartition> {
        self.open(key, topic, volume);
        self.partitions.by_id(key.0, key.1).unwrap()
    }

    /// Names of directories in a log directory.
    pub(super) fn names(&self, dir: &str) -> Vec<String> {
        let names = self.disk.list(Path::new(dir)).unwrap().into_iter().map(|entry| entry.name);
        names.filter(|name| !name.starts_with('.') && !name.contains("checkpoint")).collect()
    }

    /// What a checkpoint of the first log directory says.
    pub(super) fn written(&self, which: OffsetCheckpoint) -> Offsets {
        self.partitions.volumes[0].dir.read_offsets(which).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for volume in &self.partitions.volumes {
            volume.opening.close();
            volume.stop_committer();
        }
    }
}

/// The first partition of a topic.
pub(super) fn key(topic: u8) -> Key {
    (id(topic), 0)
}

fn id(topic: u8) -> TopicId {
    Uuid([topic; 16])
}

/// A partition that is to be created.
pub(super) fn job(key: Key, topic: &str) -> Job {
    let name = TopicPartition::new(topic, key.1);
    Job { key, name, found: false, doubted: false, sync: SyncOn::Open, alone: true }
}
