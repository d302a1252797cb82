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

/// Where the unknown fields of one struct lie, as far as they were met. Also says what keeping
/// them costs, so that the borrowed views judge an input as the owned decoders do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UnknownTags {
    start: usize,
    end: usize,
    count: u32,
    last: u32,
    bytes: usize,
    /// They are not one region of rising tags: known fields lie between, or tags fall.
    apart: bool,
}

/// What one field costs in the list that puts scattered fields in order.
const ENTRY_COST: usize = 2 * std::mem::size_of::<Entry>();

impl UnknownTags {
    /// Takes in the field of `tag` at `start..end`; returns the memory that takes.
    pub(crate) fn add(&mut self, tag: u32, start: usize, end: usize) -> usize {
        let joins = self.count == 0 || (self.end == start && self.last < tag);
        if self.count == 0 {
            self.start = start;
        }
        let already = usize::try_from(self.count).unwrap_or(usize::MAX);
        self.end = end;
        self.last = tag;
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(end - start);
        match (self.apart, joins) {
            (false, true) => 0,
            (true, _) => ENTRY_COST,
            (false, false) => {
                self.apart = true;
                already.saturating_add(1).saturating_mul(ENTRY_COST)
            }
        }
    }

    /// The memory that what was taken in needs in the end.
    pub(crate) const fn cost(&self) -> usize {
        match (self.count, self.apart) {
            (0, _) => 0,
            (_, false) => RAW_COST,
            (_, true) => RAW_COST.saturating_add(self.bytes),
        }
    }
}

/// A field among scattered ones: tag, and where it lies in the input.
struct Entry {
    tag: u32,
    start: usize,
    end: usize,
}

/// The reading of one struct's tagged fields.
pub(crate) struct ReadTags {
    left: u32,
    tag: u32,
    /// Where the current field begins (at its tag), its content, and its end.
    start: usize,
    content: usize,
    end: usize,
    unknown: UnknownTags,
    /// The unknown fields one by one, once they lie apart.
    entries: Vec<Entry>,
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
        Ok(ReadTags {
            left: self.uvarint()?,
            tag: 0,
            start: 0,
            content: 0,
            end: 0,
            unknown: UnknownTags::default(),
            entries: Vec::new(),
        })
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
        let (was_apart, before) = (tags.unknown.apart, tags.unknown);
        let cost = tags.unknown.add(tags.tag, tags.start, tags.end);
        self.charge(cost)?;
        if tags.unknown.apart && !was_apart {
            tags.entries = entries(self.region(before.start, before.end), before.start);
        }
        if tags.unknown.apart {
            tags.entries.push(Entry { tag: tags.tag, start: tags.start, end: tags.end });
        }
        Ok(())
    }

    /// Checks that the current field was as long as it said.
    pub(crate) fn end_tag(&mut self, tags: &ReadTags) -> Result<(), DecodeError> {
        if self.position() == tags.end {
            return Ok(());
        }
        Err(tag_size(tags.tag, tags.content, tags.end, self.position()))
    }

    /// The unknown fields, tags rising; of two with the same tag the later one.
    pub(crate) fn kept_tags(&mut self, tags: ReadTags) -> Result<TaggedFields, DecodeError> {
        let unknown = tags.unknown;
        if unknown.count == 0 {
            return Ok(TaggedFields::new());
        }
        self.charge(unknown.cost())?;
        if !unknown.apart {
            let region = self.shared(unknown.start, unknown.end);
            return Ok(TaggedFields::from_raw(unknown.count, region));
        }
        let mut entries = tags.entries;
        entries.sort_unstable_by_key(|e| (e.tag, std::cmp::Reverse(e.start)));
        entries.dedup_by_key(|e| e.tag);
        let mut bytes = BytesMut::with_capacity(unknown.bytes);
        for entry in &entries {
            bytes.extend_from_slice(self.region(entry.start, entry.end));
        }
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        Ok(TaggedFields::from_raw(count, bytes.freeze()))
    }
}

/// Cuts a region of whole fields that begins at `start` into its fields.
fn entries(region: &[u8], start: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut at = 0;
    while let Some((tag, len)) = region.get(at..).and_then(first_field) {
        entries.push(Entry { tag, start: start + at, end: start + at + len });
        at += len;
    }
    entries
}

/// A field's content at `content..end` whose decoding ended at `position`.
pub(crate) const fn tag_size(tag: u32, content: usize, end: usize, position: usize) -> DecodeError {
    DecodeError::TagSize { tag, announced: end - content, actual: position - content }
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
