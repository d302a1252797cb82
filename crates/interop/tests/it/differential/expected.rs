//! The differences from Apache Kafka 4.4.0 that are meant, each with its reason. An entry that
//! nothing matches any more fails the test.

/// A difference that is meant. `*` stands for any text.
#[derive(Debug)]
pub(super) struct Expected {
    /// Which test it belongs to.
    pub(super) part: &'static str,
    /// Name of the API.
    api: &'static str,
    /// The case that shows it.
    case: &'static str,
    /// The place in the answer.
    place: &'static str,
    /// Why it is so.
    #[expect(dead_code, reason = "read by people, and printed when the entry is unused")]
    because: &'static str,
}

impl Expected {
    /// Whether this is that difference.
    pub(super) fn is(&self, api: &str, case: &str, place: &str) -> bool {
        matches(self.api, api) && matches(self.case, case) && matches(self.place, place)
    }
}

const fn differs(
    part: &'static str,
    api: &'static str,
    case: &'static str,
    place: &'static str,
    because: &'static str,
) -> Expected {
    Expected { part, api, case, place, because }
}

/// The table.
pub(super) const EXPECTED: &[Expected] = &[];

/// Whether `text` is what `pattern` says, where `*` is any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(before) else { return false };
    rest.char_indices()
        .map(|(at, _)| at)
        .chain([rest.len()])
        .any(|at| rest.get(at..).is_some_and(|rest| matches(after, rest)))
}

#[test]
fn stars_match_any_text() {
    assert!(matches("a*c", "abc") && matches("*", "") && matches("x", "x"));
    assert!(matches("*[b]*d", "a[b]cd") && !matches("a*c", "ab") && !matches("x", "xy"));
}
