//! A batch and a run of batches, borrowed. Must not know where the bytes lie or who may write
//! them (that is `validate`).

use ottla_protocol::{Millis, Offset};

use crate::compress::Scratch;
use crate::crc::crc32c;
use crate::error::BatchError;
use crate::header::{
    ATTRIBUTES_AT, BatchHeader, Compression, HEADER_LEN, TimestampType, check_prefix,
};
use crate::record::{Record, read_body, split_body};

/// One whole batch, borrowed. Length and magic are checked; the CRC only by [`Batch::verify_crc`].
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> Batch<'a> {
    /// The batch that begins at `bytes[0]`; bytes after it are left alone.
    ///
    /// # Errors
    /// As [`BatchHeader::parse`], and [`BatchError::Torn`] when the bytes end before the batch.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        let needed = header.size();
        let Some(bytes) = bytes.get(..needed) else {
            return Err(BatchError::Torn { needed, available: bytes.len() });
        };
        Ok(Self { header, bytes })
    }

    /// The header's fields.
    #[must_use]
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The batch as it stands, header included.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Bytes of the batch, header included.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes after the header: the records, compressed or not.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }

    /// Compares the stored CRC with the bytes.
    ///
    /// # Errors
    /// [`BatchError::Crc`].
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let computed = crc32c(self.bytes.get(ATTRIBUTES_AT..).unwrap_or_default());
        if computed == self.header.crc {
            Ok(())
        } else {
            Err(BatchError::Crc { stored: self.header.crc, computed })
        }
    }

    /// The records. Uncompressed ones borrow from the batch; compressed ones are decompressed
    /// into `scratch`, at most `limit` bytes of them.
    ///
    /// # Errors
    /// [`BatchError::Count`] for a negative count, [`BatchError::UnknownCodec`],
    /// [`BatchError::Codec`].
    pub fn records<'s>(
        &self,
        scratch: &'s mut Scratch,
        limit: usize,
    ) -> Result<Records<'s>, BatchError>
    where
        'a: 's,
    {
        if self.header.record_count < 0 {
            return Err(BatchError::Count(self.header.record_count));
        }
        let bytes: &'s [u8] = match self.header.compression()? {
            Compression::None => self.payload(),
            codec @ (Compression::Gzip
            | Compression::Snappy
            | Compression::Lz4
            | Compression::Zstd)
                if self.header.record_count > 0 =>
            {
                scratch.decompress(codec, self.payload(), limit)?
            }
            Compression::Gzip | Compression::Snappy | Compression::Lz4 | Compression::Zstd => &[],
        };
        Ok(Records::new(&self.header, bytes))
    }
}

/// The records of a batch, in order; ends after the first error. A batch whose count is 0 (left by
/// compaction) has none, whatever its bytes.
#[derive(Clone, Debug)]
pub struct Records<'s> {
    bytes: &'s [u8],
    base_offset: i64,
    base_timestamp: i64,
    append_time: Option<i64>,
    index: i32,
    count: i32,
}

impl<'s> Records<'s> {
    pub(crate) fn new(header: &BatchHeader, bytes: &'s [u8]) -> Self {
        let append_time = match header.attributes.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(header.max_timestamp.0),
        };
        Self {
            bytes,
            base_offset: header.base_offset.0,
            base_timestamp: header.base_timestamp.0,
            append_time,
            index: 0,
            count: header.record_count,
        }
    }

    fn read(&mut self) -> Result<Record<'s>, BatchError> {
        let before = self.bytes.len();
        let body = split_body(&mut self.bytes)
            .and_then(read_body)
            .map_err(|error| BatchError::Record { index: self.index, error })?;
        self.index += 1;
        if self.index == self.count && !self.bytes.is_empty() {
            return Err(BatchError::Trailing);
        }
        let timestamp = self
            .append_time
            .unwrap_or_else(|| self.base_timestamp.wrapping_add(body.timestamp_delta));
        Ok(Record {
            offset_delta: body.offset_delta,
            offset: Offset(self.base_offset.wrapping_add(i64::from(body.offset_delta))),
            timestamp: Millis(timestamp),
            key: body.key,
            value: body.value,
            headers: body.headers,
            size: before - self.bytes.len(),
        })
    }
}

impl<'s> Iterator for Records<'s> {
    type Item = Result<Record<'s>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.count {
            return None;
        }
        let record = self.read();
        if record.is_err() {
            self.index = self.count;
        }
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // A record has at least 7 bytes: a count that lies promises no more than the bytes hold.
        let left = usize::try_from(self.count - self.index).unwrap_or(0);
        (0, Some(left.min(self.bytes.len() / 7 + 1)))
    }
}

/// Batches back to back; ends after the first that is not whole. CRCs are not looked at.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    position: usize,
    max_size: usize,
    done: bool,
}

impl<'a> Batches<'a> {
    /// The batches in `bytes`, of any size.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, max_size: usize::MAX, done: false }
    }

    /// Refuses batches of more than `max_size` bytes with [`BatchError::TooLarge`].
    #[must_use]
    pub const fn with_max_size(mut self, max_size: usize) -> Self {
        self.max_size = max_size;
        self
    }

    /// Bytes of the whole batches given so far: where the next one begins, or the bad tail.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    fn read(&mut self) -> Result<Batch<'a>, BatchError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        check_prefix(rest)?;
        if let Some(prefix) = rest.first_chunk::<HEADER_LEN>() {
            let size = BatchHeader::read(prefix).size();
            if size > self.max_size {
                return Err(BatchError::TooLarge { size, limit: self.max_size });
            }
        }
        let batch = Batch::parse(rest)?;
        self.position += batch.size();
        Ok(batch)
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Batch<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done || self.position >= self.bytes.len() {
            return None;
        }
        let batch = self.read();
        self.done = batch.is_err();
        Some(batch)
    }
}
