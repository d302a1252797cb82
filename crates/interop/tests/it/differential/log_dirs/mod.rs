//! Several log directories on both brokers: what is asked of moves between them and what is told
//! of them, directories that take no new partitions, and directories that fail.

mod asking;
mod assigned;
mod cordoned;
mod offline;
mod places;

use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use ottla_protocol::k34_alter_replica_log_dirs::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use ottla_protocol::k44_incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use ottla_protocol::{
    AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse, ErrorCode,
    IncrementalAlterConfigsRequest, Millis,
};
use ottla_records::{BatchBuilder, BatchOptions};

use super::pair::{Pair, Side};
use crate::wire::requests::{produce, time};

/// Moves are slowed down by this.
const RATE: &str = "replica.alter.log.dirs.io.max.bytes.per.second";

/// The longest that something may take.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn moves_between_log_directories_are_kafkas() -> anyhow::Result<()> {
    let mut pair = Pair::start_with_dirs(&["auto.create.topics.enable=false"], 3)?;
    asking::compare(&mut pair)?;
    pair.finish("log_dirs", 100)
}

#[test]
fn cordoned_log_directories_are_kafkas() -> anyhow::Result<()> {
    let mut pair = Pair::start_with_dirs(&["auto.create.topics.enable=false"], 3)?;
    cordoned::compare(&mut pair)?;
    pair.finish("cordoned", 60)
}

#[test]
fn log_directories_that_fail_are_kafkas() -> anyhow::Result<()> {
    let settings = ["auto.create.topics.enable=false", "log.segment.bytes=1048576"];
    let mut pair = Pair::start_with_dirs(&settings, 3)?;
    offline::compare(&mut pair)?;
    pair.finish("offline_dirs", 60)
}

/// The path behind a label that `text` begins with; other texts are as they are.
fn path(side: &Side, text: &str) -> String {
    match text.split_at_checked(4) {
        Some((label, rest)) if label.starts_with("dir") => side.word(label) + rest,
        Some(_) | None => text.to_owned(),
    }
}

/// Directory, topic and partitions.
type Wanted<'a> = (&'a str, &'a str, &'a [i32]);

fn request(side: &Side, wanted: &[Wanted<'_>]) -> AlterReplicaLogDirsRequest {
    let one = |(dir, topic, partitions): &Wanted<'_>| AlterReplicaLogDir {
        path: path(side, dir).into(),
        topics: vec![AlterReplicaLogDirTopic {
            name: (*topic).into(),
            partitions: partitions.to_vec(),
            ..Default::default()
        }],
        ..Default::default()
    };
    AlterReplicaLogDirsRequest { dirs: wanted.iter().map(one).collect(), ..Default::default() }
}

/// Kafka answers in the order of a hash map.
fn sorted(answer: &mut AlterReplicaLogDirsResponse) {
    answer.results.sort_by(|a, b| a.topic_name.cmp(&b.topic_name));
    for topic in &mut answer.results {
        topic.partitions.sort_by_key(|partition| partition.partition_index);
    }
}

/// Asks both for moves, in each version; what is asked twice changes nothing.
fn alter(pair: &mut Pair, case: &str, wanted: &[Wanted<'_>]) -> anyhow::Result<()> {
    for version in [1, 2] {
        pair.both_less(case, version, |side| request(side, wanted), sorted)?;
    }
    Ok(())
}

fn setting(broker: &str, name: &str, value: Option<String>) -> IncrementalAlterConfigsRequest {
    let config = AlterableConfig {
        name: name.into(),
        config_operation: i8::from(value.is_none()),
        value: value.map(Into::into),
        ..Default::default()
    };
    let resource = AlterConfigsResource {
        resource_type: 4,
        resource_name: broker.into(),
        configs: vec![config],
        ..Default::default()
    };
    IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() }
}

/// Sets a setting of the broker, or of all, on both; `dirN` in the value stand for directories.
fn set(pair: &mut Pair, broker: &str, name: &str, value: Option<&str>) -> anyhow::Result<()> {
    let case = format!("{name} of {broker:?} = {value:?}");
    let request = |side: &Side| {
        let each = |value: &str| value.split(',').map(|v| path(side, v)).collect::<Vec<_>>();
        setting(broker, name, value.map(|value| each(value).join(",")))
    };
    pair.both(&case, 1, request)
}

/// Records of `bytes` each, in one batch; not to be compressed.
fn batch(seed: u64, records: usize, bytes: usize) -> anyhow::Result<Bytes> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut builder = BatchBuilder::new(BatchOptions::default())?;
    for record in 0..records {
        let mut value = Vec::with_capacity(bytes + 8);
        while value.len() < bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            value.extend(state.to_le_bytes());
        }
        let time = Millis(time() + i64::try_from(record)?);
        builder.append(time, Some(b"key"), Some(&value), &[])?;
    }
    Ok(builder.build()?.into())
}

/// Produces the same to both.
fn fill(pair: &mut Pair, topic: &str, partition: i32, batches: u64) -> anyhow::Result<()> {
    for seed in 0..batches {
        let records = batch(seed, 5, 100_000)?;
        let request = |_: &Side| produce(topic, partition, -1, records.clone());
        pair.both(&format!("fill {topic}-{partition}"), 9, request)?;
    }
    Ok(())
}

/// Asks again until `done`.
fn until(
    what: &str,
    side: &mut Side,
    mut done: impl FnMut(&mut Side) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let end = Instant::now() + LIMIT;
    while !done(side)? {
        let kind = side.broker.kind();
        ensure!(Instant::now() < end, "{kind:?}: {what} never is\n{}", side.broker.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The code of each partition that was to be moved.
fn codes(answer: &AlterReplicaLogDirsResponse) -> Vec<ErrorCode> {
    let partitions = answer.results.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.error_code.into()).collect()
}
