//! Topics by their ids: Produce from 13, Fetch from 13 on; ids of topics that are gone.

use anyhow::ensure;
use ottla_interop::broker::Broker;
use ottla_interop::raw::Connection;
use ottla_protocol::{DeleteTopicsRequest, ErrorCode, TopicId, Uuid};

use super::requests::{
    FETCH_BY_ID, FETCH_BY_NAME, PRODUCE_BY_ID, PRODUCE_BY_NAME, fetch, fetch_by_id, one, produce,
    produce_by_id,
};
use super::{create, offsets, only_fetched, produced};

#[test]
fn the_same_log_by_name_and_by_id() -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    let mut client = Connection::open(broker.address())?;
    let id = create(&mut client, "named", 1, &[])?;
    let by_id = produce_by_id(id, 0, -1, one("a"));
    let first = client.ask(PRODUCE_BY_ID, &by_id)?;
    ensure!(first.responses.iter().all(|topic| topic.topic_id == id), "{first:?}");
    let second = produced(&mut client, PRODUCE_BY_NAME, &produce("named", 0, -1, one("b")))?;
    ensure!(second.base_offset == 1, "{second:?}");
    let by_name = client.ask(FETCH_BY_NAME, &fetch("named", 0, 0))?;
    for version in 13..=FETCH_BY_ID {
        let by_id = client.ask(version, &fetch_by_id(id, 0, 0))?;
        ensure!(by_id.responses.iter().all(|topic| topic.topic_id == id), "{by_id:?}");
        let (a, b) = (only_fetched(by_name.clone())?, only_fetched(by_id)?);
        ensure!(offsets(&a) == [0, 1] && a.records == b.records, "{a:?} {b:?}");
    }
    Ok(())
}

/// Both ways by this id are refused as unknown.
fn is_unknown(client: &mut Connection, id: TopicId) -> anyhow::Result<()> {
    let unknown = i16::from(ErrorCode::UnknownTopicId);
    let answer = produced(client, PRODUCE_BY_ID, &produce_by_id(id, 0, -1, one("v")))?;
    ensure!(answer.error_code == unknown && answer.base_offset == -1, "{answer:?}");
    for version in 13..=FETCH_BY_ID {
        let answer = only_fetched(client.ask(version, &fetch_by_id(id, 0, 0))?)?;
        ensure!(answer.error_code == unknown, "{answer:?}");
    }
    Ok(())
}

#[test]
fn ids_are_never_used_again() -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    let mut client = Connection::open(broker.address())?;
    for id in [Uuid::ZERO, Uuid([3; 16]), Uuid([255; 16])] {
        is_unknown(&mut client, id)?;
    }
    let mut gone = Vec::new();
    for round in 0..5 {
        let id = create(&mut client, "again", 1, &[])?;
        ensure!(!gone.contains(&id), "{id} again");
        let answer = produced(&mut client, PRODUCE_BY_ID, &produce_by_id(id, 0, -1, one("v")))?;
        ensure!(answer.error_code == 0 && answer.base_offset == 0, "round {round}: {answer:?}");
        let delete = DeleteTopicsRequest {
            topic_names: vec!["again".into()],
            timeout_ms: 30_000,
            ..Default::default()
        };
        let deleted = client.ask(5, &delete)?;
        ensure!(deleted.responses.iter().all(|topic| topic.error_code == 0), "{deleted:?}");
        gone.push(id);
    }
    create(&mut client, "again", 1, &[])?;
    for id in gone {
        is_unknown(&mut client, id)?;
    }
    Ok(())
}
