//! How librdkafka is set up. Must not know what is measured.

use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, anyhow};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use crate::job::{Sending, Target};

/// How long the broker may be silent.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// A producer's settings.
pub(crate) fn sending(target: &Target, sending: &Sending) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &target.bootstrap);
    config.set("acks", "all");
    config.set("batch.size", sending.batch_bytes.to_string());
    config.set("batch.num.messages", sending.batch_records.to_string());
    config.set("linger.ms", sending.linger_ms.to_string());
    config.set("max.in.flight.requests.per.connection", sending.in_flight.to_string());
    config.set("compression.type", &sending.compression);
    config.set("enable.idempotence", if sending.idempotence { "true" } else { "false" });
    config
}

/// A consumer without a group.
pub(crate) fn consumer(target: &Target, check_crcs: bool) -> anyhow::Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &target.bootstrap).set("group.id", "bench");
    config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
    config.set("check.crcs", if check_crcs { "true" } else { "false" });
    Ok(config.create()?)
}

/// Start and end of each partition.
pub(crate) fn ends(consumer: &BaseConsumer, target: &Target) -> anyhow::Result<Vec<(i64, i64)>> {
    let partitions = 0..i32::try_from(target.partitions)?;
    let ends = partitions.map(|partition| {
        let ends = consumer.fetch_watermarks(&target.topic, partition, LIMIT);
        ends.with_context(|| format!("the ends of {}-{partition}", target.topic))
    });
    ends.collect()
}

/// The partition after this one, of `count` from `first` on.
pub(crate) fn next_partition(partition: i32, first: i32, count: i32) -> i32 {
    if partition + 1 < first + count { partition + 1 } else { first }
}

pub(crate) fn is_queue_full(error: &KafkaError) -> bool {
    *error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)
}

/// The first thing that went wrong.
#[derive(Default)]
pub(crate) struct Failure(Mutex<Option<String>>);

impl Failure {
    pub(crate) fn set(&self, text: impl FnOnce() -> String) {
        if let Ok(mut failure) = self.0.lock() {
            failure.get_or_insert_with(text);
        }
    }

    pub(crate) fn check(&self) -> anyhow::Result<()> {
        match self.0.lock().ok().and_then(|failure| failure.clone()) {
            Some(failure) => Err(anyhow!(failure)),
            None => Ok(()),
        }
    }
}
