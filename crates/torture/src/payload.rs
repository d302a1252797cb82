//! Records that tell what they are: all of a record follows from its id, the run's seed and its
//! place, so that a reader can hold every byte against what was sent. Must not know brokers.

use ottla_records::{Record, RecordHeader};

use crate::seeded::{Seeded, mixed};

/// Name of the header that holds the id.
const ID: &[u8] = b"id";

/// Where a record was sent: a number that one incarnation of one topic's partition has.
pub type Place = u32;

/// What a record is like; part of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A few hundred bytes at most.
    Small,
    /// Some thousands.
    Middle,
    /// Tens of thousands.
    Large,
    /// Without a value.
    Tombstone,
}

impl Shape {
    const ALL: [Self; 4] = [Self::Small, Self::Middle, Self::Large, Self::Tombstone];

    const fn bits(self) -> u64 {
        match self {
            Self::Small => 0,
            Self::Middle => 1,
            Self::Large => 2,
            Self::Tombstone => 3,
        }
    }
}

/// The id of record number `number`.
#[must_use]
pub const fn id(number: u64, shape: Shape) -> u64 {
    number << 2 | shape.bits()
}

/// Everything of a record but its offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Its id.
    pub id: u64,
    /// One of a few, so that compaction finds something.
    pub key: Vec<u8>,
    /// None for a tombstone.
    pub value: Option<Vec<u8>>,
    /// Milliseconds; rises with the id, but not strictly.
    pub timestamp: i64,
}

/// How many keys a place has.
const KEYS: u64 = 24;

impl Payload {
    /// The record of that id in that place; `epoch_ms` is when the run began.
    #[must_use]
    pub fn of(seed: u64, epoch_ms: i64, place: Place, id: u64) -> Self {
        let shape = Shape::ALL.into_iter().find(|shape| shape.bits() == id & 3);
        let mut seeded = Seeded::new(seed ^ mixed(id) ^ mixed(u64::from(place) << 32));
        let key = format!("key-{}", seeded.below(KEYS)).into_bytes();
        let drift = i64::try_from(seeded.below(50)).unwrap_or(0);
        let number = i64::try_from(id >> 2).unwrap_or(0);
        let length = match shape.unwrap_or(Shape::Small) {
            Shape::Small => Some(seeded.below(220)),
            Shape::Middle => Some(seeded.between(2_000, 9_000)),
            Shape::Large => Some(seeded.between(20_000, 60_000)),
            Shape::Tombstone => None,
        };
        let value = length.map(|length| filler(&mut seeded, length));
        Self { id, key, value, timestamp: epoch_ms + number + drift }
    }

    /// The record's headers for the batch builder, from [`Payload::id_bytes`].
    #[must_use]
    pub fn headers(id: &[u8; 8]) -> [RecordHeader<'_>; 1] {
        [RecordHeader { key: ID, value: Some(id) }]
    }

    /// The id as its header holds it.
    #[must_use]
    pub const fn id_bytes(&self) -> [u8; 8] {
        self.id.to_be_bytes()
    }
}

fn filler(seeded: &mut Seeded, length: u64) -> Vec<u8> {
    let length = usize::try_from(length).unwrap_or(0);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend(seeded.bits().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// The id that a record claims; none when it has no such header.
#[must_use]
pub fn claimed_id(record: &Record<'_>) -> Option<u64> {
    let header = record.headers.iter().find(|header| header.key == ID)?;
    header.value?.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_follows_from_its_id_and_place() {
        let one = Payload::of(1, 1_000, 3, id(77, Shape::Middle));
        assert_eq!(one, Payload::of(1, 1_000, 3, id(77, Shape::Middle)));
        assert_ne!(one.value, Payload::of(1, 1_000, 4, id(77, Shape::Middle)).value);
        assert_ne!(one.value, Payload::of(2, 1_000, 3, id(77, Shape::Middle)).value);
        assert_ne!(one.value, Payload::of(1, 1_000, 3, id(78, Shape::Middle)).value);
        assert_eq!(Payload::of(1, 1_000, 3, id(78, Shape::Tombstone)).value, None);
        assert!((1_077..1_127).contains(&one.timestamp));
    }
}
