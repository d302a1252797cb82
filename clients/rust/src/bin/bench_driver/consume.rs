//! The consumer: everything that is in a topic, counted and checked.

use std::time::Duration;

use anyhow::{Context, ensure};
use rdkafka::consumer::Consumer;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::client;
use crate::count::Seen;
use crate::cpu::Clock;
use crate::job::{Consume, Moved};
use crate::payload;

/// How long the next record may take.
const SILENCE: Duration = Duration::from_secs(30);

/// Reads from the first record to the last; an error when one is missing, twice there, or not
/// what was sent.
pub(crate) fn run(job: &Consume) -> anyhow::Result<Moved> {
    if job.warm_up {
        read(job)?;
    }
    read(job)
}

fn read(job: &Consume) -> anyhow::Result<Moved> {
    let consumer = client::consumer(&job.target, job.check_crcs)?;
    let ends = client::ends(&consumer, &job.target)?;
    let there: i64 = ends.iter().map(|(start, end)| end - start).sum();
    let there = u64::try_from(there)?;
    ensure!(there == job.records, "{there} records are there, {} were acknowledged", job.records);
    let mut list = TopicPartitionList::new();
    for partition in 0..i32::try_from(job.target.partitions)? {
        list.add_partition_offset(&job.target.topic, partition, Offset::Beginning)?;
    }
    let mut seen = Seen::new(job.records);
    let mut next = vec![0; ends.len()];
    let clock = Clock::start(job.target.pid)?;
    consumer.assign(&list)?;
    for number in 0..job.records {
        let message = consumer.poll(SILENCE);
        let message = message.with_context(|| format!("nothing came after {number} records"))??;
        let index = usize::try_from(message.partition())?;
        let next = next.get_mut(index).context("a record of no partition")?;
        let (partition, offset) = (message.partition(), message.offset());
        ensure!(offset == *next, "partition {partition}: {offset} came after {next}");
        *next += 1;
        let value = message.payload().context("a record without a value")?;
        if job.numbered {
            seen.add(payload::number(value, job.record_bytes)?)?;
        } else {
            ensure!(value.len() == job.record_bytes, "a record of {} bytes", value.len());
        }
    }
    let moved = clock.stop(job.records, job.records)?;
    ensure!(!job.numbered || seen.complete(), "{} records of {there}", seen.count());
    Ok(moved)
}
