//! The threads: choose, clean, note, rest. Must not know which log is chosen, nor what cleaning
//! does.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ottla_log::{Claim, CompactError, CompactStats, Compactor, CompactorOptions, Pass};
use tracing::{info, warn};

use super::choose::Chosen;
use super::settings::CleanerSettings;
use super::{Cleaner, Key};
use crate::replica::{Courtesy, Volume};
use crate::shared::Shared;

/// The longest that a thread waits without looking whether it should stop.
const NAP: Duration = Duration::from_millis(50);

/// Compaction holds back for so many times as long as it works: a fifth of its speed is left while
/// somebody commits all the time.
const SHARE: u32 = 4;
/// The same when it is behind: logs could grow faster than they are compacted.
const SHARE_BEHIND: u32 = 1;
/// A thread with more to do for so long is behind.
const BEHIND: Duration = Duration::from_secs(600);
/// The longest that it holds back at once.
const HOLD_BACK_MAX: Duration = Duration::from_millis(500);

/// Starts the first thread; it starts the others. It ends when it is unparked while the broker
/// stops, after the others.
pub(crate) fn start(shared: Arc<Shared>) -> std::io::Result<JoinHandle<()>> {
    spawn(0, move || {
        let cleaner = Arc::new(Cleaner::new(&shared));
        drop(shared);
        let mut others: Vec<JoinHandle<()>> = Vec::new();
        run(&cleaner, 0, |settings| {
            while others.len() + 1 < settings.threads {
                let (index, cleaner) = (others.len() + 1, Arc::clone(&cleaner));
                match spawn(index, move || run(&cleaner, index, |_| {})) {
                    Ok(thread) => others.push(thread),
                    Err(error) => {
                        warn!(%error, "a thread for compaction cannot be started");
                        break;
                    }
                }
            }
        });
        for thread in others {
            thread.thread().unpark();
            if thread.join().is_err() {
                warn!("a thread of compaction has panicked");
            }
        }
    })
}

fn spawn(index: usize, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(format!("ottla-cleaner-{index}")).spawn(run)
}

/// The rounds of the thread with this number; it rests while there should be fewer.
fn run(cleaner: &Cleaner, index: usize, mut before: impl FnMut(&CleanerSettings)) {
    let shared = &cleaner.shared;
    if let Some(volume) = shared.partitions.volumes.first() {
        volume.dir.disk().work_in_background();
    }
    let mut rested = Instant::now();
    while !shared.is_stopping() {
        let settings = shared.with_effective(CleanerSettings::read);
        before(&settings);
        let idle =
            !settings.enabled || index >= settings.threads || !cleaner.round(&settings, rested);
        if index == 0 {
            let image = shared.image.load();
            cleaner.checkpoints.write(&shared.partitions);
            let there = |(id, index): &Key| {
                image.topic_by_id(*id).is_some_and(|topic| topic.partition(*index).is_some())
            };
            cleaner.uncleanable.lock().retain(there);
        }
        if idle {
            rest(cleaner, settings.backoff);
            rested = Instant::now();
        }
    }
}

/// Rests, unless the broker stops.
fn rest(cleaner: &Cleaner, wait: Duration) {
    let start = Instant::now();
    while !cleaner.shared.is_stopping() {
        let left = wait.saturating_sub(start.elapsed());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}

/// What a thread that rested until then owes.
fn share(rested: Instant, now: Instant) -> u32 {
    let behind = now.saturating_duration_since(rested) >= BEHIND;
    if behind { SHARE_BEHIND } else { SHARE }
}

impl Cleaner {
    /// Cleans one log. Whether there may be more to do at once. The thread has rested until `rested`.
    fn round(&self, settings: &CleanerSettings, rested: Instant) -> bool {
        let now = self.shared.now();
        let Some(Chosen { hosted, claim, dirt, config }) = self.choose(now) else { return false };
        // A start that read the log from below what is cleaned could find a transaction open in a
        // producer snapshot there, and its marker gone.
        if let Err(error) = self.shared.partitions.secure(&hosted, dirt.up_to) {
            self.on_failure(&hosted, &error.into());
            return false;
        }
        let options = CompactorOptions {
            map_bytes: settings.map_bytes,
            load_factor: settings.load_factor,
            io_bytes: settings.io_bytes,
            hash_key: self.hash_key,
        };
        let pass = Pass { dirt, delete_retention: config.delete_retention, now };
        let started = Instant::now();
        let volume = self.shared.partitions.volumes.get(hosted.dir());
        let syncs = || volume.map_or(0, Volume::syncs);
        let mut courtesy = Courtesy::new(started, syncs());
        let mut pace = |bytes| {
            let now = Instant::now();
            let owed = courtesy.owed(now, syncs(), share(rested, now));
            let goes_on = self.pace(bytes, owed.min(HOLD_BACK_MAX), settings, &claim);
            courtesy.held_back(Instant::now(), syncs());
            goes_on
        };
        let done = Compactor::new(options).run(&*hosted, &pass, &mut pace);
        match done {
            Ok(compacted) => {
                self.checkpoints.set(&hosted, compacted.clean_up_to);
                self.checkpoints.write(&self.shared.partitions);
                tell(&hosted.name.to_string(), &compacted.stats, started.elapsed());
                true
            }
            Err(error) => {
                self.on_failure(&hosted, &error);
                // Someone else wants the log: there may be others.
                error == CompactError::Interrupted
            }
        }
    }

    /// Waits as the throttle says, and for no less than what is `owed`; `false` to give up.
    fn pace(&self, bytes: u64, owed: Duration, settings: &CleanerSettings, claim: &Claim) -> bool {
        let now = Instant::now();
        let wait = self.throttle.spend(bytes, settings.bytes_per_second, now).max(owed);
        loop {
            if self.shared.is_stopping() || claim.is_wanted() {
                return false;
            }
            let left = wait.saturating_sub(now.elapsed());
            if left.is_zero() {
                return true;
            }
            std::thread::park_timeout(left.min(NAP));
        }
    }
}

fn tell(partition: &str, stats: &CompactStats, took: Duration) {
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let CompactStats { bytes_read, bytes_kept, records_read, records_kept, .. } = *stats;
    info!(partition, ms, bytes_read, bytes_kept, records_read, records_kept, "compacted a log");
    if stats.records_without_key > 0 {
        let records = stats.records_without_key;
        warn!(partition, records, "records without a key were dropped from a compacted log");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_rest_for_long_holds_back_less() {
        let rested = Instant::now();
        assert_eq!(share(rested, rested), SHARE);
        assert_eq!(share(rested, rested + BEHIND), SHARE_BEHIND);
    }
}
