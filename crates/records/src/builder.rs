//! Writing one batch, byte for byte as Java's `MemoryRecordsBuilder` does where nothing is
//! compressed. Must not know who sends it or where it is stored.

use ottla_protocol::{LeaderEpoch, Millis, Offset, ProducerEpoch, ProducerId};
use thiserror::Error;

use crate::compress::Encoder;
use crate::control::ControlRecordType;
use crate::error::CodecError;
use crate::header::{
    Attributes, BatchHeader, Compression, HEADER_LEN, LOG_OVERHEAD, NO_SEQUENCE, NO_TIMESTAMP,
    TimestampType,
};
use crate::patch::refresh_crc;
use crate::record::{Content, RecordHeader};

/// What is true of the whole batch.
#[derive(Clone, Debug)]
pub struct BatchOptions {
    /// Offset of the first record; 0 for what a client sends.
    pub base_offset: Offset,
    /// −1 for what a client sends.
    pub partition_leader_epoch: LeaderEpoch,
    /// The codec of the records.
    pub compression: Compression,
    /// As Kafka's `compression.<codec>.level`; `None` is the codec's default. Used by gzip (1–9)
    /// and zstd.
    pub compression_level: Option<i32>,
    /// Stamps the batch with this append time instead of the records' own timestamps.
    pub log_append_time: Option<Millis>,
    /// Idempotent producer, or −1.
    pub producer_id: ProducerId,
    /// Its epoch, or −1.
    pub producer_epoch: ProducerEpoch,
    /// Sequence of the first record, or −1.
    pub base_sequence: i32,
    /// Part of a transaction.
    pub transactional: bool,
    /// A batch of control records.
    pub control: bool,
    /// Delete horizon of a compacted batch (KIP-534).
    pub delete_horizon: Option<Millis>,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            base_offset: Offset::ZERO,
            partition_leader_epoch: LeaderEpoch::NONE,
            compression: Compression::None,
            compression_level: None,
            log_append_time: None,
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: NO_SEQUENCE,
            transactional: false,
            control: false,
            delete_horizon: None,
        }
    }
}

/// Why a batch cannot be built.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum BuildError {
    /// A batch has at least one record (see [`empty_batch`] for those of compaction).
    #[error("a batch needs at least one record")]
    Empty,
    /// Negative, and not −1.
    #[error("a record's timestamp is {0}")]
    Timestamp(i64),
    /// Offsets rise within a batch, by at most 2³¹−1 over its base offset.
    #[error("a record's offset {offset} cannot follow {after} in a batch that begins at {base}")]
    Offset {
        /// The record's.
        offset: Offset,
        /// The last record's, or one below the base offset.
        after: Offset,
        /// The batch's.
        base: Offset,
    },
    /// Control records stand in control batches, others do not.
    #[error("control records and others do not mix in a batch")]
    Control,
    /// Transactional without a producer id, a producer id without epoch, or (outside of control
    /// batches) without a sequence.
    #[error("producer id, epoch and sequence do not fit together")]
    Producer,
    /// More than 2³¹−1 bytes.
    #[error("a record or batch of more than 2³¹−1 bytes")]
    TooLarge,
    /// The codec's library failed.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Bytes gathered before a codec is given them.
const PIECE: usize = 16 * 1024;

/// Builds one batch.
pub struct BatchBuilder {
    options: BatchOptions,
    out: Vec<u8>,
    pending: Vec<u8>,
    encoder: Encoder,
    uncompressed: usize,
    count: i32,
    base_timestamp: Option<Millis>,
    max_timestamp: Millis,
    last_offset: Option<Offset>,
}

impl std::fmt::Debug for BatchBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchBuilder")
            .field("options", &self.options)
            .field("count", &self.count)
            .field("size", &self.size_estimate())
            .finish_non_exhaustive()
    }
}

impl BatchBuilder {
    /// Begins a batch.
    ///
    /// # Errors
    /// [`BuildError::Codec`] when the codec cannot be set up.
    pub fn new(options: BatchOptions) -> Result<Self, BuildError> {
        let mut out = vec![0; HEADER_LEN];
        let encoder = Encoder::new(options.compression, options.compression_level, &mut out)?;
        Ok(Self {
            base_timestamp: options.delete_horizon,
            options,
            out,
            pending: Vec::new(),
            encoder,
            uncompressed: 0,
            count: 0,
            max_timestamp: NO_TIMESTAMP,
            last_offset: None,
        })
    }

    /// So many bytes of records are about to come. Compressed they need fewer.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        if matches!(self.encoder, Encoder::None) {
            self.out.reserve(bytes);
        }
    }

    /// Number of records so far.
    #[must_use]
    pub const fn count(&self) -> i32 {
        self.count
    }

    /// Whether there is no record yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes the batch would have uncompressed; compressed it has about as many at most.
    #[must_use]
    pub const fn size_estimate(&self) -> usize {
        HEADER_LEN + self.uncompressed
    }

    /// Bytes that are written for certain: a lower bound of the batch's size.
    #[must_use]
    pub const fn size_written(&self) -> usize {
        self.out.len()
    }

    /// The offset after the last record (the base offset while there is none).
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.last_offset.map_or(self.options.base_offset, |last| last.plus(1))
    }

    /// The batch covers offsets up to `last`, which compaction took away.
    pub(crate) const fn override_last_offset(&mut self, last: Offset) {
        self.last_offset = Some(last);
    }

    /// Sets the producer after the fact, as a client does when it sends the batch.
    pub const fn set_producer(&mut self, id: ProducerId, epoch: ProducerEpoch, sequence: i32) {
        self.options.producer_id = id;
        self.options.producer_epoch = epoch;
        self.options.base_sequence = sequence;
    }

    /// Appends a record at the next offset.
    ///
    /// # Errors
    /// As [`BatchBuilder::append_at`].
    pub fn append(
        &mut self,
        timestamp: Millis,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[RecordHeader<'_>],
    ) -> Result<(), BuildError> {
        self.append_at(self.next_offset(), timestamp, key, value, headers.iter().copied())
    }

    /// Appends a record at `offset`.
    ///
    /// # Errors
    /// [`BuildError`] for a timestamp below −1, an offset that does not rise, a record too large,
    /// a control batch.
    pub fn append_at<'h>(
        &mut self,
        offset: Offset,
        timestamp: Millis,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = RecordHeader<'h>> + Clone,
    ) -> Result<(), BuildError> {
        if self.options.control {
            return Err(BuildError::Control);
        }
        self.push(offset, timestamp, key, value, headers)
    }

    /// Appends a control record at the next offset.
    ///
    /// # Errors
    /// As [`BatchBuilder::append_at`]; [`BuildError::Control`] outside of a control batch and for
    /// [`ControlRecordType::Unknown`].
    pub fn append_control(
        &mut self,
        timestamp: Millis,
        kind: ControlRecordType,
        value: &[u8],
    ) -> Result<(), BuildError> {
        if !self.options.control || matches!(kind, ControlRecordType::Unknown(_)) {
            return Err(BuildError::Control);
        }
        let key = kind.encode_key();
        self.push(self.next_offset(), timestamp, Some(&key), Some(value), std::iter::empty())
    }

    pub(crate) fn push<'h>(
        &mut self,
        offset: Offset,
        timestamp: Millis,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = RecordHeader<'h>> + Clone,
    ) -> Result<(), BuildError> {
        if timestamp < NO_TIMESTAMP {
            return Err(BuildError::Timestamp(timestamp.0));
        }
        let base = self.options.base_offset;
        let offset_delta = i32::try_from(offset.0.saturating_sub(base.0)).ok();
        let rises = self.last_offset.is_none_or(|last| offset > last) && offset >= base;
        let (Some(offset_delta), true) = (offset_delta, rises) else {
            let after = self.last_offset.unwrap_or(Offset(base.0.saturating_sub(1)));
            return Err(BuildError::Offset { offset, after, base });
        };
        let base_timestamp = *self.base_timestamp.get_or_insert(timestamp);
        let content = Content {
            timestamp_delta: timestamp.0.wrapping_sub(base_timestamp.0),
            offset_delta,
            key,
            value,
            header_count: headers.clone().count(),
            headers,
        };
        let body_len = content.body_len();
        let most = usize::try_from(i32::MAX).unwrap_or(usize::MAX) - HEADER_LEN;
        if body_len > most || self.uncompressed.saturating_add(body_len) > most {
            return Err(BuildError::TooLarge);
        }
        self.write(&content, body_len)?;
        self.count += 1;
        self.last_offset = Some(offset);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        Ok(())
    }

    fn write<'h, H>(&mut self, content: &Content<'_, H>, body_len: usize) -> Result<(), BuildError>
    where
        H: Iterator<Item = RecordHeader<'h>> + Clone,
    {
        if matches!(self.encoder, Encoder::None) {
            let before = self.out.len();
            content.write(body_len, &mut self.out);
            self.uncompressed += self.out.len() - before;
        } else {
            let before = self.pending.len();
            content.write(body_len, &mut self.pending);
            self.uncompressed += self.pending.len() - before;
            if self.pending.len() >= PIECE {
                self.encoder.write(&self.pending, &mut self.out)?;
                self.pending.clear();
            }
        }
        Ok(())
    }

    /// The finished batch, its CRC included.
    ///
    /// # Errors
    /// [`BuildError::Empty`], [`BuildError::Producer`], [`BuildError::TooLarge`].
    pub fn build(mut self) -> Result<Vec<u8>, BuildError> {
        let options = &self.options;
        let has_producer = options.producer_id != ProducerId::NONE;
        if (options.transactional && !has_producer)
            || (has_producer && options.producer_epoch == ProducerEpoch::NONE)
            || (has_producer && options.base_sequence < 0 && !options.control)
        {
            return Err(BuildError::Producer);
        }
        let Some(last_offset) = self.last_offset else { return Err(BuildError::Empty) };
        self.encoder.write(&self.pending, &mut self.out)?;
        self.encoder.finish(&mut self.out)?;
        let length = i32::try_from(self.out.len() - LOG_OVERHEAD);
        let header = BatchHeader {
            base_offset: options.base_offset,
            length: length.map_err(|_| BuildError::TooLarge)?,
            partition_leader_epoch: options.partition_leader_epoch,
            crc: 0,
            attributes: options.attributes(),
            last_offset_delta: i32::try_from(last_offset.0 - options.base_offset.0)
                .map_err(|_| BuildError::TooLarge)?,
            base_timestamp: self.base_timestamp.unwrap_or(NO_TIMESTAMP),
            max_timestamp: options.log_append_time.unwrap_or(self.max_timestamp),
            producer_id: options.producer_id,
            producer_epoch: options.producer_epoch,
            base_sequence: options.base_sequence,
            record_count: self.count,
        };
        Ok(with_header(self.out, &header))
    }
}

impl BatchOptions {
    const fn attributes(&self) -> Attributes {
        let timestamp_type = match self.log_append_time {
            Some(_) => TimestampType::LogAppendTime,
            None => TimestampType::CreateTime,
        };
        Attributes::new(
            self.compression,
            timestamp_type,
            self.transactional,
            self.control,
            self.delete_horizon.is_some(),
        )
    }
}

fn with_header(mut out: Vec<u8>, header: &BatchHeader) -> Vec<u8> {
    if let Some(to) = out.first_chunk_mut::<HEADER_LEN>() {
        *to = header.to_bytes();
    }
    refresh_crc(&mut out);
    out
}

/// The 61 bytes that compaction keeps of a batch whose records are all gone: offsets, producer and
/// sequence stay, codec and base timestamp do not.
#[must_use]
pub fn empty_batch(of: &BatchHeader) -> Vec<u8> {
    let attributes = of.attributes;
    let header = BatchHeader {
        length: 49,
        attributes: Attributes::new(
            Compression::None,
            attributes.timestamp_type(),
            attributes.is_transactional(),
            attributes.is_control(),
            false,
        ),
        base_timestamp: NO_TIMESTAMP,
        record_count: 0,
        ..*of
    };
    with_header(vec![0; HEADER_LEN], &header)
}
