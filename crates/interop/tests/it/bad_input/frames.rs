//! Frames that are none: lengths that are negative, huge or never come true, bytes that come one
//! by one, answers that nobody reads.

use anyhow::ensure;
use ottla_interop::raw::{Answer, Connection, frame, request};
use ottla_protocol::k01_fetch::FetchTopic;
use ottla_protocol::{ApiVersionsRequest, FetchRequest, MetadataRequest};

use super::scene::{Scene, framed, is_closed_by};
use crate::wire::requests::{
    FETCH_BY_NAME, PRODUCE_BY_NAME, batch_of, fetch_from, from, one, produce,
};

/// A request that every broker answers.
fn hello() -> anyhow::Result<Vec<u8>> {
    let request = ApiVersionsRequest::default();
    Ok(frame(1, 0, &request)?.to_bytes().to_vec())
}

#[test]
fn a_negative_length_ends_the_connection() -> anyhow::Result<()> {
    let mut scene = Scene::start(&[])?;
    for length in [-1, -2, i32::MIN] {
        is_closed_by(scene.connect()?, &length.to_be_bytes())?;
        let mut after_a_good_one = scene.connect()?;
        after_a_good_one.ask(0, &ApiVersionsRequest::default())?;
        is_closed_by(after_a_good_one, &length.to_be_bytes())?;
        scene.serves()?;
    }
    scene.ends_well()
}

#[test]
fn a_huge_length_ends_the_connection() -> anyhow::Result<()> {
    let mut scene = Scene::start(&["socket.request.max.bytes=4194304"])?;
    for length in [i32::MAX, 2_000_000_000, 4 * 1024 * 1024 + 1] {
        is_closed_by(scene.connect()?, &length.to_be_bytes())?;
        let mut after_a_good_one = scene.connect()?;
        after_a_good_one.ask(0, &ApiVersionsRequest::default())?;
        is_closed_by(after_a_good_one, &length.to_be_bytes())?;
        scene.serves()?;
    }
    scene.ends_well()
}

#[test]
fn an_empty_frame_or_half_a_header_ends_the_connection() -> anyhow::Result<()> {
    let mut scene = Scene::start(&[])?;
    let whole = request(18, 0, 1, false, &[]);
    for length in 0..8 {
        let part = whole.get(..length).unwrap_or_default();
        is_closed_by(scene.connect()?, &framed(part))?;
        scene.serves()?;
    }
    scene.ends_well()
}

#[test]
fn larger_frames_are_read_after_the_first_valid_request() -> anyhow::Result<()> {
    let mut scene = Scene::start(&["socket.request.max.bytes=8000000"])?;
    scene.create("large", &[("max.message.bytes", "8000000")])?;
    let value = "v".repeat(3 << 20);
    let large = produce("large", 0, -1, one(&value));
    let mut proven = scene.connect()?;
    proven.ask(0, &ApiVersionsRequest::default())?;
    let answer = proven.ask(PRODUCE_BY_NAME, &large)?;
    let stored = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
    ensure!(stored.map(|partition| partition.error_code).eq([0]), "not stored: {answer:?}");
    if scene.is_ottla() {
        let bytes = frame(1, PRODUCE_BY_NAME, &large)?.to_bytes();
        is_closed_by(scene.connect()?, &bytes)?;
    }
    scene.serves()?;
    scene.ends_well()
}

#[test]
fn frames_that_never_end_cost_nobody_else_anything() -> anyhow::Result<()> {
    let mut scene = Scene::start(&[])?;
    if !scene.is_ottla() {
        // Kafka sets aside what is announced, and runs out of memory.
        return Ok(());
    }
    let mut waiting = Vec::new();
    // As large as may be announced; together far more than the broker may hold.
    for n in 0..300_i32 {
        let mut connection = scene.connect()?;
        let length: i32 = if n % 2 == 0 {
            2 * 1024 * 1024
        } else {
            connection.ask(0, &ApiVersionsRequest::default())?;
            100 * 1024 * 1024
        };
        connection.send_bytes(&length.to_be_bytes())?;
        connection.send_bytes(&request(0, 9, 1, true, &[7; 100]))?;
        waiting.push(connection);
        if n % 20 == 0 {
            scene.serves()?;
        }
    }
    // A frame that is not small is served meanwhile, too.
    let value = "v".repeat(200_000);
    let answer = scene.client().ask(PRODUCE_BY_NAME, &produce("kept", 0, -1, one(&value)))?;
    let stored = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
    ensure!(stored.map(|partition| partition.error_code).eq([0]), "not stored: {answer:?}");
    scene.serves()?;
    drop(waiting);
    scene.ends_well()
}

#[test]
fn a_frame_that_is_cut_off_is_forgotten() -> anyhow::Result<()> {
    let mut scene = Scene::start(&[])?;
    let whole = hello()?;
    for _ in 0..20 {
        for cut in 1..whole.len() {
            let mut connection = scene.connect()?;
            connection.send_bytes(whole.get(..cut).unwrap_or_default())?;
            connection.finish()?;
            ensure!(connection.answer()? == Answer::Closed, "answered half a request");
        }
        scene.serves()?;
    }
    scene.ends_well()
}

#[test]
fn a_stalled_frame_ends_with_the_idle_time() -> anyhow::Result<()> {
    let mut scene = Scene::start(&["connections.max.idle.ms=2000"])?;
    let mut stalled = scene.connect()?;
    stalled.send_bytes(hello()?.get(..9).unwrap_or_default())?;
    let mut silent = scene.connect()?;
    // Both are closed in the end; the one that talks is not.
    for connection in [&mut stalled, &mut silent] {
        loop {
            connection.wait_at_most(std::time::Duration::from_millis(100))?;
            match connection.answer()? {
                Answer::Silence => scene.serves()?,
                Answer::Closed => break,
                Answer::Frame(frame) => anyhow::bail!("an answer to nothing: {frame:?}"),
            }
        }
    }
    scene.ends_well()
}

#[test]
fn bytes_one_by_one_are_a_request_in_the_end() -> anyhow::Result<()> {
    let mut scene = Scene::start(&[])?;
    let whole = hello()?;
    let mut slow = Vec::new();
    for _ in 0..100 {
        slow.push(scene.connect()?);
    }
    for byte in &whole {
        for connection in &mut slow {
            connection.send_bytes(std::slice::from_ref(byte))?;
        }
        scene.serves()?;
    }
    for connection in &mut slow {
        let answer = connection.answer()?;
        ensure!(matches!(answer, Answer::Frame(_)), "{answer:?}");
    }
    scene.ends_well()
}

/// Asks for a MiB again and again.
fn greedy() -> FetchRequest {
    let topic =
        FetchTopic { topic: "large".into(), partitions: vec![from(0, 0)], ..Default::default() };
    FetchRequest { max_bytes: 1 << 20, ..fetch_from(vec![topic]) }
}

#[test]
fn a_client_that_never_reads_waits_alone() -> anyhow::Result<()> {
    const CLIENTS: usize = 4;
    const ASKED: usize = 60;
    let mut scene = Scene::start(&[])?;
    scene.create("large", &[("max.message.bytes", "2000000")])?;
    let value = "v".repeat(1_000_000);
    scene.client().ask(PRODUCE_BY_NAME, &produce("large", 0, -1, one(&value)))?;
    let mut deaf: Vec<Connection> = Vec::new();
    let mut told = Vec::new();
    for _ in 0..CLIENTS {
        let mut connection = scene.connect()?;
        for _ in 0..ASKED {
            told.push(connection.tell(FETCH_BY_NAME, &greedy())?);
        }
        deaf.push(connection);
        // Many answers to small requests stay unread as well.
        let mut connection = scene.connect()?;
        for _ in 0..2_000 {
            connection.tell(12, &MetadataRequest::default())?;
        }
        deaf.push(connection);
        scene.serves()?;
    }
    for _ in 0..200 {
        scene.serves()?;
    }
    // Nothing was lost: who reads at last gets every answer in its order.
    let first = deaf.first_mut().expect("connected");
    for correlation in told.iter().take(ASKED) {
        let answer = first.hear::<FetchRequest>(FETCH_BY_NAME, *correlation)?;
        let partition = answer.responses.iter().flat_map(|topic| &topic.partitions).next();
        let bytes = partition.and_then(|p| p.records.as_ref()).map_or(0, |records| records.len());
        ensure!(bytes > 1_000_000, "only {bytes} bytes");
    }
    scene.serves()?;
    drop(deaf);
    scene.ends_well()
}

#[test]
fn many_requests_in_one_go_are_answered_in_order() -> anyhow::Result<()> {
    let mut scene = Scene::start(&[])?;
    let mut connection = scene.connect()?;
    let mut bytes = Vec::new();
    for correlation in 0..500 {
        let batch = batch_of(&[(i64::from(correlation), "v")]);
        let request = produce("kept", 0, if correlation % 3 == 0 { 1 } else { -1 }, batch);
        bytes.extend_from_slice(&frame(correlation, PRODUCE_BY_NAME, &request)?.to_bytes());
    }
    connection.send_bytes(&bytes)?;
    let mut next = None;
    for correlation in 0..500 {
        let answer =
            connection.hear::<ottla_protocol::ProduceRequest>(PRODUCE_BY_NAME, correlation)?;
        let partition = answer.responses.iter().flat_map(|t| &t.partition_responses).next();
        let offset = partition.filter(|p| p.error_code == 0).map(|p| p.base_offset);
        ensure!(offset.is_some(), "{answer:?}");
        ensure!(next.is_none_or(|next| offset == Some(next)), "{offset:?} is not {next:?}");
        next = offset.map(|offset| offset + 1);
    }
    scene.serves()?;
    scene.ends_well()
}
