//! Records that are compressed, come or go: decompressed piece by piece, never kept whole. In
//! place, keys and values are skipped and (as in Kafka) a record's declared length is not held
//! against its fields. One thing differs from Kafka: in a rebuilt batch a header key that is not
//! UTF-8 stays as it is; Kafka stores U+FFFD for it.

use ottla_protocol::Millis;

use crate::builder::{BatchBuilder, BatchOptions, BuildError};
use crate::compress::{Scratch, Stream, Window};
use crate::error::{BatchError, CodecError, RecordError};
use crate::header::{BatchHeader, Compression, TimestampType};
use crate::record::{Body, Skimmed, read_body, skim_common};
use crate::refusal::Refusal;
use crate::validate::record_checks::RecordChecks;
use crate::validate::{ValidationRules, nameless};

/// A compressed batch in the topic's codec; gives the largest record timestamp.
pub(super) fn check(
    header: &BatchHeader,
    payload: &[u8],
    rules: &ValidationRules,
    scratch: &mut Scratch,
) -> Result<Millis, Refusal> {
    let count = counted(header)?;
    if count == 0 {
        return Ok(Millis(-1));
    }
    let mut walk = Walk::new(header.compression()?, payload, rules, scratch)?;
    let mut checks = RecordChecks::new(header, rules);
    let mut in_order = true;
    while checks.index() < count {
        let index = checks.index();
        let record = walk.skim().map_err(|fault| fault.at(index))?;
        in_order &= record.offset_delta == index;
        checks.check(record.timestamp_delta, record.has_key);
    }
    walk.end()?;
    let max_timestamp = checks.finish()?;
    if !in_order {
        // Kafka would rebuild such a batch, and fails in it, having skipped keys and values.
        return Err(nameless("offset deltas of a compressed batch are not 0, 1, 2, …"));
    }
    Ok(Millis(max_timestamp))
}

fn counted(header: &BatchHeader) -> Result<i32, BatchError> {
    if header.record_count < 0 {
        return Err(BatchError::Count(header.record_count));
    }
    Ok(header.record_count)
}

/// The batch with its records in another codec, offsets 0 to n−1.
pub(super) fn rebuild(
    header: &BatchHeader,
    payload: &[u8],
    (codec, level): (Compression, Option<i32>),
    rules: &ValidationRules,
    scratch: &mut Scratch,
) -> Result<Vec<u8>, Refusal> {
    let count = counted(header)?;
    let source = header.compression()?;
    let mut walk = Walk::new(source, payload, rules, scratch)?;
    let mut checks = RecordChecks::new(header, rules);
    let mut builder = Rebuild::new(header, codec, level, rules)?;
    while checks.index() < count {
        let index = checks.index();
        let body = walk.body().map_err(|fault| fault.at(index))?;
        let timestamp = checks.check(body.timestamp_delta, body.key.is_some());
        if checks.all_good() {
            builder.append(timestamp, &body);
        }
    }
    walk.end()?;
    checks.finish()?;
    builder.build()
}

/// The builder of a batch in another codec. Its first error is kept: Kafka builds only after all
/// records are checked, so theirs come first.
struct Rebuild {
    state: Result<BatchBuilder, Refusal>,
    limit: usize,
}

impl Rebuild {
    fn new(
        header: &BatchHeader,
        codec: Compression,
        level: Option<i32>,
        rules: &ValidationRules,
    ) -> Result<Self, Refusal> {
        let builder = BatchBuilder::new(BatchOptions {
            base_offset: header.base_offset,
            partition_leader_epoch: header.partition_leader_epoch,
            compression: codec,
            compression_level: level,
            log_append_time: match rules.timestamp_type {
                TimestampType::CreateTime => None,
                TimestampType::LogAppendTime => Some(rules.now),
            },
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            transactional: header.attributes.is_transactional(),
            control: false,
            delete_horizon: None,
        });
        Ok(Self { state: Ok(builder.map_err(unbuildable)?), limit: rules.max_message_bytes })
    }

    fn append(&mut self, timestamp: i64, body: &Body<'_>) {
        let Ok(builder) = &mut self.state else { return };
        let offset = builder.next_offset();
        let appended =
            builder.append_at(offset, Millis(timestamp), body.key, body.value, body.headers.iter());
        let size = builder.size_written();
        if let Err(error) = appended {
            self.state = Err(unbuildable(error));
        } else if size > self.limit {
            // It can only grow: stop before memory does.
            self.state = Err(BatchError::TooLarge { size, limit: self.limit }.into());
        }
    }

    fn build(self) -> Result<Vec<u8>, Refusal> {
        self.state?.build().map_err(unbuildable)
    }
}

fn unbuildable(error: BuildError) -> Refusal {
    nameless(error.to_string())
}

/// What goes wrong on the way through a stream.
enum Fault {
    Record(RecordError),
    Codec(CodecError),
}

impl From<RecordError> for Fault {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

impl From<CodecError> for Fault {
    fn from(error: CodecError) -> Self {
        Self::Codec(error)
    }
}

impl Fault {
    fn at(self, index: i32) -> BatchError {
        match self {
            Self::Record(error) => BatchError::Record { index, error },
            Self::Codec(error) => BatchError::Codec(error),
        }
    }
}

/// Walks over a stream's records.
struct Walk<'s> {
    stream: Stream<'s>,
    window: &'s mut Window,
    max_record: i32,
    plain: bool,
    /// Bytes of the record last given by [`Walk::body`], still in the window.
    taken: usize,
}

impl<'s> Walk<'s> {
    fn new(
        codec: Compression,
        payload: &'s [u8],
        rules: &ValidationRules,
        scratch: &'s mut Scratch,
    ) -> Result<Self, BatchError> {
        let (limit, max_record) = match codec {
            Compression::None => (usize::MAX, i32::MAX),
            Compression::Gzip | Compression::Snappy | Compression::Lz4 | Compression::Zstd => {
                (rules.max_decompressed_batch_bytes, rules.max_decompressed_message_bytes)
            }
        };
        let (stream, window) = scratch.stream(codec, payload, limit)?;
        Ok(Self { stream, window, max_record, plain: codec == Compression::None, taken: 0 })
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Fault> {
        loop {
            if let Some(byte) = self.window.pop() {
                return Ok(byte);
            }
            if !self.stream.fill(self.window)? {
                return Err(RecordError::Cut.into());
            }
        }
    }

    fn read_i32(&mut self) -> Result<i32, Fault> {
        let mut value = 0_u32;
        for i in 0..5_u32 {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()));
            }
        }
        Err(RecordError::Varint.into())
    }

    fn read_i64(&mut self) -> Result<i64, Fault> {
        let mut value = 0_u64;
        for i in 0..10_u32 {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()));
            }
        }
        Err(RecordError::Varint.into())
    }

    /// Skips `count` bytes; none when it is negative.
    fn skip(&mut self, count: i32) -> Result<(), Fault> {
        let mut left = usize::try_from(count).unwrap_or(0);
        left -= self.window.consume(left);
        while left > 0 {
            if !self.stream.fill(self.window)? {
                return Err(RecordError::Cut.into());
            }
            left -= self.window.consume(left);
        }
        Ok(())
    }

    /// The record's length, within its limits.
    fn length(&mut self) -> Result<i32, Fault> {
        let plain = self.plain;
        let length = self.read_i32().map_err(|fault| match fault {
            Fault::Record(RecordError::Varint) if plain => RecordError::LengthVarint.into(),
            fault @ (Fault::Record(_) | Fault::Codec(_)) => fault,
        })?;
        if length < 0 {
            return Err(RecordError::NegativeLength(length).into());
        }
        if length > self.max_record {
            return Err(RecordError::TooLong { length, limit: self.max_record }.into());
        }
        Ok(length)
    }

    /// Goes over a record without its bytes.
    fn skim(&mut self) -> Result<Skimmed, Fault> {
        if let Some((skimmed, len)) = skim_common(self.window.bytes(), self.max_record) {
            self.window.consume(len);
            return Ok(skimmed);
        }
        self.skim_any()
    }

    fn skim_any(&mut self) -> Result<Skimmed, Fault> {
        self.length()?;
        self.byte()?;
        let timestamp_delta = self.read_i64()?;
        let offset_delta = self.read_i32()?;
        let key_len = self.read_i32()?;
        self.skip(key_len)?;
        let value_len = self.read_i32()?;
        self.skip(value_len)?;
        let headers = self.read_i32()?;
        if headers < 0 {
            return Err(RecordError::HeaderCount(headers).into());
        }
        for _ in 0..headers {
            let len = self.read_i32()?;
            if len < 0 {
                return Err(RecordError::HeaderKey.into());
            }
            self.skip(len)?;
            let len = self.read_i32()?;
            self.skip(len)?;
        }
        Ok(Skimmed { timestamp_delta, offset_delta, has_key: key_len >= 0 })
    }

    /// A whole record, gathered in the window (which holds no more than has arrived).
    fn body(&mut self) -> Result<Body<'_>, Fault> {
        let gone = std::mem::take(&mut self.taken);
        self.window.consume(gone);
        let length = usize::try_from(self.length()?).unwrap_or(0);
        while self.window.len() < length {
            if !self.stream.fill(self.window)? {
                return Err(RecordError::Cut.into());
            }
        }
        self.taken = length;
        let bytes = self.window.bytes().get(..length).unwrap_or_default();
        Ok(read_body(bytes)?)
    }

    /// After the last record nothing may follow.
    fn end(mut self) -> Result<(), BatchError> {
        self.window.consume(self.taken);
        if self.window.len() > 0 || self.stream.fill(self.window)? {
            return Err(BatchError::Trailing);
        }
        Ok(())
    }
}
