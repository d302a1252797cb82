//! How records of Kafka's internal topics are framed: metadata records, coordinator keys and
//! values, control records, consumer protocol blobs. Knows no batches and no logs.

use crate::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, DecodeError, EncodeError,
    GroupRecordKey, GroupRecordValue, MetadataRecord, Reader, RemoteLogMetadataRecord,
    ShareRecordKey, ShareRecordValue, TransactionRecordKey, TransactionRecordValue, VersionRange,
    Writer,
};
use bytes::Bytes;

/// The only version of the frame around the records of `__cluster_metadata` and
/// `__remote_log_metadata`.
const FRAME_VERSION: u32 = 1;

/// A record type or version of a frame.
fn read_number(r: &mut Reader) -> Result<i16, DecodeError> {
    let number = r.uvarint()?;
    i16::try_from(number).map_err(|_| DecodeError::VarintTooLong)
}

/// Types and versions are never negative: a negative version is refused where the content is
/// written.
fn write_number(w: &mut Writer, number: i16) {
    w.uvarint(u32::from(number.cast_unsigned()));
}

macro_rules! framed_records {
    ($($name:ident)*) => {$(
        impl $name {
            /// Reads a record's value: frame version, type and version as variable-length
            /// integers, then the content (`AbstractApiMessageSerde`).
            ///
            /// # Errors
            /// When the frame, type or version is unknown, the bytes are no such record, or some
            /// remain.
            pub fn decode(value: Bytes) -> Result<Self, DecodeError> {
                Self::decode_versioned(value).map(|(record, _)| record)
            }

            /// As `decode`, with the version in which the record was written.
            ///
            /// # Errors
            /// As `decode`.
            pub fn decode_versioned(value: Bytes) -> Result<(Self, i16), DecodeError> {
                let mut r = Reader::new(value);
                let frame = r.uvarint()?;
                if frame != FRAME_VERSION {
                    return Err(DecodeError::UnknownFrameVersion { version: frame });
                }
                let record_type = read_number(&mut r)?;
                let version = read_number(&mut r)?;
                let record = Self::decode_content(record_type, &mut r, version)?;
                r.finish()?;
                Ok((record, version))
            }

            /// The record's value in `version` of its type.
            ///
            /// # Errors
            /// When the version is not valid or cannot carry what is set.
            pub fn encode(&self, version: i16) -> Result<Bytes, EncodeError> {
                let mut w = Writer::with_capacity(8 + self.content_len(version));
                w.uvarint(FRAME_VERSION);
                write_number(&mut w, self.record_type());
                write_number(&mut w, version);
                self.encode_content(&mut w, version)?;
                Ok(w.finish().to_bytes())
            }
        }
    )*};
}

framed_records! { MetadataRecord RemoteLogMetadataRecord }

macro_rules! coordinator_records {
    ($($key:ident $value:ident)*) => {$(
        impl $key {
            /// Reads a record's key: its type as two bytes, then the content.
            ///
            /// # Errors
            /// When the type is unknown or the bytes are no such key.
            pub fn decode(key: Bytes) -> Result<Self, DecodeError> {
                let mut r = Reader::new(key);
                let record_type = r.i16()?;
                Self::decode_content(record_type, &mut r, 0)
            }

            /// The record's key.
            ///
            /// # Errors
            /// When a string or array is too long to be written.
            pub fn encode(&self) -> Result<Bytes, EncodeError> {
                let mut w = Writer::with_capacity(2 + self.content_len(0));
                w.i16(self.record_type());
                self.encode_content(&mut w, 0)?;
                Ok(w.finish().to_bytes())
            }
        }

        impl $value {
            /// Reads the value of a record whose key has `record_type`: its version as two bytes,
            /// then the content.
            ///
            /// # Errors
            /// When the type or version is unknown or the bytes are no such value.
            pub fn decode(record_type: i16, value: Bytes) -> Result<Self, DecodeError> {
                let mut r = Reader::new(value);
                let version = r.i16()?;
                Self::decode_content(record_type, &mut r, version)
            }

            /// The record's value in `version`.
            ///
            /// # Errors
            /// When the version is not valid or cannot carry what is set.
            pub fn encode(&self, version: i16) -> Result<Bytes, EncodeError> {
                let mut w = Writer::with_capacity(2 + self.content_len(version));
                w.i16(version);
                self.encode_content(&mut w, version)?;
                Ok(w.finish().to_bytes())
            }
        }
    )*};
}

coordinator_records! {
    GroupRecordKey GroupRecordValue
    TransactionRecordKey TransactionRecordValue
    ShareRecordKey ShareRecordValue
}

/// The version in which a blob of the consumer protocol is read: a newer one as the newest known,
/// since later versions only append fields (`ConsumerProtocol`).
fn blob_version(
    version: i16,
    message: &'static str,
    valid: VersionRange,
) -> Result<i16, DecodeError> {
    if version < valid.min {
        return Err(DecodeError::UnsupportedVersion { message, version, valid });
    }
    Ok(version.min(valid.max))
}

macro_rules! consumer_protocol {
    ($($name:ident)*) => {$(
        impl $name {
            /// Reads the blob with its leading version; a version above the newest known is read
            /// as that one.
            ///
            /// # Errors
            /// When the bytes are no such blob.
            pub fn from_blob(blob: Bytes) -> Result<Self, DecodeError> {
                let mut r = Reader::new(blob);
                let version = blob_version(r.i16()?, Self::NAME, Self::VALID_VERSIONS)?;
                Self::decode(&mut r, version)
            }

            /// The blob in `version`, its version first.
            ///
            /// # Errors
            /// When the version is not valid or cannot carry what is set.
            pub fn to_blob(&self, version: i16) -> Result<Bytes, EncodeError> {
                let mut w = Writer::with_capacity(2 + self.encoded_len(version));
                w.i16(version);
                self.encode(&mut w, version)?;
                Ok(w.finish().to_bytes())
            }
        }
    )*};
}

consumer_protocol! { ConsumerProtocolSubscription ConsumerProtocolAssignment }
