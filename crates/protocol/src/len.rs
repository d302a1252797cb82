//! Encoded lengths of fields, used by the generated code. Must agree with `Writer` byte for byte.

use crate::{Records, StrBytes, TaggedFields};
use bytes::Bytes;

/// Bytes of an unsigned variable-length integer.
pub(crate) const fn uvarint(value: u32) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        0x20_0000..0x1000_0000 => 4,
        _ => 5,
    }
}

/// Bytes of `len + 1` as a variable-length integer; a length over 32 bits is refused by `Writer`.
fn compact(len: usize) -> usize {
    uvarint(u32::try_from(len).unwrap_or(u32::MAX).saturating_add(1))
}

fn prefixed(len: Option<usize>, flex: bool, fixed: usize) -> usize {
    match len {
        None if flex => 1,
        None => fixed,
        Some(len) if flex => compact(len) + len,
        Some(len) => fixed + len,
    }
}

pub(crate) fn string(text: Option<&StrBytes>, flex: bool) -> usize {
    prefixed(text.map(|t| t.len()), flex, 2)
}

pub(crate) fn bytes(bytes: Option<&Bytes>, flex: bool) -> usize {
    prefixed(bytes.map(Bytes::len), flex, 4)
}

pub(crate) fn records(records: Option<&Records>, flex: bool) -> usize {
    prefixed(records.map(Records::len), flex, 4)
}

fn array_head<T>(array: Option<&[T]>, flex: bool) -> usize {
    match array {
        _ if !flex => 4,
        None => 1,
        Some(array) => compact(array.len()),
    }
}

/// An array whose elements are `width` bytes each.
pub(crate) fn fixed_array<T>(array: Option<&[T]>, width: usize, flex: bool) -> usize {
    array_head(array, flex) + array.map_or(0, |a| a.len() * width)
}

pub(crate) fn string_array(array: Option<&[StrBytes]>, flex: bool) -> usize {
    let content = array.unwrap_or_default().iter().map(|t| string(Some(t), flex)).sum::<usize>();
    array_head(array, flex) + content
}

pub(crate) fn array<T>(
    array: Option<&[T]>,
    flex: bool,
    version: i16,
    len: fn(&T, i16) -> usize,
) -> usize {
    let content = array.unwrap_or_default().iter().map(|e| len(e, version)).sum::<usize>();
    array_head(array, flex) + content
}

/// A tagged field: tag, size and content.
pub(crate) fn tag(tag: u32, content: usize) -> usize {
    uvarint(tag) + uvarint(u32::try_from(content).unwrap_or(u32::MAX)) + content
}

/// The count of all tagged fields, and the unknown ones.
pub(crate) fn tags(count: u32, unknown: &TaggedFields) -> usize {
    uvarint(count) + unknown.raw().len()
}
