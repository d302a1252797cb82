//! What is asked of a read and what it gives. Must not know where batches come from.

use bytes::Bytes;
use ottla_protocol::Offset;

/// A read of whole batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// The first offset wanted; the first batch given may begin before it.
    pub from: Offset,
    /// No batch is given that reaches this offset: the high watermark, the last stable offset, or
    /// the end of the log for a follower.
    pub up_to: Offset,
    /// Bytes wanted at most.
    pub max_bytes: usize,
    /// Give one batch even if it alone has more than `max_bytes`.
    pub at_least_one: bool,
}

/// What a reader may ask of the device at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes at most; 0 is taken for 1.
    pub bytes: usize,
    /// Whether the system may fetch more than that in advance.
    pub read_ahead: bool,
}

impl Piece {
    /// Without a bound.
    pub const ANY: Self = Self { bytes: usize::MAX, read_ahead: true };
}

/// What a reader may take who must not wait for the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtHand {
    /// Bytes at most: copying them out of the page cache takes time too.
    pub bytes: usize,
    /// Whether what is not in memory should be left alone; else asking for it fetches it.
    pub lightly: bool,
}

impl AtHand {
    /// Without a bound.
    pub const ANY: Self = Self { bytes: usize::MAX, lightly: false };
}

/// Whole batches, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Runs of whole batches, to be sent one after the other.
    pub batches: Vec<Bytes>,
    /// Bytes of all of them.
    pub bytes: usize,
    /// The offset after the last record; where reading goes on.
    pub next_offset: Offset,
}

impl Fetched {
    pub(crate) fn empty(from: Offset) -> Self {
        Self { batches: Vec::new(), bytes: 0, next_offset: from }
    }

    pub(crate) fn push(&mut self, bytes: Bytes, next_offset: Offset) {
        self.bytes += bytes.len();
        self.batches.push(bytes);
        self.next_offset = next_offset;
    }
}

/// An answer from memory, or the view in which to look it up: without the log's lock, since that
/// reads files.
#[derive(Clone, Debug)]
pub enum Answer<T> {
    /// Known at once.
    Ready(T),
    /// To be looked up.
    Lookup(crate::LogView),
}

/// A record found by its timestamp, or a special offset (then the timestamp is −1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    /// Of the record, in milliseconds; −1 for special offsets.
    pub timestamp: i64,
    /// Of the record.
    pub offset: Offset,
    /// Leader epoch of its batch, when known. The wire says −1 for "unknown".
    pub leader_epoch: Option<ottla_protocol::LeaderEpoch>,
}

/// The special timestamps of ListOffsets.
pub mod timestamps {
    /// The offset after the last record.
    pub const LATEST: i64 = -1;
    /// The log's start.
    pub const EARLIEST: i64 = -2;
    /// The record with the largest timestamp (KIP-734).
    pub const MAX: i64 = -3;
    /// The start of what is on local disks (KIP-405).
    pub const EARLIEST_LOCAL: i64 = -4;
    /// The last offset in tiered storage (KIP-1005).
    pub const LATEST_TIERED: i64 = -5;
    /// The first offset not yet in tiered storage (KIP-1023).
    pub const EARLIEST_PENDING_UPLOAD: i64 = -6;
}
