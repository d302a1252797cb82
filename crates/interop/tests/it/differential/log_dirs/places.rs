//! Where partitions are, as DescribeLogDirs says it. Must not know why.

use ottla_protocol::k35_describe_log_dirs::DescribableLogDirTopic;
use ottla_protocol::{ApiKey, DescribeLogDirsRequest, DescribeLogDirsResponse};

use super::super::pair::{Pair, Side, versions};
use super::until;

/// A partition's log, or a copy of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of the directory.
    pub(super) dir: String,
    pub(super) is_copy: bool,
    pub(super) lag: i64,
    pub(super) bytes: i64,
}

fn request(topics: &[(&str, &[i32])]) -> DescribeLogDirsRequest {
    let topic = |(topic, partitions): &(&str, &[i32])| DescribableLogDirTopic {
        topic: (*topic).into(),
        partitions: partitions.to_vec(),
        ..Default::default()
    };
    DescribeLogDirsRequest {
        topics: Some(topics.iter().map(topic).collect()),
        ..Default::default()
    }
}

/// The order of everything is that of hash maps in Kafka; how far a copy is depends on time.
fn comparable(answer: &mut DescribeLogDirsResponse) {
    answer.results.sort_by(|a, b| a.log_dir.cmp(&b.log_dir));
    for result in &mut answer.results {
        for bytes in [&mut result.total_bytes, &mut result.usable_bytes] {
            *bytes = (*bytes).min(1);
        }
        result.topics.sort_by(|a, b| a.name.cmp(&b.name));
        for topic in &mut result.topics {
            topic.partitions.sort_by_key(|p| (p.partition_index, p.is_future_key));
            for partition in topic.partitions.iter_mut().filter(|p| p.is_future_key) {
                partition.partition_size = partition.partition_size.min(1);
                partition.offset_lag = partition.offset_lag.min(1);
            }
        }
    }
}

/// Describes in each version and compares.
pub(super) fn describe(
    pair: &mut Pair,
    case: &str,
    topics: &[(&str, &[i32])],
) -> anyhow::Result<()> {
    for version in versions(ApiKey::DescribeLogDirs) {
        pair.both_less(case, version, |_| request(topics), comparable)?;
    }
    Ok(())
}

/// Where a partition is, by directory.
pub(super) fn places(side: &mut Side, topic: &str, index: i32) -> anyhow::Result<Vec<Place>> {
    let mut answer = side.ask(4, &request(&[(topic, &[index])]))?;
    answer.results.sort_by(|a, b| a.log_dir.cmp(&b.log_dir));
    let mut places = Vec::new();
    for result in &answer.results {
        let dir = result.log_dir.rsplit("/data").next().unwrap_or_default();
        for partition in result.topics.iter().flat_map(|topic| &topic.partitions) {
            places.push(Place {
                dir: format!("dir{dir}"),
                is_copy: partition.is_future_key,
                lag: partition.offset_lag,
                bytes: partition.partition_size,
            });
        }
    }
    Ok(places)
}

/// Waits until the partition is in this directory and nowhere else.
pub(super) fn arrived(side: &mut Side, topic: &str, index: i32, dir: &str) -> anyhow::Result<()> {
    until(&format!("{topic}-{index} in {dir}"), side, |side| {
        let found = places(side, topic, index)?;
        Ok(matches!(found.as_slice(), [one] if one.dir == dir && !one.is_copy))
    })
}

/// Waits until a copy is in `to`, part of the log, and the log still in `from`.
pub(super) fn half_way(
    side: &mut Side,
    topic: &str,
    index: i32,
    from: &str,
    to: &str,
) -> anyhow::Result<()> {
    until(&format!("{topic}-{index} half way to {to}"), side, |side| {
        let found = places(side, topic, index)?;
        let log = found.iter().any(|place| place.dir == from && !place.is_copy);
        let copy = |place: &Place| place.dir == to && place.is_copy && place.bytes > 0;
        Ok(log && found.len() == 2 && found.iter().any(|p| copy(p) && p.lag > 0))
    })
}
