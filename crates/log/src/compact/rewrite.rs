//! The segment that takes the place of others: batches are gathered and written in large pieces,
//! its indexes made as they come. Must not know what is kept.

use std::sync::Arc;

use bytes::Bytes;
use ottla_env::{DiskFile, OpenMode, planted};
use ottla_records::BatchHeader;

use crate::commit::write_index;
use crate::error::LogError;
use crate::index::{OffsetEntry, TimeEntry};
use crate::names;
use crate::segment::{Largest, Segment};
use crate::txn_index::AbortedTransaction;

/// Index entries that wait before they are written.
const INDEX_ENTRIES_MAX: usize = 512;

/// A segment in the making: its files end in `.cleaned`.
pub(super) struct Output {
    segment: Arc<Segment>,
    file: Arc<dyn DiskFile>,
    interval: u64,
    /// What is not written yet.
    buffer: Vec<u8>,
    buffer_bytes: usize,
    /// Bytes in all.
    position: u64,
    since_index: u64,
    largest: Largest,
    last_time_entry: i64,
    aborted: Vec<u8>,
    /// There is an index of aborted transactions, be it empty.
    has_aborted: bool,
}

impl Output {
    /// Begins a segment; `with_aborted` when one of those that it replaces has an index of aborted
    /// transactions, which must not outlive them.
    pub(super) fn create(
        segment: &Arc<Segment>,
        interval: u32,
        buffer_bytes: usize,
        with_aborted: bool,
    ) -> Result<Self, LogError> {
        segment.create()?;
        Ok(Self {
            file: segment.log_file()?,
            segment: Arc::clone(segment),
            interval: u64::from(interval),
            buffer: Vec::new(),
            buffer_bytes: buffer_bytes.max(4096),
            position: 0,
            since_index: 0,
            largest: Largest::NONE,
            last_time_entry: -1,
            aborted: Vec::new(),
            has_aborted: with_aborted,
        })
    }

    /// Adds a batch. Returns how many bytes that wrote.
    pub(super) fn push(&mut self, header: &BatchHeader, bytes: &[u8]) -> Result<u64, LogError> {
        if header.max_timestamp.0 > self.largest.timestamp {
            self.largest =
                Largest { timestamp: header.max_timestamp.0, offset: header.last_offset() };
        }
        if self.since_index > self.interval {
            self.since_index = 0;
            self.index(header)?;
        }
        self.buffer.extend_from_slice(bytes);
        self.position += bytes.len() as u64;
        self.since_index += bytes.len() as u64;
        if i32::try_from(self.position).is_err() {
            let what = "its segments grow beyond 2 GiB when they are compacted";
            return Err(LogError::corrupt(&self.segment.path(names::LOG), what));
        }
        if self.buffer.len() >= self.buffer_bytes { self.flush() } else { Ok(0) }
    }

    pub(super) fn push_aborted(&mut self, entry: &AbortedTransaction) {
        self.aborted.extend(entry.encode());
        self.has_aborted = true;
    }

    fn index(&mut self, header: &BatchHeader) -> Result<(), LogError> {
        let relative = self.segment.relative(header.last_offset());
        let position = u32::try_from(self.position).ok();
        let entry = relative.zip(position);
        let entry = entry.map(|(relative, position)| OffsetEntry { relative, position });
        let time = self.time_entry();
        if self.segment.push_entries(entry, time) >= INDEX_ENTRIES_MAX {
            write_index(&self.segment)?;
        }
        Ok(())
    }

    fn time_entry(&mut self) -> Option<TimeEntry> {
        if self.largest.timestamp <= self.last_time_entry {
            return None;
        }
        self.last_time_entry = self.largest.timestamp;
        let relative = self.segment.relative(self.largest.offset)?;
        Some(TimeEntry { timestamp: self.largest.timestamp, relative })
    }

    fn flush(&mut self) -> Result<u64, LogError> {
        if self.buffer.is_empty() {
            return Ok(0);
        }
        let bytes = Bytes::from(std::mem::take(&mut self.buffer));
        let len = bytes.len() as u64;
        let slices = [bytes];
        self.file.write_bulk_at(&slices, self.position - len)?;
        let [bytes] = slices;
        // The memory is used again.
        if let Ok(bytes) = bytes.try_into_mut() {
            self.buffer = Vec::from(bytes);
            self.buffer.clear();
        }
        self.segment.on_written(self.position);
        Ok(len)
    }

    /// Writes what is left and syncs all files. Their names are not durable yet. `modified_ms` is
    /// when the last of the replaced files was changed: for records without timestamps retention
    /// goes by that.
    pub(super) fn finish(mut self, modified_ms: Option<i64>) -> Result<Finished, LogError> {
        self.flush()?;
        let last = self.time_entry();
        self.segment.push_entries(None, last);
        write_index(&self.segment)?;
        self.segment.set_largest(self.largest);
        let segment = self.segment;
        if self.has_aborted {
            let path = segment.path(names::TXN_INDEX);
            let file = segment.dir.disk().open(&path, OpenMode::CreateEmpty)?;
            file.write_at(&[Bytes::from(self.aborted)], 0)?;
            file.sync_data()?;
        }
        let files = [self.file, segment.offset_index_file()?, segment.time_index_file()?];
        for (at, file) in files.into_iter().enumerate() {
            if let Some(ms) = modified_ms {
                file.set_modified_ms(ms)?;
            }
            let is_index = at > 0;
            let unsynced = planted("cleaned-not-synced")
                || (is_index && planted("cleaned-indexes-not-synced"));
            if !unsynced {
                file.sync_data()?;
            }
        }
        segment.set_sealed(true);
        // They are opened again by the names that they will have.
        segment.close_files();
        Ok(Finished { segment, has_aborted: self.has_aborted })
    }
}

/// A segment whose content is on stable storage, under names that end in `.cleaned`.
pub(super) struct Finished {
    pub(super) segment: Arc<Segment>,
    pub(super) has_aborted: bool,
}
