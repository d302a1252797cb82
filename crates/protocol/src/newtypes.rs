//! Newtypes for the quantities that cross crate borders. Owns no behaviour beyond
//! ordering, arithmetic that cannot surprise, and text forms. Must not know messages.

use std::fmt;

macro_rules! integer_newtype {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl $name {
            /// The bare integer, as it stands on the wire.
            #[must_use]
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

integer_newtype!(
    /// Position of a record in a partition; the first record of a partition has 0. −1 is "none".
    Offset(i64)
);
integer_newtype!(
    /// Epoch of a partition's (or the metadata quorum's) leader. −1 is "none".
    LeaderEpoch(i32)
);
integer_newtype!(
    /// Milliseconds: a duration, or (where said) a point in time since the Unix epoch.
    Millis(i64)
);
integer_newtype!(
    /// Id of a broker or controller. −1 is "none".
    NodeId(i32)
);
integer_newtype!(
    /// Id given to an idempotent or transactional producer. −1 is "none".
    ProducerId(i64)
);
integer_newtype!(
    /// Epoch that fences older incarnations of a producer. −1 is "none".
    ProducerEpoch(i16)
);

impl Offset {
    /// "No offset", as the wire writes it.
    pub const NONE: Self = Self(-1);
    /// The first offset of a partition.
    pub const ZERO: Self = Self(0);

    /// The offset `count` records later.
    ///
    /// # Panics
    /// Never in practice: offsets are below 2⁶³; saturates there.
    #[must_use]
    pub const fn plus(self, count: i64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

impl LeaderEpoch {
    /// "No epoch", as the wire writes it.
    pub const NONE: Self = Self(-1);
}

impl ProducerId {
    /// "No producer id", as the wire writes it.
    pub const NONE: Self = Self(-1);
}

impl ProducerEpoch {
    /// "No producer epoch", as the wire writes it.
    pub const NONE: Self = Self(-1);
}

impl NodeId {
    /// "No node", as the wire writes it.
    pub const NONE: Self = Self(-1);
}

const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A 16-byte id, big endian on the wire; its text form is Kafka's: 22 characters of URL-safe
/// base64 without padding (`org.apache.kafka.common.Uuid`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub [u8; 16]);

/// Id of a topic: never reused, also when the topic's name is.
pub type TopicId = Uuid;

impl Uuid {
    /// All zeros: "no id" on the wire.
    pub const ZERO: Self = Self([0; 16]);
    /// The fixed topic id of `__cluster_metadata`.
    pub const METADATA_TOPIC: Self = Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// Whether this is [`Uuid::ZERO`].
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// Whether Kafka reserves this id (high half 0, low half below 100).
    #[must_use]
    pub fn is_reserved(self) -> bool {
        u128::from_be_bytes(self.0) < 100
    }

    /// A version-4 id from 16 random bytes; the caller draws again while
    /// [`Uuid::is_reserved`] or the text form begins with `-`, as Kafka does.
    #[must_use]
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }

    /// Reads the 22-character text form; padding is accepted as Kafka accepts it. `None` when it
    /// is no such text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end_matches('=').as_bytes();
        if text.len() != 22 {
            return None;
        }
        let mut bits: u128 = 0;
        for (i, c) in text.iter().enumerate() {
            let value = URL_SAFE.iter().position(|x| x == c)? as u128;
            bits = if i == 21 { (bits << 2) | (value >> 4) } else { (bits << 6) | value };
        }
        Some(Self(bits.to_be_bytes()))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        for i in 0..22_u32 {
            let value = if i == 21 { (bits << 4) & 0x3f } else { (bits >> (122 - 6 * i)) & 0x3f };
            let letter = usize::try_from(value).ok().and_then(|v| URL_SAFE.get(v));
            f.write_str(
                letter.map_or("", |l| std::str::from_utf8(std::slice::from_ref(l)).unwrap_or("")),
            )?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::Uuid;

    #[test]
    fn uuid_text_is_kafkas() {
        assert_eq!(Uuid::METADATA_TOPIC.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        for seed in 0..50_u8 {
            let id = Uuid::from_random([seed.wrapping_mul(37); 16]);
            assert_eq!(Uuid::parse(&id.to_string()), Some(id));
        }
        assert_eq!(Uuid::parse("short"), None);
        assert_eq!(Uuid::parse("AAAAAAAAAAAAAAAAAAAA*Q"), None);
    }
}
