//! One `fdatasync` of each file for everything that was written to it meanwhile: what a broker
//! with group commit does. Knows neither sockets nor what is written.

use std::fs::File;
use std::sync::{Condvar, Mutex, PoisonError};
use std::{io, mem};

/// What waits to be synced.
#[derive(Default)]
struct Waiting {
    /// Files by number, each once.
    dirty: Vec<usize>,
    finished: bool,
}

/// Gathers the files that were written to, and syncs them on a thread of its own.
#[derive(Default)]
pub(super) struct Committer {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Committer {
    /// The file was written to.
    pub(super) fn written(&self, file: usize) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.dirty.contains(&file) {
            waiting.dirty.push(file);
            self.changed.notify_one();
        }
    }

    /// No more is written.
    pub(super) fn finish(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).finished = true;
        self.changed.notify_one();
    }

    /// Syncs until everything that was written before the finish is; gives the number of groups.
    pub(super) fn run(&self, files: &[File]) -> io::Result<u64> {
        let mut groups = 0;
        loop {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            while waiting.dirty.is_empty() && !waiting.finished {
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            let dirty = mem::take(&mut waiting.dirty);
            drop(waiting);
            if dirty.is_empty() {
                return Ok(groups);
            }
            for file in dirty.iter().filter_map(|index| files.get(*index)) {
                file.sync_data()?;
            }
            groups += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_before_the_finish_is_synced() {
        let files = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
        let committer = Committer::default();
        committer.written(1);
        committer.written(1);
        committer.finish();
        assert_eq!(committer.run(&files).unwrap(), 1);
        assert_eq!(committer.run(&files).unwrap(), 0);
    }
}
