//! One segment: its files, what of them is written, its indexes (on disk, and in memory what is
//! not there yet), its largest timestamp. Shared by the log, the committer and readers; its own
//! lock is held for moments and never over I/O. Must not know offsets' order across segments.

mod lookup;

pub(crate) use lookup::Place;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use ottla_env::{Disk, DiskError, DiskFile, OpenMode, planted};
use ottla_protocol::Offset;
use parking_lot::Mutex;

use crate::error::LogError;
use crate::index::{self, Entry, OffsetEntry, TimeEntry};
use crate::log_dir::LogDir;
use crate::names::{self, TopicPartition};
use crate::open_files::FileSlot;
use crate::txn_index;

/// A partition's directory.
#[derive(Debug)]
pub(crate) struct PartitionDir {
    pub(crate) log_dir: Arc<LogDir>,
    pub(crate) path: PathBuf,
    /// The partition is no longer wanted: its files may vanish, and that is no failure.
    pub(crate) retired: AtomicBool,
    /// A small file of the directory could not be replaced for lack of space.
    pub(crate) stale: AtomicBool,
}

impl PartitionDir {
    pub(crate) fn of(log_dir: &Arc<LogDir>, partition: &TopicPartition) -> Arc<Self> {
        Self::named(log_dir, &partition.to_string())
    }

    pub(crate) fn named(log_dir: &Arc<LogDir>, name: &str) -> Arc<Self> {
        Arc::new(Self {
            log_dir: Arc::clone(log_dir),
            path: log_dir.path().join(name),
            retired: AtomicBool::new(false),
            stale: AtomicBool::new(false),
        })
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        self.log_dir.disk()
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Whether what was found under the partition's path is the partition's.
    pub(crate) fn check(&self) -> Result<(), LogError> {
        if self.is_retired() {
            let reason = "the partition is being deleted".into();
            return Err(LogError::Offline { path: self.path.clone(), reason });
        }
        Ok(())
    }
}

/// The largest timestamp of a segment and the last offset of the first batch that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Largest {
    pub(crate) timestamp: i64,
    pub(crate) offset: Offset,
}

impl Largest {
    pub(crate) const NONE: Self = Self { timestamp: -1, offset: Offset::NONE };
}

/// Which names a segment's files have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    /// Their own.
    Live,
    /// They end in `.cleaned`: compaction is writing them.
    Cleaned,
    /// They end in `.swap`, or have their own names by now.
    Swap,
    /// They are another segment's, which took the place of this one.
    Replaced,
}

impl Stage {
    fn of(byte: u8) -> Self {
        [Self::Live, Self::Cleaned, Self::Swap]
            .into_iter()
            .find(|stage| *stage as u8 == byte)
            .unwrap_or(Self::Replaced)
    }

    const fn ending(self) -> &'static str {
        match self {
            Self::Live => "",
            Self::Cleaned => names::CLEANED,
            Self::Swap => names::SWAP,
            Self::Replaced => names::DELETED,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base: Offset,
    pub(crate) dir: Arc<PartitionDir>,
    log: Arc<FileSlot>,
    offset_index: Arc<FileSlot>,
    time_index: Arc<FileSlot>,
    stage: AtomicU8,
    state: Mutex<State>,
    /// Held by the one who looks at indexes that were found, also while reading files.
    looking: Mutex<()>,
}

/// Whether what the state says of the index files is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Look {
    /// They are written by this process, or were checked against the log.
    #[default]
    Known,
    /// They were found, and nobody has needed them yet.
    NotYet,
    /// They were found, and are in order; single entries may still be wrong.
    Checked,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes of the `.log` that hold whole batches and may be read.
    written: u64,
    look: Look,
    /// The index of aborted transactions is as it was found.
    aborted_unchecked: bool,
    /// Entries in the index files.
    offsets_on_disk: u32,
    times_on_disk: u32,
    /// Entries that follow those.
    offsets: Vec<OffsetEntry>,
    times: Vec<TimeEntry>,
    /// Of a closed segment, once it was needed.
    largest: Option<Largest>,
    hints: [Hint; 4],
    next_hint: usize,
    /// Closed, and all of it is on stable storage.
    sealed: bool,
}

impl State {
    /// Where the first batch that ends at or after `offset` begins, if a reader came up to there.
    fn hint(&self, offset: Offset) -> Option<u64> {
        let hint = self.hints.iter().find(|h| h.offset == offset.0 && h.position != 0);
        hint.map(|hint| u64::from(hint.position))
    }
}

/// A reader went up to here; it will ask for this offset next.
#[derive(Clone, Copy, Debug, Default)]
struct Hint {
    offset: i64,
    position: u32,
}

/// Index entries to be written.
pub(crate) struct IndexWrites {
    pub(crate) offsets_at: u32,
    pub(crate) offsets: Vec<OffsetEntry>,
    pub(crate) times_at: u32,
    pub(crate) times: Vec<TimeEntry>,
}

/// What a segment's files hold, as found or rebuilt at start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) written: u64,
    pub(crate) offsets: u32,
    pub(crate) times: u32,
    pub(crate) largest: Option<Largest>,
}

impl Segment {
    pub(crate) fn new(dir: &Arc<PartitionDir>, base: Offset) -> Self {
        Self {
            base,
            dir: Arc::clone(dir),
            log: Arc::default(),
            offset_index: Arc::default(),
            time_index: Arc::default(),
            stage: AtomicU8::new(Stage::Live as u8),
            state: Mutex::default(),
            looking: Mutex::default(),
        }
    }

    /// A segment that compaction is about to write.
    pub(crate) fn cleaned(dir: &Arc<PartitionDir>, base: Offset) -> Self {
        Self { stage: AtomicU8::new(Stage::Cleaned as u8), ..Self::new(dir, base) }
    }

    fn stage(&self) -> Stage {
        Stage::of(self.stage.load(Ordering::Acquire))
    }

    /// Its files have other names now.
    pub(crate) fn set_stage(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
    }

    /// Fails when another segment took the place of this one: looked at after a file was opened,
    /// since its name may be the other's by then.
    fn check_not_replaced(&self) -> Result<(), LogError> {
        match self.stage() {
            Stage::Replaced => Err(LogError::Replaced { path: self.path(names::LOG) }),
            Stage::Live | Stage::Cleaned | Stage::Swap => Ok(()),
        }
    }

    pub(crate) fn path(&self, suffix: &str) -> PathBuf {
        self.dir.path.join(names::file(self.base, suffix) + self.stage().ending())
    }

    /// Opens one of its files, by whichever name it has.
    fn find<T>(
        &self,
        suffix: &str,
        open: impl Fn(PathBuf) -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        let stage = self.stage();
        let path = self.dir.path.join(names::file(self.base, suffix));
        let mut named = path.clone().into_os_string();
        named.push(stage.ending());
        match open(named.into()) {
            // Renamed between the two looks; what had the name before it was out of the way first.
            Err(e) if e.is_not_found() && stage == Stage::Swap => open(path),
            other => other,
        }
    }

    /// The whole of one of its files, if it is there.
    pub(crate) fn read_if_there(&self, suffix: &str) -> Result<Option<Vec<u8>>, LogError> {
        let content = match self.find(suffix, |path| self.dir.disk().read(&path)) {
            Ok(content) => Some(content),
            Err(e) if e.is_not_found() => None,
            Err(e) => return Err(e.into()),
        };
        self.check_not_replaced()?;
        self.dir.check()?;
        Ok(content)
    }

    /// Creates the files, empty.
    pub(crate) fn create(&self) -> Result<(), LogError> {
        for suffix in [names::LOG, names::OFFSET_INDEX, names::TIME_INDEX] {
            self.dir.disk().open(&self.path(suffix), OpenMode::CreateEmpty)?;
        }
        Ok(())
    }

    pub(crate) fn log_file(&self) -> Result<Arc<dyn DiskFile>, LogError> {
        self.open(&self.log, names::LOG)
    }

    /// The `.log`, if it is open and nothing is known against it.
    pub(crate) fn log_file_if_open(&self) -> Option<Arc<dyn DiskFile>> {
        let file = self.log.opened()?;
        self.check_not_replaced().ok()?;
        self.dir.check().ok()?;
        Some(file)
    }

    /// The `.log`, opened anew, for who reads all of it once.
    pub(crate) fn log_file_in_passing(&self) -> Result<Arc<dyn DiskFile>, LogError> {
        let disk = self.dir.disk();
        let file = self.checked(self.find(names::LOG, |path| disk.open(&path, OpenMode::Read)))?;
        file.read_in_passing();
        Ok(file)
    }

    pub(crate) fn offset_index_file(&self) -> Result<Arc<dyn DiskFile>, LogError> {
        self.open(&self.offset_index, names::OFFSET_INDEX)
    }

    pub(crate) fn time_index_file(&self) -> Result<Arc<dyn DiskFile>, LogError> {
        self.open(&self.time_index, names::TIME_INDEX)
    }

    fn open(&self, slot: &Arc<FileSlot>, suffix: &str) -> Result<Arc<dyn DiskFile>, LogError> {
        let files = &self.dir.log_dir.open_files;
        let found = match slot.in_use() {
            Some(file) => Ok(file),
            None => self.find(suffix, |path| slot.get(files, || path, OpenMode::Write)),
        };
        self.checked(found)
    }

    /// A file of the segment, if it is that still. Looked at after it was opened: the path may be
    /// that of a new partition of the same name by then.
    fn checked(
        &self,
        found: Result<Arc<dyn DiskFile>, DiskError>,
    ) -> Result<Arc<dyn DiskFile>, LogError> {
        self.check_not_replaced()?;
        let file = found?;
        self.dir.check()?;
        Ok(file)
    }

    /// Closes the files, as far as nobody uses them at the moment.
    pub(crate) fn close_files(&self) {
        self.log.close();
        self.offset_index.close();
        self.time_index.close();
    }

    /// Sets what the files hold, at start.
    pub(crate) fn set_found(&self, found: &Found) {
        let mut state = self.state.lock();
        state.written = found.written;
        state.look = Look::Known;
        state.aborted_unchecked = false;
        state.offsets_on_disk = found.offsets;
        state.times_on_disk = found.times;
        state.largest = found.largest;
        state.sealed = true;
        state.offsets.clear();
        state.times.clear();
    }

    /// The segment is closed: its files are to be synced, or (`done`) they are.
    pub(crate) fn set_sealed(&self, done: bool) {
        self.state.lock().sealed = done;
    }

    /// Whether it was closed and synced, or found closed.
    pub(crate) fn is_sealed(&self) -> bool {
        self.state.lock().sealed
    }

    /// Sets what is known of a closed segment that was found at start and is not looked at: the
    /// length of its `.log`.
    pub(crate) fn set_unread(&self, written: u64) {
        let mut state = self.state.lock();
        *state = State {
            written,
            look: Look::NotYet,
            sealed: true,
            aborted_unchecked: true,
            ..State::default()
        };
    }

    pub(crate) fn written(&self) -> u64 {
        self.state.lock().written
    }

    /// Bytes up to `end` are in the file.
    pub(crate) fn on_written(&self, end: u64) {
        let mut state = self.state.lock();
        assert!(end >= state.written, "a segment is written from front to back");
        state.written = end;
    }

    /// Adds index entries; returns how many wait to be written to the files.
    pub(crate) fn push_entries(
        &self,
        offset: Option<OffsetEntry>,
        time: Option<TimeEntry>,
    ) -> usize {
        let mut state = self.state.lock();
        state.offsets.extend(offset);
        state.times.extend(time);
        state.offsets.len().max(state.times.len())
    }

    pub(crate) fn set_largest(&self, largest: Largest) {
        self.state.lock().largest = Some(largest);
    }

    /// Copies the entries that wait to be written.
    pub(crate) fn index_writes(&self) -> IndexWrites {
        let state = self.state.lock();
        IndexWrites {
            offsets_at: state.offsets_on_disk,
            offsets: state.offsets.clone(),
            times_at: state.times_on_disk,
            times: state.times.clone(),
        }
    }

    /// They are in the files.
    pub(crate) fn on_index_written(&self, writes: &IndexWrites) {
        let mut state = self.state.lock();
        state.offsets_on_disk += u32::try_from(writes.offsets.len()).unwrap_or(0);
        state.times_on_disk += u32::try_from(writes.times.len()).unwrap_or(0);
        state.offsets.drain(..writes.offsets.len());
        state.times.drain(..writes.times.len());
        state.offsets.shrink_to(64);
        state.times.shrink_to(64);
    }

    /// Forgets the entries that wait to be written: the index knows less, and is not wrong.
    pub(crate) fn forget_waiting_entries(&self) {
        let mut state = self.state.lock();
        state.offsets = Vec::new();
        state.times = Vec::new();
    }

    /// Entries in the files: what their lengths must be.
    pub(crate) fn entries_on_disk(&self) -> (u32, u32) {
        let state = self.state.lock();
        (state.offsets_on_disk, state.times_on_disk)
    }

    /// All entries, on disk and not yet.
    pub(crate) fn entries(&self) -> (u32, u32) {
        let state = self.state.lock();
        let len = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        (
            state.offsets_on_disk + len(state.offsets.len()),
            state.times_on_disk + len(state.times.len()),
        )
    }

    /// `offset` less the base, as the indexes hold it.
    pub(crate) fn relative(&self, offset: Offset) -> Option<u32> {
        u32::try_from(offset.0.checked_sub(self.base.0)?).ok().filter(|r| i32::try_from(*r).is_ok())
    }

    /// Cuts the segment to the batches below `offset`, the first of the others being at
    /// `position`: first what is known of it, then its files, which are synced.
    pub(crate) fn truncate(&self, offset: Offset, position: u64) -> Result<(), LogError> {
        self.look()?;
        let keep = u32::try_from(offset.0.saturating_sub(self.base.0).max(0)).unwrap_or(u32::MAX);
        let (offsets, times) = self.entries_on_disk();
        let offsets = match offsets {
            0 => 0,
            n => {
                index::search::<OffsetEntry>(&*self.offset_index_file()?, n, |e| e.relative < keep)?
                    .0
            }
        };
        let times = match times {
            0 => 0,
            n => index::search::<TimeEntry>(&*self.time_index_file()?, n, |e| e.relative < keep)?.0,
        };
        let mut state = self.state.lock();
        state.written = state.written.min(position);
        state.offsets_on_disk = offsets;
        state.times_on_disk = times;
        state.offsets.retain(|e| e.relative < keep);
        state.times.retain(|e| e.relative < keep);
        state.largest = None;
        state.look = Look::Known;
        state.hints = Default::default();
        drop(state);
        self.cut_files(position)?;
        self.cut_aborted(offset)
    }

    /// Takes the transactions that ended at or after `offset` out of the index of them. Cut, not
    /// written anew: there may be no space.
    fn cut_aborted(&self, offset: Offset) -> Result<(), LogError> {
        let (disk, path) = (self.dir.disk(), self.path(names::TXN_INDEX));
        if !disk.exists(&path)? {
            return Ok(());
        }
        let bytes = disk.read(&path)?;
        let whole = bytes.len() - bytes.len() % txn_index::ENTRY;
        let entries = txn_index::decode(bytes.get(..whole).unwrap_or_default()).unwrap_or_default();
        let kept = entries.iter().take_while(|e| e.last_offset < offset).count();
        let file = disk.open(&path, OpenMode::Write)?;
        file.set_len((kept * txn_index::ENTRY) as u64)?;
        Ok(file.sync_data()?)
    }

    /// Takes everything out of the segment, of which nothing counts; syncs its files, those that
    /// are there.
    pub(crate) fn make_empty(&self) -> Result<(), LogError> {
        *self.state.lock() = State::default();
        for suffix in [names::LOG, names::OFFSET_INDEX, names::TIME_INDEX, names::TXN_INDEX] {
            let path = self.path(suffix);
            if self.dir.disk().exists(&path)? {
                let file = self.dir.disk().open(&path, OpenMode::Write)?;
                file.set_len(0)?;
                file.sync_data()?;
            }
        }
        Ok(())
    }

    fn cut_files(&self, position: u64) -> Result<(), LogError> {
        let (offsets, times) = self.entries_on_disk();
        for (file, len) in [
            (self.log_file()?, position),
            (self.offset_index_file()?, u64::from(offsets) * OffsetEntry::BYTES as u64),
            (self.time_index_file()?, u64::from(times) * TimeEntry::BYTES as u64),
        ] {
            file.set_len(len)?;
            if !planted("truncation-not-synced") {
                file.sync_data()?;
            }
        }
        Ok(())
    }
}
