//! `.txnindex`: the aborted transactions of a segment, 34 bytes each, in the order in which they
//! ended. Must not know how transactions end.

use ottla_partition::CompletedTxn;
use ottla_protocol::{Offset, ProducerId};

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer_id: ProducerId,
    /// Offset of its first record.
    pub first_offset: Offset,
    /// Offset of its end marker.
    pub last_offset: Offset,
    /// The last stable offset when it ended.
    pub last_stable_offset: Offset,
}

pub(crate) const ENTRY: usize = AbortedTransaction::BYTES;
const VERSION: i16 = 0;

impl AbortedTransaction {
    /// Bytes of an entry of the index.
    pub const BYTES: usize = 34;

    pub(crate) fn of(ended: &CompletedTxn) -> Option<Self> {
        ended.is_aborted.then_some(Self {
            producer_id: ended.producer_id,
            first_offset: ended.first_offset,
            last_offset: ended.last_offset,
            last_stable_offset: ended.last_stable_offset,
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ENTRY);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        for field in
            [self.producer_id.0, self.first_offset.0, self.last_offset.0, self.last_stable_offset.0]
        {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    /// Reads an entry of [`AbortedTransaction::BYTES`], and its version, which is to be 0; `None`
    /// when there are fewer bytes.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<(i16, Self)> {
        let (version, mut rest) = bytes.split_first_chunk()?;
        let mut field = || {
            let (head, tail) = rest.split_first_chunk()?;
            rest = tail;
            Some(i64::from_be_bytes(*head))
        };
        let transaction = Self {
            producer_id: ProducerId(field()?),
            first_offset: Offset(field()?),
            last_offset: Offset(field()?),
            last_stable_offset: Offset(field()?),
        };
        Some((i16::from_be_bytes(*version), transaction))
    }
}

/// All entries of a file; `None` when one is torn, of an unknown version, out of order, or of no
/// transaction there can be.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<AbortedTransaction>> {
    let chunks = bytes.chunks_exact(ENTRY);
    if !chunks.remainder().is_empty() {
        return None;
    }
    let known = |chunk| {
        let (version, entry) = AbortedTransaction::decode(chunk)?;
        (version == VERSION).then_some(entry)
    };
    let entries: Vec<_> = chunks.map(known).collect::<Option<_>>()?;
    let possible = entries.iter().all(|e| e.first_offset < e.last_offset && e.first_offset.0 >= 0);
    let rising = entries.is_sorted_by(|a, b| a.last_offset < b.last_offset);
    (possible && rising).then_some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_kafkas() {
        let golden = [
            &[0; 9][..],
            &[2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6],
        ]
        .concat();
        let read = decode(&golden).unwrap();
        let expected = AbortedTransaction {
            producer_id: ProducerId(2),
            first_offset: Offset(3),
            last_offset: Offset(5),
            last_stable_offset: Offset(6),
        };
        assert_eq!(read, [expected]);
        assert_eq!(expected.encode(), golden);
        assert_eq!(decode(&golden[1..]), None);
        assert_eq!(decode(&golden.repeat(2)), None);
        assert_eq!(decode(&[1; ENTRY]), None);
    }
}
