//! Requests of a connection are answered in their order, however they arrive and however long
//! each takes.

use anyhow::ensure;
use ottla_interop::broker::Broker;
use ottla_interop::raw::{Connection, frame};
use ottla_protocol::{
    ApiVersionsRequest, DescribeClusterRequest, FetchRequest, ListGroupsRequest, MetadataRequest,
    ProduceRequest,
};

use super::requests::{FETCH_BY_NAME, PRODUCE_BY_NAME, fetch, one, produce};
use super::{create, offsets, only_fetched, only_produced};

#[test]
fn one_segment_of_many_requests_is_answered_in_order() -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    let mut client = Connection::open(broker.address())?;
    create(&mut client, "ordered", 1, &[])?;
    for _ in 0..20 {
        let mut bytes = Vec::new();
        let mut put = |part: ottla_protocol::Segments| bytes.extend_from_slice(&part.to_bytes());
        put(frame(1, PRODUCE_BY_NAME, &produce("ordered", 0, -1, one("a")))?);
        put(frame(2, 0, &ApiVersionsRequest::default())?);
        put(frame(3, PRODUCE_BY_NAME, &produce("ordered", 0, 1, one("b")))?);
        // Answered by nothing.
        put(frame(4, PRODUCE_BY_NAME, &produce("ordered", 0, 0, one("c")))?);
        // Waits for its time to pass, as there is nothing to fetch.
        let late = FetchRequest { max_wait_ms: 20, min_bytes: 1, ..fetch("ordered", 0, 1 << 40) };
        put(frame(5, FETCH_BY_NAME, &late)?);
        put(frame(6, 12, &MetadataRequest::default())?);
        put(frame(7, FETCH_BY_NAME, &fetch("ordered", 0, 0))?);
        put(frame(8, 2, &DescribeClusterRequest::default())?);
        put(frame(9, 4, &ListGroupsRequest::default())?);
        put(frame(10, PRODUCE_BY_NAME, &produce("ordered", 0, -1, one("d")))?);
        client.send_bytes(&bytes)?;
        let first = only_produced(client.hear::<ProduceRequest>(PRODUCE_BY_NAME, 1)?)?;
        client.hear::<ApiVersionsRequest>(0, 2)?;
        let second = only_produced(client.hear::<ProduceRequest>(PRODUCE_BY_NAME, 3)?)?;
        ensure!(second.base_offset == first.base_offset + 1, "{first:?} {second:?}");
        client.hear::<FetchRequest>(FETCH_BY_NAME, 5)?;
        client.hear::<MetadataRequest>(12, 6)?;
        let fetched = only_fetched(client.hear::<FetchRequest>(FETCH_BY_NAME, 7)?)?;
        // What was acknowledged by all before it on this connection is there, and what comes after
        // is not. (Ottla shows the rest once it is safe.)
        let last = offsets(&fetched).last().copied();
        let seen = first.base_offset..=first.base_offset + 2;
        ensure!(last.is_some_and(|last| seen.contains(&last)), "{last:?} after {first:?}");
        client.hear::<DescribeClusterRequest>(2, 8)?;
        client.hear::<ListGroupsRequest>(4, 9)?;
        let third = only_produced(client.hear::<ProduceRequest>(PRODUCE_BY_NAME, 10)?)?;
        ensure!(third.base_offset == first.base_offset + 3, "{first:?} {third:?}");
    }
    Ok(())
}

#[test]
fn requests_are_answered_after_the_client_has_said_its_last() -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    let mut client = Connection::open(broker.address())?;
    create(&mut client, "last-words", 1, &[])?;
    let mut asked = Vec::new();
    for _ in 0..50 {
        asked.push(client.tell(PRODUCE_BY_NAME, &produce("last-words", 0, -1, one("v")))?);
    }
    client.finish()?;
    // Kafka gives up a connection whose client has closed its side; what it answers is in order.
    let mut heard = 0;
    for correlation in asked {
        let Ok(answer) = client.hear::<ProduceRequest>(PRODUCE_BY_NAME, correlation) else { break };
        ensure!(only_produced(answer)?.base_offset == heard, "another answer");
        heard += 1;
    }
    let ours = matches!(broker.kind(), ottla_interop::broker::Kind::Ottla);
    ensure!(!ours || heard == 50, "only {heard} answers");
    Ok(())
}
