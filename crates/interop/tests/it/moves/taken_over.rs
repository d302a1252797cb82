//! A move that one broker begins is ended by the other, after a clean stop and after `kill -9`.

use anyhow::ensure;
use ottla_interop::broker::{Broker, Kind};

use super::{Client, arrived, dirs, served, until};
use crate::both_ways::kafka_log;
use crate::wire::requests::one;

const TOPIC: &str = "taken";

#[test]
fn a_move_goes_on_after_a_clean_stop() -> anyhow::Result<()> {
    go_on(true)
}

#[test]
fn a_move_goes_on_after_a_kill() -> anyhow::Result<()> {
    go_on(false)
}

fn go_on(clean: bool) -> anyhow::Result<()> {
    let mut broker = Broker::movable(Kind::Kafka, &super::SETTINGS, 2)?;
    let dirs = dirs(&broker)?;
    Client::of(&broker)?.create(TOPIC, 1)?;
    let mut written = 0;
    for next in [Kind::Ottla, Kind::Kafka, Kind::Ottla] {
        let mut client = Client::of(&broker)?;
        served(&mut client, TOPIC, 0)?;
        for number in 0..8 {
            let value = format!("{}:{number}:{}", written, "=".repeat(300_000));
            let (code, offset) = client.produce(TOPIC, 0, one(&value))?;
            ensure!((code, offset) == (0, written), "error {code} at {offset}");
            written += 1;
        }
        let from = client.places(&dirs, TOPIC, 0)?.first().map_or(0, |place| place.0);
        let to = 1 - from;
        client.throttle(Some("1000"))?;
        let dir = dirs.get(to).map_or("", String::as_str);
        ensure!(client.alter(dir, TOPIC, 0)? == 0, "the move is refused");
        let half = |client: &mut Client| {
            let found = client.places(&dirs, TOPIC, 0)?;
            Ok(found
                .iter()
                .any(|(at, copy, lag, size)| *at == to && *copy && *lag > 0 && *size > 0))
        };
        until("half a copy", || half(&mut client))?;
        let before = client.read(TOPIC, 0)?;
        if clean {
            broker.stop()?
        } else {
            broker.kill()?
        };
        broker.start_again_as(next)?;
        let mut client = Client::of(&broker)?;
        served(&mut client, TOPIC, 0)?;
        // The copy is still there, and the rate holds.
        until("the copy of the other", || {
            let found = client.places(&dirs, TOPIC, 0)?;
            Ok(found.iter().any(|(at, copy, lag, _)| *at == to && *copy && *lag > 0))
        })?;
        client.throttle(None)?;
        arrived(&mut client, &dirs, (TOPIC, 0), Some(to))?;
        ensure!(client.read(TOPIC, 0)? == before, "other records after the move");
        if *broker.kind() == Kind::Kafka && clean {
            kafka_log::check(&broker.said()?, clean)?;
        }
    }
    Ok(())
}
