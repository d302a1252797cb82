//! Where decisions come from: drawn from a seed, or all of them one after the other. Must not know
//! what is decided.

/// Decides among several possibilities.
pub trait Choose {
    /// A number below `n`, which is at least 1.
    fn below(&mut self, n: usize) -> usize;

    /// Whether extremes (nothing, everything) should be favoured over mixtures; a chooser that
    /// takes everything in turn needs none of that.
    fn favours_extremes(&self) -> bool;
}

/// Draws from a seed (SplitMix64): the same seed gives the same decisions, always.
#[derive(Clone, Debug)]
pub struct Draw {
    state: u64,
}

impl Draw {
    /// A source that starts from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A random number.
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A source of its own, decided by this one.
    pub fn fork(&mut self) -> Self {
        Self::new(self.draw())
    }

    /// A number from `from` up to and with `to`.
    pub fn range(&mut self, from: usize, to: usize) -> usize {
        from + self.below(to.saturating_sub(from).saturating_add(1))
    }

    /// As [`Draw::range`], for offsets and times.
    pub fn span(&mut self, from: i64, to: i64) -> i64 {
        let width = to.saturating_sub(from).saturating_add(1).max(1);
        let drawn = self.draw() % width.unsigned_abs();
        from.saturating_add(i64::try_from(drawn).unwrap_or(0))
    }

    /// A number below `n`.
    pub fn below_u64(&mut self, n: u64) -> u64 {
        self.draw() % n.max(1)
    }

    /// True in `n` of 1,000 cases.
    pub fn permille(&mut self, n: u32) -> bool {
        self.draw() % 1000 < u64::from(n)
    }

    /// True in `n` of 1,000,000 cases.
    pub fn per_million(&mut self, n: u32) -> bool {
        n > 0 && self.draw() % 1_000_000 < u64::from(n)
    }

    /// True in one of `n` cases.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.draw().is_multiple_of(n)
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { from.get(self.below(from.len())) }
    }
}

impl Choose for Draw {
    fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n.max(1)).unwrap_or(1);
        usize::try_from(self.draw() % n).unwrap_or(0)
    }

    fn favours_extremes(&self) -> bool {
        true
    }
}

/// Draws evenly among all combinations, for what has too many of them.
#[derive(Clone, Debug)]
pub struct Scatter(pub Draw);

impl Choose for Scatter {
    fn below(&mut self, n: usize) -> usize {
        self.0.below(n)
    }

    fn favours_extremes(&self) -> bool {
        false
    }
}

/// Takes every combination of decisions in turn, as an odometer does: what is decided may depend
/// on what was decided before.
#[derive(Clone, Debug, Default)]
pub struct Every {
    /// What was chosen, and of how many.
    path: Vec<(usize, usize)>,
    at: usize,
}

impl Every {
    /// Begins the next combination; false when there is none.
    pub fn advance(&mut self) -> bool {
        self.at = 0;
        while let Some((chosen, of)) = self.path.pop() {
            if chosen + 1 < of {
                self.path.push((chosen + 1, of));
                return true;
            }
        }
        false
    }
}

impl Choose for Every {
    fn below(&mut self, n: usize) -> usize {
        let at = self.at;
        self.at += 1;
        if let Some((chosen, of)) = self.path.get(at) {
            assert_eq!(*of, n, "the same decisions lead to the same possibilities");
            return *chosen;
        }
        self.path.push((0, n));
        0
    }

    fn favours_extremes(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_comes_once() {
        let mut every = Every::default();
        let mut seen = Vec::new();
        loop {
            let first = every.below(3);
            let second = if first == 1 { every.below(2) } else { 9 };
            seen.push((first, second));
            if !every.advance() {
                break;
            }
        }
        assert_eq!(seen, [(0, 9), (1, 0), (1, 1), (2, 9)]);
    }

    #[test]
    fn the_seed_decides() {
        let draw = |seed| {
            let mut draw = Draw::new(seed);
            [draw.draw(), draw.draw(), draw.fork().draw()]
        };
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
        assert!((0..100).all(|_| (3..=5).contains(&Draw::new(1).range(3, 5))));
    }
}
