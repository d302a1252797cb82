//! Follows the metadata: opens and creates the partitions that are assigned to this broker, makes
//! them leader or follower, gives them their settings, lets go of those that were deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_log::{
    DirState, LoadPoints, LogError, Offsets, OpenOptions, PartitionLog, TopicPartition,
};
use ottla_metadata::configs::Effective;
use ottla_metadata::{Delta, Image, Partition, ResourceKind, Topic};
use ottla_partition::{Leadership, ProducerRules, Replica};
use ottla_protocol::{Millis, NodeId, TopicId, Uuid};
use tracing::{error, warn};

use super::{HostedPartition, PartitionConfig, Partitions};

/// Directory of the metadata log, which is the controller's.
const METADATA_DIR: &str = "__cluster_metadata";

/// What happened to partitions, for those that host coordinators on them.
#[derive(Default)]
pub(crate) struct Changes {
    /// This broker leads these anew.
    pub(crate) led: Vec<Arc<HostedPartition>>,
    /// This broker no longer leads these.
    pub(crate) resigned: Vec<TopicPartition>,
    /// Directories that are to be removed: log directory and name.
    pub(crate) aside: Vec<(usize, String)>,
}

/// Where the partitions of a log directory were found, and what its checkpoints say.
struct Found<'a> {
    dirs: BTreeMap<TopicPartition, usize>,
    points: &'a [LoadPoints],
}

impl Partitions {
    /// Opens every partition that the image assigns to this broker. `points` are what the
    /// checkpoints of each log directory say. Directories of partitions that it does not assign
    /// are put aside as strays, as in Kafka.
    pub(crate) fn open_all(
        &self,
        image: &Image,
        points: &[LoadPoints],
        now: Millis,
    ) -> Result<Changes, LogError> {
        let mut changes = Changes::default();
        let mut found = Found { dirs: BTreeMap::new(), points };
        for (index, volume) in self.volumes.iter().enumerate() {
            for entry in volume.dir.list()? {
                match entry.state {
                    _ if &*entry.partition.topic == METADATA_DIR => {}
                    DirState::Live if self.is_assigned(image, &entry.partition) => {
                        found.dirs.insert(entry.partition, index);
                    }
                    DirState::Live => {
                        warn!(partition = %entry.partition, "not in the metadata: put aside");
                        let unique = Uuid(self.rng.bytes16());
                        volume.dir.move_aside(&entry.partition, unique, DirState::Stray)?;
                    }
                    DirState::Delete => changes.aside.push((index, entry.name)),
                    DirState::Future | DirState::Stray => {}
                }
            }
        }
        for topic in image.topics() {
            for (index, partition) in topic.partitions() {
                self.follow(image, topic, (index, partition), Some(&found), now, &mut changes);
            }
        }
        Ok(changes)
    }

    /// Brings every partition in line with the image: the first one that is followed, since what
    /// changed between opening the logs and following is not known.
    pub(crate) fn reconcile(&self, image: &Image, now: Millis) -> Changes {
        let mut changes = Changes::default();
        for hosted in self.all() {
            if image.topic_by_id(hosted.topic_id).is_none() {
                self.let_go(hosted.topic_id, hosted.name.partition, &mut changes);
            }
        }
        for topic in image.topics() {
            for (index, partition) in topic.partitions() {
                self.follow(image, topic, (index, partition), None, now, &mut changes);
            }
        }
        changes
    }

    /// Takes in what changed since the last image.
    pub(crate) fn on_metadata(&self, image: &Image, delta: &Delta, now: Millis) -> Changes {
        let mut changes = Changes::default();
        // What was deleted goes first: a new topic of the same name needs its directories.
        for (id, topic) in &delta.topics {
            if image.topic_by_id(*id).is_none() {
                for index in &topic.partitions {
                    self.let_go(*id, *index, &mut changes);
                }
            }
        }
        for (id, topic) in &delta.topics {
            let Some(current) = image.topic_by_id(*id) else { continue };
            for index in &topic.partitions {
                let Some(partition) = current.partition(*index) else { continue };
                self.follow(image, current, (*index, partition), None, now, &mut changes);
            }
        }
        if !delta.configs.is_empty() {
            self.refresh_configs(image, delta);
        }
        changes
    }

    fn is_assigned(&self, image: &Image, name: &TopicPartition) -> bool {
        let topic = image.topic(&name.topic);
        let partition = topic.and_then(|topic| topic.partition(name.partition));
        partition.is_some_and(|partition| partition.replicas.contains(&self.node))
    }

    /// Brings one partition in line with the metadata.
    fn follow(
        &self,
        image: &Image,
        topic: &Topic,
        (index, partition): (i32, &Partition),
        found: Option<&Found<'_>>,
        now: Millis,
        changes: &mut Changes,
    ) {
        if !partition.replicas.contains(&self.node) {
            self.let_go(topic.id, index, changes);
            return;
        }
        let hosted = match self.by_id(topic.id, index) {
            Some(hosted) => hosted,
            None => match self.open(image, topic, index, found, now) {
                Ok(hosted) => hosted,
                Err(error) => {
                    error!(topic = %topic.name, index, %error, "the partition cannot be opened");
                    return;
                }
            },
        };
        if partition.leader == self.node {
            let leadership = Leadership {
                leader_epoch: partition.leader_epoch,
                partition_epoch: partition.partition_epoch,
                replicas: partition.replicas.clone(),
                isr: partition.isr.clone(),
            };
            if hosted.on_leader(&leadership) {
                changes.led.push(hosted);
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

    fn open(
        &self,
        image: &Image,
        topic: &Topic,
        index: i32,
        found: Option<&Found<'_>>,
        now: Millis,
    ) -> Result<Arc<HostedPartition>, LogError> {
        let name = TopicPartition::new(&topic.name, index);
        let at = found.and_then(|found| found.dirs.get(&name).copied());
        let volume_index = at.unwrap_or_else(|| self.emptiest());
        let Some(volume) = self.volumes.get(volume_index) else {
            return Err(LogError::Foreign { path: name.to_string().into() });
        };
        let config = Arc::new(self.config_of(image, &topic.name));
        let points = found.and_then(|found| found.points.get(volume_index));
        let options = || {
            let mut options = OpenOptions::new(Some(topic.id), config.log.clone(), now);
            options.producer_rules = config.producers;
            if let Some(points) = points {
                let known = |offsets: &Offsets| offsets.get(&name).copied();
                options.clean = points.clean.is_some();
                options.recovery_point = known(&points.recovery).unwrap_or_default();
                options.log_start = known(&points.log_start).unwrap_or_default();
            }
            options
        };
        let (log, report) = match PartitionLog::open(&volume.dir, &name, options()) {
            // The directory is that of a deleted topic of the same name.
            Err(LogError::TopicId { found, .. }) => {
                warn!(partition = %name, topic_id = %found, "of another topic: put aside");
                let unique = Uuid(self.rng.bytes16());
                volume.dir.move_aside(&name, unique, DirState::Stray)?;
                PartitionLog::open(&volume.dir, &name, options())?
            }
            other => other?,
        };
        for note in &report.warnings {
            warn!(partition = %name, "{note}");
        }
        let checkpointed = points.and_then(|points| points.high_watermark.get(&name).copied());
        let replica =
            Replica::new(self.node, config.replica, log.log_start(), log.log_end(), checkpointed);
        let committer = Arc::clone(&volume.committer);
        let hosted =
            HostedPartition::new(name, topic.id, volume_index, committer, (log, replica), config);
        self.insert(Arc::clone(&hosted));
        Ok(hosted)
    }

    /// The log directory with the fewest partitions, as Kafka chooses it.
    fn emptiest(&self) -> usize {
        if self.volumes.len() < 2 {
            return 0;
        }
        (0..self.volumes.len()).min_by_key(|volume| self.count_in(*volume)).unwrap_or(0)
    }

    /// The partition is no longer this broker's, or its topic is gone.
    fn let_go(&self, topic: TopicId, index: i32, changes: &mut Changes) {
        let Some(hosted) = self.remove(topic, index) else { return };
        if hosted.is_leader() {
            changes.resigned.push(hosted.name.clone());
        }
        hosted.give_up();
        let Some(volume) = self.volumes.get(hosted.dir) else { return };
        let unique = Uuid(self.rng.bytes16());
        match volume.dir.move_aside(&hosted.name, unique, DirState::Delete) {
            Ok(name) => changes.aside.push((hosted.dir, name)),
            Err(error) => error!(partition = %hosted.name, %error, "cannot be put aside"),
        }
    }

    /// Settings of a topic, or of all topics when a broker's changed.
    fn refresh_configs(&self, image: &Image, delta: &Delta) {
        let broker_changed = delta.configs.iter().any(|r| r.kind == ResourceKind::Broker);
        for hosted in self.all() {
            let topic_changed = delta.configs.iter().any(|resource| {
                resource.kind == ResourceKind::Topic && *resource.name == *hosted.name.topic
            });
            if broker_changed || topic_changed {
                hosted.on_config(Arc::new(self.config_of(image, &hosted.name.topic)));
            }
        }
    }

    fn config_of(&self, image: &Image, topic: &str) -> PartitionConfig {
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
