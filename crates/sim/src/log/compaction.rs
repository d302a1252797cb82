//! Compaction and retention of the simulated logs, and what a compacted log is held against: of
//! each key the last committed record, nothing that was not appended. Must not know how segments
//! are swapped.

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla_log::{
    AbortedTransaction, CleaningRules, CompactError, CompactionTarget, Compactor, CompactorOptions,
    OffsetCheckpoint, PartitionLog, Pass, RetentionRules,
};
use ottla_protocol::{Millis, Offset};
use ottla_records::{Batch, Scratch};

use super::World;
use super::check::{consume, read_all};
use super::host::Host;
use super::model::{Model, value_of};
use crate::choose::Choose;
use crate::promise;
use crate::violation::Stop;

/// Pieces of files that are removed before something else happens.
const STEPS_AT_ONCE: u32 = 4;

/// Of each key what was last said of it; `None` for a tombstone.
type Last = BTreeMap<u8, Option<u64>>;

impl CompactionTarget for Host {
    fn with_log<R>(&self, work: impl FnOnce(&mut PartitionLog) -> R) -> R {
        work(&mut self.log())
    }
}

impl World {
    pub(super) fn is_compacted(&self, dir: usize, slot: usize) -> bool {
        let slot = self.dirs.get(dir).and_then(|dir| dir.slots.get(slot));
        slot.is_some_and(|slot| slot.config.compact)
    }

    /// One pass of the cleaner over a partition.
    pub(super) fn compact(&mut self, dir: usize, slot: usize) -> Result<(), Stop> {
        let Some(host) = self.host(dir, slot).filter(|_| self.is_compacted(dir, slot)) else {
            return Ok(());
        };
        let now = self.now();
        let stable = {
            let log = host.log();
            log.producers().last_stable_offset(log.durable_end(), log.log_start())
        };
        let rules =
            CleaningRules { min_dirty_ratio: 0.0, min_lag: Millis(0), max_lag: Millis(i64::MAX) };
        let known = self.model(dir, slot).and_then(|model| model.clean).map(Offset);
        let view = host.log().view();
        let dirt = view.dirt(known, stable, &rules, now);
        let dirt = dirt.map_err(|error| self.failed("looking what is dirty", &error))?;
        promise!(
            "L10",
            dirt.up_to <= stable.max(host.log().log_start()),
            "compaction is to go up to {}, the last stable offset is {stable}",
            dirt.up_to
        );
        // As the broker does: no start may read from below what is cleaned.
        let known = self.dirs.get(dir);
        let point =
            known.and_then(|known| known.recovery.done.get(&known.slots.get(slot)?.name).copied());
        if point.is_none_or(|point| point < dirt.up_to) {
            self.checkpoint_of(dir, OffsetCheckpoint::RecoveryPoint)?;
        }
        let options = CompactorOptions {
            map_bytes: *self.draw.pick(&[200, 4096, 1 << 16]).unwrap_or(&4096),
            io_bytes: *self.draw.pick(&[100, 4096]).unwrap_or(&4096),
            ..CompactorOptions::default()
        };
        let pass = Pass {
            dirt,
            delete_retention: Millis(*self.draw.pick(&[0, 30, 1 << 40]).unwrap_or(&0)),
            now,
        };
        let mut left = if self.draw.one_in(6) { self.draw.below(6) } else { usize::MAX };
        let mut pace = |_| {
            left = left.saturating_sub(1);
            left > 0
        };
        match Compactor::new(options).run(&*host, &pass, &mut pace) {
            Ok(compacted) => {
                if let Some(model) = self.model_mut(dir, slot) {
                    model.clean = Some(compacted.clean_up_to.0);
                }
                self.outcome.compactions += 1;
                Ok(())
            }
            Err(CompactError::Interrupted) => Ok(()),
            Err(CompactError::Failed(error)) => Err(self.failed("compacting", &error)),
        }
    }

    /// What the broker does now and then: segments go by time and size.
    pub(super) fn retain(&mut self, dir: usize, slot: usize) -> Result<(), Stop> {
        let Some(host) = self.host(dir, slot) else { return Ok(()) };
        let now = self.now();
        let rules = RetentionRules {
            delete: !self.is_compacted(dir, slot),
            retention_ms: self.draw.one_in(2).then(|| Millis(self.draw.span(0, 800))),
            retention_bytes: self.draw.one_in(2).then(|| self.draw.draw() % 4000),
        };
        let (retention, up_to) = {
            let log = host.log();
            let up_to = log.producers().last_stable_offset(log.durable_end(), log.log_start());
            (log.retention(), up_to)
        };
        let plan = retention.plan(&rules, up_to, now);
        let plan = plan.map_err(|error| self.failed("planning retention", &error))?;
        let Some(plan) = plan else { return Ok(()) };
        let moved = host.log().retain(&plan, up_to, now);
        let start = host.log().log_start();
        promise!(
            "L10",
            start <= up_to || !moved,
            "retention moved the log start to {start}, beyond {up_to}"
        );
        if moved {
            self.outcome.retentions += 1;
            self.start_moved(dir, slot, start.0)?;
        }
        Ok(())
    }

    /// Files of old segments go after a while.
    pub(super) fn remove_buried(&mut self, dir: usize) -> Result<(), Stop> {
        let now = self.now();
        let hurry = self.draw.one_in(2);
        let Some(live) = self.dirs.get(dir).and_then(|dir| dir.live.as_ref()) else {
            return Ok(());
        };
        let mut steps = 0;
        let mut a_few = || {
            steps += 1;
            steps < STEPS_AT_ONCE
        };
        let done = if hurry {
            live.log_dir.remove_buried(now, true)
        } else {
            live.log_dir.remove_buried_in_steps(now, &mut a_few)
        };
        let done = done.map(drop);
        done.map_err(|error| self.failed("removing old segments", &error))
    }

    /// A compacted log has what was appended, at its offsets, and of each key at least what a
    /// reader of everything would end up with (T9).
    pub(super) fn check_compacted(
        &mut self,
        dir: usize,
        slot: usize,
        log: &PartitionLog,
        from: i64,
    ) -> Result<(), Stop> {
        if self.swarm.beyond {
            return Ok(());
        }
        let high_watermark = log.durable_end();
        let start = log.log_start();
        let stable = log.producers().last_stable_offset(high_watermark, start).0;
        if from >= stable {
            return Ok(());
        }
        let aborted = log.view().aborted_transactions(Offset(from), Offset(stable));
        let aborted: Vec<AbortedTransaction> =
            aborted.map_err(|error| self.failed("reading aborted transactions", &error))?;
        let batches = match read_all(log, from, stable, 700)? {
            Ok(batches) => batches,
            Err(error) => return Err(self.unreadable(&error)),
        };
        let seen = consume(&batches, aborted, from)?;
        let Some(model) = self.model(dir, slot) else { return Ok(()) };
        let mut found = Last::new();
        for (offset, key, value) in records(&batches)? {
            if offset < from {
                continue;
            }
            let Some(expected) = model.record_at(offset) else {
                return Err(Self::broken("R8", format!("nothing was appended at {offset}")));
            };
            promise!("R8", expected == (key, value), "another record is found at {offset}");
            if seen.contains(&offset) {
                found.insert(key, value);
            }
        }
        let expected = model.last_committed(from, stable);
        let differs = |(key, value): &(&u8, &Option<u64>)| match value {
            Some(_) => found.get(*key) != Some(*value),
            // A tombstone may be gone.
            None => found.get(*key).is_some_and(Option::is_some),
        };
        let wrong: Vec<_> = expected.iter().filter(differs).collect();
        promise!(
            "T9",
            wrong.is_empty(),
            "from {from} to {stable} the keys {wrong:?} should be there, and found is {found:?}"
        );
        Ok(())
    }

    /// What is in a compacted log after a start: batches that were appended, or what is left of
    /// them, in order.
    pub(super) fn check_what_is_left(model: &Model, found: &[Bytes]) -> Result<(), Stop> {
        let mut next = i64::MIN;
        for bytes in found {
            let Ok(batch) = Batch::parse(bytes) else { continue };
            let header = batch.header();
            let (base, last) = (header.base_offset.0, header.last_offset().0);
            promise!("L2", base >= next, "a batch at {base} follows one that ends at {}", next - 1);
            next = last + 1;
            let known = model.entries.iter().find(|entry| entry.last == last);
            promise!(
                "L2",
                known.is_some_and(|entry| {
                    entry.base <= base && entry.epoch == header.partition_leader_epoch.0
                }),
                "a batch from {base} to {last} was never appended"
            );
        }
        Ok(())
    }
}

/// Offset, key and value of all records with a key.
pub(super) fn records(batches: &[Bytes]) -> Result<Vec<(i64, u8, Option<u64>)>, Stop> {
    let mut all = Vec::new();
    let mut scratch = Scratch::new();
    for bytes in batches {
        let Ok(batch) = Batch::parse(bytes) else { continue };
        if batch.header().attributes.is_control() {
            continue;
        }
        let bad = |error: String| World::broken("L7", format!("records cannot be read: {error}"));
        for record in batch.records(&mut scratch, 1 << 22).map_err(|e| bad(e.to_string()))? {
            let record = record.map_err(|e| bad(e.to_string()))?;
            let key = record.key.and_then(|key| key.first().copied()).unwrap_or(0);
            all.push((record.offset.0, key, record.value.map(value_of)));
        }
    }
    Ok(all)
}
