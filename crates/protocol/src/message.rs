//! What all messages have in common, for generic code. The hot path calls the messages' own
//! functions.

use crate::{ApiKey, DecodeError, EncodeError, Reader, VersionRange, Writer};
use std::fmt::Debug;

/// Name, versions and the checked entry points of a message; the generated code supplies
/// `decode_body`, `encode_body` and `body_len`.
macro_rules! head {
    ($name:literal, $min:literal, $max:literal, $flexible:expr) => {
        /// The message's name in Kafka's schemas.
        pub const NAME: &'static str = $name;
        /// Versions that can be decoded and encoded.
        pub const VALID_VERSIONS: crate::VersionRange = crate::VersionRange::new($min, $max);
        /// First flexible version (KIP-482).
        pub const FLEXIBLE_FROM: Option<i16> = $flexible;

        /// Reads the message in `version`.
        ///
        /// # Errors
        /// When the version is not valid or the bytes are no such message.
        pub fn decode(r: &mut crate::Reader, version: i16) -> Result<Self, crate::DecodeError> {
            Self::VALID_VERSIONS.check_decode(Self::NAME, version)?;
            Self::decode_body(r, version)
        }

        /// Writes the message in `version`.
        ///
        /// # Errors
        /// When the version is not valid or cannot carry what is set.
        pub fn encode(
            &self,
            w: &mut crate::Writer,
            version: i16,
        ) -> Result<(), crate::EncodeError> {
            Self::VALID_VERSIONS.check_encode(Self::NAME, version)?;
            self.encode_body(w, version)
        }

        /// The exact number of bytes that [`Self::encode`] writes in `version`.
        #[must_use]
        pub fn encoded_len(&self, version: i16) -> usize {
            self.body_len(version)
        }
    };
}
pub(crate) use head;

/// A message or stored record of Kafka's schemas.
pub trait Message: Clone + Debug + Default + PartialEq {
    /// Its name in Kafka's schemas.
    const NAME: &'static str;
    /// Versions that can be decoded and encoded.
    const VALID_VERSIONS: VersionRange;
    /// First flexible version (KIP-482).
    const FLEXIBLE_FROM: Option<i16>;

    /// Reads the message in `version`.
    ///
    /// # Errors
    /// When the version is not valid or the bytes are no such message.
    fn decode(r: &mut Reader, version: i16) -> Result<Self, DecodeError>;

    /// Writes the message in `version`.
    ///
    /// # Errors
    /// When the version is not valid or cannot carry what is set.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError>;

    /// The exact number of bytes that [`Message::encode`] writes.
    fn encoded_len(&self, version: i16) -> usize;
}

/// The request of an API.
pub trait ApiRequest: Message {
    /// The API.
    const API_KEY: ApiKey;
    /// Its answer.
    type Response: Message;
}
