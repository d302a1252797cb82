//! Topics and their partitions. Must not know the logs behind them.

use ottla_protocol::{LeaderEpoch, NodeId, StrBytes, TopicId, Uuid};
use rpds::RedBlackTreeMapSync;

/// A topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    /// Its name.
    pub name: StrBytes,
    /// Its id: never another topic's, also when the name comes back.
    pub id: TopicId,
    pub(super) partitions: RedBlackTreeMapSync<i32, Partition>,
}

impl Topic {
    /// The partition with this index.
    #[must_use]
    pub fn partition(&self, index: i32) -> Option<&Partition> {
        self.partitions.get(&index)
    }

    /// All partitions, by index.
    pub fn partitions(&self) -> impl Iterator<Item = (i32, &Partition)> {
        self.partitions.iter().map(|(index, partition)| (*index, partition))
    }

    /// How many partitions it has.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.partitions.size()
    }

    /// Whether it is one of Kafka's own.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        crate::topic_name::is_internal(&self.name)
    }
}

/// A partition: who has it, who leads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Brokers that have it, the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// The log directory of each replica, in the same order; empty before directories were known.
    pub directories: Vec<Uuid>,
    /// Brokers that have everything acknowledged.
    pub isr: Vec<NodeId>,
    /// Replicas a reassignment takes away.
    pub removing_replicas: Vec<NodeId>,
    /// Replicas a reassignment brings.
    pub adding_replicas: Vec<NodeId>,
    /// Replicas outside the ISR that may lead still (KIP-966).
    pub elr: Vec<NodeId>,
    /// Who led last, when nobody can (KIP-966).
    pub last_known_elr: Vec<NodeId>,
    /// The leader; −1 for none.
    pub leader: NodeId,
    /// 1 while a leader elected uncleanly recovers, else 0.
    pub leader_recovery_state: i8,
    /// Rises with each election.
    pub leader_epoch: LeaderEpoch,
    /// Rises with each change.
    pub partition_epoch: i32,
}
