//! What a run did, in numbers. Must not know what was right.

use crate::disk::{Injected, SimDisk};

/// What one seed, or many together, did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Lives of the simulated process.
    pub lives: u64,
    /// Steps taken in them.
    pub steps: u64,
    /// Disk operations.
    pub operations: u64,
    /// Power cuts.
    pub power_cuts: u64,
    /// Kills, without a power cut.
    pub kills: u64,
    /// Clean stops.
    pub clean_stops: u64,
    /// Logs opened after a crash or a stop.
    pub recoveries: u64,
    /// Of these, held against the model in full.
    pub checks: u64,
    /// Refusals of what was damaged beyond the promise.
    pub refusals: u64,
    /// Batches appended.
    pub appends: u64,
    /// Commits that reached a stage.
    pub commits: u64,
    /// Reads held against the model.
    pub reads: u64,
    /// Truncations.
    pub truncations: u64,
    /// Passes of compaction.
    pub compactions: u64,
    /// Log starts moved by retention.
    pub retentions: u64,
    /// Partitions that moved to another log directory.
    pub moves: u64,
    /// Moves that a crash left in two directories, or with a copy alone.
    pub moves_found: u64,
    /// Copies that were gone on with after a start.
    pub moves_resumed: u64,
    /// Indexes and snapshots lost or damaged on purpose.
    pub derived_damaged: u64,
    /// Faults.
    pub injected: Injected,
    /// Fingerprint of all disk operations; of several runs, of all of them in any order.
    pub trace: u64,
}

impl Outcome {
    /// Adds another run's numbers.
    pub fn add(&mut self, other: &Self) {
        self.lives += other.lives;
        self.steps += other.steps;
        self.operations += other.operations;
        self.power_cuts += other.power_cuts;
        self.kills += other.kills;
        self.clean_stops += other.clean_stops;
        self.recoveries += other.recoveries;
        self.checks += other.checks;
        self.refusals += other.refusals;
        self.appends += other.appends;
        self.commits += other.commits;
        self.reads += other.reads;
        self.truncations += other.truncations;
        self.compactions += other.compactions;
        self.retentions += other.retentions;
        self.moves += other.moves;
        self.moves_found += other.moves_found;
        self.moves_resumed += other.moves_resumed;
        self.derived_damaged += other.derived_damaged;
        self.injected.add(&other.injected);
        self.trace ^= other.trace;
    }

    /// With what a disk counted.
    #[must_use]
    pub(crate) fn on(mut self, disk: &SimDisk) -> Self {
        self.operations = disk.operations();
        self.injected = disk.injected();
        self.trace = disk.trace();
        self
    }

    /// Crashes of both kinds.
    #[must_use]
    pub fn crashes(&self) -> u64 {
        self.power_cuts + self.kills
    }
}
