//! One partition's directory: every file by itself and against the log. Must not know other
//! partitions.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_env::{Disk, EntryKind};
use ottla_log::{OffsetEntry, TimeEntry, TopicPartition, file_name, parse_dir, producer_batch};
use ottla_partition::{CompletedTxn, EpochCache, ProducerRules, ProducerStates};
use ottla_protocol::{Millis, Offset};
use ottla_records::{Batch, Scratch};

use super::chain::{Chain, Gap};
use super::finding::{Finding, Report, Severity};
use super::producers::Snapshots;
use super::{Checkpoints, VerifyOptions, metadata, small, txn};
use crate::error::InspectError;
use crate::indexes;
use crate::indexes::judge::{Judged, OffsetJudge, TimeJudge};
use crate::kind::{CLEANER_CHECKPOINT, Kind};
use crate::plan::start::{METADATA_DIR, Start};
use crate::walk::{Found, Hole, Walk};

/// What is known while a partition is walked through.
struct Looking<'a, 'r, 'o> {
    disk: &'a Arc<dyn Disk>,
    dir: &'a Path,
    partition: Option<TopicPartition>,
    checkpoints: Option<&'a Checkpoints>,
    options: VerifyOptions,
    report: &'a mut Report<'r, 'o>,
    chain: Chain,
    epochs: Option<EpochCache>,
    states: ProducerStates,
    snapshots: Snapshots,
    first: Offset,
    /// Where the log begins, as far as that is known.
    log_start: Option<Offset>,
    gaps: Vec<(PathBuf, u64, Gap)>,
    holes: Vec<(PathBuf, Hole, Offset, String)>,
    scratch: Scratch,
}

pub(super) fn verify(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    checkpoints: Option<&Checkpoints>,
    options: VerifyOptions,
    report: &mut Report<'_, '_>,
) -> Result<(), InspectError> {
    report.tally.partitions += 1;
    let mut bases = Vec::new();
    let mut snapshots = Vec::new();
    for entry in disk.list(dir)? {
        let path = dir.join(&entry.name);
        if entry.kind != EntryKind::File {
            report.found(&Finding::new(
                Severity::Note,
                &path,
                "it is no file",
                "brokers pass it over",
            ))?;
            continue;
        }
        let kind = Kind::of(&entry.name);
        match kind {
            Kind::Log(base) => bases.push(base),
            Kind::Snapshot(offset) => snapshots.push((offset, path)),
            Kind::MetadataSnapshot => {
                for finding in metadata::snapshot(disk.as_ref(), &path)? {
                    report.found(&finding)?;
                }
            }
            Kind::OffsetIndex(_)
            | Kind::TimeIndex(_)
            | Kind::TxnIndex(_)
            | Kind::LeaderEpochs
            | Kind::PartitionMetadata
            | Kind::OffsetCheckpoint
            | Kind::MetaProperties
            | Kind::CleanShutdown
            | Kind::QuorumState
            | Kind::Passing
            | Kind::Other => small::verify(disk.as_ref(), &path, kind, report)?,
        }
    }
    bases.sort_unstable();
    orphans(disk.as_ref(), dir, &bases, report)?;
    let (snapshots, unreadable) = Snapshots::read(disk.as_ref(), snapshots)?;
    for finding in unreadable {
        report.found(&finding)?;
    }
    let epochs = epochs(disk.as_ref(), dir, report)?;
    let first = bases.first().copied().unwrap_or_default();
    let name = dir.file_name().map(|name| name.to_string_lossy().into_owned());
    let partition = name.and_then(|name| parse_dir(&name)).map(|(partition, _)| partition);
    let rules = ProducerRules { expiration: Millis(i64::MAX), verify_transactions: false };
    let log_start = partition.as_ref().zip(checkpoints).map(|(partition, points)| {
        points.get("log-start-offset-checkpoint", partition).unwrap_or(first)
    });
    let mut looking = Looking {
        disk,
        dir,
        partition,
        checkpoints,
        options,
        report,
        chain: Chain::default(),
        epochs,
        states: ProducerStates::new(rules, first),
        snapshots,
        first,
        log_start,
        gaps: Vec::new(),
        holes: Vec::new(),
        scratch: Scratch::new(),
    };
    looking.snapshots.seed(&mut looking.states, first);
    let count = bases.len();
    for (i, base) in bases.into_iter().enumerate() {
        looking.segment(base, i + 1 == count)?;
    }
    looking.finish()
}

/// Indexes without a log.
fn orphans(
    disk: &dyn Disk,
    dir: &Path,
    bases: &[Offset],
    report: &mut Report<'_, '_>,
) -> Result<(), InspectError> {
    for entry in disk.list(dir)? {
        let kind = Kind::of(&entry.name);
        let index = matches!(kind, Kind::OffsetIndex(_) | Kind::TimeIndex(_) | Kind::TxnIndex(_));
        if index && kind.offset().is_some_and(|base| bases.binary_search(&base).is_err()) {
            report.found(&Finding::new(
                Severity::Repairable,
                &dir.join(&entry.name),
                "the log that it belongs to is missing",
                "a start removes it; if the log was lost, its records are",
            ))?;
        }
    }
    Ok(())
}

/// `leader-epoch-checkpoint`, when it is there and can be read.
fn epochs(
    disk: &dyn Disk,
    dir: &Path,
    report: &mut Report<'_, '_>,
) -> Result<Option<EpochCache>, InspectError> {
    let path = dir.join("leader-epoch-checkpoint");
    if !disk.exists(&path)? {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&disk.read(&path)?).into_owned();
    match EpochCache::decode_checkpoint(&text) {
        Ok(cache) => Ok(Some(cache)),
        Err(error) => {
            report.found(&Finding::new(
                Severity::Repairable,
                &path,
                error.to_string(),
                "epochs are taken from the batches that a start reads again",
            ))?;
            Ok(None)
        }
    }
}

/// The walkers that look at a segment's indexes while its batches pass.
struct Judges {
    offsets: OffsetJudge,
    times: TimeJudge,
}

impl Looking<'_, '_, '_> {
    fn is_metadata(&self) -> bool {
        self.dir.file_name().is_some_and(|name| name == METADATA_DIR)
    }

    fn segment(&mut self, base: Offset, is_last: bool) -> Result<(), InspectError> {
        let path = self.dir.join(file_name(base, ".log"));
        if let Some(next) = self.chain.next.filter(|next| base < *next) {
            let what = format!("it begins at offset {base}, and the segment before ends at {next}");
            let meaning = "readers may be given offsets twice";
            self.report.found(&Finding::new(Severity::Damage, &path, what, meaning))?;
        }
        let interval = self.options.start.index_interval_bytes;
        let index = |suffix: &str| self.dir.join(file_name(base, suffix));
        let (offsets, times) = (index(".index"), index(".timeindex"));
        let disk = self.disk.as_ref();
        let mut judges = Judges {
            offsets: OffsetJudge::new(
                base,
                indexes::open::<OffsetEntry>(disk, &offsets)?,
                interval,
            )?,
            times: TimeJudge::new(base, indexes::open::<TimeEntry>(disk, &times)?, interval)?,
        };
        let missing = (!disk.exists(&offsets)?, !disk.exists(&times)?);
        let mut walk = Walk::open(disk, &path)?;
        let mut ended = Vec::new();
        let end = self.walk(&path, base, &mut walk, &mut judges, &mut ended)?;
        self.report.tally.bytes += walk.end();
        let (judged_offsets, _) = judges.offsets.finish(end)?;
        let (judged_times, largest_named) = judges.times.finish()?;
        self.index(&offsets, missing.0, &judged_offsets)?;
        self.index(&times, missing.1, &judged_times)?;
        if !largest_named && !missing.1 && !is_last && judged_times.lies == 0 {
            self.report.found(&Finding::new(
                Severity::Note,
                &times,
                "the segment's largest timestamp has no entry",
                "look-ups by time and retention read more of the segment",
            ))?;
        }
        for finding in txn::verify(disk, &self.dir.join(file_name(base, ".txnindex")), &ended)? {
            self.report.found(&finding)?;
        }
        Ok(())
    }

    /// Walks through a segment; gives where its last sound batch ends.
    fn walk(
        &mut self,
        path: &Path,
        base: Offset,
        walk: &mut Walk,
        judges: &mut Judges,
        ended: &mut Vec<CompletedTxn>,
    ) -> Result<u64, InspectError> {
        let mut end = 0;
        loop {
            let (position, likely, why) = match walk.next()? {
                None => return Ok(end),
                Some(Found::Bad { position, error }) => (position, None, error.to_string()),
                Some(Found::Batch { batch, position }) => match batch.verify_crc() {
                    Ok(()) => {
                        self.batch(path, base, &batch, position, judges, ended)?;
                        end = position + batch.size() as u64;
                        continue;
                    }
                    Err(error) => {
                        (position, Some(position + batch.size() as u64), error.to_string())
                    }
                },
            };
            let least = self.chain.next.unwrap_or(base).max(base);
            let hole = walk.pass_over(position, likely, least)?;
            judges.offsets.skip(hole.to)?;
            self.holes.push((path.to_owned(), hole, least, why));
        }
    }

    fn batch(
        &mut self,
        path: &Path,
        base: Offset,
        batch: &Batch<'_>,
        position: u64,
        judges: &mut Judges,
        ended: &mut Vec<CompletedTxn>,
    ) -> Result<(), InspectError> {
        let header = batch.header();
        self.report.tally.batches += 1;
        if let Some(finding) = self.chain.order(path, base, position, header) {
            return self.report.found(&finding);
        }
        if let Some(gap) = self.chain.gap.take() {
            self.gaps.push((path.to_owned(), position, gap));
        }
        judges.offsets.batch(position, header)?;
        judges.times.batch(position, header)?;
        for finding in self.snapshots.reached(header.base_offset, self.first, &self.states) {
            self.report.found(&finding)?;
        }
        let mut findings = Vec::new();
        findings.extend(self.chain.epoch(
            path,
            position,
            header,
            self.epochs.as_ref(),
            self.log_start,
        ));
        // Behind what cannot be read a producer goes on with a later sequence.
        if self.holes.is_empty() {
            findings.extend(Chain::sequence(path, position, header, &self.states));
        }
        if self.is_metadata() {
            findings.extend(metadata::records(path, position, batch, &mut self.scratch));
        } else if self.options.deep {
            findings.extend(Chain::records(path, position, batch, &mut self.scratch));
        }
        ended.extend(self.states.apply(&producer_batch(header, batch.bytes())));
        for finding in findings {
            self.report.found(&finding)?;
        }
        Ok(())
    }

    fn index(&mut self, path: &Path, missing: bool, judged: &Judged) -> Result<(), InspectError> {
        let rebuilt = "a start or the first reader makes the index anew";
        // Ottla keeps no indexes of the metadata log, which it reads whole.
        if missing && self.is_metadata() {
            return Ok(());
        }
        if missing {
            let finding = Finding::new(Severity::Repairable, path, "it is missing", rebuilt);
            return self.report.found(&finding);
        }
        if judged.torn > 0 {
            let what = format!("it ends with {} bytes of a torn entry", judged.torn);
            self.report.found(&Finding::new(Severity::Repairable, path, what, rebuilt))?;
        }
        if judged.lies > 0 {
            let (number, told) =
                judged.told.first().map_or((0, ""), |(number, told)| (*number, told.as_str()));
            let count = match judged.lies {
                1 => "an entry lies".to_owned(),
                lies => format!("{lies} entries lie"),
            };
            let what = format!("{count}: entry {number}: {told}");
            let meaning = "Ottla holds each entry against the log before use; other readers may miss \
                           records";
            self.report.found(&Finding::new(Severity::Repairable, path, what, meaning))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), InspectError> {
        self.tell_gaps()?;
        let end = self.chain.next.unwrap_or(self.first);
        for finding in self.snapshots.reached(end, self.first, &self.states) {
            self.report.found(&finding)?;
        }
        let snapshots = std::mem::replace(
            &mut self.snapshots,
            Snapshots::read(self.disk.as_ref(), Vec::new())?.0,
        );
        for finding in snapshots.beyond(end) {
            self.report.found(&finding)?;
        }
        self.epochs_within(end)?;
        self.against_checkpoints(end)?;
        self.tell_holes()
    }

    /// Offsets that nobody has: normal in a compacted log, missing records in any other.
    fn tell_gaps(&mut self) -> Result<(), InspectError> {
        let compacted = self.chain.sparse
            || self
                .partition
                .as_ref()
                .zip(self.checkpoints)
                .is_none_or(|(partition, points)| points.compacted(partition));
        for (path, position, gap) in std::mem::take(&mut self.gaps) {
            // What cannot be read is told by itself.
            if self.holes.iter().any(|(_, _, first, _)| *first == gap.first) {
                continue;
            }
            let (severity, meaning) = if compacted {
                (Severity::Note, "compaction leaves such gaps, and nothing else should")
            } else {
                (Severity::Damage, "the log was never compacted: these records are missing")
            };
            let what = format!("offset {} follows {}", gap.next, gap.first.plus(-1));
            let finding = Finding::new(severity, &path, what, meaning).at(position);
            self.report.found(&finding.offsets(gap.first, gap.next.plus(-1)))?;
        }
        Ok(())
    }

    fn epochs_within(&mut self, end: Offset) -> Result<(), InspectError> {
        let Some(latest) = self.epochs.as_ref().and_then(EpochCache::latest) else { return Ok(()) };
        if latest.start_offset > end {
            let (epoch, start) = (latest.epoch, latest.start_offset);
            self.report.found(&Finding::new(
                Severity::Repairable,
                &self.dir.join("leader-epoch-checkpoint"),
                format!("epoch {epoch} begins at offset {start}, and the log ends at {end}"),
                "a start drops the epoch",
            ))?;
        }
        Ok(())
    }

    fn against_checkpoints(&mut self, end: Offset) -> Result<(), InspectError> {
        let (Some(points), Some(partition)) = (self.checkpoints, self.partition.clone()) else {
            return Ok(());
        };
        let log_dir = self.dir.parent().unwrap_or(Path::new("/"));
        for (file, meaning, severity) in [
            (
                "recovery-point-offset-checkpoint",
                "what was synced is no longer there: records are lost",
                Severity::Damage,
            ),
            (
                "replication-offset-checkpoint",
                "consumers may have read what is no longer there",
                Severity::Damage,
            ),
            (
                "log-start-offset-checkpoint",
                "the log begins behind its end: a start empties it",
                Severity::Damage,
            ),
            (CLEANER_CHECKPOINT, "compaction begins anew", Severity::Note),
        ] {
            let Some(offset) = points.get(file, &partition).filter(|offset| *offset > end) else {
                continue;
            };
            let what = format!("it says {offset} for {partition}, and the log ends at {end}");
            let finding = Finding::new(severity, &log_dir.join(file), what, meaning);
            let finding = finding.offsets(end, offset.plus(-1));
            self.report.found(&finding)?;
        }
        Ok(())
    }

    /// Stretches without sound batches. Whether the last is a torn end or damage is for recovery
    /// to say.
    fn tell_holes(&mut self) -> Result<(), InspectError> {
        if self.holes.is_empty() {
            return Ok(());
        }
        let kept = self.end_after_start()?;
        for (path, hole, first, why) in std::mem::take(&mut self.holes) {
            let bytes = hole.to - hole.from;
            let cut = kept.is_some_and(|end| end <= first) && !hole.followed;
            let (severity, meaning) = if cut {
                (Severity::Repairable, "a start cuts it off: nobody was promised what stood there")
            } else {
                (Severity::Damage, "records are unreadable; `repair-plan` tells the ways out")
            };
            let what = format!("{bytes} bytes are no sound batch: {why}");
            let mut finding = Finding::new(severity, &path, what, meaning).at(hole.from);
            let behind = self.next_after(&path, hole)?;
            finding = match behind {
                Some(next) if next > first => finding.offsets(first, next.plus(-1)),
                Some(_) | None => finding.offsets(first, first),
            };
            self.report.found(&finding)?;
        }
        Ok(())
    }

    /// Where the log ends after a start; `None` when it refuses, or for the metadata log.
    fn end_after_start(&self) -> Result<Option<Offset>, InspectError> {
        let (Some(log_dir), Some(partition)) = (self.dir.parent(), &self.partition) else {
            return Ok(None);
        };
        let start = Start::begin(self.disk, log_dir, self.options.start)?;
        if self.is_metadata() {
            return Ok(start.metadata()?.result.ok().map(|found| found.log_end));
        }
        // How it is synced decides what was promised.
        let image = if self.disk.exists(&log_dir.join(METADATA_DIR))? {
            start.metadata()?.result.ok().map(|found| found.image)
        } else {
            None
        };
        let outcome = start.open(partition, image.as_ref())?;
        Ok(outcome.result.ok().map(|(_, end, _)| end))
    }

    /// The first offset behind a hole in the same file.
    fn next_after(&self, path: &Path, hole: Hole) -> Result<Option<Offset>, InspectError> {
        if !hole.followed {
            return Ok(None);
        }
        let mut walk = Walk::open(self.disk.as_ref(), path)?;
        walk.go_to(hole.to);
        Ok(match walk.next()? {
            Some(Found::Batch { batch, .. }) => Some(batch.header().base_offset),
            Some(Found::Bad { .. }) | None => None,
        })
    }
}
