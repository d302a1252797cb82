//! What becomes of a partition when a broker leaves or comes back: who leads, who is in sync, who
//! may lead still (KIP-966). Must not know why the broker left.

use ottla_protocol::{MetadataRecord, NodeId, PartitionChangeRecord, TopicId, Uuid};

use super::Records;
use crate::configs::{Effective, Value};
use crate::feature_table::MetadataVersion;
use crate::image::{Image, Partition, Topic, ids};
use crate::record::VersionedRecord;

const NO_LEADER: NodeId = NodeId(-1);
const SAME_LEADER: i32 = -2;
const RECOVERING: i8 = 1;

/// Which broker's change is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It leaves: out of every ISR, leads nothing.
    Leaves(NodeId),
    /// It may lead from now on.
    Returns(NodeId),
    /// It lost what was not on its disk: no longer in sync nor eligible.
    LostUnclean(NodeId),
    /// One of its directories is gone, and the partitions in it.
    LosesDirectory(NodeId, Uuid),
    /// Its replica is in this directory, which it has.
    InDirectory(NodeId, Uuid),
}

impl Event {
    /// The broker that cannot lead because of it.
    fn gone(self) -> Option<NodeId> {
        match self {
            Self::Leaves(broker) | Self::LostUnclean(broker) | Self::LosesDirectory(broker, _) => {
                Some(broker)
            }
            Self::Returns(_) | Self::InDirectory(..) => None,
        }
    }

    fn touches(self, partition: &Partition) -> bool {
        match self {
            Self::Leaves(broker) => partition.isr.contains(&broker),
            Self::LostUnclean(broker) => {
                partition.isr.contains(&broker) || partition.elr.contains(&broker)
            }
            Self::LosesDirectory(broker, directory) => {
                partition.isr.contains(&broker)
                    && directory_of(partition, broker) == Some(directory)
            }
            Self::Returns(_) => partition.leader == NO_LEADER,
            Self::InDirectory(broker, directory) => {
                directory_of(partition, broker).is_some_and(|before| before != directory)
            }
        }
    }
}

/// The changes that the event brings to all partitions it touches.
pub(crate) fn all(effective: &Effective<'_>, event: Event) -> Records {
    let mut records = Vec::new();
    for topic in effective.image.topics() {
        let mut rules = None;
        for (index, partition) in topic.partitions() {
            if event.touches(partition) {
                let rules = rules.get_or_insert_with(|| Rules::of(effective, topic));
                let change = Change::new(effective.image, rules, partition, event);
                records.extend(change.record(topic.id, index));
            }
        }
    }
    records
}

/// What the news that a broker's replica is in this directory changes for a partition.
pub(crate) fn assigned(
    effective: &Effective<'_>,
    topic: &Topic,
    index: i32,
    (broker, directory): (NodeId, Uuid),
) -> Option<VersionedRecord> {
    let before = topic.partition(index)?;
    let place = before.replicas.iter().position(|replica| *replica == broker)?;
    let has = effective.image.broker(broker)?.log_dirs.contains(&directory);
    let event = match has {
        true => Event::InDirectory(broker, directory),
        false => Event::LosesDirectory(broker, directory),
    };
    let mut directories = before.directories.clone();
    let slot = directories.get_mut(place)?;
    let moved = std::mem::replace(slot, directory) != directory;
    let after = Partition { directories, ..before.clone() };
    let rules = Rules::of(effective, topic);
    let mut change = Change::new(effective.image, &rules, &after, event);
    change.directories_changed = moved;
    change.record(topic.id, index)
}

/// What a topic's partitions have in common.
struct Rules {
    version: MetadataVersion,
    elr: bool,
    min_isr: usize,
    unclean: bool,
}

impl Rules {
    fn of(effective: &Effective<'_>, topic: &Topic) -> Self {
        let features = effective.image.features();
        let version = MetadataVersion(features.metadata_version());
        let min_isr =
            effective.topic_value(&topic.name, "min.insync.replicas").as_i64().unwrap_or(1);
        let replicas = topic.partition(0).map_or(usize::MAX, |partition| partition.replicas.len());
        let unclean = effective.topic_value(&topic.name, "unclean.leader.election.enable");
        Self {
            version,
            elr: version.has_elr() && features.level("eligible.leader.replicas.version") > 0,
            min_isr: usize::try_from(min_isr).unwrap_or(1).min(replicas),
            unclean: unclean == Value::Boolean(true),
        }
    }
}

struct Change<'a> {
    image: &'a Image,
    rules: &'a Rules,
    before: &'a Partition,
    event: Event,
    isr: Vec<NodeId>,
    elr: Vec<NodeId>,
    /// The directories of `before` are new themselves.
    directories_changed: bool,
}

/// Who leads from now on.
struct Elected {
    leader: NodeId,
    unclean: bool,
}

impl<'a> Change<'a> {
    fn new(image: &'a Image, rules: &'a Rules, before: &'a Partition, event: Event) -> Self {
        let gone = event.gone();
        let isr: Vec<NodeId> =
            before.isr.iter().copied().filter(|node| Some(*node) != gone).collect();
        let elr = eligible(rules, before, &isr, event);
        Self { image, rules, before, event, isr, elr, directories_changed: false }
    }

    /// The record, if anything changes.
    fn record(mut self, topic: TopicId, index: i32) -> Option<VersionedRecord> {
        let mut record = PartitionChangeRecord {
            topic_id: topic,
            partition_id: index,
            ..PartitionChangeRecord::default()
        };
        let untouched = record.clone();
        if self.directories_changed {
            record.directories = Some(self.before.directories.clone());
        }
        let elected = self.elect();
        if elected.leader != self.before.leader {
            record.leader = elected.leader.get();
            if self.elr.contains(&elected.leader) {
                self.isr = vec![elected.leader];
                self.elr.retain(|node| *node != elected.leader);
            }
            if elected.unclean {
                record.isr = Some(vec![elected.leader.get()]);
                if self.before.leader_recovery_state != RECOVERING {
                    record.leader_recovery_state = RECOVERING;
                }
            }
        }
        if record.isr.is_some() || !self.rules.elr {
            self.elr.clear();
        }
        if self.elr != self.before.elr {
            record.eligible_leader_replicas = Some(ids(&self.elr));
        }
        // Without eligible leader replicas the last in sync stays in the ISR for ever.
        if record.isr.is_none()
            && (!self.isr.is_empty() || self.rules.elr)
            && self.isr != self.before.isr
        {
            record.isr = Some(ids(&self.isr));
        }
        self.bump_epoch_of_old_versions(&mut record);
        self.note_last_leader(&mut record);
        (record != untouched).then(|| {
            let version = if self.rules.version.has_elr() {
                2
            } else {
                i16::from(self.rules.version.has_directories())
            };
            VersionedRecord::new(MetadataRecord::PartitionChange(Box::new(record)), version)
        })
    }

    fn elect(&self) -> Elected {
        let eligible = |node: NodeId| {
            (self.isr.contains(&node) || (self.isr.is_empty() && self.elr.contains(&node)))
                && self.may_lead(node)
        };
        let clean = |leader| Elected { leader, unclean: false };
        if eligible(self.before.leader) {
            return clean(self.before.leader);
        }
        if let Some(leader) = self.before.replicas.iter().copied().find(|node| eligible(*node)) {
            return clean(leader);
        }
        // Everybody who was in sync is gone; the last leader lost the least.
        let nobody = self.rules.elr && self.isr.is_empty() && self.elr.is_empty();
        if let (true, [last]) = (nobody, &self.before.last_known_elr[..])
            && self.may_lead(*last)
        {
            return Elected { leader: *last, unclean: true };
        }
        let mut living = self.before.replicas.iter().copied().filter(|node| self.may_lead(*node));
        if let (true, Some(leader)) = (self.rules.unclean, living.next()) {
            return Elected { leader, unclean: true };
        }
        clean(NO_LEADER)
    }

    /// Whether the broker lives and has the partition's directory.
    fn may_lead(&self, node: NodeId) -> bool {
        let Some(broker) = self.image.broker(node) else { return false };
        let lives = self.event.gone() != Some(node)
            && (self.event == Event::Returns(node) || broker.is_active());
        let directory = directory_of(self.before, node);
        lives && directory.is_none_or(|directory| broker.has_online(directory))
    }

    /// Before `metadata.version` 12 brokers needed a new leader epoch when the ISR shrank.
    fn bump_epoch_of_old_versions(&self, record: &mut PartitionChangeRecord) {
        let shrinks = |isr: &[i32]| self.before.isr.iter().any(|node| !isr.contains(&node.get()));
        if self.rules.version.bumps_epoch_on_isr_shrink()
            && record.leader == SAME_LEADER
            && record.isr.as_deref().is_some_and(shrinks)
        {
            record.leader = self.before.leader.get();
        }
    }

    fn note_last_leader(&self, record: &mut PartitionChangeRecord) {
        if !self.rules.elr {
            return;
        }
        let before = self.before;
        let becomes_empty = record.isr.as_ref().is_some_and(Vec::is_empty);
        if becomes_empty && before.last_known_elr != [before.leader] {
            record.last_known_elr = Some(vec![before.leader.get()]);
        } else if (record.leader >= 0
            || (before.leader != NO_LEADER && record.leader != NO_LEADER.get()))
            && !before.last_known_elr.is_empty()
        {
            record.last_known_elr = Some(Vec::new());
        }
    }
}

/// Who may lead beside the ISR: those that left it while it is below the minimum, unless they
/// lost what was not on disk.
fn eligible(rules: &Rules, before: &Partition, isr: &[NodeId], event: Event) -> Vec<NodeId> {
    if !rules.elr || isr.len() >= rules.min_isr {
        return if rules.elr { Vec::new() } else { before.elr.clone() };
    }
    let mut elr = before.elr.clone();
    for node in &before.isr {
        if !elr.contains(node) {
            elr.push(*node);
        }
    }
    elr.retain(|node| !isr.contains(node) && event != Event::LostUnclean(*node));
    elr
}

/// The directory in which a replica is.
fn directory_of(partition: &Partition, node: NodeId) -> Option<Uuid> {
    let place = partition.replicas.iter().position(|replica| *replica == node)?;
    partition.directories.get(place).copied()
}
