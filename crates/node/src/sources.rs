//! Owns the order in which the places of configuration are asked.
//! Must not know how the command line is written, nor what settings mean.

use crate::config::{self, Config};
use crate::error::ConfigError;
use crate::settings::{Origin, Settings};
use ottla_metadata::configs::{self, ConfigKind};
use std::ffi::OsString;
use std::path::PathBuf;

/// What the command line and the environment say.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--config`: a file as Kafka's `server.properties`.
    pub config: Option<PathBuf>,
    /// Each `-o key=value`.
    pub options: Vec<String>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--node-id`.
    pub node_id: Option<i32>,
    /// Environment variables; those that begin with `OTTLA_` count.
    pub environment: Vec<(OsString, OsString)>,
}

impl Sources {
    /// Reads them all. `-o` wins over flags, flags over the environment, that over the file,
    /// and all over the defaults.
    pub fn gather(self) -> Result<Config, ConfigError> {
        let mut settings = Settings::new();
        if let Some(path) =
            self.config.clone().or_else(|| self.variable("OTTLA_CONFIG").map(PathBuf::from))
        {
            settings.read_file(&path)?;
        }
        if let Some(dir) = self.variable("OTTLA_DATA_DIR").map(PathBuf::from) {
            let origin = Origin::Environment("OTTLA_DATA_DIR".to_owned());
            set_data_dir(&mut settings, &dir, origin)?;
        }
        let listen = self.variable("OTTLA_LISTEN").map(|text| text.to_string_lossy().into_owned());
        let known = configs::all(ConfigKind::Broker).iter().map(|definition| definition.name);
        settings.read_environment(self.environment, known)?;
        for option in &self.options {
            settings.set_option(option)?;
        }
        if let Some(dir) = &self.data_dir {
            set_data_dir(&mut settings, dir, Origin::Flag("--data-dir"))?;
        }
        if let Some(id) = self.node_id {
            settings.set("node.id", &id.to_string(), Origin::Flag("--node-id"));
        }
        if let Some(text) = listen {
            let origin = Origin::Environment("OTTLA_LISTEN".to_owned());
            config::listen_at(&mut settings, &text, origin)?;
        }
        if let Some(text) = &self.listen {
            config::listen_at(&mut settings, text, Origin::Flag("--listen"))?;
        }
        Config::from_settings(settings)
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        let found = self.environment.iter().find(|(variable, _)| variable == name)?;
        Some(found.1.clone()).filter(|value| !value.is_empty())
    }
}

/// `log.dirs` is a list with commas, so a single directory cannot have one in its name.
fn set_data_dir(
    settings: &mut Settings,
    dir: &std::path::Path,
    origin: Origin,
) -> Result<(), ConfigError> {
    match dir.to_str() {
        Some(text) if !text.contains(',') && !text.trim().is_empty() => {
            settings.set("log.dirs", text, origin);
            Ok(())
        }
        _ => Err(ConfigError::Value {
            origin,
            name: "log.dirs".to_owned(),
            reason: format!(
                "{} cannot be a data directory's name: it must be Unicode text without commas",
                dir.display()
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn all_places_together() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s.properties");
        std::fs::write(
            &file,
            "node.id=2\nnum.partitions=3\nlog.dirs=file\nlisteners=PLAINTEXT://:1,C://:2\n\
             controller.listener.names=C\n",
        )
        .unwrap();
        let variables = [
            ("OTTLA_CONFIG", file.to_str().unwrap()),
            ("OTTLA_DATA_DIR", "environment"),
            ("OTTLA_LISTEN", "localhost:3"),
            ("OTTLA_NUM_PARTITIONS", "4"),
            ("OTTLA_NODE_ID", "5"),
            ("HOME", "x"),
        ];
        let environment: Vec<_> =
            variables.map(|(name, value)| (name.into(), value.into())).into_iter().collect();
        let sources = Sources { environment, ..Sources::default() };

        let config = sources.clone().gather().unwrap();
        assert_eq!(config.node_id, Some(5));
        assert_eq!(config.log_dirs, [Path::new("environment")]);
        let at = |config: &Config| -> Vec<String> {
            config.listeners.iter().map(|listener| listener.endpoint.to_string()).collect()
        };
        assert_eq!(at(&config), ["PLAINTEXT://localhost:3", "C://:2"]);
        assert_eq!(config.properties.get("num.partitions"), Some("4"));

        let stronger = Sources {
            options: vec!["node.id=7".into(), "log.dir=option".into()],
            data_dir: Some("flag".into()),
            listen: Some("localhost:8".into()),
            node_id: Some(6),
            ..sources
        };
        let config = stronger.gather().unwrap();
        assert_eq!(config.node_id, Some(7));
        assert_eq!(config.log_dirs, [Path::new("option")]);
        assert_eq!(at(&config), ["PLAINTEXT://localhost:8", "C://:2"]);
    }

    #[test]
    fn a_data_directory_is_one_directory() {
        let sources = Sources { data_dir: Some("a,b".into()), ..Sources::default() };
        let error = sources.gather().unwrap_err().to_string();
        assert!(error.starts_with("flag --data-dir: log.dirs: a,b cannot be"), "{error}");
    }
}
