//! A fingerprint of everything that was asked of a disk and what it answered: two runs of a seed
//! must have the same. Must not know what it means.

/// A running hash (multiply and rotate, eight bytes at a time). Not for adversaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    state: u64,
}

impl Default for Trace {
    fn default() -> Self {
        Self { state: 0xcbf2_9ce4_8422_2325 }
    }
}

impl Trace {
    /// Takes a number in.
    pub fn number(&mut self, n: u64) {
        self.state = (self.state ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    /// Takes bytes in.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.number(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.number(u64::from(*byte));
        }
    }

    /// The hash of all so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.state ^ (self.state >> 31)
    }
}
