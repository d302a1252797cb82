//! One pass over one log. Must not know which log comes next, nor threads.

use std::fmt;
use std::sync::Arc;

use ottla_protocol::{Millis, Offset};
use ottla_records::{Batch, BatchHeader, Scratch};
use thiserror::Error;

use super::key_map::{Hash, KeyMap, Noted};
use super::plan::{Bounds, Dirt, dirty_from, groups};
use super::retain::{Bad, Kept, LastOfProducers, Memory, Retain, control, damaged};
use super::rewrite::{Finished, Output};
use super::swap::{Swapped, discard, swap};
use super::transactions::Transactions;
use crate::error::LogError;
use crate::names;
use crate::partition_log::PartitionLog;
use crate::scan::{Scan, ScanError};
use crate::segment::Segment;
use crate::view::LogView;

/// A log that is compacted: how its lock is taken, for moments.
pub trait CompactionTarget {
    /// Calls `work` under the log's lock.
    fn with_log<R>(&self, work: impl FnOnce(&mut PartitionLog) -> R) -> R;
}

/// What a compactor may use.
#[derive(Clone, Debug)]
pub struct CompactorOptions {
    /// Bytes of the map of keys (`log.cleaner.dedupe.buffer.size`, shared out among threads).
    pub map_bytes: usize,
    /// Share of the map that is filled (`log.cleaner.io.buffer.load.factor`).
    pub load_factor: f64,
    /// Bytes read, and written, at a time (`log.cleaner.io.buffer.size`, shared out).
    pub io_bytes: usize,
    /// Secret of the keys' hashes, drawn at random.
    pub hash_key: [u8; 16],
}

impl Default for CompactorOptions {
    fn default() -> Self {
        Self { map_bytes: 128 << 20, load_factor: 0.9, io_bytes: 256 << 10, hash_key: [0; 16] }
    }
}

/// One pass: what is cleaned, and by when things are.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// What is dirty ([`LogView::dirt`]).
    pub dirt: Dirt,
    /// `delete.retention.ms`
    pub delete_retention: Millis,
    /// Milliseconds since the Unix epoch.
    pub now: Millis,
}

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactStats {
    /// Bytes read for the map of keys.
    pub bytes_mapped: u64,
    /// Keys in it.
    pub keys: u64,
    /// Bytes of the map.
    pub map_bytes: u64,
    /// Bytes of batches read to be cleaned.
    pub bytes_read: u64,
    /// Bytes of batches that stay.
    pub bytes_kept: u64,
    /// Records read to be cleaned.
    pub records_read: u64,
    /// Records that stay.
    pub records_kept: u64,
    /// Records dropped because a compacted log has no place for them.
    pub records_without_key: u64,
    /// Batches that were written anew.
    pub batches_rewritten: u64,
    /// Segments before.
    pub segments_before: u64,
    /// Segments after.
    pub segments_after: u64,
}

/// The end of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Up to here the log is clean: the checkpoint.
    pub clean_up_to: Offset,
    /// What was done.
    pub stats: CompactStats,
}

/// Why a pass ended early. What was swapped in stays, the rest is as before.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CompactError {
    /// The caller's pace said stop, or the segments are no longer there.
    #[error("it was interrupted")]
    Interrupted,
    /// [`LogError::Corrupt`]: the log cannot be cleaned; other failures are the disk's.
    #[error(transparent)]
    Failed(#[from] LogError),
}

/// Does passes, one after the other; keeps memory in between.
pub struct Compactor {
    options: CompactorOptions,
    memory: Memory,
}

impl fmt::Debug for Compactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compactor").finish_non_exhaustive()
    }
}

/// Asked after every few hundred KiB: how many bytes were read or written; `false` for stop. The
/// place to wait.
pub(super) type Pace<'a> = dyn FnMut(u64) -> bool + 'a;

impl Compactor {
    /// A compactor that has done nothing yet, and has no memory.
    #[must_use]
    pub fn new(options: CompactorOptions) -> Self {
        Self { options, memory: Memory::default() }
    }

    /// Cleans a log once. The caller has the claim on its segments. `pace` is told how many bytes
    /// were read or written, every few hundred KiB: there the caller may wait; `false` stops the
    /// pass. Blocks.
    ///
    /// # Errors
    /// [`CompactError`].
    pub fn run<T: CompactionTarget>(
        &mut self,
        target: &T,
        pass: &Pass,
        pace: &mut Pace<'_>,
    ) -> Result<Compacted, CompactError> {
        let view = target.with_log(|log| log.check_compactable().map(|()| log.view()))?;
        let mut stats = CompactStats::default();
        let keys = self.map_keys(&view, pass, pace, &mut stats)?;
        stats.keys = keys.len() as u64;
        stats.map_bytes = keys.memory() as u64;
        let bounds = target.with_log(|log| Bounds {
            segment_bytes: u64::from(log.config().segment_bytes),
            index_bytes: u64::from(log.config().segment_index_bytes),
        });
        let mut transactions = Transactions::default();
        let segments = view.segments_below(keys.end().min(pass.dirt.up_to));
        let groups = groups(segments, bounds, pass.dirt.up_to)?;
        let groups: Vec<Vec<Arc<Segment>>> = groups.into_iter().map(<[_]>::to_vec).collect();
        // Segments that are replaced are let go of, and not kept until the pass is through.
        drop(view);
        for group in groups {
            let cleaning = Cleaning {
                view: &target.with_log(|log| log.view()),
                group: &group,
                pass,
                keys: &keys,
                transactions: &mut transactions,
                memory: &mut self.memory,
                io_bytes: self.options.io_bytes,
                stats: &mut stats,
            };
            cleaning.run(target, pace)?;
        }
        self.memory = Memory::default();
        Ok(Compacted { clean_up_to: keys.end(), stats })
    }

    /// Notes the keys of what is dirty, until the map is full.
    fn map_keys(
        &mut self,
        view: &LogView,
        pass: &Pass,
        pace: &mut Pace<'_>,
        stats: &mut CompactStats,
    ) -> Result<KeyMap, CompactError> {
        let Dirt { first_dirty, up_to, .. } = pass.dirt;
        let records = u64::try_from(up_to.0.saturating_sub(first_dirty.0)).unwrap_or(0);
        let mut keys = KeyMap::new(&self.options, records, first_dirty);
        let mut transactions = Transactions::default();
        transactions.expect(view.aborted_transactions(first_dirty, up_to)?);
        let below = view.segments_below(up_to);
        let dirty = dirty_from(below, first_dirty);
        let mut found = Vec::new();
        let (io_bytes, scratch) = (self.options.io_bytes, &mut self.memory.scratch);
        for (i, segment) in dirty.iter().enumerate() {
            let next = dirty.get(i + 1).map_or(up_to, |s| s.base);
            let max = view.max_decompressed_bytes;
            let full = walk(segment, first_dirty, io_bytes, pace, |batch| {
                stats.bytes_mapped += batch.size() as u64;
                found.clear();
                let header = batch.header();
                if header.attributes.is_control() {
                    transactions.on_control(header, control(batch, scratch, max)?);
                } else if !transactions.on_batch(header) {
                    find_keys(batch, first_dirty, &keys, scratch, max, &mut found)?;
                }
                match note(header, &found, &mut keys) {
                    Noted::Yes => Ok((Go::On, 0)),
                    Noted::Full => Ok((Go::Stop, 0)),
                }
            })?;
            if full == Go::Stop {
                return Ok(keys);
            }
            // Also over a gap at its end.
            keys.covers(next);
        }
        Ok(keys)
    }
}

/// Finds the keys of a batch's records and their offsets.
fn find_keys(
    batch: &Batch<'_>,
    first_dirty: Offset,
    keys: &KeyMap,
    scratch: &mut Scratch,
    max: usize,
    found: &mut Vec<(Hash, Offset)>,
) -> Result<(), Bad> {
    for record in batch.records(scratch, max).map_err(|e| e.to_string())? {
        let record = record.map_err(|e| e.to_string())?;
        if let Some(key) = record.key
            && record.offset >= first_dirty
        {
            found.push((keys.hash(key), record.offset));
        }
    }
    Ok(())
}

/// Notes the keys that were found in a batch.
fn note(header: &BatchHeader, found: &[(Hash, Offset)], keys: &mut KeyMap) -> Noted {
    keys.expect(found.iter().map(|(hash, _)| *hash));
    for (hash, offset) in found {
        if keys.put(*hash, *offset) == Noted::Full {
            keys.covers(*offset);
            return Noted::Full;
        }
    }
    keys.covers(header.next_offset());
    Noted::Yes
}

/// Whether a walk goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Go {
    On,
    Stop,
}

/// Why a batch is not dealt with.
enum Why {
    Bad(Bad),
    Failed(LogError),
}

impl From<Bad> for Why {
    fn from(bad: Bad) -> Self {
        Self::Bad(bad)
    }
}

impl From<LogError> for Why {
    fn from(error: LogError) -> Self {
        Self::Failed(error)
    }
}

/// Walks over a closed segment's batches, their checksums checked, from the one that holds `from`.
/// `each` returns, with whether to go on, how many bytes it wrote.
fn walk(
    segment: &Segment,
    from: Offset,
    io_bytes: usize,
    pace: &mut Pace<'_>,
    mut each: impl FnMut(&Batch<'_>) -> Result<(Go, u64), Why>,
) -> Result<Go, CompactError> {
    let file = segment.log_file_in_passing()?;
    let start = if from > segment.base { segment.position_before(from)? } else { 0 };
    let mut scan = Scan::new(&*file, start, segment.written(), io_bytes.max(4096));
    let mut unspent = 0;
    loop {
        let (batch, position) = match scan.next_batch() {
            Ok(Some(found)) => found,
            Ok(None) => break,
            Err(ScanError::Bad { position, error }) => {
                return Err(damaged(file.path(), position, &error.to_string()).into());
            }
            Err(ScanError::Disk(error)) => return Err(LogError::from(error).into()),
        };
        unspent += batch.size() as u64;
        let (go, written) = each(&batch).map_err(|why| match why {
            Why::Bad(what) => damaged(file.path(), position, &what),
            Why::Failed(error) => error,
        })?;
        unspent += written;
        if go == Go::Stop {
            spend(unspent, pace)?;
            return Ok(go);
        }
        if unspent >= io_bytes as u64 {
            spend(unspent, pace)?;
            unspent = 0;
        }
    }
    spend(unspent, pace)?;
    Ok(Go::On)
}

fn spend(bytes: u64, pace: &mut Pace<'_>) -> Result<(), CompactError> {
    if pace(bytes) { Ok(()) } else { Err(CompactError::Interrupted) }
}

/// The cleaning of one group of segments.
struct Cleaning<'a> {
    view: &'a LogView,
    group: &'a [Arc<Segment>],
    pass: &'a Pass,
    keys: &'a KeyMap,
    transactions: &'a mut Transactions,
    memory: &'a mut Memory,
    io_bytes: usize,
    stats: &'a mut CompactStats,
}

impl Cleaning<'_> {
    fn run<T: CompactionTarget>(
        mut self,
        target: &T,
        pace: &mut Pace<'_>,
    ) -> Result<(), CompactError> {
        let Some(first) = self.group.first() else { return Ok(()) };
        let (producers, interval) =
            target.with_log(|log| (log.last_of_producers(), log.config().index_interval_bytes));
        let segment = Segment::cleaned(&first.dir, first.base);
        let done = self.write(segment, &producers, interval, pace);
        let finished = match done {
            Ok(finished) => finished,
            Err((segment, error)) => {
                // Nothing of it counts; without the space even for this, a start removes it.
                let _ = discard(&segment);
                return Err(error);
            }
        };
        self.stats.segments_before += self.group.len() as u64;
        self.stats.segments_after += 1;
        match swap(target, self.group, &finished)? {
            Swapped::Yes => Ok(()),
            Swapped::Refused => Err(CompactError::Interrupted),
        }
    }

    /// Writes the new segment.
    fn write(
        &mut self,
        segment: Segment,
        producers: &LastOfProducers,
        interval: u32,
        pace: &mut Pace<'_>,
    ) -> Result<Finished, (Arc<Segment>, CompactError)> {
        let segment = Arc::new(segment);
        let with_aborted =
            self.has_aborted_index().map_err(|e| (Arc::clone(&segment), e.into()))?;
        let output = Output::create(&segment, interval, self.io_bytes, with_aborted);
        let done = output.map_err(CompactError::from).and_then(|mut output| {
            for (i, old) in self.group.iter().enumerate() {
                let next = self.group.get(i + 1).map(|s| s.base);
                self.rewrite(old, next, &mut output, producers, pace)?;
            }
            Ok(output.finish(self.modified_ms()?)?)
        });
        done.map_err(|error| (segment, error))
    }

    /// When the last of the old files was changed.
    fn modified_ms(&self) -> Result<Option<i64>, LogError> {
        let mut last = None;
        for segment in self.group {
            last = last.max(segment.log_file()?.modified_ms()?);
        }
        Ok(last)
    }

    fn has_aborted_index(&self) -> Result<bool, LogError> {
        let mut found = false;
        for segment in self.group {
            let path = segment.path(names::TXN_INDEX);
            found |= segment.dir.disk().exists(&path)?;
        }
        Ok(found)
    }

    /// Goes over one of the old segments.
    fn rewrite(
        &mut self,
        old: &Arc<Segment>,
        next: Option<Offset>,
        output: &mut Output,
        producers: &LastOfProducers,
        pace: &mut Pace<'_>,
    ) -> Result<(), CompactError> {
        let end = next.unwrap_or_else(|| self.view.end_of(old));
        self.transactions.expect(self.view.aborted_transactions(old.base, end)?);
        let retain = Retain {
            keys: self.keys,
            producers,
            now: self.pass.now,
            delete_retention: self.pass.delete_retention,
            up_to: self.pass.dirt.up_to,
            max_decompressed_bytes: self.view.max_decompressed_bytes,
        };
        let Self { transactions, memory, stats, .. } = self;
        walk(old, old.base, self.io_bytes, pace, |batch| {
            stats.bytes_read += batch.size() as u64;
            let verdict = retain.judge(batch, transactions, memory, stats)?;
            if let Some(entry) = &verdict.aborted {
                output.push_aborted(entry);
            }
            let written = match &verdict.kept {
                Kept::Nothing => 0,
                Kept::Whole => {
                    stats.bytes_kept += batch.size() as u64;
                    output.push(batch.header(), batch.bytes())?
                }
                Kept::Rewritten(bytes) => {
                    stats.bytes_kept += bytes.len() as u64;
                    stats.batches_rewritten += 1;
                    let header = BatchHeader::parse(bytes).map_err(|e| e.to_string())?;
                    output.push(&header, bytes)?
                }
            };
            Ok((Go::On, written))
        })?;
        Ok(())
    }
}
