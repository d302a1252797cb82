//! rskafka against a broker: topics, produce with each codec, fetch, offsets, deleting records.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::ensure;
use chrono::DateTime;
use ottla_rust_clients::{Sample, Scenario, compare, equal, run, samples, scenario, until};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::{Record, RecordAndOffset};

const SCENARIOS: &[Scenario] =
    &[scenario!(topics), scenario!(codecs), scenario!(offsets), scenario!(records)];

fn main() -> anyhow::Result<std::process::ExitCode> {
    run(SCENARIOS)
}

async fn client(bootstrap: &str) -> anyhow::Result<Client> {
    Ok(ClientBuilder::new(vec![bootstrap.to_owned()]).build().await?)
}

async fn create(client: &Client, name: &str, partitions: i32) -> anyhow::Result<()> {
    Ok(client.controller_client()?.create_topic(name, partitions, 1, 10_000).await?)
}

async fn partition(
    client: &Client,
    name: &str,
    index: i32,
) -> anyhow::Result<Arc<PartitionClient>> {
    let found = client.partition_client(name, index, UnknownTopicHandling::Retry).await?;
    Ok(Arc::new(found))
}

fn record(sample: &Sample) -> anyhow::Result<Record> {
    let timestamp = DateTime::from_timestamp_millis(sample.timestamp);
    let timestamp = timestamp.ok_or_else(|| anyhow::anyhow!("no such time"))?;
    let headers: BTreeMap<_, _> = sample.headers.iter().cloned().collect();
    Ok(Record { key: sample.key.clone(), value: sample.value.clone(), headers, timestamp })
}

fn content(found: RecordAndOffset) -> Sample {
    Sample {
        key: found.record.key,
        value: found.record.value,
        headers: found.record.headers.into_iter().collect(),
        timestamp: found.record.timestamp.timestamp_millis(),
    }
}

async fn send(part: &PartitionClient, sent: &[Sample], codec: Compression) -> anyhow::Result<()> {
    let before = part.get_offset(OffsetAt::Latest).await?;
    for (at, some) in sent.chunks(70).enumerate() {
        let records = some.iter().map(record).collect::<anyhow::Result<Vec<_>>>()?;
        let offsets = part.produce(records, codec).await?;
        let first = before + i64::try_from(at * 70)?;
        let wanted: Vec<i64> = (first..).take(some.len()).collect();
        equal(offsets, wanted, "offsets of produce")?;
    }
    Ok(())
}

async fn read(part: &PartitionClient, mut offset: i64, end: i64) -> anyhow::Result<Vec<Sample>> {
    let mut found = Vec::new();
    while offset < end {
        let (records, high_watermark) = part.fetch_records(offset, 1..10_000, 1_000).await?;
        ensure!(high_watermark >= end, "high watermark {high_watermark} is below {end}");
        for record in records {
            equal(record.offset, offset, "offset of a record read")?;
            offset += 1;
            found.push(content(record));
        }
    }
    Ok(found)
}

async fn topics(bootstrap: String, name: String) -> anyhow::Result<()> {
    let client = client(&bootstrap).await?;
    create(&client, &name, 3).await?;
    let listed = client.list_topics().await?;
    let found = listed.iter().find(|topic| topic.name == name).map(|topic| topic.partitions.len());
    equal(found, Some(3), "partitions")?;
    ensure!(create(&client, &name, 3).await.is_err(), "the same topic was created twice");
    client.controller_client()?.delete_topic(&name, 10_000).await?;
    let gone = async || Ok(client.list_topics().await?.iter().all(|topic| topic.name != name));
    until(gone, "the topic is gone").await
}

async fn codecs(bootstrap: String, name: String) -> anyhow::Result<()> {
    let client = client(&bootstrap).await?;
    create(&client, &name, 5).await?;
    let sent = samples(200);
    let kinds = [
        Compression::NoCompression,
        Compression::Gzip,
        Compression::Lz4,
        Compression::Snappy,
        Compression::Zstd,
    ];
    for (index, codec) in (0..).zip(kinds) {
        let part = partition(&client, &name, index).await?;
        send(&part, &sent, codec).await?;
        compare(&read(&part, 0, 200).await?, &sent, &format!("{codec:?}"))?;
        compare(
            &read(&part, 123, 200).await?,
            &sent[123..],
            &format!("{codec:?} from the middle"),
        )?;
    }
    Ok(())
}

async fn offsets(bootstrap: String, name: String) -> anyhow::Result<()> {
    let client = client(&bootstrap).await?;
    create(&client, &name, 1).await?;
    let part = partition(&client, &name, 0).await?;
    let sent = samples(50);
    send(&part, &sent, Compression::NoCompression).await?;
    equal(part.get_offset(OffsetAt::Earliest).await?, 0, "first offset")?;
    equal(part.get_offset(OffsetAt::Latest).await?, 50, "end offset")?;
    let time = DateTime::from_timestamp_millis(sent[20].timestamp).unwrap_or_default();
    equal(part.get_offset(OffsetAt::Timestamp(time)).await?, 20, "offset of a time")
}

async fn records(bootstrap: String, name: String) -> anyhow::Result<()> {
    let client = client(&bootstrap).await?;
    create(&client, &name, 1).await?;
    let part = partition(&client, &name, 0).await?;
    let sent = samples(50);
    send(&part, &sent, Compression::NoCompression).await?;
    part.delete_records(30, 10_000).await?;
    equal(part.get_offset(OffsetAt::Earliest).await?, 30, "first offset")?;
    compare(&read(&part, 30, 50).await?, &sent[30..], "what is left")?;
    ensure!(part.fetch_records(5, 1..10_000, 1_000).await.is_err(), "a deleted record was read");
    Ok(())
}
