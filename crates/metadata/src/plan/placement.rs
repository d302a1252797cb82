//! Which brokers get a new partition: striped over racks from a random start, living brokers
//! first, leaders spread evenly. Must not know topics.

use std::collections::BTreeMap;

use ottla_protocol::{ErrorCode, NodeId};

use super::replicas::takes_partitions;
use crate::image::Image;
use crate::random::{Random, draw_below};
use crate::refusal::Refusal;

/// The brokers of one rack, taken in turn from a start that moves with each partition.
struct Rack {
    unfenced: Vec<NodeId>,
    fenced: Vec<NodeId>,
    start: usize,
}

impl Rack {
    /// The brokers in the order in which this partition takes them.
    fn in_turn(&self, turn: usize) -> (Vec<NodeId>, Vec<NodeId>) {
        let rotated = |brokers: &[NodeId]| {
            let mut brokers = brokers.to_vec();
            if let Some(shift) = self.start.wrapping_add(turn).checked_rem(brokers.len()) {
                brokers.rotate_left(shift);
            }
            brokers.reverse();
            brokers
        };
        (rotated(&self.unfenced), rotated(&self.fenced))
    }
}

/// The replicas of `partitions` new partitions with `factor` replicas each.
pub(super) fn place(
    image: &Image,
    random: &mut dyn Random,
    partitions: usize,
    factor: i64,
) -> Result<Vec<Vec<NodeId>>, Refusal> {
    let refuse = |message: String| Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
    let mut racks: BTreeMap<Option<&str>, Rack> = BTreeMap::new();
    for broker in
        image.brokers().filter(|broker| !broker.in_controlled_shutdown && takes_partitions(broker))
    {
        let rack = racks.entry(broker.rack.as_deref()).or_insert(Rack {
            unfenced: Vec::new(),
            fenced: Vec::new(),
            start: 0,
        });
        if broker.fenced { &mut rack.fenced } else { &mut rack.unfenced }.push(broker.id);
    }
    let mut racks: Vec<Rack> = racks.into_values().collect();
    let total: usize = racks.iter().map(|rack| rack.fenced.len() + rack.unfenced.len()).sum();
    let Ok(wanted) = usize::try_from(factor) else {
        return refuse(format!(
            "Invalid replication factor {factor}: the replication factor must be positive."
        ));
    };
    if racks.iter().all(|rack| rack.unfenced.is_empty()) {
        return refuse(
            "All brokers are currently fenced, or have all their log directories cordoned."
                .to_owned(),
        );
    }
    if wanted > total {
        return refuse(format!(
            "The target replication factor of {factor} cannot be reached because only {total} broker(s) are \
             registered or some brokers have all their log directories cordoned."
        ));
    }
    for rack in &mut racks {
        rack.start = draw_below(random, rack.unfenced.len().max(rack.fenced.len()));
    }
    let first = draw_below(random, racks.len());
    Ok((0..partitions).map(|round| one(&racks, first.wrapping_add(round), round, wanted)).collect())
}

/// The replicas of one partition: its leader from the first rack that has a living broker, the
/// others rack by rack.
fn one(racks: &[Rack], first: usize, round: usize, wanted: usize) -> Vec<NodeId> {
    // A rack leads once in as many rounds as there are racks; then it is the next broker's turn.
    let turn = round.checked_div(racks.len()).unwrap_or(0);
    let mut left: Vec<(Vec<NodeId>, Vec<NodeId>)> =
        racks.iter().map(|rack| rack.in_turn(turn)).collect();
    let start = first.checked_rem(left.len()).unwrap_or(0);
    left.rotate_left(start);
    let mut replicas = Vec::with_capacity(wanted);
    let leads = left.iter().position(|(unfenced, _)| !unfenced.is_empty());
    let Some(leads) = leads else { return replicas };
    replicas.extend(left.get_mut(leads).and_then(|(unfenced, _)| unfenced.pop()));
    // The leader's rack has had its turn.
    let mut skip = Some(leads);
    while replicas.len() < wanted {
        let before = replicas.len();
        for (index, (unfenced, fenced)) in left.iter_mut().enumerate() {
            if skip == Some(index) {
                skip = None;
                continue;
            }
            if replicas.len() < wanted {
                replicas.extend(unfenced.pop().or_else(|| fenced.pop()));
            }
        }
        // The caller has checked that there are enough; a whole round without one ends it still.
        if replicas.len() == before
            && left.iter().all(|(unfenced, fenced)| unfenced.is_empty() && fenced.is_empty())
        {
            break;
        }
    }
    replicas
}
