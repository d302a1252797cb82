//! Whatever is asked in whatever order: the log replayed is the state, a snapshot is the state,
//! and what a delta says is what changed.

use std::collections::BTreeMap;

use ottla_metadata::{Command, Delta, Image};
use ottla_protocol::k19_create_topics::CreatableTopic;
use ottla_protocol::k37_create_partitions::CreatePartitionsTopic;
use ottla_protocol::{
    AllocateProducerIdsRequest, CreatePartitionsRequest, DeleteTopicsRequest, Millis, NodeId,
    StrBytes, UnregisterBrokerRequest,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::cluster::Cluster;
use crate::decisions::{create, set_command, topic};

#[derive(Clone, Debug)]
enum Step {
    Register { id: i32, incarnation: u8, clean: bool },
    Heartbeat { id: i32, fence: bool, stop: bool },
    Unregister { id: i32 },
    Create { name: usize, partitions: i32, factor: i16 },
    Delete { name: usize },
    Grow { name: usize, count: i32 },
    Set { name: usize, setting: usize, value: usize },
    Allocate { id: i32 },
    Wait { ms: i64 },
}

const NAMES: [&str; 6] = ["a", "b.c", "b_c", "orders", "__consumer_offsets", "not legal"];
const SETTINGS: [&str; 4] =
    ["retention.ms", "min.insync.replicas", "unclean.leader.election.enable", "cleanup.policy"];
const VALUES: [&str; 6] = ["1", "2", "true", "compact", "-1", "nonsense"];

fn step() -> impl Strategy<Value = Step> {
    let id = 1..5_i32;
    let name = 0..NAMES.len();
    prop_oneof![
        1 => (id.clone(), 1..4_u8, any::<bool>()).prop_map(|(id, incarnation, clean)| Step::Register { id, incarnation, clean }),
        4 => (id.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(id, fence, stop)| Step::Heartbeat { id, fence: fence && stop, stop: stop && !fence }),
        1 => id.clone().prop_map(|id| Step::Unregister { id }),
        4 => (name.clone(), 0..4_i32, -1..4_i16)
            .prop_map(|(name, partitions, factor)| Step::Create { name, partitions, factor }),
        1 => name.clone().prop_map(|name| Step::Delete { name }),
        1 => (name.clone(), 0..6_i32).prop_map(|(name, count)| Step::Grow { name, count }),
        3 => (name, 0..SETTINGS.len(), 0..VALUES.len()).prop_map(|(name, setting, value)| Step::Set { name, setting, value }),
        1 => id.prop_map(|id| Step::Allocate { id }),
        1 => (0..6000_i64).prop_map(|ms| Step::Wait { ms }),
    ]
}

fn command(cluster: &Cluster, step: &Step) -> Option<Command> {
    let image = cluster.machine.latest();
    let epoch = |id: i32| image.broker(NodeId(id)).map_or(-1, |broker| broker.epoch);
    Some(match step {
        Step::Register { id, incarnation, clean } => {
            let racks = [None, Some("r1"), Some("r2")];
            let previous = if *clean { epoch(*id) } else { -1 };
            cluster.registration(
                *id,
                *incarnation,
                previous,
                racks[usize::try_from(*id).unwrap() % 3],
            )
        }
        Step::Heartbeat { id, fence, stop } => cluster.heartbeat(*id, *fence, *stop),
        Step::Unregister { id } => Command::UnregisterBroker(UnregisterBrokerRequest {
            broker_id: *id,
            ..Default::default()
        }),
        Step::Create { name, partitions, factor } => create(vec![CreatableTopic {
            replication_factor: *factor,
            ..topic(NAMES[*name], *partitions, &[])
        }]),
        Step::Delete { name } => {
            let topic_names = vec![StrBytes::from(NAMES[*name])];
            Command::DeleteTopics(DeleteTopicsRequest { topic_names, ..Default::default() })
        }
        Step::Grow { name, count } => {
            let topics = vec![CreatePartitionsTopic {
                name: StrBytes::from(NAMES[*name]),
                count: *count,
                assignments: None,
                ..Default::default()
            }];
            Command::CreatePartitions(CreatePartitionsRequest { topics, ..Default::default() })
        }
        Step::Set { name, setting, value } => {
            set_command(2, NAMES[*name], &[(SETTINGS[*setting], VALUES[*value])])
        }
        Step::Allocate { id } => Command::AllocateProducerIds(AllocateProducerIdsRequest {
            broker_id: *id,
            broker_epoch: epoch(*id),
            ..Default::default()
        }),
        Step::Wait { .. } => return None,
    })
}

/// What must be true of every state.
fn check(image: &Image) {
    for topic in image.topics() {
        for (index, partition) in topic.partitions() {
            let place = format!("{}-{index}: {partition:?}", topic.name);
            assert!(partition.isr.iter().all(|node| partition.replicas.contains(node)), "{place}");
            assert!(partition.elr.iter().all(|node| !partition.isr.contains(node)), "{place}");
            assert_eq!(partition.directories.len(), partition.replicas.len(), "{place}");
            assert!(
                partition.leader == NodeId(-1) || partition.isr.contains(&partition.leader),
                "{place}"
            );
            let lives = image.broker(partition.leader).is_some_and(|broker| broker.is_active());
            assert!(partition.leader == NodeId(-1) || lives, "a dead leader: {place}");
            assert!(partition.partition_epoch >= partition.leader_epoch.get(), "{place}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn the_state_is_the_log(steps in vec(step(), 1..60), elr in any::<bool>()) {
        let levels: &[(&str, i16)] =
            if elr { &[("metadata.version", 33), ("eligible.leader.replicas.version", 1)] } else { &[("metadata.version", 25)] };
        let mut cluster = Cluster::with_levels(levels);
        cluster.machine.take_delta();
        let mut seen = cluster.machine.latest().clone();
        for step in &steps {
            if let Step::Wait { ms } = step {
                cluster.now = Millis(cluster.now.get() + ms);
                cluster.tick();
            }
            let before = cluster.machine.latest().clone();
            let Some(command) = command(&cluster, step) else { continue };
            if cluster.run(&command).is_err() {
                prop_assert_eq!(&before, cluster.machine.latest(), "a refusal changes nothing");
            }
            check(cluster.machine.latest());
        }
        prop_assert_eq!(&cluster.replayed(), cluster.machine.latest());
        prop_assert_eq!(&cluster.restored(), cluster.machine.latest());
        let noted = cluster.machine.take_delta();
        let found = Delta::between(&seen, cluster.machine.latest());
        let topics = |delta: &Delta| -> BTreeMap<_, _> {
            delta.topics.iter().map(|(id, topic)| (*id, (topic.created, topic.deleted))).collect()
        };
        // What changed and changed back is noted, and not found.
        for (id, how) in topics(&found) {
            prop_assert_eq!(topics(&noted).get(&id).copied(), Some(how));
        }
        prop_assert!(found.configs.is_subset(&noted.configs));
        prop_assert!(found.brokers.is_subset(&noted.brokers));
        seen = cluster.machine.latest().clone();
        prop_assert!(Delta::between(&seen, cluster.machine.latest()).is_empty());
    }
}
