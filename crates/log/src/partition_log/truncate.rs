//! Taking away: from the front (DeleteRecords, later retention), queued; and from the end (a
//! follower that diverged, the metadata log), which works on the files at once. Must not know why.

use std::sync::Arc;

use bytes::Bytes;
use ottla_env::mark;
use ottla_protocol::{Millis, Offset};
use ottla_records::BatchHeader;

use super::{Active, PartitionLog};
use crate::commit::{Op, remove, write_index};
use crate::error::LogError;
use crate::load;
use crate::names;
use crate::segment::Segment;

impl PartitionLog {
    /// Moves the log's start forward to `offset` (DeleteRecords). Returns whether it moved; then
    /// the host should write the log starts checkpoint, and call
    /// [`PartitionLog::delete_old_segments`].
    ///
    /// # Panics
    /// When `offset` is beyond the log's end: the host has checked it against the high watermark.
    pub fn advance_log_start(&mut self, offset: Offset) -> bool {
        assert!(offset <= self.log_end, "the log cannot start after its end");
        if offset <= self.log_start {
            return false;
        }
        self.log_start = offset;
        self.producers.on_log_start(offset);
        if self.epochs.truncate_from_start(offset) {
            self.queue_epochs();
        }
        true
    }

    /// How many segments lie wholly below the log's start.
    #[must_use]
    pub fn old_segments(&self) -> usize {
        self.segments_below(self.log_start)
    }

    fn segments_below(&self, offset: Offset) -> usize {
        let ends = self.segments.iter().skip(1).map(|s| s.base);
        ends.take_while(|end| *end <= offset).count()
    }

    /// Lets go of segments wholly below `start`, and queues that they are put aside; their files
    /// are removed after `file.delete.delay.ms` ([`crate::LogDir::remove_buried`]). Readers that
    /// have them open may go on. `start` is what the checkpoint on stable storage says, or less:
    /// directory entries reach the disk in any order, and what is not below that must not have a
    /// hole. Returns whether a commit is needed, also for what
    /// [`PartitionLog::advance_log_start`] queued.
    pub fn delete_old_segments(&mut self, start: Offset) -> bool {
        let old = self.segments_below(start.min(self.log_start));
        if old > 0 {
            let mut segments: Vec<_> = self.segments.iter().cloned().collect();
            for segment in segments.drain(..old) {
                let delay = self.config.file_delete_delay;
                self.pending.push(Op::Bury { segment, delay });
            }
            self.segments = Arc::new(segments);
            self.forget_closed();
        }
        self.queue()
    }

    /// Takes away all batches that reach `offset` or beyond; durable when it returns. Blocks: a
    /// log that is being truncated serves nobody. No commit may be in flight.
    ///
    /// # Errors
    /// When the disk fails; then the log directory is out of service.
    pub fn truncate_to(&mut self, offset: Offset, now: Millis) -> Result<(), LogError> {
        if offset >= self.log_end {
            return Ok(());
        }
        if offset <= self.log_start {
            return self.truncate_fully_and_start_at(offset, now);
        }
        self.flush_now()?;
        self.lower_durable_end(offset)?;
        match self.keeps_nothing(offset) {
            Ok(true) => self.truncate_fully_and_start_at(self.log_start, now),
            Ok(false) => {
                let done = self.cut(offset, now);
                self.fail_on(done)
            }
            Err(error) => self.fail_on(Err(error)),
        }
    }

    /// Whether the batch that the log begins in reaches `offset`, so that what would be left was
    /// deleted: a log must not end below its start, not even for a moment.
    fn keeps_nothing(&self, offset: Offset) -> Result<bool, LogError> {
        let Some(segment) = self.segments.iter().rfind(|s| s.base < offset) else {
            return Ok(true);
        };
        let Some(position) = self.view().locate(segment, offset)? else { return Ok(false) };
        let header = segment.header_at(position)?;
        // One that does not reach the offset is not the batch that was located: the disk has
        // answered with something else.
        let is_it = |h: &BatchHeader| h.last_offset() >= offset;
        Ok(header.filter(is_it).is_some_and(|h| h.base_offset <= self.log_start))
    }

    fn cut(&mut self, offset: Offset, now: Millis) -> Result<(), LogError> {
        let mut segments: Vec<_> = self.segments.iter().cloned().collect();
        while let Some(segment) = segments.pop_if(|s| s.base >= offset) {
            mark!("truncate-drops-segment");
            remove(&segment, true)?;
            // One by one: names reach the disk in any order, and there may be no hole.
            self.dir.disk().sync_dir(&self.dir.path)?;
        }
        if let Some(last) = segments.last() {
            if let Some(position) = self.view().locate(last, offset)? {
                mark!("truncate-within-segment");
                write_index(last)?;
                last.truncate(offset, position)?;
            }
        } else {
            let first = Segment::new(&self.dir, self.log_start);
            first.create()?;
            segments.push(Arc::new(first));
        }
        self.segments = Arc::new(segments);
        let (active, end) = load::resume(self.active_segment(), now)?;
        self.active = active;
        if end < self.log_start {
            // The batch that the log begins in went, and all that is left was deleted.
            return self.start_anew(self.log_start, now);
        }
        self.tail.restart(end);
        self.epochs.truncate_from_end(end);
        self.write_epochs()?;
        self.set_ends(end);
        let rules = *self.producers.rules();
        self.producers =
            load::producers(&self.dir, &self.segments, self.log_start, end, rules, now)?;
        Ok(self.dir.disk().sync_dir(&self.dir.path)?)
    }

    /// Takes away everything; the next batch begins at `offset`. Durable when it returns. Blocks.
    /// No commit may be in flight.
    ///
    /// # Errors
    /// When the disk fails; then the log directory is out of service.
    pub fn truncate_fully_and_start_at(
        &mut self,
        offset: Offset,
        now: Millis,
    ) -> Result<(), LogError> {
        self.check()?;
        assert!(!self.in_flight, "no commit is in flight during a truncation");
        mark!("truncate-fully");
        self.queued = false;
        // All batches go, wherever the next one begins.
        self.lower_durable_end(Offset::NONE)?;
        let done = self.start_anew(offset, now);
        self.fail_on(done)
    }

    /// Before batches go: what comes in their place is not durable because they were.
    fn lower_durable_end(&mut self, offset: Offset) -> Result<(), LogError> {
        let Some(key) = self.durable_end_key() else { return Ok(()) };
        let log_dir = Arc::clone(&self.dir.log_dir);
        if log_dir.durable_ends.of(key).is_some_and(|known| known.end > offset) {
            log_dir.durable_ends.forget(key);
            log_dir.write_durable_ends()?;
        }
        Ok(())
    }

    fn start_anew(&mut self, offset: Offset, now: Millis) -> Result<(), LogError> {
        // Segments whose removal is queued are still there; they come before the others.
        let queued = std::mem::take(&mut self.pending);
        let mut gone: Vec<_> = queued.into_iter().filter_map(Op::into_removed).collect();
        gone.extend(self.segments.iter().cloned());
        gone.sort_by_key(|segment| segment.base);
        // From the front, so that the log never ends below its start, and one by one: names reach
        // the disk in any order, and there may be no hole.
        for segment in &gone {
            remove(segment, true)?;
            self.dir.disk().sync_dir(&self.dir.path)?;
        }
        load::remove_snapshots(&self.dir)?;
        let segment = Segment::new(&self.dir, offset);
        segment.create()?;
        self.segments = Arc::new(vec![Arc::new(segment)]);
        self.active = Active::empty(now);
        self.tail.restart(offset);
        self.epochs.clear();
        self.write_epochs()?;
        self.producers.clear(offset);
        self.log_start = offset;
        self.set_ends(offset);
        Ok(self.dir.disk().sync_dir(&self.dir.path)?)
    }

    fn set_ends(&mut self, end: Offset) {
        self.log_end = end;
        self.written_end = end;
        self.durable_end = end;
        self.note_durable_end();
        self.uncommitted_bytes = 0;
        self.closing.clear();
    }

    fn write_epochs(&self) -> Result<(), LogError> {
        let content = Bytes::from(self.epochs.encode_checkpoint());
        Ok(self.dir.disk().write_atomically(&self.dir.path.join(names::LEADER_EPOCHS), content)?)
    }

    pub(super) fn fail_on(&mut self, done: Result<(), LogError>) -> Result<(), LogError> {
        if let Err(error) = &done {
            self.dir.log_dir.fail(error);
            self.failure.get_or_insert_with(|| error.clone());
        }
        done
    }
}
