//! Opening what is on disk, by Kafka's rules: a log that was stopped cleanly is trusted, of any
//! other the batches from the recovery point on are read again, up to the first bad one. Must not
//! know what happens to the log afterwards.

mod files;
mod indexes;
mod judge;
mod one_byte;
mod producers;
mod recover;
mod rescan;
mod resume;

use std::sync::Arc;

use bytes::Bytes;
use ottla_env::{DiskError, mark, planted};
use ottla_partition::{EpochCache, ProducerStates};
use ottla_protocol::{LeaderEpoch, Offset, TopicId};

use files::SegmentFiles;
pub(crate) use indexes::{Indexes, look, rebuild};
pub use judge::{Judgement, judge};
use producers::Snapshots;
pub(crate) use producers::{check_aborted, load as producers, remove_snapshots};
use recover::Recovered;
pub(crate) use resume::resume;

use crate::durable_ends;
use crate::error::LogError;
use crate::names;
use crate::partition_log::{Active, OpenOptions, SyncOn};
use crate::partition_metadata;
use crate::scan::{Scan, ScanError};
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

pub(crate) fn load(
    dir: &Arc<PartitionDir>,
    partition: i32,
    options: &OpenOptions,
) -> Result<Loaded, LogError> {
    let disk = dir.disk();
    let mut report = LoadReport::default();
    let metadata = read_text(dir, names::PARTITION_METADATA)?;
    if metadata.is_none() && !disk.exists(&dir.path)? {
        disk.create_dir(&dir.path)?;
        disk.sync_dir(dir.log_dir.path())?;
    }
    let topic_id = topic_id(dir, metadata, options.topic_id)?;
    let entries = files::tidy(dir, &mut report)?;
    let mut snapshots = Snapshots::of(&entries);
    let has_epochs = entries.iter().any(|entry| entry.name == names::LEADER_EPOCHS);
    let written_epochs = if has_epochs { epochs(dir, &mut report)? } else { None };
    let mut epochs = written_epochs.clone();
    let key = topic_id.map(|id| (id, partition));
    let durable = durable_end(dir, key, written_epochs.as_ref());
    let mut files = files::segments(dir, &entries)?;
    drop(entries);
    let found = (options, durable);
    let ended = find_end(dir, &mut files, found, &mut snapshots, &mut epochs, &mut report)?;
    let mut segments: Vec<_> = files.into_iter().map(|f| f.segment).collect();
    let is_new = ended.is_none();
    let recovered = match ended {
        Some(recovered) => recovered,
        None => {
            // Nor is there any producer, whatever an interrupted truncation has left.
            snapshots.remove_all(dir)?;
            let first = Segment::new(dir, options.log_start);
            first.create()?;
            segments.push(Arc::new(first));
            Recovered::nothing(options)
        }
    };
    let log_end = recovered.end;
    let first = segments.first().map_or(Offset::ZERO, |s| s.base);
    let log_start = match planted("log-start-checkpoint-ignored") {
        true => first,
        false => options.log_start.max(first),
    };
    let mut epochs = epochs.unwrap_or_default();
    if !planted("epoch-cache-not-truncated") {
        epochs.truncate_from_end(log_end);
    }
    epochs.truncate_from_start(log_start);
    if written_epochs.unwrap_or_default() != epochs {
        let content = Bytes::from(epochs.encode_checkpoint());
        disk.write_atomically(&dir.path.join(names::LEADER_EPOCHS), content)?;
    }
    let producers = match recovered.states {
        Some(mut states) if !planted("producer-snapshot-beyond-end") => {
            snapshots.remove_strays(dir, &segments, log_end)?;
            states.on_log_start(log_start);
            states
        }
        Some(_) | None => {
            let (rules, range) = (options.producer_rules, (log_start, log_end));
            producers::at_end(dir, &mut snapshots, &segments, range, rules, options.now)?
        }
    };
    // Files are opened again when they are used.
    for segment in &segments {
        segment.close_files();
    }
    let changed = is_new || report.recovered_segments > 0;
    if options.sync == SyncOn::Open && (!options.clean || changed) {
        disk.sync_dir(&dir.path)?;
    }
    let active = recovered.active;
    Ok(Loaded { topic_id, segments, active, epochs, producers, log_start, log_end, report })
}

/// Up to where the log was on stable storage by what its directory's last run noted beside its
/// commits. Only as long as nobody else has led it since: a leader, Apache Kafka too, writes its
/// epoch down before its first batch counts for anything.
fn durable_end(
    dir: &PartitionDir,
    key: Option<durable_ends::Key>,
    written: Option<&EpochCache>,
) -> Option<Offset> {
    let known = dir.log_dir.durable_ends.of(key?)?;
    let latest = written?.latest()?;
    (latest.epoch <= known.epoch).then_some(known.end)
}

/// The end of what there is, and the epochs up to there; `None` when there is nothing any more.
fn find_end(
    dir: &Arc<PartitionDir>,
    files: &mut Vec<SegmentFiles>,
    (options, durable): (&OpenOptions, Option<Offset>),
    snapshots: &mut Snapshots,
    epochs: &mut Option<EpochCache>,
    report: &mut LoadReport,
) -> Result<Option<Recovered>, LogError> {
    if files.is_empty() {
        return Ok(None);
    }
    let are_known = epochs.is_some();
    let mut known = epochs.take().unwrap_or_default();
    let found = (options, durable);
    let recovered = recover::recover(dir, files, found, snapshots, &mut known, report)?;
    if recovered.end < options.log_start {
        recover::check_start(files, recovered.end, options)?;
        begin_anew(dir, files.drain(..), recovered.end, options, report)?;
        return Ok(None);
    }
    let has_batches = files.iter().any(|f| f.len > 0);
    if has_batches && (!are_known || recovered.epochs_behind || lack_last(files, &known)?) {
        note_epochs(files, &mut known)?;
    }
    *epochs = Some(known);
    Ok(Some(recovered))
}

/// Kafka's rule for a log that ends below its start: all of it goes, and it begins there.
fn begin_anew(
    dir: &PartitionDir,
    files: impl DoubleEndedIterator<Item = SegmentFiles>,
    end: Offset,
    options: &OpenOptions,
    report: &mut LoadReport,
) -> Result<(), LogError> {
    mark!("log-begins-anew-at-its-start");
    report.warnings.push(format!(
        "{}: the log ends at {end}, below its start {}; it begins anew there",
        dir.path.display(),
        options.log_start
    ));
    for file in files.rev() {
        report.removed_segments += 1;
        crate::commit::remove(&file.segment, true)?;
    }
    Ok(())
}

/// Whether the last batch is of a later epoch than the file of epochs knows: when there was no space
/// for the file, batches went on.
fn lack_last(files: &[SegmentFiles], epochs: &EpochCache) -> Result<bool, LogError> {
    let Some(last) = files.iter().rfind(|f| f.len > 0).map(|f| &f.segment) else {
        return Ok(false);
    };
    let file = last.log_file()?;
    let from = last.position_before(Offset(i64::MAX))?;
    let mut scan = Scan::new(&*file, from, last.written(), 16 * 1024);
    let mut epoch = LeaderEpoch::NONE;
    loop {
        match scan.next_header() {
            Ok(Some((header, _))) => epoch = header.partition_leader_epoch,
            Ok(None) | Err(ScanError::Bad { .. }) => break,
            Err(ScanError::Disk(error)) => return Err(error.into()),
        }
    }
    Ok(epoch > epochs.latest().map_or(LeaderEpoch::NONE, |latest| latest.epoch))
}

/// Takes the epochs from all batches: the file of epochs is lost, or lacks some.
fn note_epochs(files: &[SegmentFiles], epochs: &mut EpochCache) -> Result<(), LogError> {
    mark!("epochs-from-batches");
    let mut found = EpochCache::new();
    for files in files {
        let file = files.segment.log_file()?;
        let mut scan = Scan::new(&*file, 0, files.segment.written(), 16 * 1024);
        loop {
            match scan.next_header() {
                Ok(Some((header, _))) => {
                    note_epoch(&mut found, header.partition_leader_epoch, header.base_offset);
                }
                // Damage is told of when it is read.
                Ok(None) | Err(ScanError::Bad { .. }) => break,
                Err(ScanError::Disk(error)) => return Err(error.into()),
            }
        }
    }
    // Epochs without batches are known to the file alone.
    for entry in epochs.entries() {
        let is_later = found.latest().is_none_or(|latest| {
            entry.epoch > latest.epoch && entry.start_offset >= latest.start_offset
        });
        if is_later {
            found.assign(entry.epoch, entry.start_offset);
        }
    }
    *epochs = found;
    Ok(())
}

/// What `partition.metadata` says; it is written when it is not there.
fn topic_id(
    dir: &PartitionDir,
    written: Option<String>,
    expected: Option<TopicId>,
) -> Result<Option<TopicId>, LogError> {
    let path = dir.path.join(names::PARTITION_METADATA);
    let Some(text) = written else {
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

/// Reads `leader-epoch-checkpoint`; `None` when there is none that can be read. That is no
/// obstacle: batches carry their epochs.
fn epochs(dir: &PartitionDir, report: &mut LoadReport) -> Result<Option<EpochCache>, LogError> {
    let error = match read_text(dir, names::LEADER_EPOCHS) {
        Ok(None) => return Ok(None),
        Ok(Some(text)) => match EpochCache::decode_checkpoint(&text) {
            Ok(epochs) => return Ok(Some(epochs)),
            Err(error) => error.to_string(),
        },
        Err(LogError::Corrupt { what, .. }) => what,
        Err(error) => return Err(error),
    };
    let path = dir.path.join(names::LEADER_EPOCHS);
    report
        .warnings
        .push(format!("{}: {error}; leader epochs are taken from the batches", path.display()));
    Ok(None)
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
