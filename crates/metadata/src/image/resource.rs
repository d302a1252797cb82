//! What can have settings. Must not know which settings.

use std::fmt;

use ottla_protocol::StrBytes;

/// Kinds of resource that have settings (`ConfigResource.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceKind {
    /// A topic.
    Topic,
    /// A broker by its id; an empty name stands for all brokers.
    Broker,
    /// The log levels of a broker.
    BrokerLogger,
    /// A client-metrics subscription (KIP-714).
    ClientMetrics,
    /// A group.
    Group,
    /// A number nobody gave a meaning.
    Other(i8),
}

impl ResourceKind {
    /// The kind with this number on the wire.
    #[must_use]
    pub const fn from_wire(id: i8) -> Self {
        match id {
            2 => Self::Topic,
            4 => Self::Broker,
            8 => Self::BrokerLogger,
            16 => Self::ClientMetrics,
            32 => Self::Group,
            _ => Self::Other(id),
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn wire_id(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Broker => 4,
            Self::BrokerLogger => 8,
            Self::ClientMetrics => 16,
            Self::Group => 32,
            Self::Other(id) => id,
        }
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Topic => "TOPIC",
            Self::Broker => "BROKER",
            Self::BrokerLogger => "BROKER_LOGGER",
            Self::ClientMetrics => "CLIENT_METRICS",
            Self::Group => "GROUP",
            Self::Other(_) => "UNKNOWN",
        })
    }
}

/// Something that has settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigResource {
    /// What it is.
    pub kind: ResourceKind,
    /// Its name.
    pub name: StrBytes,
}

impl ConfigResource {
    /// A topic's settings.
    #[must_use]
    pub fn topic(name: &str) -> Self {
        Self { kind: ResourceKind::Topic, name: StrBytes::from(name.to_owned()) }
    }

    /// The settings of one broker.
    #[must_use]
    pub fn broker(id: ottla_protocol::NodeId) -> Self {
        Self { kind: ResourceKind::Broker, name: StrBytes::from(id.to_string()) }
    }

    /// The settings for all brokers.
    #[must_use]
    pub fn all_brokers() -> Self {
        Self { kind: ResourceKind::Broker, name: StrBytes::default() }
    }
}
