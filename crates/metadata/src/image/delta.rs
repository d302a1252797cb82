//! What changed between two published images, for those that act on changes. Must not know what
//! they do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_protocol::{NodeId, StrBytes, TopicId};

use super::{ConfigResource, Image, Topic};

/// What changed of one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicDelta {
    /// Its name.
    pub name: StrBytes,
    /// Whether it was created.
    pub created: bool,
    /// Whether it was deleted. One that was created in the same step too is not listed at all.
    pub deleted: bool,
    /// Partitions that are new or changed; of a deleted topic, those it had.
    pub partitions: BTreeSet<i32>,
}

/// What changed. Everything new is read from the later image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Topics, by id.
    pub topics: BTreeMap<TopicId, TopicDelta>,
    /// Resources whose settings changed.
    pub configs: BTreeSet<ConfigResource>,
    /// Brokers that registered, changed or left.
    pub brokers: BTreeSet<NodeId>,
    /// Controllers that registered or left.
    pub controllers: BTreeSet<NodeId>,
    /// Whether feature levels changed.
    pub features: bool,
    /// Whether producer ids were given out.
    pub producer_ids: bool,
    /// Whether access control entries, quotas, credentials or tokens changed.
    pub access: bool,
}

impl Delta {
    /// What is different in `newer`. Parts that the two share are not looked into.
    #[must_use]
    pub fn between(older: &Image, newer: &Image) -> Self {
        let mut delta = Self {
            features: older.features != newer.features,
            producer_ids: older.producer_ids != newer.producer_ids,
            access: older.access != newer.access,
            ..Self::default()
        };
        for (id, topic) in &newer.topics {
            match older.topics.get(id) {
                Some(before) if Arc::ptr_eq(before, topic) => {}
                before => delta.compare_topic(before.map(Arc::as_ref), topic),
            }
        }
        for (id, topic) in older.topics.iter().filter(|(id, _)| !newer.topics.contains_key(id)) {
            let change = delta.topic(*id, &topic.name);
            change.deleted = true;
            change.partitions = topic.partitions().map(|(index, _)| index).collect();
        }
        let resources = older.configs.keys().chain(newer.configs.keys());
        let changed = resources.filter(|resource| older.config(resource) != newer.config(resource));
        delta.configs = changed.cloned().collect();
        let brokers = older.brokers.keys().chain(newer.brokers.keys()).copied();
        delta.brokers = brokers.filter(|id| older.broker(*id) != newer.broker(*id)).collect();
        let controllers = older.controllers.keys().chain(newer.controllers.keys()).copied();
        delta.controllers =
            controllers.filter(|id| older.controller(*id) != newer.controller(*id)).collect();
        delta
    }

    fn compare_topic(&mut self, before: Option<&Topic>, topic: &Topic) {
        let changed = topic.partitions().filter(|(index, partition)| {
            before.and_then(|before| before.partition(*index)) != Some(*partition)
        });
        let partitions: BTreeSet<i32> = changed.map(|(index, _)| index).collect();
        if before.is_none() || !partitions.is_empty() {
            let change = self.topic(topic.id, &topic.name);
            change.created = before.is_none();
            change.partitions = partitions;
        }
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn topic(&mut self, id: TopicId, name: &StrBytes) -> &mut TopicDelta {
        self.topics
            .entry(id)
            .or_insert_with(|| TopicDelta { name: name.clone(), ..TopicDelta::default() })
    }
}
