//! Compaction's threads: which log comes next, how fast, and what is remembered of each. Must not
//! know what is kept of a log: that is `ottla_log`'s.
//!
//! A round of a thread: the dirtiest log that is due is cleaned once, its checkpoint written, and
//! the next chosen; when none is due, the thread rests for `log.cleaner.backoff.ms`. A log is
//! claimed while it is looked at or cleaned, and let go of as soon as someone else wants it.

mod checkpoints;
mod choose;
mod settings;
mod thread;
mod throttle;

use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_protocol::TopicId;
use parking_lot::Mutex;

use checkpoints::Checkpoints;
pub(crate) use settings::CleaningConfig;
pub(crate) use thread::start;
use throttle::Throttle;

use crate::replica::HostedPartition;
use crate::shared::Shared;

/// A partition for as long as its topic lives.
type Key = (TopicId, i32);

fn key(hosted: &HostedPartition) -> Key {
    (hosted.topic_id, hosted.name.partition)
}

/// What all cleaning threads share.
struct Cleaner {
    shared: Arc<Shared>,
    checkpoints: Checkpoints,
    /// Logs that cannot be cleaned: they are damaged.
    uncleanable: Mutex<BTreeSet<Key>>,
    throttle: Throttle,
    /// Secret of the keys' hashes.
    hash_key: [u8; 16],
}

impl Cleaner {
    fn new(shared: &Arc<Shared>) -> Self {
        let mut hash_key = [0; 16];
        shared.rng.fill(&mut hash_key);
        Self {
            shared: Arc::clone(shared),
            checkpoints: Checkpoints::load(shared),
            uncleanable: Mutex::default(),
            throttle: Throttle::default(),
            hash_key,
        }
    }
}
