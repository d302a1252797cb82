//! Files that logs have let go of: they wait for `file.delete.delay.ms`, and are removed, at once or
//! piece by piece. Must not know why they are not needed any more, nor threads.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use ottla_env::{OpenMode, mark};
use ottla_protocol::Millis;

use crate::error::LogError;
use crate::log_dir::LogDir;
use crate::segment::{PartitionDir, Segment};

/// After so much longer than their delay files are removed even if somebody has their segment.
const READ_MILLIS_MAX: i64 = 300_000;

/// Files that are removed after a while.
#[derive(Debug)]
pub(crate) struct Buried {
    files: Vec<PathBuf>,
    /// Whose files they are: who has it may read them.
    segment: Weak<Segment>,
    dir: Weak<PartitionDir>,
    delay: Millis,
    /// When they were first seen by who removes them.
    since: Option<Millis>,
}

impl LogDir {
    pub(crate) fn bury(&self, segment: &Arc<Segment>, files: Vec<PathBuf>, delay: Millis) {
        if !files.is_empty() {
            let (dir, segment) = (Arc::downgrade(&segment.dir), Arc::downgrade(segment));
            self.buried.lock().push(Buried { files, segment, dir, delay, since: None });
        }
    }

    /// Takes what is due of what was put aside; `is_due` is told by how much its time is over.
    fn take_buried(&self, now: Millis, is_due: impl Fn(&Buried, i64) -> bool) -> Vec<Buried> {
        let mut buried = self.buried.lock();
        let is_due = |b: &mut Buried| {
            let since = *b.since.get_or_insert(now);
            is_due(b, now.0.saturating_sub(since.0).saturating_sub(b.delay.0))
        };
        buried.extract_if(.., is_due).collect()
    }

    /// Removes files that logs have let go of and whose time has come (`file.delete.delay.ms`,
    /// counted from the first call that sees them), or with `hurry` all of them: space is short.
    /// `now` is of any clock that does not go back. Returns how many were removed. A file that
    /// cannot be removed is left for the next start.
    ///
    /// # Errors
    /// The first failure of the disk; the others were tried all the same.
    pub fn remove_buried(&self, now: Millis, hurry: bool) -> Result<usize, LogError> {
        self.check()?;
        let due = self.take_buried(now, |_, over| hurry || over >= 0);
        let mut removed = 0;
        let mut failure = Ok(());
        for path in due.iter().flat_map(|b| &b.files) {
            match self.remove_if_there(path) {
                Ok(was_there) => removed += usize::from(was_there),
                Err(e) => failure = failure.and(Err(e)),
            }
        }
        failure.map(|()| removed)
    }

    /// As [`LogDir::remove_buried`], but large files are first cut from their ends, piece by piece:
    /// a device that is told of much free space at once makes others wait. `pace` is called after
    /// each piece, and is the place to wait; `false` ends the call, and what is left is for the
    /// next. A file that somebody may still read is not cut: it is removed some minutes later.
    ///
    /// # Errors
    /// As [`LogDir::remove_buried`].
    pub fn remove_buried_in_steps(
        &self,
        now: Millis,
        pace: &mut dyn FnMut() -> bool,
    ) -> Result<usize, LogError> {
        self.check()?;
        let free = |b: &Buried| b.segment.strong_count() == 0;
        let due =
            self.take_buried(now, |b, over| over >= 0 && (free(b) || over >= READ_MILLIS_MAX));
        let mut due = VecDeque::from(due);
        let mut removed = 0;
        let mut failure = Ok(());
        let mut goes_on = true;
        while goes_on && let Some(mut buried) = due.pop_front() {
            // Of a partition that is being deleted the paths may be those of a namesake.
            let cut = free(&buried) && buried.dir.upgrade().is_some_and(|dir| !dir.is_retired());
            // As the next one that is removed is taken out of it, none is forgotten.
            buried.files.reverse();
            while goes_on && let Some(path) = buried.files.pop() {
                let done = if cut { self.cut_down(&path, pace) } else { Ok(true) };
                match done.and_then(|whole| Ok((whole, whole && self.remove_if_there(&path)?))) {
                    Ok((true, was_there)) => {
                        removed += usize::from(was_there);
                        goes_on = pace();
                    }
                    Ok((false, _)) => {
                        buried.files.push(path);
                        goes_on = false;
                    }
                    Err(e) => failure = failure.and(Err(e)),
                }
            }
            if !buried.files.is_empty() {
                buried.files.reverse();
                due.push_front(buried);
            }
        }
        self.buried.lock().extend(due);
        failure.map(|()| removed)
    }

    fn remove_if_there(&self, path: &Path) -> Result<bool, LogError> {
        match self.disk().remove_file(path) {
            Ok(()) => Ok(true),
            // Its partition was deleted meanwhile.
            Err(e) if e.is_not_found() => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Cuts a file that nobody reads until little is left; `false` when `pace` ended that.
    fn cut_down(&self, path: &Path, pace: &mut dyn FnMut() -> bool) -> Result<bool, LogError> {
        let step = self.limits.removal_step_bytes.max(1);
        let file = match self.disk().open(path, OpenMode::Write) {
            Err(e) if e.is_not_found() => return Ok(true),
            other => other?,
        };
        let mut len = file.len()?;
        if len > step
            && let Some(dir) = path.parent()
        {
            // Under the name that it had a file of a log must stay whole.
            self.disk().sync_dir(dir)?;
        }
        while len > step {
            mark!("removed-file-cut");
            len -= step;
            file.set_len(len)?;
            if !pace() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
