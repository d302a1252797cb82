//! Codecs of batches: decompression into a reused window with a cap, compression as records are
//! appended. Owns which codec does what; must not know records.

mod gzip;
mod lz4;
mod snappy;
mod window;
mod zstd;

pub(crate) use self::window::Window;
use crate::error::CodecError;
use crate::header::Compression;

/// Reusable memory of readers and validators: one per worker is enough. Grows to what a batch
/// needs (never beyond the caller's limit) and gives most of it back with the next use.
#[derive(Debug, Default)]
pub struct Scratch {
    window: Window,
    contexts: Contexts,
}

/// The libraries' state that is worth keeping between batches.
#[derive(Default)]
pub(crate) struct Contexts {
    gzip: gzip::Inflate,
    zstd: zstd::Context,
}

impl std::fmt::Debug for Contexts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contexts").finish_non_exhaustive()
    }
}

impl Scratch {
    /// Nothing is allocated before the first compressed batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes held, without those inside the codecs' libraries (gzip some 50 KiB, zstd its frame's
    /// window).
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.window.memory()
    }

    /// Gives all memory back.
    pub fn release(&mut self) {
        *self = Self::default();
    }

    /// All of `input` decompressed, at most `limit` bytes.
    ///
    /// # Errors
    /// [`CodecError::Damaged`], [`CodecError::TooLarge`].
    pub fn decompress(
        &mut self,
        codec: Compression,
        input: &[u8],
        limit: usize,
    ) -> Result<&[u8], CodecError> {
        self.window.clear();
        let mut stream = Stream::new(codec, input, limit, &mut self.contexts)?;
        while stream.fill(&mut self.window)? {}
        Ok(self.window.bytes())
    }

    /// A stream over `input` and the window to read it through.
    pub(crate) fn stream<'s>(
        &'s mut self,
        codec: Compression,
        input: &'s [u8],
        limit: usize,
    ) -> Result<(Stream<'s>, &'s mut Window), CodecError> {
        self.window.clear();
        let stream = Stream::new(codec, input, limit, &mut self.contexts)?;
        Ok((stream, &mut self.window))
    }
}

/// A compressed stream that is read piece by piece.
pub(crate) struct Stream<'s> {
    decoder: Decoder<'s>,
    given: usize,
    limit: usize,
}

enum Decoder<'s> {
    Plain(&'s [u8]),
    Gzip(gzip::Decoder<'s>),
    Snappy(snappy::Decoder<'s>),
    Lz4(lz4::Decoder<'s>),
    Zstd(zstd::Decoder<'s>),
}

impl<'s> Stream<'s> {
    fn new(
        codec: Compression,
        input: &'s [u8],
        limit: usize,
        contexts: &'s mut Contexts,
    ) -> Result<Self, CodecError> {
        let decoder = match codec {
            Compression::None => Decoder::Plain(input),
            Compression::Gzip => Decoder::Gzip(gzip::Decoder::new(input, &mut contexts.gzip)),
            Compression::Snappy => Decoder::Snappy(snappy::Decoder::new(input)?),
            Compression::Lz4 => Decoder::Lz4(lz4::Decoder::new(input)?),
            Compression::Zstd => Decoder::Zstd(zstd::Decoder::new(input, &mut contexts.zstd)?),
        };
        Ok(Self { decoder, given: 0, limit })
    }

    /// Appends some decompressed bytes to `window`; `false` (and nothing appended) at the end.
    pub(crate) fn fill(&mut self, window: &mut Window) -> Result<bool, CodecError> {
        // One byte more than allowed is room enough to see that there are too many.
        let room = (self.limit - self.given).saturating_add(1);
        let appended = match &mut self.decoder {
            Decoder::Plain(input) => {
                let len = input.len().min(room).min(PIECE);
                let (head, tail) = input.split_at_checked(len).unwrap_or((input, &[]));
                window.append(head);
                *input = tail;
                len
            }
            Decoder::Gzip(decoder) => decoder.fill(window, room.min(PIECE))?,
            Decoder::Snappy(decoder) => {
                decoder.fill(window, room)?.ok_or(CodecError::TooLarge { limit: self.limit })?
            }
            Decoder::Lz4(decoder) => decoder.fill(window)?,
            Decoder::Zstd(decoder) => decoder.fill(window, room.min(PIECE))?,
        };
        self.given += appended;
        if self.given > self.limit {
            return Err(CodecError::TooLarge { limit: self.limit });
        }
        Ok(appended > 0)
    }
}

/// Bytes asked of a codec that can stop anywhere.
const PIECE: usize = 64 * 1024;

/// `input` as one stream of the codec, as a batch's records are stored. `level` as in Kafka's
/// `compression.<codec>.level`; `None` for the codec's default.
///
/// # Errors
/// [`CodecError::Unavailable`] when the codec's library has no memory.
pub fn compress(
    codec: Compression,
    level: Option<i32>,
    input: &[u8],
) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(codec, level, &mut out)?;
    encoder.write(input, &mut out)?;
    encoder.finish(&mut out)?;
    Ok(out)
}

/// Compresses what it is given, into a buffer of the caller's.
pub(crate) enum Encoder {
    None,
    Gzip(Box<gzip::Encoder>),
    Snappy(Box<snappy::Encoder>),
    Lz4(Box<lz4::Encoder>),
    Zstd(Box<zstd::Encoder>),
}

impl Encoder {
    /// An encoder; `level` as in Kafka's `compression.<codec>.level`, `None` for its default.
    pub(crate) fn new(
        codec: Compression,
        level: Option<i32>,
        out: &mut Vec<u8>,
    ) -> Result<Self, CodecError> {
        Ok(match codec {
            Compression::None => Self::None,
            Compression::Gzip => Self::Gzip(Box::new(gzip::Encoder::new(level, out))),
            Compression::Snappy => Self::Snappy(Box::new(snappy::Encoder::new(out))),
            Compression::Lz4 => Self::Lz4(Box::new(lz4::Encoder::new(out))),
            Compression::Zstd => Self::Zstd(Box::new(zstd::Encoder::new(level)?)),
        })
    }

    /// Takes all of `input`.
    pub(crate) fn write(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        match self {
            Self::None => out.extend_from_slice(input),
            Self::Gzip(encoder) => encoder.write(input, out)?,
            Self::Snappy(encoder) => encoder.write(input, out)?,
            Self::Lz4(encoder) => encoder.write(input, out)?,
            Self::Zstd(encoder) => encoder.write(input, out)?,
        }
        Ok(())
    }

    /// Writes what is left and the end of the stream.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        match self {
            Self::None => Ok(()),
            Self::Gzip(encoder) => encoder.finish(out),
            Self::Snappy(encoder) => encoder.finish(out),
            Self::Lz4(encoder) => encoder.finish(out),
            Self::Zstd(encoder) => encoder.finish(out),
        }
    }
}
