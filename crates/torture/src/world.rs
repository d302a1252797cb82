//! All that the tester knows of one cluster: topics and their partitions, committed offsets,
//! settings, producer ids. Kept outside of the disk under test. Must not know how it is asked for.

use std::collections::{BTreeMap, HashSet};

use ottla_protocol::Uuid;

use crate::history::{Origin, PartitionHistory, Policy, Register, Rule, Violation};
use crate::payload::{self, Payload, Place, Shape};
use crate::seeded::{Seeded, mixed};

/// The setting that is changed; its value has no effect on what is kept.
pub const SETTING: &str = "delete.retention.ms";

/// A topic as it is created.
#[derive(Clone, Debug)]
pub struct TopicPlan {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// What may vanish from them.
    pub policy: Policy,
    /// Its settings.
    pub configs: Vec<(String, String)>,
    /// Created and deleted again and again.
    pub comes_and_goes: bool,
}

/// One partition of one incarnation of a topic.
#[derive(Clone, Debug)]
pub struct Partition {
    /// Its number among all that there ever were.
    pub place: Place,
    /// What is known of it.
    pub history: PartitionHistory,
}

/// A topic from its creation to its deletion.
#[derive(Clone, Debug)]
pub struct Incarnation {
    /// Known once it was told.
    pub id: Option<Uuid>,
    /// Its partitions, by index.
    pub partitions: Vec<Partition>,
}

/// A topic's name, and what stands behind it.
#[derive(Clone, Debug)]
pub struct Topic {
    /// How it is created.
    pub plan: TopicPlan,
    /// Which incarnation exists, if one does.
    pub life: Register<Option<u64>>,
    /// The incarnations that may exist.
    pub incarnations: BTreeMap<u64, Incarnation>,
    /// The value of [`SETTING`], once it was set.
    pub setting: Register<Option<u64>>,
}

/// The sender's side of a batch.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// The records.
    pub records: Vec<Payload>,
    /// Their ids.
    pub ids: Vec<u64>,
}

/// A committed offset: group, topic, partition.
pub type CommitKey = (String, String, i32);

/// What the tester knows.
#[derive(Clone, Debug)]
pub struct World {
    /// Decides every record's bytes.
    pub seed: u64,
    /// When it began, in milliseconds.
    pub epoch_ms: i64,
    /// By name.
    pub topics: BTreeMap<String, Topic>,
    /// Committed offsets; −1 for none.
    pub commits: BTreeMap<CommitKey, Register<i64>>,
    /// All that went wrong.
    pub violations: Vec<Violation>,
    /// Records that were acknowledged.
    pub acked: u64,
    /// Deletions of records that a crash undid.
    pub undone: u64,
    /// Duplicates that were refused, as the producer's snapshot did not know them.
    pub forgotten: u64,
    /// Partitions that were seen where they were moved to.
    pub moved: u64,
    producers: HashSet<i64>,
    numbers: u64,
}

impl World {
    /// An empty cluster.
    #[must_use]
    pub fn new(seed: u64, epoch_ms: i64) -> Self {
        Self {
            seed,
            epoch_ms,
            topics: BTreeMap::new(),
            commits: BTreeMap::new(),
            violations: Vec::new(),
            acked: 0,
            undone: 0,
            forgotten: 0,
            moved: 0,
            producers: HashSet::new(),
            numbers: 0,
        }
    }

    /// A number that was not given before.
    pub fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// A topic that may come to exist.
    pub fn plan(&mut self, plan: TopicPlan) {
        let topic = Topic {
            life: Register::new(None),
            incarnations: BTreeMap::new(),
            setting: Register::new(None),
            plan,
        };
        self.topics.insert(topic.plan.name.clone(), topic);
    }

    /// The topic is about to be created; its incarnation's number.
    pub fn create_asked(&mut self, name: &str) -> Option<u64> {
        let incarnation = self.number();
        let first = u32::try_from(self.numbers).unwrap_or(u32::MAX);
        let topic = self.topics.get_mut(name)?;
        let count = u32::try_from(topic.plan.partitions).unwrap_or(0);
        let partitions = (0..count).map(|index| Partition {
            place: first + index,
            history: PartitionHistory::new(format!("{name}-{index}"), topic.plan.policy),
        });
        let made = Incarnation { id: None, partitions: partitions.collect() };
        topic.incarnations.insert(incarnation, made);
        topic.life.asked(Some(incarnation));
        topic.setting = Register::new(None);
        self.numbers += u64::from(count);
        Some(incarnation)
    }

    /// The partition of the incarnation that is certain to exist.
    pub fn partition(&mut self, topic: &str, index: i32) -> Option<&mut Partition> {
        let topic = self.topics.get_mut(topic)?;
        let incarnation = (*topic.life.last())?;
        let index = usize::try_from(index).ok()?;
        topic.incarnations.get_mut(&incarnation)?.partitions.get_mut(index)
    }

    /// All partitions of topics that stay, by name and index.
    #[must_use]
    pub fn lasting(&self) -> Vec<(String, i32)> {
        let lasting = self.topics.values().filter(|topic| !topic.plan.comes_and_goes);
        let lasting = lasting.filter(|topic| topic.life.last().is_some());
        lasting
            .flat_map(|t| (0..t.plan.partitions).map(|index| (t.plan.name.clone(), index)))
            .collect()
    }

    /// Draws records for a partition and notes that they are about to be sent there. `origin` is
    /// that of the first of them.
    pub fn draw(
        &mut self,
        topic: &str,
        index: i32,
        origin: Origin,
        shapes: &[Shape],
    ) -> Option<Drawn> {
        let first = self.numbers + 1;
        self.numbers += shapes.len() as u64;
        let (seed, epoch_ms) = (self.seed, self.epoch_ms);
        let partition = self.partition(topic, index)?;
        let mut drawn = Drawn { records: Vec::new(), ids: Vec::new() };
        for (at, shape) in (0_u64..).zip(shapes) {
            let id = payload::id(first + at, *shape);
            let record = Payload::of(seed, epoch_ms, partition.place, id);
            let origin = Origin { number: origin.number + at, ..origin };
            partition.history.sent(id, hash(&record.key), origin);
            drawn.ids.push(id);
            drawn.records.push(record);
        }
        Some(drawn)
    }

    /// A batch was acknowledged.
    pub fn acked(&mut self, topic: &str, index: i32, base: i64, ids: &[u64]) {
        self.acked += ids.len() as u64;
        let Some(partition) = self.partition(topic, index) else { return };
        let result = partition.history.acked(base, ids);
        self.violations.extend(result.err());
    }

    /// The broker was stopped cleanly.
    pub fn stopped_cleanly(&mut self) {
        let incarnations = self.topics.values_mut().flat_map(|t| t.incarnations.values_mut());
        for partition in incarnations.flat_map(|incarnation| &mut incarnation.partitions) {
            partition.history.stopped_cleanly();
        }
    }

    /// A producer id was handed out.
    pub fn producer(&mut self, id: i64) {
        if !self.producers.insert(id) {
            let what = format!("producer id {id} was handed out twice");
            self.violations.push(Violation::new(Rule::ProducerId, what));
        }
    }

    /// Notes what went wrong.
    pub fn wrong(&mut self, rule: Rule, what: impl Into<String>) {
        self.violations.push(Violation::new(rule, what));
    }

    /// How many records must be there.
    #[must_use]
    pub fn known(&self) -> u64 {
        let incarnations = self.topics.values().flat_map(|topic| topic.incarnations.values());
        let partitions = incarnations.flat_map(|incarnation| &incarnation.partitions);
        partitions.map(|partition| partition.history.known() as u64).sum()
    }
}

/// Shapes of the records of a batch: most often a few small ones.
#[must_use]
pub fn shapes(seeded: &mut Seeded, tombstones: bool) -> Vec<Shape> {
    if seeded.once_in(150) {
        // Enough to go past the page cache.
        return vec![Shape::Large; usize::try_from(seeded.between(4, 9)).unwrap_or(4)];
    }
    let count = if seeded.once_in(12) { seeded.between(20, 120) } else { seeded.between(1, 6) };
    let one = |seeded: &mut Seeded| match seeded.below(40) {
        0 => Shape::Middle,
        1..=4 if tombstones => Shape::Tombstone,
        _ => Shape::Small,
    };
    (0..count).map(|_| one(seeded)).collect()
}

/// Hash of a record's key.
#[must_use]
pub fn hash(key: &[u8]) -> u64 {
    key.iter().fold(0, |hash, byte| mixed(hash ^ u64::from(*byte)))
}
