//! Why a look was not possible. What is wrong with the files is no error but an answer. Must not
//! know exit codes.

use std::io;

use ottla_env::DiskError;

/// Why nothing (more) can be said.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// A file or directory cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The answer cannot be written.
    #[error("cannot write the answer: {0}")]
    Output(#[source] io::Error),
    /// Whoever read the answer has enough: no failure.
    #[error("the reader of the answer has gone")]
    Closed,
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
}

impl From<io::Error> for InspectError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::Closed } else { Self::Output(error) }
    }
}
