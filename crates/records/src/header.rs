//! The 61-byte header of a batch (magic 2): reading, writing, attributes, sequence arithmetic.
//! Must not know records, codecs' insides, or what an offset means to a log.

use ottla_protocol::{LeaderEpoch, Millis, Offset, ProducerEpoch, ProducerId};

use crate::error::BatchError;

/// Bytes before the part that the length field counts: base offset and length.
pub const LOG_OVERHEAD: usize = 12;
/// Bytes of a batch header; the records begin here.
pub const HEADER_LEN: usize = 61;
/// The only batch format that is read or written.
pub const MAGIC: i8 = 2;
/// "No timestamp", as the wire writes it.
pub const NO_TIMESTAMP: Millis = Millis(-1);
/// "No sequence", as the wire writes it.
pub const NO_SEQUENCE: i32 = -1;

pub(crate) const LENGTH_AT: usize = 8;
pub(crate) const EPOCH_AT: usize = 12;
pub(crate) const MAGIC_AT: usize = 16;
pub(crate) const CRC_AT: usize = 17;
pub(crate) const ATTRIBUTES_AT: usize = 21;
pub(crate) const MAX_TIMESTAMP_AT: usize = 35;

/// A codec of record batches, with the id of attribute bits 0–2.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Compression {
    /// Records stand as they are.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks in xerial's framing (or, when read, one bare block).
    Snappy,
    /// LZ4 frame format.
    Lz4,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// All codecs, by id.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec with this id (0–4).
    #[must_use]
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.get(usize::from(id)).copied()
    }

    /// The id in attribute bits 0–2.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// Kafka's name of the codec, as in `compression.type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Who set a batch's timestamps.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum TimestampType {
    /// The producer, per record.
    #[default]
    CreateTime,
    /// The broker, one for the whole batch (its maximum timestamp).
    LogAppendTime,
}

/// The attribute bits of a batch. Bits 7 and up have no meaning and are kept as they came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Attributes(pub i16);

impl Attributes {
    const CODEC: i16 = 0x07;
    const LOG_APPEND_TIME: i16 = 0x08;
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    const DELETE_HORIZON: i16 = 0x40;

    /// The attributes that these facts need, all other bits 0.
    #[must_use]
    pub const fn new(
        compression: Compression,
        timestamp_type: TimestampType,
        transactional: bool,
        control: bool,
        delete_horizon: bool,
    ) -> Self {
        let mut bits = compression.id() as i16;
        if matches!(timestamp_type, TimestampType::LogAppendTime) {
            bits |= Self::LOG_APPEND_TIME;
        }
        if transactional {
            bits |= Self::TRANSACTIONAL;
        }
        if control {
            bits |= Self::CONTROL;
        }
        if delete_horizon {
            bits |= Self::DELETE_HORIZON;
        }
        Self(bits)
    }

    /// The codec's id, 0–7.
    #[must_use]
    pub fn codec_id(self) -> u8 {
        u8::try_from(self.0 & Self::CODEC).unwrap_or(0)
    }

    /// The codec.
    ///
    /// # Errors
    /// [`BatchError::UnknownCodec`] for ids 5–7.
    pub fn compression(self) -> Result<Compression, BatchError> {
        let id = self.codec_id();
        Compression::from_id(id).ok_or(BatchError::UnknownCodec(id))
    }

    /// Bit 3.
    #[must_use]
    pub const fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Bit 4: part of a transaction.
    #[must_use]
    pub const fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Bit 5: control records, never shown to consumers.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Bit 6: the base timestamp is a delete horizon (KIP-534).
    #[must_use]
    pub const fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// These attributes with another timestamp type, reduced to the bits that have a meaning.
    #[must_use]
    pub const fn with_timestamp_type(self, timestamp_type: TimestampType) -> Self {
        let known =
            self.0 & (Self::CODEC | Self::TRANSACTIONAL | Self::CONTROL | Self::DELETE_HORIZON);
        match timestamp_type {
            TimestampType::CreateTime => Self(known),
            TimestampType::LogAppendTime => Self(known | Self::LOG_APPEND_TIME),
        }
    }
}

/// The header of a batch, every field as it stands. Source: KIP-98, `DefaultRecordBatch`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchHeader {
    /// Offset of the first record the batch ever had.
    pub base_offset: Offset,
    /// Bytes after the length field; see [`BatchHeader::size`].
    pub length: i32,
    /// Leader epoch stamped by the leader that appended the batch; outside the CRC.
    pub partition_leader_epoch: LeaderEpoch,
    /// CRC-32C of everything from the attributes to the end.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: Attributes,
    /// Last offset minus base offset; survives compaction.
    pub last_offset_delta: i32,
    /// What the records' timestamp deltas count from (or the delete horizon).
    pub base_timestamp: Millis,
    /// The largest record timestamp, or the append time of the batch.
    pub max_timestamp: Millis,
    /// Idempotent producer, or −1.
    pub producer_id: ProducerId,
    /// The producer's epoch, or −1.
    pub producer_epoch: ProducerEpoch,
    /// Sequence of the first record, or −1.
    pub base_sequence: i32,
    /// Records that are in the batch now; compaction may leave 0.
    pub record_count: i32,
}

fn field<const N: usize>(bytes: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    let mut out = [0; N];
    if let Some(from) = bytes.get(at..at + N) {
        out.copy_from_slice(from);
    }
    out
}

impl BatchHeader {
    /// Reads a header from the first 61 bytes. Checks magic and length field, nothing else: not
    /// that the whole batch is there, and not the CRC.
    ///
    /// # Errors
    /// [`BatchError::Torn`] with fewer than 61 bytes, [`BatchError::OldMagic`] for formats 0 and
    /// 1, [`BatchError::Magic`] for unknown ones, [`BatchError::Length`] for a length field that
    /// no batch can have.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        check_prefix(bytes)?;
        let Some(b) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(BatchError::Torn { needed: HEADER_LEN, available: bytes.len() });
        };
        let header = Self::read(b);
        if header.size() < HEADER_LEN {
            return Err(BatchError::Length(header.length));
        }
        Ok(header)
    }

    /// The fields as they stand, nothing checked.
    pub(crate) fn read(b: &[u8; HEADER_LEN]) -> Self {
        Self {
            base_offset: Offset(i64::from_be_bytes(field(b, 0))),
            length: i32::from_be_bytes(field(b, LENGTH_AT)),
            partition_leader_epoch: LeaderEpoch(i32::from_be_bytes(field(b, EPOCH_AT))),
            crc: u32::from_be_bytes(field(b, CRC_AT)),
            attributes: Attributes(i16::from_be_bytes(field(b, ATTRIBUTES_AT))),
            last_offset_delta: i32::from_be_bytes(field(b, 23)),
            base_timestamp: Millis(i64::from_be_bytes(field(b, 27))),
            max_timestamp: Millis(i64::from_be_bytes(field(b, MAX_TIMESTAMP_AT))),
            producer_id: ProducerId(i64::from_be_bytes(field(b, 43))),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(field(b, 51))),
            base_sequence: i32::from_be_bytes(field(b, 53)),
            record_count: i32::from_be_bytes(field(b, 57)),
        }
    }

    /// The 61 bytes, magic 2.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            if let Some(to) = out.get_mut(at..at + bytes.len()) {
                to.copy_from_slice(bytes);
            }
            at += bytes.len();
        };
        put(&self.base_offset.0.to_be_bytes());
        put(&self.length.to_be_bytes());
        put(&self.partition_leader_epoch.0.to_be_bytes());
        put(&MAGIC.to_be_bytes());
        put(&self.crc.to_be_bytes());
        put(&self.attributes.0.to_be_bytes());
        put(&self.last_offset_delta.to_be_bytes());
        put(&self.base_timestamp.0.to_be_bytes());
        put(&self.max_timestamp.0.to_be_bytes());
        put(&self.producer_id.0.to_be_bytes());
        put(&self.producer_epoch.0.to_be_bytes());
        put(&self.base_sequence.to_be_bytes());
        put(&self.record_count.to_be_bytes());
        out
    }

    /// Bytes of the whole batch, header included; 0 when the length field is negative.
    #[must_use]
    pub fn size(&self) -> usize {
        usize::try_from(self.length).map_or(0, |l| l + LOG_OVERHEAD)
    }

    /// Offset of the last record the batch ever had.
    #[must_use]
    pub const fn last_offset(&self) -> Offset {
        Offset(self.base_offset.0.saturating_add(self.last_offset_delta as i64))
    }

    /// The offset after the batch.
    #[must_use]
    pub const fn next_offset(&self) -> Offset {
        Offset(self.last_offset().0.saturating_add(1))
    }

    /// The codec; see [`Attributes::compression`].
    ///
    /// # Errors
    /// [`BatchError::UnknownCodec`] for ids 5–7.
    pub fn compression(&self) -> Result<Compression, BatchError> {
        self.attributes.compression()
    }

    /// Whether an idempotent producer wrote the batch.
    #[must_use]
    pub const fn has_producer_id(&self) -> bool {
        self.producer_id.0 > ProducerId::NONE.0
    }

    /// Sequence of the last record, or −1 when the batch has no sequence.
    #[must_use]
    pub const fn last_sequence(&self) -> i32 {
        if self.base_sequence == NO_SEQUENCE {
            NO_SEQUENCE
        } else {
            increment_sequence(self.base_sequence, self.last_offset_delta)
        }
    }

    /// Time from which the batch's tombstones and markers may be dropped (KIP-534).
    #[must_use]
    pub const fn delete_horizon(&self) -> Option<Millis> {
        if self.attributes.has_delete_horizon() { Some(self.base_timestamp) } else { None }
    }
}

/// The smallest length field of any message format that ever was (format 0).
pub(crate) const LEAST_LENGTH: i32 = 14;

/// Looks at length and magic, as far as the bytes reach, in Kafka's order.
pub(crate) fn check_prefix(bytes: &[u8]) -> Result<(), BatchError> {
    if let Some(length) = bytes.get(LENGTH_AT..).and_then(<[u8]>::first_chunk) {
        let length = i32::from_be_bytes(*length);
        if length < LEAST_LENGTH {
            return Err(BatchError::Length(length));
        }
    }
    if let Some(magic) = bytes.get(MAGIC_AT) {
        let magic = magic.cast_signed();
        match magic {
            MAGIC => {}
            0 | 1 => return Err(BatchError::OldMagic(magic)),
            _ => return Err(BatchError::Magic(magic)),
        }
    }
    Ok(())
}

/// The sequence `increment` after `sequence`; after 2³¹−1 comes 0.
#[must_use]
pub const fn increment_sequence(sequence: i32, increment: i32) -> i32 {
    if sequence > i32::MAX.wrapping_sub(increment) {
        increment.wrapping_sub(i32::MAX.wrapping_sub(sequence)).wrapping_sub(1)
    } else {
        sequence.wrapping_add(increment)
    }
}

/// The sequence `decrement` before `sequence`; before 0 comes 2³¹−1.
#[must_use]
pub const fn decrement_sequence(sequence: i32, decrement: i32) -> i32 {
    if sequence < decrement {
        i32::MAX.wrapping_sub(decrement.wrapping_sub(sequence)).wrapping_add(1)
    } else {
        sequence.wrapping_sub(decrement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(increment_sequence(i32::MAX, 1), 0);
        assert_eq!(increment_sequence(i32::MAX - 2, 5), 2);
        assert_eq!(increment_sequence(7, 5), 12);
        assert_eq!(decrement_sequence(0, 1), i32::MAX);
        assert_eq!(decrement_sequence(2, 5), i32::MAX - 2);
        assert_eq!(decrement_sequence(12, 5), 7);
    }

    #[test]
    fn a_header_survives_the_round_trip() {
        let header = BatchHeader {
            base_offset: Offset(0x0102_0304_0506_0708),
            length: 0x1112_1314,
            partition_leader_epoch: LeaderEpoch(0x2122_2324),
            crc: 0x3132_3334,
            attributes: Attributes(0x4142),
            last_offset_delta: 0x5152_5354,
            base_timestamp: Millis(0x6162_6364_6566_6768),
            max_timestamp: Millis(0x7172_7374_7576_7778),
            producer_id: ProducerId(-0x0102_0304_0506_0708),
            producer_epoch: ProducerEpoch(0x1213),
            base_sequence: 0x2223_2425,
            record_count: 0x3233_3435,
        };
        let bytes = header.to_bytes();
        assert_eq!(bytes[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(bytes[16], 2);
        assert_eq!(bytes[57..], [0x32, 0x33, 0x34, 0x35]);
        assert_eq!(BatchHeader::parse(&bytes), Ok(header));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let mut bytes = [0_u8; HEADER_LEN];
        assert_eq!(BatchHeader::parse(&bytes), Err(BatchError::Length(0)));
        bytes[LENGTH_AT + 3] = 48;
        assert_eq!(BatchHeader::parse(&bytes), Err(BatchError::OldMagic(0)));
        bytes[MAGIC_AT] = 1;
        assert_eq!(BatchHeader::parse(&bytes), Err(BatchError::OldMagic(1)));
        bytes[MAGIC_AT] = 0xff;
        assert_eq!(BatchHeader::parse(&bytes), Err(BatchError::Magic(-1)));
        bytes[MAGIC_AT] = 2;
        assert_eq!(BatchHeader::parse(&bytes), Err(BatchError::Length(48)));
        bytes[LENGTH_AT] = 0xff;
        assert_eq!(BatchHeader::parse(&bytes), Err(BatchError::Length(-16_777_168)));
        bytes[LENGTH_AT] = 0;
        bytes[LENGTH_AT + 3] = 49;
        assert_eq!(
            BatchHeader::parse(&bytes[..60]),
            Err(BatchError::Torn { needed: 61, available: 60 })
        );
    }
}
