//! The log of `__cluster_metadata-0`: segments of batches in Kafka's format. What was appended is
//! on disk when `append` returns. Indexes are not written: Kafka rebuilds a metadata log's at each
//! start. Must not know what the batches hold.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ottla_env::{Disk, DiskFile, EntryKind, OpenMode, mark, planted};
use ottla_protocol::{LeaderEpoch, Offset, Uuid};
use ottla_raft::LogEnd;
use ottla_records::Batch;
use tracing::warn;

use crate::error::ControllerError;
use crate::segment::{BatchReader, Found};
use crate::torn;

/// Name of the log's directory.
pub(crate) const DIRECTORY: &str = "__cluster_metadata-0";
const SUFFIX: &str = ".log";
const PARTITION_METADATA: &str = "partition.metadata";
const EPOCHS: &str = "leader-epoch-checkpoint";

/// The log, open for appending.
pub(crate) struct MetadataLog {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Base offsets, in order; the last is appended to.
    segments: Vec<Offset>,
    active: Option<Arc<dyn DiskFile>>,
    position: u64,
    end: LogEnd,
    /// Each epoch in the log with its first offset.
    epochs: Vec<(LeaderEpoch, Offset)>,
    /// There was no space for the file of epochs.
    epochs_unwritten: bool,
}

fn name(base: Offset) -> String {
    format!("{:020}{SUFFIX}", base.get())
}

/// The offset in a file's name.
fn base_of(name: &str) -> Option<Offset> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() == 20).then(|| digits.parse().ok().map(Offset))?
}

impl MetadataLog {
    /// Opens the log and reads all of it: each batch that is good and reaches beyond `from` is
    /// given to `replay`. What is torn at the end is cut off; a fault before that is an error.
    /// `from` is where the newest snapshot ends: a log that does not reach it begins anew there.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        from: LogEnd,
        mut replay: impl FnMut(&Batch<'_>) -> Result<(), ControllerError>,
    ) -> Result<Self, ControllerError> {
        disk.create_dir(dir)?;
        let mut log = Self {
            disk,
            dir: dir.to_owned(),
            segments: Vec::new(),
            active: None,
            position: 0,
            end: LogEnd { epoch: LeaderEpoch(0), offset: Offset::ZERO },
            epochs: Vec::new(),
            epochs_unwritten: false,
        };
        let entries = log.disk.list(dir)?;
        let files = entries.iter().filter(|entry| entry.kind == EntryKind::File);
        log.segments = files.filter_map(|entry| base_of(&entry.name)).collect();
        log.segments.sort_unstable();
        if let Some(first) = log.segments.first() {
            if *first > from.offset {
                return Err(log.damaged(&format!(
                    "it begins at offset {first}, and no snapshot reaches that far"
                )));
            }
            log.end.offset = *first;
        }
        for (index, base) in log.segments.clone().into_iter().enumerate() {
            let last = index + 1 == log.segments.len();
            log.load_segment(base, last, from.offset, &mut replay)?;
        }
        if log.end.offset < from.offset {
            log.restart_at(from)?;
        }
        if log.segments.is_empty() {
            log.begin_segment()?;
        } else if let Some(base) = log.segments.last() {
            let path = log.dir.join(name(*base));
            log.active = Some(log.disk.open(&path, OpenMode::Write)?);
        }
        log.write_small_files()?;
        Ok(log)
    }

    fn damaged(&self, what: &str) -> ControllerError {
        ControllerError::Damaged(format!(
            "the metadata log in {} is damaged: {what}",
            self.dir.display()
        ))
    }

    fn load_segment(
        &mut self,
        base: Offset,
        last: bool,
        from: Offset,
        replay: &mut impl FnMut(&Batch<'_>) -> Result<(), ControllerError>,
    ) -> Result<(), ControllerError> {
        if base != self.end.offset {
            let end = self.end.offset;
            return Err(self.damaged(&format!("{} follows offset {end}", name(base))));
        }
        let path = self.dir.join(name(base));
        let mut reader = BatchReader::open(self.disk.as_ref(), &path)?;
        let torn = loop {
            let batch = match reader.read_batch()? {
                Found::Batch(batch) => batch,
                Found::End => break None,
                Found::Bad(why) => break Some(why),
            };
            let header = batch.header();
            let (first, epoch) = (header.base_offset, header.partition_leader_epoch);
            let next = first.plus(i64::from(header.last_offset_delta).saturating_add(1));
            if first != self.end.offset || next <= first || epoch < self.end.epoch {
                let end = self.end;
                return Err(self.damaged(&format!(
                    "in {} a batch of epoch {epoch} at offset {first} follows epoch {} and offset {}",
                    name(base),
                    end.epoch,
                    end.offset
                )));
            }
            if next > from {
                replay(&batch)?;
            }
            if self.epochs.last().is_none_or(|(known, _)| *known < epoch) {
                self.epochs.push((epoch, first));
            }
            self.end = LogEnd { epoch, offset: next };
        };
        let (good, len) = (reader.position(), reader.len());
        drop(reader);
        self.position = good;
        let Some(why) = torn else { return Ok(()) };
        let file = self.disk.open(&path, OpenMode::Write)?;
        let mut tail = vec![0; usize::try_from(len.saturating_sub(good)).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut tail, good)?;
        if !last || torn::is_damage(&tail, self.end.offset.get()) {
            return Err(self.damaged(&format!("in {} at byte {good}: {why}", name(base))));
        }
        warn!(
            segment = %path.display(),
            bytes = len.saturating_sub(good),
            "the metadata log ends in a write that was not finished: cut off ({why})"
        );
        mark!("metadata-torn-tail");
        file.set_len(good)?;
        file.sync_data()?;
        Ok(())
    }

    /// Throws the log away and begins anew where a snapshot ends.
    fn restart_at(&mut self, from: LogEnd) -> Result<(), ControllerError> {
        for base in std::mem::take(&mut self.segments) {
            self.disk.remove_file(&self.dir.join(name(base)))?;
        }
        self.epochs.clear();
        self.end = from;
        Ok(())
    }

    fn begin_segment(&mut self) -> Result<(), ControllerError> {
        let base = self.end.offset;
        let file = self.disk.open(&self.dir.join(name(base)), OpenMode::CreateEmpty)?;
        if !planted("metadata-segment-dir-not-synced") {
            self.disk.sync_dir(&self.dir)?;
        }
        self.segments.push(base);
        self.active = Some(file);
        self.position = 0;
        Ok(())
    }

    /// `partition.metadata` and the epochs; and without indexes, which this log does not keep up.
    fn write_small_files(&self) -> Result<(), ControllerError> {
        let path = self.dir.join(PARTITION_METADATA);
        if !self.disk.exists(&path)? {
            let text = format!("version: 0\ntopic_id: {}", Uuid::METADATA_TOPIC);
            self.disk.write_atomically(&path, Bytes::from(text))?;
        }
        for base in &self.segments {
            for suffix in [".index", ".timeindex"] {
                let path = self.dir.join(format!("{:020}{suffix}", base.get()));
                if self.disk.exists(&path)? {
                    self.disk.remove_file(&path)?;
                }
            }
        }
        self.write_epochs()
    }

    fn write_epochs(&self) -> Result<(), ControllerError> {
        let mut text = format!("0\n{}\n", self.epochs.len());
        for (epoch, start) in &self.epochs {
            text.push_str(&format!("{epoch} {start}\n"));
        }
        let path = self.dir.join(EPOCHS);
        // A start finds most often what it would write. The log itself says the same, so that
        // nothing is lost with what of the file is not on the disk yet.
        if self.disk.exists(&path)? && self.disk.read(&path)? == text.as_bytes() {
            return Ok(());
        }
        Ok(self.disk.write_atomically(&path, Bytes::from(text))?)
    }

    /// Where the log ends.
    pub(crate) fn end(&self) -> LogEnd {
        self.end
    }

    /// Where the log begins.
    pub(crate) fn start(&self) -> Offset {
        self.segments.first().copied().unwrap_or(Offset::ZERO)
    }

    /// Bytes in the segment that is appended to.
    pub(crate) fn active_bytes(&self) -> u64 {
        self.position
    }

    /// Appends batches that reach to `end`, and waits until they are on disk. When there is no space
    /// for them nothing has changed, and the same may be tried again.
    pub(crate) fn append(&mut self, batches: &[Bytes], end: LogEnd) -> Result<(), ControllerError> {
        let Some(active) = &self.active else { return Err(self.damaged("no segment is open")) };
        active.write_at(batches, self.position)?;
        if !planted("metadata-append-not-synced") {
            active.sync_data()?;
        }
        let bytes: u64 = batches.iter().map(|batch| batch.len() as u64).sum();
        self.position = self.position.saturating_add(bytes);
        if self.epochs.last().is_none_or(|(known, _)| *known < end.epoch) {
            self.epochs.push((end.epoch, self.end.offset));
            self.epochs_unwritten = true;
        }
        self.end = end;
        if self.epochs_unwritten {
            self.write_epochs_if_possible()?;
        }
        Ok(())
    }

    /// Without the space for it the old file stays until the next append: the log itself says the
    /// same.
    fn write_epochs_if_possible(&mut self) -> Result<(), ControllerError> {
        self.epochs_unwritten = true;
        match self.write_epochs() {
            Err(error) if error.is_no_space() => Ok(()),
            other => {
                self.epochs_unwritten = false;
                other
            }
        }
    }

    /// Begins a new segment, so that those before can go.
    pub(crate) fn roll(&mut self) -> Result<(), ControllerError> {
        if self.position > 0 {
            mark!("metadata-rolled");
            match self.begin_segment() {
                // The old one grows until there is space.
                Err(error) if error.is_no_space() => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Removes segments that end at or before `offset`.
    pub(crate) fn remove_before(&mut self, offset: Offset) -> Result<(), ControllerError> {
        while let [first, second, ..] = self.segments[..] {
            if second > offset && !planted("metadata-log-cut-past-snapshot") {
                break;
            }
            mark!("metadata-segment-removed");
            self.disk.remove_file(&self.dir.join(name(first)))?;
            // Names may reach the disk in any order, and a log must not have a hole.
            self.disk.sync_dir(&self.dir)?;
            self.segments.remove(0);
        }
        let start = self.start();
        let kept = self.epochs.iter().rposition(|(_, first)| *first <= start).unwrap_or(0);
        if kept > 0 {
            self.epochs.drain(..kept);
        }
        if let Some((_, first)) = self.epochs.first_mut() {
            *first = start.max(*first);
        }
        self.write_epochs_if_possible()
    }
}
