//! Settings: the table of all that exist, their values and what holds for a broker, a topic or a
//! group in the end. Knows the image's dynamic settings; must not know files or the environment.

mod client_metrics;
mod definition;
mod describe;
mod effective;
mod group;
mod table;
mod topic;
pub(crate) mod validate;
mod value;

pub use definition::{
    Allowed, ConfigDef, ConfigKind, DefaultValue, Importance, Origin, Support, Synonym, UpdateMode,
    ValueType,
};
pub use describe::{ConfigSource, ConfigSynonym, DescribedConfig};
pub use effective::{BrokerProperties, Effective};
pub use topic::{Compression, FlushMode, TimestampType, TopicConfig};
pub use value::{InvalidValue, Value};

/// All settings of a kind, by name.
#[must_use]
pub fn all(kind: ConfigKind) -> &'static [ConfigDef] {
    match kind {
        ConfigKind::Broker => table::BROKER,
        ConfigKind::ClientMetrics => table::CLIENT_METRICS,
        ConfigKind::Group => table::GROUP,
        ConfigKind::Topic => table::TOPIC,
    }
}

/// The setting of this kind and name, if there is one.
#[must_use]
pub fn find(kind: ConfigKind, name: &str) -> Option<&'static ConfigDef> {
    let table = all(kind);
    let index = table.binary_search_by(|def| def.name.cmp(name)).ok()?;
    table.get(index)
}
