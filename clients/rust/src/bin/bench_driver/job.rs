//! What can be asked for. Knows no client library.

use serde::{Deserialize, Serialize};

use crate::payload::Fill;

/// One job.
#[derive(Debug, Deserialize)]
#[serde(tag = "job", rename_all = "snake_case")]
pub(crate) enum Job {
    /// As many records as fast as the broker takes them.
    Produce(Produce),
    /// Everything that is in a topic, counted and checked.
    Consume(Consume),
    /// Records at times that are fixed beforehand.
    OpenLoop(OpenLoop),
}

/// Where the broker is and what it is called.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    pub(crate) bootstrap: String,
    /// Its process, of which CPU time is counted.
    pub(crate) pid: u32,
    pub(crate) topic: String,
    pub(crate) partitions: u32,
}

/// How a producer is set up. Whatever is not here is librdkafka's default.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sending {
    pub(crate) batch_bytes: u32,
    pub(crate) batch_records: u32,
    pub(crate) linger_ms: u32,
    pub(crate) in_flight: u32,
    /// `none`, `lz4`, `zstd`, `gzip`, `snappy`.
    pub(crate) compression: String,
    pub(crate) idempotence: bool,
}

/// What a record's value is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Records {
    pub(crate) bytes: usize,
    pub(crate) fill: Fill,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Produce {
    pub(crate) target: Target,
    pub(crate) sending: Sending,
    pub(crate) record: Records,
    /// Producers, each with a connection of its own.
    pub(crate) connections: u32,
    /// Sent before anything is measured, over the same connections.
    pub(crate) warm_up: u64,
    pub(crate) records: u64,
    /// After so long the warm-up, and then what is measured, ends with fewer records.
    pub(crate) seconds_max: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Consume {
    pub(crate) target: Target,
    /// How many records the topic must have.
    pub(crate) records: u64,
    /// Whether they are numbered, as the other jobs do.
    pub(crate) numbered: bool,
    pub(crate) record_bytes: usize,
    /// Reads everything once before anything is measured.
    pub(crate) warm_up: bool,
    /// Whether the client computes checksums.
    pub(crate) check_crcs: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenLoop {
    pub(crate) target: Target,
    pub(crate) sending: Sending,
    pub(crate) record: Records,
    /// Producers; the records of the schedule go round them.
    pub(crate) connections: u32,
    /// Consumers, each of which reads every record.
    pub(crate) consumers: u32,
    /// Each consumer has partitions of its own instead, so that one of them reads a record.
    pub(crate) shared_out: bool,
    /// Records a second, of all producers together.
    pub(crate) rate: u64,
    pub(crate) warm_up_seconds: u64,
    pub(crate) seconds: u64,
}

/// What a job that moves records took.
#[derive(Debug, Serialize)]
pub(crate) struct Moved {
    /// Records of the measured part.
    pub(crate) records: u64,
    /// Records acknowledged in all, warm-up included: so many are in the topic.
    pub(crate) in_topic: u64,
    pub(crate) wall_seconds: f64,
    pub(crate) broker_cpu_seconds: f64,
    pub(crate) driver_cpu_seconds: f64,
}

/// As [`Moved`], with latencies.
#[derive(Debug, Serialize)]
pub(crate) struct Timed {
    #[serde(flatten)]
    pub(crate) moved: Moved,
    /// From the intended time of the send to the acknowledgement.
    pub(crate) ack: Latency,
    /// From the intended time of the send to a consumer's hands.
    pub(crate) end_to_end: Latency,
}

/// Quantiles in microseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}
