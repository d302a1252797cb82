//! Where a broker's replicas are: what it says of that, and what becomes of a partition whose
//! directory the broker does not have.

use ottla_metadata::{Command, Reply};
use ottla_protocol::k73_assign_replicas_to_dirs::{
    AssignReplicasToDirsRequestDirectoryData, AssignReplicasToDirsRequestPartitionData,
    AssignReplicasToDirsRequestTopicData,
};
use ottla_protocol::{AssignReplicasToDirsRequest, ErrorCode, NodeId, TopicId, Uuid};

use crate::cluster::Cluster;
use crate::decisions::{check, create, topic};

/// A directory by a number, which the lines of decisions show.
fn directory(number: u8) -> Uuid {
    let mut id = Uuid([7; 16]);
    id.0[14] = number;
    id
}

/// One broker with the directories 1 and 2, and a topic with two partitions.
fn two_directories() -> Cluster {
    let levels = [("metadata.version", 33), ("eligible.leader.replicas.version", 1)];
    let mut cluster = Cluster::with_levels(&levels);
    let Command::RegisterBroker(mut request) = cluster.registration(1, 1, -1, None) else {
        panic!("another command");
    };
    request.log_dirs = vec![directory(1), directory(2)];
    cluster.run(&Command::RegisterBroker(request)).unwrap();
    let heartbeat = cluster.heartbeat(1, false, false);
    cluster.run(&heartbeat).unwrap();
    cluster.run(&create(vec![topic("t", 2, &[])])).unwrap();
    cluster
}

fn assign(cluster: &Cluster, to: Uuid, topic: TopicId, partitions: &[i32]) -> Command {
    let partition = |index: &i32| AssignReplicasToDirsRequestPartitionData {
        partition_index: *index,
        ..Default::default()
    };
    let topic = AssignReplicasToDirsRequestTopicData {
        topic_id: topic,
        partitions: partitions.iter().map(partition).collect(),
        ..Default::default()
    };
    Command::AssignReplicasToDirs(AssignReplicasToDirsRequest {
        broker_id: 1,
        broker_epoch: cluster.machine.latest().broker(NodeId(1)).unwrap().epoch,
        directories: vec![AssignReplicasToDirsRequestDirectoryData {
            id: to,
            topics: vec![topic],
            ..Default::default()
        }],
        ..Default::default()
    })
}

fn topic_id(cluster: &Cluster) -> TopicId {
    cluster.machine.latest().topic("t").unwrap().id
}

/// The codes for the partitions of the only topic.
#[track_caller]
fn codes(cluster: &mut Cluster, command: &Command) -> Vec<i16> {
    let Reply::AssignReplicasToDirs(response) = cluster.run(command).unwrap() else {
        panic!("another reply");
    };
    let partitions = response.directories[0].topics[0].partitions.iter();
    partitions.map(|partition| partition.error_code).collect()
}

#[test]
fn a_replica_is_assigned_once() {
    let mut cluster = two_directories();
    let t = topic_id(&cluster);
    let command = assign(&cluster, directory(2), t, &[1]);
    check(&mut cluster, &command, "PartitionChange 1 directories=[2] v2");
    // It is known by now.
    check(&mut cluster, &command, "");
    let elsewhere = assign(&cluster, directory(1), t, &[0, 1]);
    check(
        &mut cluster,
        &elsewhere,
        "PartitionChange 0 directories=[1] v2
         PartitionChange 1 directories=[1] v2",
    );
    assert_eq!(&cluster.restored(), cluster.machine.latest());
}

#[test]
fn what_is_not_there_is_told() {
    let mut cluster = two_directories();
    let t = topic_id(&cluster);
    let command = assign(&cluster, directory(2), t, &[1, 5]);
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(codes(&mut cluster, &command), [0, unknown]);
    let command = assign(&cluster, directory(2), Uuid([9; 16]), &[0]);
    assert_eq!(codes(&mut cluster, &command), [ErrorCode::UnknownTopicId.code()]);
    cluster.serve(2, 2, -1, None);
    let Command::AssignReplicasToDirs(mut request) = assign(&cluster, directory(2), t, &[0]) else {
        panic!("another command");
    };
    request.broker_id = 2;
    request.broker_epoch = cluster.machine.latest().broker(NodeId(2)).unwrap().epoch;
    let command = Command::AssignReplicasToDirs(request.clone());
    assert_eq!(codes(&mut cluster, &command), [ErrorCode::NotLeaderOrFollower.code()]);
    request.broker_epoch = 1;
    let stale = Command::AssignReplicasToDirs(request.clone());
    assert_eq!(cluster.run(&stale).unwrap_err().code, ErrorCode::StaleBrokerEpoch);
    request.broker_id = 9;
    let nobody = Command::AssignReplicasToDirs(request);
    assert_eq!(cluster.run(&nobody).unwrap_err().code, ErrorCode::StaleBrokerEpoch);
}

#[test]
fn a_directory_the_broker_lost_takes_the_replica_along_and_back() {
    let mut cluster = two_directories();
    let t = topic_id(&cluster);
    let lost = assign(&cluster, directory(3), t, &[0]);
    check(
        &mut cluster,
        &lost,
        "PartitionChange 0 isr=[] leader=-1 elr=[1] lastKnownElr=[1] directories=[3] v2",
    );
    let found = assign(&cluster, directory(1), t, &[0]);
    check(
        &mut cluster,
        &found,
        "PartitionChange 0 isr=[1] leader=1 elr=[] lastKnownElr=[] directories=[1] v2",
    );
    assert_eq!(&cluster.restored(), cluster.machine.latest());
}

#[test]
fn before_directories_were_known_there_is_no_such_request() {
    let mut cluster = Cluster::with_levels(&[("metadata.version", 10)]);
    cluster.serve(1, 1, -1, None);
    cluster.run(&create(vec![topic("t", 1, &[])])).unwrap();
    let t = topic_id(&cluster);
    let command = assign(&cluster, directory(1), t, &[0]);
    assert_eq!(cluster.run(&command).unwrap_err().code, ErrorCode::UnsupportedVersion);
}
