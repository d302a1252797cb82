//! Owns how log lines are written: standard error, readable or JSON.
//! Must not know who logs what.

use crate::args::{LogArgs, LogFormat};
use clap::ValueEnum;
use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;

/// Starts logging. The error is a sentence.
pub(crate) fn start(args: &LogArgs) -> Result<(), String> {
    let (name, level) = match &args.log_level {
        Some(level) => ("--log-level", level.clone()),
        None => ["OTTLA_LOG_LEVEL", "RUST_LOG"]
            .into_iter()
            .find_map(|name| Some((name, variable(name)?)))
            .unwrap_or(("", "info".to_owned())),
    };
    let filter = EnvFilter::try_new(&level)
        .map_err(|error| format!("{name}: {level:?} is no log level: {error}"))?;
    let format = match (args.log_format, variable("OTTLA_LOG_FORMAT")) {
        (Some(format), _) => format,
        (None, Some(text)) => LogFormat::from_str(&text, true)
            .map_err(|_| format!("OTTLA_LOG_FORMAT: {text:?} is neither text nor json"))?,
        (None, None) => LogFormat::Text,
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Text => {
            lines.with_ansi(io::stderr().is_terminal()).with_target(false).init();
        }
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
