//! What is known of one setting: its type, default, allowed values, scope and synonyms, and what
//! Ottla does with it. Must not know where a value comes from.

use std::fmt;

/// Whose setting it is. Topic and broker settings of one name are different settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigKind {
    /// A node's `server.properties`.
    Broker,
    /// A client-metrics subscription (KIP-714).
    ClientMetrics,
    /// A group (KIP-848, KIP-932, KIP-1071).
    Group,
    /// A topic.
    Topic,
}

/// Types of Kafka's `ConfigDef`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// `true` or `false`, in any case.
    Boolean,
    /// Text.
    String,
    /// 32-bit number.
    Int,
    /// 16-bit number.
    Short,
    /// 64-bit number.
    Long,
    /// Floating point number.
    Double,
    /// Comma-separated texts.
    List,
    /// The name of a Java class: kept as text.
    Class,
    /// Text that is never shown.
    Password,
}

impl ValueType {
    /// The number DescribeConfigs answers in `config_type`.
    #[must_use]
    pub const fn wire_id(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::String => 2,
            Self::Int => 3,
            Self::Short => 4,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
            Self::Class => 8,
            Self::Password => 9,
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Int => "INT",
            Self::Short => "SHORT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::List => "LIST",
            Self::Class => "CLASS",
            Self::Password => "PASSWORD",
        })
    }
}

/// What holds when nobody set the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// There is none: a process without it does not start.
    Required,
    /// No value.
    Null,
    /// This text, read as the setting's type.
    Value(&'static str),
}

/// Which values of the type are allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Allowed {
    /// All.
    Any,
    /// Integers from least to most, both included.
    Range(Option<i64>, Option<i64>),
    /// Fractions from least to most, both included.
    Fraction(Option<f64>, Option<f64>),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these texts, in any case.
    OneOfIgnoringCase(&'static [&'static str]),
    /// Every item is one of these texts.
    ListOf(&'static [&'static str]),
    /// Text with something in it.
    NonEmptyString,
    /// Any text.
    NonNull,
    /// A list with something in it.
    NonEmptyList,
    /// A list, perhaps empty, of items with something in them.
    NonEmptyItems,
    /// The same, each item once.
    DistinctItems,
    /// 1 to 9, or −1 for the codec's own choice.
    GzipLevel,
    /// `*` or a list of `partition:broker`.
    ThrottledReplicas,
    /// `earliest`, `latest` or `by_duration:` and an ISO 8601 duration (KIP-932).
    ShareOffsetReset,
}

/// Kafka's word on how much a user should care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// Look at it.
    High,
    /// Know of it.
    Medium,
    /// Leave it.
    Low,
}

/// How a broker setting may change while the node runs (KIP-226).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateMode {
    /// Only in the properties file, read at start.
    ReadOnly,
    /// For one broker.
    PerBroker,
    /// For one broker, or for all as their default.
    ClusterWide,
    /// As [`UpdateMode::ClusterWide`], and never from the properties file; shown only when it is
    /// set.
    Dynamic,
}

/// A broker setting that a topic setting falls back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// Name of the broker setting.
    pub name: &'static str,
    /// The topic's value is the broker's times this: hours to milliseconds, for example.
    pub factor: i64,
}

/// Who defined the setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Apache Kafka, documented.
    Kafka,
    /// Apache Kafka, for its own tests: accepted, never listed.
    Internal,
    /// Ottla.
    Ottla,
}

/// What Ottla does with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// What Kafka does.
    Yes,
    /// Keeps and shows it; the text says what happens instead.
    NoEffect(&'static str),
    /// A node with it set does not start; the text says why.
    Refused(&'static str),
}

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfigDef {
    /// Name as in the properties file and on the wire.
    pub name: &'static str,
    /// Whose setting.
    pub kind: ConfigKind,
    /// Type of the value.
    pub value_type: ValueType,
    /// Value when nobody set one.
    pub default: DefaultValue,
    /// Which values are allowed.
    pub allowed: Allowed,
    /// Kafka's word on it.
    pub importance: Importance,
    /// How a broker setting may change; `ClusterWide` for the other kinds.
    pub update_mode: UpdateMode,
    /// For a topic setting: the broker settings behind it, the first that is set wins, the last
    /// one's default holds when none is.
    pub synonyms: &'static [Synonym],
    /// Who defined it.
    pub origin: Origin,
    /// What Ottla does with it.
    pub support: Support,
}

impl ConfigDef {
    /// Whether the value is never shown: passwords.
    #[must_use]
    pub fn is_sensitive(&self) -> bool {
        self.value_type == ValueType::Password
    }
}
