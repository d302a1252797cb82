//! A log directory as the broker hosts it: its committer, the logs in it that are still to be
//! opened, and syncs of the whole that many ask for at once. Must not know what is in logs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use hashbrown::{HashMap, HashSet};
use ottla_log::{Committer, LoadPoints, LogDir, LogError, Stage, SyncOn, TopicPartition};
use ottla_protocol::{TopicId, Uuid};
use parking_lot::{Condvar, Mutex, RwLock};
use tracing::warn;

use super::HostedPartition;
use super::checkpoints::Written;
use super::reading::Reading;
use super::syncing::Syncing;

/// Files of a log directory that are synced at a time.
const SYNC_THREADS: usize = 4;
/// When so many bytes were appended since the last recovery points, new ones are written: what a
/// crash leaves to be read again is not much more.
const RECOVER_BYTES_MAX: u64 = 256 << 20;

/// A partition, as the metadata names it.
pub(super) type Key = (TopicId, i32);

/// A log directory and its committer.
pub(crate) struct Volume {
    pub(crate) dir: Arc<LogDir>,
    /// Its id, when it has one.
    pub(super) id: Option<Uuid>,
    pub(crate) committer: Arc<Committer<HostedPartition>>,
    pub(super) thread: Mutex<Option<JoinHandle<()>>>,
    /// What its checkpoints said at start of the logs that are not open yet.
    pub(super) points: RwLock<LoadPoints>,
    pub(super) opening: Opening,
    sync: SharedSync,
    /// How many partitions are in it or are to be.
    pub(super) partitions: AtomicUsize,
    pub(super) progress: Arc<Progress>,
    syncing: Arc<Syncing>,
    reading: Arc<Reading>,
    pub(super) written: Mutex<Written>,
    /// Partitions that it had since its checkpoints were written: these may speak of them still,
    /// and what they say must not be taken for that of a new topic of the same name.
    pub(super) let_go: Mutex<HashSet<TopicPartition>>,
    /// It takes no new partitions (`cordoned.log.dirs`).
    cordoned: AtomicBool,
}

/// How far the logs of a log directory have come, for who writes that down.
#[derive(Default)]
pub(super) struct Progress {
    /// Grows whenever an offset of any partition may have changed.
    changes: AtomicU64,
    /// Bytes that had been appended when recovery points were written last.
    recovered_below: AtomicU64,
    /// So much was appended since that they should be written now.
    wanted: AtomicBool,
}

impl Progress {
    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// A commit is through; whether recovery points are due because of it.
    fn on_commit(&self, appended: u64) -> bool {
        self.changed();
        let below = self.recovered_below.load(Ordering::Relaxed);
        appended.saturating_sub(below) >= RECOVER_BYTES_MAX
            && !self.wanted.swap(true, Ordering::AcqRel)
    }

    /// Whether recovery points are due.
    pub(super) fn take_wanted(&self) -> bool {
        self.wanted.swap(false, Ordering::AcqRel)
    }

    pub(super) fn on_recovery_points(&self, appended: u64) {
        self.recovered_below.store(appended, Ordering::Relaxed);
    }
}

impl Volume {
    /// Starts the committer, which syncs the whole file system from `whole_from` files on. `due` is
    /// called when recovery points should be written.
    pub(super) fn start(
        index: usize,
        dir: Arc<LogDir>,
        whole_from: usize,
        due: impl Fn() + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let progress: Arc<Progress> = Arc::default();
        let syncing: Arc<Syncing> = Arc::default();
        let reading = Reading::new(Arc::clone(&syncing));
        let (told, of, begun) = (Arc::clone(&progress), Arc::clone(&dir), Arc::clone(&syncing));
        let committer = Committer::new(&dir, SYNC_THREADS).whole_from(whole_from);
        let committer = committer.reporting_to(move |stage| match stage {
            Stage::Written => {
                begun.begin(Instant::now());
                told.changed();
            }
            Stage::Failed => {
                begun.end(Instant::now());
                told.changed();
            }
            Stage::Durable => {
                begun.end(Instant::now());
                if told.on_commit(of.appended_bytes()) {
                    due();
                }
            }
        });
        let at = dir.path().to_owned();
        committer.whole_failure().on_set(move |why| {
            let dir = at.display();
            warn!(%dir, why, "a sync of the whole file system failed: now each file has its own");
        });
        let committer = Arc::new(committer);
        let running = Arc::clone(&committer);
        let thread =
            std::thread::Builder::new().name(format!("ottla-commit-{index}")).spawn(move || {
                running.run();
            })?;
        // Without one the broker does not start; who registers it says so.
        let read = || dir.read_meta_properties().ok().flatten();
        let id = if dir.failure().is_some() { None } else { read() };
        let id = id.and_then(|found| found.directory_id);
        Ok(Self {
            dir,
            id,
            committer,
            thread: Mutex::new(Some(thread)),
            points: RwLock::default(),
            opening: Opening::default(),
            sync: SharedSync::default(),
            partitions: AtomicUsize::new(0),
            progress,
            syncing,
            reading,
            written: Mutex::default(),
            let_go: Mutex::default(),
            cordoned: AtomicBool::new(false),
        })
    }

    /// Its path as clients are told it: absolute, without a slash at the end.
    pub(crate) fn shown_path(&self) -> String {
        let path = self.dir.path();
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let shown = path.display().to_string();
        shown.strip_suffix('/').filter(|shown| !shown.is_empty()).unwrap_or(&shown).to_owned()
    }

    /// Whether it takes no new partitions (KIP-1066).
    pub(crate) fn is_cordoned(&self) -> bool {
        self.cordoned.load(Ordering::Acquire)
    }

    /// `names` are the directories that take none, as the settings name them. Whether that changed.
    pub(super) fn set_cordoned(&self, names: &[String]) -> bool {
        let mine = |name: &String| name == "*" || std::path::Path::new(name) == self.dir.path();
        let cordoned = names.iter().any(mine);
        self.cordoned.swap(cordoned, Ordering::AcqRel) != cordoned
    }

    /// Lets the committer finish and waits for it; `false` when it has panicked.
    pub(super) fn stop_committer(&self) -> bool {
        self.committer.stop();
        self.thread.lock().take().is_none_or(|thread| thread.join().is_ok())
    }

    /// How many syncs of commits have begun, and how many of them have ended: an odd number while
    /// there is one.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncing.count()
    }

    /// For who reads its files for clients.
    pub(crate) fn reading(&self) -> &Arc<Reading> {
        &self.reading
    }

    /// Makes all that was written in the directory before survive a power cut.
    pub(super) fn sync(&self) -> Result<(), LogError> {
        self.sync.run(|| self.dir.sync_volume())?;
        // The one who synced for this caller may have failed.
        self.dir.failure().map_or(Ok(()), Err)
    }
}

/// One sync serves all who asked before it began.
#[derive(Default)]
struct SharedSync {
    state: Mutex<SyncState>,
    done: Condvar,
}

#[derive(Default)]
struct SyncState {
    begun: u64,
    ended: u64,
    running: bool,
}

impl SharedSync {
    /// Returns when a `sync` that began after the call has ended; its outcome, if it ran here.
    fn run<E>(&self, sync: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let mut state = self.state.lock();
        let wanted = state.begun + 1;
        while state.running {
            self.done.wait(&mut state);
            if state.ended >= wanted {
                return Ok(());
            }
        }
        state.begun += 1;
        state.running = true;
        let mine = state.begun;
        drop(state);
        let outcome = sync();
        let mut state = self.state.lock();
        state.running = false;
        state.ended = mine;
        drop(state);
        self.done.notify_all();
        outcome
    }
}

/// A log that is to be opened.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) key: Key,
    pub(super) name: TopicPartition,
    /// Its directory was found at start: the checkpoints know it.
    pub(super) found: bool,
    /// Nobody knows that it is as a stop left it, also when the last was clean.
    pub(super) doubted: bool,
    pub(super) sync: SyncOn,
    /// It is handed over as soon as it is open: others may take longer.
    pub(super) alone: bool,
}

/// The logs of a log directory that are to be opened, in order, and the threads at it.
#[derive(Default)]
pub(super) struct Opening {
    state: Mutex<OpeningState>,
    ended: Condvar,
}

#[derive(Default)]
struct OpeningState {
    order: VecDeque<Key>,
    jobs: HashMap<Key, Job, foldhash::fast::FixedState>,
    /// Taken, and not done with.
    taken: HashSet<Key, foldhash::fast::FixedState>,
    threads: usize,
    handles: Vec<JoinHandle<()>>,
    closed: bool,
}

impl Opening {
    /// Adds jobs; whether there were none before. After [`Opening::close`] nothing is added.
    pub(super) fn add(&self, jobs: Vec<Job>) -> bool {
        let mut state = self.state.lock();
        let idle = state.jobs.is_empty() && state.taken.is_empty();
        if !state.closed {
            for job in jobs {
                state.order.push_back(job.key);
                state.jobs.insert(job.key, job);
            }
        }
        idle
    }

    /// Starts threads until `threads` are at work. `false` when none is and none can be started.
    pub(super) fn employ(
        &self,
        threads: usize,
        start: impl Fn() -> Option<JoinHandle<()>>,
    ) -> bool {
        let mut state = self.state.lock();
        state.handles.retain(|handle| !handle.is_finished());
        while state.threads < threads.min(state.jobs.len()) {
            let Some(handle) = start() else { break };
            state.threads += 1;
            state.handles.push(handle);
        }
        state.threads > 0 || state.jobs.is_empty()
    }

    /// The next job. A thread of [`Opening::employ`] that gets none, and has no others in hand,
    /// is released: it must end.
    pub(super) fn take(&self, release: bool) -> Option<Job> {
        let mut state = self.state.lock();
        while let Some(key) = state.order.pop_front() {
            // One that was called off is no longer there.
            if let Some(job) = state.jobs.remove(&key) {
                state.taken.insert(key);
                return Some(job);
            }
        }
        if release {
            state.threads = state.threads.saturating_sub(1);
        }
        None
    }

    /// They are done with, whatever came of them. Whether nothing is left.
    pub(super) fn done(&self, keys: impl Iterator<Item = Key>) -> bool {
        let mut state = self.state.lock();
        for key in keys {
            state.taken.remove(&key);
        }
        let idle = state.taken.is_empty() && state.jobs.is_empty();
        if idle {
            // What a start with many logs needed is not kept.
            state.taken.shrink_to_fit();
            state.jobs.shrink_to_fit();
            state.order = VecDeque::new();
        }
        drop(state);
        self.ended.notify_all();
        idle
    }

    /// Calls a job off; one that is being worked on is waited for.
    pub(super) fn call_off(&self, key: Key) -> Option<Job> {
        let mut state = self.state.lock();
        let job = state.jobs.remove(&key);
        while state.taken.contains(&key) {
            self.ended.wait(&mut state);
        }
        job
    }

    /// Waits until nothing of `keys` is left to be done.
    pub(super) fn wait(&self, keys: &[Key]) {
        let mut state = self.state.lock();
        for key in keys {
            while state.jobs.contains_key(key) || state.taken.contains(key) {
                self.ended.wait(&mut state);
            }
        }
    }

    /// Waits until nothing is left to be done, at most until `end`. Whether it is so.
    pub(super) fn wait_for_all(&self, end: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        while !(state.jobs.is_empty() && state.taken.is_empty()) {
            match end {
                Some(end) if self.ended.wait_until(&mut state, end).timed_out() => {
                    return state.jobs.is_empty() && state.taken.is_empty();
                }
                Some(_) => {}
                None => self.ended.wait(&mut state),
            }
        }
        true
    }

    /// Begins no more jobs and waits for the threads.
    pub(super) fn close(&self) {
        let handles = {
            let mut state = self.state.lock();
            state.closed = true;
            state.jobs.clear();
            state.order.clear();
            std::mem::take(&mut state.handles)
        };
        self.ended.notify_all();
        for handle in handles {
            // A panic in one job is caught there.
            let _ended = handle.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn job(index: i32) -> Job {
        Job {
            key: (TopicId::ZERO, index),
            name: TopicPartition::new("t", index),
            found: false,
            doubted: false,
            sync: SyncOn::Open,
            alone: true,
        }
    }

    #[test]
    fn one_sync_serves_all_who_asked_before_it_began() {
        let sync = SharedSync::default();
        let (begun, seen) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let count = AtomicUsize::new(0);
        let gate = Mutex::new(gate);
        let one = || {
            let wait = || {
                count.fetch_add(1, Ordering::SeqCst);
                begun.send(()).unwrap();
                gate.lock().recv().map_err(|_| ())
            };
            sync.run(wait).unwrap();
        };
        std::thread::scope(|scope| {
            scope.spawn(one);
            seen.recv().unwrap();
            // These cannot be served by the one that runs already.
            let others: Vec<_> = (0..3).map(|_| scope.spawn(one)).collect();
            for _ in 0..4 {
                go.send(()).unwrap();
            }
            for other in others {
                other.join().unwrap();
            }
        });
        // How many share the second depends on how quick they were to ask.
        assert!((2..=4).contains(&count.load(Ordering::SeqCst)));
    }

    #[test]
    fn jobs_are_taken_in_order_and_may_be_called_off() {
        let opening = Opening::default();
        assert!(opening.add(vec![job(0), job(1), job(2)]));
        assert!(!opening.add(vec![job(3)]));
        assert_eq!(opening.call_off(job(1).key).map(|job| job.key), Some(job(1).key));
        let taken: Vec<i32> = std::iter::from_fn(|| opening.take(false)).map(|j| j.key.1).collect();
        assert_eq!(taken, [0, 2, 3]);
        assert!(!opening.done([job(0).key].into_iter()));
        assert!(opening.done(taken.into_iter().map(|index| (TopicId::ZERO, index))));
        opening.wait(&[job(0).key, job(3).key]);
        assert!(opening.call_off(job(0).key).is_none());
        opening.close();
        opening.add(vec![job(4)]);
        assert!(opening.take(false).is_none());
    }

    #[test]
    fn recovery_points_are_due_after_so_many_bytes_once() {
        let progress = Progress::default();
        assert!(!progress.on_commit(RECOVER_BYTES_MAX - 1));
        assert!(progress.on_commit(RECOVER_BYTES_MAX));
        assert!(!progress.on_commit(RECOVER_BYTES_MAX + 1));
        assert!(progress.take_wanted());
        progress.on_recovery_points(RECOVER_BYTES_MAX + 1);
        assert!(!progress.on_commit(2 * RECOVER_BYTES_MAX));
        assert!(progress.on_commit(2 * RECOVER_BYTES_MAX + 1));
    }
}
