//! Appending: offsets, epochs, producers, rolls, index entries; all in memory. Must not know what
//! makes a batch valid.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use ottla_env::{mark, planted};
use ottla_partition::{Admission, AppendContext, encode_snapshot};
use ottla_protocol::{LeaderEpoch, Millis, Offset};
use ottla_records::{Batch, BatchError, BatchHeader, set_base_offset_and_epoch};

use super::{Active, PartitionLog};
use crate::commit::Op;
use crate::error::AppendError;
use crate::index::{Entry, OffsetEntry, TimeEntry};
use crate::names;
use crate::producer_batch::producer_batch;
use crate::segment::{Largest, Segment};
use crate::tail::TailBatch;
use crate::txn_index::AbortedTransaction;

/// Index entries that wait in memory before they are written to the files.
const INDEX_ENTRIES_MAX: usize = 512;

/// Bytes of batches after which the producers are written down anew.
const SNAPSHOT_BYTES: u64 = 32 << 20;

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// Its largest timestamp (with LogAppendTime, when it was appended).
    pub max_timestamp: Millis,
    /// It was in the log already, and nothing was appended: the offsets are those it got then.
    pub duplicate: bool,
    /// Whether the host must tell the committer now.
    pub needs_commit: bool,
}

impl PartitionLog {
    /// Appends one validated batch as leader of `epoch`: gives it its offsets. `now` is in
    /// milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// Refusals of the producer's sequence, epoch or transaction; batches larger than a segment;
    /// a log directory that failed or has no space. Nothing has changed then.
    pub fn append(
        &mut self,
        mut batch: BytesMut,
        epoch: LeaderEpoch,
        now: Millis,
        context: &AppendContext,
    ) -> Result<Appended, AppendError> {
        self.check_append()?;
        let mut header = BatchHeader::parse(&batch)?;
        if header.size() != batch.len() {
            return Err(BatchError::Torn { needed: header.size(), available: batch.len() }.into());
        }
        self.check_size(batch.len())?;
        set_base_offset_and_epoch(&mut batch, self.log_end, epoch);
        header.base_offset = self.log_end;
        header.partition_leader_epoch = epoch;
        let producer = producer_batch(&header, &batch);
        match self.producers.check(&producer, context)? {
            Admission::Append => {}
            Admission::Duplicate(_) if planted("duplicate-appended") => {}
            Admission::Duplicate(earlier) => {
                mark!("append-duplicate");
                return Ok(Appended {
                    base_offset: earlier.first_offset(),
                    last_offset: earlier.last_offset,
                    max_timestamp: earlier.timestamp,
                    duplicate: true,
                    needs_commit: false,
                });
            }
        }
        self.add(&header, batch.freeze(), now);
        Ok(Appended {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            max_timestamp: header.max_timestamp,
            duplicate: false,
            needs_commit: self.queue(),
        })
    }

    /// Appends batches that have their offsets and epochs, as a leader sent them. Their CRCs are
    /// checked.
    ///
    /// # Errors
    /// Bytes that are not whole batches, offsets below the log's end, a log directory that
    /// failed. Batches before the bad one are appended.
    pub fn append_as_replica(
        &mut self,
        batches: &Bytes,
        now: Millis,
    ) -> Result<Appended, AppendError> {
        self.check_append()?;
        let mut done = Appended {
            base_offset: self.log_end,
            last_offset: Offset(self.log_end.0 - 1),
            max_timestamp: Millis(-1),
            duplicate: false,
            needs_commit: false,
        };
        let mut at = 0;
        while let Some(rest) = batches.get(at..).filter(|rest| !rest.is_empty()) {
            let batch = Batch::parse(rest)?;
            batch.verify_crc()?;
            let header = *batch.header();
            self.check_size(batch.size())?;
            if header.base_offset < self.log_end || header.last_offset_delta < 0 {
                return Err(AppendError::OutOfOrder {
                    base_offset: header.base_offset,
                    log_end: self.log_end,
                });
            }
            self.add(&header, batches.slice(at..at + batch.size()), now);
            at += header.size();
            done.last_offset = header.last_offset();
            done.max_timestamp = done.max_timestamp.max(header.max_timestamp);
            done.needs_commit |= self.queue();
        }
        Ok(done)
    }

    /// Where in its file the next batch will begin, unless that begins a new segment.
    #[must_use]
    pub const fn next_position(&self) -> u64 {
        self.active.size
    }

    pub(super) fn check_append(&self) -> Result<(), AppendError> {
        self.check()?;
        if self.halted {
            return Err(AppendError::NoSpace { path: self.dir.path.clone() });
        }
        Ok(())
    }

    fn check_size(&self, size: usize) -> Result<(), AppendError> {
        if size as u64 > u64::from(self.config.segment_bytes) {
            return Err(AppendError::TooLarge { size, limit: self.config.segment_bytes });
        }
        Ok(())
    }

    /// Adds a batch whose offsets and epoch stand in it.
    fn add(&mut self, header: &BatchHeader, bytes: Bytes, now: Millis) {
        assert!(header.base_offset >= self.log_end, "offsets rise");
        assert!(header.last_offset_delta >= 0, "a batch covers at least one offset");
        if self.must_roll(header, bytes.len(), now) {
            self.roll(header.base_offset, now);
        }
        self.at_rest = None;
        if self.epochs.latest().is_none_or(|e| header.partition_leader_epoch > e.epoch) {
            self.epochs_unwritten |=
                self.epochs.assign(header.partition_leader_epoch, header.base_offset);
        }
        if self.epochs_unwritten {
            self.queue_epochs();
        }
        let segment = Arc::clone(self.active_segment());
        let ended = self.producers.apply(&producer_batch(header, &bytes));
        if let Some(aborted) = ended.as_ref().and_then(AbortedTransaction::of) {
            let entry = Bytes::from(aborted.encode());
            self.pending.push(Op::Aborted { segment: Arc::clone(&segment), entry });
        }
        self.index(&segment, header);
        let position = self.active.size;
        self.active.size += bytes.len() as u64;
        self.active.bytes_since_index += bytes.len() as u64;
        self.queue_batch(&segment, position, bytes.clone());
        self.tail.push(TailBatch { last: header.last_offset(), bytes });
        self.log_end = header.next_offset();
    }

    /// Joins the batch to the write before it, when that ends where this begins.
    fn queue_batch(&mut self, segment: &Arc<Segment>, position: u64, bytes: Bytes) {
        self.dir.log_dir.appended_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.uncommitted_bytes += bytes.len() as u64;
        if let Some(Op::Append { segment: before, position: from, len, batches, .. }) =
            self.pending.last_mut()
            && before.base == segment.base
            && *from + *len == position
        {
            *len += bytes.len() as u64;
            batches.push(bytes);
            return;
        }
        self.pending.push(Op::Append {
            segment: Arc::clone(segment),
            position,
            len: bytes.len() as u64,
            batches: vec![bytes],
        });
    }

    /// Largest timestamp and index entries, before the batch is added. As Kafka since 4.0: one
    /// entry of each index for the first batch after `index.interval.bytes`.
    fn index(&mut self, segment: &Arc<Segment>, header: &BatchHeader) {
        let active = &mut self.active;
        active.first_timestamp.get_or_insert(header.max_timestamp.0);
        if header.max_timestamp.0 > active.largest.timestamp {
            active.largest =
                Largest { timestamp: header.max_timestamp.0, offset: header.last_offset() };
        }
        if active.bytes_since_index <= u64::from(self.config.index_interval_bytes) {
            return;
        }
        active.bytes_since_index = 0;
        let relative = segment.relative(header.last_offset());
        let position = u32::try_from(active.size).ok();
        let offset =
            relative.zip(position).map(|(relative, position)| OffsetEntry { relative, position });
        let time = time_entry(segment, active);
        if segment.push_entries(offset, time) >= INDEX_ENTRIES_MAX && !active.index_queued {
            active.index_queued = true;
            self.pending.push(Op::Index(Arc::clone(segment)));
        }
    }

    /// Kafka's rules (`LogSegment.shouldRoll`).
    fn must_roll(&self, header: &BatchHeader, size: usize, now: Millis) -> bool {
        let active = &self.active;
        let segment = self.active_segment();
        if segment.relative(header.last_offset()).is_none() {
            return true;
        }
        if active.size == 0 {
            return false;
        }
        let waited = match active.first_timestamp {
            Some(first) if first >= 0 => header.max_timestamp.0.saturating_sub(first),
            Some(_) | None => now.0.saturating_sub(active.created.0),
        };
        let (offsets, times) = segment.entries();
        let limit = self.config.segment_index_bytes;
        active.size + size as u64 > u64::from(self.config.segment_bytes)
            || waited > self.config.segment_ms.0.saturating_sub(self.config.segment_jitter_ms.0)
            || offsets >= limit / bytes_of::<OffsetEntry>()
            || times >= (limit / bytes_of::<TimeEntry>()).saturating_sub(1)
    }

    /// Closes the last segment and begins one at `base`.
    pub(super) fn roll(&mut self, base: Offset, now: Millis) {
        self.at_rest = None;
        let old = Arc::clone(self.active_segment());
        let mut segments: Vec<_> = self.segments.iter().cloned().collect();
        if self.active.size == 0 {
            // An empty segment is replaced: two cannot have the same base.
            mark!("roll-replaces-empty-segment");
            segments.pop();
            self.pending.push(Op::Remove { segment: old, snapshot: false });
        } else {
            seal(&mut self.active, &old, &mut self.pending);
            self.forget_closed();
            self.closing.push((Arc::clone(&old), self.active.size));
            let content = Bytes::from(encode_snapshot(self.producers.entries()));
            let name = names::file(base, names::SNAPSHOT);
            let instead_of = self.active.snapshot_name().filter(|old| *old != name);
            self.pending.push(Op::Snapshot { name, content, instead_of });
        }
        let new = Arc::new(Segment::new(&self.dir, base));
        segments.push(Arc::clone(&new));
        self.segments = Arc::new(segments);
        self.pending.push(Op::Create(new));
        self.active = Active::empty(now);
    }

    /// Lets go of closed segments that are written whole by now.
    pub(super) fn forget_closed(&mut self) {
        self.closing.retain(|(segment, bytes)| segment.written() < *bytes);
    }
}

impl PartitionLog {
    /// Takes a snapshot of the producers, and writes the index entries that wait, when much was
    /// appended since the last: what a start has to walk over again. Called now and then, with
    /// recovery points. Returns whether a commit is needed.
    pub fn keep_producers(&mut self) -> bool {
        let taken_at = self.active.snapshot.map_or(0, |(size, _)| size);
        let since = self.active.size.saturating_sub(taken_at);
        if since < SNAPSHOT_BYTES || self.check().is_err() || self.halted {
            return false;
        }
        let content = Bytes::from(encode_snapshot(self.producers.entries()));
        let name = names::file(self.log_end, names::SNAPSHOT);
        let instead_of = self.active.snapshot_name().filter(|old| *old != name);
        self.pending.push(Op::Snapshot { name, content, instead_of });
        self.pending.push(Op::Index(Arc::clone(self.active_segment())));
        self.active.snapshot = Some((self.active.size, self.log_end));
        self.queue()
    }
}

fn bytes_of<E: Entry>() -> u32 {
    u32::try_from(E::BYTES).unwrap_or(u32::MAX)
}

/// The entry that the time index gets for what it holds up to now; its timestamps rise strictly.
fn time_entry(segment: &Segment, active: &mut Active) -> Option<TimeEntry> {
    let largest = active.largest;
    if largest.timestamp <= active.last_time_entry {
        return None;
    }
    active.last_time_entry = largest.timestamp;
    let relative = segment.relative(largest.offset)?;
    Some(TimeEntry { timestamp: largest.timestamp, relative })
}

/// The final time entry; then the segment's files are written and synced.
pub(super) fn seal(active: &mut Active, segment: &Arc<Segment>, pending: &mut Vec<Op>) {
    let last = time_entry(segment, active);
    segment.push_entries(None, last);
    segment.set_largest(active.largest);
    segment.set_sealed(false);
    pending.push(Op::Seal(Arc::clone(segment)));
}
