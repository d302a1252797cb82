//! gzip (RFC 1952). Reads concatenated members and ignores what follows them and is none, as
//! Java's stream does. Must not know records.

use crc_fast::{CrcAlgorithm, Digest};
use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

use super::window::Window;
use crate::error::CodecError;
use crate::header::Compression;

/// The inflater and its check sum, kept between batches.
#[derive(Default)]
pub(super) struct Inflate(Option<Kept>);

struct Kept {
    inflate: Decompress,
    crc: Digest,
}

const fn damaged(what: &'static str) -> CodecError {
    CodecError::Damaged { codec: Compression::Gzip, what }
}

enum State {
    Start,
    Body,
    Trailer,
    End,
}

pub(super) struct Decoder<'s> {
    input: &'s [u8],
    kept: &'s mut Kept,
    len: u32,
    state: State,
}

impl<'s> Decoder<'s> {
    pub(super) fn new(input: &'s [u8], kept: &'s mut Inflate) -> Self {
        let new = || Kept { inflate: Decompress::new(false), crc: new_crc() };
        let kept = kept.0.get_or_insert_with(new);
        Self { input, kept, len: 0, state: State::Start }
    }

    pub(super) fn fill(&mut self, window: &mut Window, room: usize) -> Result<usize, CodecError> {
        loop {
            match self.state {
                State::Start => {
                    let body = skip_header(self.input).ok_or(damaged("no gzip header"))?;
                    self.begin_member(body);
                }
                State::Body => {
                    let appended = self.inflate(window, room)?;
                    if appended > 0 {
                        return Ok(appended);
                    }
                }
                // Only when more is asked for, as Java does: a record that is broken comes first.
                State::Trailer => self.end_member()?,
                State::End => return Ok(0),
            }
        }
    }

    fn begin_member(&mut self, body: &'s [u8]) {
        self.input = body;
        self.kept.inflate.reset(false);
        self.kept.crc.reset();
        self.len = 0;
        self.state = State::Body;
    }

    fn inflate(&mut self, window: &mut Window, room: usize) -> Result<usize, CodecError> {
        let (was_in, was_out) = (self.kept.inflate.total_in(), self.kept.inflate.total_out());
        let out = window.spare(room);
        let status = self
            .kept
            .inflate
            .decompress(self.input, out, FlushDecompress::None)
            .map_err(|_| damaged("no deflate stream"))?;
        let eaten = usize::try_from(self.kept.inflate.total_in() - was_in).unwrap_or(0);
        let given = usize::try_from(self.kept.inflate.total_out() - was_out).unwrap_or(0);
        self.kept.crc.update(out.get(..given).unwrap_or_default());
        self.len = self.len.wrapping_add(u32::try_from(given).unwrap_or(0));
        window.commit(given);
        self.input = self.input.get(eaten..).unwrap_or_default();
        match status {
            Status::StreamEnd => self.state = State::Trailer,
            Status::Ok | Status::BufError if eaten == 0 && given == 0 => {
                return Err(damaged("it is cut off"));
            }
            Status::Ok | Status::BufError => {}
        }
        Ok(given)
    }

    fn end_member(&mut self) -> Result<(), CodecError> {
        let Some((trailer, rest)) = self.input.split_first_chunk::<8>() else {
            return Err(damaged("it is cut off"));
        };
        let [crc, len] = [trailer.first_chunk::<4>(), trailer.last_chunk::<4>()]
            .map(|b| b.map_or(0, |b| u32::from_le_bytes(*b)));
        if u64::from(crc) != self.kept.crc.finalize() || len != self.len {
            return Err(damaged("its check sum or length is wrong"));
        }
        match skip_header(rest) {
            Some(body) => self.begin_member(body),
            None => self.state = State::End,
        }
        Ok(())
    }
}

fn new_crc() -> Digest {
    Digest::new(CrcAlgorithm::Crc32IsoHdlc)
}

/// What follows a member's header; `None` when there is no whole header.
fn skip_header(input: &[u8]) -> Option<&[u8]> {
    let (head, mut rest) = input.split_first_chunk::<10>()?;
    let [0x1f, 0x8b, 8, flags, ..] = *head else { return None };
    if flags & 0x04 != 0 {
        let (len, after) = rest.split_first_chunk::<2>()?;
        rest = after.get(usize::from(u16::from_le_bytes(*len))..)?;
    }
    for text in [0x08, 0x10] {
        if flags & text != 0 {
            let end = rest.iter().position(|b| *b == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & 0x02 != 0 {
        let (stored, after) = rest.split_first_chunk::<2>()?;
        let covered = input.get(..input.len() - rest.len())?;
        if u64::from(u16::from_le_bytes(*stored)) != crc32(covered) & 0xffff {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

fn crc32(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc32IsoHdlc, bytes)
}

/// Writes one member.
pub(crate) struct Encoder {
    deflate: Compress,
    crc: Digest,
    len: u32,
}

impl Encoder {
    pub(super) fn new(level: Option<i32>, out: &mut Vec<u8>) -> Self {
        // No name, no time, unknown operating system: as Java's stream writes it.
        out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
        let level = level
            .and_then(|level| u32::try_from(level).ok())
            .filter(|level| (1..=9).contains(level))
            .map_or_else(flate2::Compression::default, flate2::Compression::new);
        Self { deflate: Compress::new(level, false), crc: new_crc(), len: 0 }
    }

    pub(super) fn write(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.crc.update(input);
        // The format counts modulo 2³².
        self.len = self.len.wrapping_add((input.len() & 0xffff_ffff).try_into().unwrap_or(0));
        while !input.is_empty() {
            let eaten = self.run(input, out, FlushCompress::None)?.1;
            input = input.get(eaten..).unwrap_or_default();
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        while self.run(&[], out, FlushCompress::Finish)?.0 != Status::StreamEnd {}
        let crc = u32::try_from(self.crc.finalize()).unwrap_or(0);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
        Ok(())
    }

    fn run(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        flush: FlushCompress,
    ) -> Result<(Status, usize), CodecError> {
        out.reserve(1024 + input.len() / 2);
        let was_in = self.deflate.total_in();
        let status = self
            .deflate
            .compress_vec(input, out, flush)
            .map_err(|_| CodecError::Unavailable { codec: Compression::Gzip })?;
        Ok((status, usize::try_from(self.deflate.total_in() - was_in).unwrap_or(0)))
    }
}
