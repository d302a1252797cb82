//! The simulated disk: a file system in memory that counts and remembers every operation, fails
//! where its seed says so, dies between any two operations, and comes back with what a power cut
//! may leave (`crash.rs`). Must not know what the files mean.

mod crash;
mod faults;
mod file;
mod trace;
mod volume;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ottla_env::{
    Clock, Disk, DiskError, DiskErrorKind, DiskFile, DiskLock, DiskSpace, Entry, EntryKind,
    ManualClock, OpenMode,
};

pub use crash::NameOrder;
use crash::Unwritten;
pub use faults::{FaultRates, Injected};
pub use trace::Trace;

use crate::choose::{Choose, Draw};
use faults::{Fault, Faults, Kind};
use file::{SimFile, SimLock};
use volume::{Change, File, Naming, Node, Volume};

/// A disk. Copies are the same disk; [`SimDisk::fork`] makes another with the same content.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    clock: Arc<ManualClock>,
}

pub(crate) struct State {
    volume: Volume,
    /// Grows with each crash: what was opened before no longer works.
    life: u64,
    /// Operations so far, in all lives.
    operations: u64,
    /// It dies when this many operations have been done.
    dies_at: Option<u64>,
    dead: bool,
    faults: Faults,
    trace: Trace,
    locked: Vec<PathBuf>,
    capacity: u64,
    /// The order in which a directory names its entries follows from it.
    salt: u64,
    clock: Arc<ManualClock>,
    tells: bool,
}

/// Where a directory has a name: ext4 goes by a hash too, and another volume by another one.
fn place(salt: u64, name: &str) -> u64 {
    let mut trace = Trace::default();
    trace.number(salt);
    trace.bytes(name.as_bytes());
    trace.hash()
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimDisk")
    }
}

impl State {
    /// Counts an operation; says what is wrong with it.
    fn begin(
        &mut self,
        kind: Kind,
        action: &'static str,
        path: &Path,
        creates: bool,
    ) -> Option<Fault> {
        if self.dead || self.dies_at.is_some_and(|at| self.operations >= at) {
            self.dead = true;
            return None;
        }
        self.operations += 1;
        self.trace.bytes(action.as_bytes());
        self.trace.bytes(path.as_os_str().as_encoded_bytes());
        let stall = self.faults.stall();
        if stall > 0 {
            self.clock.advance_ms(stall);
        }
        let fault = self.faults.strike(kind, creates);
        if self.tells {
            let failed = if fault.is_some() { " FAULT" } else { "" };
            eprintln!("    {} {action} {}{failed}", self.operations, path.display());
        }
        self.trace.number(u64::from(fault.is_some()));
        fault
    }

    /// How much of a failed write reached the cache.
    fn part_of(&mut self, len: usize) -> usize {
        if self.dead { 0 } else { self.faults.draw.below(len + 1) }
    }

    fn room(&self) -> u64 {
        // Counting is dear, and few disks are small.
        if self.capacity >= 1 << 40 {
            return u64::MAX;
        }
        self.capacity.saturating_sub(self.volume.used())
    }
}

impl SimDisk {
    /// An empty disk; its faults are drawn from `seed`, which also says in which order directories
    /// name their entries, and its stalls move `clock`.
    #[must_use]
    pub fn new(seed: u64, clock: &Arc<ManualClock>) -> Self {
        let state = State {
            volume: Volume::new(),
            life: 0,
            operations: 0,
            dies_at: None,
            dead: false,
            faults: Faults {
                rates: FaultRates::default(),
                draw: Draw::new(seed),
                injected: Injected::default(),
            },
            trace: Trace::default(),
            locked: Vec::new(),
            capacity: 1 << 40,
            salt: seed,
            clock: Arc::clone(clock),
            tells: false,
        };
        Self { state: Arc::new(Mutex::new(state)), clock: Arc::clone(clock) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another disk with the same content, seen and durable, and no faults.
    #[must_use]
    pub fn fork(&self) -> Self {
        let other = Self::new(0, &self.clock);
        {
            let (mut other, state) = (other.state(), self.state());
            other.volume = state.volume.clone();
            other.salt = state.salt;
        }
        other
    }

    /// Lets it tell each operation on stderr.
    pub fn tell(&self, tells: bool) {
        self.state().tells = tells;
    }

    /// Sets how often operations fail from now on.
    pub fn set_rates(&self, rates: FaultRates) {
        self.state().faults.rates = rates;
    }

    /// Sets how many bytes fit; 2^40 and more is without a limit.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity = bytes;
    }

    /// Lets the disk die after so many more operations; `None` for never.
    pub fn die_after(&self, operations: Option<u64>) {
        let mut state = self.state();
        state.dies_at = operations.map(|n| state.operations.saturating_add(n));
    }

    /// Whether it has died: all that is asked of it fails, and nothing happens to it.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// Operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// What was injected so far.
    #[must_use]
    pub fn injected(&self) -> Injected {
        self.state().faults.injected
    }

    /// The fingerprint of all operations so far.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.state().trace.hash()
    }

    /// Virtual time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.clock.wall_ms()
    }

    /// The power is cut: what no sync covered is there or not, as `choose` decides.
    pub fn power_cut(&self, order: NameOrder, choose: &mut dyn Choose) {
        self.cut(order, Unwritten::Zeros, choose);
    }

    /// As [`SimDisk::power_cut`], on a file system that does not keep the content of its blocks
    /// apart (ext4 with `data=writeback`): pages that were set aside for a file and not written
    /// hold something else.
    pub fn power_cut_with_stale_blocks(&self, order: NameOrder, choose: &mut dyn Choose) {
        self.cut(order, Unwritten::Stale, choose);
    }

    fn cut(&self, order: NameOrder, unwritten: Unwritten, choose: &mut dyn Choose) {
        let mut state = self.state();
        state.next_life();
        crash::cut(&mut state.volume, order, unwritten, choose);
    }

    /// The power is cut, and nothing is left of what no sync covered.
    pub fn forget_unsynced(&self) {
        let mut state = self.state();
        state.next_life();
        for node in &mut state.volume.nodes {
            match node {
                Node::File(file) => {
                    file.changes.clear();
                    file.reload();
                }
                Node::Directory(directory) => {
                    directory.changes.clear();
                    directory.entries.clone_from(&directory.durable);
                }
            }
        }
        state.volume.compact();
    }

    /// The process is killed: the page cache stays. Of files whose sync failed, the pages that
    /// were never written are read from the device again.
    pub fn kill(&self) {
        let mut state = self.state();
        state.next_life();
        for node in &mut state.volume.nodes {
            if let Node::File(file) = node
                && file.lost
            {
                file.reload();
            }
        }
    }

    /// Flips one bit of a file at rest; false when it is empty or not there.
    pub fn rot(&self, path: &Path, at: u64, bit: u8) -> bool {
        let mut state = self.state();
        let found = state.volume.find(path);
        let flipped = found.and_then(|node| state.volume.file_mut(node)).is_some_and(|file| {
            let Ok(at) = usize::try_from(at) else { return false };
            let mask = 1_u8 << (bit % 8);
            let mut done = false;
            for content in [&mut file.cache, &mut file.durable] {
                if let Some(byte) = content.get_mut(at) {
                    *byte ^= mask;
                    done = true;
                }
            }
            done
        });
        state.faults.injected.flips += u64::from(flipped);
        flipped
    }

    /// All files with what a reader sees, by path.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let state = self.state();
        let all = state.volume.walk();
        let content = |node| state.volume.file(node).map(|file| file.cache.clone());
        all.into_iter().filter_map(|(path, node)| Some((path, content(node)?))).collect()
    }

    /// A hash of names and content as a reader sees them.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let state = self.state();
        let mut trace = Trace::default();
        for (path, node) in state.volume.walk() {
            trace.bytes(path.as_os_str().as_encoded_bytes());
            if let Some(file) = state.volume.file(node) {
                trace.bytes(&file.cache);
            }
        }
        trace.hash()
    }

    fn name_operation(
        &self,
        action: &'static str,
        path: &Path,
        kind: Kind,
        creates: bool,
    ) -> Result<MutexGuard<'_, State>, DiskError> {
        let mut state = self.state();
        let fault = state.begin(kind, action, path, creates);
        if state.dead {
            return Err(DiskError::new(DiskErrorKind::Io, action, path));
        }
        match fault {
            Some(Fault::Error(kind)) => Err(DiskError::new(kind, action, path)),
            Some(Fault::Short | Fault::Misdirected) | None => Ok(state),
        }
    }
}

impl State {
    fn next_life(&mut self) {
        self.life += 1;
        self.dead = false;
        self.dies_at = None;
        self.locked.clear();
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
        let missing = || DiskError::new(DiskErrorKind::NotFound, "open", path);
        let creates = matches!(mode, OpenMode::Create | OpenMode::CreateEmpty);
        let mut state = self.name_operation("open", path, Kind::Name, creates)?;
        let node = match state.volume.find(path) {
            Some(node) => node,
            None if creates => {
                let (parent, name) = state.volume.parent(path).ok_or_else(missing)?;
                state.volume.add(parent, name, Node::File(File::default()))
            }
            None => return Err(missing()),
        };
        let Some(file) = state.volume.file_mut(node) else {
            return Err(DiskError::new(DiskErrorKind::Io, "open", path));
        };
        if mode == OpenMode::CreateEmpty && !file.cache.is_empty() {
            file.change(Change::SetLen(0));
        }
        let life = state.life;
        Ok(Arc::new(SimFile { disk: self.clone(), node, life, path: path.to_owned() }))
    }

    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        let mut state = self.name_operation("create", path, Kind::Name, true)?;
        state
            .volume
            .create_dir(path)
            .ok_or_else(|| DiskError::new(DiskErrorKind::AlreadyExists, "create", path))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let missing = || DiskError::new(DiskErrorKind::NotFound, "rename", from);
        let mut state = self.name_operation("rename", from, Kind::Name, false)?;
        state.trace.bytes(to.as_os_str().as_encoded_bytes());
        let node = state.volume.find(from).ok_or_else(missing)?;
        let (from_dir, from) = state.volume.parent(from).ok_or_else(missing)?;
        let (to_dir, to) = state.volume.parent(to).ok_or_else(missing)?;
        assert_eq!(from_dir, to_dir, "renaming across directories is not modelled");
        if let Some(directory) = state.volume.directory_mut(from_dir).filter(|_| from != to) {
            directory.change(Naming::Move { from, to, node });
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        let missing = || DiskError::new(DiskErrorKind::NotFound, "remove", path);
        let mut state = self.name_operation("remove", path, Kind::Name, false)?;
        state.volume.find(path).ok_or_else(missing)?;
        let (parent, name) = state.volume.parent(path).ok_or_else(missing)?;
        if let Some(directory) = state.volume.directory_mut(parent) {
            directory.change(Naming::Take(name));
        }
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> Result<(), DiskError> {
        // As the real thing: one entry after the other, then the directory.
        for entry in self.list(path)? {
            let inner = path.join(&entry.name);
            match entry.kind {
                EntryKind::Directory => self.remove_dir_all(&inner)?,
                EntryKind::File | EntryKind::Other => self.remove_file(&inner)?,
            }
        }
        self.remove_file(path)
    }

    fn list(&self, dir: &Path) -> Result<Vec<Entry>, DiskError> {
        let missing = || DiskError::new(DiskErrorKind::NotFound, "list", dir);
        let state = self.name_operation("list", dir, Kind::Name, false)?;
        let node = state.volume.find(dir).ok_or_else(missing)?;
        let directory = state.volume.directory(node).ok_or_else(missing)?;
        let entry = |(name, node): (&String, &usize)| {
            let file = state.volume.file(*node);
            Entry {
                name: name.clone(),
                kind: if file.is_some() { EntryKind::File } else { EntryKind::Directory },
                len: file.map_or(0, |file| file.cache.len() as u64),
            }
        };
        let mut entries: Vec<Entry> = directory.entries.iter().map(entry).collect();
        entries.sort_by_cached_key(|entry| place(state.salt, &entry.name));
        Ok(entries)
    }

    fn exists(&self, path: &Path) -> Result<bool, DiskError> {
        let state = self.name_operation("look for", path, Kind::Look, false)?;
        Ok(state.volume.find(path).is_some())
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        let missing = || DiskError::new(DiskErrorKind::NotFound, "sync", dir);
        let mut state = self.name_operation("sync", dir, Kind::Sync, false)?;
        let node = state.volume.find(dir).ok_or_else(missing)?;
        state.volume.directory_mut(node).ok_or_else(missing)?.sync();
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, DiskError> {
        drop(self.open(path, OpenMode::Create)?);
        let mut state = self.state();
        if state.locked.iter().any(|locked| locked == path) {
            return Err(DiskError::new(DiskErrorKind::Locked, "lock", path));
        }
        state.locked.push(path.to_owned());
        let life = state.life;
        Ok(Box::new(SimLock { disk: self.clone(), path: path.to_owned(), life }))
    }

    fn space(&self, _path: &Path) -> Result<DiskSpace, DiskError> {
        let state = self.state();
        Ok(DiskSpace { total: state.capacity, available: state.room().min(state.capacity) })
    }
}
