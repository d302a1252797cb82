//! A string that shares the buffer it was read from. Owns UTF-8 checking; knows no messages.

use bytes::Bytes;
use bytestring::ByteString;
use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

/// A UTF-8 string on reference-counted bytes: cloning copies no text.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StrBytes(ByteString);

impl StrBytes {
    /// The empty string.
    #[must_use]
    pub const fn new() -> Self {
        Self(ByteString::new())
    }

    /// A string that lives as long as the program.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        Self(ByteString::from_static(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes, shared.
    #[must_use]
    pub fn as_bytes_shared(&self) -> &Bytes {
        self.0.as_bytes()
    }

    /// The bytes, without copying.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0.into_bytes()
    }

    /// A copy that does not keep the buffer alive that the text was read from. For what is stored
    /// for long.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self::from(self.as_str())
    }
}

impl Deref for StrBytes {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for StrBytes {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for StrBytes {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for StrBytes {
    fn from(text: &str) -> Self {
        Self(ByteString::from(text))
    }
}

impl From<String> for StrBytes {
    fn from(text: String) -> Self {
        Self(ByteString::from(text))
    }
}

impl From<&String> for StrBytes {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl TryFrom<Bytes> for StrBytes {
    type Error = std::str::Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Self, Self::Error> {
        ByteString::try_from(bytes).map(Self)
    }
}

impl From<StrBytes> for String {
    fn from(text: StrBytes) -> Self {
        text.as_str().to_owned()
    }
}

impl PartialEq<str> for StrBytes {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for StrBytes {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<String> for StrBytes {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<StrBytes> for str {
    fn eq(&self, other: &StrBytes) -> bool {
        self == other.as_str()
    }
}

impl PartialEq<StrBytes> for &str {
    fn eq(&self, other: &StrBytes) -> bool {
        *self == other.as_str()
    }
}

impl fmt::Display for StrBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl fmt::Debug for StrBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::StrBytes;
    use bytes::Bytes;
    use std::collections::BTreeMap;

    #[test]
    fn looks_up_by_str_and_checks_utf8() {
        let map = BTreeMap::from([(StrBytes::from("a"), 1), (StrBytes::from_static("b"), 2)]);
        assert_eq!(map.get("b"), Some(&2));
        assert!(StrBytes::try_from(Bytes::from_static(b"\xff")).is_err());
        assert_eq!(StrBytes::try_from(Bytes::from_static("ü".as_bytes())).unwrap(), "ü");
        assert_eq!(format!("{0} {0:?}", StrBytes::from("x")), "x \"x\"");
    }
}
