//! More connections than are allowed. The client that is there already stays served.

use anyhow::ensure;
use ottla_interop::raw::{Answer, Connection};
use ottla_protocol::ApiVersionsRequest;

use super::scene::Scene;

/// Whether a new connection is let in: it gets an answer, or it is closed.
fn let_in(scene: &Scene) -> anyhow::Result<Option<Connection>> {
    let mut connection = scene.connect()?;
    if connection.tell(0, &ApiVersionsRequest::default()).is_err() {
        return Ok(None);
    }
    match connection.answer()? {
        Answer::Frame(_) => Ok(Some(connection)),
        Answer::Closed => Ok(None),
        Answer::Silence => anyhow::bail!("neither let in nor refused"),
    }
}

fn only_so_many(setting: &str) -> anyhow::Result<()> {
    let mut scene = Scene::start(&[setting])?;
    if !scene.is_ottla() {
        // Kafka lets those over `max.connections` wait.
        return Ok(());
    }
    // One of the five is the client.
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(let_in(&scene)?);
    }
    ensure!(open.iter().all(Option::is_some), "fewer than {setting} are let in");
    for _ in 0..50 {
        ensure!(let_in(&scene)?.is_none(), "more than {setting} are let in");
        scene.serves()?;
    }
    // Who goes makes room; the broker may hear of it a moment later.
    open.clear();
    let mut again = Vec::new();
    let mut tries = 0;
    while again.len() < 4 {
        again.extend(let_in(&scene)?);
        tries += 1;
        ensure!(tries < 10_000, "room is never given back");
    }
    scene.ends_well()
}

#[test]
fn connections_over_the_total_are_refused() -> anyhow::Result<()> {
    only_so_many("max.connections=5")
}

#[test]
fn connections_over_those_of_one_address_are_refused() -> anyhow::Result<()> {
    only_so_many("max.connections.per.ip=5")
}

#[test]
fn a_thousand_connections_cost_little_and_are_all_served() -> anyhow::Result<()> {
    let mut scene = Scene::start(&[])?;
    for _ in 0..3 {
        let mut many = Vec::new();
        for _ in 0..500 {
            let mut connection = scene.connect()?;
            connection.ask(0, &ApiVersionsRequest::default())?;
            many.push(connection);
        }
        scene.serves()?;
        for connection in &mut many {
            connection.ask(0, &ApiVersionsRequest::default())?;
        }
    }
    scene.ends_well()
}
