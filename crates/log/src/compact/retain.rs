//! Which batches and records stay, by Apache Kafka's rules (`Cleaner.cleanInto`,
//! `MemoryRecords.filterTo`). Must not know files.

use std::collections::BTreeMap;

use ottla_env::planted;
use ottla_protocol::{Millis, Offset, ProducerEpoch, ProducerId};
use ottla_records::{
    Batch, BatchHeader, ControlRecordType, Record, Scratch, empty_batch, retained_batch,
};

use super::key_map::{Hash, KeyMap};
use super::run::CompactStats;
use super::transactions::{Control, Transactions};
use crate::error::LogError;
use crate::txn_index::AbortedTransaction;

/// What a partition knows of a producer: of the batch that says so something must stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastOfProducer {
    pub(crate) epoch: ProducerEpoch,
    /// Of its last data batch in this epoch.
    pub(crate) last_data_offset: Option<Offset>,
}

/// The producers that a partition knows.
pub(crate) type LastOfProducers = BTreeMap<ProducerId, LastOfProducer>;

/// What one pass over a group of segments holds records against.
pub(super) struct Retain<'a> {
    pub(super) keys: &'a KeyMap,
    pub(super) producers: &'a LastOfProducers,
    pub(super) now: Millis,
    pub(super) delete_retention: Millis,
    /// The end of what may be cleaned: the last batch before it stays, be it empty.
    pub(super) up_to: Offset,
    /// Bytes that a batch may unpack to.
    pub(super) max_decompressed_bytes: usize,
}

/// What becomes of a batch.
pub(super) enum Kept {
    Nothing,
    /// As it is.
    Whole,
    /// Less of it, or with a delete horizon.
    Rewritten(Vec<u8>),
}

/// What becomes of a batch, and what the index of aborted transactions gets.
pub(super) struct Verdict {
    pub(super) kept: Kept,
    pub(super) aborted: Option<AbortedTransaction>,
}

/// What is used again for each batch.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) scratch: Scratch,
    judged: Vec<Judged>,
}

/// What is to be known of a record to judge it.
struct Judged {
    /// Of the key, if the map should know it.
    hash: Option<Hash>,
    offset: Offset,
    is_tombstone: bool,
    stays: bool,
}

/// Why a batch cannot be judged.
pub(super) type Bad = String;

/// The kind of a control batch; what cannot be read counts as no end of a transaction.
pub(super) fn control(
    batch: &Batch<'_>,
    scratch: &mut Scratch,
    max: usize,
) -> Result<Control, Bad> {
    let mut records = batch.records(scratch, max).map_err(|e| e.to_string())?;
    let Some(record) = records.next() else { return Ok(Control::Empty) };
    let record = record.map_err(|e| e.to_string())?;
    Ok(match ControlRecordType::parse_key(record.key).map_err(|e| e.to_string())? {
        ControlRecordType::Commit => Control::Commit,
        ControlRecordType::Abort => Control::Abort,
        ControlRecordType::LeaderChange
        | ControlRecordType::SnapshotHeader
        | ControlRecordType::SnapshotFooter
        | ControlRecordType::KRaftVersion
        | ControlRecordType::KRaftVoters
        | ControlRecordType::Unknown(_) => Control::Other,
    })
}

impl Retain<'_> {
    /// Judges the next batch of the log.
    pub(super) fn judge(
        &self,
        batch: &Batch<'_>,
        transactions: &mut Transactions,
        memory: &mut Memory,
        stats: &mut CompactStats,
    ) -> Result<Verdict, Bad> {
        let header = batch.header();
        let is_control = header.attributes.is_control();
        let (may_go, aborted) = if is_control {
            let control = control(batch, &mut memory.scratch, self.max_decompressed_bytes)?;
            transactions.on_control(header, control)
        } else {
            (transactions.on_batch(header), None)
        };
        // A marker's time is set when nothing is left of its transaction, and it goes when that
        // is over; records of aborted transactions go at once.
        let over = header.delete_horizon().is_some_and(|horizon| horizon <= self.now);
        let drop_records =
            may_go && (!is_control || over) || (is_control && planted("compaction-drops-marker"));
        let is_last = self.is_last_of_producer(header) && !planted("compaction-forgets-producer");
        let keep_empty = is_last || header.next_offset() == self.up_to;
        stats.records_read += u64::try_from(header.record_count).unwrap_or(0);
        let kept = if drop_records {
            Kept::Nothing
        } else {
            self.records(batch, memory, is_control && may_go, stats)?
        };
        let kept = match kept {
            Kept::Nothing if keep_empty => Kept::Rewritten(empty_batch(header)),
            Kept::Nothing | Kept::Whole | Kept::Rewritten(_) => kept,
        };
        Ok(Verdict { kept, aborted })
    }

    /// Whether the partition knows the producer by this batch: its sequences, or with a marker
    /// alone its epoch.
    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        header.has_producer_id()
            && self.producers.get(&header.producer_id).is_some_and(|last| {
                match last.last_data_offset {
                    Some(offset) => header.last_offset() == offset,
                    None => header.attributes.is_control() && header.producer_epoch == last.epoch,
                }
            })
    }

    fn records(
        &self,
        batch: &Batch<'_>,
        memory: &mut Memory,
        done_marker: bool,
        stats: &mut CompactStats,
    ) -> Result<Kept, Bad> {
        let header = batch.header();
        let is_control = header.attributes.is_control();
        let records = batch.records(&mut memory.scratch, self.max_decompressed_bytes);
        let records = records.map_err(|e| e.to_string())?;
        let judged = &mut memory.judged;
        judged.clear();
        for record in records.clone() {
            let record = record.map_err(|e| e.to_string())?;
            let key = if is_control { None } else { self.noted_key(&record) };
            judged.push(Judged {
                hash: key.map(|key| self.keys.hash(key)),
                offset: record.offset,
                is_tombstone: record.value.is_none(),
                stays: is_control,
            });
        }
        if !is_control {
            self.keys.expect(judged.iter().filter_map(|record| record.hash));
            for record in judged.iter_mut() {
                record.stays = self.stays(header, record, stats);
            }
        }
        let count = judged.iter().filter(|record| record.stays).count();
        if count == 0 {
            return Ok(Kept::Nothing);
        }
        let tombstones = judged.iter().any(|record| record.stays && record.is_tombstone);
        stats.records_kept += count as u64;
        let begins = (tombstones || done_marker) && header.delete_horizon().is_none();
        if count == judged.len() && !begins {
            return Ok(Kept::Whole);
        }
        let horizon = if begins {
            Some(Millis(self.now.0.saturating_add(self.delete_retention.0)))
        } else {
            header.delete_horizon()
        };
        let mut kept: Vec<Record<'_>> = Vec::with_capacity(count);
        for (record, judged) in records.zip(judged) {
            if judged.stays {
                kept.push(record.map_err(|e| e.to_string())?);
            }
        }
        retained_batch(header, &kept, horizon).map(Kept::Rewritten).map_err(|e| e.to_string())
    }

    /// The record's key, if the map should know it.
    fn noted_key<'r>(&self, record: &Record<'r>) -> Option<&'r [u8]> {
        record.key.filter(|_| record.offset < self.keys.end())
    }

    fn stays(&self, header: &BatchHeader, record: &Judged, stats: &mut CompactStats) -> bool {
        // Not yet in the map: the next pass decides.
        if record.offset >= self.keys.end() {
            return true;
        }
        let Some(hash) = record.hash else {
            stats.records_without_key += 1;
            return false;
        };
        let is_last = self.keys.get(hash).is_none_or(|last| record.offset >= last);
        let is_over = header.delete_horizon().is_some_and(|horizon| horizon <= self.now);
        is_last && (!record.is_tombstone || !is_over)
    }
}

/// Damage found while cleaning.
pub(super) fn damaged(path: &std::path::Path, position: u64, what: &str) -> LogError {
    LogError::corrupt(path, format!("at byte {position}, {what}"))
}
