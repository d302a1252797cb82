//! What can go wrong on a disk. Owns the kinds; must not know what the file was for.

use std::fmt;
use std::path::{Path, PathBuf};

/// Kinds of failure that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskErrorKind {
    /// There is no such file or directory.
    NotFound,
    /// It is there already.
    AlreadyExists,
    /// The device, or the quota, is full.
    NoSpace,
    /// The operating system does not permit it, or the file system is read-only.
    Permission,
    /// Another process holds the lock.
    Locked,
    /// The process (or the system) has too many files open.
    TooManyFiles,
    /// The file ended before the bytes that were asked for.
    UnexpectedEnd,
    /// Anything else: the device failed.
    Io,
}

/// A failed disk operation: what was done, to which path, and why it failed. Displays as a
/// sentence fragment: "cannot sync /data/t-0/00000000000000000000.log: input/output error".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {action} {}: {reason}", path.display())]
pub struct DiskError {
    /// Kind of failure.
    pub kind: DiskErrorKind,
    /// What was tried: a verb, as "open" or "sync".
    pub action: &'static str,
    /// The path it was tried on.
    pub path: PathBuf,
    /// The reason, in words.
    pub reason: String,
}

impl DiskError {
    /// An error with the usual words for its kind.
    #[must_use]
    pub fn new(kind: DiskErrorKind, action: &'static str, path: &Path) -> Self {
        Self { kind, action, path: path.to_owned(), reason: kind.to_string() }
    }

    /// An error from the operating system's.
    #[must_use]
    pub fn from_io(error: &std::io::Error, action: &'static str, path: &Path) -> Self {
        use std::io::ErrorKind as E;
        // `io::ErrorKind` is open-ended, so a chain of comparisons and not a match.
        let found = error.kind();
        let kind = if found == E::NotFound {
            DiskErrorKind::NotFound
        } else if found == E::AlreadyExists {
            DiskErrorKind::AlreadyExists
        } else if matches!(found, E::StorageFull | E::QuotaExceeded | E::FileTooLarge) {
            // The last is what a file size limit (`ulimit -f`) answers: a quota too.
            DiskErrorKind::NoSpace
        } else if found == E::PermissionDenied || found == E::ReadOnlyFilesystem {
            DiskErrorKind::Permission
        } else if found == E::WouldBlock {
            DiskErrorKind::Locked
        } else if found == E::UnexpectedEof {
            DiskErrorKind::UnexpectedEnd
        } else if matches!(error.raw_os_error(), Some(23 | 24)) {
            DiskErrorKind::TooManyFiles
        } else {
            DiskErrorKind::Io
        };
        let reason = match kind {
            DiskErrorKind::Io => error.to_string(),
            DiskErrorKind::NotFound
            | DiskErrorKind::AlreadyExists
            | DiskErrorKind::NoSpace
            | DiskErrorKind::Permission
            | DiskErrorKind::Locked
            | DiskErrorKind::TooManyFiles
            | DiskErrorKind::UnexpectedEnd => kind.to_string(),
        };
        Self { kind, action, path: path.to_owned(), reason }
    }

    /// Whether the file or directory does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.kind == DiskErrorKind::NotFound
    }
}

impl fmt::Display for DiskErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "there is no such file or directory",
            Self::AlreadyExists => "it exists already",
            Self::NoSpace => "no space is left on the device",
            Self::Permission => "permission is denied",
            Self::Locked => "another process holds the lock",
            Self::TooManyFiles => "too many files are open",
            Self::UnexpectedEnd => "the file ends too early",
            Self::Io => "the device failed",
        })
    }
}
