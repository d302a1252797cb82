//! Follows the metadata: opens and creates the partitions that are assigned to this broker, makes
//! them leader or follower, gives them their settings, lets go of those that were deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_log::{DirState, LoadPoints, LogDirEntry, LogError, SyncOn, TopicPartition};
use ottla_metadata::configs::Effective;
use ottla_metadata::{Delta, Image, Partition, ResourceKind, Topic};
use ottla_partition::{Leadership, ProducerRules};
use ottla_protocol::{ErrorCode, Millis, NodeId, TopicId, Uuid};
use tracing::{error, warn};

use super::future::{Found, Place, Places};
use super::volume::{Job, Key, Volume};
use super::{HostedPartition, PartitionConfig, Partitions};

/// The directory of a replica for which none has been chosen (KIP-858).
const UNASSIGNED: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

/// Directory of the metadata log, which is the controller's.
const METADATA_DIR: &str = "__cluster_metadata";

/// What happened to partitions, for those that host coordinators on them.
#[derive(Default)]
pub(crate) struct Changes {
    /// These will be opened, and may be led then.
    pub(crate) announced: Vec<TopicPartition>,
    /// This broker leads these anew.
    pub(crate) led: Vec<Arc<HostedPartition>>,
    /// This broker no longer leads these.
    pub(crate) resigned: Vec<TopicPartition>,
    /// Directories that are to be removed: log directory and name.
    pub(crate) aside: Vec<(usize, String)>,
}

/// Who is told of changes.
pub(crate) type OnChanges = Box<dyn Fn(Changes) + Send + Sync>;

/// Logs to be opened, by log directory.
type Jobs = BTreeMap<usize, Vec<Job>>;

impl Volume {
    /// As in Kafka a log directory that fails at start is out of service, and the others serve.
    pub(super) fn out_of_service(&self, error: &LogError) {
        let path = self.dir.path().display();
        error!(%path, %error, "the log directory is out of service: its partitions are offline");
        self.dir.fail(error);
    }

    /// A partition is not in this log directory any more: what is known of it here is not of the
    /// next one of its name.
    pub(super) fn forget(&self, name: &TopicPartition) {
        let mut points = self.points.write();
        let LoadPoints { recovery, log_start, high_watermark, .. } = &mut *points;
        for offsets in [recovery, log_start, high_watermark] {
            offsets.remove(name);
        }
        drop(points);
        self.let_go.lock().insert(name.clone());
    }
}

impl Partitions {
    /// Begins to open every partition that the image assigns to this broker: the logs are opened
    /// by other threads. `points` are what the checkpoints of each log directory say. Directories
    /// of partitions that the image does not assign are put aside as strays, as in Kafka.
    pub(crate) fn open_all(
        self: &Arc<Self>,
        image: &Arc<Image>,
        points: Vec<LoadPoints>,
        now: Millis,
        on_changes: OnChanges,
    ) -> Result<(), LogError> {
        let _told_once = self.on_changes.set(on_changes);
        self.image.store(Arc::clone(image));
        self.cordon(image);
        let mut changes = Changes::default();
        let mut found = Found::default();
        // What an earlier process did not get to; it may be half removed, so it waits no longer.
        let mut aside = Vec::new();
        for ((index, volume), points) in self.volumes.iter().enumerate().zip(points) {
            *volume.points.write() = points;
            for entry in Self::entries(volume)? {
                match entry.state {
                    _ if &*entry.partition.topic == METADATA_DIR => {}
                    DirState::Live if self.is_assigned(image, &entry.partition) => {
                        found.live(entry.partition, index);
                    }
                    DirState::Live => {
                        warn!(partition = %entry.partition, "not in the metadata: put aside");
                        self.put_aside_if_possible(volume, &entry.partition);
                    }
                    DirState::Delete => aside.push((index, entry.name)),
                    DirState::Future if self.is_assigned(image, &entry.partition) => {
                        found.future(entry.partition, index, entry.name);
                    }
                    DirState::Future => aside.push((index, entry.name)),
                    DirState::Stray => {}
                }
            }
        }
        let found = self.settle_found(image, found, now, &mut aside);
        self.remove_later(aside, Millis(0));
        let mut jobs = Jobs::new();
        for topic in image.topics() {
            let name = Arc::from(&*topic.name);
            for (index, partition) in topic.partitions() {
                let found = Some(&found);
                self.follow(topic, &name, (index, partition), found, &mut jobs, &mut changes);
            }
        }
        self.forget_missing(&found);
        self.tell(changes);
        self.open_jobs(jobs, now);
        Ok(())
    }

    /// What the checkpoints say of partitions whose directories are not there: of topics that were
    /// deleted before the stop. Their namesakes must not be taken for them, not even after a kill.
    fn forget_missing(&self, found: &Places) {
        for (index, volume) in self.volumes.iter().enumerate() {
            let is_here =
                |name: &TopicPartition| found.get(name).is_some_and(|place| place.may_be(index));
            let mut missing = Vec::new();
            let mut points = volume.points.write();
            let LoadPoints { recovery, log_start, high_watermark, .. } = &mut *points;
            for offsets in [recovery, log_start, high_watermark] {
                missing.extend(offsets.keys().filter(|name| !is_here(name)).cloned());
                offsets.retain(|name, _| is_here(name));
            }
            drop(points);
            volume.let_go.lock().extend(missing);
        }
    }

    /// Brings every partition in line with the image: the first one that is followed, since what
    /// changed between opening the logs and following is not known.
    pub(crate) fn reconcile(self: &Arc<Self>, image: &Arc<Image>, now: Millis) {
        let all = image.topics().flat_map(|topic| {
            topic.partitions().map(move |(index, partition)| (topic, index, partition))
        });
        self.bring_in_line(image, self.keys(), all, now);
    }

    /// Takes in what changed since the last image.
    pub(crate) fn on_metadata(self: &Arc<Self>, image: &Arc<Image>, delta: &Delta, now: Millis) {
        let topics = || delta.topics.iter();
        let known = topics().flat_map(|(id, topic)| topic.partitions.iter().map(|i| (*id, *i)));
        let changed = topics().filter_map(|(id, topic)| Some((image.topic_by_id(*id)?, topic)));
        let changed = changed.flat_map(|(current, topic)| {
            let indexes = topic.partitions.iter();
            indexes.filter_map(move |i| Some((current, *i, current.partition(*i)?)))
        });
        self.bring_in_line(image, known.collect(), changed, now);
        if !delta.configs.is_empty() {
            self.refresh_configs(image, delta);
        }
    }

    /// `known` are partitions that may have to go, `wanted` those that may have changed.
    fn bring_in_line<'a>(
        self: &Arc<Self>,
        image: &Arc<Image>,
        known: Vec<Key>,
        wanted: impl Iterator<Item = (&'a Topic, i32, &'a Partition)>,
        now: Millis,
    ) {
        // Stored first: logs that are being opened meanwhile see it when they are.
        self.image.store(Arc::clone(image));
        let mut gone = Vec::new();
        for key in known {
            if !self.is_mine(image.partition(key.0, key.1)) && self.is_here(key) {
                self.call_off(key);
                gone.push(key);
            }
        }
        let mut changes = Changes::default();
        let mut jobs = Jobs::new();
        let roles = self.roles.lock();
        // What was deleted goes first: a new topic of the same name needs its directories.
        for key in gone {
            self.let_go(key, &mut changes);
        }
        let mut last: Option<(TopicId, Arc<str>)> = None;
        for (topic, index, partition) in wanted {
            let name = match &last {
                Some((id, name)) if *id == topic.id => Arc::clone(name),
                Some(_) | None => Arc::from(&*topic.name),
            };
            self.follow(topic, &name, (index, partition), None, &mut jobs, &mut changes);
            last = Some((topic.id, name));
        }
        drop(roles);
        self.tell(changes);
        self.open_jobs(jobs, now);
    }

    fn is_mine(&self, partition: Option<&Partition>) -> bool {
        partition.is_some_and(|partition| partition.replicas.contains(&self.node))
    }

    fn is_assigned(&self, image: &Image, name: &TopicPartition) -> bool {
        let topic = image.topic(&name.topic);
        self.is_mine(topic.and_then(|topic| topic.partition(name.partition)))
    }

    /// What is in a log directory; nothing when it is out of service.
    fn entries(volume: &Volume) -> Result<Vec<LogDirEntry>, LogError> {
        if volume.dir.failure().is_some() {
            return Ok(Vec::new());
        }
        match volume.dir.list() {
            Err(error @ LogError::Disk(_)) => {
                volume.out_of_service(&error);
                Ok(Vec::new())
            }
            listed => listed,
        }
    }

    /// Notes which log directories take no new partitions; whether that changed.
    pub(crate) fn cordon(&self, image: &Image) -> bool {
        let effective = Effective { image, node: self.node, properties: &self.properties };
        let names = effective.cordoned_log_dirs();
        // Each of them is told.
        let changed = self.volumes.iter().filter(|volume| volume.set_cordoned(&names));
        changed.count() > 0
    }

    /// Brings one partition in line with the metadata, or sees that it is opened: then it gets its
    /// role when it is. `found` are the directories that a start found.
    fn follow(
        &self,
        topic: &Topic,
        topic_name: &Arc<str>,
        (index, partition): (i32, &Partition),
        found: Option<&Places>,
        jobs: &mut Jobs,
        changes: &mut Changes,
    ) {
        if !self.is_mine(Some(partition)) {
            return;
        }
        let key = (topic.id, index);
        if let Some(hosted) = self.by_id(topic.id, index) {
            self.give_role(&hosted, partition, changes);
        } else if !self.is_here(key) {
            let name = TopicPartition { topic: Arc::clone(topic_name), partition: index };
            let at = match found.and_then(|found| found.get(&name)) {
                Some(Place::Log { volume, doubted }) => Some((*volume, *doubted)),
                Some(Place::Unknown(volumes)) => {
                    self.announce_unknown(key, name.clone(), volumes);
                    changes.resigned.push(name);
                    return;
                }
                None => None,
            };
            if at.is_none()
                && let Some((failed, why)) = self.may_be_offline(partition, found.is_some())
            {
                self.announce(key, name.clone(), failed);
                self.insert_failed(key, why);
                changes.resigned.push(name);
                return;
            }
            let wanted = self.noted_volume(partition).or_else(|| self.take_preferred(&name));
            let (volume, doubted) =
                at.unwrap_or_else(|| (wanted.unwrap_or_else(|| self.emptiest()), false));
            self.announce(key, name.clone(), volume);
            if doubted {
                self.doubt(key);
            }
            changes.announced.push(name.clone());
            let found = at.is_some();
            let job = Job { key, name, found, doubted, sync: SyncOn::Open, alone: true };
            jobs.entry(volume).or_default().push(job);
        }
    }

    /// The log directory that the metadata names for this broker's replica, when it serves.
    pub(super) fn noted_volume(&self, partition: &Partition) -> Option<usize> {
        let noted = self.noted(partition)?;
        let is_it = |volume: &Volume| volume.id == Some(noted) && volume.dir.failure().is_none();
        self.volumes.iter().position(is_it)
    }

    /// A partition that was not found may be in a log directory that is out of service: then it is
    /// not created anew, or what is there would be lost. Gives one that is, and what Kafka tells
    /// clients (`Partition.createLogInAssignedDirectoryId`, `LogManager.createLog`).
    fn may_be_offline(&self, partition: &Partition, at_start: bool) -> Option<(usize, ErrorCode)> {
        let failed = self.volumes.iter().position(|volume| volume.dir.failure().is_some())?;
        if self.noted_volume(partition).is_some() {
            return None;
        }
        let unassigned = self.noted(partition) == Some(UNASSIGNED);
        match (unassigned, at_start) {
            // It is new.
            (true, false) => None,
            // Where it is may not have come through to the controller.
            (true, true) => Some((failed, ErrorCode::KafkaStorageError)),
            (false, _) => Some((failed, ErrorCode::NotLeaderOrFollower)),
        }
    }

    /// The caller holds the lock on roles.
    pub(super) fn give_role(
        &self,
        hosted: &Arc<HostedPartition>,
        partition: &Partition,
        changes: &mut Changes,
    ) {
        if let Some(volume) = self.volumes.get(hosted.dir()) {
            volume.progress.changed();
        }
        if partition.leader == self.node {
            let leadership = Leadership {
                leader_epoch: partition.leader_epoch,
                partition_epoch: partition.partition_epoch,
                replicas: partition.replicas.clone(),
                isr: partition.isr.clone(),
            };
            if hosted.on_leader(&leadership) {
                changes.led.push(Arc::clone(hosted));
            }
        } else {
            let led = hosted.is_leader();
            let leader = Some(partition.leader).filter(|leader| *leader != NodeId::NONE);
            hosted.on_follower(partition.leader_epoch, partition.partition_epoch, leader);
            if led {
                changes.resigned.push(hosted.name.clone());
            }
        }
    }

    fn open_jobs(self: &Arc<Self>, jobs: Jobs, now: Millis) {
        for (volume, jobs) in jobs {
            self.open_logs(volume, jobs, now);
        }
    }

    pub(super) fn tell(&self, changes: Changes) {
        if let Some(tell) = self.on_changes.get() {
            tell(changes);
        }
    }

    /// The log directory with the fewest partitions, as Kafka chooses it.
    fn emptiest(&self) -> usize {
        let unfit = |index: usize| {
            let unfit = |volume: &Volume| {
                let dir = &volume.dir;
                (dir.failure().is_some(), volume.is_cordoned(), dir.is_full())
            };
            self.volumes.get(index).map(unfit)
        };
        let indexes = 0..self.volumes.len();
        indexes.min_by_key(|index| (unfit(*index), self.count_in(*index))).unwrap_or(0)
    }

    /// Nothing is opened for the partition any more; waits for what is under way. Who is about to
    /// have it opened again is not heard, and a job of theirs that comes later is not begun.
    fn call_off(&self, key: Key) {
        let Some((_, volumes)) = self.dismiss(key) else { return };
        for volume in volumes.iter().filter_map(|volume| self.volumes.get(*volume)) {
            volume.opening.call_off(key);
        }
    }

    /// The partition is no longer this broker's, or its topic is gone.
    pub(super) fn let_go(&self, key: Key, changes: &mut Changes) {
        let absent = self.dismiss(key);
        let (name, volumes) = match (self.remove(key), absent) {
            (Some(hosted), _) => {
                if hosted.is_leader() {
                    changes.resigned.push(hosted.name.clone());
                }
                hosted.give_up();
                // Only now: a move that was about to end may have ended.
                let index = hosted.dir();
                self.count(index, false);
                (hosted.name.clone(), vec![index])
            }
            (None, Some((name, volumes))) => {
                changes.resigned.push(name.clone());
                (name, volumes)
            }
            (None, None) => return,
        };
        self.drop_found_future(key);
        for index in volumes {
            let Some(volume) = self.volumes.get(index) else { continue };
            volume.forget(&name);
            let unique = Uuid(self.rng.bytes16());
            match volume.dir.move_aside(&name, unique, DirState::Delete) {
                Ok(name) => changes.aside.push((index, name)),
                // It was never created.
                Err(error) if error.is_not_found() => {}
                Err(error) => error!(partition = %name, %error, "cannot be put aside"),
            }
        }
    }

    /// Renames a directory that is not this broker's, so that someone can look at it.
    pub(super) fn put_aside(
        &self,
        volume: &Volume,
        partition: &TopicPartition,
    ) -> Result<(), LogError> {
        let unique = Uuid(self.rng.bytes16());
        volume.dir.move_aside(partition, unique, DirState::Stray).map(|_name| ())
    }

    /// The same at start, where a directory that fails takes no other with it: one that cannot be
    /// renamed stays as it is.
    pub(super) fn put_aside_if_possible(&self, volume: &Volume, partition: &TopicPartition) {
        if volume.dir.failure().is_some() {
            return;
        }
        match self.put_aside(volume, partition) {
            Ok(()) => {}
            Err(error) if error.is_no_space() => warn!(%partition, %error, "it stays as it is"),
            Err(error) => volume.out_of_service(&error),
        }
    }

    /// Settings of a topic, or of all topics when a broker's changed.
    fn refresh_configs(&self, image: &Image, delta: &Delta) {
        if delta.configs.iter().any(|resource| resource.kind == ResourceKind::Broker) {
            image.topics().for_each(|topic| self.refresh_topic(image, topic));
            return;
        }
        let topics = delta.configs.iter().filter(|r| r.kind == ResourceKind::Topic);
        for topic in topics.filter_map(|resource| image.topic(&resource.name)) {
            self.refresh_topic(image, topic);
        }
    }

    fn refresh_topic(&self, image: &Image, topic: &Topic) {
        let mut shared = None;
        for hosted in topic.partitions().filter_map(|(index, _)| self.by_id(topic.id, index)) {
            let config = match shared.take() {
                Some(config) => config,
                None => Arc::new(self.config_of(image, &topic.name)),
            };
            // Each partition has a jitter of its own.
            if config.log.segment_jitter_ms == Millis(0) {
                shared = Some(Arc::clone(&config));
            }
            self.configure(&hosted, config);
        }
    }

    pub(super) fn config_of(&self, image: &Image, topic: &str) -> PartitionConfig {
        let effective = Effective { image, node: self.node, properties: &self.properties };
        let config = effective.topic(topic);
        let jitter_max = u64::try_from(config.segment_jitter_ms).unwrap_or(0);
        let jitter = if jitter_max == 0 { 0 } else { self.rng.next_u64() % jitter_max };
        let mut producers = ProducerRules::default();
        if let Some(expiration) = effective.broker("producer.id.expiration.ms").as_i64() {
            producers.expiration = Millis(expiration);
        }
        PartitionConfig::new(&config, producers, Millis(i64::try_from(jitter).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{World, job, key};
    use super::*;
    use ottla_log::OffsetCheckpoint;
    use ottla_protocol::Offset;
    use std::sync::atomic::Ordering;

    #[test]
    fn what_was_known_of_a_deleted_partition_is_not_said_of_its_namesake() {
        let world = World::new(&["/d"]);
        let (partitions, name) = (&world.partitions, TopicPartition::new("t", 0));
        {
            let mut points = partitions.volumes[0].points.write();
            let LoadPoints { recovery, log_start, high_watermark, .. } = &mut *points;
            for offsets in [recovery, log_start, high_watermark] {
                offsets.insert(name.clone(), Offset(100));
                offsets.insert(TopicPartition::new("other", 0), Offset(100));
            }
        }
        // A start that is still at work: neither is open when the checkpoints are written.
        partitions.announce(key(1), name.clone(), 0);
        partitions.announce(key(9), TopicPartition::new("other", 0), 0);
        partitions.let_go(key(1), &mut Changes::default());
        partitions.announce(key(2), name.clone(), 0);
        for which in OffsetCheckpoint::ALL {
            partitions.checkpoint_volume(0, which).unwrap();
            let written: Vec<String> =
                world.written(which).keys().map(ToString::to_string).collect();
            assert_eq!(written, ["other-0"], "{which:?}");
        }
    }

    #[test]
    fn nothing_is_opened_for_one_that_is_about_to_be_let_go_of() {
        let world = World::new(&["/d"]);
        let partitions = &world.partitions;
        let name = TopicPartition::new("t", 0);
        partitions.announce(key(1), name.clone(), 0);
        partitions.insert_failed(key(1), ErrorCode::KafkaStorageError);
        // There is space, and before the job is there the topic is deleted.
        assert!(partitions.announce_again(key(1)));
        partitions.call_off(key(1));
        partitions.open_logs(0, vec![job(key(1), "t")], Millis(0));
        assert_eq!(world.names("/d"), [""; 0]);
        assert!(partitions.wait_until_open(None));
        partitions.insert_failed(key(1), ErrorCode::KafkaStorageError);
        assert!(!partitions.announce_again(key(1)), "nor is it heard later");
        partitions.let_go(key(1), &mut Changes::default());
        assert!(!partitions.is_here(key(1)));
    }

    #[test]
    fn one_that_is_deleted_while_its_move_ends_counts_nowhere() {
        let world = World::new(&["/d", "/e"]);
        let partitions = &world.partitions;
        let hosted = world.host(key(1), "t", 0);
        let claim = hosted.maintenance.claim().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| partitions.let_go(key(1), &mut Changes::default()));
            while !claim.is_wanted() {
                std::thread::yield_now();
            }
            // What a move does at its end, which the deletion waits for.
            partitions.volumes[0].partitions.fetch_sub(1, Ordering::Relaxed);
            partitions.volumes[1].partitions.fetch_add(1, Ordering::Relaxed);
            hosted.set_dir(1, Arc::clone(&partitions.volumes[1].committer));
            drop(claim);
        });
        assert_eq!([0, 1].map(|volume| partitions.count_in(volume)), [0, 0]);
    }
}
