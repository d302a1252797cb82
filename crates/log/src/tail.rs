//! The end of the log in memory: batches that are not written yet, and the newest of those that
//! are, for readers. Must not know files.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use ottla_protocol::Offset;

use crate::log_dir::LogDir;
use crate::read::{Fetched, ReadRequest};

/// Batches that one read gives at most: what one `writev` takes.
const BATCHES_MAX: usize = 1000;

#[derive(Debug)]
pub(crate) struct TailBatch {
    pub(crate) last: Offset,
    pub(crate) bytes: Bytes,
}

#[derive(Debug)]
pub(crate) struct Tail {
    log_dir: Arc<LogDir>,
    batches: VecDeque<TailBatch>,
    bytes: usize,
    /// From this offset on all batches are here.
    start: Offset,
    /// What was written when batches were last let go.
    written: Offset,
}

impl Tail {
    pub(crate) fn new(log_dir: &Arc<LogDir>, start: Offset) -> Self {
        Self {
            log_dir: Arc::clone(log_dir),
            batches: VecDeque::new(),
            bytes: 0,
            start,
            written: start,
        }
    }

    pub(crate) fn start(&self) -> Offset {
        self.start
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, batch: TailBatch) {
        let size = batch.bytes.len();
        if self.bytes == 0 && size > 0 {
            self.log_dir.tails.fetch_add(1, Ordering::Relaxed);
        }
        self.bytes += size;
        self.log_dir.tail_bytes.fetch_add(size, Ordering::Relaxed);
        self.batches.push_back(batch);
    }

    fn give_back(&mut self, size: usize) {
        self.bytes -= size;
        if self.bytes == 0 && size > 0 {
            self.log_dir.tails.fetch_sub(1, Ordering::Relaxed);
        }
        self.log_dir.tail_bytes.fetch_sub(size, Ordering::Relaxed);
    }

    /// Drops batches that end below `written`, oldest first, while the tail holds more than
    /// `limit` bytes or all tails together more than they may; and those that were written at the
    /// last call, so that readers had time to take them, while it holds more than its share.
    pub(crate) fn evict(&mut self, written: Offset, limit: usize) {
        let old = std::mem::replace(&mut self.written, written);
        let share = self.log_dir.tail_share();
        while self.bytes > 0 {
            let all = self.bytes > limit || self.log_dir.tail_over_limit();
            let below = if all { written } else { old.min(written) };
            if !all && self.bytes <= share {
                break;
            }
            let Some(oldest) = self.batches.pop_front_if(|b| b.last < below) else { break };
            self.start = Offset(oldest.last.0.saturating_add(1));
            self.give_back(oldest.bytes.len());
        }
        if self.batches.is_empty() {
            self.batches = VecDeque::new();
        }
    }

    /// Drops batches that reach `end` or beyond.
    pub(crate) fn cut(&mut self, end: Offset) {
        while let Some(newest) = self.batches.pop_back_if(|b| b.last >= end) {
            self.give_back(newest.bytes.len());
        }
        self.start = self.start.min(end);
    }

    /// Drops everything; the next batch begins at `offset`.
    pub(crate) fn restart(&mut self, offset: Offset) {
        self.give_back(self.bytes);
        self.batches = VecDeque::new();
        self.start = offset;
    }

    /// Whole batches from the one that holds `request.from`. The caller has checked that it is
    /// not below the tail's start.
    pub(crate) fn read(&self, request: &ReadRequest) -> Fetched {
        let first = self.batches.partition_point(|b| b.last < request.from);
        let mut fetched = Fetched::empty(request.from);
        for batch in self.batches.range(first..).take(BATCHES_MAX) {
            let fits = fetched.bytes + batch.bytes.len() <= request.max_bytes
                || (fetched.batches.is_empty() && request.at_least_one);
            if !fits || batch.last >= request.up_to {
                break;
            }
            fetched.push(batch.bytes.clone(), Offset(batch.last.0.saturating_add(1)));
        }
        fetched
    }

    /// Bytes of the whole batches from the one that holds `from` to `up_to`.
    pub(crate) fn bytes_between(&self, from: Offset, up_to: Offset) -> usize {
        let first = self.batches.partition_point(|b| b.last < from);
        self.batches.range(first..).take_while(|b| b.last < up_to).map(|b| b.bytes.len()).sum()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}
