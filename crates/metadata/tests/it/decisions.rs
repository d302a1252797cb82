//! Decisions as text: what a command leads to, record by record.

use ottla_metadata::{Command, Reply, VersionedRecord};
use ottla_protocol::k19_create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use ottla_protocol::k37_create_partitions::CreatePartitionsTopic;
use ottla_protocol::k44_incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use ottla_protocol::k57_update_features::FeatureUpdateKey;
use ottla_protocol::{
    AllocateProducerIdsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    ErrorCode, IncrementalAlterConfigsRequest, MetadataRecord, Millis, NodeId, StrBytes,
    UnregisterBrokerRequest, UpdateFeaturesRequest, Uuid,
};

use crate::cluster::Cluster;

pub(crate) fn topic(name: &str, partitions: i32, configs: &[(&str, &str)]) -> CreatableTopic {
    let configs = configs.iter().map(|(name, value)| CreatableTopicConfig {
        name: StrBytes::from(*name),
        value: Some(StrBytes::from(*value)),
        ..Default::default()
    });
    CreatableTopic {
        name: StrBytes::from(name),
        num_partitions: partitions,
        replication_factor: -1,
        configs: configs.collect(),
        ..Default::default()
    }
}

pub(crate) fn create(topics: Vec<CreatableTopic>) -> Command {
    Command::CreateTopics(CreateTopicsRequest { topics, ..Default::default() })
}

pub(crate) fn set_command(kind: i8, name: &str, settings: &[(&str, &str)]) -> Command {
    let configs = settings.iter().map(|(name, value)| AlterableConfig {
        name: StrBytes::from(*name),
        value: Some(StrBytes::from(*value)),
        ..Default::default()
    });
    let resource = AlterConfigsResource {
        resource_type: kind,
        resource_name: StrBytes::from(name),
        configs: configs.collect(),
        ..Default::default()
    };
    Command::IncrementalAlterConfigs(IncrementalAlterConfigsRequest {
        resources: vec![resource],
        ..Default::default()
    })
}

pub(crate) fn set(cluster: &mut Cluster, kind: i8, name: &str, settings: &[(&str, &str)]) {
    let Reply::IncrementalAlterConfigs(response) =
        cluster.run(&set_command(kind, name, settings)).unwrap()
    else {
        panic!()
    };
    assert_eq!(response.responses[0].error_message, None);
}

/// A record in a line: what it says, without ids that were drawn.
fn line(record: &VersionedRecord) -> String {
    let version = record.version;
    let some = |name: &str, value: &Option<Vec<i32>>| {
        value.as_ref().map_or_else(String::new, |value| format!(" {name}={value:?}"))
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest stands as it is")]
    let text = match &record.record {
        MetadataRecord::Topic(record) => format!("Topic {}", record.name),
        MetadataRecord::Partition(record) => format!(
            "Partition {} replicas={:?} isr={:?} leader={} epochs={},{}",
            record.partition_id,
            record.replicas,
            record.isr,
            record.leader,
            record.leader_epoch,
            record.partition_epoch
        ),
        MetadataRecord::PartitionChange(record) => {
            let leader = if record.leader == -2 {
                String::new()
            } else {
                format!(" leader={}", record.leader)
            };
            let recovery = if record.leader_recovery_state == 1 { " recovering" } else { "" };
            let directories = record.directories.as_ref().map_or_else(String::new, |ids| {
                let last = ids.iter().map(|id| id.0[14]).collect::<Vec<_>>();
                format!(" directories={last:?}")
            });
            format!(
                "PartitionChange {}{}{leader}{}{}{recovery}{directories}",
                record.partition_id,
                some("isr", &record.isr),
                some("elr", &record.eligible_leader_replicas),
                some("lastKnownElr", &record.last_known_elr)
            )
        }
        MetadataRecord::Config(record) => {
            format!(
                "Config {}/{} {}={:?}",
                record.resource_type, record.resource_name, record.name, record.value
            )
        }
        MetadataRecord::RegisterBroker(record) => {
            format!(
                "RegisterBroker {} epoch={} fenced={}",
                record.broker_id, record.broker_epoch, record.fenced
            )
        }
        MetadataRecord::BrokerRegistrationChange(record) => format!(
            "BrokerRegistrationChange {} fenced={} inControlledShutdown={}",
            record.broker_id, record.fenced, record.in_controlled_shutdown
        ),
        MetadataRecord::ProducerIds(record) => {
            format!("ProducerIds next={}", record.next_producer_id)
        }
        MetadataRecord::FeatureLevel(record) => {
            format!("FeatureLevel {} {}", record.name, record.feature_level)
        }
        MetadataRecord::ClearElr(record) => format!("ClearElr {}", record.topic_name),
        MetadataRecord::RemoveTopic(_) => "RemoveTopic".to_owned(),
        MetadataRecord::UnregisterBroker(record) => {
            format!("UnregisterBroker {}", record.broker_id)
        }
        other => format!("{other:?}"),
    };
    format!("{text} v{version}")
}

/// Runs a command and compares the records it leads to.
#[track_caller]
pub(crate) fn check(cluster: &mut Cluster, command: &Command, expected: &str) {
    let (records, _) = cluster.plan(command).unwrap();
    let lines: Vec<String> = records.iter().map(line).collect();
    let expected: Vec<&str> =
        expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(lines, expected);
    cluster.append(records);
}

#[test]
fn a_topic_its_settings_and_partitions() {
    let mut cluster = Cluster::new();
    let command =
        create(vec![topic("t", 2, &[("segment.ms", "1000"), ("cleanup.policy", "compact")])]);
    check(
        &mut cluster,
        &command,
        "Topic t v0
         Config 2/t cleanup.policy=Some(\"compact\") v0
         Config 2/t segment.ms=Some(\"1000\") v0
         Partition 0 replicas=[1] isr=[1] leader=1 epochs=0,0 v2
         Partition 1 replicas=[1] isr=[1] leader=1 epochs=0,0 v2",
    );
    let more = CreatePartitionsTopic { name: StrBytes::from("t"), count: 3, ..Default::default() };
    let command = Command::CreatePartitions(CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic { assignments: None, ..more }],
        ..Default::default()
    });
    check(&mut cluster, &command, "Partition 2 replicas=[1] isr=[1] leader=1 epochs=0,0 v2");
    check(
        &mut cluster,
        &set_command(2, "t", &[("min.insync.replicas", "1")]),
        "Config 2/t min.insync.replicas=Some(\"1\") v0
         ClearElr t v0",
    );
    let command = Command::DeleteTopics(DeleteTopicsRequest {
        topic_names: vec![StrBytes::from("t")],
        ..Default::default()
    });
    check(&mut cluster, &command, "RemoveTopic v0");
    assert!(cluster.machine.latest().config_resources().all(|resource| resource.name != "t"));
}

#[test]
fn a_broker_stops_cleanly_and_comes_back() {
    let mut cluster = Cluster::new();
    cluster.run(&create(vec![topic("t", 1, &[])])).unwrap();
    let epoch = cluster.machine.latest().broker(NodeId(1)).unwrap().epoch;
    let stop = cluster.heartbeat(1, false, true);
    check(
        &mut cluster,
        &stop,
        "BrokerRegistrationChange 1 fenced=0 inControlledShutdown=1 v1
         PartitionChange 0 isr=[] leader=-1 elr=[1] lastKnownElr=[1] v2",
    );
    check(&mut cluster, &stop, "BrokerRegistrationChange 1 fenced=1 inControlledShutdown=0 v0");
    let register = cluster.registration(1, 2, epoch, None);
    check(&mut cluster, &register, "RegisterBroker 1 epoch=12 fenced=true v4");
    let live = cluster.heartbeat(1, false, false);
    check(
        &mut cluster,
        &live,
        "BrokerRegistrationChange 1 fenced=-1 inControlledShutdown=0 v0
         PartitionChange 0 isr=[1] leader=1 elr=[] lastKnownElr=[] v2",
    );
    assert_eq!(&cluster.restored(), cluster.machine.latest());
}

#[test]
fn a_broker_that_was_killed_loses_its_place_and_leads_as_the_last_one() {
    let mut cluster = Cluster::new();
    cluster.run(&create(vec![topic("t", 1, &[])])).unwrap();
    cluster.machine.activate(cluster.now, &[]);
    let register = cluster.registration(1, 2, -1, None);
    check(
        &mut cluster,
        &register,
        "PartitionChange 0 isr=[] leader=-1 lastKnownElr=[1] v2
         RegisterBroker 1 epoch=9 fenced=true v4",
    );
    let live = cluster.heartbeat(1, false, false);
    check(
        &mut cluster,
        &live,
        "BrokerRegistrationChange 1 fenced=-1 inControlledShutdown=0 v0
         PartitionChange 0 isr=[1] leader=1 lastKnownElr=[] recovering v2",
    );
}

#[test]
fn without_eligible_leader_replicas_the_last_in_sync_stays_in_sync() {
    let mut cluster = Cluster::with_levels(&[("metadata.version", 21)]);
    cluster.serve(1, 1, -1, None);
    check(
        &mut cluster,
        &create(vec![topic("t", 1, &[])]),
        "Topic t v0
         Partition 0 replicas=[1] isr=[1] leader=1 epochs=0,0 v1",
    );
    let fence = cluster.heartbeat(1, true, false);
    check(
        &mut cluster,
        &fence,
        "PartitionChange 0 leader=-1 v1
         BrokerRegistrationChange 1 fenced=1 inControlledShutdown=0 v0",
    );
    let live = cluster.heartbeat(1, false, false);
    check(
        &mut cluster,
        &live,
        "BrokerRegistrationChange 1 fenced=-1 inControlledShutdown=0 v0
         PartitionChange 0 leader=1 v1",
    );
}

/// Three brokers in three racks, and a topic with three replicas.
fn three() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.serve(2, 2, -1, Some("b"));
    cluster.serve(3, 3, -1, Some("c"));
    let assignment = CreatableReplicaAssignment {
        partition_index: 0,
        broker_ids: vec![1, 2, 3],
        ..Default::default()
    };
    let by_hand = CreatableTopic {
        num_partitions: -1,
        assignments: vec![assignment],
        ..topic("t", -1, &[("min.insync.replicas", "2")])
    };
    cluster.run(&create(vec![by_hand])).unwrap();
    cluster
}

#[test]
fn replicas_leave_and_come_back() {
    let mut cluster = three();
    let fence = |cluster: &Cluster, id| cluster.heartbeat(id, true, false);
    let command = fence(&cluster, 1);
    check(
        &mut cluster,
        &command,
        "PartitionChange 0 isr=[2, 3] leader=2 v2\nBrokerRegistrationChange 1 fenced=1 inControlledShutdown=0 v0",
    );
    let command = fence(&cluster, 2);
    check(
        &mut cluster,
        &command,
        "PartitionChange 0 isr=[3] leader=3 elr=[2] v2\nBrokerRegistrationChange 2 fenced=1 inControlledShutdown=0 v0",
    );
    let command = fence(&cluster, 3);
    check(
        &mut cluster,
        &command,
        "PartitionChange 0 isr=[] leader=-1 elr=[2, 3] lastKnownElr=[3] v2\nBrokerRegistrationChange 3 fenced=1 inControlledShutdown=0 v0",
    );
    let command = cluster.heartbeat(1, false, false);
    check(&mut cluster, &command, "BrokerRegistrationChange 1 fenced=-1 inControlledShutdown=0 v0");
    let command = cluster.heartbeat(2, false, false);
    check(
        &mut cluster,
        &command,
        "BrokerRegistrationChange 2 fenced=-1 inControlledShutdown=0 v0\nPartitionChange 0 isr=[2] leader=2 elr=[3] lastKnownElr=[] v2",
    );
    let gone =
        Command::UnregisterBroker(UnregisterBrokerRequest { broker_id: 3, ..Default::default() });
    check(&mut cluster, &gone, "PartitionChange 0 elr=[] v2\nUnregisterBroker 3 v0");
    assert_eq!(&cluster.restored(), cluster.machine.latest());
}

#[test]
fn silence_is_noticed_once_a_session_is_over() {
    let mut cluster = three();
    let deadline = cluster.machine.next_deadline().unwrap();
    assert_eq!(deadline, Millis(1000 + 9000 + 1));
    cluster.now = Millis(deadline.get() - 1);
    cluster.tick();
    assert!(cluster.machine.latest().brokers().all(|broker| !broker.fenced));
    let beat = cluster.heartbeat(2, false, false);
    cluster.run(&beat).unwrap();
    cluster.now = deadline;
    cluster.tick();
    let fenced: Vec<i32> = cluster
        .machine
        .latest()
        .brokers()
        .filter(|broker| broker.fenced)
        .map(|broker| broker.id.get())
        .collect();
    assert_eq!(fenced, [1, 3]);
    let partition = cluster.machine.latest().topic("t").unwrap().partition(0).unwrap();
    assert_eq!((partition.leader, &partition.isr[..]), (NodeId(2), &[NodeId(2)][..]));
}

#[test]
fn partitions_are_spread_over_brokers_and_racks() {
    let mut cluster = Cluster::new();
    for (id, rack) in [(2, "a"), (3, "b"), (4, "b"), (5, "c"), (6, "c")] {
        cluster.serve(id, u8::try_from(id).unwrap(), -1, Some(rack));
    }
    let wide = CreatableTopic { replication_factor: 3, ..topic("wide", 120, &[]) };
    cluster.run(&create(vec![wide])).unwrap();
    let image = cluster.machine.latest();
    let mut leads = [0; 7];
    for (_, partition) in image.topic("wide").unwrap().partitions() {
        let mut racks: Vec<_> =
            partition.replicas.iter().map(|id| image.broker(*id).unwrap().rack.clone()).collect();
        racks.sort();
        racks.dedup();
        assert_eq!(
            (partition.replicas.len(), racks.len()),
            (3, 3),
            "three replicas in three racks"
        );
        leads[usize::try_from(partition.leader.get()).unwrap()] += 1;
    }
    assert!(leads[1..].iter().all(|count| *count >= 10), "{leads:?}");
}

#[test]
fn registrations_that_cannot_be_are_refused() {
    let mut cluster = three();
    let refused =
        |cluster: &mut Cluster, change: &dyn Fn(&mut ottla_protocol::BrokerRegistrationRequest)| {
            let Command::RegisterBroker(mut request) = cluster.registration(9, 9, -1, None) else {
                panic!()
            };
            change(&mut request);
            let refusal = cluster.plan(&Command::RegisterBroker(request)).unwrap_err();
            format!("{} {}", refusal.code.name(), refusal.message.unwrap())
        };
    assert_eq!(
        refused(&mut cluster, &|request| request.cluster_id = StrBytes::from("other")),
        "INCONSISTENT_CLUSTER_ID Expected cluster ID cluster, but got cluster ID other"
    );
    assert_eq!(
        refused(&mut cluster, &|request| request.log_dirs.clear()),
        "INVALID_REGISTRATION No directories specified in request"
    );
    assert_eq!(
        refused(&mut cluster, &|request| request.log_dirs = vec![Uuid([0; 16])]),
        "INVALID_REGISTRATION Reserved directory ID in request"
    );
    let taken = cluster.machine.latest().broker(NodeId(2)).unwrap().log_dirs.clone();
    assert_eq!(
        refused(&mut cluster, &|request| request.log_dirs.clone_from(&taken)),
        format!("INVALID_REGISTRATION Broker 2 is already registered with directory {}", taken[0])
    );
    assert_eq!(
        refused(&mut cluster, &|request| request
            .features
            .retain(|feature| feature.name != "eligible.leader.replicas.version")),
        "UNSUPPORTED_VERSION Unable to register because the broker does not support finalized version 1 of \
         eligible.leader.replicas.version. The broker wants a version between 0 and 0, inclusive."
    );
    assert!(
        refused(&mut cluster, &|request| request.broker_id = 2)
            .starts_with("DUPLICATE_BROKER_REGISTRATION ")
    );
    let request =
        AllocateProducerIdsRequest { broker_id: 2, broker_epoch: 77, ..Default::default() };
    assert_eq!(
        cluster.plan(&Command::AllocateProducerIds(request)).unwrap_err().code,
        ErrorCode::StaleBrokerEpoch
    );
}

#[test]
fn levels_go_up_and_down() {
    let mut cluster = Cluster::with_levels(&[("metadata.version", 33)]);
    cluster.serve(1, 1, -1, None);
    let update = |name: &str, level, upgrade_type| Command::UpdateFeatures {
        request: UpdateFeaturesRequest {
            feature_updates: vec![FeatureUpdateKey {
                feature: StrBytes::from(name),
                max_version_level: level,
                upgrade_type,
                ..Default::default()
            }],
            ..Default::default()
        },
        version: 2,
    };
    let elr = "eligible.leader.replicas.version";
    check(
        &mut cluster,
        &update(elr, 1, 1),
        "Config 4/ min.insync.replicas=Some(\"1\") v0
         FeatureLevel eligible.leader.replicas.version 1 v0",
    );
    check(&mut cluster, &update(elr, 0, 2), "FeatureLevel eligible.leader.replicas.version 0 v0");
    assert_eq!(cluster.machine.latest().features().level(elr), 0);
    check(&mut cluster, &update("group.version", 1, 1), "");
}

#[test]
fn producer_ids_come_in_blocks() {
    let mut cluster = Cluster::new();
    let epoch = cluster.machine.latest().broker(NodeId(1)).unwrap().epoch;
    let command = Command::AllocateProducerIds(AllocateProducerIdsRequest {
        broker_id: 1,
        broker_epoch: epoch,
        ..Default::default()
    });
    check(&mut cluster, &command, "ProducerIds next=1000 v0");
    check(&mut cluster, &command, "ProducerIds next=2000 v0");
}
