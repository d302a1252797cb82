//! What DescribeConfigs and CreateTopics answer for a resource: each setting with its value, its
//! source and its synonyms (Kafka's `ConfigHelper`). Must not know the wire.

use ottla_protocol::{ErrorCode, StrBytes};

use super::definition::{ConfigDef, ConfigKind, UpdateMode};
use super::effective::Effective;
use super::validate;
use super::value::Value;
use super::{all, find};
use crate::image::{ConfigResource, ResourceKind};
use crate::refusal::Refusal;

/// Where a value comes from; strongest first for a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    DynamicTopic,
    /// Set on the broker while it ran.
    DynamicBroker,
    /// Set for all brokers while they ran.
    DynamicDefaultBroker,
    /// From the properties file.
    StaticBroker,
    /// Nobody set it.
    Default,
    /// A logger's level.
    DynamicBrokerLogger,
    /// Set on the client-metrics subscription.
    DynamicClientMetrics,
    /// Set on the group.
    DynamicGroup,
}

impl ConfigSource {
    /// The number on the wire.
    #[must_use]
    pub const fn wire_id(self) -> i8 {
        match self {
            Self::DynamicTopic => 1,
            Self::DynamicBroker => 2,
            Self::DynamicDefaultBroker => 3,
            Self::StaticBroker => 4,
            Self::Default => 5,
            Self::DynamicBrokerLogger => 6,
            Self::DynamicClientMetrics => 7,
            Self::DynamicGroup => 8,
        }
    }
}

/// One value among those a setting could have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// Setting it stands under.
    pub name: &'static str,
    /// The text; none for a password.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: ConfigSource,
}

/// A setting as a client is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConfig {
    /// Name.
    pub name: StrBytes,
    /// Value in force; none when there is none, or for a password.
    pub value: Option<String>,
    /// Whether it can only change in the properties file.
    pub read_only: bool,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether the value is hidden.
    pub sensitive: bool,
    /// Its type's number on the wire; 0 when it is not in the table.
    pub config_type: i8,
    /// All values it could have, strongest first.
    pub synonyms: Vec<ConfigSynonym>,
}

impl Effective<'_> {
    /// The settings of a resource, by name; only those in `keys` when given.
    ///
    /// # Errors
    /// Kafka's refusal of an impossible or unknown resource.
    pub fn describe(
        &self,
        resource: &ConfigResource,
        keys: Option<&[StrBytes]>,
    ) -> Result<Vec<DescribedConfig>, Refusal> {
        let wanted = |name: &str| keys.is_none_or(|keys| keys.iter().any(|key| &**key == name));
        match resource.kind {
            ResourceKind::Topic => {
                validate::resource(resource)?;
                if self.image.topic(&resource.name).is_none() {
                    return Err(Refusal::bare(ErrorCode::UnknownTopicOrPartition));
                }
                Ok(self.describe_kind(ConfigKind::Topic, resource, &wanted))
            }
            ResourceKind::Group if resource.name.is_empty() => {
                Err(Refusal::new(ErrorCode::InvalidRequest, "Group name must not be empty"))
            }
            ResourceKind::Group => Ok(self.describe_kind(ConfigKind::Group, resource, &wanted)),
            ResourceKind::ClientMetrics if resource.name.is_empty() => Err(Refusal::new(
                ErrorCode::InvalidRequest,
                "Client metrics subscription name must not be empty",
            )),
            ResourceKind::ClientMetrics => {
                Ok(self.describe_kind(ConfigKind::ClientMetrics, resource, &wanted))
            }
            ResourceKind::Broker if resource.name.is_empty() => {
                Ok(self.describe_default_broker(&wanted))
            }
            ResourceKind::Broker => {
                self.is_this_broker(resource)?;
                Ok(self.describe_broker(&wanted))
            }
            ResourceKind::BrokerLogger => {
                self.is_this_broker(resource)?;
                Ok(Vec::new())
            }
            ResourceKind::Other(_) => {
                let message = format!("Unsupported resource type: {}", resource.kind);
                Err(Refusal::new(ErrorCode::InvalidRequest, message))
            }
        }
    }

    /// The settings a new topic with these of its own has, for the answer to CreateTopics.
    pub(crate) fn describe_new_topic(&self, own: &validate::ConfigMap) -> Vec<DescribedConfig> {
        all(ConfigKind::Topic)
            .iter()
            .filter(|def| validate::is_listed(def))
            .map(|def| {
                let value = own.get(def.name).and_then(|text| def.parse(Some(text)).ok());
                self.describe_one(def, value, ConfigSource::DynamicTopic)
            })
            .collect()
    }

    fn is_this_broker(&self, resource: &ConfigResource) -> Result<(), Refusal> {
        let invalid = |message: String| Err(Refusal::new(ErrorCode::InvalidRequest, message));
        match resource.name.parse::<i32>() {
            Ok(id) if id == self.node.get() => Ok(()),
            Ok(_) => invalid(format!(
                "Unexpected broker id, expected {} or empty string, but received {}",
                self.node, resource.name
            )),
            Err(_) => {
                invalid(format!("Broker id must be an integer, but it is: {}", resource.name))
            }
        }
    }

    fn describe_kind(
        &self,
        kind: ConfigKind,
        resource: &ConfigResource,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Vec<DescribedConfig> {
        let source = match kind {
            ConfigKind::Group => ConfigSource::DynamicGroup,
            ConfigKind::ClientMetrics => ConfigSource::DynamicClientMetrics,
            ConfigKind::Topic | ConfigKind::Broker => ConfigSource::DynamicTopic,
        };
        all(kind)
            .iter()
            .filter(|def| validate::is_listed(def) && wanted(def.name))
            .map(|def| self.describe_one(def, self.own(resource.kind, &resource.name, def), source))
            .collect()
    }

    fn describe_one(
        &self,
        def: &'static ConfigDef,
        own: Option<Value>,
        own_source: ConfigSource,
    ) -> DescribedConfig {
        let behind: Vec<(&ConfigDef, i64)> = def
            .synonyms
            .iter()
            .filter_map(|synonym| Some((find(ConfigKind::Broker, synonym.name)?, synonym.factor)))
            .collect();
        // Kafka shows a fallback only from where the first setting behind this one is set.
        let first = behind.first().map(|(first, _)| first.name);
        let mut synonyms: Vec<ConfigSynonym> = self
            .layers(&behind)
            .into_iter()
            .map(|candidate| candidate.synonym)
            .skip_while(|synonym| Some(synonym.name) != first)
            .collect();
        if def.kind == ConfigKind::Group && behind.is_empty() {
            let value = def.default_value().to_text();
            synonyms.push(ConfigSynonym { name: def.name, value, source: ConfigSource::Default });
        }
        let value = match own {
            Some(value) => {
                let text = value.to_text();
                synonyms
                    .insert(0, ConfigSynonym { name: def.name, value: text, source: own_source });
                value
            }
            None => self.inherited(def),
        };
        DescribedConfig {
            name: StrBytes::from(def.name),
            value: value.to_text(),
            read_only: false,
            source: synonyms.first().map_or(ConfigSource::Default, |strongest| strongest.source),
            sensitive: false,
            config_type: def.value_type.wire_id(),
            synonyms,
        }
    }

    fn describe_broker(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<DescribedConfig> {
        all(ConfigKind::Broker)
            .iter()
            .filter(|def| validate::is_listed(def) && wanted(def.name))
            .filter_map(|def| {
                let mut synonyms: Vec<ConfigSynonym> = self
                    .layers(&[(def, 1)])
                    .into_iter()
                    .map(|candidate| candidate.synonym)
                    .collect();
                if def.update_mode == UpdateMode::Dynamic && synonyms.is_empty() {
                    return None;
                }
                let mut value = self.broker(def.name).to_text();
                if def.is_sensitive() {
                    value = None;
                    synonyms.iter_mut().for_each(|synonym| synonym.value = None);
                }
                Some(DescribedConfig {
                    name: StrBytes::from(def.name),
                    value,
                    read_only: def.update_mode == UpdateMode::ReadOnly,
                    source: synonyms
                        .first()
                        .map_or(ConfigSource::Default, |strongest| strongest.source),
                    sensitive: def.is_sensitive(),
                    config_type: def.value_type.wire_id(),
                    synonyms,
                })
            })
            .collect()
    }

    /// Only what was set for all brokers.
    fn describe_default_broker(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<DescribedConfig> {
        let resource = ConfigResource { kind: ResourceKind::Broker, name: StrBytes::default() };
        let Some(configs) = self.image.config(&resource) else { return Vec::new() };
        configs
            .iter()
            .filter(|(name, _)| wanted(name))
            .map(|(name, text)| {
                let def = find(ConfigKind::Broker, name);
                let sensitive = def.is_none_or(ConfigDef::is_sensitive);
                let value = (!sensitive).then(|| text.to_string());
                let source = ConfigSource::DynamicDefaultBroker;
                let synonyms = def
                    .map(|def| ConfigSynonym { name: def.name, value: value.clone(), source })
                    .into_iter()
                    .collect();
                let config_type = def.map_or(0, |def| def.value_type.wire_id());
                DescribedConfig {
                    name: name.clone(),
                    value,
                    read_only: false,
                    source,
                    sensitive,
                    config_type,
                    synonyms,
                }
            })
            .collect()
    }
}
