//! The load, from outside: jobs for the program that is built on librdkafka, and what it answers.
//! Must not know which broker it is for.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use ottla_interop::program;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A topic of a running broker.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) bootstrap: String,
    /// The broker's process, of which CPU time is counted.
    pub(crate) pid: u32,
    pub(crate) topic: String,
    pub(crate) partitions: u32,
}

/// How a producer is set up; acks=all, the rest is librdkafka's default.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sending {
    pub(crate) batch_bytes: u32,
    pub(crate) batch_records: u32,
    pub(crate) linger_ms: u32,
    pub(crate) in_flight: u32,
    pub(crate) compression: &'static str,
    pub(crate) idempotence: bool,
}

impl Sending {
    /// Large batches: up to 1 MB, librdkafka's largest by default.
    pub(crate) const BULK: Self = Self {
        batch_bytes: 1_000_000,
        batch_records: 10_000,
        linger_ms: 50,
        in_flight: 5,
        compression: "none",
        idempotence: false,
    };
    /// Whatever is there is sent at once.
    pub(crate) const PROMPT: Self = Self { linger_ms: 0, ..Self::BULK };
    /// One record a request.
    pub(crate) const SINGLE: Self = Self { batch_records: 1, ..Self::PROMPT };
}

/// What a record's value is.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Record {
    pub(crate) bytes: usize,
    pub(crate) fill: Fill,
}

/// What a value consists of.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fill {
    /// Bytes that no codec makes smaller.
    Random,
    /// Events as JSON, as a codec meets them.
    Text,
}

/// One job; see the program's own words in `clients/rust/src/bin/bench_driver/job.rs`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "job", rename_all = "snake_case")]
enum Job<'a> {
    Produce(&'a Produce),
    Consume(&'a Consume),
    OpenLoop(&'a OpenLoop),
}

/// As many records as fast as the broker takes them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Produce {
    pub(crate) target: Target,
    pub(crate) sending: Sending,
    pub(crate) record: Record,
    /// Producers, each with a connection of its own.
    pub(crate) connections: u32,
    /// Sent before anything is measured.
    pub(crate) warm_up: u64,
    pub(crate) records: u64,
    /// After so long the warm-up, and then what is measured, ends with fewer records.
    pub(crate) seconds_max: Option<u64>,
}

/// Everything that is in a topic, counted and checked.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Consume {
    pub(crate) target: Target,
    /// So many the topic must have.
    pub(crate) records: u64,
    /// Whether they were sent by this load, which numbers them.
    pub(crate) numbered: bool,
    pub(crate) record_bytes: usize,
    /// Reads everything once before anything is measured.
    pub(crate) warm_up: bool,
    /// Whether the client computes checksums.
    pub(crate) check_crcs: bool,
}

/// Records at times that are fixed beforehand; latency counts from there.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OpenLoop {
    pub(crate) target: Target,
    pub(crate) sending: Sending,
    pub(crate) record: Record,
    /// Producers; the records of the schedule go round them.
    pub(crate) connections: u32,
    /// Consumers at the tail, each of which must get every record.
    pub(crate) consumers: u32,
    /// Each consumer has partitions of its own instead.
    pub(crate) shared_out: bool,
    /// Records a second, of all producers together.
    pub(crate) rate: u64,
    pub(crate) warm_up_seconds: u64,
    pub(crate) seconds: u64,
}

/// What a job that moves records took.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Moved {
    /// Records of the measured part.
    pub(crate) records: u64,
    /// Records acknowledged in all, warm-up included.
    pub(crate) in_topic: u64,
    pub(crate) wall_seconds: f64,
    pub(crate) broker_cpu_seconds: f64,
    pub(crate) driver_cpu_seconds: f64,
}

impl Moved {
    /// Thousands of records for each second of a core that the broker used.
    pub(crate) fn per_core_second(&self) -> f64 {
        self.records as f64 / self.broker_cpu_seconds / 1000.0
    }

    /// Thousands of records a second on the wall.
    pub(crate) fn per_second(&self) -> f64 {
        self.records as f64 / self.wall_seconds / 1000.0
    }

    /// How much of a core the broker used, in percent.
    pub(crate) fn broker_busy(&self) -> f64 {
        self.broker_cpu_seconds / self.wall_seconds * 100.0
    }

    /// How much of a core the load used, in percent; near 100 it is the load that was measured on
    /// the wall.
    pub(crate) fn driver_busy(&self) -> f64 {
        self.driver_cpu_seconds / self.wall_seconds * 100.0
    }
}

/// As [`Moved`], with latencies.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Timed {
    #[serde(flatten)]
    pub(crate) moved: Moved,
    /// From the intended time of the send to the acknowledgement.
    pub(crate) ack: Latency,
    /// From the intended time of the send to a consumer's hands.
    pub(crate) end_to_end: Latency,
}

/// Quantiles in microseconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

/// The program, bound to a core.
#[derive(Clone, Debug)]
pub(crate) struct Driver<'a> {
    pub(crate) program: &'a Path,
    pub(crate) core: u32,
}

impl Driver<'_> {
    pub(crate) fn produce(&self, job: &Produce, limit: Duration) -> anyhow::Result<Moved> {
        self.run(&Job::Produce(job), limit)
    }

    pub(crate) fn consume(&self, job: &Consume, limit: Duration) -> anyhow::Result<Moved> {
        self.run(&Job::Consume(job), limit)
    }

    pub(crate) fn open_loop(&self, job: &OpenLoop, limit: Duration) -> anyhow::Result<Timed> {
        self.run(&Job::OpenLoop(job), limit)
    }

    fn run<T: DeserializeOwned>(&self, job: &Job<'_>, limit: Duration) -> anyhow::Result<T> {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &self.core.to_string()]).arg(self.program);
        command.stderr(Stdio::inherit());
        let line = serde_json::to_vec(job)?;
        let finished = program::finish(&mut command, &line, limit)?;
        let text = finished.text();
        let answer: serde_json::Value = serde_json::from_str(&text)
            .with_context(|| format!("the load ended with {}", finished.everything()))?;
        if let Some(error) = answer.get("error") {
            bail!("the load: {}\n{}", error, String::from_utf8_lossy(&finished.stderr));
        }
        serde_json::from_value(answer).context("the load answered something else")
    }
}
