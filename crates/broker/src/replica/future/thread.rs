//! The thread: a piece of each move in turn, as fast as
//! `replica.alter.log.dirs.io.max.bytes.per.second` lets it. Must not know what is in the logs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::TryRecvError;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::warn;

use super::super::volume::Key;
use super::copy::{Copied, Ended, Work, discard, remove};
use super::report::{self, Asked};
use crate::shared::Shared;
use crate::thread::keep_running;

/// The longest that the thread sleeps while something is to be done.
const NAP: Duration = Duration::from_millis(100);
/// The longest that it sleeps else.
const REST: Duration = Duration::from_secs(60);
/// After the controller refused to note a place.
const RETRY: Duration = Duration::from_secs(1);
/// Time that was not used is saved up to here.
const BURST: Duration = Duration::from_millis(300);

/// Bytes a second that moves may copy.
const RATE: &str = "replica.alter.log.dirs.io.max.bytes.per.second";

/// Starts the thread; it ends when it is unparked while the broker stops.
pub(crate) fn start(shared: Arc<Shared>) -> std::io::Result<JoinHandle<()>> {
    let run = move || {
        shared.partitions.moves.thread.get_or_init(std::thread::current);
        let shared = Arc::clone(&shared);
        Mover { shared, works: BTreeMap::new(), asked: None, paid: None, not_before: None }.run();
    };
    keep_running("ottla-move", run)
}

struct Mover {
    shared: Arc<Shared>,
    works: BTreeMap<Key, Work>,
    asked: Option<Asked>,
    /// When all that was copied so far is paid for.
    paid: Option<Instant>,
    /// The controller is asked again then.
    not_before: Option<Instant>,
}

/// What became of one move's turn.
enum Turn {
    /// Its next turn can be now.
    More(usize),
    /// It waits for the controller.
    Waits,
    Done,
}

impl Mover {
    fn run(mut self) {
        while !self.shared.is_stopping() {
            self.sort_out();
            let waits_for_controller = self.report();
            let mut busy = false;
            let keys: Vec<Key> = self.works.keys().copied().collect();
            for key in keys {
                if self.shared.is_stopping() {
                    break;
                }
                busy |= self.turn(key);
            }
            if !busy {
                let idle = self.works.is_empty() && !waits_for_controller;
                std::thread::park_timeout(if idle { REST } else { NAP });
            }
        }
        for (_, work) in std::mem::take(&mut self.works) {
            let partition = work.of.hosted.name.clone();
            if let Some(Err(error)) = work.copy.map(ottla_log::FutureLog::close) {
                warn!(%partition, %error, "its copy is looked at again at the next start");
            }
        }
    }

    /// Takes up what is wanted, drops what is not any more.
    fn sort_out(&mut self) {
        let moves = &self.shared.partitions.moves;
        let unwanted = {
            let mut state = moves.state.lock();
            // Wanted to where a move that was asked for before has brought them.
            let there = state.moves.iter().filter(|(_, one)| one.hosted.dir() == one.target);
            for key in there.map(|(key, _)| *key).collect::<Vec<_>>() {
                state.end(key);
            }
            std::mem::take(&mut state.unwanted)
        };
        for begun in unwanted {
            remove(&self.shared, &begun);
        }
        let gone = self.works.extract_if(.., |key, work| !moves.is_wanted(*key, &work.of));
        for (key, work) in gone.collect::<Vec<_>>() {
            self.drop_work(key, work);
        }
        let wanted: Vec<_> =
            moves.state.lock().moves.iter().map(|(key, one)| (*key, Arc::clone(one))).collect();
        for (key, one) in wanted {
            self.works.entry(key).or_insert_with(|| Work::new(key, one));
        }
    }

    fn drop_work(&self, key: Key, work: Work) {
        let target = work.of.target;
        if let Some(copy) = work.copy {
            discard(copy, &self.shared, target);
        } else if let Some(begun) = &work.begun {
            // It was not even looked at.
            remove(&self.shared, begun);
        }
        // The controller may have been told of the place that it does not move to.
        if work.told || work.asked.is_some() {
            self.shared.partitions.report_place(key);
        }
    }

    /// One move's turn; whether there is more to do at once.
    fn turn(&mut self, key: Key) -> bool {
        let Some(mut work) = self.works.remove(&key) else { return false };
        match self.advance(&mut work) {
            Ok(Turn::Done) => {
                self.shared.partitions.moves.forget(key, &work.of);
                true
            }
            Ok(Turn::More(bytes)) => {
                self.works.insert(key, work);
                self.pay(bytes);
                true
            }
            Ok(Turn::Waits) => {
                self.works.insert(key, work);
                false
            }
            Err(error) => {
                let partition = &work.of.hosted.name;
                match &error {
                    Ended::Gone => {}
                    Ended::Name | Ended::Taken | Ended::Copy(_) | Ended::Log(_) => {
                        warn!(%partition, %error, "it stays in its log directory");
                    }
                }
                self.shared.partitions.moves.forget(key, &work.of);
                self.drop_work(key, work);
                true
            }
        }
    }

    fn advance(&mut self, work: &mut Work) -> Result<Turn, Ended> {
        let shared = Arc::clone(&self.shared);
        let target = work.of.target;
        let Some(volume) = shared.partitions.volumes.get(target) else { return Err(Ended::Gone) };
        if let Some(failure) = volume.dir.failure() {
            return Err(failure.into());
        }
        let now = shared.now();
        match work.step(&shared, volume, now)? {
            Copied::Some(bytes) => return Ok(Turn::More(bytes)),
            Copied::All => {}
        }
        if !work.told {
            if work.asked.is_none() {
                if self.not_before.is_some_and(|at| Instant::now() < at) {
                    return Ok(Turn::Waits);
                }
                work.asked = Some(report::assign(&shared, &[(work.key, target)]));
            }
            match work.answer() {
                Some(true) => {}
                Some(false) => {
                    self.not_before = Instant::now().checked_add(RETRY);
                    return Ok(Turn::Waits);
                }
                None => return Ok(Turn::Waits),
            }
        }
        work.switch(&shared, now)?;
        Ok(Turn::Done)
    }

    /// Bytes a second, when there is a limit.
    fn rate(&self) -> Option<u64> {
        let rate = self.shared.with_effective(|effective| effective.broker(RATE).as_i64());
        let rate = rate.filter(|rate| *rate < i64::MAX);
        rate.and_then(|rate| u64::try_from(rate).ok())
    }

    /// Waits as the setting wants it, for what was copied.
    fn pay(&mut self, bytes: usize) {
        let Some(rate) = self.rate().filter(|_| bytes > 0) else {
            self.paid = None;
            return;
        };
        // At a rate of 0 there is a piece each REST, as Kafka's window lets one through.
        #[expect(clippy::cast_precision_loss, reason = "bytes of a moment")]
        let cost = Duration::try_from_secs_f64(bytes as f64 / rate as f64).unwrap_or(REST);
        let now = Instant::now();
        let saved = now.checked_sub(BURST).unwrap_or(now);
        let from = self.paid.map_or(now, |paid| paid.max(saved));
        let until = from.checked_add(cost).unwrap_or(from);
        self.paid = Some(until);
        while !self.shared.is_stopping() {
            let left = until.saturating_duration_since(Instant::now());
            // Others may want the log, or the move not at all.
            let wanted = self.works.values().any(|work| {
                work.claim.as_ref().is_some_and(ottla_log::Claim::is_wanted)
                    || !self.shared.partitions.moves.is_wanted(work.key, &work.of)
            });
            if self.rate() != Some(rate) {
                self.paid = None;
                return;
            }
            if left.is_zero() || wanted {
                return;
            }
            std::thread::park_timeout(left.min(NAP));
        }
    }

    /// Tells the controller where partitions are; whether an answer is waited for.
    fn report(&mut self) -> bool {
        if let Some(asked) = &self.asked {
            let taken = match asked.answer.try_recv() {
                Ok(taken) => taken,
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => false,
            };
            if !taken {
                self.not_before = Instant::now().checked_add(RETRY);
                for key in &asked.keys {
                    self.shared.partitions.report_place(*key);
                }
            }
            self.asked = None;
        }
        if self.not_before.is_some_and(|at| Instant::now() < at) {
            return true;
        }
        self.asked = report::report(&self.shared);
        self.asked.is_some() || !self.shared.partitions.moves.state.lock().reports.is_empty()
    }
}
