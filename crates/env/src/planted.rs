//! Mistakes put into the code on purpose, one line each, to prove that the simulator finds them.
//! Without the feature `planted` [`planted`] is a constant `false` and costs nothing; no shipped
//! build has the feature. Must not know what a mistake leads to.

#[cfg(feature = "planted")]
use std::cell::Cell;

/// Every planted mistake. One that is asked for elsewhere and missing here is a bug.
pub const PLANTED: &[&str] = &[
    "atomic-write-without-dir-sync",
    "atomic-write-renamed-before-sync",
    "no-dir-sync-after-create",
    "ack-before-flush",
    "retry-failed-sync",
    "ignore-failed-file-system-sync",
    "failed-write-is-not-final",
    "trust-stale-index",
    "keep-torn-tail",
    "no-crc-in-recovery",
    "recovered-not-synced",
    "txn-index-not-rebuilt",
    "producer-snapshot-beyond-end",
    "epoch-cache-not-truncated",
    "log-start-checkpoint-ignored",
    "clean-marker-kept",
    "clean-marker-removal-not-synced",
    "truncation-not-synced",
    "os-mode-claims-durable",
    "duplicate-appended",
    "closed-segment-not-synced",
    "durable-end-before-sync",
    "closed-indexes-synced-late",
    "rollback-names-not-synced",
    "move-copy-not-synced",
    "move-checkpoint-after-promotion",
    "move-aside-before-copied",
    "move-trusts-any-copy",
    "compaction-drops-marker",
    "compaction-forgets-producer",
    "cleaned-not-synced",
    "cleaned-indexes-not-synced",
    "swap-old-segments-first",
    "swap-not-synced",
    "swap-indexes-first",
    "metadata-snapshot-renamed-before-sync",
    "metadata-append-not-synced",
    "metadata-quorum-state-in-place",
    "metadata-log-cut-past-snapshot",
    "metadata-segment-dir-not-synced",
    "format-marker-first",
];

#[cfg(feature = "planted")]
thread_local! {
    static CHOSEN: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Whether the mistake of this name is to be made on this thread.
#[cfg(not(feature = "planted"))]
#[inline(always)]
#[must_use]
pub const fn planted(_name: &str) -> bool {
    false
}

/// Whether the mistake of this name is to be made on this thread.
#[cfg(feature = "planted")]
#[must_use]
pub fn planted(name: &'static str) -> bool {
    debug_assert!(PLANTED.contains(&name), "{name} is not on the list of planted mistakes");
    CHOSEN.with(|chosen| chosen.get() == Some(name))
}

/// Chooses the mistake that this thread makes from now on; `None` for none.
///
/// # Panics
/// When there is no such mistake.
#[cfg(feature = "planted")]
pub fn plant(name: Option<&'static str>) {
    assert!(name.is_none_or(|name| PLANTED.contains(&name)), "no mistake is called {name:?}");
    CHOSEN.with(|chosen| chosen.set(name));
}
