//! AlterReplicaLogDirs 1–2: partitions move to another log directory of this broker. 2 flexible.

use std::collections::BTreeMap;

use bytes::BytesMut;
use indexmap::IndexMap;
use ottla_log::TopicPartition;
use ottla_protocol::k34_alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use ottla_protocol::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse, StrBytes};

use crate::connection::Handled;
use crate::dispatch::Context;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, AlterReplicaLogDirsRequest);
    // Of a partition that is named twice, the last counts, as in Kafka.
    let mut wanted: IndexMap<&StrBytes, BTreeMap<i32, &StrBytes>> = IndexMap::new();
    for dir in &request.dirs {
        for topic in dir.topics.iter().filter(|topic| !topic.partitions.is_empty()) {
            let partitions = wanted.entry(&topic.name).or_default();
            partitions.extend(topic.partitions.iter().map(|index| (*index, &dir.path)));
        }
    }
    let results = wanted.into_iter().map(|(topic, partitions)| {
        let partitions = partitions.into_iter().map(|(index, path)| {
            let moved = cx.shared.partitions.move_to(&TopicPartition::new(topic, index), path);
            AlterReplicaLogDirPartitionResult {
                partition_index: index,
                error_code: moved.err().map_or(0, Into::into),
                ..Default::default()
            }
        });
        AlterReplicaLogDirTopicResult {
            topic_name: topic.clone(),
            partitions: partitions.collect(),
            ..Default::default()
        }
    });
    let results = results.collect();
    ready!(cx, AlterReplicaLogDirsResponse { results, ..Default::default() })
}
