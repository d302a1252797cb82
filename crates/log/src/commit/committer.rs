//! The committer of a log directory: turns what partitions have queued into groups. While one
//! group is written and synced, the next gathers; an idle committer starts at once. Groups are the
//! work of one thread, but for light ones: those that need no sync whoever queued them may write
//! himself, which saves waking another thread. Its three steps can be driven by hand, for a
//! simulator.

use std::sync::Arc;

use ottla_env::{DiskError, DiskFile, mark, planted};
use parking_lot::{Condvar, Mutex};

use super::{CommitEvent, WriteSet};
use crate::error::LogError;
use crate::failure::Failure;
use crate::log_dir::LogDir;

/// A partition, as the committer sees it.
pub trait CommitTarget: Send + Sync {
    /// Takes what is queued ([`crate::PartitionLog::take_pending`], under the partition's lock).
    fn take(&self) -> Option<WriteSet>;

    /// As [`CommitTarget::take`], for the committer of this log directory. A target whose log can
    /// move to another directory gives nothing to the committer of the one it was in.
    fn take_for(&self, _log_dir: &Arc<LogDir>) -> Option<WriteSet> {
        self.take()
    }

    /// Reports how far it got ([`crate::PartitionLog::on_commit`], under the partition's lock).
    fn on_commit(&self, event: &CommitEvent);
}

/// Who works on a group. If he panics nobody knows how far it came: then the directory is out of
/// service, and no one waits for it.
struct Busy<'a, T: CommitTarget + ?Sized> {
    committer: &'a Committer<T>,
    /// What he leaves to the thread.
    handed: Option<Group<T>>,
}

impl<'a, T: CommitTarget + ?Sized> Busy<'a, T> {
    fn new(committer: &'a Committer<T>) -> Self {
        Self { committer, handed: None }
    }
}

impl<T: CommitTarget + ?Sized> Drop for Busy<'_, T> {
    fn drop(&mut self) {
        let committer = self.committer;
        if std::thread::panicking() {
            let path = committer.log_dir.path().to_owned();
            let reason = "writing to it ended in a panic".into();
            committer.log_dir.fail(&LogError::Offline { path, reason });
        }
        let mut queue = committer.queue.lock();
        // Until the thread is through with what it was handed there is somebody busy.
        queue.busy = self.handed.is_some();
        queue.handed = self.handed.take();
        let more = queue.busy || !queue.dirty.is_empty() || queue.stopping;
        drop(queue);
        if more {
            committer.wake.notify_one();
        }
    }
}

/// Ends the writing down of durable ends, whichever way the committer's thread ends.
struct EndsDurableEnds<'a>(&'a LogDir);

impl Drop for EndsDurableEnds<'_> {
    fn drop(&mut self) {
        self.0.durable_ends.stop();
    }
}

/// How far a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// All partitions of the group were told [`CommitEvent::Written`].
    Written,
    /// All partitions of the group were told [`CommitEvent::Durable`], where it applies.
    Durable,
    /// All partitions of the group were told [`CommitEvent::Failed`].
    Failed,
}

/// What several partitions had queued, to be written and synced together.
#[derive(Debug)]
pub struct Group<T: ?Sized> {
    members: Vec<(Arc<T>, WriteSet)>,
}

/// A group of no more bytes than this may be written by whoever queued it: copying it into the
/// page cache takes less time than waking another thread.
const LIGHT_BYTES: u64 = 64 * 1024;

impl<T: ?Sized> Group<T> {
    /// Whether it is little to write, and nothing to sync, rename or remove.
    fn is_light(&self) -> bool {
        let mut bytes = 0;
        self.members.iter().all(|(_, set)| {
            bytes += set.bytes();
            set.only_writes() && bytes <= LIGHT_BYTES
        })
    }

    /// Number of partitions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

/// Commits what the partitions of one log directory have queued.
pub struct Committer<T: ?Sized> {
    log_dir: Arc<LogDir>,
    sync_threads: usize,
    /// From so many files on a group syncs their whole file system.
    whole_from: usize,
    /// Syncing it failed once.
    whole_failure: Failure,
    queue: Mutex<Queue<T>>,
    wake: Condvar,
    after: Box<dyn Fn(Stage) + Send + Sync>,
}

struct Queue<T: ?Sized> {
    dirty: Vec<Arc<T>>,
    /// Gathered by somebody else for the thread.
    handed: Option<Group<T>>,
    /// A group is on its way: no other is gathered.
    busy: bool,
    stopping: bool,
}

impl<T: ?Sized> std::fmt::Debug for Committer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Committer").field(&self.log_dir).finish()
    }
}

impl<T: CommitTarget + ?Sized> Committer<T> {
    /// A committer that syncs up to `sync_threads` files of a group at a time: a file system
    /// carries many syncs in little more time than one.
    #[must_use]
    pub fn new(log_dir: &Arc<LogDir>, sync_threads: usize) -> Self {
        Self {
            log_dir: Arc::clone(log_dir),
            sync_threads: sync_threads.max(1),
            whole_from: usize::MAX,
            whole_failure: Failure::default(),
            queue: Mutex::new(Queue {
                dirty: Vec::new(),
                handed: None,
                busy: false,
                stopping: false,
            }),
            wake: Condvar::new(),
            after: Box::new(|_| {}),
        }
    }

    /// From `files` of a group on their whole file system is synced at once, if it can be: that is one
    /// flush in place of one for each, and waits for what others have written there.
    #[must_use]
    pub fn whole_from(self, files: usize) -> Self {
        Self { whole_from: files.max(2), ..self }
    }

    /// Set when syncing a whole file system fails: from then on each file is synced by itself.
    #[must_use]
    pub fn whole_failure(&self) -> &Failure {
        &self.whole_failure
    }

    /// `after` is called after each stage of each group, when all its partitions were told, by
    /// whoever does the work.
    #[must_use]
    pub fn reporting_to(self, after: impl Fn(Stage) + Send + Sync + 'static) -> Self {
        Self { after: Box::new(after), ..self }
    }

    /// A partition has queued something: called whenever an operation of its log says that it
    /// needs a commit.
    pub fn enqueue(&self, target: Arc<T>) {
        self.enqueue_quietly(target);
        self.wake.notify_one();
    }

    /// As [`Committer::enqueue`], for somebody who calls [`Committer::commit_here`] when he has
    /// queued all that he has at the moment.
    pub fn enqueue_quietly(&self, target: Arc<T>) {
        self.queue.lock().dirty.push(target);
    }

    /// Commits what is queued if that is little work, and lets the thread do it otherwise.
    pub fn commit_here(&self) {
        {
            let mut queue = self.queue.lock();
            if queue.busy || queue.dirty.is_empty() {
                // Whoever is busy goes on with what is queued.
                return;
            }
            queue.busy = true;
        }
        let mut busy = Busy::new(self);
        match self.gather() {
            Some(group) if group.is_light() => self.commit(group),
            other => busy.handed = other,
        }
    }

    /// The thread's work, until [`Committer::stop`]: what was enqueued before is still committed.
    pub fn run(&self) {
        std::thread::scope(|scope| {
            let beside = std::thread::Builder::new().name("ottla-durable".to_owned());
            // Without it a start knows less, and nothing else.
            let _beside = beside.spawn_scoped(scope, || self.log_dir.keep_durable_ends());
            let _ends = EndsDurableEnds(&self.log_dir);
            while let Some((group, _busy)) = self.wait() {
                self.commit(group);
            }
        });
    }

    /// Lets [`Committer::run`] return when nothing is left to do.
    pub fn stop(&self) {
        self.queue.lock().stopping = true;
        self.wake.notify_all();
    }

    fn commit(&self, mut group: Group<T>) {
        (self.after)(self.write(&mut group));
        (self.after)(self.sync(group));
    }

    /// The next group for the thread, which is busy then.
    fn wait(&self) -> Option<(Group<T>, Busy<'_, T>)> {
        loop {
            let mut queue = self.queue.lock();
            while queue.busy || queue.dirty.is_empty() {
                if let Some(handed) = queue.handed.take() {
                    return Some((handed, Busy::new(self)));
                }
                if queue.stopping && !queue.busy {
                    return None;
                }
                self.wake.wait(&mut queue);
            }
            queue.busy = true;
            drop(queue);
            let busy = Busy::new(self);
            if let Some(group) = self.gather() {
                return Some((group, busy));
            }
        }
    }

    /// First step: takes what all dirty partitions have queued; `None` when it is nothing.
    pub fn gather(&self) -> Option<Group<T>> {
        let dirty = std::mem::take(&mut self.queue.lock().dirty);
        let mut members = Vec::with_capacity(dirty.len());
        for target in dirty {
            if let Some(set) = target.take_for(&self.log_dir) {
                members.push((target, set));
            }
        }
        if members.is_empty() { None } else { Some(Group { members }) }
    }

    /// Second step: writes, and tells each partition. Those for which there is no space leave the
    /// group; the others go on.
    pub fn write(&self, group: &mut Group<T>) -> Stage {
        let mut written = Vec::with_capacity(group.members.len());
        let mut failure = None;
        for (target, mut set) in group.members.drain(..) {
            let done = match &failure {
                None => self.log_dir.check().and_then(|()| forgive(&mut set, WriteSet::write)),
                Some(_) => Ok(()),
            };
            match done {
                Err(error) if error.is_no_space() => self.undo(&target, &mut set, error),
                Err(error) => {
                    failure = Some(error);
                    written.push((target, set));
                }
                Ok(()) => written.push((target, set)),
            }
        }
        group.members = written;
        if let Some(error) = failure {
            return self.fail(group, &error);
        }
        for (target, set) in &group.members {
            target.on_commit(&CommitEvent::Written { end: set.end });
            if planted("ack-before-flush") {
                target.on_commit(&CommitEvent::Durable { end: set.end });
            }
        }
        Stage::Written
    }

    /// Third step: syncs, and tells each partition. After a group whose writes failed, all were
    /// told already.
    pub fn sync(&self, mut group: Group<T>) -> Stage {
        if let Err(error) = self.log_dir.check() {
            mark!("commit-refused-after-failure");
            return self.fail(&mut group, &error);
        }
        let touched: Vec<_> =
            group.members.iter_mut().flat_map(|(_, set)| set.take_touched()).collect();
        let mut done = self.sync_all(&touched).map_err(LogError::from);
        drop(touched);
        for (_, set) in &mut group.members {
            done = done.and_then(|()| forgive(set, WriteSet::finish));
        }
        if let Err(error) = done {
            return self.fail(&mut group, &error);
        }
        for (target, set) in &group.members {
            target.on_commit(&CommitEvent::Durable { end: set.durable_end });
        }
        Stage::Durable
    }

    fn sync_all(&self, files: &[Arc<dyn DiskFile>]) -> Result<(), DiskError> {
        let whole = files.len() >= self.whole_from && self.whole_failure.why().is_none();
        if let Some(one) = files.first().filter(|_| whole && is_one_file_system(files)) {
            match one.sync_file_system() {
                Ok(()) => return Ok(()),
                Err(_) if planted("ignore-failed-file-system-sync") => return Ok(()),
                // It may be somebody else's file that failed, or one of ours that is not in this
                // group: from now on each tells of its own.
                Err(error) => {
                    mark!("file-system-sync-failed");
                    self.whole_failure.set(|| error.to_string().into());
                }
            }
        }
        sync_each(files, self.sync_threads)
    }

    /// A write that failed for lack of space alone is undone, and not final.
    fn undo(&self, target: &Arc<T>, set: &mut WriteSet, error: LogError) {
        mark!("commit-without-space");
        self.log_dir.set_full(true);
        if let Err(error) = set.abandon() {
            self.log_dir.fail(&error);
        }
        target.on_commit(&CommitEvent::NoSpace(error));
        // It keeps what makes room, and was perhaps told of something while it went back.
        self.enqueue_quietly(Arc::clone(target));
    }

    /// A failed write or sync is final: the directory goes out of service (L9).
    fn fail(&self, group: &mut Group<T>, error: &LogError) -> Stage {
        mark!("commit-failed");
        if !planted("failed-write-is-not-final") {
            self.log_dir.fail(error);
        }
        for (target, _) in group.members.drain(..) {
            target.on_commit(&CommitEvent::Failed(error.clone()));
        }
        Stage::Failed
    }
}

/// Files of a partition that nobody wants any more may be gone.
fn forgive(
    set: &mut WriteSet,
    run: impl FnOnce(&mut WriteSet) -> Result<(), LogError>,
) -> Result<(), LogError> {
    if set.dir.is_retired() {
        return Ok(());
    }
    match run(set) {
        Err(LogError::Offline { .. }) if set.dir.is_retired() => Ok(()),
        Err(error) if error.is_not_found() && set.dir.is_retired() => Ok(()),
        other => other,
    }
}

fn sync_each(files: &[Arc<dyn DiskFile>], threads: usize) -> Result<(), DiskError> {
    let sync = |file: &Arc<dyn DiskFile>| match file.sync_data() {
        Err(_) if planted("retry-failed-sync") => file.sync_data(),
        done => done,
    };
    let one_by_one = |files: &[Arc<dyn DiskFile>]| files.iter().try_for_each(sync);
    // Below three files a thread costs as much as it saves.
    if threads == 1 || files.len() < 3 {
        return one_by_one(files);
    }
    let share = files.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let mut shares = files.chunks(share);
        let mine = shares.next().unwrap_or_default();
        let others: Vec<_> = shares.map(|share| scope.spawn(move || one_by_one(share))).collect();
        let mut result = one_by_one(mine);
        for other in others {
            match other.join() {
                Ok(theirs) => result = result.and(theirs),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        result
    })
}

/// Whether all files are of one file system that can be synced as a whole.
fn is_one_file_system(files: &[Arc<dyn DiskFile>]) -> bool {
    let mut all = files.iter().map(|file| file.file_system());
    let first = all.next().flatten();
    first.is_some() && all.all(|other| other == first)
}
