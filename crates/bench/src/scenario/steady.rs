//! Producers of prepared batches at a fixed rate: each has a connection and a partition, sends
//! whatever the broker does, and counts an answer from the time for which its send was intended.
//! Costs next to nothing, so that many megabytes a second leave the broker's figures alone. Must
//! not know brokers or scenarios.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use bytes::Bytes;
use ottla_interop::raw;
use ottla_protocol::k00_produce::{PartitionProduceData, TopicProduceData};
use ottla_protocol::{
    ProduceRequest, ProduceResponse, Reader, Records, RequestHeader, ResponseHeader, StrBytes,
    request_frame,
};

use crate::load::{Latency, Target};
use crate::schedule::{Latencies, Schedule};

/// How long the broker may be silent.
pub(super) const SILENCE: Duration = Duration::from_secs(60);
const VERSION: i16 = 9;

/// What is sent, and when.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    pub(super) batch: Bytes,
    /// Between two batches of one producer.
    pub(super) every: Duration,
    /// Batches of each producer.
    pub(super) batches: u32,
    /// Of these no latency counts.
    pub(super) warm_up: u32,
}

/// One producer for each partition; returns when every batch is acknowledged. A broker that does not
/// answer for [`SILENCE`] is an error of its own ([`is_silence`]).
pub(super) fn run(target: &Target, pace: &Pace) -> anyhow::Result<Latency> {
    let start = Instant::now();
    thread::scope(|scope| {
        let producers: Vec<_> = (0..target.partitions)
            .map(|partition| {
                // Not all at the same moment.
                let offset = pace.every * partition / target.partitions;
                scope.spawn(move || produce(target, pace, partition, start + offset))
            })
            .collect();
        let mut all = Latencies::default();
        for producer in producers {
            all.extend(producer.join().map_err(|_| anyhow!("a producer has panicked"))??);
        }
        Ok(all.summary())
    })
}

/// Whether [`run`] ended because the broker did not answer.
pub(super) fn is_silence(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(raw::is_silence)
}

fn produce(
    target: &Target,
    pace: &Pace,
    partition: u32,
    start: Instant,
) -> anyhow::Result<Latencies> {
    let frame = frame(target, pace, partition)?;
    let stream = TcpStream::connect(&target.bootstrap)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    let &Pace { every, batches: sends, warm_up, .. } = pace;
    let schedule = Schedule { start, every, sends, warm_up };
    let latencies = send_all(&schedule, &frame, stream);
    latencies.with_context(|| format!("partition {partition}"))
}

fn send_all(
    schedule: &Schedule,
    frame: &[Bytes],
    mut receiving: TcpStream,
) -> anyhow::Result<Latencies> {
    let mut sending = receiving.try_clone()?;
    let answered = || match acknowledged(&mut receiving) {
        Ok(()) => Ok(1),
        Err(error) => {
            // Who sends may wait for somebody who does not read any more.
            let _closed_already = receiving.shutdown(Shutdown::Both);
            Err(error)
        }
    };
    schedule.run(|| Ok(frame.iter().try_for_each(|part| sending.write_all(part))?), answered)
}

fn frame(target: &Target, pace: &Pace, partition: u32) -> anyhow::Result<Vec<Bytes>> {
    let partition = PartitionProduceData {
        index: i32::try_from(partition)?,
        records: Some(Records::from(pace.batch.clone())),
        ..PartitionProduceData::default()
    };
    let topic = TopicProduceData {
        name: StrBytes::from(target.topic.as_str()),
        partition_data: vec![partition],
        ..TopicProduceData::default()
    };
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 60_000,
        topic_data: vec![topic],
        ..ProduceRequest::default()
    };
    Ok(request_frame(&RequestHeader::default(), VERSION, &request)?
        .into_parts()
        .into_iter()
        .collect())
}

fn acknowledged(stream: &mut TcpStream) -> anyhow::Result<()> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut frame = vec![0; usize::try_from(u32::from_be_bytes(length))?];
    stream.read_exact(&mut frame)?;
    let mut reader = Reader::new(Bytes::from(frame));
    ResponseHeader::decode(&mut reader, 1)?;
    let answer = ProduceResponse::decode(&mut reader, VERSION)?;
    let mut partitions = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
    let error = partitions.next().context("no partition in the answer")?.error_code;
    ensure!(error == 0, "a batch was refused: error {error}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn a_broker_that_neither_reads_nor_answers_is_told_as_silent() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _neither = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        let (start, every) = (Instant::now(), Duration::ZERO);
        let schedule = Schedule { start, every, sends: u32::MAX, warm_up: 0 };
        let frame = [Bytes::from(vec![0; 1 << 20])];
        let error = send_all(&schedule, &frame, stream).unwrap_err().context("partition 0");
        assert!(is_silence(&error), "{error:#}");
    }
}
