//! The idempotent producer: five batches in flight, duplicates, gaps, epochs, sequences that wrap.

use anyhow::ensure;
use ottla_interop::broker::Broker;
use ottla_interop::raw::Connection;
use ottla_protocol::k00_produce::PartitionProduceResponse;
use ottla_protocol::{ErrorCode, InitProducerIdRequest, ProduceRequest, ProducerEpoch, ProducerId};

use super::requests::{FETCH_BY_NAME, PRODUCE_BY_NAME, fetch, idempotent_batch, produce};
use super::{create, offsets, only_fetched, only_produced, produced};

struct Producer {
    client: Connection,
    id: ProducerId,
    epoch: ProducerEpoch,
}

impl Producer {
    fn start(broker: &Broker) -> anyhow::Result<Self> {
        let mut client = Connection::open(broker.address())?;
        create(&mut client, "once", 1, &[])?;
        let (id, epoch) = new_id(&mut client)?;
        Ok(Self { client, id, epoch })
    }

    fn request(&self, sequence: i32, count: usize) -> ProduceRequest {
        produce("once", 0, -1, idempotent_batch(self.id, self.epoch, sequence, count))
    }

    fn send(&mut self, sequence: i32, count: usize) -> anyhow::Result<PartitionProduceResponse> {
        let request = self.request(sequence, count);
        produced(&mut self.client, PRODUCE_BY_NAME, &request)
    }

    /// Sends; the answer must be that offset.
    fn stored(&mut self, sequence: i32, count: usize, at: i64) -> anyhow::Result<()> {
        let answer = self.send(sequence, count)?;
        ensure!(answer.error_code == 0, "{sequence}: {answer:?}");
        ensure!(answer.base_offset == at, "{sequence}: {answer:?}, not {at}");
        Ok(())
    }

    /// Sends; the answer must be that error.
    fn refused(&mut self, sequence: i32, count: usize, error: ErrorCode) -> anyhow::Result<()> {
        let answer = self.send(sequence, count)?;
        ensure!(answer.error_code == i16::from(error), "{sequence}: {answer:?}, not {error:?}");
        ensure!(answer.base_offset == -1, "{answer:?}");
        Ok(())
    }

    fn log(&mut self) -> anyhow::Result<Vec<i64>> {
        Ok(offsets(&only_fetched(self.client.ask(FETCH_BY_NAME, &fetch("once", 0, 0))?)?))
    }
}

/// A producer id that nobody had.
fn new_id(client: &mut Connection) -> anyhow::Result<(ProducerId, ProducerEpoch)> {
    let request = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: i32::MAX,
        ..Default::default()
    };
    for _ in 0..100_000 {
        let answer = client.ask(4, &request)?;
        if answer.error_code == 0 {
            return Ok((ProducerId(answer.producer_id), ProducerEpoch(answer.producer_epoch)));
        }
        let loading = i16::from(ErrorCode::CoordinatorLoadInProgress);
        ensure!(answer.error_code == loading, "{answer:?}");
    }
    anyhow::bail!("no producer id")
}

#[test]
fn producer_ids_are_new_each_time() -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    let mut client = Connection::open(broker.address())?;
    let mut seen = std::collections::BTreeSet::new();
    // More than one block of a thousand.
    for _ in 0..1_500 {
        let (id, epoch) = new_id(&mut client)?;
        ensure!(epoch == ProducerEpoch(0), "{id:?} {epoch:?}");
        ensure!(seen.insert(id.get()), "{id:?} again");
    }
    Ok(())
}

#[test]
fn five_in_flight_and_their_duplicates() -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    let mut producer = Producer::start(&broker)?;
    let mut asked = Vec::new();
    for sequence in (0..10).step_by(2) {
        let request = producer.request(sequence, 2);
        asked.push((producer.client.tell(PRODUCE_BY_NAME, &request)?, i64::from(sequence)));
    }
    for (correlation, at) in asked {
        let answer = producer.client.hear::<ProduceRequest>(PRODUCE_BY_NAME, correlation)?;
        let answer = only_produced(answer)?;
        ensure!(answer.error_code == 0 && answer.base_offset == at, "{answer:?}");
    }
    // Each of the last five is known, and answered with its first offset.
    for sequence in [8, 0, 4, 2, 6, 0] {
        producer.stored(sequence, 2, i64::from(sequence))?;
    }
    // Half a duplicate is none.
    producer.refused(0, 1, ErrorCode::OutOfOrderSequenceNumber)?;
    producer.refused(1, 2, ErrorCode::OutOfOrderSequenceNumber)?;
    producer.stored(10, 1, 10)?;
    // The sixth before is forgotten.
    producer.refused(0, 2, ErrorCode::OutOfOrderSequenceNumber)?;
    producer.stored(2, 2, 2)?;
    ensure!(producer.log()? == [0, 2, 4, 6, 8, 10], "{:?}", producer.log()?);
    Ok(())
}

#[test]
fn duplicates_while_the_first_is_in_flight() -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    let mut producer = Producer::start(&broker)?;
    // The same batch on many connections at once: stored once, and each hears the offset.
    let mut others = Vec::new();
    for _ in 0..20 {
        let mut other = Connection::open(broker.address())?;
        let correlation = other.tell(PRODUCE_BY_NAME, &producer.request(0, 3))?;
        others.push((other, correlation));
    }
    for (other, correlation) in &mut others {
        let answer = other.hear::<ProduceRequest>(PRODUCE_BY_NAME, *correlation)?;
        let answer = only_produced(answer)?;
        ensure!(answer.error_code == 0 && answer.base_offset == 0, "{answer:?}");
    }
    producer.stored(3, 1, 3)?;
    ensure!(producer.log()? == [0, 3], "{:?}", producer.log()?);
    Ok(())
}

#[test]
fn gaps_and_epochs_are_refused() -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    let mut producer = Producer::start(&broker)?;
    producer.stored(0, 1, 0)?;
    producer.refused(2, 1, ErrorCode::OutOfOrderSequenceNumber)?;
    producer.stored(1, 1, 1)?;
    producer.epoch = ProducerEpoch(1);
    producer.refused(2, 1, ErrorCode::OutOfOrderSequenceNumber)?;
    producer.stored(0, 1, 2)?;
    producer.epoch = ProducerEpoch(0);
    producer.refused(2, 1, ErrorCode::InvalidProducerEpoch)?;
    producer.refused(0, 1, ErrorCode::InvalidProducerEpoch)?;
    producer.epoch = ProducerEpoch(5);
    producer.stored(0, 1, 3)?;
    ensure!(producer.log()? == [0, 1, 2, 3], "{:?}", producer.log()?);
    Ok(())
}

#[test]
fn sequences_wrap_and_a_new_producer_may_begin_anywhere() -> anyhow::Result<()> {
    let broker = Broker::start(&[])?;
    let mut producer = Producer::start(&broker)?;
    producer.id = ProducerId(producer.id.get() + 1_000_000);
    producer.stored(i32::MAX - 1, 3, 0)?;
    producer.stored(i32::MAX - 1, 3, 0)?;
    producer.refused(0, 1, ErrorCode::OutOfOrderSequenceNumber)?;
    producer.stored(1, 1, 3)?;
    producer.id = ProducerId(producer.id.get() + 1);
    producer.stored(i32::MAX, 1, 4)?;
    producer.stored(0, 1, 5)?;
    Ok(())
}

#[test]
fn what_a_producer_has_sent_is_known_after_a_restart() -> anyhow::Result<()> {
    let mut broker = Broker::start(&[])?;
    for hard in [true, false] {
        let mut producer = Producer {
            client: Connection::open(broker.address())?,
            id: ProducerId(if hard { 70_000 } else { 80_000 }),
            epoch: ProducerEpoch(0),
        };
        if hard {
            create(&mut producer.client, "once", 1, &[])?;
        }
        let first = producer.send(0, 2)?.base_offset;
        producer.stored(2, 2, first + 2)?;
        if hard {
            broker.kill()?;
        } else {
            broker.stop()?;
        }
        broker.start_again()?;
        producer.client = Connection::open(broker.address())?;
        producer.stored(2, 2, first + 2)?;
        producer.refused(7, 1, ErrorCode::OutOfOrderSequenceNumber)?;
        producer.stored(4, 1, first + 4)?;
    }
    Ok(())
}
