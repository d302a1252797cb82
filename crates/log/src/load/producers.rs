//! Producer state at start: the newest snapshot that can be read, and the batches after it. Must
//! not know the producers' rules.

use std::sync::Arc;

use ottla_env::{mark, planted};
use ottla_partition::{ProducerRules, ProducerStates, decode_snapshot};
use ottla_protocol::{Millis, Offset};

use super::found;
use crate::error::LogError;
use crate::names::{self, SNAPSHOT};
use crate::partition_log::OpenOptions;
use crate::producer_batch::producer_batch;
use crate::scan::{Scan, ScanError};
use crate::segment::{PartitionDir, Segment};

/// Offsets of the snapshots that are there, ascending.
fn snapshots(dir: &PartitionDir) -> Result<Vec<Offset>, LogError> {
    let entries = dir.disk().list(&dir.path)?;
    let mut offsets: Vec<_> =
        entries.iter().filter_map(|e| names::offset_with(&e.name, SNAPSHOT)).collect();
    offsets.sort_unstable();
    Ok(offsets)
}

/// Removes the snapshots at the offsets that are `unwanted`.
pub(crate) fn remove_snapshots(
    dir: &PartitionDir,
    unwanted: impl Fn(Offset) -> bool,
) -> Result<(), LogError> {
    for offset in snapshots(dir)?.into_iter().filter(|o| unwanted(*o)) {
        found(dir.disk().remove_file(&dir.path.join(names::file(offset, SNAPSHOT))))?;
    }
    Ok(())
}

/// The state at the end of the log. Snapshots beyond the end go; of the others stay those at the
/// base of a segment and the newest.
pub(crate) fn load(
    dir: &PartitionDir,
    segments: &[Arc<Segment>],
    log_start: Offset,
    log_end: Offset,
    rules: ProducerRules,
    now: Millis,
) -> Result<ProducerStates, LogError> {
    let newest = snapshots(dir)?.into_iter().rfind(|o| *o <= log_end);
    remove_snapshots(dir, |offset| {
        if planted("producer-snapshot-beyond-end") {
            return false;
        }
        let at_base = segments.binary_search_by_key(&offset, |s| s.base).is_ok();
        offset > log_end || (!at_base && Some(offset) != newest)
    })?;
    let log_end = if planted("producer-snapshot-beyond-end") { Offset(i64::MAX) } else { log_end };
    let mut states = from_snapshot(dir, log_start, log_end, rules, now)?;
    replay(&mut states, segments, log_end)?;
    Ok(states)
}

/// The state at `offset`, the base of a segment that is to be read again; `before` are the
/// segments before it.
pub(super) fn at(
    dir: &PartitionDir,
    before: &[Arc<Segment>],
    offset: Offset,
    options: &OpenOptions,
) -> Result<ProducerStates, LogError> {
    let mut states = from_snapshot(
        dir,
        options.log_start.min(offset),
        offset,
        options.producer_rules,
        options.now,
    )?;
    replay(&mut states, before, offset)?;
    Ok(states)
}

/// The newest snapshot of at most `limit` that can be read; those that cannot are removed.
fn from_snapshot(
    dir: &PartitionDir,
    log_start: Offset,
    limit: Offset,
    rules: ProducerRules,
    now: Millis,
) -> Result<ProducerStates, LogError> {
    let mut states = ProducerStates::new(rules, log_start);
    for offset in snapshots(dir)?.into_iter().rev().filter(|o| *o <= limit && *o >= log_start) {
        let path = dir.path.join(names::file(offset, SNAPSHOT));
        match decode_snapshot(&dir.disk().read(&path)?) {
            Ok(entries) => {
                states.load(entries, offset, now);
                break;
            }
            Err(_) => {
                mark!("producer-snapshot-unreadable");
                dir.disk().remove_file(&path)?;
            }
        }
    }
    Ok(states)
}

/// Applies the batches from the state's end to `limit`.
fn replay(
    states: &mut ProducerStates,
    segments: &[Arc<Segment>],
    limit: Offset,
) -> Result<(), LogError> {
    let from = states.end_offset();
    let first = segments.partition_point(|s| s.base <= from).saturating_sub(1);
    for segment in segments.iter().skip(first) {
        if segment.base >= limit || from >= limit {
            break;
        }
        let file = segment.log_file()?;
        let start = segment.position_before(from)?;
        let mut scan = Scan::new(&*file, start, segment.written(), 1 << 20);
        loop {
            match scan.next_batch() {
                Ok(Some((batch, _))) => {
                    let header = batch.header();
                    if header.last_offset() >= from && header.last_offset() < limit {
                        states.apply(&producer_batch(header, batch.bytes()));
                    }
                }
                // Damage is told of when it is read.
                Ok(None) | Err(ScanError::Bad { .. }) => break,
                Err(ScanError::Disk(e)) => return Err(e.into()),
            }
        }
    }
    Ok(())
}
