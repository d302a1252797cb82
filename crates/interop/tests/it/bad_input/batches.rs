//! Batches that must not be stored: damaged ones of every kind, bombs, and records that are too
//! large. Nothing of them is ever read back.

use anyhow::{Context, ensure};
use ottla_interop::batches::damaged_batches;
use ottla_protocol::{ErrorCode, ProduceResponse};

use super::scene::Scene;
use crate::wire::requests::{FETCH_BY_NAME, PRODUCE_BY_NAME, fetch, one, produce};

fn error(answer: &ProduceResponse) -> anyhow::Result<ErrorCode> {
    let partition = answer.responses.iter().flat_map(|topic| &topic.partition_responses).next();
    Ok(partition.context("no partition in the answer")?.error_code.into())
}

#[test]
fn damaged_batches_are_refused_and_leave_nothing() -> anyhow::Result<()> {
    let mut scene = Scene::start(&[])?;
    scene.create("damaged", &[("retention.ms", "-1")])?;
    let mut client = scene.connect()?;
    let mut refused = 0;
    let mut end = 0;
    // Three times: what is kept for one batch must not add up.
    for round in 0..3 {
        for (name, bytes) in damaged_batches() {
            if round > 0 && name.starts_with("good") {
                continue;
            }
            let request = produce("damaged", 0, -1, bytes.into());
            let answer = client.ask(PRODUCE_BY_NAME, &request)?;
            let partition = answer.responses.iter().flat_map(|t| &t.partition_responses).next();
            let partition = partition.context("no partition in the answer")?;
            if partition.error_code == 0 {
                // A duplicate is answered with its old offset.
                ensure!(partition.base_offset <= end, "{name}: a gap, {partition:?}");
                let fetched = client.ask(FETCH_BY_NAME, &fetch("damaged", 0, end))?;
                let log = fetched.responses.iter().flat_map(|topic| &topic.partitions).next();
                end = log.context("no partition")?.high_watermark;
            } else {
                ensure!(!name.starts_with("good"), "{name}: {partition:?}");
                ensure!(partition.base_offset == -1, "{name}: {partition:?}");
                refused += 1;
            }
        }
        scene.serves()?;
    }
    ensure!(refused > 1_000, "only {refused} were refused");
    let answer = client.ask(FETCH_BY_NAME, &fetch("damaged", 0, end))?;
    let log = answer.responses.iter().flat_map(|topic| &topic.partitions).next();
    let log = log.context("no partition")?;
    ensure!(log.error_code == 0 && log.high_watermark == end, "more was stored: {log:?}");
    scene.ends_well()
}

#[test]
fn bombs_are_refused_before_they_unfold() -> anyhow::Result<()> {
    let mut scene = Scene::start(&[])?;
    scene.create("bombed", &[])?;
    let bombs: Vec<_> =
        damaged_batches().into_iter().filter(|(name, _)| name.contains("bomb")).collect();
    ensure!(bombs.len() >= 4, "a bomb in each codec");
    let mut client = scene.connect()?;
    for _ in 0..10 {
        for (name, bytes) in &bombs {
            let request = produce("bombed", 0, -1, bytes.clone().into());
            let error = error(&client.ask(PRODUCE_BY_NAME, &request)?)?;
            ensure!(error != ErrorCode::None, "{name} is stored");
        }
        scene.serves()?;
    }
    scene.ends_well()
}

#[test]
fn records_over_the_limit_are_too_large() -> anyhow::Result<()> {
    let mut scene = Scene::start(&["message.max.bytes=100000"])?;
    scene.create("by-broker", &[])?;
    scene.create("by-topic", &[("max.message.bytes", "1000")])?;
    let mut client = scene.connect()?;
    // A batch of one record of `n` bytes is this much larger.
    let rest = one("").len() + 2;
    for (topic, size, wanted) in [
        ("by-broker", 100_000 - rest - 2, ErrorCode::None),
        ("by-broker", 100_001, ErrorCode::MessageTooLarge),
        ("by-broker", 900_000, ErrorCode::MessageTooLarge),
        ("by-topic", 1000 - rest, ErrorCode::None),
        ("by-topic", 1001 - rest, ErrorCode::MessageTooLarge),
    ] {
        let batch = one(&"v".repeat(size));
        let length = batch.len();
        let error = error(&client.ask(PRODUCE_BY_NAME, &produce(topic, 0, -1, batch))?)?;
        ensure!(error == wanted, "{length} bytes to {topic}: {error:?}, not {wanted:?}");
        scene.serves()?;
    }
    scene.ends_well()
}
