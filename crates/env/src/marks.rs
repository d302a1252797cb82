//! Coverage marks on rare branches: the simulator's long run fails when it never came by one.
//! Without the feature `planted` a mark is nothing. Must not know where the marks stand.

#[cfg(feature = "planted")]
use std::sync::atomic::{AtomicU64, Ordering};

/// Every mark. One that is passed and missing here is a bug.
pub const MARKS: &[&str] = &[
    "append-duplicate",
    "roll-replaces-empty-segment",
    "commit-failed",
    "commit-refused-after-failure",
    "commit-without-space",
    "file-system-sync-failed",
    "closed-without-space",
    "small-file-without-space",
    "recover-torn-tail",
    "recover-torn-by-other-content",
    "durable-ends-without-space",
    "recover-removes-later-segment",
    "log-begins-anew-at-its-start",
    "orphan-index-removed",
    "producer-snapshot-unreadable",
    "index-entry-not-borne-out",
    "largest-timestamp-from-batches",
    "recover-damage",
    "index-rebuilt",
    "epochs-from-batches",
    "aborted-transactions-from-batches",
    "read-batch-beyond-buffer",
    "truncate-drops-segment",
    "truncate-within-segment",
    "truncate-fully",
    "move-begins-anew",
    "move-promotes",
    "move-skips-what-compaction-took",
    "move-takes-the-tail-over",
    "clean-start",
    "open-file-closed",
    "removed-file-cut",
    "metadata-torn-tail",
    "metadata-segment-removed",
    "metadata-snapshot-failed",
    "metadata-unfinished-snapshot-removed",
    "metadata-rolled",
];

#[cfg(feature = "planted")]
static HITS: [AtomicU64; MARKS.len()] = [const { AtomicU64::new(0) }; MARKS.len()];

/// Counts a pass. Use [`crate::mark!`].
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn hit(_name: &str) {}

/// Counts a pass. Use [`crate::mark!`].
///
/// # Panics
/// When the mark is not on the list.
#[cfg(feature = "planted")]
pub fn hit(name: &str) {
    let found = MARKS.iter().zip(&HITS).find(|(known, _)| **known == name);
    assert!(found.is_some(), "{name} is not on the list of marks");
    if let Some((_, hits)) = found {
        hits.fetch_add(1, Ordering::Relaxed);
    }
}

/// How often each mark was passed, by all threads of the process.
#[cfg(feature = "planted")]
pub fn hits() -> impl Iterator<Item = (&'static str, u64)> {
    MARKS.iter().zip(&HITS).map(|(name, hits)| (*name, hits.load(Ordering::Relaxed)))
}

/// Notes that a rare branch was taken, for the simulator; nothing in any other build.
#[macro_export]
macro_rules! mark {
    ($name:literal) => {
        $crate::marks::hit($name)
    };
}
