//! What clients see of a broker, as lines that can be compared: records, offsets, transactions,
//! producers, leader epochs, topics, settings, groups. Must not know which broker it asks, nor
//! what may have happened between two pictures.

mod cluster;
mod log;
mod offsets;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use ottla_interop::raw::Connection;
use ottla_protocol::message::ApiRequest;

/// How long a broker may take until it answers for everything that it has.
const SETTLED: Duration = Duration::from_secs(60);

/// Errors that pass: a partition without its leader yet, a coordinator that still loads.
const PASSING: [i16; 7] = [3, 5, 6, 14, 15, 16, 78];

/// Everything that was asked, by what it is about.
#[derive(Debug, Default)]
pub(super) struct Picture {
    lines: BTreeMap<String, String>,
    /// The leader epoch of each partition when the picture was taken.
    epochs: BTreeMap<(String, i32), i32>,
    /// How many records were read.
    pub(super) records: usize,
    /// How many transactions were aborted.
    pub(super) aborted: usize,
    /// How many partitions hold readers of committed records back.
    pub(super) held_back: usize,
}

/// A topic as the metadata says.
#[derive(Clone, Debug)]
struct Topic {
    name: String,
    partitions: Vec<i32>,
    compacted: bool,
}

impl Picture {
    /// Asks for everything. The leader epochs of `before` are looked at as they were then.
    pub(super) fn take(address: &str, before: Option<&Self>) -> anyhow::Result<Self> {
        let mut picture = Self::default();
        let mut client = Connection::open(address)?;
        let topics = picture.cluster(&mut client)?;
        for topic in &topics {
            for partition in &topic.partitions {
                let what = || format!("{}-{partition}", topic.name);
                let known = before
                    .map_or(&picture.epochs, |before| &before.epochs)
                    .get(&(topic.name.clone(), *partition))
                    .copied();
                picture.partition(&mut client, topic, *partition, known).with_context(what)?;
            }
        }
        picture.groups(&mut client)?;
        Ok(picture)
    }

    /// Asks for what only Kafka answers so far, and both keep.
    pub(super) fn of_kafka(address: &str) -> anyhow::Result<Self> {
        let mut picture = Self::default();
        picture.users(&mut Connection::open(address)?)?;
        Ok(picture)
    }

    fn line(&mut self, key: String, value: impl Into<String>) {
        self.lines.insert(key, value.into());
    }

    /// Whether something of that name was seen.
    pub(super) fn has(&self, start: &str) -> bool {
        self.lines.range(start.to_owned()..).next().is_some_and(|(key, _)| key.starts_with(start))
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// What differs in `later`, a line each. What begins with one of `may_go` may be gone.
    pub(super) fn differences(&self, later: &Self, may_go: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        for (key, value) in &self.lines {
            match later.lines.get(key) {
                None if may_go.iter().any(|start| key.starts_with(start)) => {}
                Some(other) if other == value => {}
                Some(other) => found.push(format!("{key}\n    was {value}\n    is  {other}")),
                None => found.push(format!("{key}\n    was {value}\n    is  gone")),
            }
        }
        let new = later.lines.iter().filter(|(key, _)| !self.lines.contains_key(*key));
        found.extend(new.map(|(key, value)| format!("{key}\n    was not there\n    is  {value}")));
        found
    }
}

/// A connection that asks again while an answer has an error that passes.
trait Patient {
    /// Asks until no error that `errors` finds in the answer passes; any other error is one.
    fn ask_until<R: ApiRequest>(
        &mut self,
        version: i16,
        request: &R,
        errors: impl Fn(&R::Response) -> Vec<i16>,
    ) -> anyhow::Result<R::Response>;
}

impl Patient for Connection {
    fn ask_until<R: ApiRequest>(
        &mut self,
        version: i16,
        request: &R,
        errors: impl Fn(&R::Response) -> Vec<i16>,
    ) -> anyhow::Result<R::Response> {
        let end = Instant::now() + SETTLED;
        loop {
            let answer = self.ask(version, request)?;
            let found: Vec<i16> = errors(&answer).into_iter().filter(|code| *code != 0).collect();
            if found.is_empty() {
                return Ok(answer);
            }
            let passing = found.iter().all(|code| PASSING.contains(code));
            if !passing || Instant::now() > end {
                bail!("{} answers {found:?} to {request:?}", R::API_KEY.name());
            }
            std::thread::yield_now();
        }
    }
}

/// Where a partition's log starts.
pub(super) fn log_start(
    client: &mut Connection,
    topic: &str,
    partition: i32,
) -> anyhow::Result<i64> {
    offsets::look_up(client, topic, partition, -2, 0).map(|(_, offset, _)| offset)
}
