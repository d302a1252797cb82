//! Owns how failures of the parts become errors for people: each kind keeps its exit code.
//! Must not know where in the start they happened.

use crate::error::{ConfigError, NodeError};
use ottla_broker::{BindError, StartError};
use ottla_controller::{ControllerError, FormatError};
use ottla_env::{DiskError, DiskErrorKind};
use ottla_log::LogError;
use std::io;
use std::path::Path;

/// A failed disk operation; `dir` is the data directory it was for.
pub(crate) fn of_disk(dir: &Path, error: DiskError) -> NodeError {
    match error.kind {
        DiskErrorKind::Locked => NodeError::Locked { path: dir.to_owned() },
        DiskErrorKind::Permission => NodeError::Permission { path: error.path },
        DiskErrorKind::NoSpace => NodeError::NoSpace { path: error.path },
        DiskErrorKind::NotFound
        | DiskErrorKind::AlreadyExists
        | DiskErrorKind::TooManyFiles
        | DiskErrorKind::UnexpectedEnd
        | DiskErrorKind::Io => failed(&format!("data directory {}", dir.display()), error),
    }
}

/// A failure of a log directory or of a log in it.
pub(crate) fn of_log(dir: &Path, error: LogError) -> NodeError {
    match error {
        LogError::Disk(error) => of_disk(dir, error),
        LogError::Corrupt { path, what } => NodeError::Damaged { path, what },
        LogError::Damaged { ref dir, .. } => {
            NodeError::Damaged { path: dir.clone(), what: error.to_string() }
        }
        LogError::TopicId { ref path, .. } => {
            NodeError::Damaged { path: path.clone(), what: error.to_string() }
        }
        LogError::Foreign { path } => NodeError::Foreign {
            path: dir.to_owned(),
            found: format!(
                "the folder {} in it belongs to no partition",
                path.file_name().unwrap_or(path.as_os_str()).display()
            ),
        },
        LogError::Offline { .. } | LogError::Replaced { .. } => failed("stopped serving", error),
    }
}

/// Why the controller did not start; `dir` is the metadata directory.
pub(crate) fn of_controller(dir: &Path, error: ControllerError) -> NodeError {
    match error {
        ControllerError::Disk(error) => of_disk(dir, error),
        ControllerError::Damaged(what) => NodeError::Damaged { path: dir.to_owned(), what },
        ControllerError::Unsupported(what) => NodeError::Unsupported { path: dir.to_owned(), what },
        ControllerError::Thread(_) => failed("starting the controller", error),
    }
}

/// Why directories were not formatted; `dir` is the first of them.
pub(crate) fn of_format(dir: &Path, error: FormatError) -> NodeError {
    match error {
        FormatError::Disk(error) => of_disk(dir, error),
        FormatError::Invalid(sentence) => ConfigError::Conflict(sentence).into(),
    }
}

/// Why the broker did not start; `dir` is its first data directory.
pub(crate) fn of_broker(dir: &Path, error: StartError) -> NodeError {
    match error {
        StartError::Bind(BindError { listener, address, source }) => {
            if source.kind() == io::ErrorKind::AddrInUse {
                NodeError::AddressInUse { listener, address }
            } else {
                NodeError::Listen { listener, address, source }
            }
        }
        StartError::Log(error) => of_log(dir, error),
        StartError::Thread(source) => failed("starting the broker", source),
        StartError::Registration(source) => failed("starting the broker", source),
    }
}

/// What took a running node out of service: `why` is a sentence that ends in the disk's own words.
pub(crate) fn while_running(dir: &Path, why: String) -> NodeError {
    if why.contains(&DiskErrorKind::NoSpace.to_string()) {
        return NodeError::NoSpace { path: dir.to_owned() };
    }
    failed(&format!("data directory {}", dir.display()), why)
}

/// Anything else.
pub(crate) fn failed(
    what: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> NodeError {
    NodeError::Failed { what: what.to_owned(), source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_keep_their_exit_codes() {
        let dir = Path::new("data");
        let disk = |kind| DiskError::new(kind, "write", Path::new("data/t-0/x.log"));
        for (kind, code, sentence) in [
            (DiskErrorKind::Locked, 5, "data directory data is locked by another process"),
            (DiskErrorKind::Permission, 6, "no permission for data/t-0/x.log"),
            (DiskErrorKind::NoSpace, 7, "no space left for data/t-0/x.log"),
            (
                DiskErrorKind::Io,
                1,
                "data directory data: cannot write data/t-0/x.log: the device failed",
            ),
        ] {
            let error = of_log(dir, LogError::Disk(disk(kind)));
            assert_eq!((error.exit_code(), error.to_string().as_str()), (code, sentence));
        }
        let damaged = LogError::Corrupt { path: "data/x".into(), what: "it is no text".into() };
        let error = of_log(dir, damaged);
        assert_eq!(
            (error.exit_code(), error.to_string().as_str()),
            (8, "data/x is damaged: it is no text")
        );
        let error = of_log(dir, LogError::Foreign { path: "data/photos".into() });
        assert_eq!(error.exit_code(), 9);
        assert_eq!(
            error.to_string(),
            "data is not a data directory: the folder photos in it belongs to no partition"
        );
    }

    #[test]
    fn a_disk_that_fills_up_later_is_a_full_disk() {
        let dir = Path::new("data");
        let full = DiskError::new(DiskErrorKind::NoSpace, "write", Path::new("data/t-0/x.log"));
        assert_eq!(while_running(dir, format!("offline: {full}")).exit_code(), 7);
        let broken = DiskError::new(DiskErrorKind::Io, "sync", Path::new("data/t-0/x.log"));
        assert_eq!(while_running(dir, format!("offline: {broken}")).exit_code(), 1);
    }

    #[test]
    fn addresses() {
        let bind = |kind: io::ErrorKind| {
            of_broker(
                Path::new("data"),
                StartError::Bind(BindError {
                    listener: "PLAINTEXT".into(),
                    address: "127.0.0.1:9092".into(),
                    source: kind.into(),
                }),
            )
        };
        let error = bind(io::ErrorKind::AddrInUse);
        assert_eq!(error.to_string(), "127.0.0.1:9092 is already in use (listener PLAINTEXT)");
        assert!(bind(io::ErrorKind::PermissionDenied).to_string().starts_with("cannot listen on "));
        assert_eq!(error.exit_code(), 4);
    }
}
