//! The content of a `records` field: record batches as they lie in a log, in pieces that are
//! never copied together. Knows nothing of batches.

use bytes::{Bytes, BytesMut};
use std::fmt;

/// Record batches, in zero or more pieces. Equality is that of the bytes, however they are cut.
#[derive(Clone, Default)]
pub struct Records {
    first: Bytes,
    rest: Vec<Bytes>,
}

impl Records {
    /// No bytes.
    #[must_use]
    pub const fn new() -> Self {
        Self { first: Bytes::new(), rest: Vec::new() }
    }

    /// Appends a piece; an empty one is dropped.
    pub fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
        } else if self.first.is_empty() {
            self.first = piece;
        } else {
            self.rest.push(piece);
        }
    }

    /// Length in bytes over all pieces.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rest.iter().fold(self.first.len(), |n, p| n.saturating_add(p.len()))
    }

    /// Whether there is no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// The pieces in order; none is empty.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).chain(&self.rest).filter(|p| !p.is_empty())
    }

    /// All bytes in one piece; copies only when there are several.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        if self.rest.is_empty() {
            return self.first.clone();
        }
        let mut whole = BytesMut::with_capacity(self.len());
        for piece in self.pieces() {
            whole.extend_from_slice(piece);
        }
        whole.freeze()
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        Self { first: bytes, rest: Vec::new() }
    }
}

impl FromIterator<Bytes> for Records {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        let mut records = Self::new();
        for piece in pieces {
            records.push(piece);
        }
        records
    }
}

impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.pieces().flatten().eq(other.pieces().flatten())
    }
}

impl Eq for Records {}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Records({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::Records;
    use bytes::Bytes;

    #[test]
    fn equality_ignores_the_cuts() {
        let cut: Records = [&b"ab"[..], b"", b"c"].map(Bytes::from_static).into_iter().collect();
        assert_eq!(cut, Records::from(Bytes::from_static(b"abc")));
        assert_eq!(cut.pieces().count(), 2);
        assert_eq!(&cut.to_bytes()[..], b"abc");
        assert_ne!(cut, Records::from(Bytes::from_static(b"abd")));
        assert_ne!(cut, Records::new());
    }
}
