//! What a setting is in the end: the topic's own value, else the broker's dynamic one, the
//! default for all brokers, the properties file, the table's default. Must not know requests.

use std::collections::BTreeMap;

use ottla_protocol::{NodeId, StrBytes};

use super::definition::{ConfigDef, ConfigKind, UpdateMode};
use super::describe::{ConfigSource, ConfigSynonym};
use super::find;
use super::value::{InvalidValue, Value};
use crate::image::{ConfigResource, Image, ResourceKind};

const CORDONED: &str = "cordoned.log.dirs";

/// The settings a node was started with, as text by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerProperties {
    entries: BTreeMap<String, String>,
}

impl BrokerProperties {
    /// Takes a setting. `node.id` counts for `broker.id` too and the other way round, as in Kafka.
    pub fn set(&mut self, name: &str, value: &str) {
        if let Some(twin) = match name {
            "node.id" => Some("broker.id"),
            "broker.id" => Some("node.id"),
            _ => None,
        } {
            self.entries.insert(twin.to_owned(), value.to_owned());
        }
        self.entries.insert(name.to_owned(), value.to_owned());
    }

    /// The text of a setting, when it was given.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries.get(name).map(String::as_str)
    }

    /// All that were given, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for BrokerProperties {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(iter: I) -> Self {
        let mut properties = Self::default();
        for (name, value) in iter {
            properties.set(name.as_ref(), value.as_ref());
        }
        properties
    }
}

/// Resolves settings as one node sees them.
#[derive(Clone, Copy, Debug)]
pub struct Effective<'a> {
    /// Dynamic settings.
    pub image: &'a Image,
    /// The node that asks.
    pub node: NodeId,
    /// What it was started with.
    pub properties: &'a BrokerProperties,
}

/// A broker setting's value with where it comes from; the value is as it was given.
pub(super) struct Candidate {
    pub(super) synonym: ConfigSynonym,
    pub(super) factor: i64,
}

impl<'a> Effective<'a> {
    /// A broker setting; `Null` when it has no value or there is no such setting.
    #[must_use]
    pub fn broker(&self, name: &str) -> Value {
        let Some(def) = find(ConfigKind::Broker, name) else { return Value::Null };
        self.layers(&[(def, 1)])
            .into_iter()
            .find_map(|candidate| def.parse(candidate.synonym.value.as_deref()).ok())
            .unwrap_or_else(|| def.default_value())
    }

    /// The log directories that take no new partitions (`cordoned.log.dirs`, KIP-1066), as the
    /// settings name them; `*` for all.
    #[must_use]
    pub fn cordoned_log_dirs(&self) -> Vec<String> {
        self.broker(CORDONED).as_list().unwrap_or_default().to_vec()
    }

    /// The log directories, as the settings name them.
    fn log_dirs(&self) -> Vec<String> {
        let given = self.broker("log.dirs");
        let given = if given == Value::Null { self.broker("log.dir") } else { given };
        given.as_list().unwrap_or_default().to_vec()
    }

    /// Whether log directories can be cordoned by these names.
    ///
    /// # Errors
    /// Kafka's sentence when one is no log directory.
    pub fn check_cordoned(&self, cordoned: &[String]) -> Result<(), InvalidValue> {
        let failed = |what: String| Err(InvalidValue(format!("requirement failed: {what}")));
        if cordoned.iter().any(|dir| dir == "*") {
            return match cordoned {
                [_] => Ok(()),
                _ => {
                    failed(format!("When {CORDONED} is set to *, it must not contain other values"))
                }
            };
        }
        let known = self.log_dirs();
        let missing: Vec<&str> =
            cordoned.iter().filter(|dir| !known.contains(dir)).map(String::as_str).collect();
        if missing.is_empty() {
            return Ok(());
        }
        failed(format!(
            "All entries in {CORDONED} must be present in log.dirs or log.dir. Missing entries : {}",
            missing.join(", ")
        ))
    }

    /// What a topic setting is when the topic itself does not say.
    #[must_use]
    pub fn topic_default(&self, name: &str) -> Value {
        find(ConfigKind::Topic, name).map_or(Value::Null, |def| self.inherited(def))
    }

    /// A setting of a group: its own value, else what its broker says for all groups.
    #[must_use]
    pub fn group(&self, group: &str, name: &str) -> Value {
        let Some(def) = find(ConfigKind::Group, name) else { return Value::Null };
        self.own(ResourceKind::Group, group, def).unwrap_or_else(|| self.inherited(def))
    }

    /// A setting of a topic.
    #[must_use]
    pub fn topic_value(&self, topic: &str, name: &str) -> Value {
        let Some(def) = find(ConfigKind::Topic, name) else { return Value::Null };
        self.own(ResourceKind::Topic, topic, def).unwrap_or_else(|| self.inherited(def))
    }

    pub(super) fn own(&self, kind: ResourceKind, name: &str, def: &ConfigDef) -> Option<Value> {
        let resource = ConfigResource { kind, name: StrBytes::from(name.to_owned()) };
        let text = self.image.config(&resource)?.get(def.name)?;
        // What was checked when it was set can be refused by the rules of a later release.
        def.parse(Some(text)).ok()
    }

    /// The value behind a topic or group setting: the first broker setting that is set, the
    /// last one's default when none is.
    pub(super) fn inherited(&self, def: &ConfigDef) -> Value {
        let behind: Vec<(&ConfigDef, i64)> = def
            .synonyms
            .iter()
            .filter_map(|synonym| Some((find(ConfigKind::Broker, synonym.name)?, synonym.factor)))
            .collect();
        for (broker, factor) in &behind {
            for candidate in self.layers(&[(broker, *factor)]) {
                if candidate.synonym.source == ConfigSource::Default {
                    continue;
                }
                if let Some(value) = scaled(def, &candidate) {
                    return value;
                }
            }
        }
        let defaults = behind.iter().find_map(|(broker, factor)| {
            let default = self.layers(&[(broker, *factor)]).pop()?;
            scaled(def, &default)
        });
        defaults.unwrap_or_else(|| def.default_value())
    }

    /// All values of these broker settings, strongest source first; within one source in the
    /// order of the settings.
    pub(super) fn layers(&self, defs: &[(&ConfigDef, i64)]) -> Vec<Candidate> {
        let dynamic = |name: String| {
            let resource =
                ConfigResource { kind: ResourceKind::Broker, name: StrBytes::from(name) };
            self.image.config(&resource)
        };
        let (own, all) = (dynamic(self.node.to_string()), dynamic(String::new()));
        let lookup = |source: ConfigSource, def: &ConfigDef| -> Option<String> {
            match source {
                ConfigSource::DynamicBroker => own?.get(def.name).map(ToString::to_string),
                ConfigSource::DynamicDefaultBroker => all?.get(def.name).map(ToString::to_string),
                ConfigSource::StaticBroker | ConfigSource::Default
                    if def.update_mode == UpdateMode::Dynamic =>
                {
                    None
                }
                ConfigSource::StaticBroker => self.properties.get(def.name).map(ToOwned::to_owned),
                ConfigSource::Default => def.default_value().to_text(),
                ConfigSource::DynamicTopic
                | ConfigSource::DynamicGroup
                | ConfigSource::DynamicClientMetrics
                | ConfigSource::DynamicBrokerLogger => None,
            }
        };
        let sources = [
            ConfigSource::DynamicBroker,
            ConfigSource::DynamicDefaultBroker,
            ConfigSource::StaticBroker,
            ConfigSource::Default,
        ];
        let mut found = Vec::new();
        for source in sources {
            for (def, factor) in defs {
                if let Some(value) = lookup(source, def) {
                    let synonym = ConfigSynonym { name: def.name, value: Some(value), source };
                    found.push(Candidate { synonym, factor: *factor });
                }
            }
        }
        found
    }
}

/// The candidate's value as one of `def`.
fn scaled(def: &ConfigDef, candidate: &Candidate) -> Option<Value> {
    let text = candidate.synonym.value.as_deref()?;
    if candidate.factor == 1 {
        // A list behind a single value: its first item.
        let single = def.value_type == super::ValueType::String;
        let text = if single { text.split(',').next().unwrap_or(text) } else { text };
        return def.parse(Some(text)).ok();
    }
    let number: i64 = text.trim().parse().ok()?;
    // Minutes and hours of "for ever" stay "for ever".
    let number = if number < 0 { number } else { number.saturating_mul(candidate.factor) };
    def.parse(Some(&number.to_string())).ok()
}
