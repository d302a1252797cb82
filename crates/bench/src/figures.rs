//! What a run found, and medians and ranges over runs. Must not know what was measured.

use std::fmt;

/// Figures of one run of one cell, by name, in the order in which they are shown.
#[derive(Debug, Default)]
pub(crate) struct Found(Vec<(String, f64)>);

impl Found {
    /// One more figure; its unit is part of its name.
    pub(crate) fn add(&mut self, name: impl Into<String>, figure: f64) {
        self.0.push((name.into(), figure));
    }
}

/// Figures of one cell over all runs.
#[derive(Debug, Default)]
pub(crate) struct Cells(Vec<(String, Figures)>);

impl Cells {
    /// Takes what one more run found.
    pub(crate) fn take(&mut self, found: Found) {
        for (name, figure) in found.0 {
            match self.0.iter_mut().find(|(known, _)| *known == name) {
                Some((_, figures)) => figures.push(figure),
                None => {
                    let mut figures = Figures::default();
                    figures.push(figure);
                    self.0.push((name, figures));
                }
            }
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Figures> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, figures)| figures)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &Figures)> {
        self.0.iter().map(|(name, figures)| (name.as_str(), figures))
    }
}

/// Figures of the same thing in several runs.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    in_order: Vec<f64>,
    sorted: Vec<f64>,
}

impl Figures {
    pub(crate) fn push(&mut self, figure: f64) {
        self.in_order.push(figure);
        self.sorted.push(figure);
        self.sorted.sort_by(f64::total_cmp);
    }

    /// The one in the middle; of two in the middle their mean.
    pub(crate) fn median(&self) -> f64 {
        let count = self.sorted.len();
        let at = |index: usize| self.sorted.get(index).copied().unwrap_or(f64::NAN);
        if count % 2 == 1 { at(count / 2) } else { f64::midpoint(at(count / 2), at(count / 2 - 1)) }
    }

    pub(crate) fn low(&self) -> f64 {
        self.sorted.first().copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn high(&self) -> f64 {
        self.sorted.last().copied().unwrap_or(f64::NAN)
    }

    /// As they came.
    pub(crate) fn runs(&self) -> &[f64] {
        &self.in_order
    }
}

/// The median, and the range when there is one.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(self.median()))?;
        match self.sorted.as_slice() {
            [] | [_] => Ok(()),
            _ => write!(f, " ({} to {})", shown(self.low()), shown(self.high())),
        }
    }
}

/// Three digits that mean something, thousands apart.
pub(crate) fn shown(figure: f64) -> String {
    let digits = match figure.abs() {
        size if size < 1.0 => 3,
        size if size < 10.0 => 2,
        size if size < 100.0 => 1,
        _ => 0,
    };
    let plain = format!("{figure:.digits$}");
    let (whole, rest) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        let left = whole.len() - index;
        if index > 0 && left.is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use super::{Cells, Figures, Found, shown};

    #[test]
    fn the_median_is_in_the_middle() {
        let mut figures = Figures::default();
        figures.push(3.0);
        assert_eq!(figures.to_string(), "3.00");
        for figure in [1.0, 2.0] {
            figures.push(figure);
        }
        assert_eq!(figures.to_string(), "2.00 (1.00 to 3.00)");
        figures.push(10.0);
        assert_eq!(figures.median(), 2.5);
        assert_eq!(figures.runs(), [3.0, 1.0, 2.0, 10.0]);
    }

    #[test]
    fn numbers_are_short() {
        let numbers = [0.123, 12.34, 123.4, 1_234.5, 1_234_567.0, -1_234.0, f64::NAN];
        let expected = ["0.123", "12.3", "123", "1,234", "1,234,567", "-1,234", "NaN"];
        assert_eq!(numbers.map(shown), expected);
    }

    #[test]
    fn runs_come_together_by_name() {
        let mut cells = Cells::default();
        for figure in [1.0, 3.0] {
            let mut found = Found::default();
            found.add("b", figure);
            found.add("a", 2.0 * figure);
            cells.take(found);
        }
        assert_eq!(cells.names().collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(cells.get("a").map(Figures::median), Some(4.0));
        assert!(cells.get("c").is_none());
    }
}
