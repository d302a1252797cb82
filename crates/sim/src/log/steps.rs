//! What the process does between a start and its end: clients append and read, the committer
//! commits, records are deleted, replicas truncate. Must not know crashes.

use bytes::BytesMut;
use ottla_log::{AppendError, Appended, FlushMode, OffsetCheckpoint, Offsets, PartitionLog, Stage};
use ottla_partition::AppendContext;
use ottla_protocol::{LeaderEpoch, Offset};

use super::batches::{self, Made};
use super::check::{read_all, same};
use super::model::{Producer, Written};
use super::moving::arriving;
use super::swarm::Step;
use super::{Host, Slot, World};
use crate::choose::Choose;
use crate::promise;
use crate::violation::{Stop, Violation};

impl World {
    pub(super) fn step(&mut self) -> Result<(), Stop> {
        self.outcome.steps += 1;
        let pause = self.draw.span(0, 20);
        self.clock.advance_ms(pause);
        let dir = self.draw.below(self.dirs.len());
        let slot = self.draw.below(self.slots_in(dir).max(1));
        let step = self.swarm.weights.pick(&mut self.draw);
        if self.verbose {
            eprintln!("d{dir} p{slot} {step:?}");
        }
        self.perhaps_die_in(step);
        let cuts = matches!(step, Step::Truncate | Step::TruncateFully);
        if cuts || (step == Step::Compact && self.is_compacted(dir, slot)) {
            // What was copied is not what there is then.
            self.call_off(dir, slot)?;
        }
        match step {
            Step::Append => self.append_data(dir, slot, None),
            Step::AppendReplica => self.append_replica(dir, slot),
            Step::Idempotent => self.append_idempotent(dir, slot),
            Step::Resend => self.resend(dir, slot),
            Step::OutOfOrder => self.append_out_of_order(dir, slot),
            Step::Transaction => self.append_in_transaction(dir, slot),
            Step::EndTransaction => self.end_transaction(dir, slot),
            Step::NewEpoch => self.new_epoch(dir, slot),
            Step::Commit => self.commit(dir),
            Step::Flush => self.flush(dir, slot),
            Step::Read => self.read(dir, slot),
            Step::ReadCommitted => self.read_committed(dir, slot),
            Step::Time => self.look_up_time(dir, slot),
            Step::DeleteRecords => self.delete_records(dir, slot),
            Step::Checkpoint => self.checkpoint(dir),
            Step::DurableEnds => self.durable_ends(dir),
            Step::Truncate => self.truncate(dir, slot),
            Step::TruncateFully => self.truncate_fully(dir, slot),
            Step::Compact => self.compact(dir, slot),
            Step::Retain => self.retain(dir, slot),
            Step::RemoveBuried => self.remove_buried(dir),
            Step::Move => self.move_on(dir, slot),
            Step::Evict => {
                if let Some(host) = self.host(dir, slot) {
                    host.log().evict_tail();
                }
                Ok(())
            }
        }
    }

    /// What is rare and long is where a crash should come more often than chance has it.
    fn perhaps_die_in(&mut self, step: Step) {
        let is_rare = matches!(
            step,
            Step::Compact
                | Step::Retain
                | Step::DeleteRecords
                | Step::Truncate
                | Step::TruncateFully
                | Step::RemoveBuried
        );
        // A pass of compaction is the longest of them.
        let often = if step == Step::Compact { 4 } else { 12 };
        if is_rare && self.swarm.deaths > 0 && self.draw.one_in(often) {
            let operations = self.draw.below_u64(60);
            self.disk.die_after(Some(operations));
        }
    }

    pub(super) fn host(&self, dir: usize, slot: usize) -> Option<std::sync::Arc<Host>> {
        self.dirs.get(dir)?.slots.get(slot)?.host.clone()
    }

    pub(super) fn enqueue(&self, dir: usize, slot: usize) {
        let live = self.dirs.get(dir).and_then(|dir| dir.live.as_ref());
        if let (Some(live), Some(host)) = (live, self.host(dir, slot)) {
            live.committer.enqueue(host);
        }
    }

    /// Appends as leader; the answer is held against the model, which then has the batch.
    fn append(
        &mut self,
        dir: usize,
        slot: usize,
        made: &Made,
        context: &AppendContext,
    ) -> Result<(), Stop> {
        let now = self.now();
        let (Some(host), Some(model)) = (self.host(dir, slot), self.model(dir, slot)) else {
            return Ok(());
        };
        let (end, epoch) = (model.end(), model.epoch);
        let outcome = host.log().append(made.bytes.clone(), LeaderEpoch(epoch), now, context);
        let appended: Appended = match outcome {
            Ok(appended) => appended,
            Err(AppendError::TooLarge { .. }) => return Ok(()),
            Err(AppendError::Failed(error)) => return Err(self.failed("appending", &error)),
            // All its data was deleted, so that its sequence may be forgotten while its epoch is not.
            Err(AppendError::Producer(_)) if self.is_below_start(dir, slot, made) => return Ok(()),
            Err(error) if self.was_hurt() => {
                // No space, or what an injected fault led to.
                drop(error);
                return Err(Stop::Over);
            }
            Err(error) => {
                return Err(Self::broken("P2", format!("a batch in order was refused: {error}")));
            }
        };
        if self.swarm.beyond && appended.base_offset.0 != end {
            // A base offset has rotted, which no checksum covers.
            return Err(Stop::Over);
        }
        promise!(
            "P2",
            !appended.duplicate && appended.base_offset.0 == end,
            "a new batch was to get offset {end}, and the answer is {appended:?}"
        );
        self.outcome.appends += 1;
        if let Some(model) = self.model_mut(dir, slot) {
            model.entries.push(made.at(end, epoch));
        }
        if appended.needs_commit {
            self.enqueue(dir, slot);
        }
        Ok(())
    }

    fn is_below_start(&self, dir: usize, slot: usize, made: &Made) -> bool {
        let known = made.written.and_then(|by| self.producer(dir, slot, by.producer));
        let start = self.model(dir, slot).map_or(0, |model| model.start);
        let unsure = self.model(dir, slot).is_some_and(|model| model.unsure);
        known.is_some_and(|known| known.last_data < start || unsure)
    }

    pub(super) fn append_data(
        &mut self,
        dir: usize,
        slot: usize,
        by: Option<Written>,
    ) -> Result<(), Stop> {
        let (now, size) = (self.now().0, self.swarm.batch_bytes);
        match batches::data(&mut self.draw, now, size, by) {
            Some(made) => self.append(dir, slot, &made, &AppendContext::CLIENT),
            None => Err(Self::broken("sim", "a batch could not be built".to_owned())),
        }
    }

    pub(super) fn append_replica(&mut self, dir: usize, slot: usize) -> Result<(), Stop> {
        let (now, size) = (self.now(), self.swarm.batch_bytes);
        let Some(host) = self.host(dir, slot) else { return Ok(()) };
        let (mut end, epoch) = match self.model(dir, slot) {
            Some(model) => (model.end(), model.epoch),
            None => return Ok(()),
        };
        let mut sent = BytesMut::new();
        let mut entries = Vec::new();
        for _ in 0..self.draw.range(1, 3) {
            let Some(made) = batches::data(&mut self.draw, now.0, size, None) else { continue };
            let entry = made.at(end, epoch);
            end = entry.next();
            sent.extend_from_slice(&entry.bytes);
            entries.push(entry);
        }
        let outcome = host.log().append_as_replica(&sent.freeze(), now);
        let appended = match outcome {
            Ok(appended) => appended,
            Err(AppendError::Failed(error)) => return Err(self.failed("replicating", &error)),
            Err(_) if self.was_hurt() => return Err(Stop::Over),
            Err(error) => {
                return Err(Self::broken("R3", format!("a leader's batch was refused: {error}")));
            }
        };
        if let Some(model) = self.model_mut(dir, slot) {
            model.entries.extend(entries);
        }
        if appended.needs_commit {
            self.enqueue(dir, slot);
        }
        Ok(())
    }

    fn producer(&self, dir: usize, slot: usize, id: i64) -> Option<Producer> {
        self.model(dir, slot)?.producers().get(&id).copied()
    }

    pub(super) fn append_idempotent(&mut self, dir: usize, slot: usize) -> Result<(), Stop> {
        let id = self.draw.span(1, 3);
        let known = self.producer(dir, slot, id);
        let (epoch, sequence) = known.map_or((0, 0), |p| (p.epoch, p.next_sequence));
        let (epoch, sequence) =
            if self.draw.one_in(12) { (epoch + 1, 0) } else { (epoch, sequence) };
        let by = Written { producer: id, epoch, sequence, transactional: false };
        self.append_data(dir, slot, Some(by))
    }

    /// A producer sends a batch again: it gets the offset that it got then (P1).
    fn resend(&mut self, dir: usize, slot: usize) -> Result<(), Stop> {
        let id = self.draw.span(1, 3);
        let Some(producer) = self.producer(dir, slot, id) else { return Ok(()) };
        let back = self.draw.below(5);
        let now = self.now();
        let (Some(host), Some(model)) = (self.host(dir, slot), self.model(dir, slot)) else {
            return Ok(());
        };
        let Some(entry) = model.recent(id, producer.epoch).nth(back).cloned() else {
            return Ok(());
        };
        // Snapshots remember one batch of each producer, so that is all that a restart keeps.
        if model.unsure || entry.base < model.start || (back > 0 && entry.base < model.since) {
            return Ok(());
        }
        let bytes = BytesMut::from(&entry.bytes[..]);
        let epoch = LeaderEpoch(model.epoch);
        let outcome = host.log().append(bytes, epoch, now, &AppendContext::CLIENT);
        match outcome {
            Ok(answer) => {
                promise!(
                    "P1",
                    answer.duplicate && answer.base_offset.0 == entry.base,
                    "a batch that is at {} was sent again, and the answer is {answer:?}",
                    entry.base
                );
                Ok(())
            }
            Err(AppendError::Failed(error)) => Err(self.failed("appending again", &error)),
            Err(_) if self.was_hurt() => Err(Stop::Over),
            Err(error) => Err(Self::broken(
                "P1",
                format!("a batch that is at {} was sent again: {error}", entry.base),
            )),
        }
    }

    /// A gap in a producer's sequence is refused (P2).
    fn append_out_of_order(&mut self, dir: usize, slot: usize) -> Result<(), Stop> {
        let id = self.draw.span(1, 3);
        let Some(producer) = self.producer(dir, slot, id) else { return Ok(()) };
        let now = self.now();
        let start = self.model(dir, slot).map_or(0, |model| model.start);
        let unsure = self.model(dir, slot).is_some_and(|model| model.unsure);
        if producer.last_data < start || producer.next_sequence == 0 || unsure {
            return Ok(());
        }
        let by = Written {
            producer: id,
            epoch: producer.epoch,
            sequence: producer.next_sequence + 1,
            transactional: false,
        };
        let (Some(made), Some(host)) =
            (batches::data(&mut self.draw, now.0, 50, Some(by)), self.host(dir, slot))
        else {
            return Ok(());
        };
        let epoch = LeaderEpoch(self.model(dir, slot).map_or(0, |model| model.epoch));
        let outcome = host.log().append(made.bytes, epoch, now, &AppendContext::CLIENT);
        match outcome {
            Err(AppendError::Producer(_)) => Ok(()),
            Err(AppendError::Failed(error)) => Err(self.failed("appending", &error)),
            Err(_) if self.was_hurt() => Err(Stop::Over),
            other => {
                Err(Self::broken("P2", format!("a gap in the sequence was answered {other:?}")))
            }
        }
    }

    pub(super) fn append_in_transaction(&mut self, dir: usize, slot: usize) -> Result<(), Stop> {
        let id = self.draw.span(11, 13);
        let known = self.producer(dir, slot, id);
        let (epoch, sequence) = known.map_or((0, 0), |p| (p.epoch, p.next_sequence));
        let by = Written { producer: id, epoch, sequence, transactional: true };
        self.append_data(dir, slot, Some(by))
    }

    pub(super) fn end_transaction(&mut self, dir: usize, slot: usize) -> Result<(), Stop> {
        let id = self.draw.span(11, 13);
        let Some(producer) = self.producer(dir, slot, id) else { return Ok(()) };
        if producer.open.is_none() {
            return Ok(());
        }
        let by = Written { producer: id, epoch: producer.epoch, sequence: -1, transactional: true };
        let commit = self.draw.one_in(2);
        match batches::marker(self.now().0, by, commit) {
            Some(made) => self.append(dir, slot, &made, &AppendContext::COORDINATOR),
            None => Err(Self::broken("sim", "a marker could not be built".to_owned())),
        }
    }

    pub(super) fn new_epoch(&mut self, dir: usize, slot: usize) -> Result<(), Stop> {
        let Some(host) = self.host(dir, slot) else { return Ok(()) };
        let Some(model) = self.model_mut(dir, slot) else { return Ok(()) };
        model.epoch += 1;
        let epoch = LeaderEpoch(model.epoch);
        host.log().assign_epoch(epoch);
        Ok(())
    }

    /// One of the committer's steps.
    pub(super) fn commit(&mut self, dir: usize) -> Result<(), Stop> {
        let Some(live) = self.dirs.get_mut(dir).and_then(|dir| dir.live.as_mut()) else {
            return Ok(());
        };
        let stage = match live.group.take() {
            None => {
                live.group = live.committer.gather();
                live.is_written = false;
                return Ok(());
            }
            Some(mut group) if !live.is_written => {
                let stage = live.committer.write(&mut group);
                live.group = Some(group);
                live.is_written = true;
                stage
            }
            Some(group) => live.committer.sync(group),
        };
        let out_of_service = live.log_dir.failure().is_some();
        self.note_told();
        let mut no_space = false;
        if let Some(dir) = self.dirs.get(dir) {
            for host in dir.slots.iter().filter_map(|slot| slot.host.as_ref()) {
                let told = host.told();
                no_space |= told.no_space;
                promise!(
                    "L9",
                    !told.durable_after_failure,
                    "something was told to be durable after a failed commit"
                );
            }
        }
        if stage == Stage::Failed {
            promise!(
                "L9",
                out_of_service,
                "a write or a sync failed, and the log directory goes on"
            );
            if self.was_hurt() {
                return Err(Stop::Over);
            }
            return Err(Self::broken("L0", "a commit failed although the disk did not".to_owned()));
        }
        if no_space {
            return Err(Stop::Over);
        }
        self.outcome.commits += 1;
        Ok(())
    }

    /// A directory that failed takes nothing and acknowledges nothing any more (L9).
    pub(super) fn check_failed_dirs(&mut self) -> Result<(), Violation> {
        let now = self.now();
        for dir in &mut self.dirs {
            let Some(live) = dir.live.as_mut() else { continue };
            if live.log_dir.failure().is_none() {
                continue;
            }
            let told = |slots: &[Slot]| -> i64 {
                slots.iter().filter_map(|slot| slot.host.as_ref()).map(|h| h.told().durable).sum()
            };
            let before = told(&dir.slots);
            if let Some(mut group) = live.group.take() {
                let stage = match live.is_written {
                    true => live.committer.sync(group),
                    false => live.committer.write(&mut group),
                };
                promise!("L9", stage == Stage::Failed, "a directory failed, and a commit goes on");
            }
            for host in dir.slots.iter().filter_map(|slot| slot.host.as_ref()) {
                let made = batches::data(&mut self.draw, now.0, 20, None);
                let Some(made) = made else { continue };
                let context = AppendContext::CLIENT;
                let answer = host.log().append(made.bytes, LeaderEpoch(1 << 20), now, &context);
                promise!(
                    "L9",
                    answer.is_err(),
                    "a directory failed, and takes a batch: {answer:?}"
                );
            }
            promise!(
                "L9",
                told(&dir.slots) == before,
                "a directory failed, and something was told to be durable afterwards"
            );
        }
        Ok(())
    }

    /// Commits until nothing is left.
    pub(super) fn drain(&mut self, dir: usize) -> Result<(), Stop> {
        loop {
            self.commit(dir)?;
            let live = self.dirs.get(dir).and_then(|dir| dir.live.as_ref());
            if live.is_none_or(|live| live.group.is_none()) {
                self.commit(dir)?;
                let live = self.dirs.get(dir).and_then(|dir| dir.live.as_ref());
                if live.is_none_or(|live| live.group.is_none()) {
                    return Ok(());
                }
            }
        }
    }

    pub(super) fn is_committing(&self, dir: usize) -> bool {
        let live = self.dirs.get(dir).and_then(|dir| dir.live.as_ref());
        live.is_some_and(|live| live.group.is_some())
    }

    pub(super) fn flush(&mut self, dir: usize, slot: usize) -> Result<(), Stop> {
        let Some(host) = self.host(dir, slot).filter(|_| !self.is_committing(dir)) else {
            return Ok(());
        };
        let done = host.log().flush_now();
        done.map_err(|error| self.failed("flushing", &error))?;
        if let Some(model) = self.model_mut(dir, slot) {
            model.written = model.end();
            model.durable = model.end();
        }
        Ok(())
    }

    /// Any reader of anything gets what was appended there (R8).
    fn read(&mut self, dir: usize, slot: usize) -> Result<(), Stop> {
        let (Some(host), Some(model)) = (self.host(dir, slot), self.model(dir, slot)) else {
            return Ok(());
        };
        let (start, end) = (model.start, model.end());
        let from = self.draw.span(start, end);
        let up_to = self.draw.span(from, end);
        if self.is_compacted(dir, slot) {
            let log = host.log();
            return self.check_compacted(dir, slot, &log, from);
        }
        let chunk = *self.draw.pick(&[0, 1, 300, 2000, 50_000]).unwrap_or(&300);
        let found = match read_all(&host.log(), from, up_to, chunk)? {
            Ok(found) => found,
            Err(error) => return Err(self.unreadable(&error)),
        };
        let Some(model) = self.model(dir, slot) else { return Ok(()) };
        let expected: Vec<_> =
            model.from(from).iter().take_while(|entry| entry.last < up_to).collect();
        let beyond = self.swarm.beyond;
        let same = found.len() == expected.len()
            && found.iter().zip(&expected).all(|(found, e)| same(&e.bytes, found, beyond));
        if beyond && found.len() < expected.len() {
            self.outcome.refusals += 1;
            return Err(Stop::Over);
        }
        promise!(
            "R8",
            same,
            "a read of {from} to {up_to} gives {} batches of {}, or others",
            found.len(),
            expected.len()
        );
        self.outcome.reads += 1;
        Ok(())
    }

    fn read_committed(&mut self, dir: usize, slot: usize) -> Result<(), Stop> {
        let (Some(host), Some(model)) = (self.host(dir, slot), self.model(dir, slot)) else {
            return Ok(());
        };
        let from = self.draw.span(model.start, model.end());
        let log = host.log();
        if self.is_compacted(dir, slot) {
            return self.check_compacted(dir, slot, &log, from);
        }
        self.check_committed(dir, slot, &log, from)
    }

    fn look_up_time(&mut self, dir: usize, slot: usize) -> Result<(), Stop> {
        let Some(host) = self.host(dir, slot) else { return Ok(()) };
        let log = host.log();
        self.check_time(dir, slot, &log)
    }

    /// As the broker: the checkpoint with the new start is on disk before anything goes.
    fn delete_records(&mut self, dir: usize, slot: usize) -> Result<(), Stop> {
        let (Some(host), Some(model)) = (self.host(dir, slot), self.model_mut(dir, slot)) else {
            return Ok(());
        };
        let from = model.start;
        // The high watermark.
        let up_to = {
            let log = host.log();
            match log.config().flush_mode {
                FlushMode::Durable => log.durable_end().0,
                FlushMode::Os => log.written_end().0,
            }
        };
        let to = self.draw.span(from, up_to);
        self.delete_below(dir, slot, to)
    }

    pub(super) fn delete_below(&mut self, dir: usize, slot: usize, to: i64) -> Result<(), Stop> {
        let Some(host) = self.host(dir, slot) else { return Ok(()) };
        if !host.log().advance_log_start(Offset(to)) {
            return Ok(());
        }
        self.start_moved(dir, slot, to)
    }

    /// The log starts later: the checkpoint that says so is on disk before anything goes.
    pub(super) fn start_moved(&mut self, dir: usize, slot: usize, to: i64) -> Result<(), Stop> {
        let Some(host) = self.host(dir, slot) else { return Ok(()) };
        if let Some(model) = self.model_mut(dir, slot) {
            model.start = to;
        }
        self.checkpoint_of(dir, OffsetCheckpoint::LogStart)?;
        for slot in self.dirs.get_mut(dir).into_iter().flat_map(|dir| &mut dir.slots) {
            slot.model.start_safe = slot.model.start;
        }
        if host.log().delete_old_segments(Offset(to)) {
            self.enqueue(dir, slot);
        }
        Ok(())
    }

    pub(super) fn checkpoint(&mut self, dir: usize) -> Result<(), Stop> {
        self.checkpoint_of(dir, OffsetCheckpoint::RecoveryPoint)?;
        self.checkpoint_of(dir, OffsetCheckpoint::HighWatermark)
    }

    /// What a thread beside the committer does.
    fn durable_ends(&mut self, dir: usize) -> Result<(), Stop> {
        let live = self.dirs.get(dir).and_then(|dir| dir.live.as_ref());
        let Some(log_dir) = live.map(|live| std::sync::Arc::clone(&live.log_dir)) else {
            return Ok(());
        };
        let written = log_dir.write_durable_ends();
        written.map_err(|error| self.failed("writing the durable ends", &error)).map(|_| ())
    }

    pub(super) fn checkpoint_of(
        &mut self,
        dir: usize,
        which: OffsetCheckpoint,
    ) -> Result<(), Stop> {
        let Some(known) = self.dirs.get(dir) else { return Ok(()) };
        let Some(live) = &known.live else { return Ok(()) };
        let offset = |log: &PartitionLog| match which {
            OffsetCheckpoint::LogStart => log.log_start(),
            OffsetCheckpoint::RecoveryPoint | OffsetCheckpoint::HighWatermark => log.durable_end(),
        };
        let hosts = known.slots.iter().filter_map(|slot| {
            let offset = offset(&slot.host.as_ref()?.log());
            Some((slot.name.clone(), offset))
        });
        let mut offsets: Offsets = hosts
            .filter(|(_, offset)| which != OffsetCheckpoint::LogStart || *offset > Offset::ZERO)
            .collect();
        let slots = self.dirs.iter().flat_map(|dir| &dir.slots);
        offsets.extend(slots.filter_map(|slot| arriving(slot, dir, which, offset)));
        let log_dir = std::sync::Arc::clone(&live.log_dir);
        self.write_checkpoint(dir, which, offsets, &log_dir)
    }

    /// Before a log is cut, the checkpoint must not promise more than will be there: recovery would
    /// take what is missing for damage.
    fn lower_recovery_point(&mut self, dir: usize, slot: usize, to: i64) -> Result<(), Stop> {
        let Some(known) = self.dirs.get(dir) else { return Ok(()) };
        let (Some(live), Some(slot)) = (&known.live, known.slots.get(slot)) else { return Ok(()) };
        let mut offsets = known.recovery.done.clone();
        if let Some(offset) = offsets.get_mut(&slot.name) {
            *offset = (*offset).min(Offset(to));
            let log_dir = std::sync::Arc::clone(&live.log_dir);
            self.write_checkpoint(dir, OffsetCheckpoint::RecoveryPoint, offsets, &log_dir)?;
        }
        Ok(())
    }

    /// A replica finds that the leader's log is another, and cuts its own.
    fn truncate(&mut self, dir: usize, slot: usize) -> Result<(), Stop> {
        if self.is_committing(dir) || self.is_compacted(dir, slot) {
            return Ok(());
        }
        let Some(model) = self.model(dir, slot) else { return Ok(()) };
        let (start, end, durable) = (model.start, model.end(), model.durable);
        // Mostly what nobody was told of, sometimes more (an unclean election).
        let from = if self.draw.one_in(4) { start } else { durable };
        let to = self.draw.span(from, end);
        self.truncate_at(dir, slot, to)
    }

    pub(super) fn truncate_at(&mut self, dir: usize, slot: usize, to: i64) -> Result<(), Stop> {
        let now = self.now();
        let (Some(host), Some(model)) = (self.host(dir, slot), self.model(dir, slot)) else {
            return Ok(());
        };
        let (start, end) = (model.start, model.end());
        if to <= start || to >= end {
            return Ok(());
        }
        let mut kept = start;
        if let Some(model) = self.model_mut(dir, slot) {
            let last = model.from(0).iter().take_while(|entry| entry.last < to).last();
            kept = last.map_or(start, super::model::Entry::next).max(start);
            model.durable = model.durable.min(kept);
            model.written = model.written.min(kept);
            let mut told = host.told();
            told.durable = told.durable.min(kept);
            told.written = told.written.min(kept);
            // Nothing is left that was not deleted: then the log begins anew.
            if kept == start {
                model.restart_at = Some(start);
            }
        }
        self.lower_recovery_point(dir, slot, if kept == start { 0 } else { kept })?;
        let done = host.log().truncate_to(Offset(to), now);
        done.map_err(|error| self.failed("truncating", &error))?;
        let Some(model) = self.model_mut(dir, slot) else { return Ok(()) };
        model.cut(to);
        model.restart_at = None;
        let found = host.log().log_end().0;
        promise!(
            "R4",
            found == model.end(),
            "a log cut at {to} ends at {found}, and not at {}",
            model.end()
        );
        model.written = found;
        model.durable = found;
        model.since = found;
        *host.told() = super::host::Told { written: found, durable: found, ..Default::default() };
        self.outcome.truncations += 1;
        Ok(())
    }

    /// A replica that is too far behind begins anew where the leader's log does.
    pub(super) fn truncate_fully(&mut self, dir: usize, slot: usize) -> Result<(), Stop> {
        let now = self.now();
        let Some(host) = self.host(dir, slot).filter(|_| !self.is_committing(dir)) else {
            return Ok(());
        };
        let Some(model) = self.model_mut(dir, slot) else { return Ok(()) };
        let (start, end) = (model.start, model.end());
        let at = self.draw.span(start, end + 20);
        if let Some(model) = self.model_mut(dir, slot) {
            model.restart_at = Some(at);
            model.written = 0;
            model.durable = 0;
            *host.told() = super::host::Told::default();
        }
        // Until it is done, nothing may be left at all.
        self.lower_recovery_point(dir, slot, 0)?;
        let done = host.log().truncate_fully_and_start_at(Offset(at), now);
        done.map_err(|error| self.failed("truncating", &error))?;
        if let Some(model) = self.model_mut(dir, slot) {
            model.begin_anew(at);
        }
        *host.told() = super::host::Told { written: at, durable: at, ..Default::default() };
        self.outcome.truncations += 1;
        Ok(())
    }

    /// After the last start: the log takes more, keeps it, and gives it out.
    pub(super) fn finish(&mut self) -> Result<(), Stop> {
        for dir in 0..self.dirs.len() {
            for slot in 0..self.slots_in(dir) {
                self.append_data(dir, slot, None)?;
                self.append_idempotent(dir, slot)?;
            }
            self.drain(dir)?;
            for slot in 0..self.slots_in(dir) {
                self.read(dir, slot)?;
                let told = self.host(dir, slot).map_or(0, |host| host.log().written_end().0);
                let end = self.model(dir, slot).map_or(0, super::model::Model::end);
                promise!("L1", told == end, "a commit wrote up to {told} of {end}");
            }
        }
        Ok(())
    }
}
