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
/// Batches of a producer that are sent and not acknowledged, those that wait in its queue among
/// them: when the time is over there is little left to wait for.
const OPEN_BATCHES: u64 = 1_000;

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
struct Share<'a> {
    topic: String,
    producer: BaseProducer<Answers>,
    payload: Payload,
    /// Partitions from the first on.
    partitions: (i32, i32),
    /// Counts the records of all producers: they have numbers without a gap.
    numbers: &'a AtomicU64,
    sent: u64,
    open_max: u64,
    warm_up: u64,
    records: u64,
    time_max: Option<Duration>,
}

/// Sends everything; an error when a record is not acknowledged.
pub(crate) fn run(job: &Produce) -> anyhow::Result<Moved> {
    let numbers = AtomicU64::new(0);
    let shares = shares(job, &numbers)?;
    let (warm, done) = (Barrier::new(shares.len() + 1), Barrier::new(shares.len() + 1));
    let begin = Barrier::new(shares.len() + 1);
    thread::scope(|scope| {
        let senders: Vec<_> = shares
            .into_iter()
            .map(|mut share| {
                let (warm, begin, done) = (&warm, &begin, &done);
                scope.spawn(move || {
                    let warmed = share.send(share.warm_up);
                    warm.wait();
                    begin.wait();
                    let sent = share.send(share.records);
                    done.wait();
                    warmed.and(sent)
                })
            })
            .collect();
        warm.wait();
        let warmed = numbers.load(Ordering::Relaxed);
        let clock = Clock::start(job.target.pid);
        begin.wait();
        done.wait();
        let in_topic = numbers.load(Ordering::Relaxed);
        let moved = clock?.stop(in_topic - warmed, in_topic)?;
        for sender in senders {
            sender.join().map_err(|_| anyhow!("a sender has panicked"))??;
        }
        Ok(moved)
    })
}

fn shares<'a>(job: &Produce, numbers: &'a AtomicU64) -> anyhow::Result<Vec<Share<'a>>> {
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
                numbers,
                sent: 0,
                open_max: OPEN_BATCHES * u64::from(job.sending.batch_records),
                warm_up,
                records,
                time_max: job.seconds_max.map(Duration::from_secs),
            })
        })
        .collect()
}

impl Share<'_> {
    /// Sends so many records, or fewer when the time is over, and waits until all are acknowledged.
    fn send(&mut self, records: u64) -> anyhow::Result<()> {
        let (first, count) = self.partitions;
        let mut partition = first;
        let begun = Instant::now();
        for index in 0..records {
            if index % TAKE_EVERY == 0 {
                take_answers(&self.producer, Duration::ZERO);
            }
            while self.sent - self.acknowledged() >= self.open_max {
                take_answers(&self.producer, PAUSE);
                self.producer.context().failure.check()?;
                if self.is_over(begun) {
                    break;
                }
            }
            if self.is_over(begun) {
                break;
            }
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            self.sent += 1;
            let value = self.payload.numbered(number);
            let mut record: BaseRecord<'_, (), [u8], ()> =
                BaseRecord::to(&self.topic).payload(value).partition(partition);
            while let Err((error, back)) = self.producer.send(record) {
                ensure!(client::is_queue_full(&error), "send: {error}");
                take_answers(&self.producer, PAUSE);
                self.producer.context().failure.check()?;
                record = back;
            }
            partition = client::next_partition(partition, first, count);
        }
        self.wait()
    }

    fn is_over(&self, begun: Instant) -> bool {
        self.time_max.is_some_and(|most| begun.elapsed() >= most)
    }

    fn acknowledged(&self) -> u64 {
        self.producer.context().acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until all that was sent is acknowledged.
    fn wait(&self) -> anyhow::Result<()> {
        let wanted = self.sent;
        let (mut last, mut moved) = (0, Instant::now());
        loop {
            take_answers(&self.producer, PAUSE);
            self.producer.context().failure.check()?;
            let acknowledged = self.acknowledged();
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

/// A poll takes one answer's records, so there are as many as it needs. None of them waits: the
/// last millisecond of a wait it would spend spinning, on the core that librdkafka's own threads need.
fn take_answers(producer: &BaseProducer<Answers>, pause: Duration) {
    let acknowledged = || producer.context().acknowledged.load(Ordering::Relaxed);
    loop {
        let before = acknowledged();
        producer.poll(Duration::ZERO);
        if acknowledged() == before {
            break;
        }
    }
    if !pause.is_zero() {
        thread::sleep(pause);
    }
}
