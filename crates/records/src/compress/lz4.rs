//! LZ4 frames. Writes what Kafka writes (independent blocks of 64 KiB, no check sums, no content
//! size) and reads what Kafka reads: independent blocks only, the content check sum unread, bytes
//! after the frame ignored. Must not know records.

use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};
use twox_hash::XxHash32;

use super::window::Window;
use crate::error::CodecError;
use crate::header::Compression;

const MAGIC: u32 = 0x184d_2204;
/// Version 1, independent blocks.
const FLAGS: u8 = 0x60;
/// Blocks of 64 KiB.
const BLOCK_DESCRIPTOR: u8 = 0x40;
const BLOCK: usize = 64 * 1024;
const UNCOMPRESSED: u32 = 0x8000_0000;
/// No byte of the format gives more than 255.
const MOST_GROWTH: usize = 255;

const fn damaged(what: &'static str) -> CodecError {
    CodecError::Damaged { codec: Compression::Lz4, what }
}

const CUT: CodecError = damaged("it is cut off");

pub(super) struct Decoder<'s> {
    input: &'s [u8],
    block_checksum: bool,
    content_checksum: bool,
    max_block: usize,
    ended: bool,
}

fn header_checksum(descriptor: &[u8]) -> u8 {
    let [.., byte, _] = XxHash32::oneshot(0, descriptor).to_be_bytes();
    byte
}

impl<'s> Decoder<'s> {
    pub(super) fn new(input: &'s [u8]) -> Result<Self, CodecError> {
        let (magic, frame) = input.split_first_chunk::<4>().ok_or(CUT)?;
        if u32::from_le_bytes(*magic) != MAGIC {
            return Err(damaged("no LZ4 frame"));
        }
        let [flags, block, ..] = *frame else { return Err(CUT) };
        if flags & 0xc3 != 0x40 || block & 0x8f != 0 || block < 0x40 {
            return Err(damaged("its frame descriptor is none of version 1"));
        }
        if flags & 0x20 == 0 {
            return Err(damaged("its blocks depend on each other, which Kafka does not read"));
        }
        let descriptor_len = if flags & 0x08 == 0 { 2 } else { 10 };
        let (descriptor, rest) = frame.split_at_checked(descriptor_len).ok_or(CUT)?;
        let (checksum, rest) = rest.split_first().ok_or(CUT)?;
        if *checksum != header_checksum(descriptor) {
            return Err(damaged("its frame descriptor's check sum is wrong"));
        }
        Ok(Self {
            input: rest,
            block_checksum: flags & 0x10 != 0,
            content_checksum: flags & 0x04 != 0,
            max_block: 1 << (8 + 2 * (block >> 4)),
            ended: false,
        })
    }

    pub(super) fn fill(&mut self, window: &mut Window) -> Result<usize, CodecError> {
        loop {
            if self.ended {
                return Ok(0);
            }
            let (word, rest) = self.input.split_first_chunk::<4>().ok_or(CUT)?;
            let word = u32::from_le_bytes(*word);
            let len = usize::try_from(word & !UNCOMPRESSED).unwrap_or(usize::MAX);
            if len == 0 {
                self.ended = true;
                if self.content_checksum && rest.len() < 4 {
                    return Err(CUT);
                }
                return Ok(0);
            }
            if len > self.max_block {
                return Err(damaged("a block is longer than the frame allows"));
            }
            let (block, mut rest) = rest.split_at_checked(len).ok_or(CUT)?;
            if self.block_checksum {
                let (stored, after) = rest.split_first_chunk::<4>().ok_or(CUT)?;
                if u32::from_le_bytes(*stored) != XxHash32::oneshot(0, block) {
                    return Err(damaged("a block's check sum is wrong"));
                }
                rest = after;
            }
            self.input = rest;
            let given = if word & UNCOMPRESSED == 0 {
                let room = self.max_block.min(len * MOST_GROWTH);
                let given = decompress_into(block, window.spare(room))
                    .map_err(|_| damaged("a block cannot be read"))?;
                window.commit(given);
                given
            } else {
                window.append(block);
                len
            };
            if given > 0 {
                return Ok(given);
            }
        }
    }
}

pub(crate) struct Encoder {
    pending: Vec<u8>,
}

impl Encoder {
    pub(super) fn new(out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&[FLAGS, BLOCK_DESCRIPTOR]);
        out.push(header_checksum(&[FLAGS, BLOCK_DESCRIPTOR]));
        Self { pending: Vec::new() }
    }

    pub(super) fn write(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.pending.extend_from_slice(input);
        let whole = self.pending.len() - self.pending.len() % BLOCK;
        for block in self.pending.get(..whole).unwrap_or_default().chunks(BLOCK) {
            put_block(block, out)?;
        }
        self.pending.drain(..whole);
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        if !self.pending.is_empty() {
            put_block(&self.pending, out)?;
        }
        self.pending.clear();
        out.extend_from_slice(&0_u32.to_le_bytes());
        Ok(())
    }
}

fn put_block(block: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    let unavailable = CodecError::Unavailable { codec: Compression::Lz4 };
    let at = out.len();
    out.resize(at + 4 + get_maximum_output_size(block.len()), 0);
    let Some((word, room)) = out.get_mut(at..).and_then(<[u8]>::split_first_chunk_mut::<4>) else {
        return Err(unavailable);
    };
    let len = compress_into(block, room).map_err(|_| unavailable)?;
    if len < block.len() {
        *word = u32::try_from(len).unwrap_or(0).to_le_bytes();
        out.truncate(at + 4 + len);
    } else {
        *word = (u32::try_from(block.len()).unwrap_or(0) | UNCOMPRESSED).to_le_bytes();
        out.truncate(at + 4);
        out.extend_from_slice(block);
    }
    Ok(())
}
