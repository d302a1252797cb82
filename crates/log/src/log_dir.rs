//! A log directory: its lock, its small files, its partitions' directories, whether it failed, and
//! what its logs share (open files, memory of the tails). Must not know what is in a partition.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use ottla_env::{Disk, DiskError, DiskErrorKind, DiskLock, EntryKind, OpenMode, mark, planted};
use ottla_protocol::{Offset, Uuid};
use parking_lot::Mutex;

use crate::buried::Buried;
use crate::compact::CleanerOffsets;
use crate::config::LogDirLimits;
use crate::durable_ends::DurableEnds;
use crate::error::LogError;
use crate::failure::Failure;
use crate::meta_properties::MetaProperties;
use crate::names::{self, DirState, TopicPartition};
use crate::offset_checkpoint::{self, OffsetCheckpoint, Offsets};
use crate::open_files::OpenFiles;
use crate::read_buffers::ReadBuffers;

const LOCK: &str = ".lock";
/// Space kept back for the small files, which make room by saying what may go.
const RESERVE: &str = ".ottla-reserve";
/// At most so many bytes, and no more than this part of the volume.
const RESERVE_BYTES: u64 = 4 << 20;
const RESERVE_PART: u64 = 256;
/// It is made when so many times its size are free.
const RESERVE_FREE_FACTOR: u64 = 4;
const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
/// Directories of Kafka's that hold no partition.
const NOT_PARTITIONS: [&str; 1] = ["remote-log-index-cache"];

/// A log directory that this process has locked.
pub struct LogDir {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    failure: Failure,
    pub(crate) open_files: OpenFiles,
    /// What its files are read into for clients.
    pub(crate) read_buffers: Arc<ReadBuffers>,
    pub(crate) limits: LogDirLimits,
    /// Bytes of batches that the tails of all its logs hold.
    pub(crate) tail_bytes: AtomicUsize,
    /// Tails that hold any.
    pub(crate) tails: AtomicUsize,
    /// Bytes of batches that were appended to all its logs since it was opened.
    pub(crate) appended_bytes: AtomicU64,
    /// The reserve is there.
    reserve: AtomicBool,
    /// A write found no space.
    full: AtomicBool,
    /// There are logs that take no appends because there was no space.
    halted: AtomicBool,
    /// Up to where its logs are on stable storage.
    pub(crate) durable_ends: DurableEnds,
    /// Up to where its logs were compacted.
    pub(crate) cleaner_offsets: CleanerOffsets,
    /// Files that the logs have let go of.
    pub(crate) buried: Mutex<Vec<Buried>>,
    /// None for one that was never in service.
    _lock: Option<Box<dyn DiskLock>>,
}

/// A partition's directory, as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDirEntry {
    /// The partition. For a directory being deleted the topic may be cut short.
    pub partition: TopicPartition,
    /// The directory's name.
    pub name: String,
    /// What it is there for.
    pub state: DirState,
}

/// The directory was stopped cleanly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanShutdown {
    /// The broker's epoch when it stopped, for the next registration's `PreviousBrokerEpoch`.
    pub broker_epoch: Option<i64>,
}

/// What the small files say about the partitions, for loading them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadPoints {
    /// Set when the last stop was clean.
    pub clean: Option<CleanShutdown>,
    /// Recovery points; a log without one is recovered from its start.
    pub recovery: Offsets,
    /// Log start offsets.
    pub log_start: Offsets,
    /// High watermarks.
    pub high_watermark: Offsets,
    /// Files that could not be read, and what is assumed instead; each a sentence to log.
    pub warnings: Vec<String>,
}

impl fmt::Debug for LogDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogDir").field(&self.path).finish()
    }
}

impl LogDir {
    /// Creates the directory when it is missing, and locks it.
    ///
    /// # Errors
    /// [`ottla_env::DiskErrorKind::Locked`] when another process has it; other failures of the disk.
    pub fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        limits: LogDirLimits,
    ) -> Result<Arc<Self>, LogError> {
        if !disk.exists(path)? {
            disk.create_dir(path)?;
        }
        // Also when it is there: who created it may have been killed before it was safe.
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            match disk.sync_dir(parent) {
                // Nobody else than who made it can look into the directory above.
                Err(error) if error.kind == DiskErrorKind::Permission => {}
                other => other?,
            }
        }
        let lock = disk.lock(&path.join(LOCK))?;
        let reserve = disk.exists(&path.join(RESERVE))?;
        let mut dir = Self::new(disk, path, limits);
        (dir.reserve, dir._lock) = (AtomicBool::new(reserve), Some(lock));
        Ok(Arc::new(dir))
    }

    /// One that could not be opened: out of service from the start, for `reason`.
    #[must_use]
    pub fn offline(
        disk: Arc<dyn Disk>,
        path: &Path,
        limits: LogDirLimits,
        reason: &str,
    ) -> Arc<Self> {
        let dir = Self::new(disk, path, limits);
        dir.failure.set(|| reason.into());
        Arc::new(dir)
    }

    fn new(disk: Arc<dyn Disk>, path: &Path, limits: LogDirLimits) -> Self {
        Self {
            open_files: OpenFiles::new(Arc::clone(&disk), limits.open_files),
            read_buffers: Arc::default(),
            disk,
            path: path.to_owned(),
            failure: Failure::default(),
            limits,
            tail_bytes: AtomicUsize::new(0),
            tails: AtomicUsize::new(0),
            appended_bytes: AtomicU64::new(0),
            reserve: AtomicBool::new(false),
            full: AtomicBool::new(false),
            halted: AtomicBool::new(false),
            durable_ends: DurableEnds::default(),
            cleaner_offsets: CleanerOffsets::default(),
            buried: Mutex::default(),
            _lock: None,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is on.
    #[must_use]
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Takes the directory out of service: nothing is written to it any more. The first reason
    /// stays.
    pub fn fail(&self, reason: &LogError) {
        self.failure.set(|| reason.to_string().into());
    }

    /// Calls `tell` when the directory goes out of service, at once when it has before
    /// ([`Failure::on_set`]).
    pub fn on_failure(&self, tell: impl FnOnce(&str) + Send + 'static) {
        self.failure.on_set(tell);
    }

    /// Why it is out of service, when it is.
    #[must_use]
    pub fn failure(&self) -> Option<LogError> {
        let reason = self.failure.why()?;
        Some(LogError::Offline { path: self.path.clone(), reason })
    }

    /// Whether a write of a log found no space since [`LogDir::set_full`] was last told that there
    /// is some.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// Notes whether there is space.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Release);
    }

    /// Notes that a log takes no appends because there was no space.
    pub fn note_halted(&self) {
        self.halted.store(true, Ordering::Release);
    }

    /// Whether one did since the last call: it takes some when it is resumed, which may have to be
    /// tried more than once.
    pub fn take_halted(&self) -> bool {
        self.halted.swap(false, Ordering::AcqRel)
    }

    /// Keeps space back for the directory's small files, when none is and there is enough: without
    /// a checkpoint nothing may go, and a full disk would stay full.
    ///
    /// # Errors
    /// When the disk fails, or has no space after all.
    pub fn keep_reserve(&self) -> Result<(), LogError> {
        if self.reserve.load(Ordering::Acquire) || self.is_full() {
            return Ok(());
        }
        self.check()?;
        let space = self.disk.space(&self.path)?;
        let bytes = RESERVE_BYTES.min(space.total / RESERVE_PART);
        if bytes == 0 || space.available / RESERVE_FREE_FACTOR < bytes {
            return Ok(());
        }
        let path = self.path.join(RESERVE);
        let made = self.disk.open(&path, OpenMode::CreateEmpty).and_then(|f| f.allocate(bytes));
        if let Err(error) = made {
            // Half of it helps nobody.
            let _gone = self.disk.remove_file(&path);
            return Err(error.into());
        }
        self.reserve.store(true, Ordering::Release);
        Ok(())
    }

    /// Uses the space that was kept back; whether there was any.
    pub fn give_up_reserve(&self) -> bool {
        let held = self.reserve.swap(false, Ordering::AcqRel);
        held && self.disk.remove_file(&self.path.join(RESERVE)).is_ok()
    }

    /// Does what needs a little space, if need be that which was kept back.
    fn with_reserve(&self, act: impl Fn() -> Result<(), DiskError>) -> Result<(), LogError> {
        match act().map_err(LogError::from) {
            Err(error) if error.is_no_space() => {
                self.set_full(true);
                if self.give_up_reserve() { Ok(act()?) } else { Err(error) }
            }
            other => other,
        }
    }

    /// Gives memory back that reads of files have used and nobody has needed since the last call.
    pub fn give_back_idle(&self) {
        self.read_buffers.give_back_idle();
    }

    /// Makes everything in it survive a power cut: what was written before the call.
    ///
    /// # Errors
    /// When the disk fails, or has failed before; then the directory is out of service.
    pub fn sync_volume(&self) -> Result<(), LogError> {
        self.check()?;
        self.disk.sync_volume(&self.path).map_err(|error| {
            let error = LogError::from(error);
            self.fail(&error);
            error
        })
    }

    /// Bytes of batches that were appended to its logs since it was opened.
    #[must_use]
    pub fn appended_bytes(&self) -> u64 {
        self.appended_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn check(&self) -> Result<(), LogError> {
        self.failure().map_or(Ok(()), Err)
    }

    /// Reads `meta.properties`; `None` when the directory is not formatted.
    ///
    /// # Errors
    /// When the disk fails or the file is damaged.
    pub fn read_meta_properties(&self) -> Result<Option<MetaProperties>, LogError> {
        let Some(text) = self.read_text(MetaProperties::FILE)? else { return Ok(None) };
        let read = MetaProperties::decode(&text);
        read.map(Some)
            .map_err(|what| LogError::corrupt(&self.path.join(MetaProperties::FILE), what))
    }

    /// Replaces `meta.properties`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write_meta_properties(&self, content: &MetaProperties) -> Result<(), LogError> {
        self.write_text(MetaProperties::FILE, content.encode())
    }

    /// Reads an offset checkpoint; without a file there are no offsets.
    ///
    /// # Errors
    /// When the disk fails or the file is damaged.
    pub fn read_offsets(&self, which: OffsetCheckpoint) -> Result<Offsets, LogError> {
        let Some(text) = self.read_text(which.file())? else { return Ok(Offsets::new()) };
        offset_checkpoint::decode(&text)
            .map_err(|what| LogError::corrupt(&self.path.join(which.file()), what))
    }

    /// Replaces an offset checkpoint. Each partition is named once, in whatever order.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write_offsets<'a, I>(&self, which: OffsetCheckpoint, offsets: I) -> Result<(), LogError>
    where
        I: IntoIterator<Item = (&'a TopicPartition, &'a Offset), IntoIter: ExactSizeIterator>,
    {
        self.write_text(which.file(), offset_checkpoint::encode(offsets))
    }

    /// Reads all that loading needs, and durably removes the marker of a clean stop: from here on a
    /// crash is an unclean stop. A damaged checkpoint is no obstacle, only more work, as in Kafka.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn begin_load(&self) -> Result<LoadPoints, LogError> {
        // A process that was killed may have left names that are in no cache but the system's;
        // what is read here must be there after the next power cut too.
        self.disk.sync_dir(&self.path)?;
        let mut points = LoadPoints { clean: self.take_clean_shutdown()?, ..LoadPoints::default() };
        self.load_durable_ends(points.clean.is_some())?;
        for which in OffsetCheckpoint::ALL {
            let offsets = match self.read_offsets(which) {
                Ok(offsets) => offsets,
                Err(error @ LogError::Corrupt { .. }) => {
                    let instead = match which {
                        OffsetCheckpoint::RecoveryPoint => {
                            "all logs are recovered from their start"
                        }
                        OffsetCheckpoint::LogStart => "logs start where their first segment does",
                        OffsetCheckpoint::HighWatermark => {
                            "high watermarks begin at the logs' start"
                        }
                    };
                    points.warnings.push(format!("{error}; {instead}"));
                    Offsets::new()
                }
                Err(error) => return Err(error),
            };
            match which {
                OffsetCheckpoint::RecoveryPoint => points.recovery = offsets,
                OffsetCheckpoint::LogStart => points.log_start = offsets,
                OffsetCheckpoint::HighWatermark => points.high_watermark = offsets,
            }
        }
        Ok(points)
    }

    fn take_clean_shutdown(&self) -> Result<Option<CleanShutdown>, LogError> {
        let content = match self.disk.read(&self.path.join(CLEAN_SHUTDOWN)) {
            Ok(content) => content,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        mark!("clean-start");
        if !planted("clean-marker-kept") {
            self.disk.remove_file(&self.path.join(CLEAN_SHUTDOWN))?;
        }
        if !planted("clean-marker-removal-not-synced") {
            self.disk.sync_dir(&self.path)?;
        }
        // Kafka counts the file's presence, whatever is in it.
        let text = String::from_utf8_lossy(&content);
        Ok(Some(CleanShutdown { broker_epoch: broker_epoch(&text) }))
    }

    /// Writes the marker of a clean stop: after all logs are closed and their recovery points
    /// written, and only if all had been loaded.
    ///
    /// # Errors
    /// When the disk fails, or has failed before.
    pub fn write_clean_shutdown(&self, broker_epoch: i64) -> Result<(), LogError> {
        self.check()?;
        self.drop_durable_ends()?;
        self.write_text(CLEAN_SHUTDOWN, format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}"))
    }

    /// The partitions' directories, by name.
    ///
    /// # Errors
    /// [`LogError::Foreign`] when a directory is none of a partition; when the disk fails.
    pub fn list(&self) -> Result<Vec<LogDirEntry>, LogError> {
        let mut found = Vec::new();
        for entry in self.disk.list(&self.path)? {
            if entry.kind != EntryKind::Directory || NOT_PARTITIONS.contains(&entry.name.as_str()) {
                continue;
            }
            match names::parse_dir(&entry.name) {
                Some((partition, state)) => {
                    found.push(LogDirEntry { partition, name: entry.name, state })
                }
                None => return Err(LogError::Foreign { path: self.path.join(&entry.name) }),
            }
        }
        Ok(found)
    }

    /// Renames a partition's directory so that it is out of the way, to be removed later (for
    /// [`DirState::Delete`]) or kept for someone to look at ([`DirState::Stray`]). The log must
    /// have been given up before ([`crate::PartitionLog::retire`]). Returns the new name.
    ///
    /// # Errors
    /// When the disk fails; unless there is no space, or no such directory, this one is then out of
    /// service.
    pub fn move_aside(
        &self,
        partition: &TopicPartition,
        unique: Uuid,
        state: DirState,
    ) -> Result<String, LogError> {
        let Some(name) = names::moved_dir(partition, unique, state) else {
            return Ok(partition.to_string());
        };
        self.rename(&self.path.join(partition.to_string()), &self.path.join(&name))?;
        Ok(name)
    }

    /// Gives a log that was copied here its name: from here on it is the partition's. On stable
    /// storage when it returns.
    ///
    /// # Errors
    /// When there is one already; when the disk fails, as [`LogDir::move_aside`].
    pub fn promote(&self, name: &str, partition: &TopicPartition) -> Result<(), LogError> {
        self.check()?;
        let (from, to) = (self.path.join(name), self.path.join(partition.to_string()));
        if self.disk.exists(&to)? {
            let reason = "a log of the partition is here already".into();
            return Err(LogError::Offline { path: to, reason });
        }
        self.rename(&from, &to)
    }

    /// Removes a directory that was moved aside, or a copy, with all in it.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remove(&self, name: &str) -> Result<(), LogError> {
        let aside = names::parse_dir(name).is_some_and(|(_, state)| state != DirState::Live);
        assert!(aside, "only what was moved aside is removed, not {name:?}");
        let mut path = self.path.join(name);
        if let Some(doomed) = names::deleted_copy(name) {
            // Files go one by one, and what a crash leaves of a copy must not be taken for one.
            let doomed = self.path.join(doomed);
            self.rename(&path, &doomed)?;
            path = doomed;
        }
        self.disk.remove_dir_all(&path)?;
        Ok(self.disk.sync_dir(&self.path)?)
    }

    /// Changes a name in the directory, on stable storage. When that fails, but for lack of space, what
    /// a crash leaves there is not known: the directory is out of service.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), LogError> {
        let renamed = self.with_reserve(|| self.disk.rename(from, to));
        let synced = renamed.and_then(|()| Ok(self.disk.sync_dir(&self.path)?));
        synced.inspect_err(|error| {
            if error.is_failed_write() {
                self.fail(error);
            }
        })
    }

    fn read_text(&self, name: &str) -> Result<Option<String>, LogError> {
        let path = self.path.join(name);
        match self.disk.read(&path) {
            Ok(content) => match String::from_utf8(content) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(LogError::corrupt(&path, "it is no text")),
            },
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn write_text(&self, name: &str, text: String) -> Result<(), LogError> {
        self.check()?;
        let path = self.path.join(name);
        let content = Bytes::from(text);
        let written = self.with_reserve(|| self.disk.write_atomically(&path, content.clone()));
        written.inspect_err(|error| {
            if error.is_no_space() {
                // Half a file takes space; the old one is still there.
                let _gone = self.disk.remove_file(&self.path.join(format!("{name}.tmp")));
            } else {
                self.fail(error);
            }
        })
    }

    pub(crate) fn tail_over_limit(&self) -> bool {
        self.tail_bytes.load(Ordering::Relaxed) > self.limits.tail_bytes
    }

    /// What a tail may hold besides what its last commit wrote.
    pub(crate) fn tail_share(&self) -> usize {
        self.limits.tail_share_bytes / self.tails.load(Ordering::Relaxed).max(1)
    }
}

/// The number after `"brokerEpoch":`.
fn broker_epoch(text: &str) -> Option<i64> {
    let (_, rest) = text.split_once("\"brokerEpoch\"")?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start();
    let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_env::DiskErrorKind;
    use ottla_env::memory::{MemoryDisk, Survival};

    fn open(disk: &MemoryDisk) -> Result<Arc<LogDir>, LogError> {
        LogDir::open(Arc::new(disk.clone()), Path::new("/data"), LogDirLimits::default())
    }

    #[test]
    fn one_process_at_a_time() {
        let disk = MemoryDisk::new();
        let first = open(&disk).unwrap();
        assert!(matches!(open(&disk), Err(LogError::Disk(e)) if e.kind == DiskErrorKind::Locked));
        drop(first);
        open(&disk).unwrap();
    }

    #[test]
    fn the_clean_marker_is_taken_once() {
        let disk = MemoryDisk::new();
        let dir = open(&disk).unwrap();
        assert_eq!(dir.begin_load().unwrap(), LoadPoints::default());
        dir.write_clean_shutdown(14).unwrap();
        let marker = disk.files().remove(Path::new("/data/.kafka_cleanshutdown")).unwrap();
        assert_eq!(marker, br#"{"version":0,"brokerEpoch":14}"#);
        let points = dir.begin_load().unwrap();
        assert_eq!(points.clean, Some(CleanShutdown { broker_epoch: Some(14) }));
        drop(dir);
        disk.crash(|_| Survival::Nothing);
        assert_eq!(open(&disk).unwrap().begin_load().unwrap().clean, None);
    }

    #[test]
    fn a_clean_marker_counts_whatever_is_in_it() {
        let disk = MemoryDisk::new();
        let dir = open(&disk).unwrap();
        let marker = dir.path().join(CLEAN_SHUTDOWN);
        disk.write_atomically(&marker, Bytes::from_static(&[0xff, 0])).unwrap();
        let points = dir.begin_load().unwrap();
        assert_eq!(points.clean, Some(CleanShutdown { broker_epoch: None }));
    }

    #[test]
    fn checkpoints_survive_and_damage_is_told() {
        let disk = MemoryDisk::new();
        let dir = open(&disk).unwrap();
        let offsets = Offsets::from([(TopicPartition::new("t", 0), Offset(7))]);
        dir.write_offsets(OffsetCheckpoint::RecoveryPoint, &offsets).unwrap();
        drop(dir);
        disk.crash(|_| Survival::Nothing);
        let dir = open(&disk).unwrap();
        let damaged = dir.path().join(OffsetCheckpoint::LogStart.file());
        disk.write_atomically(&damaged, Bytes::from_static(b"0\n9\n")).unwrap();
        let points = dir.begin_load().unwrap();
        assert_eq!(points.recovery, offsets);
        assert_eq!(points.log_start, Offsets::new());
        assert_eq!(
            points.warnings,
            ["/data/log-start-offset-checkpoint is damaged: it promises 9 entries and has 0; \
              logs start where their first segment does"]
        );
    }

    #[test]
    fn a_failed_directory_takes_nothing() {
        let dir = open(&MemoryDisk::new()).unwrap();
        dir.fail(&LogError::corrupt(Path::new("/x"), "first"));
        dir.fail(&LogError::corrupt(Path::new("/x"), "second"));
        let error = dir.write_clean_shutdown(1).unwrap_err();
        assert_eq!(error.to_string(), "/data is out of service: /x is damaged: first");
    }

    #[test]
    fn partitions_and_foreign_directories() {
        let disk = MemoryDisk::new();
        let dir = open(&disk).unwrap();
        for name in ["t-0", "t-1", "remote-log-index-cache"] {
            disk.create_dir(&dir.path().join(name)).unwrap();
        }
        let aside =
            dir.move_aside(&TopicPartition::new("t", 1), Uuid([1; 16]), DirState::Delete).unwrap();
        let found: Vec<_> =
            dir.list().unwrap().into_iter().map(|e| (e.partition.to_string(), e.state)).collect();
        assert_eq!(found, [("t-0".into(), DirState::Live), ("t-1".into(), DirState::Delete)]);
        dir.remove(&aside).unwrap();
        assert_eq!(dir.list().unwrap().len(), 1);
        disk.create_dir(&dir.path().join("lost+found")).unwrap();
        assert!(matches!(dir.list(), Err(LogError::Foreign { .. })));
    }
}
