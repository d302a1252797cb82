//! Tagged fields (KIP-482): the unknown ones, kept as they came. Knows no message's own tags.

use crate::len;
use crate::{DecodeError, EncodeError, Reader, Writer};
use bytes::{Bytes, BytesMut};
use std::fmt;

/// Tagged fields that a schema does not know, kept byte for byte so that they can be passed on.
/// Empty, it allocates nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TaggedFields(Option<Box<Raw>>);

#[derive(Clone, PartialEq, Eq)]
struct Raw {
    count: u32,
    /// Tag, size, content; again and again; tags rise.
    bytes: Bytes,
}

/// What one non-empty value holds outside the input.
const RAW_COST: usize = std::mem::size_of::<Raw>() + 16;

impl TaggedFields {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// Fields from tags and contents; later ones replace earlier ones of the same tag.
    ///
    /// # Errors
    /// When a content is 2³¹ bytes or longer.
    pub fn from_fields(
        fields: impl IntoIterator<Item = (u32, Bytes)>,
    ) -> Result<Self, EncodeError> {
        let sorted = fields.into_iter().collect::<std::collections::BTreeMap<_, _>>();
        let mut w = Writer::new();
        let mut count = 0_u32;
        for (tag, content) in &sorted {
            w.uvarint(*tag);
            w.uvarint(crate::writer::checked_len(content.len())?);
            w.raw(content);
            count = count.saturating_add(1);
        }
        Ok(Self::from_raw(count, w.finish().to_bytes()))
    }

    fn from_raw(count: u32, bytes: Bytes) -> Self {
        if count == 0 { Self(None) } else { Self(Some(Box::new(Raw { count, bytes }))) }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.as_ref().map_or(0, |r| r.count)
    }

    /// Tag and content of each, tags rising.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Bytes)> {
        let mut r = Reader::new(self.0.as_ref().map_or_else(Bytes::new, |r| r.bytes.clone()));
        std::iter::from_fn(move || {
            let tag = r.uvarint().ok()?;
            let size = r.uvarint().ok()?;
            Some((tag, r.take(usize::try_from(size).ok()?).ok()?))
        })
    }

    pub(crate) fn raw(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |r| &r.bytes)
    }

    pub(crate) fn encoded_len(&self) -> usize {
        len::tags(self.count(), self)
    }
}

impl fmt::Debug for TaggedFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The reading of one struct's tagged fields.
pub(crate) struct ReadTags {
    left: u32,
    tag: u32,
    /// Where the current field begins (at its tag), its content, and its end.
    start: usize,
    content: usize,
    end: usize,
    kept: Kept,
}

/// The unknown fields so far: one region of the input while they follow each other, else a copy.
enum Kept {
    None,
    Region { start: usize, end: usize, count: u32, last: u32 },
    Copy { bytes: BytesMut, count: u32, last: u32, rising: bool },
}

impl Reader {
    /// Skips over tagged fields of which none is known, keeping them. `flex` false: reads nothing.
    pub(crate) fn tagged_fields(&mut self, flex: bool) -> Result<TaggedFields, DecodeError> {
        if !flex || self.skip_zero() {
            return Ok(TaggedFields::new());
        }
        let mut tags = self.tags()?;
        while self.next_tag(&mut tags)?.is_some() {
            self.keep_tag(&mut tags)?;
        }
        self.kept_tags(tags)
    }

    pub(crate) fn tags(&mut self) -> Result<ReadTags, DecodeError> {
        let left = self.uvarint()?;
        Ok(ReadTags { left, tag: 0, start: 0, content: 0, end: 0, kept: Kept::None })
    }

    /// The next tag, with the reader at its content.
    pub(crate) fn next_tag(&mut self, tags: &mut ReadTags) -> Result<Option<u32>, DecodeError> {
        if tags.left == 0 {
            return Ok(None);
        }
        tags.left -= 1;
        tags.start = self.position();
        tags.tag = self.uvarint()?;
        let size = self.uvarint()?;
        let size = usize::try_from(size).map_err(|_| DecodeError::VarintTooLong)?;
        self.need(size)?;
        tags.content = self.position();
        tags.end = tags.content + size;
        Ok(Some(tags.tag))
    }

    /// Keeps the current field as it is.
    pub(crate) fn keep_tag(&mut self, tags: &mut ReadTags) -> Result<(), DecodeError> {
        self.skip(tags.end - self.position())?;
        let (start, end, tag) = (tags.start, tags.end, tags.tag);
        match &mut tags.kept {
            Kept::None => tags.kept = Kept::Region { start, end, count: 1, last: tag },
            Kept::Region { end: last_end, count, last, .. }
                if *last_end == start && *last < tag =>
            {
                *last_end = end;
                *count += 1;
                *last = tag;
            }
            Kept::Region { start: s, end: e, count, last } => {
                // Known fields lie between, or the tags do not rise: this copy is charged with
                // what it can become at most, so that it never grows.
                let most = *e - *s + (end - start) + self.remaining();
                self.charge(most)?;
                let mut bytes = BytesMut::with_capacity(most);
                bytes.extend_from_slice(self.region(*s, *e));
                bytes.extend_from_slice(self.region(start, end));
                let rising = *last < tag;
                tags.kept = Kept::Copy { bytes, count: *count + 1, last: tag, rising };
            }
            Kept::Copy { bytes, count, last, rising } => {
                bytes.extend_from_slice(self.region(start, end));
                *count += 1;
                *rising &= *last < tag;
                *last = tag;
            }
        }
        Ok(())
    }

    /// Checks that the current field was as long as it said.
    pub(crate) fn end_tag(&mut self, tags: &ReadTags) -> Result<(), DecodeError> {
        if self.position() == tags.end {
            return Ok(());
        }
        Err(DecodeError::TagSize {
            tag: tags.tag,
            announced: tags.end - tags.content,
            actual: self.position() - tags.content,
        })
    }

    pub(crate) fn kept_tags(&mut self, tags: ReadTags) -> Result<TaggedFields, DecodeError> {
        match tags.kept {
            Kept::None => Ok(TaggedFields::new()),
            Kept::Region { start, end, count, .. } => {
                self.charge(RAW_COST)?;
                Ok(TaggedFields::from_raw(count, self.shared(start, end)))
            }
            Kept::Copy { bytes, count, rising, .. } => {
                self.charge(RAW_COST)?;
                let raw = TaggedFields::from_raw(count, bytes.freeze());
                if rising {
                    return Ok(raw);
                }
                // 64 bytes a field: an entry of the sorted map, and its share of the nodes.
                self.charge(usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(96))?;
                self.charge(raw.raw().len())?;
                TaggedFields::from_fields(raw.iter())
                    .map_err(|_| DecodeError::TooMuchMemory { input: self.input_len() })
            }
        }
    }
}

/// The writing of one struct's tagged fields: known ones go between unknown ones by tag.
pub(crate) struct WriteTags<'a> {
    /// Fields in all; the caller adds those it writes itself.
    pub(crate) count: u32,
    rest: &'a [u8],
}

impl Writer {
    /// Writes unknown tagged fields where no other exists.
    pub(crate) fn tagged_fields(
        &mut self,
        fields: &TaggedFields,
        flex: bool,
        version: i16,
    ) -> Result<(), EncodeError> {
        if flex {
            self.uvarint(fields.count());
            self.raw(fields.raw());
            Ok(())
        } else if fields.is_empty() {
            Ok(())
        } else {
            Err(EncodeError::tags(version))
        }
    }

    pub(crate) fn tags<'a>(&self, fields: &'a TaggedFields) -> WriteTags<'a> {
        WriteTags { count: fields.count(), rest: fields.raw() }
    }

    pub(crate) fn tag_count(&mut self, tags: &WriteTags<'_>) {
        self.uvarint(tags.count);
    }

    /// Writes the unknown fields below `tag`, then the head of the known one.
    pub(crate) fn tag(
        &mut self,
        tags: &mut WriteTags<'_>,
        tag: u32,
        size: usize,
    ) -> Result<(), EncodeError> {
        while let Some((next, len)) = first_field(tags.rest) {
            if next == tag {
                return Err(EncodeError::DuplicateTag { tag });
            }
            if next > tag {
                break;
            }
            let (field, rest) = tags.rest.split_at_checked(len).unwrap_or((tags.rest, &[]));
            self.raw(field);
            tags.rest = rest;
        }
        self.uvarint(tag);
        self.uvarint(crate::writer::checked_len(size)?);
        Ok(())
    }

    pub(crate) fn last_tags(&mut self, tags: WriteTags<'_>) {
        self.raw(tags.rest);
    }
}

/// Tag and whole length of the first field of `raw`.
fn first_field(raw: &[u8]) -> Option<(u32, usize)> {
    let (tag, tag_len) = crate::reader::uvarint_of(raw).ok()?;
    let (size, size_len) = crate::reader::uvarint_of(raw.get(tag_len..)?).ok()?;
    Some((tag, tag_len + size_len + usize::try_from(size).ok()?))
}
