//! Committed offsets, and those that open transactions hold back; changed by the replay of
//! records alone. The questions about them are split by request. Must not know groups.

pub(crate) mod commit;
pub(crate) mod delete;
pub(crate) mod expire;
pub(crate) mod fetch;

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::{Millis, Offset, OffsetCommitValue, ProducerId, StrBytes, TopicId};

/// One committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    /// −1: not told.
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: StrBytes,
    /// Since the epoch.
    pub(crate) commit_timestamp: Millis,
    /// Since the epoch; only of commits that asked for a retention of their own.
    pub(crate) expire_timestamp: Option<Millis>,
    /// Zero: not known, from before the log had it.
    pub(crate) topic_id: TopicId,
    /// Where in the log it was committed.
    pub(crate) record_offset: Offset,
}

impl Committed {
    fn from_value(record_offset: Offset, value: &OffsetCommitValue) -> Self {
        Self {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata.detached(),
            commit_timestamp: Millis(value.commit_timestamp),
            expire_timestamp: (value.expire_timestamp != -1)
                .then_some(Millis(value.expire_timestamp)),
            topic_id: value.topic_id,
            record_offset,
        }
    }
}

/// Partitions of topics of one group.
pub(crate) type Topics<T> = BTreeMap<StrBytes, BTreeMap<i32, T>>;

/// Something for each partition of topics, by group; nothing empty is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ByPartition<T>(BTreeMap<StrBytes, Topics<T>>);

impl<T> Default for ByPartition<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> ByPartition<T> {
    pub(crate) fn group(&self, group: &str) -> Option<&Topics<T>> {
        self.0.get(group)
    }

    fn groups(&self) -> impl Iterator<Item = (&StrBytes, &Topics<T>)> {
        self.0.iter()
    }

    pub(crate) fn get(&self, group: &str, topic: &str, partition: i32) -> Option<&T> {
        self.0.get(group)?.get(topic)?.get(&partition)
    }

    fn entry(&mut self, group: &StrBytes, topic: &StrBytes) -> &mut BTreeMap<i32, T> {
        // What is kept must not keep a whole batch of the log alive.
        let topics = self.0.entry(group.detached()).or_default();
        topics.entry(topic.detached()).or_default()
    }

    fn remove(&mut self, group: &str, topic: &str, partition: i32) -> Option<T> {
        let topics = self.0.get_mut(group)?;
        let partitions = topics.get_mut(topic)?;
        let removed = partitions.remove(&partition);
        if partitions.is_empty() {
            topics.remove(topic);
        }
        if topics.is_empty() {
            self.0.remove(group);
        }
        removed
    }
}

/// All offsets of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offsets {
    committed: ByPartition<Committed>,
    /// What open transactions have committed, by producer.
    pending: BTreeMap<ProducerId, ByPartition<Committed>>,
    /// Which producers have something pending.
    open: ByPartition<BTreeSet<ProducerId>>,
}

impl Offsets {
    pub(crate) fn committed(&self) -> &ByPartition<Committed> {
        &self.committed
    }

    /// Whether an open transaction may still change this offset.
    pub(crate) fn is_unstable(&self, group: &str, topic: &str, partition: i32) -> bool {
        self.open.get(group, topic, partition).is_some()
    }

    /// Whether a group has offsets of open transactions.
    pub(crate) fn has_open_transactions(&self, group: &str) -> bool {
        self.open.group(group).is_some()
    }

    /// A commit was recorded; by a producer: in its open transaction.
    pub(crate) fn put(
        &mut self,
        at: Offset,
        producer: Option<ProducerId>,
        (group, topic, partition): (&StrBytes, &StrBytes, i32),
        value: &OffsetCommitValue,
    ) {
        let committed = Committed::from_value(at, value);
        match producer {
            None => {
                self.committed.entry(group, topic).insert(partition, committed);
            }
            Some(producer) => {
                let pending = self.pending.entry(producer).or_default();
                pending.entry(group, topic).insert(partition, committed);
                self.open.entry(group, topic).entry(partition).or_default().insert(producer);
            }
        }
    }

    /// A tombstone was recorded: it ends what is pending, too.
    pub(crate) fn remove(&mut self, group: &str, topic: &str, partition: i32) {
        self.committed.remove(group, topic, partition);
        for producer in self.open.remove(group, topic, partition).into_iter().flatten() {
            if let Some(pending) = self.pending.get_mut(&producer) {
                pending.remove(group, topic, partition);
            }
        }
    }

    /// A transaction ended. Of a mix of plain and transactional commits the one later in the log
    /// holds: compaction could otherwise bring the other one to light.
    pub(crate) fn end_transaction(&mut self, producer: ProducerId, committed: bool) {
        let Some(ByPartition(groups)) = self.pending.remove(&producer) else { return };
        for (group, topics) in groups {
            for (topic, partitions) in topics {
                for (partition, offset) in partitions {
                    self.close(&group, &topic, partition, producer);
                    let older = self
                        .committed
                        .get(&group, &topic, partition)
                        .is_none_or(|present| present.record_offset < offset.record_offset);
                    if committed && older {
                        self.committed.entry(&group, &topic).insert(partition, offset);
                    }
                }
            }
        }
    }

    fn close(&mut self, group: &str, topic: &str, partition: i32, producer: ProducerId) {
        let Some(mut producers) = self.open.remove(group, topic, partition) else { return };
        producers.remove(&producer);
        if !producers.is_empty() {
            let (group, topic) = (StrBytes::from(group), StrBytes::from(topic));
            self.open.entry(&group, &topic).insert(partition, producers);
        }
    }
}
