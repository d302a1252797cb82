//! Long polls: what wakes them and what does not. Each answer says by its content when it was
//! given; no time is measured.

use anyhow::ensure;
use ottla_interop::broker::Broker;
use ottla_interop::raw::Connection;
use ottla_protocol::k01_fetch::FetchTopic;
use ottla_protocol::{DeleteTopicsRequest, ErrorCode, FetchRequest};

use super::requests::{FETCH_BY_NAME, PRODUCE_BY_NAME, fetch, fetch_from, from, one, produce};
use super::{create, offsets, only_fetched, produced};

/// Longer than the raw connection waits: an answer in time was not given by the clock.
const FOREVER_MS: i32 = 120_000;

fn put(client: &mut Connection, partition: i32) -> anyhow::Result<()> {
    let answer = produced(client, PRODUCE_BY_NAME, &produce("poll", partition, -1, one("v")))?;
    ensure!(answer.error_code == 0, "{answer:?}");
    Ok(())
}

fn start() -> anyhow::Result<(Broker, Connection, Connection)> {
    let broker = Broker::start(&[])?;
    let mut producer = Connection::open(broker.address())?;
    let consumer = Connection::open(broker.address())?;
    create(&mut producer, "poll", 2, &[])?;
    Ok((broker, producer, consumer))
}

#[test]
fn a_poll_is_woken_by_its_partition_and_by_no_other() -> anyhow::Result<()> {
    let (_broker, mut producer, mut consumer) = start()?;
    for round in 0..20 {
        let request =
            FetchRequest { max_wait_ms: FOREVER_MS, min_bytes: 1, ..fetch("poll", 0, round) };
        let asked = consumer.tell(FETCH_BY_NAME, &request)?;
        for _ in 0..10 {
            put(&mut producer, 1)?;
        }
        put(&mut producer, 0)?;
        let answer = only_fetched(consumer.hear::<FetchRequest>(FETCH_BY_NAME, asked)?)?;
        ensure!(offsets(&answer) == [round], "{answer:?}");
        ensure!(answer.high_watermark == round + 1, "{answer:?}");
    }
    Ok(())
}

#[test]
fn a_poll_waits_for_its_least_bytes() -> anyhow::Result<()> {
    let (_broker, mut producer, mut consumer) = start()?;
    let batch = i32::try_from(one("v").len())?;
    let both = vec![FetchTopic {
        topic: "poll".into(),
        partitions: vec![from(0, 0), from(1, 0)],
        ..Default::default()
    }];
    let request =
        FetchRequest { max_wait_ms: FOREVER_MS, min_bytes: 4 * batch, ..fetch_from(both) };
    let asked = consumer.tell(FETCH_BY_NAME, &request)?;
    for partition in [0, 1, 0, 1] {
        put(&mut producer, partition)?;
    }
    let answer = consumer.hear::<FetchRequest>(FETCH_BY_NAME, asked)?;
    let found: Vec<Vec<i64>> =
        answer.responses.iter().flat_map(|topic| &topic.partitions).map(offsets).collect();
    ensure!(found == [[0, 1], [0, 1]], "{answer:?}");
    Ok(())
}

#[test]
fn a_poll_ends_with_its_time_and_gives_what_is_there() -> anyhow::Result<()> {
    let (_broker, mut producer, mut consumer) = start()?;
    let poll = |min_bytes| FetchRequest { max_wait_ms: 50, min_bytes, ..fetch("poll", 0, 0) };
    let answer = only_fetched(consumer.ask(FETCH_BY_NAME, &poll(1))?)?;
    ensure!(answer.error_code == 0 && offsets(&answer).is_empty(), "{answer:?}");
    put(&mut producer, 0)?;
    let answer = only_fetched(consumer.ask(FETCH_BY_NAME, &poll(i32::MAX))?)?;
    ensure!(offsets(&answer) == [0], "{answer:?}");
    Ok(())
}

#[test]
fn a_poll_that_need_not_wait_does_not() -> anyhow::Result<()> {
    let (_broker, mut producer, mut consumer) = start()?;
    let long = |request| FetchRequest { max_wait_ms: FOREVER_MS, min_bytes: 1, ..request };
    // Nothing is asked for.
    consumer.ask(FETCH_BY_NAME, &long(fetch_from(vec![])))?;
    // No bytes are enough.
    let none = FetchRequest { max_wait_ms: FOREVER_MS, min_bytes: 0, ..fetch("poll", 0, 0) };
    consumer.ask(FETCH_BY_NAME, &none)?;
    // Something is wrong.
    for (request, error) in [
        (fetch("poll", 0, 5), ErrorCode::OffsetOutOfRange),
        (fetch("poll", 7, 0), ErrorCode::UnknownTopicOrPartition),
        (fetch("nowhere", 0, 0), ErrorCode::UnknownTopicOrPartition),
    ] {
        let answer = only_fetched(consumer.ask(FETCH_BY_NAME, &long(request))?)?;
        ensure!(answer.error_code == i16::from(error), "{answer:?}");
    }
    // It is there already.
    put(&mut producer, 0)?;
    let answer = only_fetched(consumer.ask(FETCH_BY_NAME, &long(fetch("poll", 0, 0)))?)?;
    ensure!(offsets(&answer) == [0], "{answer:?}");
    Ok(())
}

#[test]
fn many_polls_of_one_partition_are_all_woken() -> anyhow::Result<()> {
    let (broker, mut producer, _) = start()?;
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let mut consumer = Connection::open(broker.address())?;
        let request = FetchRequest { max_wait_ms: FOREVER_MS, min_bytes: 1, ..fetch("poll", 0, 0) };
        let asked = consumer.tell(FETCH_BY_NAME, &request)?;
        waiting.push((consumer, asked));
    }
    // Some go before there is anything.
    waiting.truncate(60);
    put(&mut producer, 0)?;
    for (consumer, asked) in &mut waiting {
        let answer = only_fetched(consumer.hear::<FetchRequest>(FETCH_BY_NAME, *asked)?)?;
        ensure!(offsets(&answer) == [0], "{answer:?}");
    }
    Ok(())
}

#[test]
fn a_poll_hears_that_its_topic_is_deleted() -> anyhow::Result<()> {
    let (_broker, mut producer, mut consumer) = start()?;
    let request = FetchRequest { max_wait_ms: FOREVER_MS, min_bytes: 1, ..fetch("poll", 0, 0) };
    let asked = consumer.tell(FETCH_BY_NAME, &request)?;
    let delete = DeleteTopicsRequest {
        topic_names: vec!["poll".into()],
        timeout_ms: 30_000,
        ..Default::default()
    };
    let deleted = producer.ask(5, &delete)?;
    ensure!(deleted.responses.iter().all(|topic| topic.error_code == 0), "{deleted:?}");
    let answer = only_fetched(consumer.hear::<FetchRequest>(FETCH_BY_NAME, asked)?)?;
    let wanted = [ErrorCode::UnknownTopicOrPartition, ErrorCode::NotLeaderOrFollower];
    ensure!(wanted.contains(&answer.error_code.into()), "{answer:?}");
    Ok(())
}
