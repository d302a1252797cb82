//! What one seed tries: sizes, faults, how often each thing is done. Must not know what comes out.

use ottla_log::{FlushMode, LogConfig, LogDirLimits};
use ottla_protocol::Millis;

use crate::choose::{Choose, Draw};
use crate::disk::{FaultRates, NameOrder};

/// How often each step is taken, relative to the others.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    pub(super) steps: Vec<(Step, usize)>,
}

/// What the process may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Append,
    AppendReplica,
    Idempotent,
    Resend,
    OutOfOrder,
    Transaction,
    EndTransaction,
    NewEpoch,
    Commit,
    Flush,
    Read,
    ReadCommitted,
    Time,
    DeleteRecords,
    Checkpoint,
    DurableEnds,
    Truncate,
    TruncateFully,
    Evict,
    Compact,
    Retain,
    RemoveBuried,
    Move,
}

const ALL: [(Step, usize); 22] = [
    (Step::Append, 30),
    (Step::AppendReplica, 4),
    (Step::Idempotent, 16),
    (Step::Resend, 4),
    (Step::OutOfOrder, 2),
    (Step::Transaction, 12),
    (Step::EndTransaction, 8),
    (Step::NewEpoch, 3),
    (Step::Commit, 60),
    (Step::Flush, 2),
    (Step::Read, 12),
    (Step::ReadCommitted, 8),
    (Step::Time, 6),
    (Step::DeleteRecords, 3),
    (Step::Checkpoint, 6),
    (Step::DurableEnds, 12),
    (Step::Truncate, 2),
    (Step::TruncateFully, 1),
    (Step::Evict, 3),
    (Step::Compact, 12),
    (Step::Retain, 2),
    (Step::RemoveBuried, 3),
];

impl Weights {
    fn draw(draw: &mut Draw) -> Self {
        let steps = ALL.into_iter().map(|(step, weight)| {
            let always = matches!(step, Step::Append | Step::Commit);
            let weight = match draw.below(6) {
                0 if !always => 0,
                1 => weight * 3,
                _ => weight,
            };
            (step, weight)
        });
        Self { steps: steps.collect() }
    }

    /// Where partitions can move.
    fn with_moves(mut self, draw: &mut Draw) -> Self {
        self.steps.push((Step::Move, *draw.pick(&[0, 30, 90]).unwrap_or(&30)));
        self
    }

    pub(super) fn pick(&self, draw: &mut Draw) -> Step {
        let total: usize = self.steps.iter().map(|(_, weight)| weight).sum();
        let mut left = draw.below(total.max(1));
        for (step, weight) in &self.steps {
            if left < *weight {
                return *step;
            }
            left -= weight;
        }
        Step::Commit
    }
}

/// What one seed tries.
#[derive(Clone, Debug)]
pub(super) struct Swarm {
    pub(super) dirs: usize,
    pub(super) partitions: usize,
    pub(super) lives: usize,
    pub(super) steps_max: usize,
    pub(super) batch_bytes: usize,
    pub(super) limits: LogDirLimits,
    /// From so many files on a group syncs the whole file system.
    pub(super) whole_from: usize,
    pub(super) weights: Weights,
    pub(super) rates: FaultRates,
    pub(super) order: NameOrder,
    /// In so many of 1,000 lives the disk dies at some operation.
    pub(super) deaths: u32,
    /// In so many of 1,000 crashes the power is cut; else the process is killed.
    pub(super) power_cuts: u32,
    /// Sectors that a power cut left unwritten hold what another file had there. Where nobody wrote
    /// down how far a log was durable, refusing it is right.
    pub(super) stale: bool,
    /// In so many of 1,000 lives there is a clean stop.
    pub(super) clean_stops: u32,
    /// In so many of 1,000 restarts a derived file is lost or damaged before.
    pub(super) derived_damage: u32,
    /// Bits rot, reads lie: wrong answers are still forbidden, refusals are not.
    pub(super) beyond: bool,
}

impl Swarm {
    pub(super) fn draw(draw: &mut Draw) -> Self {
        let beyond = draw.one_in(8);
        let rate = |draw: &mut Draw, on: u64, of: u64| {
            let is_on = draw.below_u64(of) < on;
            if is_on { u32::try_from(draw.span(200, 8000)).unwrap_or(0) } else { 0 }
        };
        let rates = FaultRates {
            write: rate(draw, 1, 6),
            sync: rate(draw, 1, 4),
            read: rate(draw, 1, 8),
            name: rate(draw, 1, 8),
            no_space: rate(draw, 1, 8),
            stall: rate(draw, 1, 4),
            short_read: if beyond { rate(draw, 1, 4) } else { 0 },
            misdirected_read: if beyond { rate(draw, 1, 4) } else { 0 },
        };
        let mut swarm = Self {
            dirs: if draw.one_in(4) { 2 } else { 1 },
            partitions: draw.range(1, 3),
            lives: draw.range(2, 5),
            steps_max: draw.range(10, 160),
            batch_bytes: *draw.pick(&[40, 120, 300, 900, 6000]).unwrap_or(&300),
            limits: {
                let open_files = draw.range(1, 30);
                let tail_bytes = *draw.pick(&[0, 3000, 1 << 20]).unwrap_or(&3000);
                let tail_share_bytes = tail_bytes / 3;
                LogDirLimits { open_files, tail_bytes, tail_share_bytes, removal_step_bytes: 100 }
            },
            whole_from: usize::MAX,
            weights: Weights::draw(draw),
            rates: if draw.one_in(3) {
                FaultRates { stall: rates.stall, ..FaultRates::default() }
            } else {
                rates
            },
            order: if draw.one_in(2) { NameOrder::Any } else { NameOrder::Kept },
            deaths: *draw.pick(&[200, 800, 1000]).unwrap_or(&800),
            power_cuts: *draw.pick(&[0, 700, 1000, 1000]).unwrap_or(&700),
            stale: draw.one_in(6),
            clean_stops: *draw.pick(&[0, 200, 600]).unwrap_or(&200),
            derived_damage: *draw.pick(&[0, 0, 300]).unwrap_or(&0),
            beyond,
        };
        if swarm.limits.open_files.is_multiple_of(2) {
            swarm.whole_from = 2;
        }
        if swarm.dirs > 1 {
            swarm.weights = swarm.weights.with_moves(draw);
        }
        swarm
    }

    /// Settings of one partition.
    pub(super) fn config(&self, draw: &mut Draw) -> LogConfig {
        let least = u32::try_from(self.batch_bytes).unwrap_or(0) + 600;
        let segment_bytes = match draw.below(4) {
            0 => least,
            1 => least * 20,
            _ => least * u32::try_from(draw.range(1, 6)).unwrap_or(1),
        };
        LogConfig {
            segment_bytes,
            segment_ms: if draw.one_in(4) { Millis(900) } else { Millis(1 << 40) },
            index_interval_bytes: *draw.pick(&[0, 100, 400, 4096]).unwrap_or(&100),
            segment_index_bytes: *draw.pick(&[48, 10 << 20, 10 << 20]).unwrap_or(&(10 << 20)),
            flush_mode: if draw.one_in(4) { FlushMode::Os } else { FlushMode::Durable },
            tail_bytes: *draw.pick(&[0, 500, 5000]).unwrap_or(&500),
            compact: draw.one_in(3),
            file_delete_delay: Millis(*draw.pick(&[0, 100]).unwrap_or(&0)),
            max_decompressed_bytes: 1 << 20,
            ..LogConfig::default()
        }
    }
}
