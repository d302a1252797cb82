//! Owns the node's configuration: from raw settings to values that are checked against the table
//! of settings and against each other.
//! Must not know sockets, files or the data directory's content.

mod identity;
mod listeners;

pub use listeners::{Endpoint, ListenerRole};

use crate::error::ConfigError;
use crate::settings::{Origin, Setting, Settings};
use listeners::{ProtocolMap, parse_endpoint, parse_endpoints, split_list};
use ottla_broker::Limits;
use ottla_controller::MetadataLogSettings;
use ottla_metadata::Image;
use ottla_metadata::configs::{
    self, BrokerProperties, ConfigDef, ConfigKind, Effective, InvalidValue, Support, UpdateMode,
    Value,
};
use ottla_protocol::NodeId;
use std::path::PathBuf;
use std::time::Duration;

/// Names for one thing, the one that Kafka prefers first.
const SYNONYMS: [&[&str]; 6] = [
    &["log.dirs", "log.dir"],
    &["node.id", "broker.id"],
    &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
    &["log.roll.ms", "log.roll.hours"],
    &["log.roll.jitter.ms", "log.roll.jitter.hours"],
    &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
];

/// A listener to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Name, host and port to bind.
    pub endpoint: Endpoint,
    /// Whom it serves.
    pub role: ListenerRole,
    /// Host and port that clients are told; without it they are told the address they dialled.
    pub advertised: Option<(String, u16)>,
}

/// Everything a node is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// `node.id`; none means that of the formatted data directory, or 1 for a new one.
    pub node_id: Option<i32>,
    /// `log.dirs`; never empty.
    pub log_dirs: Vec<PathBuf>,
    /// The one of `log_dirs` that holds the metadata log (`metadata.log.dir`).
    pub metadata_log_dir: PathBuf,
    /// Every listener, controller listeners too; at least one serves clients.
    pub listeners: Vec<Listener>,
    /// Whether `controller.quorum.voters` names this node: a quorum without directory ids.
    pub static_quorum: bool,
    /// When the metadata log is rolled and snapshots are taken (`metadata.log.…`).
    pub metadata_log: MetadataLogSettings,
    /// Limits on what clients can make the node hold.
    pub limits: Limits,
    /// Every setting of the table that somebody gave, for the metadata and the broker.
    pub properties: BrokerProperties,
    /// Settings without effect; each a sentence.
    pub warnings: Vec<String>,
}

/// What stays of the quorum's voters when one node is alone.
const ALONE: &str = "this version runs a quorum of one node, with both roles in one process";

impl Config {
    /// Checks settings against the table and against each other.
    pub fn from_settings(mut settings: Settings) -> Result<Self, ConfigError> {
        for names in SYNONYMS {
            settings.keep_strongest(names);
        }
        let (properties, mut warnings) = check_all(&settings)?;
        let reader = Reader { settings: &settings };
        identity::check_roles(&reader)?;
        let node_id = identity::node_id(&reader)?;
        let static_quorum = identity::check_quorum(&reader, node_id, &mut warnings)?;
        let (log_dirs, metadata_log_dir) = reader.directories()?;
        reader.check_cordoned(&properties)?;
        Ok(Self {
            node_id,
            log_dirs,
            metadata_log_dir,
            listeners: reader.listeners()?,
            static_quorum,
            metadata_log: reader.metadata_log()?,
            limits: reader.limits()?,
            properties,
            warnings,
        })
    }
}

/// Checks each setting by itself: bad values are errors, unknown and idle ones warnings.
fn check_all(settings: &Settings) -> Result<(BrokerProperties, Vec<String>), ConfigError> {
    let mut properties = BrokerProperties::default();
    let mut warnings = Vec::new();
    for (name, Setting { value, origin }) in settings.iter() {
        let Some(definition) = configs::find(ConfigKind::Broker, name) else {
            warnings.push(unknown(name, origin));
            continue;
        };
        definition
            .parse(Some(value))
            .map_err(|refused| bad_value(name, origin, reason(definition, &refused)))?;
        if definition.update_mode == UpdateMode::Dynamic {
            warnings.push(format!(
                "{origin}: {name} is ignored: it is set while the node runs (kafka-configs)"
            ));
            continue;
        }
        match definition.support {
            Support::Yes => {}
            Support::NoEffect(instead) => {
                warnings.push(format!("{origin}: {name} has no effect: {instead}"));
            }
            Support::Refused(why) => return Err(bad_value(name, origin, why)),
        }
        properties.set(name, value);
    }
    Ok((properties, warnings))
}

/// The table's sentence without the setting's name, which the error says already; without the
/// value too if that is a secret.
fn reason(definition: &ConfigDef, refused: &InvalidValue) -> String {
    let sentence = refused.to_string();
    match sentence.split_once(&format!(" for configuration {}: ", definition.name)) {
        Some((_, why)) if definition.is_sensitive() => why.to_owned(),
        Some((value, why)) => format!("{}: {why}", value.replacen("Invalid", "invalid", 1)),
        None if definition.is_sensitive() => "this value is not allowed".to_owned(),
        None => sentence,
    }
}

fn unknown(name: &str, origin: &Origin) -> String {
    if name.starts_with("listener.name.") {
        format!("{origin}: {name} is ignored: settings for a single listener are not supported")
    } else {
        format!(
            "{origin}: {name} is ignored: there is no such broker setting in Kafka 4.4 or Ottla"
        )
    }
}

fn bad_value(name: &str, origin: &Origin, reason: impl Into<String>) -> ConfigError {
    ConfigError::Value { origin: origin.clone(), name: name.to_owned(), reason: reason.into() }
}

/// Reads single settings, with the table's default where nobody gave one.
struct Reader<'a> {
    settings: &'a Settings,
}

impl<'a> Reader<'a> {
    /// The setting if it was given and is not empty.
    fn given(&self, name: &str) -> Option<&'a Setting> {
        self.settings.get(name).filter(|setting| !setting.value.is_empty())
    }

    /// Turns a reason into the error that names setting and origin.
    fn refuse<'s>(
        name: &'s str,
        setting: &'s Setting,
    ) -> impl Fn(String) -> ConfigError + Copy + use<'s> {
        move |reason| bad_value(name, &setting.origin, reason)
    }

    /// The value in force: the one given, which is checked already, or the table's default.
    fn value(&self, name: &str) -> Value {
        let Some(definition) = configs::find(ConfigKind::Broker, name) else { return Value::Null };
        self.given(name)
            .and_then(|setting| definition.parse(Some(&setting.value)).ok())
            .unwrap_or_else(|| definition.default_value())
    }

    fn number(&self, name: &str) -> Result<i64, ConfigError> {
        let number = self.value(name).as_i64();
        number.ok_or_else(|| ConfigError::Conflict(format!("{name} has no value")))
    }

    fn text(&self, name: &str) -> String {
        self.value(name).to_text().unwrap_or_default()
    }

    fn directories(&self) -> Result<(Vec<PathBuf>, PathBuf), ConfigError> {
        let names = ["log.dirs", "log.dir"];
        let given =
            self.settings.strongest(&names).filter(|(_, setting)| !setting.value.is_empty());
        let text = given.map_or_else(|| self.text("log.dir"), |(_, setting)| setting.value.clone());
        let mut dirs: Vec<PathBuf> = Vec::new();
        for item in split_list(&text) {
            let dir = PathBuf::from(item);
            if dirs.contains(&dir) {
                let reason = format!("{item} comes twice");
                return Err(match given {
                    Some((name, setting)) => Self::refuse(name, setting)(reason),
                    None => ConfigError::Conflict(reason),
                });
            }
            dirs.push(dir);
        }
        let Some(first) = dirs.first() else {
            return Err(ConfigError::Conflict("log.dirs names no directory".into()));
        };
        let metadata_dir = match self.given("metadata.log.dir") {
            None => first.clone(),
            Some(setting) => {
                let dir = PathBuf::from(&setting.value);
                if !dirs.contains(&dir) {
                    dirs.push(dir.clone());
                }
                dir
            }
        };
        Ok((dirs, metadata_dir))
    }

    fn check_cordoned(&self, properties: &BrokerProperties) -> Result<(), ConfigError> {
        let name = "cordoned.log.dirs";
        let Some(setting) = self.given(name) else { return Ok(()) };
        let (image, node) = (Image::default(), NodeId::NONE);
        let effective = Effective { image: &image, node, properties };
        let checked = effective.check_cordoned(&effective.cordoned_log_dirs());
        checked.map_err(|wrong| {
            let sentence = wrong.to_string();
            let reason = sentence.strip_prefix("requirement failed: ").unwrap_or(&sentence);
            Self::refuse(name, setting)(reason.to_owned())
        })
    }

    fn listeners(&self) -> Result<Vec<Listener>, ConfigError> {
        let controller_names = self.names("controller.listener.names");
        let map = match self.given("listener.security.protocol.map") {
            None => ProtocolMap::standard(),
            Some(setting) => ProtocolMap::parse(&setting.value)
                .map_err(Self::refuse("listener.security.protocol.map", setting))?,
        };
        let role_of = |name: &String| {
            if controller_names.contains(name) {
                ListenerRole::Controller
            } else {
                ListenerRole::Broker
            }
        };
        let given = self.given("listeners");
        let refuse = |reason: String| match given {
            Some(setting) => Self::refuse("listeners", setting)(reason),
            None => ConfigError::Conflict(reason),
        };
        let mut listeners = Vec::new();
        for endpoint in parse_endpoints(&self.text("listeners"), true).map_err(refuse)? {
            let role = role_of(&endpoint.listener);
            let protocol = map.protocol_of(&endpoint.listener, role).map_err(refuse)?;
            if protocol != "PLAINTEXT" {
                return Err(refuse(format!(
                    "listener {} speaks {protocol}; this version speaks PLAINTEXT alone",
                    endpoint.listener
                )));
            }
            listeners.push(Listener { endpoint, role, advertised: None });
        }
        if !listeners.iter().any(|listener| listener.role == ListenerRole::Broker) {
            return Err(refuse("no listener is left for clients".into()));
        }
        self.check_inter_broker(&listeners)?;
        self.advertise(&mut listeners)?;
        Ok(listeners)
    }

    fn names(&self, setting: &str) -> Vec<String> {
        split_list(&self.text(setting)).map(str::to_uppercase).collect()
    }

    fn check_inter_broker(&self, listeners: &[Listener]) -> Result<(), ConfigError> {
        let name = "inter.broker.listener.name";
        let Some(setting) = self.given(name) else { return Ok(()) };
        let wanted = setting.value.to_uppercase();
        match listeners.iter().find(|listener| listener.endpoint.listener == wanted) {
            Some(listener) if listener.role == ListenerRole::Broker => Ok(()),
            Some(_) => {
                Err(Self::refuse(name, setting)(format!("{wanted} is a controller listener")))
            }
            None => Err(Self::refuse(name, setting)(format!("{wanted} is not one of listeners"))),
        }
    }

    fn advertise(&self, listeners: &mut [Listener]) -> Result<(), ConfigError> {
        let name = "advertised.listeners";
        let Some(setting) = self.given(name) else { return Ok(()) };
        let refuse = Self::refuse(name, setting);
        for endpoint in parse_endpoints(&setting.value, false).map_err(refuse)? {
            if ["", "0.0.0.0", "::"].contains(&endpoint.host.as_str()) {
                return Err(refuse(format!("{endpoint} is no address that a client can dial")));
            }
            let Some(listener) =
                listeners.iter_mut().find(|one| one.endpoint.listener == endpoint.listener)
            else {
                return Err(refuse(format!("{} is not one of listeners", endpoint.listener)));
            };
            listener.advertised = Some((endpoint.host, endpoint.port));
        }
        Ok(())
    }

    fn metadata_log(&self) -> Result<MetadataLogSettings, ConfigError> {
        let number = |name| Ok(u64::try_from(self.number(name)?).unwrap_or(0));
        Ok(MetadataLogSettings {
            segment_bytes: number("metadata.log.segment.bytes")?,
            snapshot_bytes: number("metadata.log.max.record.bytes.between.snapshots")?,
            snapshot_interval_ms: number("metadata.log.max.snapshot.interval.ms")?,
            reserve_bytes: u64::try_from(self.number("metadata.log.reserve.bytes")?).ok(),
        })
    }

    fn limits(&self) -> Result<Limits, ConfigError> {
        let standard = Limits::default();
        // Negative means "no limit" in Kafka; Ottla keeps its finite one.
        let given = |name: &'static str, fallback: usize| -> Result<usize, ConfigError> {
            Ok(usize::try_from(self.number(name)?).unwrap_or(fallback))
        };
        let idle_ms = self.number("connections.max.idle.ms")?;
        // Negative means never in Kafka.
        let idle = u64::try_from(idle_ms).map_or(Duration::MAX, Duration::from_millis);
        Ok(Limits {
            request_bytes_max: given("socket.request.max.bytes", standard.request_bytes_max)?,
            queued_bytes_max: given("queued.max.request.bytes", standard.queued_bytes_max)?,
            idle,
            frame_deadline: standard.frame_deadline.min(idle),
            ..standard
        })
    }
}

/// The setting that `--listen` stands for: `HOST:PORT`, or `NAME://HOST:PORT`. Controller
/// listeners that a weaker origin has named stay.
pub(crate) fn listen_at(
    settings: &mut Settings,
    text: &str,
    origin: Origin,
) -> Result<(), ConfigError> {
    let endpoint =
        parse_endpoint(text).map_err(|reason| bad_value("listeners", &origin, reason))?;
    let mut value = endpoint.to_string();
    let controllers =
        settings.get("controller.listener.names").map_or("", |setting| &setting.value);
    let controllers: Vec<String> = split_list(controllers).map(str::to_uppercase).collect();
    if let Some(listeners) = settings.get("listeners") {
        for item in split_list(&listeners.value) {
            if parse_endpoint(item).is_ok_and(|kept| controllers.contains(&kept.listener)) {
                value = format!("{value},{item}");
            }
        }
    }
    settings.set("listeners", &value, origin);
    Ok(())
}

#[cfg(test)]
mod tests;
