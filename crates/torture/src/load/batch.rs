//! Record batches from drawn records, and the answers to them. Must not know when they are sent.

use anyhow::Context;
use bytes::Bytes;
use ottla_protocol::k00_produce::PartitionProduceResponse;
use ottla_protocol::{Millis, ProduceResponse, ProducerEpoch, ProducerId};
use ottla_records::{BatchBuilder, BatchOptions, Compression};

use crate::payload::Payload;

/// An idempotent producer's name for a batch: id, epoch, sequence.
pub(super) type Sequence = (i64, i16, i32);

/// The batch of these records.
pub(super) fn build(
    records: &[Payload],
    compression: Compression,
    sequence: Option<Sequence>,
) -> anyhow::Result<Bytes> {
    let mut options = BatchOptions { compression, ..BatchOptions::default() };
    if let Some((id, epoch, sequence)) = sequence {
        options.producer_id = ProducerId(id);
        options.producer_epoch = ProducerEpoch(epoch);
        options.base_sequence = sequence;
    }
    let mut batch = BatchBuilder::new(options)?;
    for record in records {
        let (id, key) = (record.id_bytes(), Some(&record.key[..]));
        let time = Millis(record.timestamp);
        batch.append(time, key, record.value.as_deref(), &Payload::headers(&id))?;
    }
    Ok(batch.build()?.into())
}

/// What an answer says of each partition: topic, answer.
pub(super) fn answers(answer: ProduceResponse) -> Vec<(String, PartitionProduceResponse)> {
    let topics = answer.responses.into_iter();
    let partitions = topics.flat_map(|topic| {
        let name = topic.name.to_string();
        topic.partition_responses.into_iter().map(move |partition| (name.clone(), partition))
    });
    partitions.collect()
}

/// The one partition that an answer is about.
pub(super) fn only(answer: ProduceResponse) -> anyhow::Result<PartitionProduceResponse> {
    Ok(answers(answer).pop().context("no partition in the answer")?.1)
}
