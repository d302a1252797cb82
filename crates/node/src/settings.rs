//! Owns raw settings: who said what (option, flag, environment, file) and who wins.
//! Must not know what a setting means or which values are good.

use crate::error::ConfigError;
use crate::properties;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a value was given. Later variants win over earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A line of a properties file.
    File {
        /// The file as the user named it.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// An environment variable, by its whole name.
    Environment(String),
    /// A flag of the command line, such as `--listen`.
    Flag(&'static str),
    /// `-o key=value` on the command line.
    Option,
}

impl Origin {
    fn rank(&self) -> u8 {
        match self {
            Self::File { .. } => 0,
            Self::Environment(_) => 1,
            Self::Flag(_) => 2,
            Self::Option => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{} line {line}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Option => f.write_str("option -o"),
        }
    }
}

/// A value with its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The text as given, without blanks around it.
    pub value: String,
    /// Who gave it.
    pub origin: Origin,
}

/// Every setting somebody gave, by Kafka's name.
///
/// Precedence: `-o` over flags over environment over file. In one layer the last wins.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    entries: BTreeMap<String, Setting>,
}

/// Variables with the prefix that are not settings: they belong to the command line.
const NOT_SETTINGS: [&str; 5] =
    ["OTTLA_CONFIG", "OTTLA_DATA_DIR", "OTTLA_LISTEN", "OTTLA_LOG_LEVEL", "OTTLA_LOG_FORMAT"];

const PREFIX: &str = "OTTLA_";

impl Settings {
    /// No settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a value unless a stronger origin has spoken already.
    pub fn set(&mut self, name: &str, value: &str, origin: Origin) {
        let rank = origin.rank();
        if self.entries.get(name).is_some_and(|old| old.origin.rank() > rank) {
            return;
        }
        self.entries.insert(name.to_owned(), Setting { value: value.trim().to_owned(), origin });
    }

    /// Takes one `key=value` as `-o` gives it.
    pub fn set_option(&mut self, text: &str) -> Result<(), ConfigError> {
        match text.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                self.set(name.trim(), value, Origin::Option);
                Ok(())
            }
            _ => Err(ConfigError::Option { text: text.to_owned() }),
        }
    }

    /// Takes every entry of a Java properties file.
    pub fn read_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let bytes = std::fs::read(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let entries = properties::parse(&bytes)
            .map_err(|source| ConfigError::Syntax { path: path.to_owned(), source })?;
        for entry in entries {
            let origin = Origin::File { path: path.to_owned(), line: entry.line };
            self.set(entry.key.trim(), &entry.value, origin);
        }
        Ok(())
    }

    /// Takes the variables that begin with `OTTLA_`: `OTTLA_LOG_RETENTION_MS` is
    /// `log.retention.ms`. Names are matched against `known` first, so that a setting with
    /// other characters than letters and dots keeps its spelling.
    pub fn read_environment<'a>(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), ConfigError> {
        let known: BTreeMap<String, &str> =
            known.into_iter().map(|name| (variable_of(name), name)).collect();
        for (variable, value) in variables {
            let Some(variable) = variable.to_str() else { continue };
            if !variable.starts_with(PREFIX) || NOT_SETTINGS.contains(&variable) {
                continue;
            }
            let Some(value) = value.to_str() else {
                return Err(ConfigError::NotUnicode { variable: variable.to_owned() });
            };
            let name = match known.get(variable) {
                Some(name) => (*name).to_owned(),
                None => variable
                    .strip_prefix(PREFIX)
                    .unwrap_or_default()
                    .to_ascii_lowercase()
                    .replace('_', "."),
            };
            self.set(&name, value, Origin::Environment(variable.to_owned()));
        }
        Ok(())
    }

    /// The setting of that name.
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.entries.get(name)
    }

    /// Of several names for one thing the one given by the strongest origin; between equals
    /// the first named.
    pub fn strongest<'a>(&self, names: &[&'a str]) -> Option<(&'a str, &Setting)> {
        let mut best: Option<(&'a str, &Setting)> = None;
        for name in names {
            if let Some(setting) = self.get(name)
                && best.is_none_or(|(_, best)| setting.origin.rank() > best.origin.rank())
            {
                best = Some((name, setting));
            }
        }
        best
    }

    /// Drops those of several names for one thing that a stronger origin has overruled by
    /// another of them.
    pub fn keep_strongest(&mut self, names: &[&str]) {
        let Some(rank) = self.strongest(names).map(|(_, setting)| setting.origin.rank()) else {
            return;
        };
        for name in names {
            if self.get(name).is_some_and(|setting| setting.origin.rank() < rank) {
                self.entries.remove(*name);
            }
        }
    }

    /// All settings, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.entries.iter().map(|(name, setting)| (name.as_str(), setting))
    }
}

/// The environment variable that carries a setting.
pub fn variable_of(name: &str) -> String {
    let mut variable = PREFIX.to_owned();
    variable.extend(name.chars().map(|c| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => c.to_ascii_uppercase(),
        _ => '_',
    }));
    variable
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(line: usize) -> Origin {
        Origin::File { path: "server.properties".into(), line }
    }

    #[test]
    fn the_stronger_origin_wins_in_any_order() {
        let layers = [
            ("file", file(1)),
            ("environment", Origin::Environment("OTTLA_A".into())),
            ("flag", Origin::Flag("--a")),
            ("option", Origin::Option),
        ];
        for first in 0..4 {
            for second in 0..4 {
                let mut settings = Settings::new();
                for at in [first, second] {
                    settings.set("a", layers[at].0, layers[at].1.clone());
                }
                assert_eq!(settings.get("a").unwrap().value, layers[first.max(second)].0);
            }
        }
    }

    #[test]
    fn in_one_layer_the_last_wins() {
        let mut settings = Settings::new();
        settings.set("a", "1", file(1));
        settings.set("a", " 2 ", file(7));
        let setting = settings.get("a").unwrap();
        assert_eq!(setting.value, "2");
        assert_eq!(setting.origin.to_string(), "server.properties line 7");
    }

    #[test]
    fn options_need_a_name_and_a_value() {
        let mut settings = Settings::new();
        settings.set_option("a.b=c=d").unwrap();
        settings.set_option("empty=").unwrap();
        assert_eq!(settings.get("a.b").unwrap().value, "c=d");
        assert_eq!(settings.get("empty").unwrap().value, "");
        for bad in ["", "a", "=b", " =b"] {
            assert!(settings.set_option(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn environment_names() {
        let mut settings = Settings::new();
        let variables = [
            ("OTTLA_LOG_RETENTION_MS", "5"),
            ("OTTLA_ODD_NAME_X", "6"),
            ("OTTLA_LOG_LEVEL", "debug"),
            ("OTTLA_LISTEN", "127.0.0.1:0"),
            ("LOG_RETENTION_MS", "7"),
            ("OTTLA_NOT_KNOWN", "8"),
        ];
        settings
            .read_environment(
                variables.map(|(a, b)| (a.into(), b.into())),
                ["log.retention.ms", "odd-name.X"],
            )
            .unwrap();
        let found: Vec<_> = settings.iter().map(|(name, s)| (name, s.value.as_str())).collect();
        assert_eq!(found, [("log.retention.ms", "5"), ("not.known", "8"), ("odd-name.X", "6")]);
        assert_eq!(
            settings.get("log.retention.ms").unwrap().origin.to_string(),
            "environment variable OTTLA_LOG_RETENTION_MS"
        );
    }

    #[test]
    fn synonyms_yield_to_the_stronger_origin() {
        let names = ["log.retention.ms", "log.retention.minutes", "log.retention.hours"];
        let mut settings = Settings::new();
        settings.set("log.retention.ms", "1", file(1));
        settings.set("log.retention.hours", "2", file(2));
        assert_eq!(settings.strongest(&names).unwrap().0, "log.retention.ms");
        settings.set("log.retention.hours", "3", Origin::Option);
        assert_eq!(settings.strongest(&names).unwrap().0, "log.retention.hours");
        settings.keep_strongest(&names);
        assert!(settings.get("log.retention.ms").is_none());
        assert_eq!(settings.get("log.retention.hours").unwrap().value, "3");
    }

    #[test]
    fn a_file_is_read_with_its_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.properties");
        std::fs::write(&path, "# c\nnode.id = 4 \n").unwrap();
        let mut settings = Settings::new();
        settings.read_file(&path).unwrap();
        let setting = settings.get("node.id").unwrap();
        assert_eq!(
            (setting.value.as_str(), &setting.origin),
            ("4", &Origin::File { path, line: 2 })
        );

        let path = folder.path().join("bad.properties");
        std::fs::write(&path, "\n\na=\\u1").unwrap();
        let error = settings.read_file(&path).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "bad.properties line 3: \\u must be followed by four hexadecimal digits"
            ),
            "{error}"
        );
        let error = settings.read_file(&folder.path().join("none")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read "), "{error}");
    }

    proptest! {
        #[test]
        fn the_variable_of_a_dotted_name_leads_back(name in "[a-z]{1,8}(\\.[a-z]{1,8}){0,4}") {
            prop_assume!(!NOT_SETTINGS.contains(&variable_of(&name).as_str()));
            let mut settings = Settings::new();
            settings.read_environment([(variable_of(&name).into(), "v".into())], []).unwrap();
            prop_assert!(settings.get(&name).is_some());
        }
    }
}
