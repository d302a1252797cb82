//! Which segments are trusted, which are read again and from where, and what becomes of what is
//! found: kept, cut off as an unfinished write, or reported as damage (then nothing but indexes
//! has been changed). Must not know how a segment is read, nor how bytes are judged.

use std::sync::Arc;

use ottla_env::{mark, planted};
use ottla_partition::{EpochCache, ProducerStates};
use ottla_protocol::Offset;

use super::files::SegmentFiles;
use super::judge::{Judgement, is_one_byte, judge, offset_is_torn};
use super::producers::Snapshots;
use super::rescan::{self, Bad, Begin, Scanned};
use super::{LoadReport, found, producers, resume};
use crate::config::FlushMode;
use crate::error::LogError;
use crate::names::{self, LOG};
use crate::partition_log::{Active, OpenOptions, SyncOn};
use crate::segment::{Found, PartitionDir, Segment};

/// More than is committed in the time in which a log's durable end is not written down. When more
/// was appended since, what is known of it is old.
const NEAR_BYTES: u64 = 64 << 20;

/// The log's end as recovered.
pub(super) struct Recovered {
    pub(super) end: Offset,
    pub(super) active: Active,
    /// At the end, when batches were read again.
    pub(super) states: Option<ProducerStates>,
    /// Batches have epochs that the file of epochs does not.
    pub(super) epochs_behind: bool,
}

/// Brings the log to an end that can be appended to. `files` has at least one segment.
pub(super) fn recover(
    dir: &Arc<PartitionDir>,
    files: &mut Vec<SegmentFiles>,
    (options, durable): (&OpenOptions, Option<Offset>),
    snapshots: &mut Snapshots,
    epochs: &mut EpochCache,
    report: &mut LoadReport,
) -> Result<Recovered, LogError> {
    let recovered = match options.clean {
        true => trust(dir, files, options)?,
        false => read_again(dir, files, (options, durable), snapshots, epochs, report)?,
    };
    // Below the log's start nothing is missing: it was deleted.
    if recovered.end < options.recovery_point
        && options.recovery_point > options.log_start
        && let Some(last) = files.last()
    {
        let to = options.recovery_point.plus(-1);
        let what = format!("the log ends at offset {}", recovered.end);
        return Err(damaged(&last.segment, recovered.active.size, what, recovered.end, Some(to)));
    }
    Ok(recovered)
}

/// After a clean stop everything was on stable storage: only the last segment's end is looked at.
fn trust(
    dir: &Arc<PartitionDir>,
    files: &[SegmentFiles],
    options: &OpenOptions,
) -> Result<Recovered, LogError> {
    mark!("clean-start");
    let Some((last, before)) = files.split_last() else { return Ok(Recovered::nothing(options)) };
    let segment = &last.segment;
    if last.is_untouched() {
        return Ok(untouched(segment, options));
    }
    segment.look_as_last()?;
    match resume(segment, options.now) {
        Ok((active, end)) => {
            if last.has_txn_index && !rescan::aborted_is_sound(segment)? {
                let path = segment.path(names::TXN_INDEX);
                let indexed = found(dir.disk().read(&path))?.unwrap_or_default();
                let before = before.iter().map(|f| &f.segment);
                producers::check_aborted(dir, before, segment, &indexed)?;
            }
            Ok(Recovered { end, active, states: None, epochs_behind: false })
        }
        Err(LogError::Corrupt { .. }) => {
            // Read by the front, to tell exactly where and what.
            let mut states = ProducerStates::new(options.producer_rules, segment.base);
            let mut epochs = EpochCache::new();
            let all = OpenOptions { recovery_point: Offset::ZERO, ..options.clone() };
            let from = Begin::FRONT;
            let extent = (last.len, None);
            let scanned = rescan::scan(segment, extent, &all, from, &mut states, &mut epochs)?;
            let bad = scanned.bad.clone().unwrap_or_else(|| Bad {
                position: scanned.valid,
                what: "the file has changed while it was read".into(),
                whole: true,
            });
            Err(report_damage(last, &scanned, &bad)?)
        }
        Err(error) => Err(error),
    }
}

/// A last segment whose files are as they were created: nothing of them is read.
fn untouched(segment: &Segment, options: &OpenOptions) -> Recovered {
    segment.set_found(&Found::default());
    Recovered { end: segment.base, ..Recovered::nothing(options) }
}

/// Reads again what lies above the recovery point.
fn read_again(
    dir: &Arc<PartitionDir>,
    files: &mut Vec<SegmentFiles>,
    (options, durable): (&OpenOptions, Option<Offset>),
    snapshots: &mut Snapshots,
    epochs: &mut EpochCache,
    report: &mut LoadReport,
) -> Result<Recovered, LogError> {
    // As in Kafka the segment that holds the recovery point is the first that is read again.
    let floor =
        files.partition_point(|f| f.segment.base <= options.recovery_point).saturating_sub(1);
    let sync = options.sync == SyncOn::Open;
    let mut recovered = Recovered::nothing(options);
    let mut states = None;
    let mut unsure = Unsure { durable, bytes: 0, is_last: false };
    let mut next = floor;
    while let Some(at) = files.get(next).cloned() {
        let before = files.get(..next).unwrap_or_default();
        if at.is_untouched() {
            next += 1;
            let known = match states.take() {
                Some(states) => states,
                None => {
                    let base = at.segment.base;
                    producers::newest(dir, snapshots, before, (base, base), options)?
                }
            };
            let epochs_behind = recovered.epochs_behind;
            recovered = Recovered { epochs_behind, ..untouched(&at.segment, options) };
            states = Some(known);
            continue;
        }
        let (begin, mut known) = match states.take() {
            Some(states) => (Begin::FRONT, states),
            None => begin(dir, snapshots, before, &at, options)?,
        };
        next += 1;
        let extent = (at.len, files.get(next).map(|f| f.segment.base));
        let mut scanned = rescan::scan(&at.segment, extent, options, begin, &mut known, epochs)?;
        recovered.epochs_behind |= scanned.epochs_behind;
        unsure.bytes += scanned.bytes_from(&at.segment, durable);
        unsure.is_last = next >= files.len();
        if let Some(bad) = scanned.bad.clone() {
            if !is_torn(&at, &scanned, &bad, options, unsure)? {
                return Err(report_damage(&at, &scanned, &bad)?);
            }
            cut(files, next, &at, &scanned, &bad, report)?;
        }
        scanned.write(&at.segment, sync)?;
        report.recovered_segments += 1;
        recovered.end = scanned.next_offset;
        if next >= files.len() {
            recovered.active = scanned.active(&at.segment, options.now)?;
        }
        states = Some(known);
    }
    recovered.states = states;
    Ok(recovered)
}

/// Where to begin in the first segment that is read again, and the producers there.
fn begin(
    dir: &Arc<PartitionDir>,
    snapshots: &mut Snapshots,
    before: &[SegmentFiles],
    at: &SegmentFiles,
    options: &OpenOptions,
) -> Result<(Begin, ProducerStates), LogError> {
    let segment = &at.segment;
    if at.len == 0 || options.recovery_point <= segment.base {
        let at_base = (segment.base, segment.base);
        return Ok((Begin::FRONT, producers::newest(dir, snapshots, before, at_base, options)?));
    }
    let from_front = at.has_txn_index && !rescan::aborted_is_sound(segment)?;
    let limit = if from_front { segment.base } else { options.recovery_point };
    let states = producers::newest(dir, snapshots, before, (segment.base, limit), options)?;
    let begin = rescan::begin(segment, at.len, limit.min(states.end_offset()))?;
    Ok((begin, states))
}

/// What was committed since the log's durable end was last written down, and whether that is known.
#[derive(Clone, Copy, Debug)]
struct Unsure {
    durable: Option<Offset>,
    /// Bytes of sound batches from there on.
    bytes: u64,
    /// No segment is behind: one that has been closed was whole.
    is_last: bool,
}

impl Unsure {
    /// Whether what a crash left can only begin near by: then any content is that of sectors which
    /// were not written.
    fn is_near(self) -> bool {
        self.durable.is_some() && self.bytes <= NEAR_BYTES && self.is_last
    }
}

/// Whether the log may be cut at a bad batch: what is there was never acknowledged.
fn is_torn(
    at: &SegmentFiles,
    scanned: &Scanned,
    bad: &Bad,
    options: &OpenOptions,
    unsure: Unsure,
) -> Result<bool, LogError> {
    let below = options.recovery_point.max(unsure.durable.unwrap_or(Offset::ZERO));
    if scanned.next_offset < below {
        return Ok(false);
    }
    let nothing_was_promised = options.config.flush_mode == FlushMode::Os;
    let file = at.segment.log_file()?;
    if bad.whole {
        return Ok(offset_is_torn(&*file, at.len, bad.position, scanned.next_offset)?);
    }
    Ok(match judge(&*file, at.len, bad.position, scanned.next_offset)? {
        Judgement::Torn => true,
        Judgement::Damaged { next: None } if nothing_was_promised => true,
        Judgement::Damaged { .. } if nothing_was_promised || !unsure.is_near() => false,
        Judgement::Damaged { next } => {
            let replaced = !is_one_byte(&*file, at.len, bad.position, next.map(|(_, at)| at))?;
            if replaced {
                mark!("recover-torn-by-other-content");
            }
            replaced
        }
    })
}

/// Cuts the log at a bad batch: removes the segments behind, and what follows in this one.
fn cut(
    files: &mut Vec<SegmentFiles>,
    next: usize,
    at: &SegmentFiles,
    scanned: &Scanned,
    bad: &Bad,
    report: &mut LoadReport,
) -> Result<(), LogError> {
    let path = at.segment.path(LOG);
    let path = path.display();
    report.warnings.push(format!(
        "{path}: at byte {}, {}; an unfinished write: the log is cut at offset {}",
        bad.position, bad.what, scanned.next_offset
    ));
    report.truncated_bytes += at.len - scanned.valid;
    // From the end, one by one, and the cut last: what a crash leaves is a log without a hole.
    let dir = &at.segment.dir;
    while files.len() > next
        && let Some(later) = files.pop()
    {
        report.truncated_bytes += later.len;
        report.removed_segments += 1;
        mark!("recover-removes-later-segment");
        crate::commit::remove(&later.segment, true)?;
        dir.disk().sync_dir(&dir.path)?;
    }
    if planted("keep-torn-tail") {
        return Ok(());
    }
    mark!("recover-torn-tail");
    let file = at.segment.log_file()?;
    file.set_len(scanned.valid)?;
    // Also where the host syncs later: what is appended next may not meet what was cut.
    Ok(file.sync_data()?)
}

fn report_damage(at: &SegmentFiles, scanned: &Scanned, bad: &Bad) -> Result<LogError, LogError> {
    mark!("recover-damage");
    let file = at.segment.log_file()?;
    let judged = judge(&*file, at.len, bad.position, scanned.next_offset)?;
    let to = match judged {
        Judgement::Damaged { next: Some((offset, _)) } if offset > scanned.next_offset => {
            Some(offset.plus(-1))
        }
        Judgement::Damaged { .. } | Judgement::Torn => None,
    };
    Ok(damaged(&at.segment, bad.position, bad.what.clone(), scanned.next_offset, to))
}

/// A log that ends below its start: the start is never written down before what it lies behind is
/// durable, so one of the two has been damaged. With `flush.mode=os` it happens.
pub(super) fn check_start(
    files: &[SegmentFiles],
    end: Offset,
    options: &OpenOptions,
) -> Result<(), LogError> {
    let something_is_there = files.iter().any(|f| f.len > 0);
    let Some(last) = files.last().filter(|_| something_is_there) else { return Ok(()) };
    if options.config.flush_mode == FlushMode::Os {
        return Ok(());
    }
    let what = format!("the log ends at offset {end}, below its start {}", options.log_start);
    Err(damaged(&last.segment, last.len, what, end, Some(options.log_start.plus(-1))))
}

fn damaged(
    segment: &Segment,
    position: u64,
    what: String,
    from: Offset,
    to: Option<Offset>,
) -> LogError {
    LogError::Damaged {
        dir: segment.dir.path.clone(),
        file: names::file(segment.base, LOG),
        position,
        what,
        from,
        to,
    }
}

impl Recovered {
    /// A log without segments.
    pub(super) fn nothing(options: &OpenOptions) -> Self {
        Self {
            end: options.log_start,
            active: Active::empty(options.now),
            states: None,
            epochs_behind: false,
        }
    }
}
