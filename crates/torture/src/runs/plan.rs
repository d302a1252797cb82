//! What is to happen in a cycle, drawn from the seed. Must not know how it is done.

use std::time::Duration;

use crate::faults::{Action, Fault, Op, When};
use crate::seeded::Seeded;

/// How a cycle ends if no counted call ends it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The power is cut, or the process killed, from outside.
    Struck,
    /// The broker is asked to stop while it is busy.
    Stopped,
    /// The broker is asked to stop, and struck at a counted call while it does.
    StruckStopping,
}

/// A cycle's plan.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// What happens at a counted call.
    pub(super) fault: Fault,
    /// Calls are counted from the start of the process, not from the beginning of the load.
    pub(super) from_start: bool,
    /// After so many acknowledged records the cycle ends.
    pub(super) records: u64,
    /// What happens then.
    pub(super) end: End,
    /// How long a process without power is watched.
    pub(super) linger: Duration,
}

/// Calls that are rare, and interesting.
const RARE: [Op; 8] = [
    Op::Rename,
    Op::Remove,
    Op::Mkdir,
    Op::Create,
    Op::Truncate,
    Op::SyncDir,
    Op::Reserve,
    Op::SyncFs,
];

impl Plan {
    /// Draws one.
    pub(super) fn draw(seeded: &mut Seeded, power: bool, moves: bool) -> Self {
        let linger = power && seeded.once_in(5);
        let action = if power { Action::Cut { linger } } else { Action::Kill };
        let from_start = seeded.once_in(4);
        let end = match seeded.below(20) {
            0 => End::Stopped,
            1 | 2 => End::StruckStopping,
            _ => End::Struck,
        };
        let mut fault = draw_fault(seeded, action, from_start);
        let mut records = draw_records(seeded);
        if moves && seeded.once_in(2) {
            fault = Fault { when: fault.when, ..draw_in_move(seeded, action) };
            // Long enough for some moves.
            records += 400;
        }
        if end != End::Struck && !from_start {
            // Nothing happens before the broker is asked to stop.
            fault.nth = u64::MAX;
        }
        Self {
            fault,
            from_start,
            records,
            end,
            linger: Duration::from_micros(seeded.between(500, 15_000)),
        }
    }

    /// What happens to a broker that is stopping.
    pub(super) fn while_stopping(&self, seeded: &mut Seeded) -> Fault {
        let mut fault = draw_fault(seeded, self.fault.action, false);
        fault.nth = seeded.between(1, 60);
        fault
    }
}

/// Most often few: the moments after a start are as good as any, and quicker to reach.
fn draw_records(seeded: &mut Seeded) -> u64 {
    let most = seeded.one_of(&[5, 50, 200, 600]).copied().unwrap_or(50);
    seeded.below(most)
}

/// A call that only a move between log directories makes, or that its last steps do.
fn draw_in_move(seeded: &mut Seeded, action: Action) -> Fault {
    let folder = seeded.one_of(&["-0", "-1"]).copied().unwrap_or_default();
    let aside = seeded.one_of(&["-delete", "-future"]).copied().unwrap_or_default();
    let (op, path, ending, most) = match seeded.below(8) {
        // The copy gets the partition's name; its directory before and after.
        0 | 1 => (Op::Rename, "-future", "-future", 3),
        2 => (Op::SyncDir, "-future", "", 6),
        // The old directory is put aside.
        3 => (Op::Rename, "/", folder, 3),
        // The checkpoints around it.
        4 => (Op::Rename, "point-offset-checkpoint", "", 8),
        // The copy's content.
        5 => (Op::Write, "-future", "", 12),
        6 => (Op::Sync, "-future", "", 12),
        // What was put aside, or is copied anew, goes.
        _ => (Op::Remove, aside, "", 9),
    };
    let nth = seeded.between(1, most);
    let (path, ending) = (path.to_owned(), ending.to_owned());
    Fault { action, when: When::Before, ops: vec![op], path, ending, nth }
}

fn draw_fault(seeded: &mut Seeded, action: Action, from_start: bool) -> Fault {
    let when = match seeded.below(5) {
        0 | 1 => When::Before,
        2 | 3 => When::After,
        _ => When::Half,
    };
    let (ops, nth) = match seeded.below(10) {
        // One kind of rare call.
        0..=3 => {
            let op = seeded.one_of(&RARE).copied().unwrap_or(Op::Rename);
            (vec![op], seeded.between(1, 6))
        }
        // Any call.
        4..=6 => (Op::ALL.to_vec(), seeded.between(1, if from_start { 150 } else { 300 })),
        // A write or a sync of what was written.
        7 => (vec![Op::Write], seeded.between(1, 60)),
        8 => (vec![Op::Sync], seeded.between(1, 60)),
        // Only from outside.
        _ => (Op::ALL.to_vec(), u64::MAX),
    };
    Fault { action, when, ops, path: String::new(), ending: String::new(), nth }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_are_struck_where_there_are_any() {
        let in_a_copy = |moves: bool| {
            let mut seeded = Seeded::new(3);
            let plans = (0..200).map(|_| Plan::draw(&mut seeded, true, moves));
            plans.filter(|plan| plan.fault.path == "-future" && plan.fault.nth != u64::MAX).count()
        };
        assert!(in_a_copy(true) > 20);
        assert_eq!(in_a_copy(false), 0);
    }
}
