//! Snappy blocks in the framing of snappy-java ("xerial"): a 16-byte head, then blocks with a
//! 4-byte length each. Also reads one bare block, and streams put one after the other. Must not
//! know records.

use super::window::Window;
use crate::error::CodecError;
use crate::header::Compression;

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const HEAD_LEN: usize = 16;
/// Uncompressed bytes of a block that is written, as snappy-java's default.
const BLOCK: usize = 32 * 1024;
/// No element of the format gives more than 64 bytes for 3.
const MOST_GROWTH: usize = 22;

const fn damaged(what: &'static str) -> CodecError {
    CodecError::Damaged { codec: Compression::Snappy, what }
}

pub(super) struct Decoder<'s> {
    input: &'s [u8],
    framed: bool,
}

impl<'s> Decoder<'s> {
    pub(super) fn new(input: &'s [u8]) -> Result<Self, CodecError> {
        if input.is_empty() {
            return Err(damaged("it is empty"));
        }
        // The first head's version is not looked at, as snappy-java does not.
        match split_head(input) {
            Some((_, blocks)) => Ok(Self { input: blocks, framed: true }),
            None => Ok(Self { input, framed: false }),
        }
    }

    /// `None` when the next block has more than `room` bytes.
    pub(super) fn fill(
        &mut self,
        window: &mut Window,
        room: usize,
    ) -> Result<Option<usize>, CodecError> {
        loop {
            let Some(block) = self.next_block()? else { return Ok(Some(0)) };
            let given = decompress(block, window, room)?;
            if given != Some(0) {
                return Ok(given);
            }
        }
    }

    fn next_block(&mut self) -> Result<Option<&'s [u8]>, CodecError> {
        if !self.framed {
            let block = std::mem::take(&mut self.input);
            return Ok((!block.is_empty()).then_some(block));
        }
        loop {
            // One to three stray bytes are the end, as snappy-java sees it.
            let Some((len, rest)) = self.input.split_first_chunk::<4>() else { return Ok(None) };
            if MAGIC.starts_with(len) {
                if self.input.len() < HEAD_LEN {
                    return Err(damaged("a second stream's head is cut off"));
                }
                let Some((version, blocks)) = split_head(self.input) else { return Ok(None) };
                if version < 1 {
                    return Err(damaged("a second stream's version is below 1"));
                }
                self.input = blocks;
                continue;
            }
            let len = usize::try_from(i32::from_be_bytes(*len))
                .map_err(|_| damaged("a block's length is negative"))?;
            let (block, rest) = rest.split_at_checked(len).ok_or(damaged("it is cut off"))?;
            self.input = rest;
            return Ok(Some(block));
        }
    }
}

/// Version and what follows the head; `None` when there is no head.
fn split_head(input: &[u8]) -> Option<(i32, &[u8])> {
    let (head, rest) = input.split_first_chunk::<HEAD_LEN>()?;
    let version = head.strip_prefix(&MAGIC)?.first_chunk()?;
    Some((i32::from_be_bytes(*version), rest))
}

fn decompress(block: &[u8], window: &mut Window, room: usize) -> Result<Option<usize>, CodecError> {
    let len = snap::raw::decompress_len(block).map_err(|_| damaged("a block has no length"))?;
    if len > block.len().saturating_mul(MOST_GROWTH) {
        return Err(damaged("a block claims more bytes than it can give"));
    }
    if len > room {
        return Ok(None);
    }
    let given = snap::raw::Decoder::new()
        .decompress(block, window.spare(len))
        .map_err(|_| damaged("a block cannot be read"))?;
    window.commit(given);
    Ok(Some(given))
}

pub(crate) struct Encoder {
    codec: snap::raw::Encoder,
    pending: Vec<u8>,
}

impl Encoder {
    pub(super) fn new(out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&1_i32.to_be_bytes());
        out.extend_from_slice(&1_i32.to_be_bytes());
        Self { codec: snap::raw::Encoder::new(), pending: Vec::new() }
    }

    pub(super) fn write(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.pending.extend_from_slice(input);
        let whole = self.pending.len() - self.pending.len() % BLOCK;
        for block in self.pending.get(..whole).unwrap_or_default().chunks(BLOCK) {
            put_block(&mut self.codec, block, out)?;
        }
        self.pending.drain(..whole);
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        if !self.pending.is_empty() {
            put_block(&mut self.codec, &self.pending, out)?;
        }
        self.pending.clear();
        Ok(())
    }
}

fn put_block(
    codec: &mut snap::raw::Encoder,
    block: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let unavailable = CodecError::Unavailable { codec: Compression::Snappy };
    let at = out.len();
    out.resize(at + 4 + snap::raw::max_compress_len(block.len()), 0);
    let Some((len_field, room)) = out.get_mut(at..).and_then(<[u8]>::split_first_chunk_mut::<4>)
    else {
        return Err(unavailable);
    };
    let len = codec.compress(block, room).map_err(|_| unavailable)?;
    *len_field = u32::try_from(len).unwrap_or(0).to_be_bytes();
    out.truncate(at + 4 + len);
    Ok(())
}
