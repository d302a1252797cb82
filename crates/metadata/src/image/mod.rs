//! The cluster's metadata as of one offset of the metadata log. Changes by `apply` alone; copies
//! share their content, so a reader's snapshot costs nothing. Must not know who decides.

mod access;
mod apply;
mod broker;
mod delta;
mod features;
mod records;
mod replay;
mod resource;
mod topic;

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_protocol::{LeaderEpoch, Millis, NodeId, Offset, StrBytes, TopicId};
use rpds::RedBlackTreeMapSync;

pub use access::{QuotaEntity, QuotaEntityPart, ScramKey};
pub use apply::ApplyError;
pub use broker::{Broker, Controller, Listener, VersionRange};
pub use delta::{Delta, TopicDelta};
pub use features::Features;
pub use replay::Replay;
pub use resource::{ConfigResource, ResourceKind};
pub use topic::{Partition, Topic};

pub(crate) use records::ids;

use access::Access;

/// Where in the metadata log an image stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The last record applied; −1 when none was.
    pub offset: Offset,
    /// The epoch of its batch.
    pub epoch: LeaderEpoch,
    /// The time its batch was appended.
    pub timestamp: Millis,
}

impl Default for Position {
    fn default() -> Self {
        Self { offset: Offset::NONE, epoch: LeaderEpoch::NONE, timestamp: Millis(-1) }
    }
}

/// The cluster's metadata.
#[derive(Clone, Debug, Default)]
pub struct Image {
    position: Position,
    features: Features,
    brokers: Arc<BTreeMap<NodeId, Arc<Broker>>>,
    controllers: Arc<BTreeMap<NodeId, Arc<Controller>>>,
    topics: RedBlackTreeMapSync<TopicId, Arc<Topic>>,
    names: RedBlackTreeMapSync<StrBytes, TopicId>,
    /// Names with `.` or `_` by what they look like to a metric.
    collisions: RedBlackTreeMapSync<String, Arc<Vec<StrBytes>>>,
    configs: RedBlackTreeMapSync<ConfigResource, Arc<BTreeMap<StrBytes, StrBytes>>>,
    producer_ids: Option<ProducerIds>,
    access: Access,
    /// `ZkMigrationStateRecord`, kept when a log has one.
    zk_migration_state: Option<i8>,
}

/// Who was given producer ids last, and which come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerIds {
    pub(crate) broker_id: i32,
    pub(crate) broker_epoch: i64,
    pub(crate) next: i64,
}

impl Image {
    /// Where in the log this image stands.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// The finalised feature levels.
    #[must_use]
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// A registered broker.
    #[must_use]
    pub fn broker(&self, id: NodeId) -> Option<&Broker> {
        self.brokers.get(&id).map(Arc::as_ref)
    }

    /// All registered brokers, by id.
    pub fn brokers(&self) -> impl Iterator<Item = &Broker> {
        self.brokers.values().map(Arc::as_ref)
    }

    /// A registered controller.
    #[must_use]
    pub fn controller(&self, id: NodeId) -> Option<&Controller> {
        self.controllers.get(&id).map(Arc::as_ref)
    }

    /// All registered controllers, by id.
    pub fn controllers(&self) -> impl Iterator<Item = &Controller> {
        self.controllers.values().map(Arc::as_ref)
    }

    /// The topic of this name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topic_by_id(*self.names.get(name)?)
    }

    /// The topic of this id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(&id).map(Arc::as_ref)
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.names.values().filter_map(|id| self.topic_by_id(*id))
    }

    /// All topics from this name on, by name.
    pub fn topics_from<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Topic> {
        let from = StrBytes::from(name.to_owned());
        self.names.range(from..).filter_map(|(_, id)| self.topic_by_id(*id))
    }

    /// How many topics there are.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.names.size()
    }

    /// One partition.
    #[must_use]
    pub fn partition(&self, topic: TopicId, index: i32) -> Option<&Partition> {
        self.topic_by_id(topic)?.partition(index)
    }

    /// The dynamic settings of a resource, by name.
    #[must_use]
    pub fn config(&self, resource: &ConfigResource) -> Option<&BTreeMap<StrBytes, StrBytes>> {
        self.configs.get(resource).map(Arc::as_ref)
    }

    /// All resources that have dynamic settings.
    pub fn config_resources(&self) -> impl Iterator<Item = &ConfigResource> {
        self.configs.keys()
    }

    /// The first producer id that nobody was given.
    #[must_use]
    pub fn next_producer_id(&self) -> i64 {
        self.producer_ids.map_or(0, |ids| ids.next)
    }

    /// A topic whose name a metric could not tell from `name`; `name` itself does not count.
    #[must_use]
    pub fn colliding_topic(&self, name: &str) -> Option<&StrBytes> {
        if !crate::topic_name::has_collision_letters(name) {
            return None;
        }
        let names = self.collisions.get(&crate::topic_name::unified(name))?;
        names.iter().find(|other| ***other != *name)
    }

    /// Access control entries, quotas, credentials and tokens.
    #[must_use]
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }
}

/// Content alone: two images that say the same, also when they stand at different offsets.
impl PartialEq for Image {
    fn eq(&self, other: &Self) -> bool {
        self.features == other.features
            && self.brokers == other.brokers
            && self.controllers == other.controllers
            && self.names == other.names
            && self.topics == other.topics
            && self.configs == other.configs
            && self.producer_ids == other.producer_ids
            && self.access == other.access
            && self.zk_migration_state == other.zk_migration_state
    }
}
