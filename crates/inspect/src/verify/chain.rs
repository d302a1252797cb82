//! Batch after batch: offsets rise, epochs do not fall, sequences follow each other, records are
//! as many as the header says. Must not read files.

use std::path::Path;

use ottla_partition::{EpochCache, ProducerStates};
use ottla_protocol::{LeaderEpoch, Offset};
use ottla_records::{Batch, BatchHeader, Scratch, increment_sequence};

use super::finding::{Finding, Severity};

/// Bytes that one batch may unpack to.
const UNPACKED_MAX: usize = 1 << 30;

/// Offsets that nobody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) first: Offset,
    pub(super) next: Offset,
}

/// What was seen of the batches so far.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// The offset after the last batch; none before the first.
    pub(super) next: Option<Offset>,
    last_epoch: Option<LeaderEpoch>,
    /// Some batch has fewer records than offsets: the log was compacted.
    pub(super) sparse: bool,
    pub(super) gap: Option<Gap>,
}

impl Chain {
    /// Looks at the next sound batch of a segment that begins at `base`. A batch whose offsets
    /// do not rise is told, and not counted.
    pub(super) fn order(
        &mut self,
        path: &Path,
        base: Offset,
        position: u64,
        header: &BatchHeader,
    ) -> Option<Finding> {
        let (first, last) = (header.base_offset, header.last_offset());
        let wrong = |what: String, meaning: &str| {
            Some(
                Finding::new(Severity::Damage, path, what, meaning)
                    .at(position)
                    .offsets(first, last),
            )
        };
        let meaning = "a reader is given offsets twice, or never reaches these records";
        self.gap = None;
        if header.last_offset_delta < 0 {
            return wrong("the batch ends before it begins".to_owned(), meaning);
        }
        if first < base {
            let what = format!("the batch lies below {base}, where the segment begins by its name");
            return wrong(what, meaning);
        }
        if last.0 - base.0 > i64::from(i32::MAX) {
            let what = "the batch is too far from the segment's first offset".to_owned();
            return wrong(what, "indexes cannot name it, and Kafka does not open the segment");
        }
        if let Some(next) = self.next.filter(|next| first < *next) {
            let what = format!("the batch follows offset {}", next.plus(-1));
            return wrong(what, meaning);
        }
        if let Some(next) = self.next.filter(|next| first > *next) {
            self.gap = Some(Gap { first: next, next: first });
        }
        self.next = Some(last.plus(1));
        let offsets = header.last_offset_delta.saturating_add(1);
        self.sparse |= header.record_count < offsets;
        if header.record_count > offsets {
            let what = format!("{} records for {offsets} offsets", header.record_count);
            return wrong(what, "readers refuse the batch, or count wrong");
        }
        None
    }

    /// The leader epoch: never falls, and is the one that the cache has for the offset.
    pub(super) fn epoch(
        &mut self,
        path: &Path,
        position: u64,
        header: &BatchHeader,
        cache: Option<&EpochCache>,
        log_start: Option<Offset>,
    ) -> Option<Finding> {
        let epoch = header.partition_leader_epoch;
        let offset = header.base_offset;
        let before = self.last_epoch.replace(epoch);
        let finding = |severity, what: String, meaning: &str| {
            Some(Finding::new(severity, path, what, meaning).at(position).offsets(offset, offset))
        };
        if let Some(before) = before.filter(|before| epoch < *before) {
            return finding(
                Severity::Damage,
                format!("leader epoch {epoch} follows {before}"),
                "a follower that compares epochs may cut at the wrong offset",
            );
        }
        let known = cache?.epoch_for_offset(offset);
        // Below the log's start the epochs were dropped.
        if known.is_none() && log_start.is_none_or(|start| offset < start) {
            return None;
        }
        // Told once for each epoch, not for each batch of it.
        if epoch.0 >= 0 && known != Some(epoch) && before != Some(epoch) {
            let known = known.map_or_else(|| "none".to_owned(), |known| known.to_string());
            return finding(
                Severity::Repairable,
                format!("the batch has leader epoch {epoch}, leader-epoch-checkpoint {known}"),
                "who asks where an epoch ends may be told a wrong offset",
            );
        }
        None
    }

    /// The sequence follows that of the producer's last batch.
    pub(super) fn sequence(
        path: &Path,
        position: u64,
        header: &BatchHeader,
        states: &ProducerStates,
    ) -> Option<Finding> {
        if !header.has_producer_id() || header.base_sequence < 0 {
            return None;
        }
        let known = states.get(header.producer_id)?;
        let before =
            known.last_batch().filter(|_| known.producer_epoch == header.producer_epoch)?;
        let expected = increment_sequence(before.last_sequence, 1);
        if before.last_sequence < 0 || header.base_sequence == expected {
            return None;
        }
        let what = format!(
            "producer {} goes on with sequence {} where {expected} is next",
            header.producer_id, header.base_sequence
        );
        let meaning = "compaction leaves such steps; in a log that is not compacted, records are \
                       missing or there twice";
        let finding = Finding::new(Severity::Note, path, what, meaning).at(position);
        Some(finding.offsets(header.base_offset, header.last_offset()))
    }

    /// Every record can be read, and has an offset of its own within the batch.
    pub(super) fn records(
        path: &Path,
        position: u64,
        batch: &Batch<'_>,
        scratch: &mut Scratch,
    ) -> Option<Finding> {
        let header = batch.header();
        let fault = match batch.records(scratch, UNPACKED_MAX) {
            Err(error) => Some(error.to_string()),
            Ok(records) => {
                let mut last = -1;
                let mut fault = None;
                for record in records {
                    match record {
                        Err(error) => fault = Some(error.to_string()),
                        Ok(record) if record.offset_delta <= last => {
                            fault = Some(format!("offset {} is there twice", record.offset));
                        }
                        Ok(record) if record.offset_delta > header.last_offset_delta => {
                            fault = Some(format!("offset {} is beyond the batch", record.offset));
                        }
                        Ok(record) => last = record.offset_delta,
                    }
                }
                fault
            }
        }?;
        let meaning =
            "the checksum is right, so it was written like this: consumers cannot read it";
        let finding = Finding::new(Severity::Damage, path, fault, meaning).at(position);
        Some(finding.offsets(header.base_offset, header.last_offset()))
    }
}
