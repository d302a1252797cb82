//! Owns what can go wrong between the command line and a running node, each with the sentence,
//! the hint and the exit code that the user gets.
//! Must not know how the errors are printed.

use crate::properties::SyntaxError;
use crate::settings::Origin;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// A setting that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file as the user named it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a Java properties file.
    #[error("{} line {}: {source}", path.display(), source.line())]
    Syntax {
        /// The file as the user named it.
        path: PathBuf,
        /// What is wrong, and where.
        source: SyntaxError,
    },
    /// `-o` without `key=value`.
    #[error("option -o {text:?} is not of the form key=value")]
    Option {
        /// What stood behind `-o`.
        text: String,
    },
    /// An environment variable whose value is not Unicode.
    #[error("environment variable {variable} is not Unicode text")]
    NotUnicode {
        /// The variable's whole name.
        variable: String,
    },
    /// A value that the setting does not take.
    #[error("{origin}: {name}: {reason}")]
    Value {
        /// Who gave the value.
        origin: Origin,
        /// The setting by Kafka's name.
        name: String,
        /// What is wrong with the value.
        reason: String,
    },
    /// Settings that contradict each other or the data directory, or an argument that is wrong.
    #[error("{0}")]
    Conflict(String),
}

/// Why a node did not start, did not format, or did not stop cleanly.
#[derive(Debug, Error)]
pub enum NodeError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Somebody else listens there.
    #[error("{address} is already in use (listener {listener})")]
    AddressInUse {
        /// The listener's name.
        listener: String,
        /// `HOST:PORT` as it was tried.
        address: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address} (listener {listener}): {source}")]
    Listen {
        /// The listener's name.
        listener: String,
        /// `HOST:PORT` as it was tried.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds the data directory.
    #[error("data directory {} is locked by another process", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The system forbids what the node has to do.
    #[error("no permission for {}", path.display())]
    Permission {
        /// The file or directory.
        path: PathBuf,
    },
    /// The disk, or the quota, is full.
    #[error("no space left for {}", path.display())]
    NoSpace {
        /// The file or directory.
        path: PathBuf,
    },
    /// The data directory holds something that is no data directory of Kafka or Ottla.
    #[error("{} is not a data directory: {found}", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What was found there.
        found: String,
    },
    /// The data directory is Kafka's or Ottla's, and cannot be read as such.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The directory or file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The data directory is in order, and needs a newer or another version.
    #[error("{} cannot be used by this version: {what}", path.display())]
    Unsupported {
        /// The directory.
        path: PathBuf,
        /// What it asks for.
        what: String,
    },
    /// `format` found a directory that is formatted already.
    #[error("{} is already formatted (node {node}, cluster {cluster})", path.display())]
    AlreadyFormatted {
        /// The directory.
        path: PathBuf,
        /// Its node id.
        node: i32,
        /// Its cluster id.
        cluster: String,
    },
    /// Something failed that is none of the above.
    #[error("{what}: {source}")]
    Failed {
        /// What was being done.
        what: String,
        /// Why it did not work.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl NodeError {
    /// The process's exit code; `docs/operations.md` lists them.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Failed { .. } => 1,
            Self::Config(_) => 3,
            Self::AddressInUse { .. } | Self::Listen { .. } => 4,
            Self::Locked { .. } => 5,
            Self::Permission { .. } => 6,
            Self::NoSpace { .. } => 7,
            Self::Damaged { .. } | Self::Unsupported { .. } => 8,
            Self::Foreign { .. } | Self::AlreadyFormatted { .. } => 9,
        }
    }

    /// What the user may do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Config(ConfigError::Value { .. }) => {
                "docs/configuration.md lists every setting with its type and allowed values"
            }
            Self::AddressInUse { .. } => {
                "stop the process that listens there, or choose another address with --listen \
                 HOST:PORT (port 0 takes a free one)"
            }
            Self::Listen { .. } => {
                "listen on an address of this machine with --listen HOST:PORT; ports below 1024 \
                 may need rights"
            }
            Self::Locked { .. } => {
                "stop the other Ottla or Kafka, or choose another directory with --data-dir"
            }
            Self::Permission { .. } => {
                "give the user of this process read and write rights, or choose another directory \
                 with --data-dir"
            }
            Self::NoSpace { .. } => {
                "free some space or raise the quota, or choose another directory with --data-dir"
            }
            Self::Foreign { .. } => {
                "choose an empty or a formatted directory with --data-dir; nothing was changed"
            }
            Self::Damaged { .. } => {
                "restore it from a copy, or choose another directory with --data-dir; nothing was \
                 deleted"
            }
            Self::Unsupported { .. } => {
                "start it with the version that wrote it, or choose another directory with \
                 --data-dir"
            }
            Self::AlreadyFormatted { .. } => {
                "--ignore-formatted leaves formatted directories as they are"
            }
            Self::Config(_) | Self::Failed { .. } => return None,
        })
    }
}
