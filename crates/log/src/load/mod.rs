//! Opening what is on disk, by Kafka's rules: a log that was stopped cleanly is trusted, of any
//! other the batches from the recovery point on are read again, up to the first bad one. Must not
//! know what happens to the log afterwards.

mod files;
mod producers;
mod recover;
mod resume;

use std::sync::Arc;

use bytes::Bytes;
use ottla_env::{DiskError, mark, planted};
use ottla_partition::{EpochCache, ProducerStates};
use ottla_protocol::{LeaderEpoch, Offset, TopicId};

pub(crate) use producers::{load as producers, remove_snapshots};
pub(crate) use recover::cut_txn_index;
pub(crate) use resume::resume;

use crate::error::LogError;
use crate::names;
use crate::partition_log::{Active, OpenOptions};
use crate::partition_metadata;
use crate::segment::{PartitionDir, Segment};

/// What opening a log found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Segments whose batches were read again.
    pub recovered_segments: usize,
    /// Bytes cut off because they were no valid batches.
    pub truncated_bytes: u64,
    /// Segments removed because they came after a bad batch.
    pub removed_segments: usize,
    /// Each a sentence to log.
    pub warnings: Vec<String>,
}

/// A log as found.
pub(crate) struct Loaded {
    pub(crate) topic_id: Option<TopicId>,
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) active: Active,
    pub(crate) epochs: EpochCache,
    pub(crate) producers: ProducerStates,
    pub(crate) log_start: Offset,
    pub(crate) log_end: Offset,
    pub(crate) report: LoadReport,
}

pub(crate) fn load(dir: &Arc<PartitionDir>, options: &OpenOptions) -> Result<Loaded, LogError> {
    let disk = dir.disk();
    let mut report = LoadReport::default();
    if !disk.exists(&dir.path)? {
        disk.create_dir(&dir.path)?;
        disk.sync_dir(dir.log_dir.path())?;
    }
    let topic_id = topic_id(dir, options.topic_id)?;
    files::tidy(dir, &mut report)?;
    let before = epochs(dir, &mut report)?;
    let mut epochs = before.clone();
    let mut segments = files::segments(dir)?;
    let mut end = recover::recover(&mut segments, options, &mut epochs, &mut report)?;
    if let Some(found) = end.filter(|end| *end < options.log_start) {
        report.warnings.push(format!(
            "{}: the log ends at {found}, below its start {}; it begins anew there",
            dir.path.display(),
            options.log_start
        ));
        mark!("log-begins-anew-at-its-start");
        report.removed_segments += segments.len();
        for segment in segments.drain(..).rev() {
            crate::commit::remove(&segment, true)?;
        }
        epochs.clear();
        remove_snapshots(dir, |_| true)?;
        end = None;
    }
    if end.is_none() {
        let first = Segment::new(dir, options.log_start);
        first.create()?;
        segments.push(Arc::new(first));
    }
    let (active, log_end) = last(&segments, options)?;
    let first = segments.first().map_or(Offset::ZERO, |s| s.base);
    let log_start = match planted("log-start-checkpoint-ignored") {
        true => first,
        false => options.log_start.max(first),
    };
    if !planted("epoch-cache-not-truncated") {
        epochs.truncate_from_end(log_end);
    }
    epochs.truncate_from_start(log_start);
    if epochs != before {
        let content = Bytes::from(epochs.encode_checkpoint());
        disk.write_atomically(&dir.path.join(names::LEADER_EPOCHS), content)?;
    }
    let rules = options.producer_rules;
    let producers = producers::load(dir, &segments, log_start, log_end, rules, options.now)?;
    // Files are opened again when they are used.
    for segment in &segments {
        segment.close_files();
    }
    if !options.clean || end.is_none() || report.recovered_segments > 0 {
        disk.sync_dir(&dir.path)?;
    }
    Ok(Loaded { topic_id, segments, active, epochs, producers, log_start, log_end, report })
}

fn last(segments: &[Arc<Segment>], options: &OpenOptions) -> Result<(Active, Offset), LogError> {
    let last = segments.last();
    assert!(last.is_some(), "a log has at least one segment");
    last.map_or_else(|| Ok((Active::empty(options.now), Offset::ZERO)), |s| resume(s, options.now))
}

/// Reads `partition.metadata`, or writes it.
fn topic_id(dir: &PartitionDir, expected: Option<TopicId>) -> Result<Option<TopicId>, LogError> {
    let path = dir.path.join(names::PARTITION_METADATA);
    let Some(text) = read_text(dir, names::PARTITION_METADATA)? else {
        if let Some(id) = expected {
            dir.disk().write_atomically(&path, Bytes::from(partition_metadata::encode(id)))?;
        }
        return Ok(expected);
    };
    let found = partition_metadata::decode(&text).map_err(|what| LogError::corrupt(&path, what))?;
    match expected {
        Some(expected) if expected != found => {
            Err(LogError::TopicId { path: dir.path.clone(), found, expected })
        }
        Some(_) | None => Ok(Some(found)),
    }
}

/// Reads `leader-epoch-checkpoint`. A damaged one is no obstacle: batches carry their epochs, and
/// those that are read again say so.
fn epochs(dir: &PartitionDir, report: &mut LoadReport) -> Result<EpochCache, LogError> {
    let Some(text) = read_text(dir, names::LEADER_EPOCHS)? else { return Ok(EpochCache::new()) };
    Ok(EpochCache::decode_checkpoint(&text).unwrap_or_else(|error| {
        let path = dir.path.join(names::LEADER_EPOCHS);
        report
            .warnings
            .push(format!("{}: {error}; leader epochs are taken from the batches", path.display()));
        EpochCache::new()
    }))
}

fn read_text(dir: &PartitionDir, name: &str) -> Result<Option<String>, LogError> {
    let path = dir.path.join(name);
    let content = found(dir.disk().read(&path))?;
    let Some(content) = content else { return Ok(None) };
    String::from_utf8(content).map(Some).map_err(|_| LogError::corrupt(&path, "it is no text"))
}

/// `None` for what is not there.
fn found<T>(result: Result<T, DiskError>) -> Result<Option<T>, LogError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Notes the epoch of a batch that is read again.
fn note_epoch(epochs: &mut EpochCache, epoch: LeaderEpoch, base: Offset) {
    if epochs.latest().is_none_or(|latest| epoch > latest.epoch) {
        epochs.assign(epoch, base);
    }
}
