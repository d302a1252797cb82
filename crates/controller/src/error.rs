//! What keeps a controller from starting or a directory from being formatted. Must not know exit
//! codes.

use ottla_env::{DiskError, DiskErrorKind};

/// Why a controller does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControllerError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// What the directory holds cannot be: the text says what and where.
    #[error("{0}")]
    Damaged(String),
    /// What the directory holds is beyond this version: the text says what.
    #[error("{0}")]
    Unsupported(String),
    /// The operating system gives no thread.
    #[error("cannot start a thread: {0}")]
    Thread(String),
}

impl ControllerError {
    /// Whether there was no space for a write, which can be tried again. A failed sync is final
    /// whatever its reason.
    pub(crate) fn is_no_space(&self) -> bool {
        matches!(self, Self::Disk(e) if e.kind == DiskErrorKind::NoSpace && e.action != "sync")
    }
}

/// Why a directory was not formatted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The request makes no sense: the text says why.
    #[error("{0}")]
    Invalid(String),
}
