//! Reads fields from a borrowed slice, for the views of hot requests. Accepts and refuses what
//! `Reader` does, its memory bound included; allocates nothing. Knows no messages.

use crate::tagged::{UnknownTags, tag_size};
use crate::{DecodeError, Uuid};
use std::ops::Range;

/// A position in a borrowed frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    input: &'a [u8],
    position: usize,
    budget: usize,
}

/// The tagged fields of one struct that are still to come.
#[derive(Debug)]
pub(crate) struct Tags {
    left: u32,
    tag: u32,
    start: usize,
    content: usize,
    end: usize,
    unknown: UnknownTags,
}

impl<'a> Cursor<'a> {
    /// A cursor at `position` of a frame; the memory bound is that of a `Reader` of the frame.
    pub(crate) fn new(input: &'a [u8], position: usize) -> Self {
        let position = position.min(input.len());
        Self { input, position, budget: crate::reader::budget(input.len()) }
    }

    fn remaining(&self) -> usize {
        self.input.len() - self.position
    }

    fn rest(&self) -> &'a [u8] {
        self.input.get(self.position..).unwrap_or_default()
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest().get(..len) {
            Some(bytes) => {
                self.position += len;
                Ok(bytes)
            }
            None => Err(DecodeError::Truncated { needed: len, remaining: self.remaining() }),
        }
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest().first_chunk::<N>() {
            Some(array) => {
                self.position += N;
                Ok(*array)
            }
            None => Err(DecodeError::Truncated { needed: N, remaining: self.remaining() }),
        }
    }

    pub(crate) fn i8(&mut self) -> Result<i8, DecodeError> {
        Ok(i8::from_be_bytes(self.take_array()?))
    }

    pub(crate) fn i16(&mut self) -> Result<i16, DecodeError> {
        Ok(i16::from_be_bytes(self.take_array()?))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.take_array()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.take_array()?))
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        Ok(Uuid(self.take_array()?))
    }

    fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let (value, len) = crate::reader::uvarint_of(self.rest())?;
        self.position += len;
        Ok(value)
    }

    fn compact_len(&mut self) -> Result<Option<u32>, DecodeError> {
        crate::reader::compact_len(self.uvarint()?)
    }

    /// Where it stands in the frame.
    pub(crate) const fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn length(&mut self, flex: bool) -> Result<Option<u32>, DecodeError> {
        if flex { self.compact_len() } else { Ok(u32::try_from(self.i32()?).ok()) }
    }

    pub(crate) fn string(&mut self, flex: bool) -> Result<&'a str, DecodeError> {
        self.nullable_string(flex)?.ok_or(DecodeError::UnexpectedNull { what: "string" })
    }

    pub(crate) fn nullable_string(&mut self, flex: bool) -> Result<Option<&'a str>, DecodeError> {
        let len =
            if flex { self.compact_len()? } else { u16::try_from(self.i16()?).ok().map(u32::from) };
        let Some(len) = len else { return Ok(None) };
        let len = usize::try_from(len).map_err(|_| DecodeError::VarintTooLong)?;
        if len > 0x7fff {
            return Err(DecodeError::StringTooLong { len });
        }
        std::str::from_utf8(self.take(len)?).map(Some).map_err(|_| DecodeError::InvalidUtf8)
    }

    /// Where nullable bytes lie in the frame.
    pub(crate) fn nullable_range(
        &mut self,
        flex: bool,
    ) -> Result<Option<Range<usize>>, DecodeError> {
        let Some(len) = self.length(flex)? else { return Ok(None) };
        let len = usize::try_from(len).map_err(|_| DecodeError::VarintTooLong)?;
        let start = self.position;
        self.take(len)?;
        Ok(Some(start..start + len))
    }

    /// The element count of a non-null array; the owned decoder would take `memory` bytes each.
    pub(crate) fn array_len(
        &mut self,
        flex: bool,
        least: usize,
        memory: usize,
    ) -> Result<usize, DecodeError> {
        let len = self.length(flex)?.ok_or(DecodeError::UnexpectedNull { what: "array" })?;
        let count = crate::reader::element_count(len, self.remaining(), least)?;
        self.charge(count.saturating_mul(memory))?;
        Ok(count)
    }

    fn charge(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.budget = self
            .budget
            .checked_sub(bytes)
            .ok_or(DecodeError::TooMuchMemory { input: self.input.len() })?;
        Ok(())
    }

    /// Steps over tagged fields of which none is known.
    pub(crate) fn skip_tags(&mut self, flex: bool) -> Result<(), DecodeError> {
        if !flex {
            return Ok(());
        }
        let mut tags = self.tags()?;
        while self.next_tag(&mut tags)?.is_some() {
            self.skip_tag(&mut tags)?;
        }
        self.end_tags(&tags)
    }

    pub(crate) fn tags(&mut self) -> Result<Tags, DecodeError> {
        let left = self.uvarint()?;
        Ok(Tags { left, tag: 0, start: 0, content: 0, end: 0, unknown: UnknownTags::default() })
    }

    pub(crate) fn next_tag(&mut self, tags: &mut Tags) -> Result<Option<u32>, DecodeError> {
        if tags.left == 0 {
            return Ok(None);
        }
        tags.left -= 1;
        tags.start = self.position;
        tags.tag = self.uvarint()?;
        let size = usize::try_from(self.uvarint()?).map_err(|_| DecodeError::VarintTooLong)?;
        if size > self.remaining() {
            return Err(DecodeError::Truncated { needed: size, remaining: self.remaining() });
        }
        tags.content = self.position;
        tags.end = self.position + size;
        Ok(Some(tags.tag))
    }

    pub(crate) fn skip_tag(&mut self, tags: &mut Tags) -> Result<(), DecodeError> {
        self.position = tags.end;
        let cost = tags.unknown.add(tags.tag, tags.start, tags.end);
        self.charge(cost)
    }

    /// Checks that a known field was as long as it said.
    pub(crate) fn end_tag(&self, tags: &Tags) -> Result<(), DecodeError> {
        if self.position == tags.end {
            return Ok(());
        }
        Err(tag_size(tags.tag, tags.content, tags.end, self.position))
    }

    pub(crate) fn end_tags(&mut self, tags: &Tags) -> Result<(), DecodeError> {
        self.charge(tags.unknown.cost())
    }
}
