//! A broken promise: which invariant, and what was seen. Must not know how it came about.

use std::fmt;

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its id: L1 to L10, K2 to K4, P1, T1, T2 and so on; "panic" for an assertion of the code.
    pub id: &'static str,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.what)
    }
}

/// Why a life of the simulated process ends before its time.
#[derive(Clone, Debug)]
pub enum Stop {
    /// A promise is broken.
    Violation(Violation),
    /// The disk died, or an injected fault took the process down.
    Over,
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

/// Returns a [`Violation`] with this id when the condition does not hold.
#[macro_export]
macro_rules! promise {
    ($id:literal, $holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err($crate::Violation { id: $id, what: format!($($what)+) }.into());
        }
    };
}
