//! What a recovered log, and each read, is held against. Every check names its invariant. Must not
//! know how the log came to be as it is.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ottla_log::{
    AbortedTransaction, Answer, Fetched, LoadReport, PartitionLog, ReadError, ReadRequest,
};
use ottla_protocol::{Offset, ProducerId};
use ottla_records::{Batch, Batches, ControlRecordType, Scratch};

use super::World;
use super::model::{Entry, Model};
use crate::promise;
use crate::violation::Stop;

/// Batches as they were read.
type Read = Result<Vec<Bytes>, ReadError>;

fn fetch(log: &PartitionLog, request: &ReadRequest) -> Result<Fetched, ReadError> {
    match log.read(request)? {
        Answer::Ready(fetched) => Ok(fetched),
        Answer::Lookup(view) => view.read(request),
    }
}

/// Splits what was read into its batches.
fn split(fetched: &Fetched) -> Result<Vec<Bytes>, Stop> {
    let mut all = Vec::new();
    for run in &fetched.batches {
        for batch in Batches::new(run) {
            match batch {
                Ok(batch) if batch.verify_crc().is_ok() => all.push(run.slice_ref(batch.bytes())),
                Ok(batch) => {
                    let at = batch.header().base_offset;
                    return Err(World::broken("L7", format!("a bad batch was given out at {at}")));
                }
                Err(error) => {
                    return Err(World::broken("L7", format!("no batch was given out: {error}")));
                }
            }
        }
    }
    Ok(all)
}

/// All whole batches of `from..up_to`.
pub(super) fn read_all(
    log: &PartitionLog,
    from: i64,
    up_to: i64,
    max_bytes: usize,
) -> Result<Read, Stop> {
    let mut all = Vec::new();
    let mut at = from;
    while at < up_to {
        let request =
            ReadRequest { from: Offset(at), up_to: Offset(up_to), max_bytes, at_least_one: true };
        let fetched = match fetch(log, &request) {
            Ok(fetched) => fetched,
            Err(error) => return Ok(Err(error)),
        };
        all.extend(split(&fetched)?);
        if fetched.next_offset.0 <= at {
            break;
        }
        at = fetched.next_offset.0;
    }
    Ok(Ok(all))
}

/// Whether a batch is the one that was appended. No checksum covers a batch's base offset and leader
/// epoch: bits that rot there cannot be seen.
pub(super) fn same(entry: &[u8], found: &[u8], beyond: bool) -> bool {
    entry == found
        || (beyond
            && entry.len() == found.len()
            && entry.get(8..12) == found.get(8..12)
            && entry.get(16..) == found.get(16..))
}

/// A timestamp and the offset that was found for it, or none.
type AtTime = Option<(i64, i64)>;

/// Whether a look-up by time found the record that it should. Where bits rot, the record may be in a
/// batch whose base offset did: see [`same`].
fn same_at_time(expected: AtTime, found: AtTime, beyond: bool) -> bool {
    let time = |at: AtTime| at.map(|(time, _)| time);
    expected == found || (beyond && time(expected) == time(found))
}

/// What must be found from `start` on. Where bits rot, a batch that was deleted can come back at
/// another offset: see [`same`].
fn expected<'a>(model: &'a Model, start: i64, found: &[Bytes], beyond: bool) -> &'a [Entry] {
    let expected = model.from(start);
    let is = |entry: &Entry| found.first().is_some_and(|first| same(&entry.bytes, first, true));
    if !beyond || expected.first().is_some_and(is) {
        return expected;
    }
    let moved = model.entries.iter().position(is);
    moved.and_then(|at| model.entries.get(at..)).unwrap_or(expected)
}

/// Whether one of the batches, right as far as a checksum tells, has another base offset.
fn is_elsewhere(found: &[Bytes], expected: &[Entry]) -> bool {
    found.iter().zip(expected).any(|(found, entry)| found.get(..8) != entry.bytes.get(..8))
}

/// What was read must be these batches, byte for byte, from the first on.
fn compare(found: &[Bytes], expected: &[Entry], beyond: bool) -> Result<(), Stop> {
    for (index, bytes) in found.iter().enumerate() {
        let Some(entry) = expected.get(index) else {
            let base = Batch::parse(bytes).map_or(-1, |batch| batch.header().base_offset.0);
            return Err(World::broken("L2", format!("a batch at {base} was never appended")));
        };
        promise!(
            "L2",
            same(&entry.bytes, bytes, beyond),
            "at offset {} another batch is found than was appended there: {}",
            entry.base,
            Batch::parse(bytes).map_or_else(
                |error| error.to_string(),
                |batch| format!(
                    "offsets {} to {}",
                    batch.header().base_offset,
                    batch.header().last_offset()
                )
            )
        );
    }
    Ok(())
}

impl World {
    /// A log was opened: everything about it is held against the model, which is then cut to what
    /// was found.
    pub(super) fn check_opened(
        &mut self,
        dir: usize,
        slot: usize,
        mut log: PartitionLog,
        report: &LoadReport,
        clean: bool,
    ) -> Result<(), Stop> {
        if self.verbose {
            eprintln!(
                "opened d{dir} p{slot}: {} to {}, {report:?}",
                log.log_start(),
                log.log_end()
            );
        }
        self.check_ends(dir, slot, &log, report, clean)?;
        let (beyond, compact) = (self.swarm.beyond, self.is_compacted(dir, slot));
        let Some(model) = self.model(dir, slot) else { return Ok(()) };
        let began_anew = model.restart_at.is_some();
        let (start, end) = (log.log_start().0, log.log_end().0);
        let chunk = *self.draw.pick(&[1, 200, 1000, 100_000]).unwrap_or(&1000);
        let found = read_all(&log, start, end, chunk)?;
        let found = match found {
            Ok(found) => found,
            Err(error) => return Err(self.unreadable(&error)),
        };
        self.tell_found(dir, slot, &found);
        let is_old = began_anew && self.has_batches_below(dir, slot, start);
        let Some(model) = self.model_mut(dir, slot) else { return Ok(()) };
        let last = found.last().and_then(|bytes| Batch::parse(bytes).ok());
        let reached = last.map_or(start, |batch| batch.header().next_offset().0);
        if !compact {
            let expected = expected(model, start, &found, beyond);
            compare(&found, expected, beyond)?;
            if is_elsewhere(&found, expected) {
                // Bits rot in a base offset, which no checksum covers: from here on answers are of
                // another log.
                self.outcome.refusals += 1;
                return Err(Stop::Over);
            }
        } else if let Err(stop) = Self::check_what_is_left(model, &found) {
            if !beyond {
                return Err(stop);
            }
            self.outcome.refusals += 1;
            return Err(Stop::Over);
        }
        if beyond && reached != end {
            self.outcome.refusals += 1;
            return Err(Stop::Over);
        }
        promise!("L2", reached == end, "the log ends at {end}, but reading it ends at {reached}");
        model.unsure |= compact && model.end() > end;
        // It may not have come to that: then what was deleted before is still in the files.
        if model.restart_at.take() == Some(start) && end == start && !is_old {
            model.begin_anew(start);
        }
        model.cut(end);
        model.start = start;
        model.start_safe = if began_anew { start } else { model.start_safe.max(start) };
        model.written = end;
        model.durable = end;
        model.since = end;
        model.clean = None;
        model.warned = false;
        log.producers_mut().on_high_watermark(Offset(end));
        self.check_derived(dir, slot, &log)?;
        self.outcome.checks += 1;
        self.serve(dir, slot, log);
        Ok(())
    }

    /// Where an opened log begins and ends: nothing that was acknowledged is missing.
    fn check_ends(
        &mut self,
        dir: usize,
        slot: usize,
        log: &PartitionLog,
        report: &LoadReport,
        clean: bool,
    ) -> Result<(), Stop> {
        let beyond = self.swarm.beyond;
        let only_synced = self.only_synced_is_safe;
        let damaged = self.damaged_before_start;
        let Some(model) = self.model_mut(dir, slot) else { return Ok(()) };
        let (start, end) = (log.log_start().0, log.log_end().0);
        model.warned |= !report.warnings.is_empty();
        let began_anew = model.restart_at.is_some();
        let floor = match () {
            () if began_anew => 0,
            () if only_synced => model.durable,
            () => model.durable.max(model.written),
        };
        promise!(
            "L10",
            start >= model.start_safe || began_anew || beyond,
            "the log starts at {start}, although {} was acknowledged",
            model.start_safe
        );
        promise!(
            "L10",
            start <= model.start || began_anew || beyond,
            "the log starts at {start}, but only what is below {} was to go",
            model.start
        );
        if end < floor {
            promise!(
                "L1",
                beyond,
                "the log ends at {end}, but up to {floor} was acknowledged ({}); {report:?}",
                if only_synced { "as durable" } else { "as written" }
            );
            promise!(
                "L7",
                !report.warnings.is_empty() || model.warned,
                "the log was cut from {floor} to {end}, and nothing was said"
            );
            self.outcome.refusals += 1;
            return Err(Stop::Over);
        }
        promise!(
            "L8",
            !clean || damaged || beyond || report.recovered_segments == 0,
            "a log that was stopped cleanly was recovered: {report:?}"
        );
        Ok(())
    }

    /// Whether a segment that begins below an offset has batches.
    fn has_batches_below(&self, dir: usize, slot: usize, offset: i64) -> bool {
        let Some(dir) = self.dirs.get(dir) else { return false };
        let Some(slot) = dir.slots.get(slot) else { return false };
        let path = dir.path.join(slot.name.to_string());
        self.disk.files().iter().any(|(file, content)| {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let base = name.strip_suffix(".log").and_then(|base| base.parse::<i64>().ok());
            file.parent() == Some(path.as_path())
                && base.is_some_and(|base| base < offset)
                && !content.is_empty()
        })
    }

    /// With `--seed`: what was found, and what was appended.
    fn tell_found(&self, dir: usize, slot: usize, found: &[Bytes]) {
        let Some(model) = self.model(dir, slot).filter(|_| self.verbose) else { return };
        let header = |bytes: &Bytes| Batch::parse(bytes).map(|batch| *batch.header()).ok();
        let headers = found.iter().filter_map(header);
        let found: Vec<_> = headers.map(|h| (h.base_offset.0, h.last_offset().0)).collect();
        let appended: Vec<_> = model.from(0).iter().map(|e| (e.base, e.last)).collect();
        eprintln!("found {found:?}");
        eprintln!("appended {appended:?}");
    }

    pub(super) fn model_mut(&mut self, dir: usize, slot: usize) -> Option<&mut Model> {
        self.dirs.get_mut(dir)?.slots.get_mut(slot).map(|slot| &mut slot.model)
    }

    pub(super) fn model(&self, dir: usize, slot: usize) -> Option<&Model> {
        self.dirs.get(dir)?.slots.get(slot).map(|slot| &slot.model)
    }

    /// Data that should be there cannot be read.
    pub(super) fn unreadable(&mut self, error: &ReadError) -> Stop {
        if self.swarm.beyond {
            self.outcome.refusals += 1;
            return Stop::Over;
        }
        match error {
            ReadError::Failed(error) => self.failed("reading", error),
            ReadError::OutOfRange { .. } => Self::broken("L1", format!("while reading: {error}")),
        }
    }

    /// Epochs, producers, transactions and timestamps follow from the batches (L8).
    fn check_derived(&mut self, dir: usize, slot: usize, log: &PartitionLog) -> Result<(), Stop> {
        if self.swarm.beyond {
            return Ok(());
        }
        let Some(model) = self.model(dir, slot) else { return Ok(()) };
        let start = model.start;
        let compact = self.is_compacted(dir, slot);
        // Of a compacted log not every batch is left to say of which epoch it was.
        for entry in model.from(start).iter().filter(|_| !compact) {
            let found = log.epochs().epoch_for_offset(Offset(entry.base.max(start)));
            promise!(
                "L8",
                found.map(|epoch| epoch.0) == Some(entry.epoch),
                "the batch at {} is of leader epoch {}, the cache says {found:?}",
                entry.base,
                entry.epoch
            );
        }
        if let Some(latest) = log.epochs().latest() {
            promise!(
                "L8",
                latest.start_offset.0 <= model.end(),
                "the epoch cache goes on to {}, the log ends at {}",
                latest.start_offset,
                model.end()
            );
        }
        for (id, producer) in model.producers() {
            if producer.last_data < start || producer.next_sequence == 0 {
                continue;
            }
            // As Kafka's, the cleaner counts on a producer's last batch before that is safe.
            if model.unsure {
                continue;
            }
            let found = log.producers().get(ProducerId(id));
            let state = found.map(|entry| (entry.producer_epoch.0, entry.last_sequence()));
            promise!(
                "P1",
                state == Some((producer.epoch, producer.next_sequence - 1)),
                "producer {id} is at epoch {} and sequence {}, the log says {state:?}",
                producer.epoch,
                producer.next_sequence - 1
            );
        }
        if compact {
            return self.check_compacted(dir, slot, log, start);
        }
        self.check_committed(dir, slot, log, start)?;
        self.check_time(dir, slot, log)
    }

    /// A reader of committed data gets exactly what was committed (T1, T4).
    pub(super) fn check_committed(
        &mut self,
        dir: usize,
        slot: usize,
        log: &PartitionLog,
        from: i64,
    ) -> Result<(), Stop> {
        let Some(model) = self.model(dir, slot) else { return Ok(()) };
        if self.swarm.beyond {
            // No checksum covers an index of aborted transactions.
            return Ok(());
        }
        let start = model.start;
        let high_watermark = log.durable_end();
        let stable = log.producers().last_stable_offset(high_watermark, Offset(start)).0;
        let undecided = model.first_undecided(start, high_watermark.0);
        promise!(
            "T4",
            undecided.is_none_or(|first| stable <= first),
            "the last stable offset is {stable}, but a transaction is open from {undecided:?}"
        );
        let open = model.producers().values().any(|producer| producer.open.is_some());
        promise!(
            "T8",
            open || high_watermark.0 < model.end() || stable == high_watermark.0,
            "no transaction is open, and the last stable offset is {stable} of {high_watermark}"
        );
        if from >= stable {
            return Ok(());
        }
        let expected = model.committed(from, stable);
        let aborted = log.view().aborted_transactions(Offset(from), Offset(stable));
        let aborted =
            aborted.map_err(|error| self.failed("reading aborted transactions", &error))?;
        if self.verbose {
            let ends = model.entries.iter().filter(|entry| entry.marker.is_some());
            let ends: Vec<_> =
                ends.map(|entry| (entry.base, entry.written, entry.marker)).collect();
            eprintln!("aborted from {from} to {stable}: {aborted:?}; markers: {ends:?}");
        }
        let batches = match read_all(log, from, stable, 700)? {
            Ok(batches) => batches,
            Err(error) => return Err(self.unreadable(&error)),
        };
        let seen = consume(&batches, aborted, from)?;
        if seen != expected {
            let extra: Vec<_> = seen.difference(&expected).collect();
            let missing: Vec<_> = expected.difference(&seen).collect();
            return Err(Self::broken(
                "T1",
                format!(
                    "a reader of committed data from {from} to {stable} gets {extra:?} too much \
                     and lacks {missing:?}"
                ),
            ));
        }
        Ok(())
    }

    /// Timestamps are looked up right.
    pub(super) fn check_time(
        &mut self,
        dir: usize,
        slot: usize,
        log: &PartitionLog,
    ) -> Result<(), Stop> {
        if log.written_end() < log.log_end() || self.is_compacted(dir, slot) {
            return Ok(());
        }
        let now = self.now().0;
        let time = now - self.draw.span(-400, 3000);
        let found = match log.list_offset(time) {
            Answer::Ready(found) => found,
            Answer::Lookup(view) => {
                let found = view.list_offset(time);
                found.map_err(|error| self.failed("looking a timestamp up", &error))?
            }
        };
        let found = found.map(|found| (found.timestamp, found.offset.0));
        let Some(model) = self.model(dir, slot) else { return Ok(()) };
        // As in Kafka only the first segment that reaches the timestamp is searched: a log that
        // begins within a segment may answer "none".
        if found.is_none() && model.start > 0 {
            return Ok(());
        }
        let expected = model.at_time(time);
        promise!(
            "L8",
            same_at_time(expected, found, self.swarm.beyond),
            "the first record from {time} on is {expected:?}, the log says {found:?}"
        );
        Ok(())
    }
}

/// What a consumer with `isolation.level=read_committed` keeps of these batches, as Kafka's does
/// it: the offsets of the records.
pub(super) fn consume(
    batches: &[Bytes],
    mut aborted: Vec<AbortedTransaction>,
    from: i64,
) -> Result<BTreeSet<i64>, Stop> {
    aborted.sort_by_key(|transaction| transaction.first_offset);
    let mut waiting = aborted.into_iter().peekable();
    let mut open: BTreeMap<i64, ()> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut scratch = Scratch::new();
    for bytes in batches {
        let Ok(batch) = Batch::parse(bytes) else { continue };
        let header = *batch.header();
        while let Some(next) = waiting.next_if(|next| next.first_offset <= header.last_offset()) {
            open.insert(next.producer_id.0, ());
        }
        let producer = header.producer_id.0;
        let bad = |error: String| World::broken("L7", format!("records cannot be read: {error}"));
        let records = batch.records(&mut scratch, 1 << 22).map_err(|e| bad(e.to_string()))?;
        if header.attributes.is_control() {
            for record in records {
                let record = record.map_err(|e| bad(e.to_string()))?;
                if ControlRecordType::parse_key(record.key) == Ok(ControlRecordType::Abort) {
                    open.remove(&producer);
                }
            }
            continue;
        }
        if header.attributes.is_transactional() && open.contains_key(&producer) {
            continue;
        }
        for record in records {
            let record = record.map_err(|e| bad(e.to_string()))?;
            if record.offset.0 >= from {
                seen.insert(record.offset.0);
            }
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choose::Draw;
    use crate::log::batches;

    #[test]
    fn rot_in_a_base_offset_is_excused_where_bits_rot_and_nowhere_else() {
        let (right, moved, other) = (Some((70, 0)), Some((70, 1 << 28)), Some((71, 0)));
        assert!(same_at_time(right, right, false) && same_at_time(None, None, false));
        assert!(!same_at_time(right, moved, false));
        assert!(same_at_time(right, moved, true));
        for beyond in [false, true] {
            assert!(!same_at_time(right, other, beyond));
            assert!(!same_at_time(right, None, beyond) && !same_at_time(None, right, beyond));
        }
        let (entry, mut found) = ([1; 80], [1; 80]);
        found[7] = 9;
        assert!(same(&entry, &found, true) && !same(&entry, &found, false));
        found[20] = 9;
        assert!(!same(&entry, &found, true), "nothing excuses what a checksum covers");
    }

    #[test]
    fn a_deleted_batch_that_comes_back_is_excused_where_bits_rot_and_nowhere_else() {
        let entry = |base: i64| {
            batches::data(&mut Draw::new(1), 1000 + base, 20, None).unwrap().at(base, 0)
        };
        let mut model = Model { entries: vec![entry(0), entry(100)], ..Model::default() };
        model.start = model.entries[0].next();
        let moved = [entry(0)
            .bytes
            .iter()
            .enumerate()
            .map(|(at, byte)| if at == 5 { 2 } else { *byte })
            .collect::<Bytes>()];
        let compared = |found: &[Bytes], beyond: bool| {
            compare(found, expected(&model, model.start, found, beyond), beyond).is_ok()
        };
        assert!(compared(&moved, true) && !compared(&moved, false));
        assert!(is_elsewhere(&moved, &model.entries));
        assert!(!is_elsewhere(&[model.entries[0].bytes.clone()], &model.entries));
        let right = [model.entries[1].bytes.clone()];
        assert!(compared(&right, true) && compared(&right, false));
        let other = [entry(7).bytes];
        assert!(!compared(&other, true) && !compared(&other, false));
    }
}
