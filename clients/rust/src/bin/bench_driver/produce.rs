//! The saturating producer: as many records as fast as the broker takes them.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};
use rdkafka::client::ClientContext;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use crate::client::{self, Failure, LIMIT};
use crate::cpu::Clock;
use crate::job::{Moved, Produce};
use crate::payload::Payload;

/// Answers are taken after so many sends.
const TAKE_EVERY: u64 = 512;
const PAUSE: Duration = Duration::from_millis(1);

#[derive(Default)]
struct Answers {
    acknowledged: AtomicU64,
    failure: Failure,
}

impl ClientContext for Answers {}

impl ProducerContext for Answers {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => self.failure.set(|| format!("a record was refused: {error}")),
        }
    }
}

/// One producer and its share of the records.
struct Share {
    topic: String,
    producer: BaseProducer<Answers>,
    payload: Payload,
    /// Partitions from the first on.
    partitions: (i32, i32),
    first_number: u64,
    warm_up: u64,
    records: u64,
}

/// Sends everything; an error when a record is not acknowledged.
pub(crate) fn run(job: &Produce) -> anyhow::Result<Moved> {
    let shares = shares(job)?;
    let (warm, done) = (Barrier::new(shares.len() + 1), Barrier::new(shares.len() + 1));
    let begin = Barrier::new(shares.len() + 1);
    let records = shares.iter().map(|share| share.records).sum();
    let in_topic = shares.iter().map(|share| share.records + share.warm_up).sum();
    thread::scope(|scope| {
        let senders: Vec<_> = shares
            .into_iter()
            .map(|mut share| {
                let (warm, begin, done) = (&warm, &begin, &done);
                scope.spawn(move || {
                    let warmed = share.send(0..share.warm_up);
                    warm.wait();
                    begin.wait();
                    let sent = share.send(share.warm_up..share.warm_up + share.records);
                    done.wait();
                    warmed.and(sent)
                })
            })
            .collect();
        warm.wait();
        let clock = Clock::start(job.target.pid);
        begin.wait();
        done.wait();
        let moved = clock?.stop(records, in_topic)?;
        for sender in senders {
            sender.join().map_err(|_| anyhow!("a sender has panicked"))??;
        }
        Ok(moved)
    })
}

fn shares(job: &Produce) -> anyhow::Result<Vec<Share>> {
    let (connections, partitions) = (job.connections, job.target.partitions);
    ensure!(connections > 0 && partitions > 0, "no connections or no partitions");
    let config = client::sending(&job.target, &job.sending);
    let (warm_up, records) =
        (job.warm_up / u64::from(connections), (job.records / u64::from(connections)).max(1));
    (0..connections)
        .map(|index| {
            // With enough partitions each producer has its own.
            let each = (partitions / connections).max(1);
            let first = if partitions >= connections { index * each } else { index % partitions };
            let last = index + 1 == connections && partitions >= connections;
            let count = if last { partitions - first } else { each };
            Ok(Share {
                topic: job.target.topic.clone(),
                producer: config.create_with_context(Answers::default())?,
                payload: Payload::new(job.record.fill, job.record.bytes)?,
                partitions: (i32::try_from(first)?, i32::try_from(count)?),
                first_number: u64::from(index) * (warm_up + records),
                warm_up,
                records,
            })
        })
        .collect()
}

impl Share {
    /// Sends these of its records and waits until all are acknowledged.
    fn send(&mut self, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
        let (first, count) = self.partitions;
        let mut partition = first;
        let end = numbers.end;
        for number in numbers {
            let value = self.payload.numbered(self.first_number + number);
            let mut record: BaseRecord<'_, (), [u8], ()> =
                BaseRecord::to(&self.topic).payload(value).partition(partition);
            while let Err((error, back)) = self.producer.send(record) {
                ensure!(client::is_queue_full(&error), "send: {error}");
                take_answers(&self.producer, PAUSE);
                self.producer.context().failure.check()?;
                record = back;
            }
            partition = client::next_partition(partition, first, count);
            if number % TAKE_EVERY == 0 {
                take_answers(&self.producer, Duration::ZERO);
            }
        }
        self.wait_for(end)
    }

    fn wait_for(&self, wanted: u64) -> anyhow::Result<()> {
        let answers = self.producer.context();
        let (mut last, mut moved) = (0, Instant::now());
        loop {
            take_answers(&self.producer, PAUSE);
            answers.failure.check()?;
            let acknowledged = answers.acknowledged.load(Ordering::Relaxed);
            if acknowledged == wanted {
                return Ok(());
            }
            if acknowledged != last {
                (last, moved) = (acknowledged, Instant::now());
            }
            ensure!(moved.elapsed() < LIMIT, "{acknowledged} of {wanted} records acknowledged");
        }
    }
}

/// The poll itself never waits: the last millisecond of a wait it would spend spinning, on the core
/// that librdkafka's own threads need.
fn take_answers(producer: &BaseProducer<Answers>, pause: Duration) {
    producer.poll(Duration::ZERO);
    if !pause.is_zero() {
        thread::sleep(pause);
    }
}
