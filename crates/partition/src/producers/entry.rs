//! One producer's state in one partition. Owns the ring of its last batches. Must not know the
//! rules that lead to a change of it.

use ottla_protocol::{Millis, Offset, ProducerEpoch, ProducerId};
use ottla_records::{NO_SEQUENCE, decrement_sequence};

use super::batch::ProducerBatch;

/// Batches kept a producer, to recognise duplicates: the most a client may have in flight.
const BATCHES_KEPT: usize = 5;

/// A batch that a producer wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMetadata {
    /// Sequence of its last record, −1 for none.
    pub last_sequence: i32,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// Last offset minus first offset.
    pub offset_delta: i32,
    /// Its highest timestamp.
    pub timestamp: Millis,
}

impl BatchMetadata {
    const EMPTY: Self = Self {
        last_sequence: NO_SEQUENCE,
        last_offset: Offset::NONE,
        offset_delta: 0,
        timestamp: Millis(-1),
    };

    /// Sequence of its first record.
    #[must_use]
    pub fn first_sequence(&self) -> i32 {
        decrement_sequence(self.last_sequence, self.offset_delta)
    }

    /// Offset of its first record.
    #[must_use]
    pub fn first_offset(&self) -> Offset {
        self.last_offset.plus(-i64::from(self.offset_delta))
    }
}

/// What a partition knows of one producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    /// Id of the producer.
    pub producer_id: ProducerId,
    /// Newest epoch seen; −1 for none.
    pub producer_epoch: ProducerEpoch,
    /// Epoch of the coordinator that wrote the last marker; −1 for none.
    pub coordinator_epoch: i32,
    /// Timestamp of the last batch or marker; −1 for none.
    pub last_timestamp: Millis,
    /// First offset of the open transaction.
    pub current_txn_first_offset: Option<Offset>,
    ring: [BatchMetadata; BATCHES_KEPT],
    len: usize,
}

impl ProducerEntry {
    /// An entry of which nothing is known but the id.
    #[must_use]
    pub fn empty(producer_id: ProducerId) -> Self {
        Self {
            producer_id,
            producer_epoch: ProducerEpoch::NONE,
            coordinator_epoch: -1,
            last_timestamp: Millis(-1),
            current_txn_first_offset: None,
            ring: [BatchMetadata::EMPTY; BATCHES_KEPT],
            len: 0,
        }
    }

    /// The last batches of the current epoch, oldest first, at most five.
    #[must_use]
    pub fn batches(&self) -> &[BatchMetadata] {
        self.ring.get(..self.len).unwrap_or(&[])
    }

    /// The newest batch of the current epoch.
    #[must_use]
    pub fn last_batch(&self) -> Option<&BatchMetadata> {
        self.batches().last()
    }

    /// Sequence of the last record; −1 when no batch of this epoch is known.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        self.last_batch().map_or(NO_SEQUENCE, |b| b.last_sequence)
    }

    /// Offset of the last data record; −1 when no batch of this epoch is known.
    #[must_use]
    pub fn last_data_offset(&self) -> Offset {
        self.last_batch().map_or(Offset::NONE, |b| b.last_offset)
    }

    /// The kept batch with exactly this epoch and these sequences.
    #[must_use]
    pub fn duplicate_of(&self, batch: &ProducerBatch) -> Option<&BatchMetadata> {
        if batch.producer_epoch != self.producer_epoch {
            return None;
        }
        let last = batch.last_sequence();
        self.batches()
            .iter()
            .find(|b| b.last_sequence == last && b.first_sequence() == batch.base_sequence)
    }

    /// Moves to `epoch`; another epoch's batches are forgotten.
    pub(crate) fn set_epoch(&mut self, epoch: ProducerEpoch) {
        if self.producer_epoch != epoch {
            self.producer_epoch = epoch;
            self.len = 0;
        }
    }

    /// Keeps one more batch; the oldest goes when five are kept.
    pub(crate) fn push(&mut self, batch: BatchMetadata) {
        if self.len == BATCHES_KEPT {
            self.ring.rotate_left(1);
            self.len = BATCHES_KEPT - 1;
        }
        if let Some(slot) = self.ring.get_mut(self.len) {
            *slot = batch;
            self.len += 1;
        }
    }
}
