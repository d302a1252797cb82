//! Owns the command line: commands, flags, and their help.
//! Must not know what the commands do.

use crate::log::LogCommand;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Apache Kafka, whole, in one binary.
#[derive(Debug, Parser)]
#[command(name = "ottla", version, propagate_version = true)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a node; an empty data directory is formatted first.
    Start(StartArgs),
    /// Format data directories, with chosen ids and feature levels.
    Format(FormatArgs),
    /// Look at log directories that no broker is using.
    Log(LogCommand),
    /// Print the version.
    Version,
}

/// What `start` and `format` share: where the settings come from.
#[derive(Debug, Args)]
pub(crate) struct SettingArgs {
    /// Settings as in Kafka's server.properties [env: OTTLA_CONFIG].
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// One setting by Kafka's name; stronger than everything else. May come several times.
    #[arg(short = 'o', value_name = "KEY=VALUE")]
    pub(crate) options: Vec<String>,
    /// Where the data goes; log.dirs [env: OTTLA_DATA_DIR] [default: ./ottla-data].
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// This node's id; node.id [default: that of the data directory, or 1].
    #[arg(long, value_name = "ID")]
    pub(crate) node_id: Option<i32>,
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// error, warn, info, debug, trace, or directives such as info,ottla_broker=debug
    /// [env: OTTLA_LOG_LEVEL, RUST_LOG] [default: info].
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// How log lines are written to standard error [env: OTTLA_LOG_FORMAT] [default: text].
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    pub(crate) settings: SettingArgs,
    /// Where to listen for clients; port 0 takes a free one [env: OTTLA_LISTEN]
    /// [default: 127.0.0.1:9092].
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

#[derive(Debug, Args)]
pub(crate) struct FormatArgs {
    #[command(flatten)]
    pub(crate) settings: SettingArgs,
    /// The cluster's id: 22 characters of URL-safe base64, as `ottla format` prints it
    /// [default: a random one].
    #[arg(short = 't', long, value_name = "ID")]
    pub(crate) cluster_id: Option<String>,
    /// The metadata directory's id, written as the cluster's [default: a random one].
    #[arg(long, value_name = "ID")]
    pub(crate) directory_id: Option<String>,
    /// The release whose feature levels are taken, such as 4.4 or 4.4-IV2.
    #[arg(short, long, value_name = "RELEASE")]
    pub(crate) release_version: Option<String>,
    /// One feature's level. May come several times.
    #[arg(short, long = "feature", value_name = "NAME=LEVEL")]
    pub(crate) features: Vec<String>,
    /// A quorum of this node alone that can grow later; the default unless
    /// controller.quorum.voters is set.
    #[arg(short, long)]
    pub(crate) standalone: bool,
    /// Leave directories that are formatted already as they are.
    #[arg(short = 'g', long)]
    pub(crate) ignore_formatted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn kafkas_short_flags_of_format() {
        let line =
            "ottla format -t abc -c server.properties -r 4.4 -f kraft.version=1 -f a=2 -s -g";
        let Command::Format(args) = CommandLine::parse_from(line.split(' ')).command else {
            panic!("another command");
        };
        assert_eq!(args.cluster_id.as_deref(), Some("abc"));
        assert_eq!(args.settings.config, Some("server.properties".into()));
        assert_eq!(args.features, ["kraft.version=1", "a=2"]);
        assert!(args.standalone && args.ignore_formatted);
    }
}
