//! What a partition has queued: writes, new and closed segments, small files, removals; and doing
//! it, in two steps: all writes, then all syncs. Must not know other partitions.

use std::sync::Arc;

use bytes::Bytes;
use ottla_env::{DiskFile, OpenMode, planted};
use ottla_protocol::Offset;

use crate::error::LogError;
use crate::index::{self, Entry, OffsetEntry, TimeEntry};
use crate::names;
use crate::segment::{PartitionDir, Segment};

/// One thing to do, in the order queued.
#[derive(Debug)]
pub(crate) enum Op {
    /// Create the files of a new segment.
    Create(Arc<Segment>),
    /// Write batches to the end of a segment.
    Append { segment: Arc<Segment>, position: u64, len: u64, batches: Vec<Bytes> },
    /// Write the index entries that wait in memory.
    Index(Arc<Segment>),
    /// Write an aborted transaction to the end of the segment's index of them.
    Aborted { segment: Arc<Segment>, entry: Bytes },
    /// The segment gets no more batches: its indexes are written, all of it is synced.
    Seal(Arc<Segment>),
    /// Replace a small file in the partition's directory, atomically.
    Replace { name: &'static str, content: Bytes },
    /// Write a producer snapshot.
    Snapshot { name: String, content: Bytes },
    /// Remove a segment's files, and the producer snapshot at its base.
    Remove { segment: Arc<Segment>, snapshot: bool },
}

/// What one partition has queued up to a moment.
#[derive(Debug)]
pub struct WriteSet {
    pub(crate) dir: Arc<PartitionDir>,
    pub(crate) ops: Vec<Op>,
    /// The log's end at that moment.
    pub(crate) end: Offset,
    /// What is durable afterwards.
    pub(crate) durable_end: Offset,
    /// Whether the batches themselves are synced (`flush.mode`).
    pub(crate) sync_batches: bool,
    /// Files to be synced; kept open since the write, so that no error is missed.
    touched: Vec<Arc<dyn DiskFile>>,
    names_changed: bool,
}

impl WriteSet {
    pub(crate) fn new(dir: &Arc<PartitionDir>, ops: Vec<Op>, end: Offset) -> Self {
        Self {
            dir: Arc::clone(dir),
            ops,
            end,
            durable_end: end,
            sync_batches: true,
            touched: Vec::new(),
            names_changed: false,
        }
    }

    /// Bytes of batches in it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let len = |op: &Op| if let Op::Append { len, .. } = op { *len } else { 0 };
        self.ops.iter().map(len).sum()
    }

    /// Does all writes.
    pub(crate) fn write(&mut self) -> Result<(), LogError> {
        for op in &self.ops {
            match op {
                Op::Create(segment) => {
                    segment.create()?;
                    self.names_changed = true;
                }
                Op::Append { segment, position, len, batches } => {
                    let file = segment.log_file()?;
                    write_batches(&*file, batches, *position)?;
                    segment.on_written(position + len);
                    if self.sync_batches {
                        touch(&mut self.touched, file);
                    }
                }
                Op::Index(segment) => write_index(segment)?,
                Op::Aborted { segment, entry } => {
                    let path = segment.path(names::TXN_INDEX);
                    let file = self.dir.disk().open(&path, OpenMode::Create)?;
                    let len = file.len()?;
                    self.names_changed |= len == 0;
                    file.write_at(std::slice::from_ref(entry), len)?;
                    if self.sync_batches {
                        touch(&mut self.touched, file);
                    }
                }
                Op::Seal(segment) => {
                    write_index(segment)?;
                    if !planted("closed-segment-not-synced") {
                        touch(&mut self.touched, segment.log_file()?);
                    }
                    touch(&mut self.touched, segment.offset_index_file()?);
                    touch(&mut self.touched, segment.time_index_file()?);
                }
                Op::Snapshot { name, content } => {
                    let path = self.dir.path.join(name);
                    let file = self.dir.disk().open(&path, OpenMode::CreateEmpty)?;
                    file.write_at(std::slice::from_ref(content), 0)?;
                    touch(&mut self.touched, file);
                    self.names_changed = true;
                }
                // After the syncs: nothing may go before what replaces it is safe.
                Op::Replace { .. } | Op::Remove { .. } => {}
            }
        }
        Ok(())
    }

    /// The files whose content must be synced now.
    pub(crate) fn take_touched(&mut self) -> Vec<Arc<dyn DiskFile>> {
        std::mem::take(&mut self.touched)
    }

    /// Syncs names and does what comes after the content is safe.
    pub(crate) fn finish(&mut self) -> Result<(), LogError> {
        let disk = self.dir.disk();
        if self.names_changed && !planted("no-dir-sync-after-create") {
            disk.sync_dir(&self.dir.path)?;
        }
        let mut last_replace = None;
        for (i, op) in self.ops.iter().enumerate() {
            if let Op::Replace { name, .. } = op {
                last_replace = Some((i, *name));
            }
        }
        let mut removed = false;
        for (i, op) in self.ops.iter().enumerate() {
            match op {
                Op::Replace { name, content } => {
                    // Only the last of several versions matters.
                    if last_replace == Some((i, *name)) {
                        disk.write_atomically(&self.dir.path.join(name), content.clone())?;
                    }
                }
                Op::Remove { segment, snapshot } => {
                    remove(segment, *snapshot)?;
                    removed = true;
                }
                Op::Create(_)
                | Op::Append { .. }
                | Op::Index(_)
                | Op::Aborted { .. }
                | Op::Seal(_)
                | Op::Snapshot { .. } => {}
            }
        }
        if removed {
            disk.sync_dir(&self.dir.path)?;
        }
        Ok(())
    }

    /// All of it, at once.
    pub(crate) fn run(&mut self) -> Result<(), LogError> {
        self.write()?;
        for file in self.take_touched() {
            file.sync_data()?;
        }
        self.finish()
    }
}

/// The one place where batches go to the disk.
fn write_batches(file: &dyn DiskFile, batches: &[Bytes], position: u64) -> Result<(), LogError> {
    Ok(file.write_bulk_at(batches, position)?)
}

fn touch(touched: &mut Vec<Arc<dyn DiskFile>>, file: Arc<dyn DiskFile>) {
    if !touched.iter().any(|t| Arc::ptr_eq(t, &file)) {
        touched.push(file);
    }
}

/// Writes the index entries that wait in memory.
pub(crate) fn write_index(segment: &Segment) -> Result<(), LogError> {
    let writes = segment.index_writes();
    if !writes.offsets.is_empty() {
        let at = u64::from(writes.offsets_at) * OffsetEntry::BYTES as u64;
        segment
            .offset_index_file()?
            .write_at(&[Bytes::from(index::encode_all(&writes.offsets))], at)?;
    }
    if !writes.times.is_empty() {
        let at = u64::from(writes.times_at) * TimeEntry::BYTES as u64;
        segment
            .time_index_file()?
            .write_at(&[Bytes::from(index::encode_all(&writes.times))], at)?;
    }
    segment.on_index_written(&writes);
    Ok(())
}

fn remove_if_there(segment: &Segment, suffix: &str) -> Result<bool, LogError> {
    match segment.dir.disk().remove_file(&segment.path(suffix)) {
        Ok(()) => Ok(true),
        Err(e) if e.is_not_found() => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Removes a segment's files, the `.log` first: without it the others are known to be orphans.
pub(crate) fn remove(segment: &Segment, snapshot: bool) -> Result<(), LogError> {
    for suffix in [names::LOG, names::OFFSET_INDEX, names::TIME_INDEX, names::TXN_INDEX] {
        remove_if_there(segment, suffix)?;
    }
    if snapshot {
        remove_if_there(segment, names::SNAPSHOT)?;
    }
    segment.close_files();
    Ok(())
}
