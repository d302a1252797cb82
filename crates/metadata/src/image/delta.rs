//! What changed between two published images, for those that act on changes. Must not know what
//! they do.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::{NodeId, StrBytes, TopicId};

use super::ConfigResource;

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
