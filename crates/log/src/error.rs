//! What a log can answer instead of doing what was asked: refusals (the caller's fault) and
//! failures (the disk's). Must not know wire error codes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_env::{DiskError, DiskErrorKind};
use ottla_partition::ProducerError;
use ottla_protocol::{Offset, Uuid};
use thiserror::Error;

/// A failure: the log directory, or one file of it, cannot be used. Wire: KAFKA_STORAGE_ERROR,
/// for [`LogError::Corrupt`] while reading CORRUPT_MESSAGE.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LogError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file does not hold what it should.
    #[error("{} is damaged: {what}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// Records that had been acknowledged, as far as anyone can tell, cannot be read. Found when a
    /// log is opened: it is not, and nothing in its files was changed but indexes. Wire:
    /// KAFKA_STORAGE_ERROR.
    #[error(
        "{}: {file} is damaged at byte {position}: {what}; {}",
        dir.display(),
        Missing(*from, *to)
    )]
    Damaged {
        /// The partition's directory.
        dir: PathBuf,
        /// The segment's file in it.
        file: String,
        /// Where in that file, in bytes.
        position: u64,
        /// What was found.
        what: String,
        /// The first offset that cannot be read.
        from: Offset,
        /// The last, when records behind it can be read, or are known to have been there.
        to: Option<Offset>,
    },
    /// An earlier failure took the log directory out of service (nothing is retried), or the log
    /// was closed or given up.
    #[error("{} is out of service: {reason}", path.display())]
    Offline {
        /// The log directory, or the partition's.
        path: PathBuf,
        /// The first failure, or what was done.
        reason: Arc<str>,
    },
    /// Compaction put another segment in the place of the one that was to be read: who looks again
    /// finds it.
    #[error("{} was replaced by another segment meanwhile", path.display())]
    Replaced {
        /// The file that was to be read.
        path: PathBuf,
    },
    /// Something is in the log directory that belongs to no partition.
    #[error("{} is not the directory of a partition (a name and a number, as \"topic-0\")", path.display())]
    Foreign {
        /// What was found.
        path: PathBuf,
    },
    /// The partition's directory belongs to another topic of the same name.
    #[error("{} belongs to the topic id {found}, not to {expected}", path.display())]
    TopicId {
        /// The partition's directory.
        path: PathBuf,
        /// The id in its `partition.metadata`.
        found: Uuid,
        /// The id asked for.
        expected: Uuid,
    },
}

/// Offsets that cannot be read.
struct Missing(Offset, Option<Offset>);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(to) if to == self.0 => write!(f, "offset {to} cannot be read"),
            Some(to) => write!(f, "offsets {} to {to} cannot be read", self.0),
            None => write!(f, "offset {} and what follows cannot be read", self.0),
        }
    }
}

impl LogError {
    pub(crate) fn corrupt(path: &Path, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), what: what.into() }
    }

    /// Whether there was no space for a write, which therefore did not happen or can be undone. A
    /// failed sync is final whatever its reason: what it was to make safe is unknown.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Disk(e) if e.kind == DiskErrorKind::NoSpace && e.action != "sync")
    }

    /// Whether a sync failed, whatever the reason, or another change of a file or of a name for another
    /// reason than that there is no space, or no such file. After a failed sync what was written before
    /// may be lost too, and trying again proves nothing. That something cannot be made or opened does
    /// not count: nothing that is there depends on it.
    #[must_use]
    pub fn is_failed_write(&self) -> bool {
        let Self::Disk(e) = self else { return false };
        let is_refused = matches!(e.kind, DiskErrorKind::NoSpace | DiskErrorKind::NotFound);
        match e.action {
            "sync" => true,
            "write" | "rename" | "remove" | "truncate" => !is_refused,
            _ => false,
        }
    }

    /// Whether the same read of a fresh view can succeed.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        matches!(self, Self::Replaced { .. })
    }

    /// Whether a file was not there (it was removed while someone held a view of it).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Disk(e) if e.kind == DiskErrorKind::NotFound)
    }
}

/// Why a batch was not appended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AppendError {
    /// The producer's sequence, epoch or transaction does not allow it.
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// The batch is larger than a segment may be. Wire: RECORD_LIST_TOO_LARGE.
    #[error("the batch has {size} bytes and a segment at most {limit}")]
    TooLarge {
        /// Bytes of the batch.
        size: usize,
        /// `segment.bytes` of the topic.
        limit: u32,
    },
    /// A replicated batch does not begin at or after the end of the log. Wire: the fetcher's
    /// business.
    #[error("the batch begins at offset {base_offset}, but the log ends at {log_end}")]
    OutOfOrder {
        /// Where the batch begins.
        base_offset: Offset,
        /// Where the log ends.
        log_end: Offset,
    },
    /// The bytes are not whole batches. Wire: CORRUPT_MESSAGE.
    #[error("the bytes are not record batches: {0}")]
    Malformed(#[from] ottla_records::BatchError),
    /// An earlier append found no space, and there is none yet. Wire: POLICY_VIOLATION.
    #[error("no space is left for {}; the log takes no records until there is", path.display())]
    NoSpace {
        /// The partition's directory.
        path: PathBuf,
    },
    /// The log cannot be written.
    #[error(transparent)]
    Failed(#[from] LogError),
}

impl ReadError {
    /// Whether the same read of a fresh view can succeed.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        matches!(self, Self::Failed(error) if error.is_replaced())
    }
}

/// Why nothing was read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The offset is below the log's start or above its end. Wire: OFFSET_OUT_OF_RANGE.
    #[error("offset {offset} is not within the log, which has {log_start} to {log_end}")]
    OutOfRange {
        /// The offset asked for.
        offset: Offset,
        /// First offset of the log.
        log_start: Offset,
        /// Offset after the last record.
        log_end: Offset,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Failed(#[from] LogError),
}
