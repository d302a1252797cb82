//! All producers of one partition, and their transactions. Owns what an appended batch changes,
//! the last stable offset, and expiry. Must not know where the batches are kept.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::{Millis, Offset, ProducerEpoch, ProducerId};

use super::batch::{BatchKind, EndTxnMarker, ProducerBatch};
use super::check::ProducerError;
use super::entry::{BatchMetadata, ProducerEntry};
use super::verification::{Verification, VerificationGuard};

/// How long after its timeout an open transaction counts as late.
const LATE_TRANSACTION_BUFFER: i64 = 5 * 60 * 1000;

/// Settings of the producer rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerRules {
    /// `producer.id.expiration.ms`: producers idle for longer are forgotten.
    pub expiration: Millis,
    /// `transaction.partition.verification.enable`: a transaction's first batch needs a
    /// [`VerificationGuard`].
    pub verify_transactions: bool,
}

impl Default for ProducerRules {
    /// Kafka's defaults: one day, verified.
    fn default() -> Self {
        Self { expiration: Millis(86_400_000), verify_transactions: true }
    }
}

/// A transaction that has ended in this partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompletedTxn {
    /// Its producer.
    pub producer_id: ProducerId,
    /// Offset of its first record.
    pub first_offset: Offset,
    /// Offset of its end marker.
    pub last_offset: Offset,
    /// Whether it was aborted; only then it gets an entry in the transaction index.
    pub is_aborted: bool,
    /// First offset of the oldest other open transaction, else the offset after the marker: what
    /// the transaction index stores.
    pub last_stable_offset: Offset,
}

/// Producer state of one partition: always the replay of its batches (and of a snapshot).
#[derive(Clone, Debug)]
pub struct ProducerStates {
    rules: ProducerRules,
    producers: BTreeMap<ProducerId, ProducerEntry>,
    verifications: BTreeMap<ProducerId, Verification>,
    next_guard: u64,
    /// Open transactions: first offset and producer.
    ongoing: BTreeSet<(Offset, ProducerId)>,
    /// Ended transactions whose marker is not below the high watermark: first offset and
    /// producer, to the marker's offset.
    unreplicated: BTreeMap<(Offset, ProducerId), Offset>,
    end_offset: Offset,
}

impl ProducerStates {
    /// No producers, in a log whose first batch will be at `start`.
    #[must_use]
    pub fn new(rules: ProducerRules, start: Offset) -> Self {
        Self {
            rules,
            producers: BTreeMap::new(),
            verifications: BTreeMap::new(),
            next_guard: 0,
            ongoing: BTreeSet::new(),
            unreplicated: BTreeMap::new(),
            end_offset: start,
        }
    }

    /// The settings.
    #[must_use]
    pub fn rules(&self) -> &ProducerRules {
        &self.rules
    }

    /// Changes the settings; they count from the next call on.
    pub fn set_rules(&mut self, rules: ProducerRules) {
        self.rules = rules;
    }

    /// The offset up to which (exclusive) batches are in this state: the name of the snapshot
    /// that would be taken now.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        self.end_offset
    }

    /// Number of producers known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether no producer is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// All producers, by ascending id (DescribeProducers, snapshots).
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &ProducerEntry> {
        self.producers.values()
    }

    /// What is known of a producer.
    #[must_use]
    pub fn get(&self, producer_id: ProducerId) -> Option<&ProducerEntry> {
        self.producers.get(&producer_id)
    }

    /// Whether a producer has an open transaction of this epoch.
    #[must_use]
    pub fn has_ongoing(&self, producer_id: ProducerId, epoch: ProducerEpoch) -> bool {
        self.get(producer_id)
            .is_some_and(|e| e.current_txn_first_offset.is_some() && e.producer_epoch == epoch)
    }

    /// Takes note that `batch` was appended (after [`ProducerStates::check`]) or was found in
    /// the log: replay and appends change state here alone. Returns the transaction it ended;
    /// an end without data in this partition ends none.
    pub fn apply(&mut self, batch: &ProducerBatch) -> Option<CompletedTxn> {
        self.end_offset = batch.last_offset().plus(1);
        if batch.producer_id == ProducerId::NONE {
            return None;
        }
        let completed = match batch.kind {
            BatchKind::OtherControl => return None,
            BatchKind::Marker(marker) => self.apply_marker(batch, &marker),
            BatchKind::Data | BatchKind::Transactional => {
                self.apply_data(batch);
                None
            }
        };
        if batch.is_transactional() {
            self.end_verification(batch);
        }
        completed
    }

    fn entry_mut(&mut self, producer_id: ProducerId) -> &mut ProducerEntry {
        self.producers.entry(producer_id).or_insert_with(|| ProducerEntry::empty(producer_id))
    }

    fn apply_data(&mut self, batch: &ProducerBatch) {
        let entry = self.entry_mut(batch.producer_id);
        entry.set_epoch(batch.producer_epoch);
        entry.push(BatchMetadata {
            last_sequence: batch.last_sequence(),
            last_offset: batch.last_offset(),
            offset_delta: batch.last_offset_delta,
            timestamp: batch.max_timestamp,
        });
        entry.last_timestamp = batch.max_timestamp;
        if batch.is_transactional() && entry.current_txn_first_offset.is_none() {
            entry.current_txn_first_offset = Some(batch.base_offset);
            self.ongoing.insert((batch.base_offset, batch.producer_id));
        }
    }

    fn apply_marker(
        &mut self,
        batch: &ProducerBatch,
        marker: &EndTxnMarker,
    ) -> Option<CompletedTxn> {
        let entry = self.entry_mut(batch.producer_id);
        entry.set_epoch(batch.producer_epoch);
        entry.coordinator_epoch = marker.coordinator_epoch;
        entry.last_timestamp = marker.timestamp;
        let first_offset = entry.current_txn_first_offset.take()?;
        let key = (first_offset, batch.producer_id);
        self.ongoing.remove(&key);
        let last_stable_offset =
            self.ongoing.first().map_or(batch.base_offset.plus(1), |(offset, _)| *offset);
        self.unreplicated.insert(key, batch.base_offset);
        Some(CompletedTxn {
            producer_id: batch.producer_id,
            first_offset,
            last_offset: batch.base_offset,
            is_aborted: !marker.commit,
            last_stable_offset,
        })
    }

    /// The first offset of the oldest transaction that is open, or whose end is not below the
    /// high watermark yet.
    #[must_use]
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        let open = self.first_undecided_offset();
        let ended = self.unreplicated.first_key_value().map(|((offset, _), _)| *offset);
        match (open, ended) {
            (Some(open), Some(ended)) => Some(open.min(ended)),
            (open, ended) => open.or(ended),
        }
    }

    /// The first offset of the oldest open transaction: compaction stops there.
    #[must_use]
    pub fn first_undecided_offset(&self) -> Option<Offset> {
        self.ongoing.first().map(|(offset, _)| *offset)
    }

    /// The last stable offset: readers of committed data stop there. Transactions whose end is
    /// below `high_watermark` do not hold it back, also when nobody has told of that high
    /// watermark yet: a log that was replayed up to it.
    #[must_use]
    pub fn last_stable_offset(&self, high_watermark: Offset, log_start: Offset) -> Offset {
        let mut ended = self.unreplicated.iter();
        let ended = ended.find(|(_, marker)| **marker >= high_watermark);
        let open = self.first_undecided_offset();
        let unstable = ended.map(|((first, _), _)| *first).into_iter().chain(open).min();
        unstable.map_or(high_watermark, |unstable| unstable.max(log_start).min(high_watermark))
    }

    /// The high watermark moved: transactions whose end is below it no longer hold the last
    /// stable offset back.
    pub fn on_high_watermark(&mut self, high_watermark: Offset) {
        if !self.unreplicated.is_empty() {
            self.unreplicated.retain(|_, marker| *marker >= high_watermark);
        }
    }

    /// The log start moved forward, over transactions that had ended.
    pub fn on_log_start(&mut self, log_start: Offset) {
        self.on_high_watermark(log_start);
        self.end_offset = self.end_offset.max(log_start);
    }

    /// Whether the oldest open transaction has been silent for longer than
    /// `transaction.max.timeout.ms` and five minutes: probably it hangs.
    #[must_use]
    pub fn has_late_transaction(&self, now: Millis, max_timeout: Millis) -> bool {
        let Some(entry) = self.ongoing.first().and_then(|(_, id)| self.get(*id)) else {
            return false;
        };
        let last = entry.last_timestamp.get();
        let limit = max_timeout.get().saturating_add(LATE_TRANSACTION_BUFFER);
        last > 0 && now.get().saturating_sub(last) > limit
    }

    /// Forgets producers without an open transaction that have been idle for
    /// `producer.id.expiration.ms`, and verifications as old.
    pub fn remove_expired(&mut self, now: Millis) {
        let expiration = self.rules.expiration;
        self.producers.retain(|_, entry| !is_expired(entry, now, expiration));
        self.verifications
            .retain(|_, v| now.get().saturating_sub(v.started.get()) < expiration.get());
    }

    /// Forgets all producers and transactions; the next batch will be at `offset`.
    pub fn clear(&mut self, offset: Offset) {
        self.producers.clear();
        self.ongoing.clear();
        self.unreplicated.clear();
        self.end_offset = offset;
    }

    /// Starts again from a snapshot taken at `offset`; producers that have expired stay out.
    /// Batches from `offset` on are to be applied next.
    pub fn load(&mut self, entries: Vec<ProducerEntry>, offset: Offset, now: Millis) {
        self.clear(offset);
        for entry in entries {
            if is_expired(&entry, now, self.rules.expiration) {
                continue;
            }
            if let Some(first) = entry.current_txn_first_offset {
                self.ongoing.insert((first, entry.producer_id));
            }
            self.producers.insert(entry.producer_id, entry);
        }
    }

    /// A transaction wants to append to this partition (KIP-890). `None`: it is open already,
    /// nothing needs to be asked. Else the guard to pass to [`ProducerStates::check`] once the
    /// coordinator has confirmed. `supports_epoch_bump`: the client speaks
    /// `transaction.version` 2.
    ///
    /// # Errors
    /// [`ProducerError::InvalidProducerEpoch`] for an epoch older than the newest seen.
    pub fn start_verification(
        &mut self,
        batch: &ProducerBatch,
        supports_epoch_bump: bool,
        now: Millis,
    ) -> Result<Option<VerificationGuard>, ProducerError> {
        if let Some(entry) = self.get(batch.producer_id)
            && batch.producer_epoch < entry.producer_epoch
        {
            return Err(ProducerError::InvalidProducerEpoch {
                producer_id: batch.producer_id,
                epoch: batch.producer_epoch,
                current: entry.producer_epoch,
            });
        }
        if self.has_ongoing(batch.producer_id, batch.producer_epoch) {
            return Ok(None);
        }
        let next_guard = &mut self.next_guard;
        let verification = self.verifications.entry(batch.producer_id).or_insert_with(|| {
            *next_guard = next_guard.wrapping_add(1);
            Verification {
                guard: VerificationGuard(*next_guard),
                started: now,
                lowest_sequence: batch.base_sequence,
                epoch: batch.producer_epoch,
                supports_epoch_bump,
            }
        });
        verification.on_batch(batch.base_sequence, batch.producer_epoch);
        Ok(Some(verification.guard))
    }

    pub(crate) fn verification(&self, producer_id: ProducerId) -> Option<&Verification> {
        self.verifications.get(&producer_id)
    }

    /// A batch or an end makes a verification void. Not so the end of the transaction before, of
    /// a client that bumps its epoch with the end: it carries the epoch that is being verified.
    fn end_verification(&mut self, batch: &ProducerBatch) {
        let is_marker = match batch.kind {
            BatchKind::Marker(_) => true,
            BatchKind::Data | BatchKind::Transactional | BatchKind::OtherControl => false,
        };
        let keep = self
            .verification(batch.producer_id)
            .is_some_and(|v| v.supports_epoch_bump && is_marker && batch.producer_epoch == v.epoch);
        if !keep {
            self.verifications.remove(&batch.producer_id);
        }
    }
}

fn is_expired(entry: &ProducerEntry, now: Millis, expiration: Millis) -> bool {
    entry.current_txn_first_offset.is_none()
        && now.get().saturating_sub(entry.last_timestamp.get()) >= expiration.get()
}
