//! What `acks` asks for: nothing, the leader, all; and values that mean nothing.

use anyhow::ensure;
use ottla_interop::broker::{Broker, Kind};
use ottla_interop::raw::{Answer, Connection};
use ottla_protocol::{ApiVersionsRequest, ErrorCode, FetchRequest, ProducerId};

use super::requests::{FETCH_BY_NAME, PRODUCE_BY_NAME, fetch, one, produce, transactional_batch};
use super::{create, offsets, only_fetched, produced};

#[test]
fn what_is_acknowledged_can_be_read() -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    let mut client = Connection::open(broker.address())?;
    create(&mut client, "acked", 1, &[])?;
    for version in 3..=PRODUCE_BY_NAME {
        let base = i64::from(version - 3) * 2;
        for (at, acks) in [(base, 1), (base + 1, -1)] {
            let answer = produced(&mut client, version, &produce("acked", 0, acks, one("v")))?;
            ensure!(answer.error_code == 0 && answer.base_offset == at, "{answer:?}");
            // Ottla shows a record once it is safe; acks=1 does not wait for that.
            let poll = FetchRequest { max_wait_ms: 120_000, min_bytes: 1, ..fetch("acked", 0, at) };
            let answer = only_fetched(client.ask(FETCH_BY_NAME, &poll)?)?;
            ensure!(offsets(&answer) == [at] && answer.high_watermark == at + 1, "{answer:?}");
        }
    }
    Ok(())
}

#[test]
fn acks_0_is_answered_by_nothing_and_stored() -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    let mut client = Connection::open(broker.address())?;
    create(&mut client, "unacked", 1, &[])?;
    for _ in 0..100 {
        client.tell(PRODUCE_BY_NAME, &produce("unacked", 0, 0, one("v")))?;
    }
    // The next answer is that of the next request.
    client.ask(0, &ApiVersionsRequest::default())?;
    let answer = produced(&mut client, PRODUCE_BY_NAME, &produce("unacked", 0, -1, one("v")))?;
    ensure!(answer.base_offset == 100, "{answer:?}");
    Ok(())
}

#[test]
fn a_refused_produce_with_acks_0_ends_the_connection() -> anyhow::Result<()> {
    let broker = Broker::start(&["auto.create.topics.enable=false"])?;
    let mut client = Connection::open(broker.address())?;
    create(&mut client, "unacked", 1, &[])?;
    let mut damaged = one("v").to_vec();
    damaged[30] ^= 1;
    for request in [
        produce("unacked", 0, 0, damaged.into()),
        produce("unacked", 3, 0, one("v")),
        produce("nowhere", 0, 0, one("v")),
    ] {
        let mut unlucky = Connection::open(broker.address())?;
        unlucky.tell(PRODUCE_BY_NAME, &request)?;
        let answer = unlucky.answer()?;
        ensure!(answer == Answer::Closed, "{answer:?}");
    }
    client.ask(0, &ApiVersionsRequest::default())?;
    Ok(())
}

#[test]
fn other_acks_are_refused_for_each_partition() -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    let mut client = Connection::open(broker.address())?;
    create(&mut client, "odd", 2, &[])?;
    for acks in [2, -2, 3, i16::MAX, i16::MIN] {
        for partition in [0, 1, 9] {
            let request = produce("odd", partition, acks, one("v"));
            let answer = produced(&mut client, PRODUCE_BY_NAME, &request)?;
            let wanted = match partition {
                9 => ErrorCode::UnknownTopicOrPartition,
                _ => ErrorCode::InvalidRequiredAcks,
            };
            ensure!(answer.error_code == i16::from(wanted), "acks {acks}: {answer:?}");
            ensure!(answer.index == partition && answer.base_offset == -1, "{answer:?}");
        }
    }
    let answer = only_fetched(client.ask(FETCH_BY_NAME, &fetch("odd", 0, 0))?)?;
    ensure!(answer.high_watermark == 0, "something is stored: {answer:?}");
    Ok(())
}

#[test]
fn transactional_produce_is_refused_with_a_reason() -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    if *broker.kind() != Kind::Ottla {
        return Ok(());
    }
    let mut client = Connection::open(broker.address())?;
    create(&mut client, "no-transactions", 1, &[])?;
    let batch = transactional_batch(ProducerId(7));
    for named in [false, true] {
        for version in [8, 12] {
            let mut request = produce("no-transactions", 0, -1, batch.clone());
            request.transactional_id = named.then(|| "a-transaction".into());
            let answer = produced(&mut client, version, &request)?;
            ensure!(answer.error_code != 0 && answer.base_offset == -1, "{answer:?}");
            // Without a transactional id it is what Kafka refuses, too.
            let as_kafka = i16::from(ErrorCode::TransactionalIdAuthorizationFailed);
            let reason = answer.error_message.is_some();
            ensure!(reason || !named && answer.error_code == as_kafka, "no reason: {answer:?}");
        }
    }
    let answer = only_fetched(client.ask(FETCH_BY_NAME, &fetch("no-transactions", 0, 0))?)?;
    ensure!(answer.high_watermark == 0, "something is stored: {answer:?}");
    Ok(())
}
