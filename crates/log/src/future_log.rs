//! A log that is being copied into another log directory, to take the place of the one it is a copy
//! of: `topic-0.<unique>-future`. Must not know who asked for it, nor which of the two is served.
//!
//! The order of what happens to names, so that after a crash one of the two has everything that
//! was acknowledged:
//!
//! 1. the copy is brought up to date, closed and synced, while the log is held
//!    ([`PartitionLog::hold`]): nothing is acknowledged meanwhile;
//! 2. its directory gets the partition's name ([`FutureLog::promote`]), synced: now there are two,
//!    with the same batches;
//! 3. it takes the log's place in memory ([`PartitionLog::take_over`]), still held;
//! 4. the old directory is moved aside ([`LogDir::move_aside`]), synced; then the log is released.

use std::sync::Arc;

use ottla_env::{mark, planted};
use ottla_protocol::{Millis, Offset};
use ottla_records::BatchHeader;
use thiserror::Error;

use crate::error::{AppendError, LogError, ReadError};
use crate::log_dir::LogDir;
use crate::names::TopicPartition;
use crate::partition_log::{OpenOptions, PartitionLog, SyncOn};
use crate::read::ReadRequest;
use crate::segment::PartitionDir;
use crate::view::LogView;

/// A copy that is not served yet.
#[derive(Debug)]
pub struct FutureLog {
    log: PartitionLog,
    log_dir: Arc<LogDir>,
    name: String,
}

/// A copy that has the partition's name, and is to take the log's place in memory.
#[derive(Debug)]
pub struct Promoted {
    log_dir: Arc<LogDir>,
    partition: TopicPartition,
    log_start: Offset,
    end: Offset,
}

impl Promoted {
    /// Opens it under its name. Blocks.
    ///
    /// # Errors
    /// When it is not what was copied; when the disk fails.
    pub fn open(self, mut options: OpenOptions) -> Result<PartitionLog, LogError> {
        let Self { log_dir, partition, log_start, end } = self;
        options.log_start = log_start;
        options.recovery_point = end;
        options.clean = true;
        options.sync = SyncOn::Open;
        let (log, _report) = PartitionLog::open(&log_dir, &partition, options)?;
        if log.log_end() != end {
            let what = format!("it ends at offset {}, and was copied up to {end}", log.log_end());
            return Err(LogError::corrupt(&log.dir().path, what));
        }
        Ok(log)
    }
}

/// Why copying did not go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CopyError {
    /// The log cannot be read.
    #[error("the log cannot be read: {0}")]
    Read(#[from] ReadError),
    /// Its batches cannot be appended to the copy.
    #[error("the copy cannot be written: {0}")]
    Append(#[from] AppendError),
    /// The copy's directory fails.
    #[error("the copy cannot be written: {0}")]
    Write(#[from] LogError),
}

impl FutureLog {
    /// Opens a copy that was begun, or begins one in this directory. Blocks.
    ///
    /// # Errors
    /// As [`PartitionLog::open`].
    pub fn open(
        log_dir: &Arc<LogDir>,
        partition: &TopicPartition,
        name: &str,
        options: OpenOptions,
    ) -> Result<Self, LogError> {
        let dir = PartitionDir::named(log_dir, name);
        let (log, _report) = PartitionLog::open_in(dir, partition, options)?;
        // What an earlier copy, or the log itself, had here on stable storage is not what this one
        // has: a start would take an unfinished write for damage.
        log.note_durable_end();
        log_dir.write_durable_ends()?;
        Ok(Self { log, log_dir: Arc::clone(log_dir), name: name.to_owned() })
    }

    /// Offset after what was copied.
    #[must_use]
    pub fn log_end(&self) -> Offset {
        self.log.log_end()
    }

    /// Bytes that were copied.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.log.size_bytes()
    }

    /// The name of its directory.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether what is there was copied from this log, as far as the last batches tell: a log that
    /// lost its end in a crash may have other batches there now, of a later leader epoch. Blocks.
    ///
    /// # Errors
    /// When either cannot be read.
    pub fn is_copy_of(&self, original: &LogView, up_to: Offset) -> Result<bool, ReadError> {
        let end = self.log.log_end();
        if self.log.log_start() == end || planted("move-trusts-any-copy") {
            return Ok(true);
        }
        let here = self.log.view();
        let begin = here.segments.first().map_or(end, |first| first.base);
        if end > up_to || end <= original.log_start() || begin > original.log_start() {
            return Ok(false);
        }
        here.check_whole()?;
        let last = |view: &LogView, up_to| {
            let from = Offset(end.get() - 1);
            view.read(&ReadRequest { from, up_to, max_bytes: 1, at_least_one: true })
        };
        let (here, there) = (last(&here, end)?, last(original, up_to)?);
        let header = |batches: &[bytes::Bytes]| {
            let first = batches.first()?;
            let header = BatchHeader::parse(first).ok()?;
            // A batch that was sent again may be at the same offset, behind others than before.
            let epoch = header.partition_leader_epoch;
            Some((header.base_offset, header.last_offset_delta, header.crc, epoch))
        };
        Ok(header(&here.batches).is_some_and(|here| Some(here) == header(&there.batches)))
    }

    /// Copies up to `max_bytes` (at least one batch) of the batches that follow, below `up_to`,
    /// which must be written. On stable storage when it returns. Gives how many bytes; 0: the copy
    /// ends at `up_to`. Blocks.
    ///
    /// # Errors
    /// [`CopyError`]; with [`ReadError::is_replaced`] the same with a fresh view goes on.
    pub fn copy(
        &mut self,
        original: &LogView,
        up_to: Offset,
        max_bytes: usize,
        now: Millis,
    ) -> Result<usize, CopyError> {
        let start = original.log_start();
        let empty = self.log.log_start() == self.log.log_end();
        if self.log.log_end() < start || (empty && self.log.log_end() != up_to) {
            let from = first_offset(original, up_to)?;
            if self.log.log_end() != from {
                mark!("move-begins-anew");
                self.log.truncate_fully_and_start_at(from, now)?;
            }
        }
        let from = self.log.log_end();
        if from >= up_to {
            self.follow_start(start)?;
            return Ok(0);
        }
        let request = ReadRequest { from: from.max(start), up_to, max_bytes, at_least_one: true };
        let fetched = original.read(&request)?;
        for run in &fetched.batches {
            self.log.append_as_replica(run, now)?;
        }
        if fetched.batches.is_empty() {
            mark!("move-skips-what-compaction-took");
            self.log.skip_to(up_to, now)?;
        }
        self.log.flush_now()?;
        self.follow_start(start)?;
        // An end is an end also when only a gap was left.
        Ok(fetched.bytes.max(1))
    }

    /// The log begins later meanwhile.
    fn follow_start(&mut self, start: Offset) -> Result<(), LogError> {
        if start <= self.log.log_end() && self.log.advance_log_start(start) {
            self.log.delete_old_segments(start);
            self.log.flush_now()?;
        }
        Ok(())
    }

    /// Closes the copy and gives its directory the partition's name, on stable storage. The log that
    /// it is a copy of is held. Blocks.
    ///
    /// # Errors
    /// When there is a log of that name, and when the disk fails: then the copy is closed, and the
    /// name not given, or it is not known whether it would be found after a crash.
    pub fn promote(mut self) -> Result<Promoted, LogError> {
        let partition = self.log.partition().clone();
        let (log_start, end) = (self.log.log_start(), self.log.log_end());
        self.log.shut(SyncOn::Open)?;
        self.log_dir.disk().sync_dir(&self.log.dir().path)?;
        self.log_dir.promote(&self.name, &partition)?;
        mark!("move-promotes");
        Ok(Promoted { log_dir: self.log_dir, partition, log_start, end })
    }

    /// Closes it; copying goes on when it is opened again. Blocks.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn close(mut self) -> Result<(), LogError> {
        self.log.shut(SyncOn::Open).map(|_wrote| ())
    }

    /// Removes it: nobody wants it any more. Blocks.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn discard(mut self) -> Result<(), LogError> {
        self.log.retire();
        self.log_dir.remove(&self.name)
    }
}

/// Where the first batch of a log begins: at its start or before.
fn first_offset(original: &LogView, up_to: Offset) -> Result<Offset, CopyError> {
    let start = original.log_start();
    let request = ReadRequest { from: start, up_to, max_bytes: 1, at_least_one: true };
    let first = original.read(&request)?;
    let Some(first) = first.batches.first() else { return Ok(start) };
    let header = BatchHeader::parse(first).map_err(AppendError::from)?;
    Ok(header.base_offset.min(start))
}
