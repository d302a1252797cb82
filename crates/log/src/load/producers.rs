//! Producer state at start: the newest snapshot that can be read, and the batches after it. Must
//! not know the producers' rules.

use std::sync::Arc;

use bytes::Bytes;
use ottla_env::{Entry, mark, planted};
use ottla_partition::{ProducerBatch, ProducerRules, ProducerStates, decode_snapshot};
use ottla_protocol::{Millis, Offset};

use super::files::SegmentFiles;
use super::found;
use crate::error::LogError;
use crate::names::{self, SNAPSHOT};
use crate::partition_log::OpenOptions;
use crate::producer_batch::producer_batch;
use crate::scan::{Scan, ScanError};
use crate::segment::{PartitionDir, Segment};
use crate::txn_index::AbortedTransaction;

/// Bytes read at a time while walking over headers.
const WALK: usize = 16 * 1024;

/// Offsets of the snapshots that are there, ascending.
#[derive(Clone, Debug)]
pub(super) struct Snapshots(Vec<Offset>);

impl Snapshots {
    pub(super) fn of(entries: &[Entry]) -> Self {
        let mut offsets: Vec<_> =
            entries.iter().filter_map(|e| names::offset_with(&e.name, SNAPSHOT)).collect();
        offsets.sort_unstable();
        Self(offsets)
    }

    fn list(dir: &PartitionDir) -> Result<Self, LogError> {
        Ok(Self::of(&dir.disk().list(&dir.path)?))
    }

    /// Removes those that are `unwanted`.
    pub(super) fn remove(
        &mut self,
        dir: &PartitionDir,
        unwanted: impl Fn(Offset) -> bool,
    ) -> Result<(), LogError> {
        for offset in self.0.extract_if(.., |offset| unwanted(*offset)) {
            found(dir.disk().remove_file(&dir.path.join(names::file(offset, SNAPSHOT))))?;
        }
        Ok(())
    }

    /// Removes all; durable when it returns.
    pub(super) fn remove_all(&mut self, dir: &PartitionDir) -> Result<(), LogError> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.remove(dir, |_| true)?;
        Ok(dir.disk().sync_dir(&dir.path)?)
    }

    /// Those beyond the end go; of the others stay those at the base of a segment and the newest.
    pub(super) fn remove_strays(
        &mut self,
        dir: &PartitionDir,
        segments: &[Arc<Segment>],
        log_end: Offset,
    ) -> Result<(), LogError> {
        if planted("producer-snapshot-beyond-end") {
            return Ok(());
        }
        let newest = self.0.iter().rfind(|o| **o <= log_end).copied();
        self.remove(dir, |offset| {
            let at_base = segments.binary_search_by_key(&offset, |s| s.base).is_ok();
            offset > log_end || (!at_base && Some(offset) != newest)
        })
    }
}

/// Removes all snapshots, for a log that begins anew: durable when it returns. Names reach the disk
/// in any order, and the new log must not know the old one's producers.
pub(crate) fn remove_snapshots(dir: &PartitionDir) -> Result<(), LogError> {
    Snapshots::list(dir)?.remove_all(dir)
}

/// The state at the end of a log that has changed; see [`Snapshots::remove_strays`].
pub(crate) fn load(
    dir: &PartitionDir,
    segments: &[Arc<Segment>],
    log_start: Offset,
    log_end: Offset,
    rules: ProducerRules,
    now: Millis,
) -> Result<ProducerStates, LogError> {
    let mut snapshots = Snapshots::list(dir)?;
    at_end(dir, &mut snapshots, segments, (log_start, log_end), rules, now)
}

/// The state at the end of the log; see [`Snapshots::remove_strays`].
pub(super) fn at_end(
    dir: &PartitionDir,
    snapshots: &mut Snapshots,
    segments: &[Arc<Segment>],
    (log_start, log_end): (Offset, Offset),
    rules: ProducerRules,
    now: Millis,
) -> Result<ProducerStates, LogError> {
    snapshots.remove_strays(dir, segments, log_end)?;
    let log_end = if planted("producer-snapshot-beyond-end") { Offset(i64::MAX) } else { log_end };
    let mut states = from_snapshot(dir, snapshots, (log_start, log_end), rules, now)?;
    replay(&mut states, segments.iter(), log_end)?;
    Ok(states)
}

/// The state at `base`, where a segment begins, or, when a newer snapshot is there, at some offset
/// up to `limit`; `before` are the segments before it.
pub(super) fn newest(
    dir: &PartitionDir,
    snapshots: &mut Snapshots,
    before: &[SegmentFiles],
    (base, limit): (Offset, Offset),
    options: &OpenOptions,
) -> Result<ProducerStates, LogError> {
    // What lies below the first segment is of a log that was there before.
    let first = before.first().map_or(base, |files| files.segment.base);
    let range = (options.log_start.clamp(first, base), limit);
    let mut states = from_snapshot(dir, snapshots, range, options.producer_rules, options.now)?;
    replay(&mut states, before.iter().map(|f| &f.segment), base)?;
    Ok(states)
}

/// Holds a segment's index of aborted transactions against its batches, and makes it anew when
/// these say something else; `before` are the segments before it. Where not all batches can be
/// read, the index stays as it is.
pub(crate) fn check_aborted<'a>(
    dir: &PartitionDir,
    before: impl DoubleEndedIterator<Item = &'a Arc<Segment>> + ExactSizeIterator + Clone,
    segment: &Segment,
    indexed: &[u8],
) -> Result<(), LogError> {
    let first = before.clone().next().map_or(segment.base, |segment| segment.base);
    // Producers that have expired can have been in transactions: none is left out.
    let rules = ProducerRules { expiration: Millis(i64::MAX), ..ProducerRules::default() };
    let mut snapshots = Snapshots::list(dir)?;
    let range = (first, segment.base);
    let mut states = from_snapshot(dir, &mut snapshots, range, rules, Millis(0))?;
    replay(&mut states, before, segment.base)?;
    let mut content = Vec::new();
    let whole = walk(segment, 0, |batch| {
        let ended = states.apply(batch);
        content.extend(
            ended
                .as_ref()
                .and_then(AbortedTransaction::of)
                .iter()
                .flat_map(AbortedTransaction::encode),
        );
    })?;
    if !whole || content == indexed {
        return Ok(());
    }
    mark!("aborted-transactions-from-batches");
    let path = segment.path(names::TXN_INDEX);
    Ok(dir.disk().write_atomically(&path, Bytes::from(content))?)
}

/// The newest snapshot in a range of offsets that can be read; those that cannot are removed.
fn from_snapshot(
    dir: &PartitionDir,
    snapshots: &mut Snapshots,
    (log_start, limit): (Offset, Offset),
    rules: ProducerRules,
    now: Millis,
) -> Result<ProducerStates, LogError> {
    let mut states = ProducerStates::new(rules, log_start);
    while let Some(offset) = snapshots.0.iter().rfind(|o| **o <= limit).copied()
        && offset >= log_start
    {
        let path = dir.path.join(names::file(offset, SNAPSHOT));
        // Retention may have put it aside meanwhile.
        let content = found(dir.disk().read(&path))?;
        if let Some(Ok(entries)) = content.as_deref().map(decode_snapshot) {
            states.load(entries, offset, now);
            break;
        }
        mark!("producer-snapshot-unreadable");
        snapshots.remove(dir, |unreadable| unreadable == offset)?;
    }
    Ok(states)
}

/// Applies the batches from the state's end to `limit`.
fn replay<'a>(
    states: &mut ProducerStates,
    segments: impl DoubleEndedIterator<Item = &'a Arc<Segment>> + ExactSizeIterator + Clone,
    limit: Offset,
) -> Result<(), LogError> {
    let from = states.end_offset();
    let first = segments.clone().rposition(|s| s.base <= from).unwrap_or(0);
    for segment in segments.skip(first) {
        if segment.base >= limit || from >= limit {
            break;
        }
        walk(segment, segment.position_before(from)?, |batch| {
            if batch.last_offset() >= from && batch.last_offset() < limit {
                states.apply(batch);
            }
        })?;
    }
    Ok(())
}

/// Walks over a segment's batches by their headers, and reads whole those that may end
/// transactions. Damage is told of when it is read; here the walk ends, and gives `false`.
fn walk(
    segment: &Segment,
    from: u64,
    mut each: impl FnMut(&ProducerBatch),
) -> Result<bool, LogError> {
    let file = segment.log_file()?;
    let mut scan = Scan::new(&*file, from, segment.written(), WALK);
    loop {
        let (header, position) = match scan.next_header() {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(true),
            Err(ScanError::Bad { .. }) => return Ok(false),
            Err(ScanError::Disk(e)) => return Err(e.into()),
        };
        if !header.attributes.is_control() {
            each(&producer_batch(&header, &[]));
            continue;
        }
        match scan.batch(&header, position) {
            Ok(batch) => each(&producer_batch(&header, batch.bytes())),
            Err(ScanError::Bad { .. }) => return Ok(false),
            Err(ScanError::Disk(e)) => return Err(e.into()),
        }
    }
}
