//! Reads fields from one buffer without copying it. Owns every check that hostile input needs:
//! lengths against what remains, memory against the input's size. Knows no messages.

use crate::{DecodeError, Records, StrBytes, Uuid};
use bytes::Bytes;
use std::mem::size_of;

/// Reads fields from one buffer; strings and bytes share it. What decoding may allocate in all is
/// bounded by 16 times the input plus 1 MiB.
#[derive(Debug)]
pub struct Reader {
    input: Bytes,
    position: usize,
    /// Bytes that decoding may still allocate.
    budget: usize,
}

/// Memory allowed beyond sixteen times the input; the missing 64 KiB is what allocators and
/// fixed-size parts may take on top.
const BASE_BUDGET: usize = (1 << 20) - (64 << 10);

/// What decoding `input` bytes may allocate in all.
pub(crate) const fn budget(input: usize) -> usize {
    input.saturating_mul(16).saturating_add(BASE_BUDGET)
}

/// A length that is stored plus one, 0 being null.
pub(crate) fn compact_len(stored: u32) -> Result<Option<u32>, DecodeError> {
    if i32::try_from(stored).is_err() {
        return Err(DecodeError::VarintTooLong);
    }
    Ok(stored.checked_sub(1))
}

/// The count of an array's elements, refused when `remaining` bytes cannot hold so many of at
/// least `least` bytes.
pub(crate) fn element_count(
    len: u32,
    remaining: usize,
    least: usize,
) -> Result<usize, DecodeError> {
    match usize::try_from(len) {
        Ok(count) if count <= remaining / least => Ok(count),
        _ => Err(DecodeError::ArrayTooLong { len, remaining }),
    }
}

/// Reads an unsigned variable-length integer from the front: value and length.
pub(crate) fn uvarint_of(bytes: &[u8]) -> Result<(u32, usize), DecodeError> {
    let mut value = 0_u32;
    for (i, byte) in bytes.iter().take(5).enumerate() {
        let bits = u32::from(byte & 0x7f);
        if i == 4 && *byte > 0x0f {
            return Err(DecodeError::VarintTooLong);
        }
        value |= bits << (7 * i);
        if byte & 0x80 == 0 {
            return Ok((value, i + 1));
        }
    }
    if bytes.len() >= 5 {
        Err(DecodeError::VarintTooLong)
    } else {
        Err(DecodeError::Truncated { needed: bytes.len() + 1, remaining: bytes.len() })
    }
}

macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// When fewer bytes remain.
        pub fn $name(&mut self) -> Result<$name, DecodeError> {
            Ok($name::from_be_bytes(self.take_array()?))
        }
    )*};
}

macro_rules! fixed_array {
    ($($name:ident $nullable:ident $one:ident $ty:ty;)*) => {$(
        pub(crate) fn $name(&mut self, flex: bool) -> Result<Vec<$ty>, DecodeError> {
            self.$nullable(flex)?.ok_or(DecodeError::UnexpectedNull { what: "array" })
        }

        pub(crate) fn $nullable(&mut self, flex: bool) -> Result<Option<Vec<$ty>>, DecodeError> {
            let Some(len) = self.array_len(flex, size_of::<$ty>(), size_of::<$ty>())? else {
                return Ok(None);
            };
            let mut array = Vec::with_capacity(len);
            for _ in 0..len {
                array.push(self.$one()?);
            }
            Ok(Some(array))
        }
    )*};
}

impl Reader {
    /// A reader at the beginning of `input`.
    #[must_use]
    pub fn new(input: Bytes) -> Self {
        let budget = budget(input.len());
        Self { input, position: 0, budget }
    }

    /// Bytes not yet read.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.input.len() - self.position
    }

    /// Bytes read so far.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// Refuses bytes that nobody read.
    ///
    /// # Errors
    /// When some remain.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(DecodeError::TrailingBytes { count }),
        }
    }

    pub(crate) fn need(&self, needed: usize) -> Result<(), DecodeError> {
        let remaining = self.remaining();
        if needed <= remaining { Ok(()) } else { Err(DecodeError::Truncated { needed, remaining }) }
    }

    /// Books memory that is about to be allocated.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<(), DecodeError> {
        match self.budget.checked_sub(bytes) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(DecodeError::TooMuchMemory { input: self.input.len() }),
        }
    }

    pub(crate) fn region(&self, start: usize, end: usize) -> &[u8] {
        self.input.get(start..end).unwrap_or_default()
    }

    pub(crate) fn shared(&self, start: usize, end: usize) -> Bytes {
        self.input.slice(start..end)
    }

    fn rest(&self) -> &[u8] {
        self.input.get(self.position..).unwrap_or_default()
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some(array) = self.rest().first_chunk::<N>() else {
            return Err(DecodeError::Truncated { needed: N, remaining: self.remaining() });
        };
        let array = *array;
        self.position += N;
        Ok(array)
    }

    /// The next `len` bytes, shared with the input.
    ///
    /// # Errors
    /// When fewer bytes remain.
    pub fn take(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        self.need(len)?;
        let bytes = self.input.slice(self.position..self.position + len);
        self.position += len;
        Ok(bytes)
    }

    /// All that remains, shared with the input.
    #[must_use]
    pub fn take_rest(&mut self) -> Bytes {
        let bytes = self.input.slice(self.position..);
        self.position = self.input.len();
        bytes
    }

    pub(crate) fn skip(&mut self, len: usize) -> Result<(), DecodeError> {
        self.need(len)?;
        self.position += len;
        Ok(())
    }

    /// Steps over one zero byte, if it is next.
    pub(crate) fn skip_zero(&mut self) -> bool {
        let zero = self.rest().first() == Some(&0);
        self.position += usize::from(zero);
        zero
    }

    fixed! {
        /// A byte with sign.
        i8
        /// A byte.
        u8
        /// Two bytes, big endian.
        i16
        /// Two bytes, big endian.
        u16
        /// Four bytes, big endian.
        i32
        /// Four bytes, big endian.
        u32
        /// Eight bytes, big endian.
        i64
        /// An IEEE 754 double, big endian.
        f64
    }

    /// A byte that is not 0.
    ///
    /// # Errors
    /// When no byte remains.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.u8()? != 0)
    }

    /// Sixteen bytes.
    ///
    /// # Errors
    /// When fewer bytes remain.
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        Ok(Uuid(self.take_array()?))
    }

    /// An unsigned variable-length integer of at most 32 bits.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        if let Some(byte @ 0..0x80) = self.rest().first() {
            let value = u32::from(*byte);
            self.position += 1;
            return Ok(value);
        }
        let (value, len) = uvarint_of(self.rest())?;
        self.position += len;
        Ok(value)
    }

    fn compact_len(&mut self) -> Result<Option<u32>, DecodeError> {
        compact_len(self.uvarint()?)
    }

    fn length(&mut self, flex: bool) -> Result<Option<u32>, DecodeError> {
        if flex { self.compact_len() } else { Ok(u32::try_from(self.i32()?).ok()) }
    }

    pub(crate) fn string(&mut self, flex: bool) -> Result<StrBytes, DecodeError> {
        self.nullable_string(flex)?.ok_or(DecodeError::UnexpectedNull { what: "string" })
    }

    pub(crate) fn nullable_string(&mut self, flex: bool) -> Result<Option<StrBytes>, DecodeError> {
        let len =
            if flex { self.compact_len()? } else { u16::try_from(self.i16()?).ok().map(u32::from) };
        let Some(len) = len else { return Ok(None) };
        let len = usize::try_from(len).map_err(|_| DecodeError::VarintTooLong)?;
        if len > 0x7fff {
            return Err(DecodeError::StringTooLong { len });
        }
        if len == 0 {
            return Ok(Some(StrBytes::new()));
        }
        StrBytes::try_from(self.take(len)?).map(Some).map_err(|_| DecodeError::InvalidUtf8)
    }

    pub(crate) fn bytes(&mut self, flex: bool) -> Result<Bytes, DecodeError> {
        self.nullable_bytes(flex)?.ok_or(DecodeError::UnexpectedNull { what: "byte string" })
    }

    pub(crate) fn nullable_bytes(&mut self, flex: bool) -> Result<Option<Bytes>, DecodeError> {
        let Some(len) = self.length(flex)? else { return Ok(None) };
        self.take(usize::try_from(len).map_err(|_| DecodeError::VarintTooLong)?).map(Some)
    }

    pub(crate) fn records(&mut self, flex: bool) -> Result<Records, DecodeError> {
        self.bytes(flex).map(Records::from)
    }

    pub(crate) fn nullable_records(&mut self, flex: bool) -> Result<Option<Records>, DecodeError> {
        Ok(self.nullable_bytes(flex)?.map(Records::from))
    }

    /// The element count of an array whose elements take at least `least` bytes each; books
    /// `memory` bytes for each.
    fn array_len(
        &mut self,
        flex: bool,
        least: usize,
        memory: usize,
    ) -> Result<Option<usize>, DecodeError> {
        let Some(len) = self.length(flex)? else { return Ok(None) };
        let count = element_count(len, self.remaining(), least)?;
        self.charge(count.saturating_mul(memory))?;
        Ok(Some(count))
    }

    fixed_array! {
        i8_array nullable_i8_array i8 i8;
        i16_array nullable_i16_array i16 i16;
        i32_array nullable_i32_array i32 i32;
        i64_array nullable_i64_array i64 i64;
        uuid_array nullable_uuid_array uuid Uuid;
    }

    pub(crate) fn string_array(&mut self, flex: bool) -> Result<Vec<StrBytes>, DecodeError> {
        self.nullable_string_array(flex)?.ok_or(DecodeError::UnexpectedNull { what: "array" })
    }

    pub(crate) fn nullable_string_array(
        &mut self,
        flex: bool,
    ) -> Result<Option<Vec<StrBytes>>, DecodeError> {
        let least = if flex { 1 } else { 2 };
        let Some(len) = self.array_len(flex, least, size_of::<StrBytes>())? else {
            return Ok(None);
        };
        let mut array = Vec::with_capacity(len);
        for _ in 0..len {
            array.push(self.string(flex)?);
        }
        Ok(Some(array))
    }

    pub(crate) fn array<T>(
        &mut self,
        flex: bool,
        least: usize,
        version: i16,
        decode: fn(&mut Self, i16) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        self.nullable_array(flex, least, version, decode)?
            .ok_or(DecodeError::UnexpectedNull { what: "array" })
    }

    pub(crate) fn nullable_array<T>(
        &mut self,
        flex: bool,
        least: usize,
        version: i16,
        decode: fn(&mut Self, i16) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(len) = self.array_len(flex, least, size_of::<T>())? else { return Ok(None) };
        let mut array = Vec::with_capacity(len);
        for _ in 0..len {
            array.push(decode(self, version)?);
        }
        Ok(Some(array))
    }

    /// A struct behind a byte that is negative for null.
    pub(crate) fn nullable<T>(
        &mut self,
        version: i16,
        decode: fn(&mut Self, i16) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.i8()? < 0 { Ok(None) } else { decode(self, version).map(Some) }
    }

    /// A struct in a tagged field behind a variable-length integer that is 0 for null.
    pub(crate) fn nullable_tagged<T>(
        &mut self,
        version: i16,
        decode: fn(&mut Self, i16) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.uvarint()? == 0 { Ok(None) } else { decode(self, version).map(Some) }
    }
}
