//! The partitions of this broker, by topic id and by name, and the log directories they are in.
//! Must not know what is in their logs.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use hashbrown::HashMap;
use ottla_env::Rng;
use ottla_log::{Committer, LogDir};
use ottla_metadata::configs::BrokerProperties;
use ottla_protocol::{NodeId, TopicId};
use parking_lot::{Mutex, RwLock};

use super::HostedPartition;

/// Files of a log directory that are synced at a time.
const SYNC_THREADS: usize = 4;

type Map<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// A log directory and its committer.
pub(crate) struct Volume {
    pub(crate) dir: Arc<LogDir>,
    pub(crate) committer: Arc<Committer<HostedPartition>>,
    pub(super) thread: Mutex<Option<JoinHandle<()>>>,
}

impl Volume {
    /// Lets the committer finish and waits for it; `false` when it has panicked.
    pub(super) fn stop_committer(&self) -> bool {
        self.committer.stop();
        self.thread.lock().take().is_none_or(|thread| thread.join().is_ok())
    }
}

/// What the partitions are started with.
pub(crate) struct PartitionsStart {
    pub(crate) node: NodeId,
    pub(crate) properties: BrokerProperties,
    pub(crate) dirs: Vec<Arc<LogDir>>,
    pub(crate) rng: Arc<dyn Rng>,
}

/// All partitions of this broker.
pub(crate) struct Partitions {
    pub(super) node: NodeId,
    pub(super) properties: BrokerProperties,
    pub(super) rng: Arc<dyn Rng>,
    pub(crate) volumes: Vec<Volume>,
    hosted: RwLock<Hosted>,
    /// Directories put aside, and when they are removed.
    pub(super) aside: Mutex<Vec<(Instant, (usize, String))>>,
}

#[derive(Default)]
struct Hosted {
    by_id: Map<(TopicId, i32), Arc<HostedPartition>>,
    ids: Map<Arc<str>, TopicId>,
}

impl Partitions {
    /// Starts the committers; no partition is there yet.
    pub(crate) fn start(start: PartitionsStart) -> std::io::Result<Arc<Self>> {
        let PartitionsStart { node, properties, dirs, rng } = start;
        let mut volumes: Vec<Volume> = Vec::with_capacity(dirs.len());
        for (index, dir) in dirs.into_iter().enumerate() {
            let committer = Arc::new(Committer::new(&dir, SYNC_THREADS));
            let running = Arc::clone(&committer);
            let spawned = std::thread::Builder::new()
                .name(format!("ottla-commit-{index}"))
                .spawn(move || running.run(|_stage| {}));
            match spawned {
                Ok(thread) => {
                    volumes.push(Volume { dir, committer, thread: Mutex::new(Some(thread)) });
                }
                Err(error) => {
                    volumes.iter().for_each(|volume| {
                        volume.stop_committer();
                    });
                    return Err(error);
                }
            }
        }
        Ok(Arc::new(Self {
            node,
            properties,
            rng,
            volumes,
            hosted: RwLock::default(),
            aside: Mutex::default(),
        }))
    }

    /// A partition by its topic's id.
    pub(crate) fn by_id(&self, topic: TopicId, index: i32) -> Option<Arc<HostedPartition>> {
        self.hosted.read().by_id.get(&(topic, index)).map(Arc::clone)
    }

    /// A partition by its topic's name.
    pub(crate) fn by_name(&self, topic: &str, index: i32) -> Option<Arc<HostedPartition>> {
        let hosted = self.hosted.read();
        let id = hosted.ids.get(topic)?;
        hosted.by_id.get(&(*id, index)).map(Arc::clone)
    }

    /// All partitions.
    pub(crate) fn all(&self) -> Vec<Arc<HostedPartition>> {
        self.hosted.read().by_id.values().map(Arc::clone).collect()
    }

    /// How many partitions a log directory has.
    pub(super) fn count_in(&self, volume: usize) -> usize {
        self.hosted.read().by_id.values().filter(|partition| partition.dir == volume).count()
    }

    pub(super) fn insert(&self, partition: Arc<HostedPartition>) {
        let mut hosted = self.hosted.write();
        hosted.ids.insert(Arc::clone(&partition.name.topic), partition.topic_id);
        hosted.by_id.insert((partition.topic_id, partition.name.partition), partition);
    }

    pub(super) fn remove(&self, topic: TopicId, index: i32) -> Option<Arc<HostedPartition>> {
        let mut hosted = self.hosted.write();
        let removed = hosted.by_id.remove(&(topic, index))?;
        let others = hosted.by_id.keys().any(|(id, _)| *id == topic);
        // The name may be a new topic's by now.
        if !others && hosted.ids.get(&*removed.name.topic) == Some(&topic) {
            hosted.ids.remove(&*removed.name.topic);
        }
        Some(removed)
    }
}

impl std::fmt::Debug for Partitions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partitions").field("node", &self.node).finish_non_exhaustive()
    }
}
