//! How much an answer carries: the limits of the request and of its partitions, and the first batch
//! that is larger than both.

use anyhow::ensure;
use ottla_interop::broker::Broker;
use ottla_interop::raw::Connection;
use ottla_protocol::FetchRequest;
use ottla_protocol::k01_fetch::{FetchPartition, FetchTopic};

use super::requests::{FETCH_BY_NAME, PRODUCE_BY_NAME, fetch_from, from, one, produce};
use super::{create, offsets, produced};

/// A broker with two partitions of ten batches of this many bytes.
fn filled() -> anyhow::Result<(Broker, Connection, i32)> {
    let broker = Broker::start(&[])?;
    let mut client = Connection::open(broker.address())?;
    create(&mut client, "full", 3, &[])?;
    let batch = one(&"v".repeat(1_000));
    for partition in [0, 1] {
        for _ in 0..10 {
            let request = produce("full", partition, -1, batch.clone());
            let answer = produced(&mut client, PRODUCE_BY_NAME, &request)?;
            ensure!(answer.error_code == 0, "{answer:?}");
        }
    }
    Ok((broker, client, i32::try_from(batch.len())?))
}

/// Fetches partitions with a limit each; the base offsets found in each.
fn found(
    client: &mut Connection,
    max_bytes: i32,
    partitions: &[(i32, i64, i32)],
) -> anyhow::Result<Vec<Vec<i64>>> {
    let partition = |(index, offset, partition_max_bytes): &(i32, i64, i32)| FetchPartition {
        partition_max_bytes: *partition_max_bytes,
        ..from(*index, *offset)
    };
    let topic = FetchTopic {
        topic: "full".into(),
        partitions: partitions.iter().map(partition).collect(),
        ..Default::default()
    };
    let request = FetchRequest { max_bytes, min_bytes: 1, ..fetch_from(vec![topic]) };
    let answer = client.ask(FETCH_BY_NAME, &request)?;
    Ok(answer.responses.iter().flat_map(|topic| &topic.partitions).map(offsets).collect())
}

#[test]
fn limits_cut_between_batches() -> anyhow::Result<()> {
    let (_broker, mut client, batch) = filled()?;
    for (limit, whole) in [(3 * batch, 3), (3 * batch + 5, 3), (4 * batch - 1, 3), (batch, 1)] {
        let offsets: Vec<i64> = (2..2 + whole).collect();
        let by_partition = found(&mut client, i32::MAX, &[(0, 2, limit)])?;
        ensure!(by_partition == [offsets.clone()], "{limit}: {by_partition:?}");
        let by_request = found(&mut client, limit, &[(0, 2, i32::MAX)])?;
        ensure!(by_request == [offsets], "{limit}: {by_request:?}");
    }
    let all = found(&mut client, i32::MAX, &[(0, 0, i32::MAX), (1, 8, i32::MAX)])?;
    ensure!(all == [(0..10).collect::<Vec<_>>(), vec![8, 9]], "{all:?}");
    Ok(())
}

#[test]
fn the_first_batch_is_given_whatever_its_size() -> anyhow::Result<()> {
    let (_broker, mut client, _) = filled()?;
    for (of_all, of_partition) in [(1, i32::MAX), (i32::MAX, 1), (1, 1), (0, 0)] {
        let one = found(&mut client, of_all, &[(0, 4, of_partition)])?;
        ensure!(one == [[4]], "{of_all} {of_partition}: {one:?}");
    }
    // Only the first of all: what comes after has to fit.
    let two = found(&mut client, 1, &[(0, 4, 1), (1, 4, 1)])?;
    ensure!(two == [vec![4], vec![]], "{two:?}");
    // An empty partition takes nobody's place.
    let two = found(&mut client, 1, &[(2, 0, 1), (1, 4, 1)])?;
    ensure!(two == [vec![], vec![4]], "{two:?}");
    Ok(())
}

#[test]
fn the_limit_of_the_request_is_shared() -> anyhow::Result<()> {
    let (_broker, mut client, batch) = filled()?;
    let shared = found(&mut client, 4 * batch, &[(0, 7, i32::MAX), (1, 0, i32::MAX)])?;
    ensure!(shared == [vec![7, 8, 9], vec![0]], "{shared:?}");
    let shared = found(&mut client, 4 * batch, &[(0, 0, 2 * batch), (1, 0, i32::MAX)])?;
    ensure!(shared == [vec![0, 1], vec![0, 1]], "{shared:?}");
    Ok(())
}
