//! Composition: configuration, format, start, shutdown.
//!
//! A [`Config`] is gathered from [`Sources`], a data directory is prepared by [`format`] or by
//! the first start, and a [`Node`] is everything that then runs. This crate decides nothing of
//! the protocol; it puts the parts together and turns their errors into sentences for people.

mod config;
mod directories;
mod error;
mod failure;
mod node;
mod properties;
mod settings;
mod sources;
mod world;

pub use config::{Config, Endpoint, Listener, ListenerRole};
pub use directories::{FormatRequest, Formatted, format};
pub use error::{ConfigError, NodeError};
pub use node::{Node, Ready};
pub use properties::SyntaxError;
pub use settings::{Origin, Setting, Settings, variable_of};
pub use sources::Sources;
