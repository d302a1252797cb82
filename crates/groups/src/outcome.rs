//! What goes into every call (the time, the token) and what comes out. Must not know groups.

use ottla_protocol::Millis;

use crate::{Record, Reply};

/// The time of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the Unix epoch: what records and expiry of offsets go by.
    pub wall: Millis,
    /// A clock that never goes back, from any start: what time-outs go by.
    pub mono: Millis,
}

impl Now {
    /// The point on the monotonic clock `delay` milliseconds from now.
    pub(crate) fn after(self, delay: i64) -> Millis {
        Millis(self.mono.0.saturating_add(delay))
    }
}

/// Names one waiting request. The host chooses it and gets it back with the one reply; it must
/// not be used again before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// What a call asks of the host; see the crate's documentation for the order.
#[derive(Debug, Default)]
pub struct Outcome {
    /// To be appended to the partition in this order, and then applied. Together they are longer
    /// than [`Config::batch_max`](crate::Config::batch_max) only if they are all tombstones, or a
    /// group's first record after some; then they may be appended in several batches.
    pub records: Vec<Record>,
    /// To be given out once the log is committed up to the end it has after `records`.
    pub replies: Vec<(Token, Reply)>,
}

impl Outcome {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.replies.is_empty()
    }

    pub(crate) fn reply(&mut self, token: Token, reply: Reply) {
        self.replies.push((token, reply));
    }
}
