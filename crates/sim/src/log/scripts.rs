//! Short sequences of what a log does, to be stopped at each of their disk operations. Must not
//! know what a power cut leaves.

use std::sync::Arc;

use ottla_log::{FlushMode, LogConfig, LogDirLimits, TopicPartition};
use ottla_protocol::Millis;

use super::model::Model;
use super::swarm::Swarm;
use super::{Dir, Slot, World};
use crate::Outcome;
use crate::disk::{FaultRates, SimDisk};
use crate::enumerate::{Crashed, Script, play_until_death};
use crate::violation::{Stop, Violation};

/// What a sequence is made of.
#[derive(Clone, Copy, Debug)]
enum Do {
    Start,
    Append,
    Replicate,
    Idempotent,
    Transaction,
    EndTransaction,
    NewEpoch,
    /// One step of the committer.
    Step,
    /// Until nothing is left.
    Commit,
    Flush,
    Checkpoint,
    DeleteRecords,
    Truncate,
    TruncateFully,
    Compact,
    Retain,
    RemoveBuried,
    /// A copy in the other log directory is begun.
    BeginMove,
    /// A piece of it is copied.
    CopySome,
    /// All that is written.
    CopyAll,
    /// The copy takes the log's place.
    Switch,
    StopCleanly,
    /// From here on there is no space, now and then.
    Scarce,
    /// The process dies; the disk does not.
    Kill,
}

use Do::{
    Append, BeginMove, Checkpoint, Commit, Compact, CopyAll, CopySome, DeleteRecords,
    EndTransaction, Flush, Idempotent, Kill, NewEpoch, RemoveBuried, Replicate, Retain, Scarce,
    Start, Step, StopCleanly, Switch, Transaction, Truncate, TruncateFully,
};

#[derive(Clone, Copy)]
struct Sequence {
    name: &'static str,
    flush_mode: FlushMode,
    segment_bytes: u32,
    batch_bytes: usize,
    compact: bool,
    /// Log directories; all partitions are in the first of them.
    dirs: usize,
    /// Each step is done to all of them.
    partitions: usize,
    /// Played so many times, with batches of other sizes each time.
    variants: u64,
    before: &'static [Do],
    then: &'static [Do],
}

const SMALL: u32 = 700;
const LARGE: u32 = 1 << 20;
const PAGES: usize = 12_000;
const FILLED: &[Do] =
    &[Start, Append, Append, Append, Commit, Append, Append, Append, Commit, Checkpoint];
const KNOWN: &[Do] = &[
    Start, Idempotent, Idempotent, Append, Commit, Idempotent, Append, Append, Commit, Checkpoint,
];
const AGED: &[Do] = &[
    Start, Append, Append, Append, Commit, Append, Append, Append, Append, Commit, Compact, Append,
    Append, Append, Idempotent, Commit,
];
const LONG: &[Do] = &[
    Start, Append, Append, Append, Append, Commit, Append, Append, Append, Append, Commit, Append,
    Append, Append, Append, Commit, Checkpoint,
];
const UNDER_WAY: &[Do] = &[Start, Append, Append, Commit, Append, Append, Step, Step, Append, Kill];
const TOLD: &[Do] = &[
    Start,
    Transaction,
    Append,
    EndTransaction,
    Append,
    Append,
    Commit,
    Transaction,
    EndTransaction,
    Append,
    Append,
    Append,
    Commit,
    Checkpoint,
];

/// Small batches in one large segment.
const fn sequence(name: &'static str, before: &'static [Do], then: &'static [Do]) -> Sequence {
    Sequence {
        name,
        flush_mode: FlushMode::Durable,
        segment_bytes: LARGE,
        batch_bytes: 150,
        compact: false,
        dirs: 1,
        partitions: 1,
        variants: 1,
        before,
        then,
    }
}

impl Sequence {
    const fn segments(self, segment_bytes: u32) -> Self {
        Self { segment_bytes, ..self }
    }

    /// In small segments.
    const fn small(self) -> Self {
        self.segments(SMALL)
    }

    const fn os(self) -> Self {
        Self { flush_mode: FlushMode::Os, ..self }
    }

    const fn compacted(self) -> Self {
        Self { compact: true, ..self }
    }

    /// With batches of several pages.
    const fn pages(self) -> Self {
        Self { batch_bytes: PAGES, variants: 2, ..self }
    }

    const fn varied(self, variants: u64) -> Self {
        Self { variants, ..self }
    }

    const fn of_two(self) -> Self {
        Self { partitions: 2, ..self }
    }

    /// With a second log directory.
    const fn moves(self) -> Self {
        Self { dirs: 2, ..self }
    }
}

const APPENDS: &[Do] = &[Append, Append, Commit, Append, Commit];
const ROLLS: &[Do] = &[Append, Append, Append, Append, Commit, Append, Commit];
const OS_ROLLS: &[Do] = &[Append, Append, Commit, Append, Append, Append, Commit, Checkpoint];
const TRANSACTIONS: &[Do] =
    &[Transaction, Idempotent, EndTransaction, Commit, Transaction, Append, EndTransaction, Commit];
const EPOCHS: &[Do] = &[NewEpoch, Append, Commit, NewEpoch, Append, Commit];
const CHECKPOINTS: &[Do] = &[Append, Commit, Checkpoint, Append, Commit, Checkpoint];

const ALL: &[Sequence] = &[
    sequence("create", &[], &[Start, Append, Commit]),
    sequence("create two", &[], &[Start, Append, Commit]).of_two(),
    sequence("append", &[Start, Append, Commit], APPENDS),
    sequence(
        "append, pages",
        &[Start, Append, Commit],
        &[Append, Append, Append, Commit, Append, Commit],
    )
    .pages(),
    sequence("append to two, pages", &[Start, Append, Commit], APPENDS).pages().of_two(),
    sequence("append as replica", &[Start, Append, Commit], &[Replicate, Replicate, Commit]),
    sequence("append as replica, pages", &[Start, Append, Commit], &[Replicate, Replicate, Commit])
        .pages(),
    sequence("roll", FILLED, ROLLS).small(),
    sequence("roll of two", FILLED, ROLLS).small().of_two(),
    sequence(
        "roll, pages",
        &[Start, Append, Append, Commit],
        &[Append, Append, Append, Append, Append, Commit],
    )
    .pages()
    .segments(14_000),
    sequence("roll, os", FILLED, OS_ROLLS).small().os(),
    sequence("roll, os, pages", FILLED, OS_ROLLS).pages().segments(20_000).os(),
    sequence("flush, os", FILLED, &[Append, Commit, Append, Commit, Flush, Checkpoint]).os(),
    sequence("flush, os, pages", FILLED, &[Append, Commit, Append, Commit, Flush, Checkpoint])
        .pages()
        .os(),
    sequence("checkpoint", FILLED, CHECKPOINTS),
    sequence("checkpoint, pages", FILLED, CHECKPOINTS).pages().segments(30_000),
    sequence("leader epoch", FILLED, EPOCHS),
    sequence("leader epoch, pages", FILLED, EPOCHS).pages().segments(30_000),
    sequence("transactions", FILLED, TRANSACTIONS).small(),
    sequence("transactions, pages", FILLED, TRANSACTIONS).pages().segments(20_000),
    sequence(
        "transactions, os",
        FILLED,
        &[Transaction, EndTransaction, Commit, Append, Append, Append, Commit, Checkpoint],
    )
    .small()
    .os(),
    sequence("compaction", FILLED, &[Compact, RemoveBuried, Append, Commit]).small().compacted(),
    sequence("compaction, pages", LONG, &[Compact, RemoveBuried, Append, Commit])
        .pages()
        .segments(20_000)
        .compacted(),
    sequence("compaction again", AGED, &[Append, Append, Commit, Compact, RemoveBuried])
        .small()
        .compacted(),
    sequence("compaction, transactions", TOLD, &[Compact, Compact]).small().compacted(),
    sequence("compaction, transactions, pages", TOLD, &[Compact, Compact])
        .pages()
        .segments(20_000)
        .compacted(),
    sequence(
        "roll without space",
        FILLED,
        &[Scarce, Append, Append, Append, Append, Append, Commit],
    )
    .small()
    .varied(6),
    sequence("retention", LONG, &[Retain, Commit, RemoveBuried, Append, Commit]).small(),
    sequence("retention, pages", LONG, &[Retain, Append, Commit, RemoveBuried, Append, Commit])
        .pages()
        .segments(20_000),
    sequence("delete records", LONG, &[DeleteRecords, Commit, Append, Commit]).small(),
    sequence("delete records, pages", LONG, &[Append, DeleteRecords, Commit, Append, Commit])
        .pages()
        .segments(20_000),
    sequence("truncate", FILLED, &[Truncate, Append, Commit]),
    sequence("truncate over segments", FILLED, &[Truncate, Append, Commit]).small(),
    sequence("truncate, pages", FILLED, &[Append, Truncate, Append, Commit])
        .pages()
        .segments(20_000),
    sequence("truncate fully", KNOWN, &[TruncateFully, Idempotent, Commit]).small(),
    sequence("truncate fully, pages", KNOWN, &[Append, TruncateFully, Append, Commit])
        .pages()
        .segments(20_000),
    sequence("clean stop", FILLED, &[Append, Transaction, StopCleanly]).small(),
    sequence("clean stop, pages", FILLED, &[Append, Transaction, StopCleanly])
        .pages()
        .segments(20_000),
    sequence(
        "clean start",
        &[Start, Append, Transaction, Append, Commit, StopCleanly],
        &[Start, Append, Commit],
    )
    .small(),
    sequence("recovery", UNDER_WAY, &[Start, Append, Commit]),
    sequence("recovery of segments", UNDER_WAY, &[Start, Append, Commit]).small(),
    sequence("recovery, pages", UNDER_WAY, &[Start, Append, Commit]).pages().segments(40_000),
    sequence("recovery of segments, pages", UNDER_WAY, &[Start, Append, Commit])
        .pages()
        .segments(14_000),
    sequence("recovery, os", UNDER_WAY, &[Start, Append, Commit]).small().os(),
    sequence("recovery, os, pages", UNDER_WAY, &[Start, Append, Commit])
        .pages()
        .segments(14_000)
        .os(),
];

const MOVE: &[Do] = &[BeginMove, CopySome, Append, Commit, CopyAll, Append, Switch, Append, Commit];

/// A partition moves to another log directory.
const MOVES: &[Sequence] = &[
    sequence("move", FILLED, MOVE).moves().varied(2),
    sequence("move of segments", FILLED, MOVE).small().moves().varied(3),
    sequence("move, pages", FILLED, MOVE).pages().segments(30_000).moves(),
    sequence("move, os", FILLED, MOVE).small().os().moves().varied(2),
    sequence("move, os, pages", FILLED, MOVE).pages().segments(20_000).os().moves(),
    sequence("move of two", FILLED, MOVE).small().of_two().moves(),
    sequence(
        "move, transactions",
        TOLD,
        &[Transaction, Commit, BeginMove, CopyAll, EndTransaction, Switch, EndTransaction, Commit],
    )
    .small()
    .moves()
    .varied(2),
    sequence(
        "move of what was deleted",
        LONG,
        &[DeleteRecords, BeginMove, CopyAll, DeleteRecords, Switch, DeleteRecords, Append, Commit],
    )
    .moves()
    .varied(3),
    sequence(
        "move of what was compacted",
        AGED,
        &[BeginMove, CopyAll, Switch, Append, Commit, Compact, RemoveBuried],
    )
    .small()
    .compacted()
    .moves(),
    sequence(
        "move back",
        &[Start, Append, Append, Append, Commit, BeginMove, CopyAll, Switch, Append, Commit],
        &[BeginMove, CopyAll, Append, Switch, Append, Commit, Checkpoint],
    )
    .small()
    .moves()
    .varied(2),
    sequence(
        "move that goes on",
        &[Start, Append, Append, Commit, BeginMove, CopySome, Append, Append, Commit, Kill],
        &[Start, Append, Commit, CopyAll, Append, Switch, Append, Commit],
    )
    .small()
    .moves()
    .varied(2),
    sequence(
        "move that goes on, pages",
        &[Start, Append, Append, Commit, BeginMove, CopySome, Append, Step, Step, CopyAll, Kill],
        &[Start, Append, Commit, CopyAll, Append, Switch, Append, Commit],
    )
    .pages()
    .segments(30_000)
    .moves(),
    sequence(
        "move over a clean stop",
        &[Start, Append, Append, Commit, BeginMove, CopySome, Append],
        &[StopCleanly, Start, CopyAll, Append, Switch, Append, StopCleanly],
    )
    .small()
    .moves(),
];

struct LogScript {
    sequence: &'static Sequence,
    variant: u64,
}

pub(super) fn all() -> Vec<Box<dyn Script>> {
    let script = |sequence: &'static Sequence| {
        (0..sequence.variants)
            .map(move |variant| Box::new(LogScript { sequence, variant }) as Box<dyn Script>)
    };
    ALL.iter().chain(MOVES).flat_map(script).collect()
}

impl Script for LogScript {
    fn name(&self) -> String {
        match self.variant {
            0 => self.sequence.name.to_owned(),
            variant => format!("{}, {}", self.sequence.name, variant + 1),
        }
    }

    fn play(&self, operations: Option<u64>) -> Result<Box<dyn Crashed>, Violation> {
        let mut world = World::scripted(self.sequence, self.variant);
        let disk = world.disk.clone();
        let steps = (self.sequence.before, self.sequence.then);
        let operations = play_until_death(&disk, steps, operations, |step| world.play(step))?;
        world.note_told();
        Ok(Box::new(CrashedLog { world, operations }))
    }
}

struct CrashedLog {
    world: World,
    operations: u64,
}

impl Crashed for CrashedLog {
    fn disk(&self) -> &SimDisk {
        &self.world.disk
    }

    fn operations(&self) -> u64 {
        self.operations
    }

    fn start_from(&self, disk: SimDisk) -> Result<(), Violation> {
        let mut world = self.world.after_cut(disk);
        let over = |stop| match stop {
            Stop::Violation(violation) => Some(violation),
            Stop::Over => None,
        };
        world.restart().map_err(over).or_else(|over| over.map_or(Ok(()), Err))?;
        // What was accepted is on stable storage: another cut takes nothing of it (L5).
        world.note_told();
        let again = world.after_least();
        let mut world = world.after_cut(again);
        world.restart().map_err(over).or_else(|over| over.map_or(Ok(()), Err))?;
        world.finish().map_err(over).or_else(|over| over.map_or(Ok(()), Err))
    }
}

impl World {
    fn scripted(sequence: &Sequence, variant: u64) -> Self {
        let mut world = Self::new(7 + variant, false);
        let mut draw = world.draw.fork();
        world.swarm = Swarm {
            dirs: sequence.dirs,
            partitions: sequence.partitions,
            deaths: 0,
            batch_bytes: sequence.batch_bytes,
            limits: LogDirLimits {
                open_files: 8,
                tail_bytes: 1000,
                tail_share_bytes: 600,
                removal_step_bytes: 100,
            },
            rates: FaultRates::default(),
            derived_damage: 0,
            stale: false,
            beyond: false,
            ..Swarm::draw(&mut draw)
        };
        let config = LogConfig {
            segment_bytes: sequence.segment_bytes,
            segment_ms: Millis(1 << 40),
            index_interval_bytes: 100,
            flush_mode: sequence.flush_mode,
            tail_bytes: 500,
            compact: sequence.compact,
            file_delete_delay: Millis(0),
            max_decompressed_bytes: 1 << 20,
            ..LogConfig::default()
        };
        let slots = (0..sequence.partitions).map(|number| Slot {
            name: TopicPartition::new("t0", i32::try_from(number).unwrap_or(0)),
            config: config.clone(),
            host: None,
            model: Model::default(),
            moving: None,
            noted: 0,
            doubted: false,
        });
        world.dirs = (0..sequence.dirs).map(Dir::at).collect();
        if let Some(dir) = world.dirs.first_mut() {
            dir.slots = slots.collect();
        }
        world
    }

    /// A step, done to each partition or to all together.
    fn play(&mut self, step: Do) -> Result<(), Stop> {
        self.clock.advance_ms(5);
        match step {
            Do::Start => self.restart(),
            Do::Step => self.in_each_dir(Self::commit),
            Do::Commit => self.in_each_dir(Self::drain),
            Do::Checkpoint => self.in_each_dir(Self::checkpoint),
            Do::RemoveBuried => self.in_each_dir(Self::remove_buried),
            Do::StopCleanly => self.stop_cleanly(),
            Do::Scarce => {
                self.disk.set_rates(FaultRates { no_space: 150_000, ..FaultRates::default() });
                Ok(())
            }
            Do::Kill => {
                self.end_process();
                self.only_synced_is_safe = false;
                self.disk.kill();
                Ok(())
            }
            Do::Append
            | Do::Replicate
            | Do::Idempotent
            | Do::Transaction
            | Do::EndTransaction
            | Do::NewEpoch
            | Do::Flush
            | Do::DeleteRecords
            | Do::Truncate
            | Do::TruncateFully
            | Do::Compact
            | Do::Retain
            | Do::BeginMove
            | Do::CopySome
            | Do::CopyAll
            | Do::Switch => {
                let slots = self.dirs.iter().flat_map(|dir| &dir.slots);
                let names: Vec<_> = slots.map(|slot| slot.name.clone()).collect();
                names.iter().try_for_each(|name| match self.place_of(name) {
                    Some((dir, slot)) => self.play_in(dir, slot, step),
                    None => Ok(()),
                })
            }
        }
    }

    fn in_each_dir(
        &mut self,
        mut act: impl FnMut(&mut Self, usize) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        (0..self.dirs.len()).try_for_each(|dir| act(self, dir))
    }

    fn play_in(&mut self, dir: usize, slot: usize, step: Do) -> Result<(), Stop> {
        let (start, end) = self.model(dir, slot).map_or((0, 0), |model| (model.start, model.end()));
        match step {
            Do::Append => self.append_data(dir, slot, None),
            Do::Replicate => self.append_replica(dir, slot),
            Do::Idempotent => self.append_idempotent(dir, slot),
            Do::Transaction => self.append_in_transaction(dir, slot),
            // Whichever producer has one.
            Do::EndTransaction => (0..20).try_for_each(|_| self.end_transaction(dir, slot)),
            Do::NewEpoch => self.new_epoch(dir, slot),
            Do::Flush => self.flush(dir, slot),
            Do::DeleteRecords => {
                // What is to go must be durable.
                let durable = self.host(dir, slot).map_or(0, |host| host.log().durable_end().0);
                self.delete_below(dir, slot, (end / 2).min(durable))
            }
            Do::Truncate => self.truncate_at(dir, slot, i64::midpoint(start, end)),
            Do::TruncateFully => self.truncate_fully(dir, slot),
            Do::Compact => self.compact(dir, slot),
            Do::Retain => (0..20).try_for_each(|_| self.retain(dir, slot)),
            Do::BeginMove => self.begin_move(dir, slot),
            Do::CopySome => self.copy_piece(dir, slot, 1).map(drop),
            Do::CopyAll => {
                while !self.copy_piece(dir, slot, 1000)? {}
                Ok(())
            }
            Do::Switch => self.switch(dir, slot),
            Do::Start
            | Do::Step
            | Do::Commit
            | Do::Checkpoint
            | Do::RemoveBuried
            | Do::StopCleanly
            | Do::Scarce
            | Do::Kill => Ok(()),
        }
    }

    /// Everything in memory is gone.
    pub(super) fn end_process(&mut self) {
        self.note_told();
        for dir in &mut self.dirs {
            dir.live = None;
            for slot in &mut dir.slots {
                slot.host = None;
                slot.moving = None;
            }
        }
    }

    /// The same models, with a disk that a power cut left.
    fn after_cut(&self, disk: SimDisk) -> Self {
        let slot = |slot: &Slot| {
            let mut model = slot.model.clone();
            model.written = model.durable;
            Slot {
                name: slot.name.clone(),
                config: slot.config.clone(),
                host: None,
                model,
                moving: None,
                noted: slot.noted,
                doubted: false,
            }
        };
        let dir = |dir: &Dir| Dir {
            path: dir.path.clone(),
            live: None,
            slots: dir.slots.iter().map(slot).collect(),
            recovery: dir.recovery.clone(),
            log_start: dir.log_start.clone(),
            marker_begun: dir.marker_begun,
            marker_done: dir.marker_done,
        };
        Self {
            disk,
            clock: Arc::clone(&self.clock),
            draw: self.draw.clone(),
            swarm: self.swarm.clone(),
            dirs: self.dirs.iter().map(dir).collect(),
            errors_before: 0,
            lies_before: 0,
            syncs_before: 0,
            only_synced_is_safe: true,
            damaged_before_start: false,
            outcome: Outcome::default(),
            verbose: self.verbose,
        }
    }

    /// The disk after a power cut that leaves nothing of what was not synced.
    fn after_least(&self) -> SimDisk {
        let disk = self.disk.fork();
        disk.forget_unsynced();
        disk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_moved_is_found_where_it_is() {
        let mut world = World::scripted(&sequence("", &[], &[]).moves(), 0);
        let moves = [Start, Append, Commit, BeginMove, CopyAll, Append, Switch, Append, Commit];
        let again = [Kill, Start, BeginMove, CopySome, Kill, Start, CopyAll, Switch, Kill, Start];
        moves.into_iter().try_for_each(|step| world.play(step)).unwrap();
        assert_eq!((world.slots_in(0), world.slots_in(1)), (0, 1));
        again.into_iter().try_for_each(|step| world.play(step)).unwrap();
        assert_eq!((world.slots_in(0), world.slots_in(1)), (1, 0));
        assert_eq!((world.outcome.moves, world.outcome.moves_resumed), (2, 1));
        world.finish().unwrap();
    }

    #[test]
    fn a_truncation_that_was_not_begun_leaves_the_producers() {
        let mut world = World::scripted(&sequence("", &[], &[]), 0);
        let steps = [Start, Idempotent, Idempotent, Idempotent, Idempotent, Commit];
        steps.into_iter().try_for_each(|step| world.play(step)).unwrap();
        let end = world.model(0, 0).unwrap().end();
        world.delete_below(0, 0, end).unwrap();
        world.model_mut(0, 0).unwrap().restart_at = Some(end);
        world.play(Kill).unwrap();
        world.play(Start).unwrap();
        assert!(!world.model(0, 0).unwrap().entries.is_empty());
        // Whoever goes on, in order, is not refused for what the model forgot.
        for _ in 0..10 {
            world.play(Idempotent).unwrap();
        }
        // One that was: nothing is left.
        let end = world.model(0, 0).unwrap().end();
        let host = world.host(0, 0).unwrap();
        world.play(Commit).unwrap();
        world.model_mut(0, 0).unwrap().restart_at = Some(end);
        host.log().truncate_fully_and_start_at(ottla_protocol::Offset(end), world.now()).unwrap();
        drop(host);
        world.play(Kill).unwrap();
        world.play(Start).unwrap();
        assert!(world.model(0, 0).unwrap().entries.is_empty());
        world.play(Idempotent).unwrap();
    }
}
