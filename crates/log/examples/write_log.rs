//! Writes a log directory with one partition of many kinds of batches, for Apache Kafka's tools to
//! look at: `cargo run -p ottla-log --example write_log -- DIRECTORY TOPIC TOPIC_ID [crash]`.
//! With `crash` it ends without a clean stop.

use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use ottla_env_os::OsDisk;
use ottla_log::{
    LogConfig, LogDir, LogDirLimits, OffsetCheckpoint, Offsets, OpenOptions, PartitionLog,
    TopicPartition,
};
use ottla_partition::{AppendContext, ProducerRules};
use ottla_protocol::{LeaderEpoch, Millis, Offset, ProducerEpoch, ProducerId, Uuid};
use ottla_records::{
    BatchBuilder, BatchOptions, Compression, EndTransactionMarker, end_transaction_batch,
};

type Failure = Box<dyn std::error::Error>;

const START: i64 = 1_700_000_000_000;

fn batch(options: BatchOptions, first: i64) -> Result<BytesMut, Failure> {
    let mut builder = BatchBuilder::new(options)?;
    for i in 0..5 {
        let value = format!("value {i} of the batch at {first} ").repeat(20);
        builder.append(Millis(START + first + i), Some(b"key"), Some(value.as_bytes()), &[])?;
    }
    Ok(BytesMut::from(builder.build()?.as_slice()))
}

fn fill(log: &mut PartitionLog) -> Result<(), Failure> {
    let mut sequence = 0;
    for round in 0..400_i64 {
        let epoch = LeaderEpoch(i32::try_from(round / 100)?);
        let codec = Compression::ALL
            .iter()
            .cycle()
            .nth(usize::try_from(round)?)
            .copied()
            .unwrap_or_default();
        let first = log.log_end().0;
        let plain = BatchOptions { compression: codec, ..BatchOptions::default() };
        log.append(batch(plain, first)?, epoch, Millis(START), &AppendContext::CLIENT)?;
        let (id, producer_epoch) = (ProducerId(7), ProducerEpoch(0));
        let in_transaction = BatchOptions {
            producer_id: id,
            producer_epoch,
            base_sequence: sequence,
            transactional: true,
            ..BatchOptions::default()
        };
        sequence += 5;
        let first = log.log_end().0;
        log.append(batch(in_transaction, first)?, epoch, Millis(START), &AppendContext::CLIENT)?;
        let marker = EndTransactionMarker { coordinator_epoch: 0 };
        let end = end_transaction_batch(
            Millis(START + first),
            id,
            producer_epoch,
            round % 2 == 0,
            marker,
            epoch,
        )?;
        let end = BytesMut::from(end.as_slice());
        log.append(end, epoch, Millis(START), &AppendContext::COORDINATOR)?;
        if round % 10 == 0 {
            log.flush_now()?;
        }
    }
    Ok(log.flush_now()?)
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, topic, topic_id, rest @ ..] = arguments.as_slice() else {
        return Err("needs DIRECTORY TOPIC TOPIC_ID".into());
    };
    let topic_id = Uuid::parse(topic_id).ok_or("the topic id is no id")?;
    let dir = LogDir::open(Arc::new(OsDisk), Path::new(path), LogDirLimits::default())?;
    let partition = TopicPartition::new(topic, 0);
    let config = LogConfig { segment_bytes: 500_000, ..LogConfig::default() };
    let rules = ProducerRules { verify_transactions: false, ..ProducerRules::default() };
    let options = OpenOptions {
        producer_rules: rules,
        ..OpenOptions::new(Some(topic_id), config, Millis(START))
    };
    let (mut log, _) = PartitionLog::open(&dir, &partition, options)?;
    fill(&mut log)?;
    if rest.is_empty() {
        let end = log.close()?;
        dir.write_offsets(OffsetCheckpoint::RecoveryPoint, &Offsets::from([(partition, end)]))?;
        dir.write_offsets(
            OffsetCheckpoint::LogStart,
            &Offsets::from([(TopicPartition::new(topic, 0), Offset::ZERO)]),
        )?;
        dir.write_clean_shutdown(1)?;
    }
    Ok(())
}
