//! Partitions on their way between log directories: under the stock clients, while the broker is
//! killed again and again, and when Apache Kafka and Ottla take the directories over from each
//! other in the middle.

mod clients;
mod killed;
mod taken_over;

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use ottla_interop::broker::Broker;
use ottla_interop::raw::Connection;
use ottla_protocol::k34_alter_replica_log_dirs::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use ottla_protocol::k44_incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use ottla_protocol::message::ApiRequest;
use ottla_protocol::{
    AlterReplicaLogDirsRequest, CreateTopicsRequest, DescribeLogDirsRequest,
    IncrementalAlterConfigsRequest, k19_create_topics::CreatableTopic,
};
use ottla_records::{Batch, Batches, Scratch};

use crate::wire::requests::{FETCH_BY_NAME, fetch, produce};

const RATE: &str = "replica.alter.log.dirs.io.max.bytes.per.second";
const LIMIT: Duration = Duration::from_secs(90);

/// What the brokers are started with.
const SETTINGS: [&str; 3] = [
    "auto.create.topics.enable=false",
    "log.segment.delete.delay.ms=1000",
    "log.segment.bytes=1048576",
];

/// A client that connects anew after each start of the broker.
struct Client(Connection);

/// A log or a copy of one: number of the directory, whether it is a copy, offsets it lacks, bytes.
type Place = (usize, bool, i64, i64);

impl Client {
    fn of(broker: &Broker) -> anyhow::Result<Self> {
        Ok(Self(Connection::open(broker.address())?))
    }

    fn ask<R: ApiRequest>(&mut self, version: i16, request: &R) -> anyhow::Result<R::Response> {
        self.0.ask(version, request)
    }

    fn create(&mut self, name: &str, partitions: i32) -> anyhow::Result<()> {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: 1,
            ..Default::default()
        };
        let request =
            CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, ..Default::default() };
        let answer = self.ask(7, &request)?;
        ensure!(answer.topics.iter().all(|topic| topic.error_code == 0), "{answer:?}");
        Ok(())
    }

    /// Sets the rate of moves, or takes it away.
    fn throttle(&mut self, rate: Option<&str>) -> anyhow::Result<()> {
        let config = AlterableConfig {
            name: RATE.into(),
            config_operation: i8::from(rate.is_none()),
            value: rate.map(Into::into),
            ..Default::default()
        };
        let resource = AlterConfigsResource {
            resource_type: 4,
            resource_name: "1".into(),
            configs: vec![config],
            ..Default::default()
        };
        let request =
            IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
        let answer = self.ask(1, &request)?;
        ensure!(answer.responses.iter().all(|one| one.error_code == 0), "{answer:?}");
        Ok(())
    }

    /// Asks for a move; gives the error code.
    fn alter(&mut self, dir: &str, topic: &str, index: i32) -> anyhow::Result<i16> {
        let topic = AlterReplicaLogDirTopic {
            name: topic.into(),
            partitions: vec![index],
            ..Default::default()
        };
        let dir =
            AlterReplicaLogDir { path: dir.into(), topics: vec![topic], ..Default::default() };
        let request = AlterReplicaLogDirsRequest { dirs: vec![dir], ..Default::default() };
        let answer = self.ask(2, &request)?;
        let mut partitions = answer.results.iter().flat_map(|topic| &topic.partitions);
        Ok(partitions.next().context("no answer")?.error_code)
    }

    /// Where a partition is.
    fn places(&mut self, dirs: &[String], topic: &str, index: i32) -> anyhow::Result<Vec<Place>> {
        let answer = self.ask(4, &DescribeLogDirsRequest { topics: None, ..Default::default() })?;
        let mut places = Vec::new();
        for result in &answer.results {
            ensure!(result.error_code == 0, "{answer:?}");
            let at = dirs.iter().position(|dir| *dir == *result.log_dir).context("which?")?;
            for found in result.topics.iter().filter(|found| *found.name == *topic) {
                let mine = found.partitions.iter().filter(|p| p.partition_index == index);
                places.extend(mine.map(|p| (at, p.is_future_key, p.offset_lag, p.partition_size)));
            }
        }
        Ok(places)
    }

    fn produce(&mut self, topic: &str, index: i32, records: Bytes) -> anyhow::Result<(i16, i64)> {
        let answer = self.ask(9, &produce(topic, index, -1, records))?;
        let mut partitions = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
        let partition = partitions.next().context("no answer")?;
        Ok((partition.error_code, partition.base_offset))
    }

    /// Every record's offset and value.
    fn read(&mut self, topic: &str, index: i32) -> anyhow::Result<Vec<(i64, Vec<u8>)>> {
        let (mut next, mut found) = (0, Vec::new());
        loop {
            let answer = self.ask(FETCH_BY_NAME, &fetch(topic, index, next))?;
            let partition = answer.responses.iter().flat_map(|topic| &topic.partitions).next();
            let partition = partition.context("no partition")?;
            ensure!(partition.error_code == 0, "{topic}-{index}: {}", partition.error_code);
            let bytes = partition.records.as_ref().map(|r| r.to_bytes()).unwrap_or_default();
            let before = next;
            for batch in Batches::new(&bytes).map_while(Result::ok) {
                batch.verify_crc()?;
                next = batch.header().next_offset().get();
                found.extend(values(&batch)?);
            }
            if next == before {
                return Ok(found);
            }
        }
    }
}

fn values(batch: &Batch<'_>) -> anyhow::Result<Vec<(i64, Vec<u8>)>> {
    let base = batch.header().base_offset.get();
    let (mut scratch, mut values) = (Scratch::new(), Vec::new());
    for record in batch.records(&mut scratch, 1 << 30)? {
        let record = record?;
        let offset = base + i64::from(record.offset_delta);
        values.push((offset, record.value.unwrap_or_default().to_vec()));
    }
    Ok(values)
}

/// The paths of the log directories.
fn dirs(broker: &Broker) -> anyhow::Result<Vec<String>> {
    Ok(broker.log_dirs()?.iter().map(|dir| dir.display().to_string()).collect())
}

/// Asks again until `done`.
fn until(what: &str, mut done: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let end = Instant::now() + LIMIT;
    while !done()? {
        ensure!(Instant::now() < end, "{what} never is");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Waits until the partition is in one directory alone, this one if it is given.
fn arrived(
    client: &mut Client,
    dirs: &[String],
    (topic, index): (&str, i32),
    to: Option<usize>,
) -> anyhow::Result<()> {
    until(&format!("{topic}-{index} in {to:?}"), || {
        let found = client.places(dirs, topic, index)?;
        Ok(matches!(found.as_slice(), [(at, false, ..)] if to.is_none_or(|to| to == *at)))
    })
}

/// Waits until the partition takes records and gives them.
fn served(client: &mut Client, topic: &str, index: i32) -> anyhow::Result<()> {
    until(&format!("{topic}-{index} served"), || {
        let answer = client.ask(FETCH_BY_NAME, &fetch(topic, index, 0))?;
        let mut partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
        Ok(partitions.all(|partition| partition.error_code == 0))
    })
}
