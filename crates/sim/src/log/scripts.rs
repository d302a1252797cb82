//! Short sequences of what a log does, to be stopped at each of their disk operations. Must not
//! know what a power cut leaves.

use std::sync::Arc;

use ottla_log::{FlushMode, LogConfig, LogDirLimits};
use ottla_protocol::Millis;

use super::swarm::Swarm;
use super::{Dir, Slot, World};
use crate::Outcome;
use crate::disk::{FaultRates, SimDisk};
use crate::enumerate::{Crashed, Script};
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
    StopCleanly,
    /// The process dies; the disk does not.
    Kill,
}

use Do::{
    Append, Checkpoint, Commit, Compact, DeleteRecords, EndTransaction, Flush, Idempotent, Kill,
    NewEpoch, RemoveBuried, Replicate, Retain, Start, Step, StopCleanly, Transaction, Truncate,
    TruncateFully,
};

struct Sequence {
    name: &'static str,
    flush_mode: FlushMode,
    segment_bytes: u32,
    batch_bytes: usize,
    compact: bool,
    before: &'static [Do],
    then: &'static [Do],
}

const LARGE: u32 = 1 << 20;
const SMALL: u32 = 700;
const FILLED: &[Do] =
    &[Start, Append, Append, Append, Commit, Append, Append, Append, Commit, Checkpoint];
const AGED: &[Do] = &[
    Start, Append, Append, Append, Commit, Append, Append, Append, Append, Commit, Compact, Append,
    Append, Append, Idempotent, Commit,
];
const LONG: &[Do] = &[
    Start, Append, Append, Append, Append, Commit, Append, Append, Append, Append, Commit, Append,
    Append, Append, Append, Commit, Checkpoint,
];
const UNDER_WAY: &[Do] = &[Start, Append, Append, Commit, Append, Append, Step, Step, Append, Kill];

const fn sequence(
    name: &'static str,
    segment_bytes: u32,
    before: &'static [Do],
    then: &'static [Do],
) -> Sequence {
    let flush_mode = FlushMode::Durable;
    Sequence { name, flush_mode, segment_bytes, batch_bytes: 150, compact: false, before, then }
}

const fn os(
    name: &'static str,
    segment_bytes: u32,
    before: &'static [Do],
    then: &'static [Do],
) -> Sequence {
    let flush_mode = FlushMode::Os;
    Sequence { name, flush_mode, segment_bytes, batch_bytes: 150, compact: false, before, then }
}

/// With batches of several pages.
const fn large(
    name: &'static str,
    segment_bytes: u32,
    before: &'static [Do],
    then: &'static [Do],
) -> Sequence {
    let flush_mode = FlushMode::Durable;
    Sequence { name, flush_mode, segment_bytes, batch_bytes: 12_000, compact: false, before, then }
}

/// With `cleanup.policy=compact`.
const fn compacted(name: &'static str, before: &'static [Do], then: &'static [Do]) -> Sequence {
    let flush_mode = FlushMode::Durable;
    Sequence {
        name,
        flush_mode,
        segment_bytes: SMALL,
        batch_bytes: 150,
        compact: true,
        before,
        then,
    }
}

const ALL: &[Sequence] = &[
    large(
        "append, several pages",
        LARGE,
        &[Start, Append, Commit],
        &[Append, Append, Append, Commit, Append, Commit],
    ),
    large(
        "roll, several pages",
        14_000,
        &[Start, Append, Append, Commit],
        &[Append, Append, Append, Append, Append, Commit],
    ),
    large("recovery, several pages", 40_000, UNDER_WAY, &[Start, Append, Commit]),
    compacted("compaction", FILLED, &[Compact, RemoveBuried, Append, Commit]),
    compacted("compaction again", AGED, &[Append, Append, Commit, Compact, RemoveBuried]),
    compacted(
        "compaction, transactions",
        &[
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
        ],
        &[Compact, Compact],
    ),
    sequence("retention", SMALL, LONG, &[Retain, Commit, RemoveBuried, Append, Commit]),
    sequence("create", LARGE, &[], &[Start, Append, Commit]),
    sequence("append", LARGE, &[Start, Append, Commit], &[Append, Append, Commit, Append, Commit]),
    sequence("append as replica", LARGE, &[Start, Append, Commit], &[Replicate, Replicate, Commit]),
    sequence("roll", SMALL, FILLED, &[Append, Append, Append, Append, Commit, Append, Commit]),
    os(
        "roll, flush.mode=os",
        SMALL,
        FILLED,
        &[Append, Append, Commit, Append, Append, Append, Commit, Checkpoint],
    ),
    os("flush, flush.mode=os", LARGE, FILLED, &[Append, Commit, Append, Commit, Flush, Checkpoint]),
    sequence(
        "checkpoint",
        LARGE,
        FILLED,
        &[Append, Commit, Checkpoint, Append, Commit, Checkpoint],
    ),
    sequence("leader epoch", LARGE, FILLED, &[NewEpoch, Append, Commit, NewEpoch, Append, Commit]),
    sequence(
        "transactions",
        SMALL,
        FILLED,
        &[
            Transaction,
            Idempotent,
            EndTransaction,
            Commit,
            Transaction,
            Append,
            EndTransaction,
            Commit,
        ],
    ),
    os(
        "transactions, os",
        SMALL,
        FILLED,
        &[Transaction, EndTransaction, Commit, Append, Append, Append, Commit, Checkpoint],
    ),
    sequence("delete records", SMALL, LONG, &[DeleteRecords, Commit, Append, Commit]),
    sequence("truncate", LARGE, FILLED, &[Truncate, Append, Commit]),
    sequence("truncate over segments", SMALL, FILLED, &[Truncate, Append, Commit]),
    sequence("truncate fully", SMALL, FILLED, &[TruncateFully, Append, Commit]),
    sequence("clean stop", SMALL, FILLED, &[Append, Transaction, StopCleanly]),
    sequence(
        "clean start",
        SMALL,
        &[Start, Append, Transaction, Append, Commit, StopCleanly],
        &[Start, Append, Commit],
    ),
    sequence("recovery", LARGE, UNDER_WAY, &[Start, Append, Commit]),
    sequence("recovery of segments", SMALL, UNDER_WAY, &[Start, Append, Commit]),
    os("recovery, flush.mode=os", SMALL, UNDER_WAY, &[Start, Append, Commit]),
];

struct LogScript(&'static Sequence);

pub(super) fn all() -> Vec<Box<dyn Script>> {
    ALL.iter().map(|sequence| Box::new(LogScript(sequence)) as Box<dyn Script>).collect()
}

impl Script for LogScript {
    fn name(&self) -> &'static str {
        self.0.name
    }

    fn play(&self, operations: Option<u64>) -> Result<Box<dyn Crashed>, Violation> {
        let mut world = World::scripted(self.0);
        let stopped = |stop| match stop {
            Stop::Violation(violation) => violation,
            Stop::Over => {
                Violation { id: "sim", what: "a sequence ended before the crash".to_owned() }
            }
        };
        for step in self.0.before {
            world.play(*step).map_err(stopped)?;
        }
        let before = world.disk.operations();
        world.disk.die_after(operations);
        for step in self.0.then {
            match world.play(*step) {
                Ok(()) => {}
                Err(Stop::Over) => break,
                Err(Stop::Violation(violation)) => return Err(violation),
            }
        }
        world.note_told();
        let operations = world.disk.operations() - before;
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
    fn scripted(sequence: &Sequence) -> Self {
        let mut world = Self::new(7, false);
        let mut draw = world.draw.fork();
        world.swarm = Swarm {
            dirs: 1,
            partitions: 1,
            batch_bytes: sequence.batch_bytes,
            limits: LogDirLimits { open_files: 8, tail_bytes: 1000 },
            rates: FaultRates::default(),
            derived_damage: 0,
            beyond: false,
            ..Swarm::draw(&mut draw)
        };
        world.dirs.truncate(1);
        if let Some(dir) = world.dirs.first_mut() {
            dir.slots.truncate(1);
            for slot in &mut dir.slots {
                slot.config = LogConfig {
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
            }
        }
        world
    }

    fn play(&mut self, step: Do) -> Result<(), Stop> {
        self.clock.advance_ms(5);
        match step {
            Do::Start => self.restart(),
            Do::Append => self.append_data(0, 0, None),
            Do::Replicate => self.append_replica(0, 0),
            Do::Idempotent => self.append_idempotent(0, 0),
            Do::Transaction => self.append_in_transaction(0, 0),
            Do::EndTransaction => {
                // Whichever producer has one.
                (0..20).try_for_each(|_| self.end_transaction(0, 0))
            }
            Do::NewEpoch => self.new_epoch(0, 0),
            Do::Step => self.commit(0),
            Do::Commit => self.drain(0),
            Do::Flush => self.flush(0, 0),
            Do::Checkpoint => self.checkpoint(0),
            Do::DeleteRecords => {
                let end = self.model(0, 0).map_or(0, super::model::Model::end);
                self.delete_below(0, 0, end / 2)
            }
            Do::Truncate => {
                let start = self.model(0, 0).map_or((0, 0), |model| (model.start, model.end()));
                self.truncate_at(0, 0, (start.0 + start.1) / 2)
            }
            Do::TruncateFully => self.truncate_fully(0, 0),
            Do::Compact => self.compact(0, 0),
            Do::Retain => (0..20).try_for_each(|_| self.retain(0, 0)),
            Do::RemoveBuried => self.remove_buried(0),
            Do::StopCleanly => self.stop_cleanly(),
            Do::Kill => {
                self.end_process();
                self.only_synced_is_safe = false;
                self.disk.kill();
                Ok(())
            }
        }
    }

    /// Everything in memory is gone.
    pub(super) fn end_process(&mut self) {
        self.note_told();
        for dir in &mut self.dirs {
            dir.live = None;
            dir.slots.iter_mut().for_each(|slot| slot.host = None);
        }
    }

    /// The same models, with a disk that a power cut left.
    fn after_cut(&self, disk: SimDisk) -> Self {
        let slot = |slot: &Slot| {
            let mut model = slot.model.clone();
            model.written = model.durable;
            Slot { name: slot.name.clone(), config: slot.config.clone(), host: None, model }
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
    fn a_truncation_that_was_not_begun_leaves_the_producers() {
        let mut world = World::scripted(&sequence("", LARGE, &[], &[]));
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
