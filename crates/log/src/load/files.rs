//! The files of a partition's directory before they are read: what an interrupted compaction or
//! removal left is finished or undone, indexes without a log go. Must not know what files hold,
//! except the end of a swapped segment.

use std::sync::Arc;

use ottla_env::{Entry, EntryKind, OpenMode, mark};
use ottla_protocol::Offset;

use super::LoadReport;
use crate::error::LogError;
use crate::names::{self, CLEANED, DELETED, LOG, OFFSET_INDEX, SWAP, TIME_INDEX, TXN_INDEX};
use crate::scan::{Scan, ScanError};
use crate::segment::{PartitionDir, Segment};

/// A KRaft snapshot on its way out: not this crate's business.
const SNAPSHOT_DELETED: &str = ".checkpoint.deleted";

fn list(dir: &PartitionDir) -> Result<Vec<Entry>, LogError> {
    let mut entries = dir.disk().list(&dir.path)?;
    entries.retain(|e| e.kind == EntryKind::File);
    Ok(entries)
}

/// Kafka's first three passes over a log's files (`LogLoader.load`). Gives the files that there are
/// then.
pub(super) fn tidy(dir: &PartitionDir, report: &mut LoadReport) -> Result<Vec<Entry>, LogError> {
    let entries = list(dir)?;
    let offsets = |suffix: &str| {
        let named: Vec<_> = entries.iter().filter(|e| e.name.ends_with(suffix)).collect();
        named.into_iter().filter_map(|e| Some((e, names::offset_of(&e.name)?))).collect::<Vec<_>>()
    };
    let cleaned = offsets(CLEANED);
    let lowest_cleaned = cleaned.iter().map(|(_, offset)| *offset).min();
    let (swaps, undone): (Vec<_>, Vec<_>) = offsets(SWAP)
        .into_iter()
        .partition(|(_, offset)| lowest_cleaned.is_none_or(|low| *offset < low));
    let gone =
        entries.iter().filter(|e| e.name.ends_with(DELETED) && !e.name.ends_with(SNAPSHOT_DELETED));
    let unfinished = cleaned.iter().chain(&undone).map(|(e, _)| *e);
    let mut changed = false;
    for entry in gone.chain(unfinished) {
        dir.disk().remove_file(&dir.path.join(&entry.name))?;
        changed = true;
    }
    if let Some((low, high)) = covered(dir, &swaps)? {
        for entry in &entries {
            let offset = names::offset_of(&entry.name).filter(|o| (low..high).contains(o));
            let plain = !entry.name.ends_with(SWAP)
                && !entry.name.ends_with(CLEANED)
                && !entry.name.ends_with(DELETED);
            if offset.is_some() && plain {
                dir.disk().remove_file(&dir.path.join(&entry.name))?;
                changed = true;
            }
        }
        // None of what is replaced may be there again beside what replaces it.
        if changed {
            dir.disk().sync_dir(&dir.path)?;
        }
    }
    for (entry, _) in &swaps {
        if let Some(name) = entry.name.strip_suffix(SWAP) {
            dir.disk().rename(&dir.path.join(&entry.name), &dir.path.join(name))?;
            report.warnings.push(format!(
                "{}: finished an interrupted replacement by {name}",
                dir.path.display()
            ));
            changed = true;
        }
    }
    if !changed {
        return Ok(entries);
    }
    dir.disk().sync_dir(&dir.path)?;
    list(dir)
}

/// The offsets that the segments to be swapped in cover.
fn covered(
    dir: &PartitionDir,
    swaps: &[(&Entry, Offset)],
) -> Result<Option<(Offset, Offset)>, LogError> {
    let mut range: Option<(Offset, Offset)> = None;
    for (entry, base) in swaps {
        if entry.name.strip_suffix(SWAP).and_then(|n| names::offset_with(n, LOG)).is_none() {
            continue;
        }
        let file = dir.disk().open(&dir.path.join(&entry.name), OpenMode::Read)?;
        let mut scan = Scan::new(&*file, 0, entry.len, 64 * 1024);
        let mut end = *base;
        loop {
            match scan.next_header() {
                Ok(Some((header, _))) => end = header.next_offset(),
                Ok(None) | Err(ScanError::Bad { .. }) => break,
                Err(ScanError::Disk(e)) => return Err(e.into()),
            }
        }
        range = Some(range.map_or((*base, end), |(low, high)| (low.min(*base), high.max(end))));
    }
    Ok(range)
}

/// A segment, as its directory shows it.
#[derive(Clone, Debug)]
pub(super) struct SegmentFiles {
    pub(super) segment: Arc<Segment>,
    /// Bytes of its `.log`.
    pub(super) len: u64,
    pub(super) has_txn_index: bool,
    /// Its two other indexes, as far as they are there and empty.
    empty_indexes: u8,
}

impl SegmentFiles {
    /// Whether its files are as they were created.
    pub(super) fn is_untouched(&self) -> bool {
        self.len == 0 && self.empty_indexes == 2 && !self.has_txn_index
    }
}

/// The segments, ascending; indexes without a log are removed. No file is opened.
pub(super) fn segments(
    dir: &Arc<PartitionDir>,
    entries: &[Entry],
) -> Result<Vec<SegmentFiles>, LogError> {
    let mut found: Vec<_> = entries
        .iter()
        .filter_map(|entry| Some((names::offset_with(&entry.name, LOG)?, entry.len)))
        .map(|(base, len)| {
            let segment = Arc::new(Segment::new(dir, base));
            segment.set_unread(len);
            SegmentFiles { segment, len, has_txn_index: false, empty_indexes: 0 }
        })
        .collect();
    found.sort_unstable_by_key(|f| f.segment.base);
    for entry in entries {
        let index = [OFFSET_INDEX, TIME_INDEX, TXN_INDEX]
            .iter()
            .find_map(|s| Some((names::offset_with(&entry.name, s)?, *s)));
        let Some((base, suffix)) = index else { continue };
        let at = found.binary_search_by_key(&base, |f| f.segment.base);
        match at.ok().and_then(|at| found.get_mut(at)) {
            Some(files) if suffix == TXN_INDEX => files.has_txn_index = true,
            Some(files) => files.empty_indexes += u8::from(entry.len == 0),
            None => {
                mark!("orphan-index-removed");
                dir.disk().remove_file(&dir.path.join(&entry.name))?;
            }
        }
    }
    Ok(found)
}
