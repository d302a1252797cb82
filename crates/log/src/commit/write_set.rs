//! What a partition has queued: writes, new and closed segments, small files, removals; and doing
//! it, in two steps: all writes, then all syncs. Must not know other partitions.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use ottla_env::{DiskFile, OpenMode, mark, planted};
use ottla_protocol::{Millis, Offset};

use crate::error::LogError;
use crate::index::{self, Entry, OffsetEntry, TimeEntry};
use crate::names;
use crate::segment::{PartitionDir, Segment};

/// What belongs to a segment; the `.log` first: without it the others are known to be orphans.
const BURIED: [&str; 5] =
    [names::LOG, names::OFFSET_INDEX, names::TIME_INDEX, names::TXN_INDEX, names::SNAPSHOT];

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
    /// Write a producer snapshot; when it is safe, an older one goes.
    Snapshot { name: String, content: Bytes, instead_of: Option<String> },
    /// Remove a segment's files, and the producer snapshot at its base.
    Remove { segment: Arc<Segment>, snapshot: bool },
    /// Put a segment and the producer snapshot at its base aside, to be removed after `delay`:
    /// the log begins after it, and that is on stable storage already.
    Bury { segment: Arc<Segment>, delay: Millis },
}

impl Op {
    /// The segment that it takes away.
    pub(crate) fn into_removed(self) -> Option<Arc<Segment>> {
        match self {
            Self::Remove { segment, .. } | Self::Bury { segment, .. } => Some(segment),
            Self::Create(_)
            | Self::Append { .. }
            | Self::Index(_)
            | Self::Aborted { .. }
            | Self::Seal(_)
            | Self::Replace { .. }
            | Self::Snapshot { .. } => None,
        }
    }
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
    /// The last segment, when there are batches that were written before and not synced: they are
    /// in it, or in one that this set closes, which is synced then.
    pub(crate) sync_active: Option<Arc<Segment>>,
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
            sync_active: None,
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

    /// Whether there is nothing to do in it but to write to the ends of files.
    pub(crate) fn only_writes(&self) -> bool {
        let write = |op: &Op| matches!(op, Op::Append { .. } | Op::Index(_) | Op::Aborted { .. });
        !self.sync_batches && self.ops.iter().all(write)
    }

    /// Does all writes.
    pub(crate) fn write(&mut self) -> Result<(), LogError> {
        let mut closed: Vec<Arc<dyn DiskFile>> = Vec::new();
        let mut created = false;
        for op in &self.ops {
            match op {
                Op::Create(segment) => {
                    // A segment is whole and safe before there is one behind it, whatever of this
                    // set a power cut leaves: recovery counts on that, and that of Apache Kafka,
                    // which trusts the indexes of all segments but the one of the recovery point.
                    for file in closed.drain(..) {
                        file.sync_data()?;
                        self.touched.retain(|touched| !Arc::ptr_eq(touched, &file));
                    }
                    if created {
                        self.dir.disk().sync_dir(&self.dir.path)?;
                    }
                    segment.create()?;
                    created = true;
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
                    // With `flush.mode=os` it was not synced with the batches.
                    let mut files = Vec::new();
                    touch_aborted(&mut files, segment)?;
                    files.push(segment.offset_index_file()?);
                    files.push(segment.time_index_file()?);
                    if !planted("closed-segment-not-synced") {
                        files.push(segment.log_file()?);
                    }
                    for file in &files {
                        touch(&mut self.touched, Arc::clone(file));
                    }
                    if planted("closed-indexes-synced-late") {
                        files.drain(..files.len() - 1);
                    }
                    closed = files;
                }
                Op::Snapshot { name, content, .. } => {
                    let path = self.dir.path.join(name);
                    let file = self.dir.disk().open(&path, OpenMode::CreateEmpty)?;
                    file.write_at(std::slice::from_ref(content), 0)?;
                    touch(&mut self.touched, file);
                    self.names_changed = true;
                }
                // After the syncs: nothing may go before what replaces it is safe.
                Op::Replace { .. } | Op::Remove { .. } | Op::Bury { .. } => {}
            }
        }
        // Only now, as it may be of this set.
        if let Some(segment) = &self.sync_active {
            touch(&mut self.touched, segment.log_file()?);
            touch_aborted(&mut self.touched, segment)?;
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
                        replace(&self.dir, name, content)?;
                    }
                }
                Op::Remove { segment, snapshot } => {
                    remove(segment, *snapshot)?;
                    removed = true;
                }
                Op::Bury { segment, delay } => {
                    bury(segment, *delay)?;
                    removed = true;
                }
                Op::Snapshot { instead_of: Some(old), .. } => {
                    match disk.remove_file(&self.dir.path.join(old)) {
                        Err(e) if !e.is_not_found() => return Err(e.into()),
                        Ok(()) | Err(_) => {}
                    }
                }
                Op::Seal(segment) => segment.set_sealed(true),
                Op::Create(_)
                | Op::Append { .. }
                | Op::Index(_)
                | Op::Aborted { .. }
                | Op::Snapshot { .. } => {}
            }
        }
        if removed {
            disk.sync_dir(&self.dir.path)?;
        }
        Ok(())
    }

    /// There is no space for it: closes what it wrote to, and still puts aside what is not needed
    /// any more, which makes room.
    pub(crate) fn abandon(&mut self) -> Result<(), LogError> {
        self.touched.clear();
        self.ops.iter().try_for_each(|op| match op {
            Op::Bury { segment, delay } => bury(segment, *delay),
            Op::Create(_)
            | Op::Append { .. }
            | Op::Index(_)
            | Op::Aborted { .. }
            | Op::Seal(_)
            | Op::Snapshot { .. }
            | Op::Replace { .. }
            | Op::Remove { .. } => Ok(()),
        })
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

/// The segment's index of aborted transactions, if it has one, is to be synced.
fn touch_aborted(touched: &mut Vec<Arc<dyn DiskFile>>, segment: &Segment) -> Result<(), LogError> {
    match segment.dir.disk().open(&segment.path(names::TXN_INDEX), OpenMode::Write) {
        Ok(file) => touch(touched, file),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
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

/// Replaces a small file of a partition's directory. Without the space for it the old one stays,
/// and [`crate::PartitionLog`] tries again with its next commit.
fn replace(dir: &PartitionDir, name: &str, content: &Bytes) -> Result<(), LogError> {
    match dir.disk().write_atomically(&dir.path.join(name), content.clone()) {
        Err(error) if LogError::from(error.clone()).is_no_space() => {
            mark!("small-file-without-space");
            dir.stale.store(true, Ordering::Release);
            Ok(())
        }
        other => Ok(other?),
    }
}

/// Gives a segment's files, and the producer snapshot at its base, the ending `.deleted`, and
/// leaves their removal to [`crate::LogDir::remove_buried`]. Readers that have them open go on;
/// others find that they are gone.
pub(crate) fn bury(segment: &Arc<Segment>, delay: Millis) -> Result<(), LogError> {
    let disk = segment.dir.disk();
    let mut buried = Vec::new();
    for suffix in BURIED {
        let path = segment.path(suffix);
        let mut to = path.clone().into_os_string();
        to.push(names::DELETED);
        let to = PathBuf::from(to);
        match disk.rename(&path, &to) {
            Ok(()) => buried.push(to),
            Err(e) if e.is_not_found() => {}
            // A directory can need a block for a longer name.
            Err(e) if LogError::from(e.clone()).is_no_space() => {
                remove_if_there(segment, suffix)?;
            }
            Err(e) => return Err(e.into()),
        }
    }
    segment.close_files();
    segment.dir.log_dir.bury(segment, buried, delay);
    Ok(())
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
