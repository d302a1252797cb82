//! Owns the flags of `ottla log`, and their help. Must not know what the commands do.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Look at log directories that no broker is using. Nothing is ever written.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: 0 nothing wrong, 1 problems found, 2 it was not possible to look."
)]
pub(crate) struct LogCommand {
    #[command(subcommand)]
    pub(crate) command: LogSubcommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogSubcommand {
    /// Show what is in files, as kafka-dump-log.sh does.
    Dump(DumpArgs),
    /// Say whether files are right: checksums, offsets, indexes, snapshots, checkpoints.
    Verify(VerifyArgs),
    /// Say what a start would do with a directory, and what can be done about damage.
    RepairPlan(PlanArgs),
    /// Say how good indexes are: coverage, density, entries that lie, what a rebuild gives.
    Indexes(IndexArgs),
}

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AnswerFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// How answers are written.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: AnswerFormat,
}

#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    /// Files, partitions' directories, log directories.
    #[arg(value_name = "FILE or DIR", required_unless_present = "files")]
    pub(crate) paths: Vec<PathBuf>,
    /// Files, with commas between them, as Kafka's tool takes them.
    #[arg(long, value_name = "FILE,FILE", value_delimiter = ',')]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Show keys and values too.
    #[arg(long)]
    pub(crate) print_data_log: bool,
    /// Show records, not only batches. Comes with --print-data-log and every decoder.
    #[arg(long)]
    pub(crate) deep_iteration: bool,
    /// How keys are read. Brings --print-data-log with it.
    #[arg(long, visible_alias = "key-decoder-class", value_name = "DECODER")]
    pub(crate) key_decoder: Option<String>,
    /// How values are read: string, integer, long, hex, base64, or the name of Kafka's class for
    /// one of the first three.
    #[arg(long, visible_alias = "value-decoder-class", value_name = "DECODER")]
    pub(crate) value_decoder: Option<String>,
    /// Read records as those of __consumer_offsets.
    #[arg(long, group = "decoder")]
    pub(crate) offsets_decoder: bool,
    /// Read records as those of __transaction_state.
    #[arg(long, group = "decoder")]
    pub(crate) transaction_log_decoder: bool,
    /// Read records as those of __cluster_metadata.
    #[arg(long, group = "decoder")]
    pub(crate) cluster_metadata_decoder: bool,
    /// Read records as those of __remote_log_metadata.
    #[arg(long, group = "decoder")]
    pub(crate) remote_log_metadata_decoder: bool,
    /// Read records as those of __share_group_state.
    #[arg(long, group = "decoder")]
    pub(crate) share_group_state_decoder: bool,
    /// Show nothing of a record but key and value, and nothing of control records.
    #[arg(long)]
    pub(crate) skip_record_metadata: bool,
    /// Of an index, say only whether Kafka would make it anew at start.
    #[arg(long)]
    pub(crate) index_sanity_check: bool,
    /// Of an index, show only entries that the log does not bear out.
    #[arg(long)]
    pub(crate) verify_index_only: bool,
    /// The most bytes that the batch at an index entry may have.
    #[arg(long, value_name = "BYTES", default_value_t = 5 << 20)]
    pub(crate) max_message_size: u64,
    /// Look at so many bytes of each log.
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_bytes: Option<u64>,
    /// Leave out what ends before this offset.
    #[arg(long, value_name = "OFFSET")]
    pub(crate) from_offset: Option<i64>,
    /// Leave out what begins after this offset.
    #[arg(long, value_name = "OFFSET")]
    pub(crate) to_offset: Option<i64>,
    /// Show at most so many records of each log.
    #[arg(long, value_name = "COUNT")]
    pub(crate) max_records: Option<u64>,
}

/// How a start is rehearsed.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// flush.mode of the topics: what was promised above the recovery point
    /// [default: as the metadata says, else durable].
    #[arg(long, value_enum, value_name = "MODE")]
    pub(crate) flush_mode: Option<Flush>,
    /// index.interval.bytes of the topics.
    #[arg(long, value_name = "BYTES", default_value_t = 4096)]
    pub(crate) index_interval_bytes: u32,
}

/// When logs are synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Flush {
    /// With each commit.
    Durable,
    /// When the operating system thinks fit.
    Os,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Files, partitions' directories, log directories.
    #[arg(value_name = "FILE or DIR", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Unpack and read every record too.
    #[arg(long)]
    pub(crate) deep: bool,
    #[command(flatten)]
    pub(crate) start: StartArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Partitions' directories, log directories.
    #[arg(value_name = "DIR", required_unless_present = "config")]
    pub(crate) paths: Vec<PathBuf>,
    /// Look at log.dirs of this file, as `ottla start` takes it, too.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) start: StartArgs,
}

#[derive(Debug, Args)]
pub(crate) struct IndexArgs {
    /// Files, partitions' directories, log directories.
    #[arg(value_name = "FILE or DIR", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// index.interval.bytes that a rebuild would use.
    #[arg(long, value_name = "BYTES", default_value_t = 4096)]
    pub(crate) index_interval_bytes: u32,
}
