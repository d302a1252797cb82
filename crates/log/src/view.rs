//! A look at the log's files as they are at one moment, for readers of what is no longer in
//! memory. Holds no lock of the log; reads files, so it is not used under one. Must not know
//! what readers may see: they say how far.

use std::sync::Arc;

use ottla_env::{DiskFile, mark};
use ottla_protocol::{LeaderEpoch, Offset};
use ottla_records::{Batch, BatchError, BatchHeader, HEADER_LEN, Scratch};

use crate::error::{LogError, ReadError};
use crate::load;
use crate::names;
use crate::read::{AtHand, Fetched, Piece, ReadRequest, TimestampOffset, timestamps};
use crate::read_buffers::{ReadBuffer, ReadBuffers};
use crate::scan::{Scan, ScanError};
use crate::segment::{Largest, PartitionDir, Place, Segment};
use crate::txn_index::{self, AbortedTransaction};

/// Bytes read beyond what was asked for, so that one read is enough although the index only
/// knows a batch some `index.interval.bytes` before the wanted one.
const SLACK: usize = 8192;
/// Whoever reads less at a time from the device has so much fetched at once.
const PIECE: usize = 256 << 10;
/// Bytes read at a time while walking over headers.
const WALK: usize = 16 * 1024;
/// Whether the end of a piece is in memory is asked with so many bytes: little is fetched when not.
const PROBE: usize = 4096;
/// The bound of a segment that may have grown since the view was made.
const GROWING: Offset = Offset(i64::MAX);

/// The segments of a log at one moment, without what is not written yet.
#[derive(Clone, Debug)]
pub struct LogView {
    pub(crate) dir: Arc<PartitionDir>,
    pub(crate) segments: Arc<Vec<Arc<Segment>>>,
    pub(crate) log_start: Offset,
    pub(crate) log_end: Offset,
    /// Of the last segment, with what is not written yet.
    pub(crate) active_largest: Largest,
    pub(crate) max_decompressed_bytes: usize,
    pub(crate) compact: bool,
}

/// Where a walk found the wanted batch.
struct Start {
    buffer: ReadBuffer,
    /// Place in the buffer, and in the file.
    at: usize,
    position: u64,
}

impl Start {
    fn rest(&self) -> &[u8] {
        self.buffer.as_slice().get(self.at..).unwrap_or_default()
    }
}

impl LogView {
    /// Whole batches from the one that holds `request.from` on, out of one segment. Their CRCs
    /// are checked: damaged data is never given out. Empty when the offset is not written yet.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`], also when the segment was removed meanwhile; failures of the
    /// disk; [`LogError::Corrupt`].
    pub fn read(&self, request: &ReadRequest) -> Result<Fetched, ReadError> {
        self.read_giving_way(request, &|| Piece::ANY)
    }

    /// As [`LogView::read`]. Before the device may be asked for a piece of a file, `give_way` is
    /// called: it may wait for others, and says what the piece may be.
    ///
    /// # Errors
    /// As [`LogView::read`].
    pub fn read_giving_way(
        &self,
        request: &ReadRequest,
        give_way: &dyn Fn() -> Piece,
    ) -> Result<Fetched, ReadError> {
        let out_of_range = || ReadError::OutOfRange {
            offset: request.from,
            log_start: self.log_start,
            log_end: self.log_end,
        };
        if request.from < self.log_start || request.from > self.log_end {
            return Err(out_of_range());
        }
        let first = self.segments.partition_point(|s| s.base <= request.from).saturating_sub(1);
        let next = self.segments.iter().skip(first + 1).map(|s| Some(s.base)).chain([None]);
        for (segment, next) in self.segments.iter().skip(first).zip(next) {
            if segment.base >= request.up_to {
                break;
            }
            match self.read_segment(segment, next.unwrap_or(GROWING), request, give_way) {
                Ok(Some(fetched)) => return Ok(fetched),
                // Compaction can leave a segment without batches behind an offset.
                Ok(None) => {
                    if let Some(next) = next.filter(|next| request.from < *next) {
                        self.check_gap(segment, next)?;
                    }
                }
                Err(e) if e.is_not_found() => return Err(out_of_range()),
                Err(e) => return Err(e.into()),
            }
        }
        Ok(Fetched::empty(request.from))
    }

    /// Whether anything is missing between two segments, as [`LogView::read`] would find it.
    pub(crate) fn check_whole(&self) -> Result<(), LogError> {
        let nexts = self.segments.iter().skip(1);
        self.segments
            .iter()
            .zip(nexts)
            .try_for_each(|(segment, next)| self.check_gap(segment, next.base))
    }

    /// A closed segment ends before `next`, where the one behind it begins. In a log that was never
    /// compacted its end is lost, and that is told instead of left out.
    fn check_gap(&self, segment: &Segment, next: Offset) -> Result<(), LogError> {
        if self.compact || !segment.is_sealed() {
            return Ok(());
        }
        let file = segment.log_file()?;
        let mut scan = Scan::new(&*file, 0, segment.written(), WALK);
        let mut end = segment.base;
        while let Some((batch, _)) = scan.next_batch().map_err(|e| failed(&*file, e))? {
            let header = batch.header();
            let records = i64::from(header.last_offset_delta) + 1;
            // It was compacted when that was the topic's policy.
            if header.base_offset != end || i64::from(header.record_count) != records {
                return Ok(());
            }
            end = header.next_offset();
        }
        if end >= next {
            return Ok(());
        }
        let what = format!("it ends at offset {end}, and the next segment begins at offset {next}");
        Err(LogError::corrupt(file.path(), what))
    }

    /// `None`: the segment has no batch that ends at or after the wanted offset. All of its batches
    /// end before `bound`.
    fn read_segment(
        &self,
        segment: &Segment,
        bound: Offset,
        request: &ReadRequest,
        give_way: &dyn Fn() -> Piece,
    ) -> Result<Option<Fetched>, LogError> {
        let written = segment.written();
        let file = segment.log_file()?;
        let from = segment.place_before(request.from)?;
        if request.max_bytes < PIECE {
            let piece = give_way();
            file.read_ahead(piece.read_ahead);
            file.fetch_ahead(from.position, piece.bytes.min(PIECE) as u64);
        }
        let want = request.max_bytes.max(HEADER_LEN).saturating_add(SLACK);
        let buffers = &self.dir.log_dir.read_buffers;
        let source = Source { file: &*file, buffers, end: written, give_way };
        let (mut start, before) = match source.find(from, request.from, want)? {
            Walked::At { start, before } => (start, before),
            Walked::End { last } => {
                last.map_or(Ok(()), |last| source.check_batch(last))?;
                return Ok(None);
            }
        };
        // The wanted offset is in no batch, if the one before ends where it says.
        before.map_or(Ok(()), |before| source.check_batch(before))?;
        let rest = start.rest();
        let first = BatchHeader::parse(rest).map_err(|e| damaged(&*file, start.position, &e))?;
        let size = first.size();
        if size > request.max_bytes && !request.at_least_one {
            return Ok(Some(Fetched::empty(request.from)));
        }
        if rest.len() < size {
            // The walk ended near the buffer's end, or the batch is larger than what was asked for.
            mark!("read-batch-beyond-buffer");
            let want = request.max_bytes.max(size);
            start = Start {
                buffer: source.read(start.position, want)?,
                at: 0,
                position: start.position,
            };
        }
        let available = start.rest().len();
        if available < size {
            // Its length leads beyond what is written.
            let error = BatchError::Torn { needed: size, available };
            return Err(damaged(&*file, start.position, &error));
        }
        take_batches(segment, &*file, start, bound, request).map(Some)
    }

    /// As [`LogView::read`], when that waits for nothing: the reader goes on where one has been
    /// before, there is no more than the limit says, and the file is open and in memory. `None`
    /// tells nothing else.
    #[must_use]
    pub fn read_at_hand(&self, request: &ReadRequest, limit: AtHand) -> Option<Fetched> {
        if request.from < self.log_start {
            return None;
        }
        let after = self.segments.partition_point(|s| s.base <= request.from);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        let bound = self.segments.get(after).map_or(GROWING, |s| s.base);
        let position = segment.known_place(request.from)?;
        let file = segment.log_file_if_open()?;
        let left = usize::try_from(segment.written().checked_sub(position)?).ok()?;
        if request.max_bytes.min(left) > limit.bytes {
            return None;
        }
        file.read_ahead(!limit.lightly);
        let want = request.max_bytes.saturating_add(HEADER_LEN).min(left);
        let mut buffer = self.dir.log_dir.read_buffers.take(want);
        // The end first: the device would have the rest before what others wait for.
        let probe = if limit.lightly { PROBE } else { 0 };
        let (most, end) = buffer.bytes_mut().split_at_mut_checked(want.saturating_sub(probe))?;
        for (part, at) in [(end, most.len()), (most, 0)] {
            if file.read_cached_at(part, position + at as u64).ok()?? < part.len() {
                return None;
            }
        }
        let first = BatchHeader::parse(buffer.as_slice()).ok()?;
        if first.base_offset < request.from {
            return None;
        }
        if first.size() > request.max_bytes && !request.at_least_one {
            return Some(Fetched::empty(request.from));
        }
        if first.size() > buffer.as_slice().len() {
            return None;
        }
        let start = Start { buffer, at: 0, position };
        let fetched = take_batches(segment, &*file, start, bound, request).ok()?;
        (fetched.bytes > 0).then_some(fetched)
    }

    /// Looks up a timestamp: the first record at or after it, [`timestamps::MAX`], or `None` when
    /// there is no such record. Special timestamps that need no file are answered by
    /// [`crate::PartitionLog::list_offset`].
    ///
    /// # Errors
    /// Failures of the disk, [`LogError::Corrupt`].
    pub fn list_offset(&self, timestamp: i64) -> Result<Option<TimestampOffset>, LogError> {
        if timestamp == timestamps::MAX {
            return self.max_timestamp();
        }
        for segment in self.readable_segments() {
            let largest = self.largest(segment)?;
            if largest.timestamp < timestamp {
                continue;
            }
            let from = segment.position_before_time(timestamp, self.log_start)?;
            let wanted = |header: &BatchHeader| {
                header.max_timestamp.0 >= timestamp && header.last_offset() >= self.log_start
            };
            // It may lie below the log's start: then a later segment has one.
            if let Some(found) = self.first_record(segment, from, wanted, timestamp)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The segments without those that lie wholly below the log's start and are to go.
    fn readable_segments(&self) -> impl Iterator<Item = &Arc<Segment>> {
        let ends = self.segments.iter().skip(1).map(|s| s.base);
        let old = ends.take_while(|end| *end <= self.log_start).count();
        self.segments.iter().skip(old)
    }

    fn largest(&self, segment: &Segment) -> Result<Largest, LogError> {
        let is_active = self.segments.last().is_some_and(|s| s.base == segment.base);
        if is_active { Ok(self.active_largest) } else { segment.largest() }
    }

    fn max_timestamp(&self) -> Result<Option<TimestampOffset>, LogError> {
        let mut found: Option<(&Arc<Segment>, Largest)> = None;
        for segment in self.readable_segments() {
            let largest = self.largest(segment)?;
            if found.is_none_or(|(_, best)| largest.timestamp > best.timestamp) {
                found = Some((segment, largest));
            }
        }
        let Some((segment, largest)) = found.filter(|(_, l)| l.timestamp >= 0) else {
            return Ok(None);
        };
        let from = segment.position_before(largest.offset)?;
        self.first_record(
            segment,
            from,
            |h| h.max_timestamp.0 == largest.timestamp,
            largest.timestamp,
        )
    }

    /// The first record at or after `timestamp` (and the log's start) in the first batches that
    /// `wanted` lets pass.
    fn first_record(
        &self,
        segment: &Segment,
        from: u64,
        wanted: impl Fn(&BatchHeader) -> bool,
        timestamp: i64,
    ) -> Result<Option<TimestampOffset>, LogError> {
        let file = segment.log_file()?;
        let written = segment.written();
        let buffers = &self.dir.log_dir.read_buffers;
        let source = Source { file: &*file, buffers, end: written, give_way: &|| Piece::ANY };
        let mut scan = Scan::new(&*file, from, written, WALK);
        let mut scratch = Scratch::new();
        loop {
            let (header, position) = match scan.next_header() {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(None),
                Err(error) => return Err(failed(&*file, error)),
            };
            if !wanted(&header) {
                continue;
            }
            let bytes = source.read(position, header.size())?;
            let bad = |e: BatchError| damaged(&*file, position, &e);
            let batch = Batch::parse(bytes.as_slice()).map_err(bad)?;
            batch.verify_crc().map_err(bad)?;
            for record in batch.records(&mut scratch, self.max_decompressed_bytes).map_err(bad)? {
                let record = record.map_err(bad)?;
                if record.timestamp.0 >= timestamp && record.offset >= self.log_start {
                    let epoch = header.partition_leader_epoch;
                    return Ok(Some(TimestampOffset {
                        timestamp: record.timestamp.0,
                        offset: record.offset,
                        leader_epoch: (epoch >= LeaderEpoch(0)).then_some(epoch),
                    }));
                }
            }
        }
    }

    /// The aborted transactions that a reader of committed data, who got the batches of
    /// `from..up_to`, needs to know: ended at or after `from`, begun below `up_to`.
    ///
    /// # Errors
    /// Failures of the disk, [`LogError::Corrupt`].
    pub fn aborted_transactions(
        &self,
        from: Offset,
        up_to: Offset,
    ) -> Result<Vec<AbortedTransaction>, LogError> {
        let mut found = Vec::new();
        let first = self.segments.partition_point(|s| s.base <= from).saturating_sub(1);
        for (at, segment) in self.segments.iter().enumerate().skip(first) {
            segment.check_aborted(|| {
                let Some(indexed) = segment.read_if_there(names::TXN_INDEX)? else { return Ok(()) };
                let before = self.segments.get(..at).unwrap_or_default().iter();
                load::check_aborted(&self.dir, before, segment, &indexed)
            })?;
            let Some(bytes) = segment.read_if_there(names::TXN_INDEX)? else { continue };
            // The last entry may be in the middle of being written.
            let whole = bytes.len() - bytes.len() % txn_index::ENTRY;
            let path = segment.path(names::TXN_INDEX);
            let entries = txn_index::decode(bytes.get(..whole).unwrap_or_default())
                .ok_or_else(|| LogError::corrupt(&path, "its entries are out of order"))?;
            for entry in entries {
                if entry.last_offset >= from && entry.first_offset < up_to {
                    found.push(entry);
                }
                if entry.last_stable_offset >= up_to {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    /// First offset of the log.
    #[must_use]
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// Where the first batch that ends at or after `offset` begins, in the segment that has it.
    pub(crate) fn locate(
        &self,
        segment: &Segment,
        offset: Offset,
    ) -> Result<Option<u64>, LogError> {
        let written = segment.written();
        let file = segment.log_file()?;
        let from = segment.place_before(offset)?;
        let buffers = &self.dir.log_dir.read_buffers;
        let source = Source { file: &*file, buffers, end: written, give_way: &|| Piece::ANY };
        match source.find(from, offset, WALK)? {
            Walked::At { start, .. } => Ok(Some(start.position)),
            Walked::End { .. } => Ok(None),
        }
    }
}

/// What a walk came to.
enum Walked {
    /// The first batch that ends at or after the wanted offset. `before` is the position of the
    /// batch before it, when this one begins behind the wanted offset.
    At { start: Start, before: Option<u64> },
    /// No such batch; `last` is the position of the last.
    End { last: Option<u64> },
}

/// The bytes of a segment, up to where it is written.
struct Source<'a> {
    file: &'a dyn DiskFile,
    buffers: &'a Arc<ReadBuffers>,
    end: u64,
    /// Called before the device may be asked for a piece; gives what it may be.
    give_way: &'a dyn Fn() -> Piece,
}

impl Source<'_> {
    /// Walks from a place to the first batch that ends at or after `offset`.
    fn find(&self, from: Place, offset: Offset, want: usize) -> Result<Walked, LogError> {
        let mut before = None;
        let Place { mut position, begins_from: mut next_offset, mut ends_at } = from;
        while position < self.end {
            let buffer = self.read(position, want)?;
            let bytes = buffer.as_slice();
            let mut at = 0;
            while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= HEADER_LEN) {
                let here = position + at as u64;
                let bad = |error| damaged(self.file, here, &error);
                let header = BatchHeader::parse(rest).map_err(bad)?;
                let ends_elsewhere = ends_at.take().is_some_and(|end| header.last_offset() != end);
                if header.base_offset < next_offset || ends_elsewhere {
                    return Err(misplaced(self.file, here, header.base_offset));
                }
                next_offset = header.next_offset();
                if header.last_offset() >= offset {
                    let before = before.filter(|_| header.base_offset > offset);
                    let start = Start { at, position: here, buffer };
                    return Ok(Walked::At { start, before });
                }
                before = Some(here);
                at = at.saturating_add(header.size());
            }
            if at == 0 {
                let error = BatchError::Torn { needed: HEADER_LEN, available: bytes.len() };
                return Err(damaged(self.file, position, &error));
            }
            position += at as u64;
        }
        Ok(Walked::End { last: before })
    }

    /// Checks the batch at `position`: where it ends is only known when it is sound.
    fn check_batch(&self, position: u64) -> Result<(), LogError> {
        let bad = |error| damaged(self.file, position, &error);
        let header = self.read(position, HEADER_LEN)?;
        let size = BatchHeader::parse(header.as_slice()).map_err(bad)?.size();
        let bytes = self.read(position, size)?;
        Batch::parse(bytes.as_slice()).and_then(|batch| batch.verify_crc()).map_err(bad)
    }

    /// At most `want` bytes from `position`.
    fn read(&self, position: u64, want: usize) -> Result<ReadBuffer, LogError> {
        let left = usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX);
        let mut buffer = self.buffers.take(want.min(left));
        let mut done = 0;
        while let Some(rest) = buffer.bytes_mut().get_mut(done..).filter(|rest| !rest.is_empty()) {
            let allowed = (self.give_way)();
            self.file.read_ahead(allowed.read_ahead);
            let len = rest.len().min(allowed.bytes.max(1));
            let piece = rest.get_mut(..len).unwrap_or_default();
            let n = self.file.read_at(piece, position.saturating_add(done as u64))?;
            done += n;
            if n < len {
                break;
            }
        }
        buffer.truncate(done);
        Ok(buffer)
    }
}

/// The batches from `start` on that the request asks for. All end before `bound`, and their CRCs
/// are right.
fn take_batches(
    segment: &Segment,
    file: &dyn DiskFile,
    start: Start,
    bound: Offset,
    request: &ReadRequest,
) -> Result<Fetched, LogError> {
    let whole = |at: usize| start.buffer.as_slice().get(at..).unwrap_or_default();
    let mut end = start.at;
    let mut next_offset = request.from;
    while let Ok(batch) = Batch::parse(whole(end)) {
        let header = batch.header();
        let taken = end - start.at;
        let fits =
            taken + batch.size() <= request.max_bytes || (taken == 0 && request.at_least_one);
        let position = start.position + taken as u64;
        let last = header.last_offset();
        if taken == 0 && (last >= bound || last < header.base_offset) {
            // No checksum covers the offset.
            let what = format!("at byte {position}, a batch ends at offset {last}");
            return Err(LogError::corrupt(file.path(), what));
        }
        if !fits || last >= request.up_to.min(bound) || last < header.base_offset {
            if taken == 0 && fits {
                // It reaches too far, if it is sound.
                batch.verify_crc().map_err(|e| damaged(file, position, &e))?;
            }
            break;
        }
        if header.base_offset < next_offset && taken > 0 {
            // Its offset is wrong, or that of the batch before.
            return Err(misplaced(file, position, header.base_offset));
        }
        batch.verify_crc().map_err(|e| damaged(file, position, &e))?;
        next_offset = header.next_offset();
        end += batch.size();
    }
    let mut fetched = Fetched::empty(request.from);
    if end > start.at {
        segment.remember(next_offset, start.position + (end - start.at) as u64);
        fetched.push(start.buffer.into_bytes(start.at..end), next_offset);
    }
    Ok(fetched)
}

fn damaged(file: &dyn DiskFile, position: u64, error: &BatchError) -> LogError {
    LogError::corrupt(file.path(), format!("at byte {position}, {error}"))
}

/// A batch that begins before the one before it ends, or is not where an index and the batches
/// before have it: no checksum covers the offset.
fn misplaced(file: &dyn DiskFile, position: u64, base_offset: Offset) -> LogError {
    let what = format!("at byte {position}, a batch begins at offset {base_offset}");
    LogError::corrupt(file.path(), what)
}

fn failed(file: &dyn DiskFile, error: ScanError) -> LogError {
    match error {
        ScanError::Disk(error) => error.into(),
        ScanError::Bad { position, error } => damaged(file, position, &error),
    }
}
