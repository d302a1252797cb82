//! Medians and ranges, as text.

use std::fmt;

/// Figures of the same thing in several runs.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    pub(crate) fn push(&mut self, figure: f64) {
        self.0.push(figure);
        self.0.sort_by(f64::total_cmp);
    }

    pub(crate) fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |figure: Option<&f64>| figure.copied().unwrap_or(f64::NAN);
        let (low, high) = (end(self.0.first()), end(self.0.last()));
        write!(f, "{:>10.1} ({low:.1} to {high:.1})", self.median())
    }
}

#[cfg(test)]
mod tests {
    use super::Figures;

    #[test]
    fn the_median_is_in_the_middle() {
        let mut figures = Figures::default();
        for figure in [3.0, 1.0, 2.0] {
            figures.push(figure);
        }
        assert_eq!(figures.to_string(), "       2.0 (1.0 to 3.0)");
    }
}
