//! Random numbers from a seed. Must not know what is drawn.

/// A sequence that its seed decides (SplitMix64).
#[derive(Clone, Debug)]
pub struct Seeded(u64);

impl Seeded {
    /// The sequence of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A sequence of its own for `part` of what this one decides.
    #[must_use]
    pub fn part(&self, part: u64) -> Self {
        Self(mixed(self.0 ^ mixed(part.wrapping_add(0x51ed_270b))))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// A number below `end`; 0 for an end of 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits().checked_rem(end).unwrap_or(0)
    }

    /// A number from `from` to `to`, both possible.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from) + 1)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of `choices`; none of none.
    pub fn one_of<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        choices.get(usize::try_from(self.below(choices.len() as u64)).unwrap_or(0))
    }
}

/// A bijection that spreads every bit.
#[must_use]
pub const fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_and_its_parts_others() {
        let draw = |mut from: Seeded| (0..20).map(|_| from.below(1000)).collect::<Vec<_>>();
        assert_eq!(draw(Seeded::new(7)), draw(Seeded::new(7)));
        assert_ne!(draw(Seeded::new(7)), draw(Seeded::new(8)));
        assert_ne!(draw(Seeded::new(7).part(1)), draw(Seeded::new(7).part(2)));
        let mut seeded = Seeded::new(1);
        assert!((0..1000).all(|_| (3..=5).contains(&seeded.between(3, 5))));
        assert_eq!(seeded.one_of::<u8>(&[]), None);
    }
}
