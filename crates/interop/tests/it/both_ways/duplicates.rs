//! A producer that sends its last batch again after the directory changed hands: the one who
//! takes over answers what the one before did. Must not know who that was.

use anyhow::ensure;
use ottla_interop::raw::Connection;
use ottla_protocol::{ErrorCode, ProducerEpoch, ProducerId};

use crate::wire::requests::{PRODUCE_BY_NAME, idempotent_batch, produce};
use crate::wire::{create, produced};

const TOPIC: &str = "sent-again";

/// Records a batch.
const COUNT: i32 = 3;

/// One producer and what it knows of its last batch.
#[derive(Debug)]
pub(super) struct Repeating {
    id: ProducerId,
    epoch: ProducerEpoch,
    /// First sequence and first offset of the last batch.
    last: (i32, i64),
}

impl Repeating {
    /// Sends the first batches, to the first broker.
    pub(super) fn begin(address: &str) -> anyhow::Result<Self> {
        let mut client = Connection::open(address)?;
        create(&mut client, TOPIC, 1, &[])?;
        let mut producer =
            Self { id: ProducerId(900_000_001), epoch: ProducerEpoch(3), last: (0, -1) };
        for _ in 0..7 {
            producer.next(&mut client)?;
        }
        Ok(producer)
    }

    /// Sends again, out of order, from the past, and then goes on.
    pub(super) fn go_on(&mut self, address: &str) -> anyhow::Result<()> {
        let mut client = Connection::open(address)?;
        let (sequence, offset) = self.last;
        for _ in 0..2 {
            let again = self.send(&mut client, self.epoch, sequence)?;
            ensure!(again == (0, offset), "sent again: {again:?}, not offset {offset}");
        }
        let refused = |error: ErrorCode| (i16::from(error), -1);
        let next = sequence + COUNT;
        let gap = self.send(&mut client, self.epoch, next + 1)?;
        ensure!(gap == refused(ErrorCode::OutOfOrderSequenceNumber), "a gap: {gap:?}");
        // Only the last batch is in a producer snapshot, and who was killed reads it again from
        // the log: the one before is known, or out of order.
        let before = self.send(&mut client, self.epoch, sequence - COUNT)?;
        let known = (0, offset - i64::from(COUNT));
        ensure!(
            before == known || before == refused(ErrorCode::OutOfOrderSequenceNumber),
            "the batch before: {before:?}"
        );
        let old = ProducerEpoch(self.epoch.get() - 1);
        let old = self.send(&mut client, old, next)?;
        ensure!(old == refused(ErrorCode::InvalidProducerEpoch), "an old epoch: {old:?}");
        self.next(&mut client)?;
        if sequence > 60 {
            self.epoch = ProducerEpoch(self.epoch.get() + 1);
            self.last.0 = -COUNT;
        }
        for _ in 0..3 {
            self.next(&mut client)?;
        }
        Ok(())
    }

    fn next(&mut self, client: &mut Connection) -> anyhow::Result<()> {
        let sequence = if self.last.1 < 0 { 0 } else { self.last.0 + COUNT };
        let (error, offset) = self.send(client, self.epoch, sequence)?;
        let wanted = if self.last.1 < 0 { 0 } else { self.last.1 + i64::from(COUNT) };
        ensure!((error, offset) == (0, wanted), "error {error} at {offset}, not at {wanted}");
        self.last = (sequence, offset);
        Ok(())
    }

    /// Error and offset of the answer.
    fn send(
        &self,
        client: &mut Connection,
        epoch: ProducerEpoch,
        sequence: i32,
    ) -> anyhow::Result<(i16, i64)> {
        let count = usize::try_from(COUNT)?;
        let batch = idempotent_batch(self.id, epoch, sequence, count);
        let answer = produced(client, PRODUCE_BY_NAME, &produce(TOPIC, 0, -1, batch))?;
        Ok((answer.error_code, answer.base_offset))
    }
}
