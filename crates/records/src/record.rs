//! One record (and its headers) in the bytes of a batch: borrowed reading, and writing. Must not
//! know compression or validation rules.

use ottla_protocol::{Millis, Offset};

use crate::error::RecordError;
use crate::varint;

/// A header of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordHeader<'a> {
    /// The key; UTF-8 by convention, not checked. Keys may repeat.
    pub key: &'a [u8],
    /// The value, or null.
    pub value: Option<&'a [u8]>,
}

/// A record, borrowed from the bytes of its batch (or from the decompressed bytes).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// Offset minus the batch's base offset.
    pub offset_delta: i32,
    /// Absolute offset.
    pub offset: Offset,
    /// The record's timestamp: the producer's, or the batch's append time.
    pub timestamp: Millis,
    /// The key, or null.
    pub key: Option<&'a [u8]>,
    /// The value, or null (a tombstone).
    pub value: Option<&'a [u8]>,
    /// Headers, in their order.
    pub headers: Headers<'a>,
    /// Bytes of the record as it stands, its length field included.
    pub size: usize,
}

/// The headers of a record; checked when the record was read, decoded when asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Headers<'a> {
    count: i32,
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Number of headers.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.count).unwrap_or(0)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The headers, in their order.
    #[must_use]
    pub const fn iter(&self) -> HeadersIter<'a> {
        HeadersIter { left: self.count, bytes: self.bytes }
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = RecordHeader<'a>;
    type IntoIter = HeadersIter<'a>;

    fn into_iter(self) -> HeadersIter<'a> {
        self.iter()
    }
}

/// Iterator of [`Headers`].
#[derive(Clone, Debug)]
pub struct HeadersIter<'a> {
    left: i32,
    bytes: &'a [u8],
}

impl<'a> Iterator for HeadersIter<'a> {
    type Item = RecordHeader<'a>;

    fn next(&mut self) -> Option<RecordHeader<'a>> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        // The bytes were walked when the record was read: errors cannot come up here.
        read_header(&mut self.bytes).ok()
    }
}

/// The fields of a record whose body has been walked.
pub(crate) struct Body<'a> {
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Headers<'a>,
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Result<&'a [u8], RecordError> {
    let (head, tail) = bytes.split_at_checked(len).ok_or(RecordError::Cut)?;
    *bytes = tail;
    Ok(head)
}

/// A length-prefixed field; any negative length is null, as Kafka reads it.
fn read_nullable<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordError> {
    match usize::try_from(varint::read_i32(bytes)?) {
        Ok(len) => take(bytes, len).map(Some),
        Err(_) => Ok(None),
    }
}

fn read_header<'a>(bytes: &mut &'a [u8]) -> Result<RecordHeader<'a>, RecordError> {
    let key = read_nullable(bytes)?.ok_or(RecordError::HeaderKey)?;
    Ok(RecordHeader { key, value: read_nullable(bytes)? })
}

/// Walks a record's body: everything after its length field, and nothing else.
#[inline(always)]
pub(crate) fn read_body(bytes: &[u8]) -> Result<Body<'_>, RecordError> {
    match read_common_body(bytes) {
        Some(body) => Ok(body),
        None => read_any_body(bytes),
    }
}

/// A sound body with small numbers, as nearly all are: no errors to tell apart, so that the walk
/// stays in registers. `None` says nothing.
#[inline(always)]
fn read_common_body(bytes: &[u8]) -> Option<Body<'_>> {
    let (timestamp_delta, at) = varint::peek(bytes, 1)?;
    let (offset_delta, at) = varint::peek(bytes, at)?;
    let (key, at) = peek_nullable(bytes, at)?;
    let (value, at) = peek_nullable(bytes, at)?;
    let (count, at) = varint::peek(bytes, at)?;
    let headers = Headers { count: i32::try_from(count).ok()?, bytes: bytes.get(at..)? };
    if peek_headers(bytes, count, at)? != bytes.len() {
        return None;
    }
    let offset_delta = i32::try_from(offset_delta).ok()?;
    Some(Body { timestamp_delta, offset_delta, key, value, headers })
}

/// Where `count` headers that begin at `at` end.
#[inline(always)]
fn peek_headers(bytes: &[u8], count: i64, mut at: usize) -> Option<usize> {
    if count < 0 {
        return None;
    }
    for _ in 0..count {
        let (len, after) = varint::peek(bytes, at)?;
        let (len, after) = varint::peek(bytes, after + usize::try_from(len).ok()?)?;
        at = after + usize::try_from(len).unwrap_or(0);
    }
    (at <= bytes.len()).then_some(at)
}

/// What a leader looks at in a record of a compressed batch.
pub(crate) struct Skimmed {
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) has_key: bool,
}

/// Goes over the record that `bytes` begin with: its fields and where they end, which (as in
/// Kafka) may be elsewhere than its length says. `None` when it is not sound and small, longer
/// than `max_len`, or not all there.
#[inline(always)]
pub(crate) fn skim_common(bytes: &[u8], max_len: i32) -> Option<(Skimmed, usize)> {
    let (len, at) = varint::peek(bytes, 0)?;
    if len < 0 || len > i64::from(max_len) {
        return None;
    }
    let (timestamp_delta, at) = varint::peek(bytes, at + 1)?;
    let (offset_delta, at) = varint::peek(bytes, at)?;
    let (key, at) = peek_nullable(bytes, at)?;
    let (_, at) = peek_nullable(bytes, at)?;
    let (count, at) = varint::peek(bytes, at)?;
    let end = peek_headers(bytes, count, at)?;
    let offset_delta = i32::try_from(offset_delta).ok()?;
    Some((Skimmed { timestamp_delta, offset_delta, has_key: key.is_some() }, end))
}

#[inline(always)]
fn peek_nullable(bytes: &[u8], at: usize) -> Option<(Option<&[u8]>, usize)> {
    let (len, at) = varint::peek(bytes, at)?;
    match usize::try_from(len) {
        Ok(len) => {
            let end = at + len;
            Some((Some(bytes.get(at..end)?), end))
        }
        Err(_) => Some((None, at)),
    }
}

fn read_any_body(mut bytes: &[u8]) -> Result<Body<'_>, RecordError> {
    let bytes = &mut bytes;
    take(bytes, 1)?;
    let timestamp_delta = varint::read_i64(bytes)?;
    let offset_delta = varint::read_i32(bytes)?;
    let key = read_nullable(bytes)?;
    let value = read_nullable(bytes)?;
    let count = varint::read_i32(bytes)?;
    if usize::try_from(count).map_or(true, |count| count > bytes.len()) {
        return Err(RecordError::HeaderCount(count));
    }
    let headers = Headers { count, bytes };
    for _ in 0..count {
        read_header(bytes)?;
    }
    if !bytes.is_empty() {
        return Err(RecordError::LengthMismatch);
    }
    Ok(Body { timestamp_delta, offset_delta, key, value, headers })
}

/// Reads a record's length and cuts its body off `bytes`.
#[inline(always)]
pub(crate) fn split_body<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], RecordError> {
    if let Some((len, at)) = varint::peek(bytes, 0)
        && let Ok(len) = usize::try_from(len)
        && let Some((body, rest)) = bytes.get(at..).and_then(|rest| rest.split_at_checked(len))
    {
        *bytes = rest;
        return Ok(body);
    }
    split_any_body(bytes)
}

fn split_any_body<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], RecordError> {
    let length = varint::read_i32(bytes)
        .map_err(|e| if e == RecordError::Varint { RecordError::LengthVarint } else { e })?;
    let len = usize::try_from(length).map_err(|_| RecordError::NegativeLength(length))?;
    take(bytes, len)
}

/// A record's content, to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content<'a, H> {
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: H,
    pub(crate) header_count: usize,
}

fn len_nullable(field: Option<&[u8]>) -> usize {
    field.map_or(1, |bytes| varint::len_i64(as_i64(bytes.len())) + bytes.len())
}

fn as_i64(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

impl<'h, H: Iterator<Item = RecordHeader<'h>> + Clone> Content<'_, H> {
    /// Bytes of the body, the record's length field excluded.
    pub(crate) fn body_len(&self) -> usize {
        let headers: usize =
            self.headers.clone().map(|h| len_nullable(Some(h.key)) + len_nullable(h.value)).sum();
        1 + varint::len_i64(self.timestamp_delta)
            + varint::len_i64(i64::from(self.offset_delta))
            + len_nullable(self.key)
            + len_nullable(self.value)
            + varint::len_i64(as_i64(self.header_count))
            + headers
    }

    /// Appends the record to `out`; `body_len` is [`Content::body_len`].
    pub(crate) fn write(&self, body_len: usize, out: &mut Vec<u8>) {
        varint::put_i64(out, as_i64(body_len));
        out.push(0);
        varint::put_i64(out, self.timestamp_delta);
        varint::put_i32(out, self.offset_delta);
        put_nullable(out, self.key);
        put_nullable(out, self.value);
        varint::put_i64(out, as_i64(self.header_count));
        for header in self.headers.clone() {
            put_nullable(out, Some(header.key));
            put_nullable(out, header.value);
        }
    }
}

fn put_nullable(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        Some(bytes) => {
            varint::put_i64(out, as_i64(bytes.len()));
            out.extend_from_slice(bytes);
        }
        None => varint::put_i32(out, -1),
    }
}
