//! Producer snapshots against the replay of the log. Must not know the producers' rules: the
//! replay is that of `partition`.

use std::path::{Path, PathBuf};

use ottla_env::Disk;
use ottla_partition::{ProducerEntry, ProducerStates, decode_snapshot};
use ottla_protocol::{Millis, Offset};

use super::finding::{Finding, Severity};
use crate::error::InspectError;

/// A day: Kafka's default of `producer.id.expiration.ms`.
const EXPIRATION_MS: i64 = 24 * 60 * 60 * 1000;

/// The snapshots of a partition that are still to be compared.
pub(super) struct Snapshots {
    /// Descending, so that the next one is the last.
    waiting: Vec<(Offset, PathBuf, Vec<ProducerEntry>)>,
}

impl Snapshots {
    /// Reads all, and tells those that cannot be read.
    pub(super) fn read(
        disk: &dyn Disk,
        mut files: Vec<(Offset, PathBuf)>,
    ) -> Result<(Self, Vec<Finding>), InspectError> {
        files.sort();
        let mut found = Vec::new();
        let mut waiting = Vec::new();
        for (offset, path) in files.into_iter().rev() {
            match decode_snapshot(&disk.read(&path)?) {
                Ok(entries) => waiting.push((offset, path, entries)),
                Err(error) => found.push(Finding::new(
                    Severity::Repairable,
                    &path,
                    error.to_string(),
                    "a start takes an older one and reads more of the log again",
                )),
            }
        }
        Ok((Self { waiting }, found))
    }

    /// The state to begin the replay with at `start`: the newest snapshot of at most that offset.
    pub(super) fn seed(&mut self, states: &mut ProducerStates, start: Offset) {
        let mut newest = None;
        while self.waiting.last().is_some_and(|(offset, _, _)| *offset <= start) {
            newest = self.waiting.pop();
        }
        if let Some((_, _, entries)) = newest {
            // Time stands still here: nobody expires.
            states.load(entries, start, Millis(0));
        }
    }

    /// The replay has come to `next`: compares the snapshots up to there. `log_start` is the first
    /// offset that was replayed.
    pub(super) fn reached(
        &mut self,
        next: Offset,
        log_start: Offset,
        states: &ProducerStates,
    ) -> Vec<Finding> {
        let mut found = Vec::new();
        while self.waiting.last().is_some_and(|(offset, _, _)| *offset <= next) {
            let Some((offset, path, entries)) = self.waiting.pop() else { break };
            if offset == next {
                found.extend(compare(&path, offset, log_start, &entries, states));
            } else {
                found.push(Finding::new(
                    Severity::Note,
                    &path,
                    format!("offset {offset} is no batch's end"),
                    "it cannot be held against the log",
                ));
            }
        }
        found
    }

    /// The log ends at `end`: what is left lies beyond.
    pub(super) fn beyond(self, end: Offset) -> Vec<Finding> {
        let beyond = |(offset, path, _): (Offset, PathBuf, Vec<ProducerEntry>)| {
            Finding::new(
                Severity::Repairable,
                &path,
                format!("it speaks of offset {offset}, and the log ends at {end}"),
                "a start removes it",
            )
        };
        self.waiting.into_iter().rev().map(beyond).collect()
    }
}

fn compare(
    path: &Path,
    offset: Offset,
    log_start: Offset,
    entries: &[ProducerEntry],
    states: &ProducerStates,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut tell = |severity, what: String, meaning: &str| {
        found.push(Finding::new(severity, path, what, meaning));
    };
    let newest = entries.iter().map(|entry| entry.last_timestamp.0).max().unwrap_or(-1);
    for entry in entries {
        let id = entry.producer_id;
        let last = entry.last_batch().map(|batch| batch.last_offset);
        if last.is_some_and(|last| last >= offset) {
            tell(
                Severity::Repairable,
                format!("producer {id} has a batch beyond the snapshot's own offset"),
                "a retry could be taken for a duplicate, and be lost",
            );
            continue;
        }
        let Some(replayed) = states.get(id) else { continue };
        let replayed_last = replayed.last_batch().map(|batch| batch.last_offset);
        let same = last == replayed_last
            && entry.last_batch().map(|b| b.last_sequence)
                == replayed.last_batch().map(|b| b.last_sequence)
            && entry.producer_epoch == replayed.producer_epoch;
        if same && entry.current_txn_first_offset == replayed.current_txn_first_offset {
            continue;
        }
        // What compaction or retention has taken out of the log cannot be replayed.
        let older = match (last, replayed_last) {
            (Some(last), Some(replayed)) => last < replayed,
            (None, Some(_)) => entry.producer_epoch <= replayed.producer_epoch,
            (_, None) => false,
        };
        if older {
            tell(
                Severity::Repairable,
                format!("producer {id} has a later batch in the log than in the snapshot"),
                "a start that uses it could refuse the producer, or store a duplicate",
            );
        } else {
            tell(
                Severity::Note,
                format!("producer {id} is known differently from what the log says now"),
                "compaction and retention leave less in the log than the snapshot knows",
            );
        }
    }
    for replayed in states.entries() {
        let known = entries.iter().any(|entry| entry.producer_id == replayed.producer_id);
        let recent = replayed.last_timestamp.0 + EXPIRATION_MS > newest;
        let in_log = replayed.last_batch().is_some_and(|batch| batch.last_offset >= log_start);
        if !known && recent && in_log && !entries.is_empty() {
            tell(
                Severity::Note,
                format!("producer {} is in the log and not in the snapshot", replayed.producer_id),
                "it has expired, or a start that uses the snapshot does not know its duplicates",
            );
        }
    }
    found
}
