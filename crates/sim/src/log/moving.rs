//! A partition that moves to another log directory, step by step as the broker does it, and what a
//! start makes of a move that a crash interrupted. Must not know how a copy is filled, nor what is
//! in it.

use std::sync::Arc;

use ottla_env::planted;
use ottla_log::{
    AppendError, CopyError, DirState, FutureLog, LogDir, LogDirEntry, LogError, OffsetCheckpoint,
    Offsets, OpenOptions, PartitionLog, TopicPartition, future_dir,
};
use ottla_partition::ProducerRules;
use ottla_protocol::{Offset, Uuid};

use super::host::Host;
use super::{Slot, World};
use crate::promise;
use crate::violation::Stop;

/// Bytes that nobody ever copies more of at a time.
const ALL: usize = 1 << 30;

/// A copy of a partition in another log directory.
#[derive(Debug)]
pub(super) struct Moving {
    /// Where it moves to.
    to: usize,
    /// The name of the copy's directory.
    name: String,
    /// None: what the last life copied, and nobody has looked at yet.
    copy: Option<FutureLog>,
    /// It takes the log's place: checkpoints know it in both directories.
    arrives: bool,
}

/// A log directory that was opened, and what its checkpoints say.
pub(super) type Opened = (Arc<LogDir>, ottla_log::LoadPoints);

/// The topic's id.
pub(super) fn topic_id(name: &TopicPartition) -> Uuid {
    let last = name.topic.bytes().last().unwrap_or(0);
    Uuid([7_u8.wrapping_add(last); 16])
}

/// How far an arriving partition is in the directory that it moves to, as a checkpoint there has it.
pub(super) fn arriving(
    slot: &Slot,
    dir: usize,
    which: OffsetCheckpoint,
    offset: impl Fn(&PartitionLog) -> Offset,
) -> Option<(TopicPartition, Offset)> {
    let moving = slot.moving.as_ref().filter(|moving| moving.arrives && moving.to == dir)?;
    let offset = match which {
        OffsetCheckpoint::RecoveryPoint => moving.copy.as_ref()?.log_end(),
        OffsetCheckpoint::LogStart | OffsetCheckpoint::HighWatermark => {
            offset(&slot.host.as_ref()?.log())
        }
    };
    Some((slot.name.clone(), offset))
}

impl World {
    pub(super) fn slot_mut(&mut self, dir: usize, slot: usize) -> Option<&mut Slot> {
        self.dirs.get_mut(dir)?.slots.get_mut(slot)
    }

    fn moving_mut(&mut self, dir: usize, slot: usize) -> Option<&mut Moving> {
        self.slot_mut(dir, slot)?.moving.as_mut()
    }

    pub(super) fn is_moving(&self, dir: usize, slot: usize) -> bool {
        let slot = self.dirs.get(dir).and_then(|dir| dir.slots.get(slot));
        slot.is_some_and(|slot| slot.moving.is_some())
    }

    fn log_dir(&self, dir: usize) -> Option<Arc<LogDir>> {
        Some(Arc::clone(&self.dirs.get(dir)?.live.as_ref()?.log_dir))
    }

    /// How a partition's log is opened by who knows nothing else of it.
    pub(super) fn open_options(&self, dir: usize, slot: usize) -> Result<OpenOptions, Stop> {
        let slot = self.dirs.get(dir).and_then(|dir| dir.slots.get(slot)).ok_or(Stop::Over)?;
        Ok(OpenOptions {
            producer_rules: ProducerRules {
                verify_transactions: false,
                ..ProducerRules::default()
            },
            ..OpenOptions::new(Some(topic_id(&slot.name)), slot.config.clone(), self.now())
        })
    }

    /// One step of a move: it begins, another piece is copied, the copy takes the log's place, or
    /// nobody wants it any more.
    pub(super) fn move_on(&mut self, dir: usize, slot: usize) -> Result<(), Stop> {
        if !self.is_moving(dir, slot) {
            return self.begin_move(dir, slot);
        }
        if self.draw.one_in(40) {
            return self.call_off(dir, slot);
        }
        let bytes = *self.draw.pick(&[1, 700, ALL]).unwrap_or(&ALL);
        let has_all = self.copy_piece(dir, slot, bytes)?;
        if has_all && self.draw.one_in(2) {
            self.switch(dir, slot)?;
        }
        Ok(())
    }

    pub(super) fn begin_move(&mut self, dir: usize, slot: usize) -> Result<(), Stop> {
        if self.dirs.len() < 2 || self.host(dir, slot).is_none() {
            return Ok(());
        }
        let to = (dir + 1) % self.dirs.len();
        let (name, copy) = self.begin_copy(dir, slot, to)?;
        if let Some(known) = self.slot_mut(dir, slot) {
            let copy = Some(copy);
            known.moving = Some(Moving { to, name, copy, arrives: false });
        }
        Ok(())
    }

    fn begin_copy(
        &mut self,
        dir: usize,
        slot: usize,
        to: usize,
    ) -> Result<(String, FutureLog), Stop> {
        let mut unique = [0; 16];
        for (to, from) in unique.iter_mut().zip(self.draw.draw().to_be_bytes()) {
            *to = from;
        }
        let options = self.open_options(dir, slot)?;
        let known = self.slot_mut(dir, slot).map(|slot| slot.name.clone());
        let (Some(partition), Some(log_dir)) = (known, self.log_dir(to)) else {
            return Err(Stop::Over);
        };
        let Some(name) = future_dir(&partition, Uuid(unique)) else {
            return Err(Self::broken("sim", "a topic's name is too long".to_owned()));
        };
        let opened = FutureLog::open(&log_dir, &partition, &name, options);
        let copy = opened.map_err(|error| self.failed("beginning a copy", &error))?;
        Ok((name, copy))
    }

    /// What the last life copied, if it is of use still; else a new copy.
    fn resume_copy(&mut self, dir: usize, slot: usize) -> Result<(), Stop> {
        let Some(moving) = self.moving_mut(dir, slot).filter(|moving| moving.copy.is_none()) else {
            return Ok(());
        };
        let (to, name) = (moving.to, moving.name.clone());
        let Some(log_dir) = self.log_dir(to) else { return Err(Stop::Over) };
        let goes_on = match self.is_compacted(dir, slot) {
            true => None,
            false => self.go_on(dir, slot, (&log_dir, &name))?,
        };
        let (name, copy) = match goes_on {
            Some(copy) => {
                self.outcome.moves_resumed += 1;
                (name, copy)
            }
            None => {
                match log_dir.remove(&name) {
                    Err(error) if !error.is_not_found() => {
                        return Err(self.failed("removing a copy", &error));
                    }
                    Ok(()) | Err(_) => {}
                }
                self.begin_copy(dir, slot, to)?
            }
        };
        if let Some(moving) = self.moving_mut(dir, slot) {
            (moving.name, moving.copy) = (name, Some(copy));
        }
        Ok(())
    }

    fn go_on(
        &mut self,
        dir: usize,
        slot: usize,
        (log_dir, name): (&Arc<LogDir>, &str),
    ) -> Result<Option<FutureLog>, Stop> {
        // From its start: no recovery point is kept of copies.
        let options = self.open_options(dir, slot)?;
        let Some(host) = self.host(dir, slot) else { return Err(Stop::Over) };
        let partition = host.log().partition().clone();
        let copy = match FutureLog::open(log_dir, &partition, name, options) {
            Ok(copy) => copy,
            Err(_) if self.was_hurt() => return Err(Stop::Over),
            // It is copied anew.
            Err(_) => return Ok(None),
        };
        let (view, written) = {
            let log = host.log();
            (log.view(), log.written_end())
        };
        match copy.is_copy_of(&view, written) {
            Ok(is_copy) => Ok(is_copy.then_some(copy)),
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    /// Nobody wants the move any more.
    pub(super) fn call_off(&mut self, dir: usize, slot: usize) -> Result<(), Stop> {
        let Some(known) = self.slot_mut(dir, slot) else { return Ok(()) };
        let Some(moving) = known.moving.take() else { return Ok(()) };
        known.noted = dir;
        let gone = match (moving.copy, self.log_dir(moving.to)) {
            (Some(copy), _) => copy.discard(),
            (None, Some(log_dir)) => log_dir.remove(&moving.name),
            (None, None) => Ok(()),
        };
        gone.map_err(|error| self.failed("removing a copy", &error))
    }

    /// Copies some more; whether that is all that is written.
    pub(super) fn copy_piece(
        &mut self,
        dir: usize,
        slot: usize,
        bytes: usize,
    ) -> Result<bool, Stop> {
        self.resume_copy(dir, slot)?;
        let now = self.now();
        let Some(host) = self.host(dir, slot) else { return Ok(false) };
        let (view, written) = {
            let log = host.log();
            (log.view(), log.written_end())
        };
        let Some(copy) = self.moving_mut(dir, slot).and_then(|moving| moving.copy.as_mut()) else {
            return Ok(false);
        };
        let copied = copy.copy(&view, written, bytes, now);
        let end = copy.log_end();
        copied.map_err(|error| self.not_copied(&error))?;
        Ok(end >= written)
    }

    fn not_copied(&mut self, error: &CopyError) -> Stop {
        match error {
            CopyError::Read(error) => self.unreadable(error),
            CopyError::Write(error) | CopyError::Append(AppendError::Failed(error)) => {
                self.failed("copying", error)
            }
            CopyError::Append(_) if self.was_hurt() || self.swarm.beyond => Stop::Over,
            CopyError::Append(error) => Self::broken("R3", format!("while copying: {error}")),
        }
    }

    /// The copy takes the log's place, in the order of `FutureLog`, as the broker keeps it.
    pub(super) fn switch(&mut self, dir: usize, slot: usize) -> Result<(), Stop> {
        if self.swarm.deaths > 0 && self.draw.one_in(3) {
            let operations = self.draw.below_u64(90);
            self.disk.die_after(Some(operations));
        }
        self.resume_copy(dir, slot)?;
        let Some(host) = self.host(dir, slot) else { return Ok(()) };
        let Some(known) = self.slot_mut(dir, slot) else { return Ok(()) };
        let Some(moving) = known.moving.as_mut() else { return Ok(()) };
        let to = moving.to;
        moving.arrives = true;
        // The controller has noted it before.
        known.noted = to;
        let held = host.log().hold();
        held.map_err(|error| self.failed("holding a log", &error))?;
        while self.is_committing(dir) {
            self.commit(dir)?;
        }
        if planted("move-aside-before-copied") {
            self.put_away(dir, &host)?;
        }
        while !self.copy_piece(dir, slot, 700)? {}
        if self.draw.one_in(2) {
            // Clients do not wait.
            self.append_data(dir, slot, None)?;
        }
        if !planted("move-checkpoint-after-promotion") {
            self.checkpoint_all(to)?;
        }
        self.take_place(dir, slot, &host)?;
        if !planted("move-aside-before-copied") {
            self.put_away(dir, &host)?;
        }
        // It is there from now on.
        let needs_commit = host.log().release();
        if let Some(slot) = self.dirs.get(to).map(|dir| dir.slots.len().saturating_sub(1))
            && needs_commit
        {
            self.enqueue(to, slot);
        }
        self.outcome.moves += 1;
        if self.log_dir(dir).is_some_and(|log_dir| log_dir.failure().is_none()) {
            self.checkpoint_all(dir)?;
        }
        self.checkpoint_all(to)
    }

    /// The copy gets its name, and is what is served.
    fn take_place(&mut self, dir: usize, slot: usize, host: &Host) -> Result<(), Stop> {
        let now = self.now();
        let options = self.open_options(dir, slot)?;
        let Some(moving) = self.moving_mut(dir, slot) else { return Err(Stop::Over) };
        let (to, copy) = (moving.to, moving.copy.take());
        let Some(copy) = copy else { return Err(Stop::Over) };
        let promoted = copy.promote().map_err(|error| self.failed("naming a copy", &error))?;
        let opened = promoted.open(options);
        let mut new = opened.map_err(|error| self.failed("opening what was copied", &error))?;
        {
            let mut old = host.log();
            let taken = new.take_over(&mut old, now);
            if let Err(error) = taken {
                drop(old);
                let error = CopyError::Append(error);
                return Err(self.not_copied(&error));
            }
            *old = new;
        }
        // What it was served from is not there any more; where it is, it is the last.
        if let Some(from) = self.dirs.get_mut(dir)
            && slot < from.slots.len()
        {
            let mut moved = from.slots.remove(slot);
            moved.moving = None;
            moved.model.clean = None;
            if let Some(to) = self.dirs.get_mut(to) {
                to.slots.push(moved);
            }
        }
        Ok(())
    }

    /// The old directory gets another name, to be removed later.
    fn put_away(&mut self, dir: usize, host: &Host) -> Result<(), Stop> {
        let Some(log_dir) = self.log_dir(dir) else { return Ok(()) };
        let partition = host.log().partition().clone();
        let moved = self.aside(&log_dir, &partition, DirState::Delete);
        match moved {
            Ok(name) => {
                if self.draw.one_in(2) {
                    let removed = log_dir.remove(&name);
                    removed.map_err(|error| self.failed("removing an old directory", &error))?;
                }
                Ok(())
            }
            // The partition goes on where it is now, and there are two.
            Err(error) if self.was_hurt() && !self.disk.is_dead() => {
                if !error.is_no_space() {
                    log_dir.fail(&error);
                }
                Ok(())
            }
            Err(error) => Err(self.failed("putting an old directory aside", &error)),
        }
    }

    fn aside(
        &mut self,
        log_dir: &LogDir,
        partition: &TopicPartition,
        state: DirState,
    ) -> Result<String, LogError> {
        let mut unique = [9; 16];
        for (to, from) in unique.iter_mut().zip(self.draw.draw().to_be_bytes()) {
            *to = from;
        }
        log_dir.move_aside(partition, Uuid(unique), state)
    }

    fn checkpoint_all(&mut self, dir: usize) -> Result<(), Stop> {
        OffsetCheckpoint::ALL.into_iter().try_for_each(|which| self.checkpoint_of(dir, which))
    }

    /// At a clean stop copies are closed, to be gone on with.
    pub(super) fn close_copies(&mut self) -> Result<(), Stop> {
        let slots = self.dirs.iter_mut().flat_map(|dir| &mut dir.slots);
        let copies: Vec<FutureLog> = slots.filter_map(|slot| slot.moving.take()?.copy).collect();
        for copy in copies {
            copy.close().map_err(|error| self.failed("closing a copy", &error))?;
        }
        Ok(())
    }

    /// A start: in which directory each partition is, and which copies are gone on with. As the
    /// broker: the longer of two logs counts, then what the metadata says.
    pub(super) fn settle_found(&mut self, opened: &[Opened]) -> Result<(), Stop> {
        if self.dirs.len() < 2 {
            return Ok(());
        }
        let mut found = Vec::new();
        for (dir, (log_dir, _)) in opened.iter().enumerate() {
            let listed = log_dir.list();
            let listed = listed.map_err(|error| self.failed("listing partitions", &error))?;
            found.extend(listed.into_iter().map(|entry| (dir, entry)));
        }
        for (dir, entry) in found.iter().filter(|(_, entry)| entry.state == DirState::Delete) {
            self.remove_found(opened, *dir, entry)?;
        }
        let names: Vec<TopicPartition> =
            self.dirs.iter().flat_map(|dir| &dir.slots).map(|slot| slot.name.clone()).collect();
        for name in names {
            self.settle_one(opened, &found, &name)?;
        }
        Ok(())
    }

    fn remove_found(
        &mut self,
        opened: &[Opened],
        dir: usize,
        entry: &LogDirEntry,
    ) -> Result<(), Stop> {
        let Some((log_dir, _)) = opened.get(dir) else { return Ok(()) };
        let gone = log_dir.remove(&entry.name);
        gone.map_err(|error| self.failed("removing a directory", &error))
    }

    pub(super) fn place_of(&self, name: &TopicPartition) -> Option<(usize, usize)> {
        let at = |(dir, known): (usize, &super::Dir)| {
            Some((dir, known.slots.iter().position(|slot| slot.name == *name)?))
        };
        self.dirs.iter().enumerate().find_map(at)
    }

    fn settle_one(
        &mut self,
        opened: &[Opened],
        found: &[(usize, LogDirEntry)],
        name: &TopicPartition,
    ) -> Result<(), Stop> {
        let is = |state: DirState| {
            let of = found.iter().filter(move |(_, e)| e.partition == *name && e.state == state);
            of.map(|(dir, entry)| (*dir, entry))
        };
        let live: Vec<usize> = is(DirState::Live).map(|(dir, _)| dir).collect();
        let mut futures: Vec<(usize, &LogDirEntry)> = is(DirState::Future).collect();
        let Some((dir, slot)) = self.place_of(name) else { return Ok(()) };
        let place = match live.as_slice() {
            [one] => *one,
            [] => self.adopt(opened, &mut futures, (dir, slot))?.unwrap_or(dir),
            several => self.choose_found(opened, several, (dir, slot))?,
        };
        let mut moved = match self.dirs.get_mut(dir) {
            Some(from) => from.slots.remove(slot),
            None => return Ok(()),
        };
        moved.noted = place;
        moved.moving = None;
        let mut unwanted = Vec::new();
        for (at, entry) in futures {
            if at == place || moved.moving.is_some() {
                unwanted.push((at, entry));
                continue;
            }
            let name = entry.name.clone();
            moved.moving = Some(Moving { to: at, name, copy: None, arrives: false });
        }
        if let Some(to) = self.dirs.get_mut(place) {
            // Where it was found, if it did not move.
            let at = if place == dir { slot } else { to.slots.len() };
            to.slots.insert(at, moved);
        }
        unwanted.into_iter().try_for_each(|(at, entry)| self.remove_found(opened, at, entry))
    }

    /// The log is not there, and the controller had noted where the copy is: that is the log now.
    fn adopt(
        &mut self,
        opened: &[Opened],
        futures: &mut Vec<(usize, &LogDirEntry)>,
        (dir, slot): (usize, usize),
    ) -> Result<Option<usize>, Stop> {
        let Some(noted) = self.slot_mut(dir, slot).map(|slot| slot.noted) else { return Ok(None) };
        let Some(at) = futures.iter().position(|(at, _)| *at == noted) else { return Ok(None) };
        let (_, entry) = futures.remove(at);
        let Some((log_dir, _)) = opened.get(noted) else { return Ok(None) };
        let promoted = log_dir.promote(&entry.name, &entry.partition);
        promoted.map_err(|error| self.failed("naming a copy", &error))?;
        if let Some(slot) = self.slot_mut(dir, slot) {
            slot.doubted = true;
        }
        self.outcome.moves_found += 1;
        Ok(Some(noted))
    }

    /// There are two: the longer, then the one that the metadata names. The other is kept aside.
    fn choose_found(
        &mut self,
        opened: &[Opened],
        live: &[usize],
        (dir, slot): (usize, usize),
    ) -> Result<usize, Stop> {
        self.outcome.moves_found += 1;
        let Some(known) = self.slot_mut(dir, slot) else { return Ok(dir) };
        let (name, noted) = (known.name.clone(), known.noted);
        let mut ranked = Vec::new();
        for at in live {
            let Some((log_dir, points)) = opened.get(*at) else { continue };
            let of = |offsets: &Offsets| offsets.get(&name).copied().unwrap_or(Offset::ZERO);
            let options = OpenOptions {
                clean: points.clean.is_some(),
                recovery_point: of(&points.recovery),
                log_start: of(&points.log_start),
                ..self.open_options(dir, slot)?
            };
            let end = match PartitionLog::open(log_dir, &name, options) {
                Ok((log, report)) => {
                    if let Some(model) = self.model_mut(dir, slot) {
                        model.warned |= !report.warnings.is_empty();
                    }
                    log.log_end()
                }
                Err(_) if self.was_hurt() => return Err(Stop::Over),
                Err(error) => {
                    let excused = self.swarm.beyond || self.swarm.stale;
                    promise!("L0", excused, "one of two directories cannot be opened: {error}");
                    // Which is the longer is not known: none is served.
                    self.outcome.refusals += 1;
                    return Err(Stop::Over);
                }
            };
            ranked.push(((end, *at == noted), *at));
        }
        let best = ranked.iter().max_by_key(|(rank, _)| *rank).map_or(dir, |(_, at)| *at);
        for at in live.iter().filter(|at| **at != best) {
            let Some((log_dir, _)) = opened.get(*at) else { continue };
            let aside = self.aside(log_dir, &name, DirState::Stray).map(drop);
            aside.map_err(|error| self.failed("putting a directory aside", &error))?;
        }
        Ok(best)
    }
}
