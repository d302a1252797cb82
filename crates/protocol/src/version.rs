//! Ranges of message versions. Owns the comparison with a version, not who may use it.

use crate::{DecodeError, EncodeError};
use std::fmt;

/// An inclusive range of versions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct VersionRange {
    /// Lowest version.
    pub min: i16,
    /// Highest version.
    pub max: i16,
}

impl VersionRange {
    /// The range from `min` to `max`, both included.
    #[must_use]
    pub const fn new(min: i16, max: i16) -> Self {
        Self { min, max }
    }

    /// Whether `version` lies in the range.
    #[must_use]
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// The versions that both ranges have; `None` when they have none.
    #[must_use]
    pub const fn intersect(self, other: Self) -> Option<Self> {
        let min = if self.min > other.min { self.min } else { other.min };
        let max = if self.max < other.max { self.max } else { other.max };
        if min <= max { Some(Self { min, max }) } else { None }
    }

    /// Every version, lowest first.
    pub fn iter(self) -> impl Iterator<Item = i16> {
        self.min..=self.max
    }

    pub(crate) const fn check_decode(
        self,
        message: &'static str,
        version: i16,
    ) -> Result<(), DecodeError> {
        if self.contains(version) {
            Ok(())
        } else {
            Err(DecodeError::UnsupportedVersion { message, version, valid: self })
        }
    }

    pub(crate) const fn check_encode(
        self,
        message: &'static str,
        version: i16,
    ) -> Result<(), EncodeError> {
        if self.contains(version) {
            Ok(())
        } else {
            Err(EncodeError::UnsupportedVersion { message, version, valid: self })
        }
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "{}", self.min)
        } else {
            write!(f, "{}-{}", self.min, self.max)
        }
    }
}
