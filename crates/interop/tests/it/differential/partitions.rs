//! CreatePartitions, good and bad, and DescribeLogDirs and DescribeQuorum.

use ottla_protocol::k35_describe_log_dirs::DescribableLogDirTopic;
use ottla_protocol::k37_create_partitions::{CreatePartitionsAssignment, CreatePartitionsTopic};
use ottla_protocol::k55_describe_quorum::{
    DescribeQuorumRequestPartitionData, DescribeQuorumRequestTopicData,
};
use ottla_protocol::{
    ApiKey, CreatePartitionsRequest, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeQuorumRequest, DescribeQuorumResponse, Uuid,
};

use super::pair::{Pair, versions};
use super::topics::{create, settle, topic};

pub(super) fn compare(pair: &mut Pair) -> anyhow::Result<()> {
    create(pair, "for more partitions", 7, &[topic("more", 2, 1), topic("even", 1, 1)], false)?;
    settle(pair, &["more", "even"])?;
    create_partitions(pair)?;
    log_dirs(pair)?;
    quorum(pair)
}

fn grown(name: &str, count: i32, by: Option<&[&[i32]]>) -> CreatePartitionsTopic {
    let assignment = |brokers: &&[i32]| CreatePartitionsAssignment {
        broker_ids: brokers.to_vec(),
        ..Default::default()
    };
    CreatePartitionsTopic {
        name: name.into(),
        count,
        assignments: by.map(|by| by.iter().map(assignment).collect()),
        ..Default::default()
    }
}

fn create_partitions(pair: &mut Pair) -> anyhow::Result<()> {
    for version in versions(ApiKey::CreatePartitions) {
        let more = 3 + i32::from(version);
        let cases = [
            ("fewer", vec![grown("more", 1, None)]),
            ("as many", vec![grown("more", more - 1, None)]),
            ("none", vec![grown("more", 0, None)]),
            ("negative", vec![grown("more", -1, None)]),
            ("far too many", vec![grown("more", 2_000_000_000, None)]),
            ("unknown topic", vec![grown("no-such-topic", 3, None)]),
            ("illegal name", vec![grown("a b", 3, None)]),
            ("twice", vec![grown("more", 50, None), grown("more", 51, None)]),
            ("unknown broker", vec![grown("more", more, Some(&[&[9]]))]),
            ("broker twice", vec![grown("more", more, Some(&[&[1, 1]]))]),
            ("no broker", vec![grown("more", more, Some(&[&[]]))]),
            ("too few assignments", vec![grown("more", more + 2, Some(&[&[1]]))]),
            ("too many assignments", vec![grown("more", more, Some(&[&[1], &[1]]))]),
            ("no assignments", vec![grown("more", more, Some(&[]))]),
            ("two topics, one bad", vec![grown("more", 1, None), grown("even", more, None)]),
            ("manual", vec![grown("more", more, Some(&[&[1]]))]),
            ("nothing", vec![]),
        ];
        for (case, topics) in cases {
            for validate_only in [true, false] {
                let case = if validate_only { format!("{case}, only to see") } else { case.into() };
                let request = |_: &_| CreatePartitionsRequest {
                    topics: topics.clone(),
                    timeout_ms: 30_000,
                    validate_only,
                    ..Default::default()
                };
                // Kafka answers in the order of a hash map.
                pair.both_less(&case, version, request, |answer| {
                    answer.results.sort_by(|a, b| a.name.cmp(&b.name));
                })?;
            }
        }
    }
    Ok(())
}

fn log_dirs(pair: &mut Pair) -> anyhow::Result<()> {
    let disk = |answer: &mut DescribeLogDirsResponse| {
        for result in &mut answer.results {
            for bytes in [&mut result.total_bytes, &mut result.usable_bytes] {
                *bytes = if *bytes > 0 { 1 } else { *bytes };
            }
            result.topics.sort_by(|a, b| a.name.cmp(&b.name));
            for topic in &mut result.topics {
                topic.partitions.sort_by_key(|partition| partition.partition_index);
            }
        }
    };
    let only = |topics: &[(&str, &[i32])]| -> Option<Vec<DescribableLogDirTopic>> {
        let topic = |(topic, partitions): &(&str, &[i32])| DescribableLogDirTopic {
            topic: (*topic).into(),
            partitions: partitions.to_vec(),
            ..Default::default()
        };
        Some(topics.iter().map(topic).collect())
    };
    let cases = [
        ("one", only(&[("more", &[0, 1])])),
        ("unknown", only(&[("no-such-topic", &[0]), ("more", &[99])])),
        ("nothing", only(&[])),
        ("no partition", only(&[("more", &[])])),
    ];
    for version in versions(ApiKey::DescribeLogDirs) {
        for (case, topics) in &cases {
            let request =
                |_: &_| DescribeLogDirsRequest { topics: topics.clone(), ..Default::default() };
            pair.both_less(case, version, request, disk)?;
        }
    }
    Ok(())
}

fn quorum(pair: &mut Pair) -> anyhow::Result<()> {
    let ours = |answer: &mut DescribeQuorumResponse| {
        for partition in answer.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition.leader_epoch = partition.leader_epoch.min(1);
            partition.high_watermark = partition.high_watermark.min(1);
            for replica in partition.current_voters.iter_mut().chain(&mut partition.observers) {
                replica.log_end_offset = replica.log_end_offset.min(1);
                replica.last_fetch_timestamp = replica.last_fetch_timestamp.min(1);
                replica.last_caught_up_timestamp = replica.last_caught_up_timestamp.min(1);
                if !replica.replica_directory_id.is_zero() {
                    replica.replica_directory_id = Uuid::METADATA_TOPIC;
                }
            }
        }
        // Kafka has a listener for controllers.
        answer.nodes.iter_mut().for_each(|node| node.listeners.clear());
    };
    let topics = [("__cluster_metadata", 0), ("__cluster_metadata", 1), ("more", 0), ("", 0)];
    for version in versions(ApiKey::DescribeQuorum) {
        for (topic, partition_index) in topics {
            let partition =
                DescribeQuorumRequestPartitionData { partition_index, ..Default::default() };
            let topics = vec![DescribeQuorumRequestTopicData {
                topic_name: topic.into(),
                partitions: vec![partition],
                ..Default::default()
            }];
            let request =
                |_: &_| DescribeQuorumRequest { topics: topics.clone(), ..Default::default() };
            pair.both_less(&format!("{topic:?} {partition_index}"), version, request, ours)?;
        }
        pair.both_less("nothing", version, |_| DescribeQuorumRequest::default(), ours)?;
    }
    Ok(())
}
