//! One segment takes the place of several, so that whatever moment the power is cut at, and in
//! whatever order changed names reach the disk, a start (ours or Apache Kafka's) finds either the
//! old segments or the new one. Must not know what is in them.
//!
//! | step | what | after a cut in it |
//! |---|---|---|
//! | 1 | `.cleaned` files written and synced, their names synced | `.cleaned` files are removed |
//! | 2 | renamed to `.swap` | a `.cleaned` that is left undoes it: the `.swap` files are removed |
//! | 3 | names synced: from here on the new segment counts | the swap is finished |
//! | 4 | readers get the new segment | |
//! | 5 | the old files renamed to `.deleted`, names synced | finished: what is left of the old goes |
//! | 6 | the `.log` gets its final name, names synced | finished |
//! | 7 | its indexes get theirs, names synced | finished: they are renamed |
//!
//! The `.log` goes first in step 6, and alone: while there is a `.log.swap`, a start removes all
//! files of the range that have their final names, so an index of aborted transactions that came
//! before its log would be lost, and with it the answer to what was aborted. For the same reason
//! an empty index takes the place of an old one that has entries.

use std::path::PathBuf;
use std::sync::Arc;

use ottla_env::{Disk, planted};

use super::rewrite::Finished;
use super::run::CompactionTarget;
use crate::error::LogError;
use crate::names::{
    self, CLEANED, DELETED, LOG, OFFSET_INDEX, SNAPSHOT, SWAP, TIME_INDEX, TXN_INDEX,
};
use crate::segment::{Segment, Stage};

const FILES: [&str; 4] = [LOG, OFFSET_INDEX, TIME_INDEX, TXN_INDEX];

/// What became of a swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Swapped {
    Yes,
    /// The old segments are not there any more.
    Refused,
}

/// Swaps `new` in for `old`, which follow each other.
pub(super) fn swap<T: CompactionTarget>(
    target: &T,
    old: &[Arc<Segment>],
    new: &Finished,
) -> Result<Swapped, LogError> {
    let segment = &new.segment;
    let dir = &segment.dir;
    let disk = dir.disk();
    let suffixes = FILES.iter().filter(|suffix| **suffix != TXN_INDEX || new.has_aborted);
    if planted("swap-old-segments-first") {
        put_aside(disk, old, target)?;
    }
    let named = disk.sync_dir(&dir.path).and_then(|()| {
        suffixes.clone().try_for_each(|suffix| {
            disk.rename(&path(segment, suffix, CLEANED), &path(segment, suffix, SWAP))
        })
    });
    if let Err(error) = named {
        // Whatever is left of it: complete it may count, and else a start removes it.
        let _ = discard(segment);
        return Err(error.into());
    }
    segment.set_stage(Stage::Swap);
    // From here on nothing can be taken back.
    let synced = match planted("swap-not-synced") {
        true => Ok(()),
        false => disk.sync_dir(&dir.path),
    };
    let done = synced.map_err(LogError::from).and_then(|()| {
        if !target.with_log(|log| log.take_in(old, segment)) {
            discard(segment)?;
            return Ok(Swapped::Refused);
        }
        put_aside(disk, old, target)?;
        if planted("swap-indexes-first") {
            for suffix in suffixes.clone().filter(|suffix| **suffix != LOG) {
                disk.rename(&path(segment, suffix, SWAP), &path(segment, suffix, ""))?;
            }
        }
        disk.rename(&path(segment, LOG, SWAP), &path(segment, LOG, ""))?;
        disk.sync_dir(&dir.path)?;
        let later = suffixes.filter(|s| **s != LOG && !planted("swap-indexes-first"));
        for suffix in later {
            disk.rename(&path(segment, suffix, SWAP), &path(segment, suffix, ""))?;
        }
        segment.set_stage(Stage::Live);
        disk.sync_dir(&dir.path)?;
        segment.close_files();
        Ok(Swapped::Yes)
    });
    if let Err(error) = &done
        && !dir.is_retired()
    {
        dir.log_dir.fail(error);
    }
    done
}

/// The old files get the ending `.deleted`, and go after `file.delete.delay.ms`. Of the producer
/// snapshots the one at the base of the first stays: there a segment still begins.
fn put_aside<T: CompactionTarget>(
    disk: &Arc<dyn Disk>,
    old: &[Arc<Segment>],
    target: &T,
) -> Result<(), LogError> {
    let mut aside = Vec::new();
    for (i, segment) in old.iter().enumerate() {
        let mut buried = Vec::new();
        let snapshot = (i > 0).then_some(&SNAPSHOT);
        for suffix in FILES.iter().chain(snapshot) {
            let to = path(segment, suffix, DELETED);
            match disk.rename(&path(segment, suffix, ""), &to) {
                Ok(()) => buried.push(to),
                Err(e) if e.is_not_found() => {}
                Err(e) => return Err(e.into()),
            }
        }
        segment.close_files();
        aside.push((segment, buried));
    }
    let Some(first) = old.first() else { return Ok(()) };
    disk.sync_dir(&first.dir.path)?;
    let delay = target.with_log(|log| log.config().file_delete_delay);
    for (segment, buried) in aside {
        first.dir.log_dir.bury(segment, buried, delay);
    }
    Ok(())
}

/// Removes what a pass that ended early has written.
pub(super) fn discard(segment: &Segment) -> Result<(), LogError> {
    segment.close_files();
    let disk = segment.dir.disk();
    // The log last: a `.swap` without its log is only renamed by a start.
    for suffix in FILES.iter().rev() {
        for ending in [CLEANED, SWAP] {
            match disk.remove_file(&path(segment, suffix, ending)) {
                Err(e) if !e.is_not_found() => return Err(e.into()),
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(())
}

fn path(segment: &Segment, suffix: &str, ending: &str) -> PathBuf {
    segment.dir.path.join(names::file(segment.base, suffix) + ending)
}
