//! DescribeLogDirs 1–5: log directories and the sizes of what is in them. 2 flexible · 3 error for
//! the whole · 4 size of the volume · 5 cordoned (KIP-1066).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::BytesMut;
use ottla_log::TopicPartition;
use ottla_metadata::feature_table;
use ottla_protocol::k35_describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use ottla_protocol::{DescribeLogDirsRequest, DescribeLogDirsResponse, ErrorCode, StrBytes};

use crate::connection::Handled;
use crate::dispatch::Context;
use crate::replica::{HostedPartition, Partitions, Volume};

pub(crate) fn handle(cx: Context, body: BytesMut) -> Handled {
    let request = decode!(cx, body, DescribeLogDirsRequest);
    let asked = Asked::of(&request);
    let volumes = &cx.shared.partitions.volumes;
    let mut found: Vec<Topics> = volumes.iter().map(|_| Topics::new()).collect();
    for hosted in asked.hosted(&cx.shared.partitions) {
        let size = hosted.with_log(ottla_log::PartitionLog::size_bytes);
        if let Some(topics) = found.get_mut(hosted.dir()) {
            add(topics, &hosted.name, size, None);
        }
    }
    for (index, topics) in found.iter_mut().enumerate() {
        for future in cx.shared.partitions.futures_in(index) {
            if asked.has(&future.name) {
                add(topics, &future.name, future.bytes, Some(future.lag));
            }
        }
    }
    let cordons = feature_table::cordons_log_dirs(cx.shared.image.load().features());
    let results = volumes.iter().zip(found);
    let results = results.map(|(volume, topics)| one(volume, topics, cordons)).collect();
    ready!(cx, DescribeLogDirsResponse { results, ..Default::default() })
}

/// The partitions of a log directory, by topic.
type Topics = BTreeMap<StrBytes, Vec<DescribeLogDirsPartition>>;

/// Which partitions the request asks about; all of them without a list.
struct Asked<'a>(Option<BTreeMap<&'a str, BTreeSet<i32>>>);

impl<'a> Asked<'a> {
    fn of(request: &'a DescribeLogDirsRequest) -> Self {
        Self(request.topics.as_ref().map(|topics| {
            let mut asked: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
            for topic in topics {
                asked.entry(&topic.topic).or_default().extend(&topic.partitions);
            }
            asked
        }))
    }

    fn has(&self, name: &TopicPartition) -> bool {
        self.0.as_ref().is_none_or(|asked| {
            asked.get(&*name.topic).is_some_and(|indexes| indexes.contains(&name.partition))
        })
    }

    /// Those that are open here.
    fn hosted(&self, partitions: &Partitions) -> Vec<Arc<HostedPartition>> {
        let Some(asked) = &self.0 else { return partitions.all() };
        let each =
            asked.iter().flat_map(|(topic, indexes)| indexes.iter().map(move |i| (topic, i)));
        each.filter_map(|(topic, index)| partitions.by_name(topic, *index)).collect()
    }
}

/// `lag` is that of a copy.
fn add(topics: &mut Topics, name: &TopicPartition, bytes: u64, lag: Option<i64>) {
    let partition = DescribeLogDirsPartition {
        partition_index: name.partition,
        partition_size: i64::try_from(bytes).unwrap_or(i64::MAX),
        offset_lag: lag.unwrap_or_default(),
        is_future_key: lag.is_some(),
        ..Default::default()
    };
    match topics.get_mut(&*name.topic) {
        Some(partitions) => partitions.push(partition),
        None => drop(topics.insert(StrBytes::from(&*name.topic), vec![partition])),
    }
}

fn one(volume: &Volume, topics: Topics, cordons: bool) -> DescribeLogDirsResult {
    let log_dir = StrBytes::from(volume.shown_path());
    if volume.dir.failure().is_some() {
        let error_code = ErrorCode::KafkaStorageError.into();
        return DescribeLogDirsResult { error_code, log_dir, ..Default::default() };
    }
    let space = volume.dir.disk().space(volume.dir.path()).ok();
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
        is_cordoned: cordons && volume.is_cordoned(),
        ..Default::default()
    }
}
