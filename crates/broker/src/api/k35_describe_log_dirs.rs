//! DescribeLogDirs 1–5: log directories and the sizes of what is in them. 2 flexible · 3 error for
//! the whole · 4 size of the volume · 5 cordoned (KIP-1066).

use std::collections::BTreeMap;

use bytes::BytesMut;
use ottla_log::TopicPartition;
use ottla_protocol::k35_describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use ottla_protocol::{DescribeLogDirsRequest, DescribeLogDirsResponse, ErrorCode, StrBytes};

use crate::connection::Handled;
use crate::dispatch::Context;

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, DescribeLogDirsRequest);
    let results = (0..cx.shared.partitions.volumes.len()).map(|index| one(&cx, &request, index));
    let results = results.collect();
    ready!(cx, DescribeLogDirsResponse { results, ..Default::default() })
}

/// Whether the request asks about the partition; a null list asks about all.
fn is_asked(request: &DescribeLogDirsRequest, partition: &TopicPartition) -> bool {
    request.topics.as_ref().is_none_or(|topics| {
        topics.iter().any(|topic| {
            *topic.topic == *partition.topic && topic.partitions.contains(&partition.partition)
        })
    })
}

fn one(cx: &Context, request: &DescribeLogDirsRequest, index: usize) -> DescribeLogDirsResult {
    let Some(volume) = cx.shared.partitions.volumes.get(index) else {
        return DescribeLogDirsResult::default();
    };
    let path = volume.dir.path();
    let log_dir = StrBytes::from(
        std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string(),
    );
    if volume.dir.failure().is_some() {
        let error_code = ErrorCode::KafkaStorageError.into();
        return DescribeLogDirsResult { error_code, log_dir, ..Default::default() };
    }
    let mut topics: BTreeMap<StrBytes, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for hosted in cx.shared.partitions.all() {
        if hosted.dir() != index || !is_asked(request, &hosted.name) {
            continue;
        }
        let size = hosted.with_log(ottla_log::PartitionLog::size_bytes);
        topics.entry(StrBytes::from(&*hosted.name.topic)).or_default().push(
            DescribeLogDirsPartition {
                partition_index: hosted.name.partition,
                partition_size: i64::try_from(size).unwrap_or(i64::MAX),
                ..Default::default()
            },
        );
    }
    for future in cx.shared.partitions.futures_in(index) {
        if !is_asked(request, &future.name) {
            continue;
        }
        topics.entry(StrBytes::from(&*future.name.topic)).or_default().push(
            DescribeLogDirsPartition {
                partition_index: future.name.partition,
                partition_size: i64::try_from(future.bytes).unwrap_or(i64::MAX),
                offset_lag: future.lag,
                is_future_key: true,
                ..Default::default()
            },
        );
    }
    let space = volume.dir.disk().space(path).ok();
    let bytes = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    DescribeLogDirsResult {
        log_dir,
        topics: topics
            .into_iter()
            .map(|(name, partitions)| DescribeLogDirsTopic {
                name,
                partitions,
                ..Default::default()
            })
            .collect(),
        total_bytes: space.map_or(-1, |space| bytes(space.total)),
        usable_bytes: space.map_or(-1, |space| bytes(space.available)),
        ..Default::default()
    }
}
