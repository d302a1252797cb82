//! The command line of `ottla-bench limit`: a table of all limits, and the programs that are
//! measured. Must not know how anything is measured.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

/// What is asked of the limit program.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) program: Option<Program>,
    /// MiB of each limit.
    #[arg(long, default_value_t = 3000)]
    pub(crate) mib: u64,
    /// Where its files are.
    #[arg(long, default_value = "target/bench")]
    pub(crate) dir: PathBuf,
}

/// The programs: each tells its address, works until its connections end, tells how many
/// bytes it moved, and ends with its input.
#[derive(Debug, Subcommand)]
pub(crate) enum Program {
    /// Socket to file.
    Receive(Receive),
    /// File or memory to socket.
    Send(Send),
    /// Records from a socket to a file, each answered.
    Answer(Answer),
}

/// Socket to file: read, CRC-32C, write.
#[derive(Debug, clap::Args)]
pub(crate) struct Receive {
    /// An empty folder for the files.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// Connections.
    #[arg(long)]
    pub(crate) connections: usize,
    /// Files that each connection writes to in turn.
    #[arg(long)]
    pub(crate) files: usize,
    /// Bytes that are read, summed and written at a time.
    #[arg(long)]
    pub(crate) chunk: usize,
    /// How it is written.
    #[arg(long)]
    pub(crate) through: Through,
    /// One `fdatasync` of each file for all that came while the last one ran.
    #[arg(long)]
    pub(crate) durable: bool,
}

/// The way to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Through {
    /// The page cache.
    Cache,
    /// `O_DIRECT`, out of aligned memory.
    Direct,
}

/// File or memory to socket.
#[derive(Debug, clap::Args)]
pub(crate) struct Send {
    /// The folder with the files.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// Connections; the files are shared out among them.
    #[arg(long)]
    pub(crate) connections: usize,
    /// Bytes that are sent at a time.
    #[arg(long)]
    pub(crate) chunk: usize,
    /// Where the bytes come from.
    #[arg(long)]
    pub(crate) from: From,
}

/// Where sent bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum From {
    /// A buffer, as many bytes as the files have: the tail of a log.
    Memory,
    /// The files, read and summed: a broker that gives out nothing unchecked.
    Read,
    /// The files, never seen by the program (`sendfile`).
    Sendfile,
}

/// Records from a socket to a file, each answered.
#[derive(Debug, clap::Args)]
pub(crate) struct Answer {
    /// An empty folder for the file.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// Bytes of a record.
    #[arg(long)]
    pub(crate) bytes: usize,
    /// Answered after an `fdatasync`, one for all that came while the last one ran.
    #[arg(long)]
    pub(crate) durable: bool,
}
