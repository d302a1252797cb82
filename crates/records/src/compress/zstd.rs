//! Zstandard (RFC 8878), any number of frames. Must not know records.

use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, InBuffer, OutBuffer, ResetDirective, zstd_sys::ZSTD_EndDirective,
};

use super::window::Window;
use crate::error::CodecError;
use crate::header::Compression;

/// Kafka's `compression.zstd.level` unless set.
const DEFAULT_LEVEL: i32 = 3;
/// A kept context is dropped when a batch made it grow beyond this. A frame may declare a window
/// of up to 128 MiB (the format's level 22 does, for any content); the library reserves it
/// without touching it.
const KEPT: usize = 16 * 1024 * 1024;

/// The context that is kept between batches.
#[derive(Default)]
pub(super) struct Context(Option<DCtx<'static>>);

const fn damaged(what: &'static str) -> CodecError {
    CodecError::Damaged { codec: Compression::Zstd, what }
}

const UNAVAILABLE: CodecError = CodecError::Unavailable { codec: Compression::Zstd };

/// Java's stream reads its input in pieces of this size (`ZSTD_DStreamInSize`).
const JAVA_PIECE: usize = 131_075;

/// Reads frames one after the other. What follows a whole frame in the same piece of input and is
/// itself cut off is not seen, as Java's stream does not see it.
pub(super) struct Decoder<'s> {
    piece: &'s [u8],
    input: &'s [u8],
    context: &'s mut DCtx<'static>,
    frame_ended: bool,
    more_inside: bool,
}

impl<'s> Decoder<'s> {
    pub(super) fn new(input: &'s [u8], kept: &'s mut Context) -> Result<Self, CodecError> {
        if kept.0.as_ref().is_some_and(|context| context.sizeof() > KEPT) {
            kept.0 = None;
        }
        if kept.0.is_none() {
            kept.0 = DCtx::try_create();
        }
        let context = kept.0.as_mut().ok_or(UNAVAILABLE)?;
        context.reset(ResetDirective::SessionOnly).map_err(|_| UNAVAILABLE)?;
        Ok(Self { piece: &[], input, context, frame_ended: true, more_inside: false })
    }

    pub(super) fn fill(&mut self, window: &mut Window, room: usize) -> Result<usize, CodecError> {
        loop {
            if self.piece.is_empty() && !self.more_inside {
                if self.input.is_empty() {
                    return if self.frame_ended { Ok(0) } else { Err(damaged("it is cut off")) };
                }
                let len = self.input.len().min(JAVA_PIECE);
                (self.piece, self.input) = self.input.split_at_checked(len).unwrap_or_default();
                self.frame_ended = false;
            }
            let mut input = InBuffer::around(self.piece);
            let mut output = OutBuffer::around(window.spare(room));
            let hint = self
                .context
                .decompress_stream(&mut output, &mut input)
                .map_err(|_| damaged("no zstd stream"))?;
            let (eaten, given) = (input.pos(), output.pos());
            self.piece = self.piece.get(eaten..).unwrap_or_default();
            self.frame_ended |= hint == 0;
            self.more_inside = hint != 0 && given == room;
            window.commit(given);
            if given > 0 {
                return Ok(given);
            }
        }
    }
}

pub(crate) struct Encoder {
    context: CCtx<'static>,
}

impl Encoder {
    pub(super) fn new(level: Option<i32>) -> Result<Self, CodecError> {
        let mut context = CCtx::try_create().ok_or(UNAVAILABLE)?;
        let level = CParameter::CompressionLevel(level.unwrap_or(DEFAULT_LEVEL));
        context.set_parameter(level).map_err(|_| UNAVAILABLE)?;
        Ok(Self { context })
    }

    pub(super) fn write(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        let mut input = InBuffer::around(input);
        while input.pos() < input.src.len() {
            self.run(&mut input, out, ZSTD_EndDirective::ZSTD_e_continue)?;
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let mut input = InBuffer::around(&[]);
        // Java's stream is flushed before it is closed: the same bytes.
        while self.run(&mut input, out, ZSTD_EndDirective::ZSTD_e_flush)? != 0 {}
        while self.run(&mut input, out, ZSTD_EndDirective::ZSTD_e_end)? != 0 {}
        Ok(())
    }

    fn run(
        &mut self,
        input: &mut InBuffer<'_>,
        out: &mut Vec<u8>,
        directive: ZSTD_EndDirective,
    ) -> Result<usize, CodecError> {
        out.reserve(CCtx::out_size());
        let at = out.len();
        let mut output = OutBuffer::around_pos(out, at);
        self.context.compress_stream2(&mut output, input, directive).map_err(|_| UNAVAILABLE)
    }
}
