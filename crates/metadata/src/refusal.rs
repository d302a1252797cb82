//! A request that cannot be granted: Kafka's error code with a sentence. Must not know requests.

use std::fmt;

use ottla_protocol::{ErrorCode, StrBytes};

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Kafka's code.
    pub code: ErrorCode,
    /// Kafka's sentence; none where Kafka sends none.
    pub message: Option<String>,
}

impl Refusal {
    /// A refusal with a sentence of its own.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()) }
    }

    /// A refusal with the code's usual sentence.
    #[must_use]
    pub fn bare(code: ErrorCode) -> Self {
        Self { code, message: Some(code.message().to_owned()) }
    }

    /// The sentence as a response carries it.
    #[must_use]
    pub fn wire_message(&self) -> Option<StrBytes> {
        self.message.clone().map(StrBytes::from)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{message}"),
            None => write!(f, "{}", self.code.message()),
        }
    }
}

impl std::error::Error for Refusal {}
