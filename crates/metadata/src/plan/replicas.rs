//! The partitions a new topic, or more partitions of one, begin with. Must not know requests.

use ottla_protocol::{ErrorCode, LeaderEpoch, NodeId, Uuid};

use crate::image::{Broker, Image, Partition};
use crate::refusal::Refusal;

const UNASSIGNED: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

/// A new partition on these brokers, led by the first that lives; none when none does.
pub(super) fn begin(image: &Image, replicas: &[NodeId]) -> Option<Partition> {
    let lives = |node: &NodeId| image.broker(*node).is_some_and(Broker::is_active);
    let isr: Vec<NodeId> = replicas.iter().copied().filter(lives).collect();
    let leader = *isr.first()?;
    Some(Partition {
        replicas: replicas.to_vec(),
        directories: replicas.iter().map(|node| directory(image, *node)).collect(),
        isr,
        removing_replicas: Vec::new(),
        adding_replicas: Vec::new(),
        elr: Vec::new(),
        last_known_elr: Vec::new(),
        leader,
        leader_recovery_state: 0,
        leader_epoch: LeaderEpoch(0),
        partition_epoch: 0,
    })
}

/// The directory of a broker that has one that takes partitions; else the broker chooses.
fn directory(image: &Image, node: NodeId) -> Uuid {
    let Some(broker) = image.broker(node) else { return UNASSIGNED };
    if broker.log_dirs.is_empty() {
        return Uuid::ZERO;
    }
    let mut open = broker.log_dirs.iter().filter(|dir| !broker.cordoned_log_dirs.contains(dir));
    match (open.next(), open.next()) {
        (Some(only), None) => *only,
        _ => UNASSIGNED,
    }
}

/// Whether a broker takes new partitions: one of its directories is open (KIP-1066).
pub(super) fn takes_partitions(broker: &Broker) -> bool {
    broker.log_dirs.is_empty()
        || broker.log_dirs.iter().any(|dir| !broker.cordoned_log_dirs.contains(dir))
}

/// Checks an assignment somebody made by hand. `count` is the number of replicas of partitions
/// before it.
pub(super) fn check_manual(
    image: &Image,
    brokers: &[i32],
    count: Option<usize>,
) -> Result<Vec<NodeId>, Refusal> {
    let refuse = |message: String| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    if brokers.is_empty() {
        return refuse(
            "The manual partition assignment includes an empty replica list.".to_owned(),
        );
    }
    let mut sorted = brokers.to_vec();
    sorted.sort_unstable();
    let mut before = None;
    for id in sorted {
        let Some(broker) = image.broker(NodeId(id)) else {
            return refuse(format!(
                "The manual partition assignment includes broker {id}, but no such broker is registered."
            ));
        };
        if before == Some(id) {
            return refuse(format!(
                "The manual partition assignment includes the broker {id} more than once."
            ));
        }
        if !takes_partitions(broker) {
            return refuse(format!(
                "The manual partition assignment includes broker {id}, but all its log directories are cordoned."
            ));
        }
        before = Some(id);
    }
    match count {
        Some(count) if count != brokers.len() => refuse(format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is not \
             consistent with previous partitions, which have {count} replica(s).",
            brokers.len()
        )),
        _ => Ok(brokers.iter().copied().map(NodeId).collect()),
    }
}
