//! Random message content from a seed, for tests, fuzzing and comparisons. Knows no schema: the
//! generated code says what a field may hold.

use crate::{Message, Records, StrBytes, TaggedFields, Uuid};
use bytes::Bytes;

pub use crate::generated::random::{MESSAGE_NAMES, each_message};

/// A message that can be invented.
pub trait RandomMessage: Message {
    /// Content that `version` can carry.
    fn random(s: &mut RandomSource, version: i16) -> Self;
}

/// Is called with each message type in turn.
pub trait MessageVisitor {
    /// One message type.
    fn visit<M: RandomMessage>(&mut self);
}

/// A deterministic source of random content: the same seed gives the same messages.
#[derive(Clone, Debug)]
pub struct RandomSource {
    state: u64,
    depth: u32,
    unknown_tags: bool,
}

impl RandomSource {
    /// A source that always gives the same for the same seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed, depth: 0, unknown_tags: true }
    }

    /// The same source without unknown tagged fields in what it invents.
    #[must_use]
    pub const fn without_unknown_tags(mut self) -> Self {
        self.unknown_tags = false;
        self
    }

    /// The next 64 bits (SplitMix64).
    pub const fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which must not be 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.bits() % u64::try_from(end.max(1)).unwrap_or(1)).unwrap_or(0)
    }

    /// 64 bits, often with a boundary value.
    fn number(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => 0x7fff_ffff_ffff_ffff,
            3 => 0x8000_8000_8000_8000,
            4 => self.bits() % 128,
            _ => self.bits(),
        }
    }

    fn some<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let number = self.number().to_le_bytes();
        for (o, n) in out.iter_mut().zip(number) {
            *o = n;
        }
        out
    }

    /// Any value.
    pub fn bool(&mut self) -> bool {
        self.bits() & 1 == 1
    }

    /// Any value.
    pub fn i8(&mut self) -> i8 {
        i8::from_le_bytes(self.some())
    }

    /// Any value.
    pub fn i16(&mut self) -> i16 {
        i16::from_le_bytes(self.some())
    }

    /// Any value.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.some())
    }

    /// Any value.
    pub fn i32(&mut self) -> i32 {
        i32::from_le_bytes(self.some())
    }

    /// Any value.
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.some())
    }

    /// Any value.
    pub fn i64(&mut self) -> i64 {
        i64::from_le_bytes(self.some())
    }

    /// Any finite value.
    pub fn f64(&mut self) -> f64 {
        let value = f64::from_bits(self.bits());
        if value.is_finite() { value } else { 0.5 }
    }

    /// Any value.
    pub fn uuid(&mut self) -> Uuid {
        if self.below(4) == 0 {
            return Uuid::ZERO;
        }
        Uuid((u128::from(self.bits()) << 64 | u128::from(self.bits())).to_be_bytes())
    }

    fn size(&mut self) -> usize {
        match self.below(8) {
            0 => 0,
            1 => 126 + self.below(4),
            _ => self.below(12),
        }
    }

    /// Text of one to four bytes a character.
    pub fn string(&mut self) -> StrBytes {
        const LETTERS: [char; 12] = ['a', 'b', 'z', '-', '.', '_', '0', '9', 'ü', '日', '😀', ' '];
        let mut text = String::new();
        for _ in 0..self.size() {
            text.extend(LETTERS.get(self.below(LETTERS.len())));
        }
        StrBytes::from(text)
    }

    /// Some bytes.
    pub fn bytes(&mut self) -> Bytes {
        (0..self.size()).map(|_| self.i8().to_le_bytes()).map(|[b]| b).collect::<Vec<u8>>().into()
    }

    /// Some bytes; now and then in pieces that are not copied.
    pub fn records(&mut self) -> Records {
        if self.below(8) == 0 {
            let piece = Bytes::from(vec![0x5a; 1024 + self.below(100)]);
            return [piece.clone(), self.bytes(), piece].into_iter().collect();
        }
        Records::from(self.bytes())
    }

    /// A value or null.
    pub fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.below(3) == 0 { None } else { Some(value(self)) }
    }

    /// A few elements, fewer the deeper they lie.
    pub fn array<T>(&mut self, mut element: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let most = match self.depth {
            0 => 4,
            1 => 3,
            _ => 2,
        };
        let len = self.below(most + 1);
        self.depth += 1;
        let array = (0..len).map(|_| element(self)).collect();
        self.depth -= 1;
        array
    }

    /// Unknown tagged fields with tags from `free` on.
    pub fn tagged_fields(&mut self, free: u32) -> TaggedFields {
        let mut fields = Vec::new();
        let mut tag = free;
        if !self.unknown_tags {
            return TaggedFields::new();
        }
        for _ in 0..self.below(8).saturating_sub(5) {
            tag += u32::from(self.u16()) % 200;
            fields.push((tag, self.bytes()));
            tag += 1;
        }
        TaggedFields::from_fields(fields).unwrap_or_default()
    }
}
