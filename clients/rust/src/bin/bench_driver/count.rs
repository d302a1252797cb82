//! Which of the numbered records have come. Knows no client library.

use anyhow::ensure;

/// One bit for each number.
pub(crate) struct Seen {
    expected: u64,
    seen: u64,
    bits: Vec<u64>,
}

impl Seen {
    /// Waits for the numbers from 0 up to `expected`.
    pub(crate) fn new(expected: u64) -> Self {
        let words = usize::try_from(expected.div_ceil(64)).unwrap_or(usize::MAX);
        Self { expected, seen: 0, bits: vec![0; words] }
    }

    /// A number came; an error when it came before or was never sent.
    pub(crate) fn add(&mut self, number: u64) -> anyhow::Result<()> {
        ensure!(number < self.expected, "record {number} of {} sent", self.expected);
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        ensure!(self.bits[word] & bit == 0, "record {number} came twice");
        self.bits[word] |= bit;
        self.seen += 1;
        Ok(())
    }

    /// Whether all have come.
    pub(crate) fn complete(&self) -> bool {
        self.seen == self.expected
    }

    /// How many have come.
    pub(crate) fn count(&self) -> u64 {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn every_number_comes_once() {
        let mut seen = Seen::new(65);
        for number in (0..65).rev() {
            assert!(!seen.complete());
            seen.add(number).expect("new");
        }
        assert!(seen.complete());
        assert!(seen.add(3).is_err(), "twice");
        assert!(seen.add(65).is_err(), "never sent");
        assert_eq!(seen.count(), 65);
    }
}
