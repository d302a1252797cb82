//! A broker, a well-behaved client that must be served whatever else goes on, and the broker's
//! memory before and after. Must not know what the bad input is.

use std::fs;

use anyhow::{Context, ensure};
use ottla_interop::broker::{Broker, Kind};
use ottla_interop::raw::{Answer, Connection};
use ottla_protocol::TopicId;
use ottla_records::Batches;

use crate::wire::create;
use crate::wire::requests::{FETCH_BY_NAME, PRODUCE_BY_NAME, fetch, one, produce};

/// The well-behaved client's topic.
const KEPT: &str = "kept";

/// Growth of resident memory that needs no explanation: what the allocator keeps, caches.
const GROWTH_KIB: u64 = 32 * 1024;

/// A broker with a client that is served.
pub(crate) struct Scene {
    broker: Broker,
    client: Connection,
    produced: i64,
    /// Resident before, in KiB; none for a broker that is not ours.
    before: Option<u64>,
}

impl Scene {
    /// Starts a broker and its client, and has it produce and read.
    pub(crate) fn start(settings: &[&str]) -> anyhow::Result<Self> {
        let broker = Broker::start(settings)?;
        let client = Connection::open(broker.address())?;
        let mut scene = Self { broker, client, produced: 0, before: None };
        scene.create(KEPT, &[])?;
        for _ in 0..20 {
            scene.serves()?;
        }
        if scene.is_ottla() {
            // The peak counts from here on.
            fs::write(format!("/proc/{}/clear_refs", scene.broker.pid()?), "5")
                .context("cannot reset the peak of memory")?;
            scene.before = Some(scene.memory("VmRSS:")?);
        }
        Ok(scene)
    }

    /// Whether the broker under test is the binary, not Kafka in its place.
    pub(crate) fn is_ottla(&self) -> bool {
        *self.broker.kind() == Kind::Ottla
    }

    /// A new connection.
    pub(crate) fn connect(&self) -> anyhow::Result<Connection> {
        Ok(Connection::open(self.broker.address())?)
    }

    /// The well-behaved client's own connection.
    pub(crate) fn client(&mut self) -> &mut Connection {
        &mut self.client
    }

    /// Creates a topic of one partition and waits until it can be used.
    pub(crate) fn create(
        &mut self,
        name: &str,
        configs: &[(&str, &str)],
    ) -> anyhow::Result<TopicId> {
        create(&mut self.client, name, 1, configs)
    }

    /// The well-behaved client produces a record and reads it.
    pub(crate) fn serves(&mut self) -> anyhow::Result<()> {
        let value = format!("record {}", self.produced);
        let answer = self.client.ask(PRODUCE_BY_NAME, &produce(KEPT, 0, -1, one(&value)))?;
        let produced = answer.responses.iter().flat_map(|topic| &topic.partition_responses).next();
        let produced = produced.context("no partition in the answer")?;
        ensure!(produced.error_code == 0, "not served: {produced:?}");
        let offset = produced.base_offset;
        let answer = self.client.ask(FETCH_BY_NAME, &fetch(KEPT, 0, offset))?;
        let fetched = answer.responses.iter().flat_map(|topic| &topic.partitions).next();
        let fetched = fetched.context("no partition in the answer")?;
        ensure!(fetched.error_code == 0, "not served: {fetched:?}");
        let records = fetched.records.as_ref().context("no records")?.to_bytes();
        let batch = Batches::new(&records).next().context("nothing read")??;
        ensure!(batch.header().base_offset.get() == offset, "read {:?}", batch.header());
        ensure!(batch.bytes().windows(value.len()).any(|w| w == value.as_bytes()), "other bytes");
        self.produced += 1;
        Ok(())
    }

    /// The client is served, the broker has not complained of itself, and its memory has not grown
    /// by more than it keeps.
    pub(crate) fn ends_well(mut self) -> anyhow::Result<()> {
        self.serves()?;
        let log = self.broker.log();
        ensure!(!log.contains("panicked"), "{log}");
        let Some(before) = self.before else { return Ok(()) };
        let (peak, now) = (self.memory("VmHWM:")?, self.memory("VmRSS:")?);
        ensure!(
            peak <= before + GROWTH_KIB,
            "memory: {before} KiB before, {peak} KiB at most, {now} KiB after"
        );
        Ok(())
    }

    fn memory(&self, field: &str) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.broker.pid()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number =
            line.and_then(|line| line.split_whitespace().next()).context("no such line")?;
        Ok(number.parse()?)
    }
}

/// The broker closes the connection without an answer, before or after it has taken all bytes.
pub(crate) fn is_closed_by(mut connection: Connection, bytes: &[u8]) -> anyhow::Result<()> {
    if let Err(error) = connection.send_bytes(bytes) {
        let gone = [std::io::ErrorKind::BrokenPipe, std::io::ErrorKind::ConnectionReset];
        ensure!(gone.contains(&error.kind()), "cannot send: {error}");
        return Ok(());
    }
    let answer = connection.answer()?;
    ensure!(answer == Answer::Closed, "not closed: {answer:?}");
    Ok(())
}

/// Bytes behind their length.
pub(crate) fn framed(frame: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(frame.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    bytes.extend_from_slice(frame);
    bytes
}
