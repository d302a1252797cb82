//! The records of a partition, read as every kind of reader reads them. Must not know how they
//! got there.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use anyhow::{Context, ensure};
use ottla_interop::raw::Connection;
use ottla_protocol::FetchRequest;
use ottla_protocol::k01_fetch::PartitionData;
use ottla_records::{Batch, Batches, ControlRecordType, Record, Scratch};

use super::{Patient, Picture, Topic};
use crate::wire::requests::{FETCH_BY_NAME, fetch};

/// No batch of these tests is larger when it is decompressed.
const LIMIT: usize = 64 << 20;
/// Reads that begin somewhere in the middle.
const FROM_THE_MIDDLE: usize = 12;

/// What one reader got of a partition.
#[derive(Debug, Default)]
struct Reading {
    /// Batches, back to back.
    bytes: Vec<u8>,
    /// Producer and first offset of aborted transactions.
    aborted: BTreeSet<(i64, i64)>,
    high_watermark: i64,
    last_stable: i64,
    log_start: i64,
}

impl Picture {
    pub(super) fn partition(
        &mut self,
        client: &mut Connection,
        topic: &Topic,
        partition: i32,
        known_epoch: Option<i32>,
    ) -> anyhow::Result<()> {
        let name = format!("{}-{partition}", topic.name);
        let all = read(client, &topic.name, partition, 0, -1)?;
        let committed = read(client, &topic.name, partition, 1, -1)?;
        ensure!(all.last_stable == committed.last_stable, "{name}: the last stable offset moves");
        self.line(format!("{name} high watermark"), all.high_watermark.to_string());
        self.line(format!("{name} last stable offset"), all.last_stable.to_string());
        self.line(format!("{name} log start"), all.log_start.to_string());
        self.aborted += committed.aborted.len();
        self.held_back += usize::from(all.last_stable < all.high_watermark);
        let visible = visible(&committed)?;
        for batch in Batches::new(&committed.bytes) {
            let end = batch?.header().last_offset().get();
            ensure!(end < committed.last_stable, "{name}: {end} is not stable");
        }
        let times = if topic.compacted {
            self.newest(&name, &all, &visible)?
        } else {
            self.batches(&name, &all, &visible)?
        };
        self.middles(client, topic, partition, &committed, &visible)?;
        let kind = (topic.compacted, all.log_start == all.high_watermark);
        self.times(client, &topic.name, partition, &times, kind)?;
        if let Some(known) = known_epoch {
            self.leader_epochs(client, &topic.name, partition, known)?;
        }
        self.producers(client, &topic.name, partition, topic.compacted)
    }

    /// Every batch as it stands, and which records are committed.
    fn batches(
        &mut self,
        name: &str,
        all: &Reading,
        visible: &BTreeSet<i64>,
    ) -> anyhow::Result<BTreeSet<i64>> {
        let mut times = BTreeSet::new();
        for batch in Batches::new(&all.bytes) {
            let batch = batch?;
            let (header, count) = (batch.header(), self.count(&batch, &mut times)?);
            let key = format!("{name} batch {:012}", header.base_offset.get());
            // The checksum covers the records, timestamps, producer and attributes.
            self.line(
                key,
                format!(
                    "to {} in epoch {} with {count} records, producer {} {} from {}, {:#010x}",
                    header.last_offset(),
                    header.partition_leader_epoch,
                    header.producer_id,
                    header.producer_epoch,
                    header.base_sequence,
                    header.crc
                ),
            );
        }
        self.line(format!("{name} committed"), ranges(visible));
        Ok(times)
    }

    fn count(&mut self, batch: &Batch<'_>, times: &mut BTreeSet<i64>) -> anyhow::Result<usize> {
        let mut count = 0;
        each(batch, |record| {
            times.insert(record.timestamp.get());
            count += 1;
            Ok(())
        })?;
        self.records += count;
        Ok(count)
    }

    /// The newest record of each key, for every reader; the rest compaction may take away.
    fn newest(
        &mut self,
        name: &str,
        all: &Reading,
        visible: &BTreeSet<i64>,
    ) -> anyhow::Result<BTreeSet<i64>> {
        let mut newest: BTreeMap<(bool, Vec<u8>), String> = BTreeMap::new();
        let mut count = 0;
        for batch in Batches::new(&all.bytes) {
            let batch = batch?;
            let is_control = batch.header().attributes.is_control();
            each(&batch, |record| {
                count += 1;
                // A reader of all records sees those that are aborted, too, until compaction.
                if !is_control && visible.contains(&record.offset.get()) {
                    let key = record.key.unwrap_or_default().to_vec();
                    newest.insert((true, key), written(record));
                }
                Ok(())
            })?;
        }
        self.records += count;
        for ((_, key), value) in newest {
            self.line(format!("{name} key {}", key.escape_ascii()), value);
        }
        Ok(BTreeSet::new())
    }

    /// A reader of committed records who begins in the middle sees what all see.
    fn middles(
        &mut self,
        client: &mut Connection,
        topic: &Topic,
        partition: i32,
        committed: &Reading,
        visible: &BTreeSet<i64>,
    ) -> anyhow::Result<()> {
        let starts: Vec<i64> = Batches::new(&committed.bytes)
            .map(|batch| batch.map(|batch| batch.header().base_offset.get()))
            .collect::<Result<_, _>>()?;
        for start in starts.iter().step_by((starts.len() / FROM_THE_MIDDLE).max(1)) {
            let start = &(*start).max(committed.log_start);
            let part = read(client, &topic.name, partition, 1, *start)?;
            let seen = self::visible(&part)?;
            let wanted: BTreeSet<i64> = visible.range(*start..).copied().collect();
            let seen: BTreeSet<i64> = seen.range(*start..).copied().collect();
            if topic.compacted && seen != wanted && seen.is_subset(&wanted) {
                // Compaction goes on between two reads: nothing may be missing that is there later.
                let later = self::visible(&read(client, &topic.name, partition, 1, -1)?)?;
                let later: BTreeSet<i64> = later.range(*start..).copied().collect();
                ensure!(
                    later.is_subset(&seen),
                    "from {start}: {} are committed, and {} after that",
                    ranges(&seen),
                    ranges(&later)
                );
                continue;
            }
            ensure!(
                seen == wanted,
                "from {start}: {} are committed, not {}",
                ranges(&seen),
                ranges(&wanted)
            );
        }
        Ok(())
    }
}

/// Reads to the end; from the log's start for `from` −1.
fn read(
    client: &mut Connection,
    topic: &str,
    partition: i32,
    isolation_level: i8,
    from: i64,
) -> anyhow::Result<Reading> {
    let mut reading = Reading::default();
    let mut next = from;
    if from < 0 {
        (_, next, _) = super::offsets::look_up(client, topic, partition, -2, 0)?;
    }
    loop {
        let request = FetchRequest { isolation_level, ..fetch(topic, partition, next) };
        let answer = client.ask_until(FETCH_BY_NAME, &request, |answer| {
            let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
            partitions.map(|partition| partition.error_code).collect()
        })?;
        let partitions = answer.responses.into_iter().flat_map(|topic| topic.partitions);
        let part = partitions.last().context("no partition in the answer")?;
        reading.high_watermark = part.high_watermark;
        reading.last_stable = part.last_stable_offset;
        reading.log_start = part.log_start_offset;
        let came = reading.take(&part)?;
        match came {
            Some(end) => {
                ensure!(end > next, "a fetch at {next} makes no progress");
                next = end;
            }
            None => break,
        }
    }
    let end = if isolation_level == 0 { reading.high_watermark } else { reading.last_stable };
    ensure!(next >= end, "a reader stops at {next} of {end}");
    Ok(reading)
}

impl Reading {
    /// Keeps what came; gives the offset to go on at.
    fn take(&mut self, part: &PartitionData) -> anyhow::Result<Option<i64>> {
        let bytes = part.records.as_ref().map(|records| records.to_bytes()).unwrap_or_default();
        let mut end = None;
        for batch in Batches::new(&bytes).map_while(Result::ok) {
            batch.verify_crc()?;
            end = Some(batch.header().next_offset().get());
            self.bytes.extend_from_slice(batch.bytes());
        }
        let aborted = part.aborted_transactions.iter().flatten();
        self.aborted.extend(aborted.map(|aborted| (aborted.producer_id, aborted.first_offset)));
        Ok(end)
    }
}

/// The offsets of records that a reader of committed records is given, as clients find out.
fn visible(reading: &Reading) -> anyhow::Result<BTreeSet<i64>> {
    let mut visible = BTreeSet::new();
    let mut aborted: Vec<(i64, i64)> =
        reading.aborted.iter().map(|(producer, first)| (*first, *producer)).collect();
    aborted.sort_unstable_by(|a, b| b.cmp(a));
    let mut hidden = BTreeSet::new();
    for batch in Batches::new(&reading.bytes) {
        let batch = batch?;
        let header = batch.header();
        while let Some((_, producer)) =
            aborted.pop_if(|(first, _)| *first <= header.last_offset().get())
        {
            hidden.insert(producer);
        }
        let producer = header.producer_id.get();
        if header.attributes.is_control() {
            each(&batch, |record| {
                if ControlRecordType::parse_key(record.key)? == ControlRecordType::Abort {
                    hidden.remove(&producer);
                }
                Ok(())
            })?;
        } else if !(header.attributes.is_transactional() && hidden.contains(&producer)) {
            each(&batch, |record| {
                visible.insert(record.offset.get());
                Ok(())
            })?;
        }
    }
    Ok(visible)
}

fn each(
    batch: &Batch<'_>,
    mut with: impl FnMut(&Record<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut scratch = Scratch::new();
    for record in batch.records(&mut scratch, LIMIT)? {
        with(&record?)?;
    }
    Ok(())
}

fn written(record: &Record<'_>) -> String {
    let mut hasher = DefaultHasher::new();
    record.value.hash(&mut hasher);
    for header in record.headers.iter() {
        (header.key, header.value).hash(&mut hasher);
    }
    let (offset, time, hash) = (record.offset, record.timestamp, hasher.finish());
    let size = record.value.map(<[u8]>::len);
    format!("offset {offset} at {time} of {size:?} bytes {hash:016x}")
}

/// `0-5 8 10-11`.
fn ranges(offsets: &BTreeSet<i64>) -> String {
    let mut found: Vec<(i64, i64)> = Vec::new();
    for offset in offsets {
        match found.last_mut() {
            Some((_, last)) if *last + 1 == *offset => *last = *offset,
            _ => found.push((*offset, *offset)),
        }
    }
    let written = found.iter().map(|(first, last)| format!("{first}-{last}"));
    written.collect::<Vec<_>>().join(" ")
}
