//! The partitions of this broker, by topic id and by name, open or not, and the log directories
//! they are in. Must not know what is in their logs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::thread::Thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use ottla_env::Rng;
use ottla_log::{LogDir, TopicPartition};
use ottla_metadata::Image;
use ottla_metadata::configs::BrokerProperties;
use ottla_protocol::{ErrorCode, NodeId, TopicId};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use super::attention::{Attention, Due};
use super::damage::KnownDamage;
use super::future::Moves;
use super::metadata::OnChanges;
use super::volume::{Job, Key, Volume};
use super::{HostedPartition, PartitionConfig};

type Map<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// What the partitions are started with.
pub(crate) struct PartitionsStart {
    pub(crate) node: NodeId,
    pub(crate) properties: BrokerProperties,
    pub(crate) dirs: Vec<Arc<LogDir>>,
    pub(crate) rng: Arc<dyn Rng>,
    /// Threads that open the logs of one log directory (`num.recovery.threads.per.data.dir`).
    pub(crate) recovery_threads: usize,
    /// From so many files on a commit syncs their whole file system.
    pub(crate) whole_from: usize,
}

/// All partitions of this broker.
pub(crate) struct Partitions {
    pub(super) node: NodeId,
    pub(super) properties: BrokerProperties,
    pub(super) rng: Arc<dyn Rng>,
    pub(super) recovery_threads: usize,
    pub(crate) volumes: Vec<Volume>,
    /// The metadata that they are brought in line with.
    pub(super) image: ArcSwap<Image>,
    /// Held while roles are given, so that each hears of them in order. Never while a log is
    /// waited for.
    pub(super) roles: Mutex<()>,
    pub(super) on_changes: OnceLock<OnChanges>,
    hosted: RwLock<Hosted>,
    /// Which of them have something to be done.
    pub(super) attention: Arc<Attention<HostedPartition>>,
    /// Told when logs were opened.
    pub(super) opened: Notify,
    /// The thread that writes checkpoints.
    upkeep: Arc<OnceLock<Thread>>,
    /// Directories put aside, and when they are removed.
    pub(super) aside: Mutex<Vec<(Instant, (usize, String))>>,
    /// Partitions on their way to another log directory.
    pub(super) moves: Moves,
    /// What could not be opened for lack of space, by log directory.
    pub(super) without_space: Mutex<Vec<(usize, Job)>>,
    /// Damaged files that readers met and the log was told of.
    pub(super) damage: KnownDamage,
}

#[derive(Default)]
struct Hosted {
    by_id: Map<Key, Arc<HostedPartition>>,
    ids: Map<Arc<str>, TopicId>,
    /// Those of `by_id` that are compacted.
    compacted: Map<Key, Arc<HostedPartition>>,
    /// How many partitions of a topic are in `by_id`.
    open: Map<TopicId, usize>,
    /// Assigned to this broker, and not open.
    absent: Map<Key, Absent>,
    /// How many of a topic are to be opened yet.
    loading: Map<TopicId, usize>,
}

/// A partition that is this broker's, and cannot be used.
#[derive(Clone, Debug)]
struct Absent {
    name: TopicPartition,
    volume: usize,
    /// Other log directories where it may be too.
    others: Vec<usize>,
    /// Its files may not be as a clean stop leaves them, whatever the last stop was.
    doubted: bool,
    /// It is about to be let go of: nothing is opened for it any more.
    dismissed: bool,
    /// It cannot be opened, and what clients are told; else it is being opened or about to be.
    failed: Option<ErrorCode>,
}

impl Partitions {
    /// Starts the committers; no partition is there yet.
    pub(crate) fn start(start: PartitionsStart) -> std::io::Result<Arc<Self>> {
        let PartitionsStart { node, properties, dirs, rng, recovery_threads, whole_from } = start;
        let upkeep: Arc<OnceLock<Thread>> = Arc::default();
        let mut volumes: Vec<Volume> = Vec::with_capacity(dirs.len());
        for (index, dir) in dirs.into_iter().enumerate() {
            let woken = Arc::clone(&upkeep);
            let due = move || {
                if let Some(thread) = woken.get() {
                    thread.unpark();
                }
            };
            match Volume::start(index, dir, whole_from, due) {
                Ok(volume) => volumes.push(volume),
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
            recovery_threads: recovery_threads.max(1),
            volumes,
            image: ArcSwap::default(),
            roles: Mutex::default(),
            on_changes: OnceLock::new(),
            hosted: RwLock::default(),
            attention: Arc::default(),
            opened: Notify::new(),
            upkeep,
            aside: Mutex::default(),
            moves: Moves::default(),
            without_space: Mutex::default(),
            damage: KnownDamage::default(),
        }))
    }

    /// From now on this thread is woken when recovery points should be written.
    pub(crate) fn wake_for_checkpoints(&self) {
        self.upkeep.get_or_init(std::thread::current);
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

    /// What Kafka says of a partition that the metadata knows and that is not open here: whoever
    /// hears that another broker leads it asks again, also while it is being opened.
    pub(crate) fn why_absent(&self, topic: TopicId, index: i32) -> ErrorCode {
        match self.hosted.read().absent.get(&(topic, index)) {
            Some(Absent { failed: Some(why), .. }) => *why,
            Some(_) | None => ErrorCode::NotLeaderOrFollower,
        }
    }

    /// All partitions that are open.
    pub(crate) fn all(&self) -> Vec<Arc<HostedPartition>> {
        self.hosted.read().by_id.values().map(Arc::clone).collect()
    }

    /// Those whose `cleanup.policy` has `compact`.
    pub(crate) fn compacted(&self) -> Vec<Arc<HostedPartition>> {
        self.hosted.read().compacted.values().map(Arc::clone).collect()
    }

    /// Gives a partition other settings.
    pub(super) fn configure(&self, partition: &Arc<HostedPartition>, config: Arc<PartitionConfig>) {
        partition.on_config(config);
        self.hosted.write().sort_in(partition);
    }

    /// The partitions of a log directory that are not open.
    pub(super) fn absent_in(&self, volume: usize) -> BTreeSet<TopicPartition> {
        let hosted = self.hosted.read();
        let absent = hosted.absent.values().filter(|absent| absent.may_be_in(volume));
        absent.map(|absent| absent.name.clone()).collect()
    }

    /// Whether the partition is this broker's, open or not.
    pub(super) fn is_here(&self, key: Key) -> bool {
        let hosted = self.hosted.read();
        hosted.by_id.contains_key(&key) || hosted.absent.contains_key(&key)
    }

    /// All partitions of this broker, open or not.
    pub(super) fn keys(&self) -> Vec<Key> {
        let hosted = self.hosted.read();
        hosted.by_id.keys().chain(hosted.absent.keys()).copied().collect()
    }

    /// How many partitions a log directory has or is to have.
    pub(super) fn count_in(&self, volume: usize) -> usize {
        self.volumes.get(volume).map_or(0, |v| v.partitions.load(Ordering::Relaxed))
    }

    /// A partition that is to be opened.
    pub(super) fn announce(&self, key: Key, name: TopicPartition, volume: usize) {
        let absent = Absent::new(name, volume);
        let mut hosted = self.hosted.write();
        if hosted.absent.insert(key, absent).is_none() {
            *hosted.loading.entry(key.0).or_default() += 1;
            drop(hosted);
            self.count(volume, true);
        }
    }

    /// A partition that may be in each of these log directories: it is not opened.
    pub(super) fn announce_unknown(&self, key: Key, name: TopicPartition, volumes: &[usize]) {
        let [volume, others @ ..] = volumes else { return };
        let mut absent = Absent::new(name, *volume);
        (absent.others, absent.failed) = (others.to_vec(), Some(ErrorCode::KafkaStorageError));
        if self.hosted.write().absent.insert(key, absent).is_none() {
            self.count(*volume, true);
        }
    }

    /// It was opened.
    pub(super) fn insert(&self, partition: Arc<HostedPartition>) {
        let key = (partition.topic_id, partition.name.partition);
        let mut hosted = self.hosted.write();
        hosted.forget_absent(key);
        hosted.ids.insert(Arc::clone(&partition.name.topic), partition.topic_id);
        if hosted.by_id.insert(key, Arc::clone(&partition)).is_none() {
            *hosted.open.entry(key.0).or_default() += 1;
        }
        hosted.sort_in(&partition);
        drop(hosted);
        if !partition.is_blank() {
            partition.note(Due::Retention);
        }
    }

    /// It cannot be opened; clients are told `why`.
    pub(super) fn insert_failed(&self, key: Key, why: ErrorCode) {
        let mut hosted = self.hosted.write();
        if let Some(mut absent) = hosted.forget_absent(key) {
            absent.failed = Some(why);
            hosted.absent.insert(key, absent);
        }
    }

    /// One that could not be opened is to be opened again; `false` when it is not wanted any more.
    pub(super) fn announce_again(&self, key: Key) -> bool {
        let mut hosted = self.hosted.write();
        let failed = |absent: &&mut Absent| absent.failed.is_some() && !absent.dismissed;
        let Some(absent) = hosted.absent.get_mut(&key).filter(failed) else { return false };
        absent.failed = None;
        *hosted.loading.entry(key.0).or_default() += 1;
        true
    }

    /// One that is to be opened must be looked at, also by the next start if this one does not.
    pub(super) fn doubt(&self, key: Key) {
        if let Some(absent) = self.hosted.write().absent.get_mut(&key) {
            absent.doubted = true;
        }
    }

    /// Whether the partition is to be opened, and was not dismissed.
    pub(super) fn is_to_be_opened(&self, key: Key) -> bool {
        let hosted = self.hosted.read();
        hosted.absent.get(&key).is_some_and(|absent| absent.failed.is_none() && !absent.dismissed)
    }

    /// From here on nothing is begun to open the partition. Where it may be, when it is not open.
    pub(super) fn dismiss(&self, key: Key) -> Option<(TopicPartition, Vec<usize>)> {
        let mut hosted = self.hosted.write();
        let absent = hosted.absent.get_mut(&key)?;
        absent.dismissed = true;
        let volumes = std::iter::once(absent.volume).chain(absent.others.iter().copied());
        Some((absent.name.clone(), volumes.collect()))
    }

    /// Forgets a partition; one that was open is given back, and counts in its log directory until
    /// it is given up.
    pub(super) fn remove(&self, key: Key) -> Option<Arc<HostedPartition>> {
        let mut hosted = self.hosted.write();
        if let Some(absent) = hosted.forget_absent(key) {
            drop(hosted);
            self.count(absent.volume, false);
            return None;
        }
        let removed = hosted.by_id.remove(&key)?;
        hosted.compacted.remove(&key);
        let topic = key.0;
        if count_down(&mut hosted.open, topic) {
            // The name may be a new topic's by now.
            if hosted.ids.get(&*removed.name.topic) == Some(&topic) {
                hosted.ids.remove(&*removed.name.topic);
            }
        }
        Some(removed)
    }

    /// Whether every partition of a log directory is open, or has not been touched since a clean
    /// stop.
    pub(super) fn all_sound_in(&self, volume: usize, was_clean: bool) -> bool {
        let hosted = self.hosted.read();
        let mut absent = hosted.absent.values().filter(|absent| absent.may_be_in(volume));
        absent.all(|absent| was_clean && absent.failed.is_none() && !absent.doubted)
    }

    /// Whether partitions of these topics are being opened.
    fn is_opening(&self, topics: &[TopicId]) -> bool {
        let hosted = self.hosted.read();
        topics.iter().any(|topic| hosted.loading.contains_key(topic))
    }

    /// Waits until no partition of these topics is being opened.
    pub(crate) async fn until_open(&self, topics: &[TopicId]) {
        loop {
            let opened = self.opened.notified();
            tokio::pin!(opened);
            // From here on nothing is missed.
            opened.as_mut().enable();
            if !self.is_opening(topics) {
                return;
            }
            opened.await;
        }
    }

    /// Waits until no partition is being opened, at most `limit`. Whether it is so.
    pub(crate) fn wait_until_open(&self, limit: Option<Duration>) -> bool {
        let end = limit.and_then(|limit| Instant::now().checked_add(limit));
        self.volumes.iter().all(|volume| volume.opening.wait_for_all(end))
    }

    /// A log directory has one partition more or less.
    pub(super) fn count(&self, volume: usize, more: bool) {
        let Some(volume) = self.volumes.get(volume) else { return };
        if more {
            volume.partitions.fetch_add(1, Ordering::Relaxed);
        } else {
            volume.partitions.fetch_sub(1, Ordering::Relaxed);
        }
        volume.progress.changed();
    }
}

impl Absent {
    fn new(name: TopicPartition, volume: usize) -> Self {
        let (others, doubted, dismissed, failed) = (Vec::new(), false, false, None);
        Self { name, volume, others, doubted, dismissed, failed }
    }

    fn may_be_in(&self, volume: usize) -> bool {
        self.volume == volume || self.others.contains(&volume)
    }
}

impl Hosted {
    /// Brings the list of compacted partitions in line with the settings of one. They are read
    /// here, so that of two who change them the last one here has seen both.
    fn sort_in(&mut self, partition: &Arc<HostedPartition>) {
        let key = (partition.topic_id, partition.name.partition);
        let is_here = self.by_id.get(&key).is_some_and(|here| Arc::ptr_eq(here, partition));
        if is_here && partition.config().cleaning.compact {
            self.compacted.insert(key, Arc::clone(partition));
        } else if is_here {
            self.compacted.remove(&key);
        }
    }

    fn forget_absent(&mut self, key: Key) -> Option<Absent> {
        let absent = self.absent.remove(&key)?;
        if absent.failed.is_none() {
            count_down(&mut self.loading, key.0);
        }
        Some(absent)
    }
}

/// One fewer; whether none is left.
fn count_down(counts: &mut Map<TopicId, usize>, topic: TopicId) -> bool {
    let Some(count) = counts.get_mut(&topic) else { return false };
    *count = count.saturating_sub(1);
    let none = *count == 0;
    if none {
        counts.remove(&topic);
    }
    none
}

impl std::fmt::Debug for Partitions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partitions").field("node", &self.node).finish_non_exhaustive()
    }
}
