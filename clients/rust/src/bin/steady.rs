//! A producer that does not give up while its broker is killed and started again, and that checks
//! afterwards what the broker kept. Prints `acked N` as answers come, for whoever kills.
//!
//! Usage: steady BOOTSTRAP TOPIC COUNT PARTITIONS idempotent|plain

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// Where an acknowledged number is said to be.
type Places = BTreeMap<u64, (i32, i64)>;

#[derive(Clone, Default)]
struct Answers {
    places: Arc<Mutex<Places>>,
    failures: Arc<Mutex<Vec<String>>>,
}

impl ClientContext for Answers {}

impl ProducerContext for Answers {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<u64>) {
        match result {
            Ok(message) => {
                let mut places = self.places.lock().expect("no panic before");
                places.insert(*number, (message.partition(), message.offset()));
                if places.len() % 500 == 0 {
                    println!("acked {}", places.len());
                }
            }
            Err((error, _)) => {
                self.failures.lock().expect("no panic before").push(format!("{number}: {error}"));
            }
        }
    }
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, topic, count, partitions, mode] = arguments.as_slice() else {
        bail!("usage: steady BOOTSTRAP TOPIC COUNT PARTITIONS idempotent|plain");
    };
    let idempotent = match mode.as_str() {
        "idempotent" => true,
        "plain" => false,
        other => bail!("no mode is called {other}"),
    };
    let (count, partitions) = (count.parse()?, partitions.parse()?);
    create(bootstrap, topic, partitions)?;
    let places = produce(bootstrap, topic, count, partitions, idempotent)?;
    let kept = read(bootstrap, topic, partitions)?;
    verify(&places, &kept, count, idempotent)?;
    let duplicates = kept.values().map(Vec::len).sum::<usize>() - places.len();
    println!("verified {count} records, {duplicates} sent twice");
    Ok(())
}

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("reconnect.backoff.max.ms", "200");
    config
}

fn create(bootstrap: &str, topic: &str, partitions: i32) -> anyhow::Result<()> {
    let client: AdminClient<DefaultClientContext> = config(bootstrap).create()?;
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let made = runtime.block_on(client.create_topics(&[new], &AdminOptions::new()))?;
    for answer in made {
        answer.map_err(|(name, code)| anyhow!("cannot create {name}: {code}"))?;
    }
    Ok(())
}

fn produce(
    bootstrap: &str,
    topic: &str,
    count: u64,
    partitions: i32,
    idempotent: bool,
) -> anyhow::Result<Places> {
    let answers = Answers::default();
    let mut config = config(bootstrap);
    config.set("acks", "all").set("message.timeout.ms", "180000").set("batch.num.messages", "50");
    config.set("enable.idempotence", if idempotent { "true" } else { "false" });
    config.set("queue.buffering.max.messages", "2000").set("linger.ms", "1");
    let producer: ThreadedProducer<Answers> = config.create_with_context(answers.clone())?;
    for number in 0..count {
        let partition = i32::try_from(number % u64::try_from(partitions)?)?;
        let value = format!("{number}:{}", "x".repeat(usize::try_from(number % 300)?));
        let opaque = Box::new(number);
        let mut record: BaseRecord<'_, (), String, Box<u64>> =
            BaseRecord::with_opaque_to(topic, opaque).payload(&value).partition(partition);
        while let Err((error, back)) = producer.send(record) {
            let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            ensure!(error == full, "send of {number}: {error}");
            std::thread::sleep(Duration::from_millis(1));
            record = back;
        }
    }
    producer.flush(Duration::from_secs(180)).context("not every record was answered")?;
    let failures = answers.failures.lock().expect("no panic before");
    ensure!(failures.is_empty(), "{} records failed, {:?} first", failures.len(), failures.first());
    let places = answers.places.lock().expect("no panic before").clone();
    ensure!(places.len() as u64 == count, "{} of {count} records were answered", places.len());
    Ok(places)
}

/// Every record of each partition, in order: offset and number.
fn read(
    bootstrap: &str,
    topic: &str,
    partitions: i32,
) -> anyhow::Result<BTreeMap<i32, Vec<(i64, u64)>>> {
    let mut config = config(bootstrap);
    config.set("group.id", "verify").set("enable.auto.commit", "false").set("check.crcs", "true");
    let consumer: BaseConsumer = config.create()?;
    let mut kept = BTreeMap::new();
    for partition in 0..partitions {
        let (first, end) = consumer.fetch_watermarks(topic, partition, Duration::from_secs(30))?;
        ensure!(first == 0, "partition {partition} starts at {first}");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Beginning)?;
        consumer.assign(&list)?;
        let mut found = Vec::new();
        while found.last().map_or(0, |(offset, _)| offset + 1) < end {
            let message = consumer.poll(Duration::from_secs(30));
            let message = message.ok_or_else(|| anyhow!("reading {partition} stopped"))??;
            let text = message.payload().and_then(|value| std::str::from_utf8(value).ok());
            let number = text.and_then(|text| text.split_once(':')).map(|(number, _)| number);
            let number = number.ok_or_else(|| anyhow!("a record that was not sent"))?.parse()?;
            found.push((message.offset(), number));
        }
        kept.insert(partition, found);
    }
    Ok(kept)
}

/// Every acknowledged record is where its answer said; with idempotence once and in order.
fn verify(
    places: &Places,
    kept: &BTreeMap<i32, Vec<(i64, u64)>>,
    count: u64,
    idempotent: bool,
) -> anyhow::Result<()> {
    for (number, (partition, offset)) in places {
        let records = kept.get(partition).map(Vec::as_slice).unwrap_or_default();
        let found =
            records.binary_search_by_key(offset, |(at, _)| *at).ok().map(|at| records[at].1);
        ensure!(
            found == Some(*number),
            "record {number} was acknowledged at {partition}/{offset}, where {found:?} is"
        );
    }
    for (partition, records) in kept {
        let offsets_follow = records.iter().zip(0..).all(|((offset, _), wanted)| *offset == wanted);
        ensure!(offsets_follow, "partition {partition} has a hole in its offsets");
        let ordered = records.windows(2).all(|pair| pair[0].1 < pair[1].1);
        ensure!(ordered || !idempotent, "partition {partition} is out of order or has doubles");
    }
    let total = kept.values().map(Vec::len).sum::<usize>() as u64;
    ensure!(total == count || (!idempotent && total > count), "{total} records kept of {count}");
    Ok(())
}
