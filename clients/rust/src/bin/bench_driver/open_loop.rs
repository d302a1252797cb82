//! The open loop: records at times that are fixed beforehand, whatever the broker does. A latency
//! counts from the time for which the send was intended, so a broker that stalls is charged for
//! every record that had to wait, also before it was sent.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use crate::client::{self, Failure, LIMIT};
use crate::count::Seen;
use crate::cpu::Clock;
use crate::job::{OpenLoop, Timed};
use crate::latency::Latencies;
use crate::payload::{self, Payload};

/// Between making everything ready and the first record.
const HEAD_START: Duration = Duration::from_millis(200);
const POLL: Duration = Duration::from_millis(100);
const QUEUE_FULL_PAUSE: Duration = Duration::from_micros(200);

/// When each record is due.
#[derive(Clone, Copy)]
struct Schedule {
    start: Instant,
    rate: u64,
    warm_up: u64,
    total: u64,
}

impl Schedule {
    fn due(&self, number: u64) -> Instant {
        let nanos = u128::from(number) * 1_000_000_000 / u128::from(self.rate);
        self.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Whether a record goes to the consumer with this number.
    fn is_for(job: &OpenLoop, partition: u64, consumer: u64) -> bool {
        !job.shared_out || partition % u64::from(job.consumers) == consumer
    }

    /// How many records go to the consumer with this number.
    fn wanted(&self, job: &OpenLoop, consumer: u64) -> u64 {
        let partitions = u64::from(job.target.partitions);
        let mine = (0..partitions).filter(|partition| Self::is_for(job, *partition, consumer));
        mine.map(|partition| self.total.saturating_sub(partition).div_ceil(partitions)).sum()
    }

    /// The latency of a record that is there now; `None` while warming up.
    fn latency(&self, number: u64) -> Option<Duration> {
        (number >= self.warm_up).then(|| Instant::now().saturating_duration_since(self.due(number)))
    }
}

struct Answers {
    schedule: Arc<Mutex<Option<Schedule>>>,
    acknowledged: Arc<AtomicU64>,
    latencies: Mutex<Latencies>,
    failure: Arc<Failure>,
}

impl ClientContext for Answers {}

impl ProducerContext for Answers {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        if let Err((error, _)) = result {
            self.failure.set(|| format!("record {number} was refused: {error}"));
            return;
        }
        let schedule = self.schedule.lock().ok().and_then(|schedule| *schedule);
        let latency = schedule.and_then(|schedule| schedule.latency(number as u64));
        if let (Some(latency), Ok(mut latencies)) = (latency, self.latencies.lock()) {
            latencies.add(latency);
        }
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the threads of a run share.
struct Shared {
    failure: Arc<Failure>,
    acknowledged: Arc<AtomicU64>,
    /// Tells consumers to give up.
    stop: AtomicBool,
}

/// Sends on schedule and receives; an error when a record is missing on either side.
pub(crate) fn run(job: &OpenLoop) -> anyhow::Result<Timed> {
    ensure!(job.rate > 0 && job.seconds > 0 && job.connections > 0, "nothing to do");
    let shared = Shared {
        failure: Arc::default(),
        acknowledged: Arc::default(),
        stop: AtomicBool::new(false),
    };
    let consumers = consumers(job)?;
    let slot = Arc::new(Mutex::new(None));
    let producers = producers(job, &shared, &slot)?;
    let schedule = Schedule {
        start: Instant::now() + HEAD_START,
        rate: job.rate,
        warm_up: job.rate * job.warm_up_seconds,
        total: job.rate * (job.warm_up_seconds + job.seconds),
    };
    *slot.lock().map_err(|_| anyhow!("a thread has panicked"))? = Some(schedule);
    thread::scope(|scope| {
        let readers: Vec<_> = consumers
            .iter()
            .zip(0..)
            .map(|(consumer, number)| {
                let (wanted, shared) = (schedule.wanted(job, number), &shared);
                scope.spawn(move || receive(job, consumer, wanted, schedule, shared))
            })
            .collect();
        let senders: Vec<_> = producers
            .iter()
            .zip(0..)
            .map(|(producer, first)| {
                let failure = &shared.failure;
                scope.spawn(move || {
                    let sent = send(job, producer, schedule, first);
                    if let Err(error) = &sent {
                        failure.set(|| format!("{error:#}"));
                    }
                    sent
                })
            })
            .collect();
        let measured = measure(job, schedule, &shared);
        if measured.is_err() {
            shared.stop.store(true, Ordering::Relaxed);
        }
        for sender in senders {
            sender.join().map_err(|_| anyhow!("a sender has panicked"))??;
        }
        let end_to_end = Latencies::new()?;
        let mut received = readers.into_iter();
        let end_to_end = received.try_fold(end_to_end, |mut all, reader| {
            all.merge(&reader.join().map_err(|_| anyhow!("a consumer has panicked"))??)?;
            anyhow::Ok(all)
        });
        let moved = measured?;
        let mut ack = Latencies::new()?;
        for producer in &producers {
            let latencies = producer.context().latencies.lock();
            ack.merge(&*latencies.map_err(|_| anyhow!("a thread has panicked"))?)?;
        }
        let end_to_end = end_to_end?.quantiles();
        Ok(Timed { moved, ack: ack.quantiles(), end_to_end })
    })
}

fn producers(
    job: &OpenLoop,
    shared: &Shared,
    schedule: &Arc<Mutex<Option<Schedule>>>,
) -> anyhow::Result<Vec<ThreadedProducer<Answers>>> {
    let config = client::sending(&job.target, &job.sending);
    let producers = (0..job.connections).map(|_| {
        let answers = Answers {
            schedule: Arc::clone(schedule),
            acknowledged: Arc::clone(&shared.acknowledged),
            latencies: Mutex::new(Latencies::new()?),
            failure: Arc::clone(&shared.failure),
        };
        let producer: ThreadedProducer<Answers> = config.create_with_context(answers)?;
        producer.client().fetch_metadata(Some(&job.target.topic), LIMIT)?;
        Ok(producer)
    });
    producers.collect()
}

/// Consumers that stand at the ends of all partitions.
fn consumers(job: &OpenLoop) -> anyhow::Result<Vec<BaseConsumer>> {
    let mut ends = None;
    let consumers = (0..job.consumers).map(|number| {
        let consumer = client::consumer(&job.target, false)?;
        let ends = match &ends {
            Some(ends) => ends,
            None => ends.insert(client::ends(&consumer, &job.target)?),
        };
        let mut list = TopicPartitionList::new();
        for ((_, end), partition) in ends.iter().zip(0..) {
            if !Schedule::is_for(job, u64::try_from(partition)?, u64::from(number)) {
                continue;
            }
            list.add_partition_offset(&job.target.topic, partition, Offset::Offset(*end))?;
        }
        consumer.assign(&list)?;
        Ok(consumer)
    });
    consumers.collect()
}

/// Sends every record that is this producer's, when it is due or as soon as possible after that.
fn send(
    job: &OpenLoop,
    producer: &ThreadedProducer<Answers>,
    schedule: Schedule,
    first: u64,
) -> anyhow::Result<()> {
    let mut payload = Payload::new(job.record.fill, job.record.bytes)?;
    let step = usize::try_from(job.connections)?;
    for number in (first..schedule.total).step_by(step) {
        let due = schedule.due(number);
        let early = due.saturating_duration_since(Instant::now());
        if !early.is_zero() {
            thread::sleep(early);
        }
        let partition = i32::try_from(number % u64::from(job.target.partitions))?;
        let mut record: BaseRecord<'_, (), [u8], usize> =
            BaseRecord::with_opaque_to(&job.target.topic, usize::try_from(number)?)
                .payload(payload.numbered(number))
                .partition(partition);
        while let Err((error, back)) = producer.send(record) {
            ensure!(client::is_queue_full(&error), "send: {error}");
            producer.context().failure.check()?;
            thread::sleep(QUEUE_FULL_PAUSE);
            record = back;
        }
    }
    Ok(())
}

/// CPU time from the end of the warm-up to the last acknowledgement.
fn measure(
    job: &OpenLoop,
    schedule: Schedule,
    shared: &Shared,
) -> anyhow::Result<crate::job::Moved> {
    let begin = schedule.due(schedule.warm_up);
    thread::sleep(begin.saturating_duration_since(Instant::now()));
    let clock = Clock::start(job.target.pid)?;
    let end = schedule.due(schedule.total);
    let (mut last, mut moved) = (0, Instant::now());
    loop {
        shared.failure.check()?;
        let acknowledged = shared.acknowledged.load(Ordering::Relaxed);
        if acknowledged == schedule.total {
            break;
        }
        if acknowledged != last {
            (last, moved) = (acknowledged, Instant::now());
        }
        let silent = moved.elapsed();
        ensure!(silent < LIMIT, "{acknowledged} of {} records acknowledged", schedule.total);
        let left = end.saturating_duration_since(Instant::now());
        thread::sleep(left.clamp(Duration::from_millis(1), POLL));
    }
    clock.stop_at(begin.elapsed(), schedule.total - schedule.warm_up, schedule.total)
}

/// Takes records until all that are wanted have come.
fn receive(
    job: &OpenLoop,
    consumer: &BaseConsumer,
    wanted: u64,
    schedule: Schedule,
    shared: &Shared,
) -> anyhow::Result<Latencies> {
    let mut latencies = Latencies::new()?;
    let mut seen = Seen::new(schedule.total);
    let mut heard = Instant::now();
    while seen.count() < wanted {
        let Some(message) = consumer.poll(POLL) else {
            ensure!(!shared.stop.load(Ordering::Relaxed), "the producers have failed");
            let count = seen.count();
            ensure!(heard.elapsed() < LIMIT, "a consumer got {count} of {wanted} records");
            continue;
        };
        let message = message?;
        heard = Instant::now();
        let value = message.payload().context("a record without a value")?;
        let number = payload::number(value, job.record.bytes)?;
        seen.add(number)?;
        if let Some(latency) = schedule.latency(number) {
            latencies.add(latency);
        }
    }
    Ok(latencies)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Records, Sending, Target};
    use crate::payload::Fill;

    fn job(partitions: u32, consumers: u32, shared_out: bool) -> OpenLoop {
        let (bootstrap, topic) = (String::new(), String::new());
        OpenLoop {
            target: Target { bootstrap, pid: 0, topic, partitions },
            sending: Sending {
                batch_bytes: 1,
                batch_records: 1,
                linger_ms: 0,
                in_flight: 1,
                compression: "none".to_owned(),
                idempotence: false,
            },
            record: Records { bytes: 100, fill: Fill::Random },
            connections: 1,
            consumers,
            shared_out,
            rate: 1,
            warm_up_seconds: 0,
            seconds: 1,
        }
    }

    #[test]
    fn records_are_shared_out_once_or_go_to_all() {
        for (partitions, consumers, total) in [(200, 200, 1001), (7, 3, 100), (5, 9, 3)] {
            let schedule = Schedule { start: Instant::now(), rate: 1, warm_up: 0, total };
            let wanted = |shared_out| {
                let job = job(partitions, consumers, shared_out);
                let wanted: Vec<_> =
                    (0..u64::from(consumers)).map(|n| schedule.wanted(&job, n)).collect();
                wanted
            };
            assert_eq!(wanted(true).iter().sum::<u64>(), total);
            assert!(wanted(false).iter().all(|wanted| *wanted == total));
            let job = job(partitions, consumers, true);
            let counted = (0..total)
                .filter(|number| Schedule::is_for(&job, number % u64::from(partitions), 1))
                .count();
            assert_eq!(wanted(true)[1], counted as u64);
        }
    }
}
