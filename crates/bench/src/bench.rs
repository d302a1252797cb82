//! What every scenario has at hand: brokers that are started, topics, the load, amounts. Must not
//! know the scenarios.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use ottla_interop::{program, repository};

use crate::broker::{Broker, Builds};
use crate::load::{Consume, Driver, Moved, OpenLoop, Produce, Target, Timed};
use crate::process;
use crate::scenario::Cell;
use crate::wire::Client;

/// The broker has this one for itself.
pub(crate) const BROKER_CORE: u32 = 0;
/// Everything else runs here.
pub(crate) const DRIVER_CORE: u32 = 1;
/// Nothing that a scenario starts takes as long.
const LIMIT: Duration = Duration::from_secs(1800);

/// One call of the benchmark.
#[derive(Debug)]
pub(crate) struct Bench {
    /// Shows only that everything works.
    pub(crate) short: bool,
    /// How much of the usual amounts, in percent.
    pub(crate) percent: u64,
    pub(crate) builds: Builds,
    /// How long a scenario of endurance is to take.
    pub(crate) minutes: Option<u64>,
    driver: PathBuf,
    data: PathBuf,
}

impl Bench {
    pub(crate) fn new(short: bool, builds: Builds) -> anyhow::Result<Self> {
        let driver = repository::fetched("rust/release/bench_driver")?;
        let data = repository::root().join("target/bench/data");
        std::fs::create_dir_all(&data)?;
        Ok(Self { short, percent: 100, builds, minutes: None, driver, data })
    }

    /// Where brokers keep their data.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// An amount, or a much smaller one when only showing that it works; never less than that.
    pub(crate) fn amount(&self, full: u64, short: u64) -> u64 {
        if self.short { short } else { (full * self.percent / 100).max(short) }
    }

    /// An empty broker, ready for [`Broker::launch`]. What earlier ones wrote is on disk by now.
    pub(crate) fn prepare(&self, cell: &Cell, more: &[&str]) -> anyhow::Result<Broker> {
        program::run(&mut Command::new("sync"), LIMIT)?;
        let kept = self.short.then(|| self.data.join("kafka-formatted"));
        Broker::prepare(&self.builds, &self.data, cell, more, kept.as_deref())
    }

    /// A broker that serves, bound to its core.
    pub(crate) fn start(&self, cell: &Cell) -> anyhow::Result<Broker> {
        self.start_with(cell, &[])
    }

    /// As [`Bench::start`], with settings that the scenario gives to every broker.
    pub(crate) fn start_with(&self, cell: &Cell, more: &[&str]) -> anyhow::Result<Broker> {
        let mut broker = self.prepare(cell, more)?;
        // From its start on, so that it counts one core. A virtual machine starts sooner on two.
        broker.launch((!self.short).then_some(BROKER_CORE))?;
        broker.await_port()?;
        if self.short {
            process::pin(broker.pid()?, BROKER_CORE)?;
        }
        Ok(broker)
    }

    /// A new topic with one replica, usable.
    pub(crate) fn topic(
        &self,
        broker: &Broker,
        name: &str,
        partitions: u32,
    ) -> anyhow::Result<Target> {
        let mut client = Client::connect(broker.address())?;
        client.create_topic(name, i32::try_from(partitions)?)?;
        Ok(Target {
            bootstrap: broker.address().to_owned(),
            pid: broker.pid()?,
            topic: name.to_owned(),
            partitions,
        })
    }

    /// Sends, and reads everything back: an error when a record is missing.
    pub(crate) fn produce(&self, job: &Produce) -> anyhow::Result<Moved> {
        let moved = self.load().produce(job, LIMIT)?;
        self.read_back(&job.target, moved.in_topic, job.record.bytes)?;
        Ok(moved)
    }

    /// Sends on schedule, and reads everything back: an error when a record is missing.
    pub(crate) fn open_loop(&self, job: &OpenLoop) -> anyhow::Result<Timed> {
        let timed = self.load().open_loop(job, LIMIT)?;
        let (records, received) = (timed.moved.records, timed.end_to_end.count);
        let expected = records * if job.shared_out { 1 } else { u64::from(job.consumers) };
        ensure!(timed.ack.count == records, "{} of {records} were timed", timed.ack.count);
        ensure!(received == expected, "{received} of {expected} receipts were timed");
        self.read_back(&job.target, timed.moved.in_topic, job.record.bytes)?;
        Ok(timed)
    }

    /// Reads a whole topic; an error when it has another number of records.
    pub(crate) fn consume(&self, job: &Consume) -> anyhow::Result<Moved> {
        self.load().consume(job, LIMIT)
    }

    /// The load, for jobs that must not be read back at once.
    pub(crate) fn load(&self) -> Driver<'_> {
        Driver { program: &self.driver, core: DRIVER_CORE }
    }

    /// Counts and checks the numbered records of a topic.
    pub(crate) fn read_back(
        &self,
        target: &Target,
        records: u64,
        record_bytes: usize,
    ) -> anyhow::Result<()> {
        self.check(target, records, record_bytes, true)
    }

    /// As [`Bench::read_back`], of records that somebody else sent.
    pub(crate) fn count_back(
        &self,
        target: &Target,
        records: u64,
        record_bytes: usize,
    ) -> anyhow::Result<()> {
        self.check(target, records, record_bytes, false)
    }

    fn check(
        &self,
        target: &Target,
        records: u64,
        record_bytes: usize,
        numbered: bool,
    ) -> anyhow::Result<()> {
        let target = target.clone();
        let (warm_up, check_crcs) = (false, true);
        let job = Consume { target, records, numbered, record_bytes, warm_up, check_crcs };
        self.consume(&job).map(|_| ())
    }
}
