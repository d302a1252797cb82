//! rdkafka (librdkafka) against a broker: topics, produce, consume, groups, admin.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{anyhow, ensure};
use futures::future::join_all;
use ottla_rust_clients::{
    DEADLINE, Sample, Scenario, compare, equal, run, samples, scenario, until,
};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const SCENARIOS: &[Scenario] = &[
    scenario!(topics),
    scenario!(acks),
    scenario!(codecs),
    scenario!(idempotent),
    scenario!(groups),
    scenario!(resume),
    scenario!(configs),
    scenario!(offsets),
    scenario!(records),
    scenario!(group_admin),
];

fn main() -> anyhow::Result<std::process::ExitCode> {
    run(SCENARIOS)
}

fn config(bootstrap: &str, settings: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    for (key, value) in settings {
        config.set(*key, *value);
    }
    config
}

fn admin(bootstrap: &str) -> anyhow::Result<AdminClient<DefaultClientContext>> {
    Ok(config(bootstrap, &[]).create()?)
}

/// The first answer of an admin request, its error as a code.
fn first<T, E: std::fmt::Debug>(
    answers: Result<Vec<Result<T, E>>, KafkaError>,
) -> anyhow::Result<T> {
    let answer = answers?.into_iter().next().ok_or_else(|| anyhow!("no answer"))?;
    answer.map_err(|error| anyhow!("{error:?}"))
}

async fn create(bootstrap: &str, name: &str, partitions: i32) -> anyhow::Result<()> {
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    first(admin(bootstrap)?.create_topics(&[topic], &AdminOptions::new()).await).map(|_| ())
}

/// Sends and waits for every answer; gives the offsets in the order of sending.
async fn send(
    bootstrap: &str,
    topic: &str,
    sent: &[Sample],
    partition: i32,
    settings: &[(&str, &str)],
) -> anyhow::Result<Vec<i64>> {
    let producer: FutureProducer = config(bootstrap, settings).set("linger.ms", "20").create()?;
    let answers = sent.iter().map(|sample| {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &sample.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let record = FutureRecord {
            topic,
            partition: Some(partition),
            payload: sample.value.as_deref(),
            key: sample.key.as_deref(),
            timestamp: Some(sample.timestamp),
            headers: Some(headers),
        };
        producer.send_result(record).map_err(|(error, _)| anyhow!("send: {error}"))
    });
    let answers = answers.collect::<anyhow::Result<Vec<_>>>()?;
    let mut offsets = Vec::new();
    for answer in join_all(answers).await {
        offsets.push(answer?.map_err(|(error, _)| anyhow!("produce: {error}"))?.offset);
    }
    Ok(offsets)
}

fn content(message: &BorrowedMessage<'_>) -> Sample {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    let owned = |header: Header<'_, &[u8]>| {
        (header.key.to_owned(), header.value.unwrap_or_default().to_vec())
    };
    Sample {
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.map(owned).collect(),
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
    }
}

fn consumer(bootstrap: &str, group: &str) -> anyhow::Result<StreamConsumer> {
    let settings = [
        ("group.id", group),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
        ("session.timeout.ms", "10000"),
        ("heartbeat.interval.ms", "300"),
        ("client.id", "the-member"),
    ];
    Ok(config(bootstrap, &settings).create()?)
}

/// The next `count` records with their offsets.
async fn take(reader: &StreamConsumer, count: usize) -> anyhow::Result<Vec<(i64, Sample)>> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let message = tokio::time::timeout(DEADLINE, reader.recv()).await;
        let message = message.map_err(|_| anyhow!("{} of {count} records", taken.len()))??;
        taken.push((message.offset(), content(&message)));
    }
    Ok(taken)
}

async fn read(
    bootstrap: &str,
    topic: &str,
    count: usize,
    partition: i32,
    offset: i64,
) -> anyhow::Result<Vec<Sample>> {
    let reader = consumer(bootstrap, "reader")?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    reader.assign(&list)?;
    Ok(take(&reader, count).await?.into_iter().map(|(_, sample)| sample).collect())
}

fn partitions(bootstrap: &str, name: &str) -> anyhow::Result<usize> {
    let reader: BaseConsumer = config(bootstrap, &[]).create()?;
    let found = reader.fetch_metadata(None, DEADLINE)?;
    let topic = found.topics().iter().find(|topic| topic.name() == name);
    Ok(topic.map_or(0, |topic| topic.partitions().len()))
}

async fn topics(bootstrap: String, name: String) -> anyhow::Result<()> {
    create(&bootstrap, &name, 3).await?;
    until(async || Ok(partitions(&bootstrap, &name)? == 3), "3 partitions").await?;
    let again = create(&bootstrap, &name, 3).await.err().map(|error| error.to_string());
    let wanted = format!("({name:?}, {:?})", RDKafkaErrorCode::TopicAlreadyExists);
    equal(again, Some(wanted), "creating a topic twice")?;
    let (client, options) = (admin(&bootstrap)?, AdminOptions::new());
    first(client.create_partitions(&[NewPartitions::new(&name, 5)], &options).await)?;
    until(async || Ok(partitions(&bootstrap, &name)? == 5), "5 partitions").await?;
    first(client.delete_topics(&[&name], &options).await)?;
    until(async || Ok(partitions(&bootstrap, &name)? == 0), "the topic is gone").await
}

async fn acks(bootstrap: String, name: String) -> anyhow::Result<()> {
    create(&bootstrap, &name, 1).await?;
    let sent = samples(90);
    for (some, level) in sent.chunks(30).zip(["0", "1", "all"]) {
        send(&bootstrap, &name, some, 0, &[("acks", level)]).await?;
    }
    compare(&read(&bootstrap, &name, 90, 0, 0).await?, &sent, "acks")
}

async fn codecs(bootstrap: String, name: String) -> anyhow::Result<()> {
    create(&bootstrap, &name, 5).await?;
    let sent = samples(200);
    for (partition, codec) in (0..).zip(["none", "gzip", "snappy", "lz4", "zstd"]) {
        let settings = [("compression.type", codec)];
        let offsets = send(&bootstrap, &name, &sent, partition, &settings).await?;
        equal(offsets, (0..200).collect(), codec)?;
        compare(&read(&bootstrap, &name, 200, partition, 0).await?, &sent, codec)?;
        compare(&read(&bootstrap, &name, 77, partition, 123).await?, &sent[123..], codec)?;
    }
    Ok(())
}

async fn idempotent(bootstrap: String, name: String) -> anyhow::Result<()> {
    create(&bootstrap, &name, 1).await?;
    let sent = samples(1_000);
    let settings = [("enable.idempotence", "true"), ("batch.num.messages", "10")];
    let offsets = send(&bootstrap, &name, &sent, 0, &settings).await?;
    equal(offsets, (0..1_000).collect(), "offsets")?;
    compare(&read(&bootstrap, &name, 1_000, 0, 0).await?, &sent, "idempotent")
}

/// A member of a group that reads numbers on a task of its own.
struct Member {
    consumer: Arc<StreamConsumer>,
    seen: Arc<Mutex<BTreeSet<u32>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Member {
    fn join(bootstrap: &str, name: &str) -> anyhow::Result<Self> {
        let consumer = Arc::new(consumer(bootstrap, name)?);
        consumer.subscribe(&[name])?;
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let (reader, numbers) = (Arc::clone(&consumer), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            while let Ok(message) = reader.recv().await {
                let text = message.payload().and_then(|value| std::str::from_utf8(value).ok());
                if let Some(number) = text.and_then(|text| text.parse().ok()) {
                    numbers.lock().expect("no panic before").insert(number);
                }
                let _ = reader.commit_message(&message, CommitMode::Async);
            }
        });
        Ok(Self { consumer, seen, task })
    }

    fn held(&self) -> anyhow::Result<usize> {
        ensure!(!self.task.is_finished(), "a member failed");
        Ok(self.consumer.assignment()?.count())
    }

    fn seen(&self) -> BTreeSet<u32> {
        self.seen.lock().expect("no panic before").clone()
    }

    async fn leave(self) {
        self.task.abort();
        let _ = self.task.await;
        drop(self.consumer);
    }
}

async fn groups(bootstrap: String, name: String) -> anyhow::Result<()> {
    create(&bootstrap, &name, 4).await?;
    let producer: FutureProducer = config(&bootstrap, &[]).create()?;
    let produce = async |numbers: std::ops::Range<u32>| -> anyhow::Result<()> {
        for number in numbers {
            let text = number.to_string();
            let partition = i32::try_from(number % 4)?;
            let record = FutureRecord::<(), _>::to(&name).payload(&text).partition(partition);
            producer.send(record, DEADLINE).await.map_err(|(error, _)| anyhow!("{error}"))?;
        }
        Ok(())
    };
    let have = |numbers: std::ops::Range<u32>, members: &[&Member]| {
        let seen: BTreeSet<u32> = members.iter().flat_map(|member| member.seen()).collect();
        numbers.into_iter().all(|number| seen.contains(&number))
    };
    let one = Member::join(&bootstrap, &name)?;
    produce(0..50).await?;
    until(async || Ok(have(0..50, &[&one])), "the first member reads everything alone").await?;
    let two = Member::join(&bootstrap, &name)?;
    let shared = async || Ok((one.held()?, two.held()?) == (2, 2));
    until(shared, "two members share the partitions").await?;
    produce(50..100).await?;
    until(async || Ok(have(50..100, &[&one, &two])), "two members read everything").await?;
    ensure!(!have(50..100, &[&one]) && !two.seen().is_empty(), "both members did work");
    two.leave().await;
    until(async || Ok(one.held()? == 4), "the first member takes everything back").await?;
    produce(100..150).await?;
    until(async || Ok(have(100..150, &[&one])), "the first member goes on").await?;
    one.leave().await;
    Ok(())
}

async fn resume(bootstrap: String, name: String) -> anyhow::Result<()> {
    create(&bootstrap, &name, 1).await?;
    let sent = samples(100);
    send(&bootstrap, &name, &sent, 0, &[]).await?;
    let first = consumer(&bootstrap, &name)?;
    first.subscribe(&[&name])?;
    take(&first, 60).await?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&name, 0, Offset::Offset(60))?;
    first.commit(&list, CommitMode::Sync)?;
    drop(first);
    let second = consumer(&bootstrap, &name)?;
    second.subscribe(&[&name])?;
    let rest: Vec<_> = take(&second, 40).await?.into_iter().map(|(_, sample)| sample).collect();
    compare(&rest, &sent[60..], "after the commit")?;
    let mut asked = TopicPartitionList::new();
    asked.add_partition(&name, 0);
    let committed = second.committed_offsets(asked, DEADLINE)?;
    let offset = committed.elements().first().map(|part| part.offset());
    equal(offset, Some(Offset::Offset(60)), "committed")
}

async fn configs(bootstrap: String, name: String) -> anyhow::Result<()> {
    create(&bootstrap, &name, 1).await?;
    let (client, options) = (admin(&bootstrap)?, AdminOptions::new());
    let resource = ResourceSpecifier::Topic(&name);
    let change = AlterConfig::new(resource).set("retention.ms", "7200000");
    first(client.alter_configs(&[change], &options).await)?;
    let described = async || {
        let found = first(client.describe_configs(&[resource], &options).await)?;
        let value = |key: &str| {
            let entry = found.entries.iter().find(|entry| entry.name == key);
            entry.and_then(|entry| entry.value.clone())
        };
        equal(value("cleanup.policy").as_deref(), Some("delete"), "cleanup.policy")?;
        Ok(value("retention.ms").as_deref() == Some("7200000"))
    };
    until(described, "the altered setting is described").await
}

async fn offsets(bootstrap: String, name: String) -> anyhow::Result<()> {
    create(&bootstrap, &name, 1).await?;
    let sent = samples(50);
    send(&bootstrap, &name, &sent, 0, &[]).await?;
    let reader = consumer(&bootstrap, &name)?;
    equal(reader.fetch_watermarks(&name, 0, DEADLINE)?, (0, 50), "watermarks")?;
    let mut asked = TopicPartitionList::new();
    asked.add_partition_offset(&name, 0, Offset::Offset(sent[20].timestamp))?;
    let found = reader.offsets_for_times(asked, DEADLINE)?;
    let offset = found.elements().first().map(|part| part.offset());
    equal(offset, Some(Offset::Offset(20)), "offset of a timestamp")
}

async fn records(bootstrap: String, name: String) -> anyhow::Result<()> {
    create(&bootstrap, &name, 1).await?;
    send(&bootstrap, &name, &samples(50), 0, &[]).await?;
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&name, 0, Offset::Offset(30))?;
    admin(&bootstrap)?.delete_records(&before, &AdminOptions::new()).await?;
    let reader = consumer(&bootstrap, &name)?;
    equal(reader.fetch_watermarks(&name, 0, DEADLINE)?, (30, 50), "watermarks")?;
    let mut deleted = TopicPartitionList::new();
    deleted.add_partition_offset(&name, 0, Offset::Offset(5))?;
    reader.assign(&deleted)?;
    let read: Vec<i64> = take(&reader, 20).await?.into_iter().map(|(offset, _)| offset).collect();
    equal(read, (30..50).collect(), "reading a deleted offset goes on at the start")
}

async fn group_admin(bootstrap: String, name: String) -> anyhow::Result<()> {
    create(&bootstrap, &name, 1).await?;
    send(&bootstrap, &name, &samples(20), 0, &[]).await?;
    let member = consumer(&bootstrap, &name)?;
    member.subscribe(&[&name])?;
    take(&member, 20).await?;
    let probe: BaseConsumer = config(&bootstrap, &[]).create()?;
    let state = |wanted: &str| -> anyhow::Result<bool> {
        let listed = probe.fetch_group_list(Some(&name), DEADLINE)?;
        let group = listed.groups().iter().find(|group| group.name() == name);
        let members = group.map(|group| group.members()).unwrap_or_default();
        for member in members {
            equal(member.client_id(), "the-member", "client id")?;
        }
        Ok(group.is_some_and(|group| group.state() == wanted))
    };
    ensure!(state("Stable")?, "the group with a member is not stable");
    drop(member);
    until(async || state("Empty"), "the group is empty").await?;
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
    first(admin(&bootstrap)?.delete_groups(&[&name], &options).await)?;
    until(async || Ok(!state("Empty")?), "the group is gone").await
}
