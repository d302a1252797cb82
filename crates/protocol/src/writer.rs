//! Writes fields into a list of buffers; record batches are passed through, not copied. Knows no
//! messages.

use crate::{EncodeError, Records, StrBytes, Uuid};
use bytes::{BufMut, Bytes, BytesMut};

/// What a [`Writer`] wrote: buffers to send one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segments {
    parts: Vec<Bytes>,
}

impl Segments {
    /// The buffers in order; none is empty.
    #[must_use]
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// The buffers in order; none is empty.
    #[must_use]
    pub fn into_parts(self) -> Vec<Bytes> {
        self.parts
    }

    /// Length in bytes over all buffers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    /// Whether there is no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// All bytes in one buffer; copies only when there are several.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self.parts.as_slice() {
            [] => Bytes::new(),
            [only] => only.clone(),
            parts => {
                let mut whole = BytesMut::with_capacity(self.len());
                for part in parts {
                    whole.extend_from_slice(part);
                }
                whole.freeze()
            }
        }
    }
}

/// Writes fields. Integers are big endian.
#[derive(Debug, Default)]
pub struct Writer {
    done: Vec<Bytes>,
    buffer: BytesMut,
}

/// A piece of records up to this size is cheaper copied than sent as its own segment.
const COPY_MAX: usize = 1024;

/// The length as the wire can carry it.
pub(crate) fn checked_len(len: usize) -> Result<u32, EncodeError> {
    i32::try_from(len).map_err(|_| EncodeError::TooLong { len }).map(i32::unsigned_abs)
}

macro_rules! fixed {
    ($($name:ident $put:ident)*) => {$(
        /// Writes the value, big endian.
        pub fn $name(&mut self, value: $name) {
            self.buffer.$put(value);
        }
    )*};
}

macro_rules! fixed_array {
    ($($name:ident $one:ident $ty:ty;)*) => {$(
        pub(crate) fn $name(
            &mut self,
            array: Option<&[$ty]>,
            flex: bool,
        ) -> Result<(), EncodeError> {
            self.array_len(array.map(<[$ty]>::len), flex)?;
            for value in array.unwrap_or_default() {
                self.$one(*value);
            }
            Ok(())
        }
    )*};
}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty writer with room for `capacity` bytes, records not counted.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { done: Vec::new(), buffer: BytesMut::with_capacity(capacity) }
    }

    /// Everything written.
    #[must_use]
    pub fn finish(mut self) -> Segments {
        if !self.buffer.is_empty() {
            self.done.push(self.buffer.freeze());
        }
        Segments { parts: self.done }
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.done.iter().map(Bytes::len).sum::<usize>() + self.buffer.len()
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.done.is_empty() && self.buffer.is_empty()
    }

    /// Writes bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    fixed! {
        i8 put_i8
        u8 put_u8
        i16 put_i16
        u16 put_u16
        i32 put_i32
        u32 put_u32
        i64 put_i64
        f64 put_f64
    }

    /// Writes 1 or 0.
    pub fn bool(&mut self, value: bool) {
        self.buffer.put_u8(u8::from(value));
    }

    /// Writes sixteen bytes.
    pub fn uuid(&mut self, value: Uuid) {
        self.buffer.extend_from_slice(&value.0);
    }

    /// Writes an unsigned variable-length integer.
    pub fn uvarint(&mut self, mut value: u32) {
        while let Some(high) = Some(value >> 7).filter(|h| *h != 0) {
            let [low, ..] = value.to_le_bytes();
            self.buffer.put_u8(low | 0x80);
            value = high;
        }
        let [low, ..] = value.to_le_bytes();
        self.buffer.put_u8(low);
    }

    fn length(&mut self, len: Option<usize>, flex: bool) -> Result<(), EncodeError> {
        match len {
            None if flex => self.buffer.put_u8(0),
            None => self.buffer.put_i32(-1),
            Some(len) if flex => {
                let plus_one = len.checked_add(1).ok_or(EncodeError::TooLong { len })?;
                self.uvarint(checked_len(plus_one)?);
            }
            Some(len) => self.buffer.put_u32(checked_len(len)?),
        }
        Ok(())
    }

    pub(crate) fn string(&mut self, text: &StrBytes, flex: bool) -> Result<(), EncodeError> {
        self.nullable_string(Some(text), flex)
    }

    pub(crate) fn nullable_string(
        &mut self,
        text: Option<&StrBytes>,
        flex: bool,
    ) -> Result<(), EncodeError> {
        let len = text.map(|t| t.len());
        let short = match len {
            None => -1,
            Some(len) => i16::try_from(len).map_err(|_| EncodeError::StringTooLong { len })?,
        };
        if flex {
            self.length(len, true)?;
        } else {
            self.buffer.put_i16(short);
        }
        self.raw(text.map_or(&[], |t| t.as_str().as_bytes()));
        Ok(())
    }

    pub(crate) fn bytes(&mut self, bytes: &Bytes, flex: bool) -> Result<(), EncodeError> {
        self.nullable_bytes(Some(bytes), flex)
    }

    pub(crate) fn nullable_bytes(
        &mut self,
        bytes: Option<&Bytes>,
        flex: bool,
    ) -> Result<(), EncodeError> {
        self.length(bytes.map(Bytes::len), flex)?;
        self.raw(bytes.map_or(&[], |b| b));
        Ok(())
    }

    pub(crate) fn records(&mut self, records: &Records, flex: bool) -> Result<(), EncodeError> {
        self.nullable_records(Some(records), flex)
    }

    /// Writes records; large pieces become segments of their own.
    pub(crate) fn nullable_records(
        &mut self,
        records: Option<&Records>,
        flex: bool,
    ) -> Result<(), EncodeError> {
        self.length(records.map(Records::len), flex)?;
        for piece in records.into_iter().flat_map(Records::pieces) {
            if piece.len() <= COPY_MAX {
                self.raw(piece);
                continue;
            }
            if !self.buffer.is_empty() {
                self.done.push(self.buffer.split().freeze());
            }
            self.done.push(piece.clone());
        }
        Ok(())
    }

    fn array_len(&mut self, len: Option<usize>, flex: bool) -> Result<(), EncodeError> {
        self.length(len, flex)
    }

    fixed_array! {
        i8_array i8 i8;
        i16_array i16 i16;
        i32_array i32 i32;
        i64_array i64 i64;
        uuid_array uuid Uuid;
    }

    pub(crate) fn string_array(
        &mut self,
        array: Option<&[StrBytes]>,
        flex: bool,
    ) -> Result<(), EncodeError> {
        self.array_len(array.map(<[StrBytes]>::len), flex)?;
        array.unwrap_or_default().iter().try_for_each(|text| self.string(text, flex))
    }

    pub(crate) fn array<T>(
        &mut self,
        array: Option<&[T]>,
        flex: bool,
        version: i16,
        encode: fn(&T, &mut Self, i16) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.array_len(array.map(<[T]>::len), flex)?;
        array.unwrap_or_default().iter().try_for_each(|e| encode(e, self, version))
    }

    /// A struct behind a byte that is −1 for null.
    pub(crate) fn nullable<T>(
        &mut self,
        value: Option<&T>,
        version: i16,
        encode: fn(&T, &mut Self, i16) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.i8(if value.is_some() { 1 } else { -1 });
        value.map_or(Ok(()), |value| encode(value, self, version))
    }

    /// A struct in a tagged field behind a byte that is 0 for null.
    pub(crate) fn nullable_tagged<T>(
        &mut self,
        value: Option<&T>,
        version: i16,
        encode: fn(&T, &mut Self, i16) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.u8(u8::from(value.is_some()));
        value.map_or(Ok(()), |value| encode(value, self, version))
    }
}
