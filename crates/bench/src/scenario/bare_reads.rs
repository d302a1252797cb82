//! Reading with next to no cost of the reader: fetches of whole batches, of which only the headers
//! are looked at. Must not know brokers or scenarios.

use std::thread;

use anyhow::{Context, anyhow, ensure};
use ottla_protocol::k01_fetch::{FetchPartition, FetchTopic};
use ottla_protocol::k02_list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use ottla_protocol::{
    FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, StrBytes,
};
use ottla_records::Batches;

use crate::load::Target;
use crate::wire::Client;

/// As consumers have it by default: of one partition, and of an answer.
const PARTITION_MAX_BYTES: i32 = 1 << 20;
const MAX_BYTES: i32 = 50 << 20;
const MAX_WAIT_MS: i32 = 500;

/// From a partition's first record to its last of this moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) partition: i32,
    pub(super) start: i64,
    pub(super) end: i64,
}

/// Whether the reader computes the batches' checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checksums {
    Checked,
    Trusted,
}

/// What every partition of a topic has now.
pub(super) fn spans(target: &Target) -> anyhow::Result<Vec<Span>> {
    let mut client = Client::connect(&target.bootstrap)?;
    let partitions = i32::try_from(target.partitions)?;
    let mut offsets = |timestamp| -> anyhow::Result<Vec<i64>> {
        let partition = |partition_index| ListOffsetsPartition {
            partition_index,
            timestamp,
            ..ListOffsetsPartition::default()
        };
        let topic = ListOffsetsTopic {
            name: StrBytes::from(target.topic.as_str()),
            partitions: (0..partitions).map(partition).collect(),
            ..ListOffsetsTopic::default()
        };
        let request =
            ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
        client.send(6, &request)?;
        let answer: ListOffsetsResponse = client.receive(1, 6)?;
        let mut found: Vec<_> = answer.topics.iter().flat_map(|topic| &topic.partitions).collect();
        found.sort_by_key(|partition| partition.partition_index);
        ensure!(found.iter().all(|p| p.error_code == 0), "a partition has no leader");
        Ok(found.iter().map(|partition| partition.offset).collect())
    };
    let (starts, ends) = (offsets(-2)?, offsets(-1)?);
    let spans = (0..partitions).zip(starts).zip(ends);
    Ok(spans.map(|((partition, start), end)| Span { partition, start, end }).collect())
}

/// Reads the spans over several connections; gives the number of records. An error when an offset
/// is missing or comes twice.
pub(super) fn read(
    target: &Target,
    spans: &[Span],
    connections: usize,
    checksums: Checksums,
) -> anyhow::Result<u64> {
    thread::scope(|scope| {
        let readers: Vec<_> = (0..connections)
            .map(|number| {
                let own = spans.iter().skip(number).step_by(connections).copied().collect();
                scope.spawn(move || Reader::connect(target, own, checksums)?.read())
            })
            .collect();
        readers.into_iter().try_fold(0, |sum, reader| {
            Ok(sum + reader.join().map_err(|_| anyhow!("a reader has panicked"))??)
        })
    })
}

/// One connection and what it still has to read.
struct Reader<'a> {
    target: &'a Target,
    client: Client,
    left: Vec<Span>,
    checksums: Checksums,
    records: u64,
}

impl<'a> Reader<'a> {
    fn connect(target: &'a Target, own: Vec<Span>, checksums: Checksums) -> anyhow::Result<Self> {
        let client = Client::connect(&target.bootstrap)?;
        let left = own.into_iter().filter(|span| span.start < span.end).collect();
        Ok(Self { target, client, left, checksums, records: 0 })
    }

    fn read(mut self) -> anyhow::Result<u64> {
        while !self.left.is_empty() {
            self.client.send(12, &self.request())?;
            let answer: FetchResponse = self.client.receive(1, 12)?;
            ensure!(answer.error_code == 0, "fetch: error {}", answer.error_code);
            let partitions = answer.responses.into_iter().flat_map(|topic| topic.partitions);
            for partition in partitions {
                let (index, error) = (partition.partition_index, partition.error_code);
                ensure!(error == 0, "fetch of partition {index}: error {error}");
                let records = partition.records.unwrap_or_default().to_bytes();
                self.take(index, &records)?;
            }
            self.left.retain(|span| span.start < span.end);
            // Every answer begins where the next one should not: the first partition comes last.
            let turn = 1.min(self.left.len());
            self.left.rotate_left(turn);
        }
        Ok(self.records)
    }

    fn request(&self) -> FetchRequest {
        let partition = |span: &Span| FetchPartition {
            partition: span.partition,
            fetch_offset: span.start,
            partition_max_bytes: PARTITION_MAX_BYTES,
            ..FetchPartition::default()
        };
        let topic = FetchTopic {
            topic: StrBytes::from(self.target.topic.as_str()),
            partitions: self.left.iter().map(partition).collect(),
            ..FetchTopic::default()
        };
        FetchRequest {
            max_wait_ms: MAX_WAIT_MS,
            min_bytes: 1,
            max_bytes: MAX_BYTES,
            topics: vec![topic],
            ..FetchRequest::default()
        }
    }

    /// Counts the batches of an answer; a last one that was cut off comes again.
    fn take(&mut self, partition: i32, records: &[u8]) -> anyhow::Result<()> {
        let span = self.left.iter_mut().find(|span| span.partition == partition);
        let span = span.context("a partition that was not asked for")?;
        for batch in Batches::new(records).map_while(Result::ok) {
            let header = batch.header();
            let (found, wanted) = (header.base_offset.0, span.start);
            ensure!(found == wanted, "partition {partition}: {found} came where {wanted} should");
            if self.checksums == Checksums::Checked {
                batch.verify_crc().context("a damaged batch")?;
            }
            self.records += u64::try_from(header.record_count)?;
            span.start = header.next_offset().0;
        }
        Ok(())
    }
}
