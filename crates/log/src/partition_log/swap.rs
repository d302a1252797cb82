//! Compaction's side of a log: what it needs to know, and its result taken in; both for moments
//! under the lock. Must not know what is kept of records.

use std::sync::Arc;

use ottla_protocol::Offset;

use super::PartitionLog;
use crate::compact::{LastOfProducer, LastOfProducers};
use crate::error::LogError;
use crate::segment::{Segment, Stage};

impl PartitionLog {
    /// The producers, each with its last batch of records.
    pub(crate) fn last_of_producers(&self) -> LastOfProducers {
        let entries = self.producers.entries();
        entries
            .map(|entry| {
                let offset = entry.last_data_offset();
                let last = LastOfProducer {
                    epoch: entry.producer_epoch,
                    last_data_offset: (offset >= Offset::ZERO).then_some(offset),
                };
                (entry.producer_id, last)
            })
            .collect()
    }

    /// Whether segments can be replaced.
    pub(crate) fn check_compactable(&self) -> Result<(), LogError> {
        self.check()
    }

    /// Puts `new` in the place of `old`; readers who still have those look again. `false`, and
    /// nothing changed, when they are not there any more.
    pub(crate) fn take_in(&mut self, old: &[Arc<Segment>], new: &Arc<Segment>) -> bool {
        let Some(first) = old.first() else { return false };
        let at = self.segments.partition_point(|s| s.base < first.base);
        let there = self.segments.get(at..at + old.len()).unwrap_or_default();
        let same =
            there.len() == old.len() && there.iter().zip(old).all(|(a, b)| Arc::ptr_eq(a, b));
        let Some(next) = self.segments.get(at + old.len()).map(|s| s.base).filter(|_| same) else {
            return false;
        };
        let mut segments = self.segments.to_vec();
        segments.splice(at..at + old.len(), [Arc::clone(new)]);
        // Marked before any file gets another name: who opens one afterwards sees the mark.
        for segment in old {
            segment.set_stage(Stage::Replaced);
        }
        self.segments = Arc::new(segments);
        self.forget_closed();
        self.compacted = true;
        // The tail has batches as they were, while the index of aborted transactions has none any
        // more of those that are gone: readers would take aborted records for committed ones.
        self.tail.evict(next, 0);
        true
    }
}
