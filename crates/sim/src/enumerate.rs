//! Every state after a crash: scripted sequences are stopped at each of their disk operations, and
//! each state that a power cut may leave there is started from. Where there are too many states,
//! some are drawn. Must not know what is in the files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::choose::{Choose, Draw, Every, Scatter};
use crate::disk::{NameOrder, SimDisk};
use crate::run::guarded;
use crate::violation::{Stop, Violation};

/// So many states of a point are made in turn, at least and at most: one in four thousand of those
/// asked for. Where that were not all, others are drawn.
const IN_TURN: (u64, u64) = (12, 64);
/// Of so many states drawn at a place one after the other this part must be new, or no more are
/// drawn there: what was asked of it the other places give.
const WINDOW: (u64, u64) = (64, 8);
/// So many violations of one sequence are told.
const TOLD: usize = 4;
const ORDERS: [NameOrder; 2] = [NameOrder::Kept, NameOrder::Any];

/// A sequence of operations, as a world plays it.
pub(crate) trait Script: Sync {
    /// What it is about.
    fn name(&self) -> String;

    /// Plays it until the disk dies after `operations`; `None`: to its end.
    fn play(&self, operations: Option<u64>) -> Result<Box<dyn Crashed>, Violation>;
}

/// A world whose process is gone.
pub(crate) trait Crashed {
    /// The disk before the power is cut.
    fn disk(&self) -> &SimDisk;

    /// How many operations the sequence had.
    fn operations(&self) -> u64;

    /// Starts from a disk after the cut: everything promised must be there.
    fn start_from(&self, disk: SimDisk) -> Result<(), Violation>;
}

/// Plays the steps that come before, and then others until the disk dies; gives how many operations
/// these had.
pub(crate) fn play_until_death<S: Copy>(
    disk: &SimDisk,
    (before, then): (&[S], &[S]),
    operations: Option<u64>,
    mut play: impl FnMut(S) -> Result<(), Stop>,
) -> Result<u64, Violation> {
    for step in before {
        play(*step).map_err(|stop| match stop {
            Stop::Violation(violation) => violation,
            Stop::Over => {
                Violation { id: "sim", what: "a sequence ended before the crash".to_owned() }
            }
        })?;
    }
    let begun = disk.operations();
    disk.die_after(operations);
    for step in then {
        match play(*step) {
            Ok(()) => {}
            Err(Stop::Over) => break,
            Err(Stop::Violation(violation)) => return Err(violation),
        }
    }
    Ok(disk.operations() - begun)
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// A line for each sequence.
    pub lines: Vec<String>,
    /// States that were made.
    pub states: u64,
    /// Starts from them: of states that are alike one at each place.
    pub starts: u64,
    /// Different states, whatever sequence and place they come from.
    pub different: u64,
    /// Places at which a sequence was stopped, in both orders of names.
    pub points: u64,
    /// Of these, those all of whose states were made.
    pub whole: u64,
    /// What was found.
    pub violations: Vec<Violation>,
    /// How long it took.
    pub took: Duration,
}

/// What came of one sequence.
#[derive(Debug, Default)]
struct Played {
    operations: u64,
    states: u64,
    starts: u64,
    /// Fingerprints of the states.
    seen: BTreeSet<u64>,
    /// The same of each place: what was started from there.
    here: BTreeMap<u64, BTreeSet<u64>>,
    points: u64,
    whole: u64,
    /// Places with more states than were made in turn.
    large: Vec<(u64, NameOrder)>,
    violations: Vec<Violation>,
}

/// Something that is done with a sequence.
type Work<'a> = dyn Fn(&dyn Script, &Mutex<Played>) -> Result<(), Violation> + 'a;

/// Makes states of the sequences whose names contain `only`, all of them where they are few, until
/// there are about `different` ones; on `jobs` threads.
#[must_use]
pub fn run(different: u64, jobs: usize, only: &str) -> Report {
    let scripts = crate::log::scripts().into_iter().chain(crate::metadata::scripts());
    let scripts: Vec<_> = scripts.filter(|script| script.name().contains(only)).collect();
    run_scripts(&scripts, different, jobs)
}

fn run_scripts(scripts: &[Box<dyn Script>], different: u64, jobs: usize) -> Report {
    let begun = Instant::now();
    let played: Vec<Mutex<Played>> = scripts.iter().map(|_| Mutex::default()).collect();
    let with = |at: usize, work: &Work<'_>| {
        let (Some(script), Some(played)) = (scripts.get(at), played.get(at)) else { return };
        if let Err(violation) = guarded(|| work(script.as_ref(), played)) {
            lock(played).violations.push(violation);
        }
    };
    let first = (different / 4000).clamp(IN_TURN.0, IN_TURN.1);
    in_parallel(scripts.len(), jobs, |at| {
        with(at, &|script, played| in_turn(script, played, first));
    });
    let mut large: Vec<_> = played
        .iter()
        .enumerate()
        .flat_map(|(at, played)| {
            lock(played).large.iter().map(|large| (at, *large)).collect::<Vec<_>>()
        })
        .collect();
    // What a place cannot give is shared among those that have more, round by round.
    for round in 0.. {
        let made = all_seen(&played).len() as u64;
        if made >= different || large.is_empty() {
            break;
        }
        let each = (different - made).div_ceil(large.len() as u64);
        let has_more = Mutex::new(Vec::new());
        in_parallel(large.len(), jobs, |item| {
            let Some((at, place)) = large.get(item) else { return };
            with(*at, &|script, played| {
                if drawn(script, played, *place, (round, each))? {
                    lock(&has_more).push((*at, *place));
                }
                Ok(())
            });
        });
        large = has_more.into_inner().unwrap_or_else(PoisonError::into_inner);
        large.sort_unstable();
    }
    let mut report = Report { different: all_seen(&played).len() as u64, ..Report::default() };
    for (script, played) in scripts.iter().zip(&played) {
        let played = lock(played);
        report.states += played.states;
        report.starts += played.starts;
        report.points += played.points;
        report.whole += played.whole;
        report.violations.extend(played.violations.iter().cloned());
        report.lines.push(format!(
            "{:32} {:>4} operations, {:>8} states, {:>8} different, {:>4} of {:>4} points in full",
            script.name(),
            played.operations,
            played.states,
            played.seen.len(),
            played.whole,
            played.points
        ));
    }
    report.lines.sort_unstable();
    report.took = begun.elapsed();
    report
}

/// Plays the sequences whose names contain `about` on this thread, with up to `most` states of each
/// place in turn, until something is found; gives after how many starts.
#[cfg(feature = "planted")]
pub(crate) fn look(about: &str, most: u64) -> Option<(u64, Violation)> {
    let mut starts = 0;
    for script in crate::log::scripts().into_iter().chain(crate::metadata::scripts()) {
        if !script.name().contains(about) {
            continue;
        }
        let played = Mutex::default();
        let outcome = guarded(|| in_turn(script.as_ref(), &played, most));
        let mut played = lock(&played);
        starts += played.starts;
        if let Some(violation) = outcome.err().or_else(|| played.violations.pop()) {
            return Some((starts, violation));
        }
    }
    None
}

fn lock<T>(played: &Mutex<T>) -> MutexGuard<'_, T> {
    played.lock().unwrap_or_else(PoisonError::into_inner)
}

fn all_seen(played: &[Mutex<Played>]) -> BTreeSet<u64> {
    let mut all = BTreeSet::new();
    played.iter().for_each(|played| all.extend(lock(played).seen.iter().copied()));
    all
}

fn in_parallel(items: usize, jobs: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let item = next.fetch_add(1, Ordering::Relaxed);
            if item >= items {
                return;
            }
            work(item);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs.max(1) {
            scope.spawn(work);
        }
        work();
    });
}

/// Stops a sequence everywhere, and makes the states in turn, up to some number.
fn in_turn(script: &dyn Script, played: &Mutex<Played>, most: u64) -> Result<(), Violation> {
    let operations = script.play(None)?.operations();
    lock(played).operations = operations;
    for stop in 0..=operations {
        let crashed = script.play(Some(stop))?;
        for order in ORDERS {
            let point = Point { script, played, stop, order };
            let mut every = Every::default();
            let mut left = most;
            let whole = loop {
                if left == 0 {
                    break false;
                }
                left -= 1;
                point.start(crashed.as_ref(), &mut every);
                if !every.advance() {
                    break true;
                }
            };
            let mut played = lock(played);
            played.points += 1;
            played.whole += u64::from(whole);
            if !whole {
                played.large.push((stop, order));
            }
        }
        if lock(played).violations.len() >= TOLD {
            break;
        }
    }
    Ok(())
}

/// Draws states at one place until there are so many that were not seen before; false when few of
/// them are new.
fn drawn(
    script: &dyn Script,
    played: &Mutex<Played>,
    (stop, order): (u64, NameOrder),
    (round, wanted): (u64, u64),
) -> Result<bool, Violation> {
    let crashed = script.play(Some(stop))?;
    let place = crashed.disk().fingerprint() ^ stop;
    let turn = round * 2 + u64::from(order == NameOrder::Any);
    let mut draw = Scatter(Draw::new(place ^ Draw::new(turn).draw()));
    let point = Point { script, played, stop, order };
    let (mut new, mut new_before) = (0, 0);
    for made in 1_u64.. {
        if lock(played).violations.len() >= TOLD {
            return Ok(false);
        }
        new += u64::from(point.start(crashed.as_ref(), &mut draw));
        if new >= wanted {
            break;
        }
        if made.is_multiple_of(WINDOW.0) {
            if new - new_before < WINDOW.1 {
                return Ok(false);
            }
            new_before = new;
        }
    }
    Ok(true)
}

/// A place at which a sequence was stopped.
struct Point<'a> {
    script: &'a dyn Script,
    played: &'a Mutex<Played>,
    stop: u64,
    order: NameOrder,
}

impl Point<'_> {
    /// Makes a state and starts from it, if that was not done here; whether no place had it.
    fn start(&self, crashed: &dyn Crashed, choose: &mut dyn Choose) -> bool {
        let disk = crashed.disk().fork();
        disk.power_cut(self.order, choose);
        let fingerprint = disk.fingerprint();
        let (is_first, is_new) = {
            let mut played = lock(self.played);
            let is_first = played.here.entry(self.stop).or_default().insert(fingerprint);
            played.states += 1;
            played.starts += u64::from(is_first);
            (is_first, played.seen.insert(fingerprint))
        };
        if !is_first {
            return is_new;
        }
        if let Err(violation) = guarded(|| crashed.start_from(disk)) {
            let what = format!(
                "after {} operations of \"{}\" (names: {:?}): {}",
                self.stop,
                self.script.name(),
                self.order,
                violation.what
            );
            let mut played = lock(self.played);
            if played.violations.len() < TOLD {
                played.violations.push(Violation { id: violation.id, what });
            }
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use bytes::Bytes;
    use ottla_env::{Disk, ManualClock, OpenMode};

    use super::*;

    /// Files with so many bytes each that no sync covered.
    struct Unsynced {
        files: usize,
        bytes: usize,
    }

    struct Left(SimDisk);

    impl Script for Unsynced {
        fn name(&self) -> String {
            format!("{} files", self.files)
        }

        fn play(&self, _operations: Option<u64>) -> Result<Box<dyn Crashed>, Violation> {
            let disk = SimDisk::new(0, &Arc::new(ManualClock::new(0)));
            for number in 0..self.files {
                let path = format!("/{}-{number}", self.bytes);
                let file = disk.open(Path::new(&path), OpenMode::Create).unwrap();
                disk.sync_dir(Path::new("/")).unwrap();
                file.write_at(&[Bytes::from(vec![7; self.bytes])], 0).unwrap();
            }
            Ok(Box::new(Left(disk)))
        }
    }

    impl Crashed for Left {
        fn disk(&self) -> &SimDisk {
            &self.0
        }

        fn operations(&self) -> u64 {
            0
        }

        fn start_from(&self, _disk: SimDisk) -> Result<(), Violation> {
            Ok(())
        }
    }

    #[test]
    fn a_share_that_one_place_cannot_use_goes_to_another() {
        // Of four short files there are 3^4 states, of a long one thousands.
        let scripts: [Box<dyn Script>; 2] = [
            Box::new(Unsynced { files: 4, bytes: 10 }),
            Box::new(Unsynced { files: 1, bytes: 16_000 }),
        ];
        let report = run_scripts(&scripts, 900, 1);
        assert!((900..1000).contains(&report.different), "{report:?}");
        assert_eq!(report.starts, report.different);
        let report = run_scripts(&scripts[..1], 900, 2);
        assert!((40..=81).contains(&report.different), "it ends where there are few more");
    }
}
