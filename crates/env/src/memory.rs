//! A disk in memory, for tests and simulation: it forgets at [`MemoryDisk::crash`] what was not
//! synced, and fails where it is told to. Must not know what the files mean.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::disk::{Disk, DiskFile, DiskLock, DiskSpace, Entry, EntryKind, OpenMode};
use crate::error::{DiskError, DiskErrorKind};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What a power cut leaves of one write that no sync covered. Each write is asked for by itself:
/// a later one may survive where an earlier one did not, as pages do. A sector of 512 bytes that
/// survives does so as it was in memory, with what earlier writes had put into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// Nothing of it.
    Nothing,
    /// The file has grown by so many of its first bytes, and the sectors that they are in survive.
    Prefix(usize),
    /// The file has grown, but the bytes are zeros.
    Zeros,
    /// All of it.
    All,
}

/// Decides whether an operation fails: it is told the verb ("write", "sync", "rename", …) and the
/// path. Asked before anything happens.
pub type Fault = Box<dyn FnMut(&'static str, &Path) -> Option<DiskErrorKind> + Send>;

/// A file system in memory. Clones are the same disk.
#[derive(Clone)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

struct State {
    nodes: Vec<Node>,
    fault: Option<Fault>,
    /// Grows with each crash; what was opened before no longer works.
    generation: u64,
    locked: Vec<usize>,
    capacity: u64,
}

enum Node {
    File {
        content: Vec<u8>,
        synced: Vec<u8>,
        changes: Vec<Change>,
    },
    Directory {
        entries: BTreeMap<String, usize>,
        synced: BTreeMap<String, usize>,
        changes: Vec<Naming>,
    },
}

#[derive(Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    SetLen(usize),
}

#[derive(Clone)]
enum Naming {
    Put(String, usize),
    Take(String),
}

const ROOT: usize = 0;
/// Capacity of a disk that is never full, in bytes.
const UNLIMITED: u64 = 1 << 40;

impl Default for MemoryDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryDisk")
    }
}

impl MemoryDisk {
    /// An empty disk of 1 TiB.
    #[must_use]
    pub fn new() -> Self {
        let root = Node::Directory {
            entries: BTreeMap::new(),
            synced: BTreeMap::new(),
            changes: Vec::new(),
        };
        Self {
            state: Arc::new(Mutex::new(State {
                nodes: vec![root],
                fault: None,
                generation: 0,
                locked: Vec::new(),
                capacity: UNLIMITED,
            })),
        }
    }

    /// Sets (or, with `None`, takes away) what decides whether operations fail.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.state().fault = fault;
    }

    /// Cuts the power: of content and names that no sync covered, remains what `survival` says
    /// (it is told how many bytes a write had, or 1 for a change of names or length). Of the
    /// changes of names in one directory a first part remains, up to the first that is not
    /// [`Survival::All`]. Files that were open before no longer work; locks are free.
    pub fn crash(&self, mut survival: impl FnMut(usize) -> Survival) {
        let mut state = self.state();
        state.generation += 1;
        state.locked.clear();
        state.fault = None;
        for node in &mut state.nodes {
            match node {
                Node::File { content, synced, changes } => {
                    let mut remains = Remains::new(synced);
                    for change in changes.drain(..) {
                        remains.survive(&change, &mut survival);
                    }
                    *synced = remains.content();
                    content.clone_from(synced);
                }
                Node::Directory { entries, synced, changes } => {
                    let kept = changes.drain(..).take_while(|_| survival(1) == Survival::All);
                    for naming in kept {
                        naming.apply(synced);
                    }
                    entries.clone_from(synced);
                }
            }
        }
    }

    /// From now on all files together have at most so many bytes: a write that would need more
    /// writes what fits and fails.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity = bytes;
    }

    /// All files with their content, by path, as a reader sees them now.
    #[must_use]
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.state();
        let mut found = BTreeMap::new();
        let mut todo = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, id)) = todo.pop() {
            match state.nodes.get(id) {
                Some(Node::File { content, .. }) => {
                    found.insert(path, content.clone());
                }
                Some(Node::Directory { entries, .. }) => {
                    todo.extend(entries.iter().map(|(name, id)| (path.join(name), *id)));
                }
                None => {}
            }
        }
        found
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => write(content, *at, bytes),
            Self::SetLen(len) => content.resize(*len, 0),
        }
    }
}

/// What is on the disk of one file while a power cut takes its course.
struct Remains {
    /// The file as programs saw it after each write: what of a sector reaches the disk, reaches
    /// it as it was in memory.
    seen: Vec<u8>,
    /// Sectors that are on the disk, also beyond the length.
    sectors: Vec<u8>,
    len: usize,
}

impl Remains {
    fn new(synced: &[u8]) -> Self {
        Self { seen: synced.to_vec(), sectors: synced.to_vec(), len: synced.len() }
    }

    fn survive(&mut self, change: &Change, survival: &mut impl FnMut(usize) -> Survival) {
        change.apply(&mut self.seen);
        match change {
            Change::Write { at, bytes } => {
                let (kept, longer) = match survival(bytes.len()) {
                    Survival::Nothing => (0, 0),
                    Survival::Prefix(n) => (n.min(bytes.len()), n.min(bytes.len())),
                    Survival::Zeros => (0, bytes.len()),
                    Survival::All => (bytes.len(), bytes.len()),
                };
                self.keep(*at, kept);
                if longer > 0 {
                    self.len = self.len.max(at.saturating_add(longer));
                }
            }
            Change::SetLen(len) => {
                if survival(1) == Survival::All {
                    self.sectors.resize(*len, 0);
                    self.len = *len;
                }
            }
        }
    }

    /// The sectors that these bytes are in reach the disk.
    fn keep(&mut self, at: usize, count: usize) {
        if count == 0 {
            return;
        }
        let from = at / SECTOR * SECTOR;
        let to = at.saturating_add(count).next_multiple_of(SECTOR);
        if self.sectors.len() < to {
            self.sectors.resize(to, 0);
        }
        let seen = self.seen.get(from..to.min(self.seen.len())).unwrap_or_default();
        if let Some(sectors) = self.sectors.get_mut(from..to) {
            let (front, beyond) = sectors.split_at_mut(seen.len());
            front.copy_from_slice(seen);
            beyond.fill(0);
        }
    }

    fn content(mut self) -> Vec<u8> {
        self.sectors.resize(self.len, 0);
        self.sectors
    }
}

impl Naming {
    fn apply(self, entries: &mut BTreeMap<String, usize>) {
        match self {
            Self::Put(name, id) => {
                entries.insert(name, id);
            }
            Self::Take(name) => {
                entries.remove(&name);
            }
        }
    }
}

fn write(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at.saturating_add(bytes.len());
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(to) = content.get_mut(at..end) {
        to.copy_from_slice(bytes);
    }
}

fn names(path: &Path) -> impl Iterator<Item = String> {
    path.components().filter_map(|c| match c {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => {
            None
        }
    })
}

impl State {
    fn check(&mut self, action: &'static str, path: &Path) -> Result<(), DiskError> {
        match self.fault.as_mut().and_then(|fault| fault(action, path)) {
            Some(kind) => Err(DiskError::new(kind, action, path)),
            None => Ok(()),
        }
    }

    fn find(&self, path: &Path) -> Option<usize> {
        let mut at = ROOT;
        for name in names(path) {
            at = match self.nodes.get(at)? {
                Node::Directory { entries, .. } => *entries.get(&name)?,
                Node::File { .. } => return None,
            };
        }
        Some(at)
    }

    fn find_or(&self, action: &'static str, path: &Path) -> Result<usize, DiskError> {
        self.find(path).ok_or_else(|| DiskError::new(DiskErrorKind::NotFound, action, path))
    }

    /// The directory that `path` is in, and its last name.
    fn parent(&self, action: &'static str, path: &Path) -> Result<(usize, String), DiskError> {
        let missing = || DiskError::new(DiskErrorKind::NotFound, action, path);
        let name = names(path).last().ok_or_else(missing)?;
        let dir = path.parent().and_then(|p| self.find(p)).ok_or_else(missing)?;
        Ok((dir, name))
    }

    fn name(&mut self, dir: usize, naming: Naming) {
        if let Some(Node::Directory { entries, changes, .. }) = self.nodes.get_mut(dir) {
            naming.clone().apply(entries);
            changes.push(naming);
        }
    }

    fn add(&mut self, dir: usize, name: String, node: Node) -> usize {
        let id = self.nodes.len();
        self.nodes.push(node);
        self.name(dir, Naming::Put(name, id));
        id
    }

    /// Bytes of the files that have a name.
    fn used(&self) -> u64 {
        let (mut used, mut todo) = (0, vec![ROOT]);
        while let Some(id) = todo.pop() {
            match self.nodes.get(id) {
                Some(Node::File { content, .. }) => used += content.len() as u64,
                Some(Node::Directory { entries, .. }) => todo.extend(entries.values()),
                None => {}
            }
        }
        used
    }

    /// How many of `more` bytes there is space for.
    fn room(&self, more: usize) -> usize {
        if self.capacity >= UNLIMITED {
            return more;
        }
        let free = self.capacity.saturating_sub(self.used());
        usize::try_from(free).unwrap_or(usize::MAX).min(more)
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
        let mut state = self.state();
        state.check("open", path)?;
        let found = state.find(path);
        let node = match (mode, found) {
            (OpenMode::Read | OpenMode::Write, None) => {
                return Err(DiskError::new(DiskErrorKind::NotFound, "open", path));
            }
            (_, Some(id)) => id,
            (OpenMode::Create | OpenMode::CreateEmpty, None) => {
                let (dir, name) = state.parent("open", path)?;
                let empty =
                    Node::File { content: Vec::new(), synced: Vec::new(), changes: Vec::new() };
                state.add(dir, name, empty)
            }
        };
        match state.nodes.get_mut(node) {
            Some(Node::File { content, changes, .. }) => {
                if mode == OpenMode::CreateEmpty && !content.is_empty() {
                    content.clear();
                    changes.push(Change::SetLen(0));
                }
            }
            Some(Node::Directory { .. }) | None => {
                return Err(DiskError::new(DiskErrorKind::Io, "open", path));
            }
        }
        let generation = state.generation;
        Ok(Arc::new(MemoryFile { disk: self.clone(), node, generation, path: path.to_owned() }))
    }

    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        let mut state = self.state();
        state.check("create", path)?;
        let mut at = ROOT;
        for name in names(path) {
            let next = match state.nodes.get(at) {
                Some(Node::Directory { entries, .. }) => entries.get(&name).copied(),
                Some(Node::File { .. }) | None => {
                    return Err(DiskError::new(DiskErrorKind::AlreadyExists, "create", path));
                }
            };
            at = next.unwrap_or_else(|| {
                let empty = Node::Directory {
                    entries: BTreeMap::new(),
                    synced: BTreeMap::new(),
                    changes: Vec::new(),
                };
                state.add(at, name, empty)
            });
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let mut state = self.state();
        state.check("rename", from)?;
        let id = state.find_or("rename", from)?;
        let (from_dir, from_name) = state.parent("rename", from)?;
        let (to_dir, to_name) = state.parent("rename", to)?;
        if (from_dir, &from_name) != (to_dir, &to_name) {
            state.name(to_dir, Naming::Put(to_name, id));
            state.name(from_dir, Naming::Take(from_name));
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        let mut state = self.state();
        state.check("remove", path)?;
        state.find_or("remove", path)?;
        let (dir, name) = state.parent("remove", path)?;
        state.name(dir, Naming::Take(name));
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> Result<(), DiskError> {
        self.remove_file(path)
    }

    fn list(&self, dir: &Path) -> Result<Vec<Entry>, DiskError> {
        let mut state = self.state();
        state.check("list", dir)?;
        let id = state.find_or("list", dir)?;
        let Some(Node::Directory { entries, .. }) = state.nodes.get(id) else {
            return Err(DiskError::new(DiskErrorKind::Io, "list", dir));
        };
        let entry = |(name, id): (&String, &usize)| {
            let (kind, len) = match state.nodes.get(*id) {
                Some(Node::File { content, .. }) => (EntryKind::File, content.len() as u64),
                Some(Node::Directory { .. }) | None => (EntryKind::Directory, 0),
            };
            Entry { name: name.clone(), kind, len }
        };
        Ok(entries.iter().map(entry).collect())
    }

    fn exists(&self, path: &Path) -> Result<bool, DiskError> {
        let mut state = self.state();
        state.check("look for", path)?;
        Ok(state.find(path).is_some())
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        let mut state = self.state();
        state.check("sync", dir)?;
        let id = state.find_or("sync", dir)?;
        if let Some(Node::Directory { entries, synced, changes }) = state.nodes.get_mut(id) {
            changes.clear();
            synced.clone_from(entries);
        }
        Ok(())
    }

    fn sync_volume(&self, dir: &Path) -> Result<(), DiskError> {
        let mut state = self.state();
        state.check("sync", dir)?;
        state.find_or("sync", dir)?;
        for node in &mut state.nodes {
            match node {
                Node::File { content, synced, changes } => {
                    changes.clear();
                    synced.clone_from(content);
                }
                Node::Directory { entries, synced, changes } => {
                    changes.clear();
                    synced.clone_from(entries);
                }
            }
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, DiskError> {
        drop(self.open(path, OpenMode::Create)?);
        let mut state = self.state();
        let node = state.find_or("lock", path)?;
        if state.locked.contains(&node) {
            return Err(DiskError::new(DiskErrorKind::Locked, "lock", path));
        }
        state.locked.push(node);
        let generation = state.generation;
        Ok(Box::new(MemoryLock { disk: self.clone(), node, generation }))
    }

    fn space(&self, _path: &Path) -> Result<DiskSpace, DiskError> {
        let state = self.state();
        Ok(DiskSpace {
            total: state.capacity,
            available: state.capacity.saturating_sub(state.used()),
        })
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    node: usize,
    generation: u64,
    path: PathBuf,
}

impl fmt::Debug for MemoryFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryFile").field(&self.path).finish()
    }
}

impl MemoryFile {
    fn with<T>(
        &self,
        action: &'static str,
        run: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>, &mut Vec<Change>) -> T,
    ) -> Result<T, DiskError> {
        let mut state = self.disk.state();
        state.check(action, &self.path)?;
        let current = state.generation == self.generation;
        match state.nodes.get_mut(self.node) {
            Some(Node::File { content, synced, changes }) if current => {
                Ok(run(content, synced, changes))
            }
            Some(_) | None => Err(DiskError::new(DiskErrorKind::Io, action, &self.path)),
        }
    }

    fn change(&self, action: &'static str, make: impl FnOnce() -> Change) -> Result<(), DiskError> {
        self.with(action, |content, _, changes| {
            let change = make();
            change.apply(content);
            changes.push(change);
        })
    }

    /// How many of `len` bytes at `at` there is space for.
    fn fits(&self, at: usize, len: usize) -> usize {
        let state = self.disk.state();
        let Some(Node::File { content, .. }) = state.nodes.get(self.node) else { return len };
        let more = at.saturating_add(len).saturating_sub(content.len());
        len - more.min(len) + state.room(more.min(len))
    }

    fn index(&self, action: &'static str, position: u64) -> Result<usize, DiskError> {
        usize::try_from(position)
            .map_err(|_| DiskError::new(DiskErrorKind::NoSpace, action, &self.path))
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, DiskError> {
        let at = self.index("read", position)?;
        self.with("read", |content, _, _| {
            let from = content.get(at..).unwrap_or_default();
            let n = from.len().min(buffer.len());
            for (to, from) in buffer.iter_mut().zip(from) {
                *to = *from;
            }
            n
        })
    }

    fn write_at(&self, slices: &[Bytes], position: u64) -> Result<(), DiskError> {
        let mut at = self.index("write", position)?;
        for slice in slices {
            let fits = self.fits(at, slice.len());
            let bytes = slice.get(..fits).unwrap_or_default().to_vec();
            self.change("write", || Change::Write { at, bytes })?;
            if fits < slice.len() {
                return Err(DiskError::new(DiskErrorKind::NoSpace, "write", &self.path));
            }
            at = at.saturating_add(slice.len());
        }
        Ok(())
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        self.with("sync", |content, synced, changes| {
            changes.clear();
            synced.clone_from(content);
        })
    }

    fn file_system(&self) -> Option<u64> {
        Some(0)
    }

    fn sync_file_system(&self) -> Result<(), DiskError> {
        self.with("sync the file system of", |_, _, _| ())?;
        for node in &mut self.disk.state().nodes {
            if let Node::File { content, synced, changes } = node {
                changes.clear();
                synced.clone_from(content);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), DiskError> {
        let len = self.index("truncate", len)?;
        self.change("truncate", || Change::SetLen(len))
    }

    fn len(&self) -> Result<u64, DiskError> {
        self.with("measure", |content, _, _| content.len() as u64)
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

#[derive(Debug)]
struct MemoryLock {
    disk: MemoryDisk,
    node: usize,
    generation: u64,
}

impl DiskLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.generation == self.generation {
            state.locked.retain(|id| *id != self.node);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use bytes::Bytes;

    use super::{MemoryDisk, Survival};
    use crate::{Disk, DiskError, DiskErrorKind, DiskFile, DiskLock, DiskSpace, Entry, OpenMode};

    fn put(
        disk: &MemoryDisk,
        path: &str,
        text: &'static [u8],
    ) -> std::sync::Arc<dyn crate::DiskFile> {
        let file = disk.open(Path::new(path), OpenMode::Create).unwrap();
        file.write_at(&[Bytes::from_static(text)], 0).unwrap();
        file
    }

    #[test]
    fn a_crash_takes_what_was_not_synced() {
        let disk = MemoryDisk::new();
        disk.create_dir(Path::new("/d")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        put(&disk, "/d/named", b"abc").sync_data().unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        put(&disk, "/d/unnamed", b"abc").sync_data().unwrap();
        let old = put(&disk, "/d/named", b"xyz");
        disk.crash(|_| Survival::Nothing);
        assert_eq!(disk.read(Path::new("/d/named")).unwrap(), b"abc");
        assert_eq!(disk.read(Path::new("/d/unnamed")).unwrap_err().kind, DiskErrorKind::NotFound);
        assert_eq!(old.sync_data().unwrap_err().kind, DiskErrorKind::Io);
    }

    #[test]
    fn writes_survive_as_told() {
        for (fate, left) in [
            (Survival::Nothing, &b"one"[..]),
            (Survival::Prefix(2), b"onetw"),
            (Survival::Zeros, b"one\0\0\0"),
            (Survival::All, b"onetwo"),
        ] {
            let disk = MemoryDisk::new();
            let file = put(&disk, "/f", b"one");
            file.sync_data().unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
            file.write_at(&[Bytes::from_static(b"two")], 3).unwrap();
            disk.crash(|_| fate);
            assert_eq!(disk.read(Path::new("/f")).unwrap(), left);
        }
    }

    #[test]
    fn an_atomic_write_is_old_or_new() {
        for survivors in 0..8 {
            let disk = MemoryDisk::new();
            disk.write_atomically(Path::new("/f"), Bytes::from_static(b"old")).unwrap();
            let mut left = 3;
            disk.set_fault(Some(Box::new(move |_, _| {
                left -= 1;
                (left < 0).then_some(DiskErrorKind::Io)
            })));
            let _ = disk.write_atomically(Path::new("/f"), Bytes::from_static(b"new!"));
            let mut n = 0;
            disk.crash(|_| {
                n += 1;
                if n <= survivors { Survival::All } else { Survival::Nothing }
            });
            let found = disk.read(Path::new("/f")).unwrap();
            assert!(found == b"old" || found == b"new!", "{found:?}");
        }
    }

    #[test]
    fn a_full_disk_takes_what_fits() {
        let disk = MemoryDisk::new();
        disk.set_capacity(10);
        let file = put(&disk, "/f", b"12345678");
        assert_eq!(disk.space(Path::new("/")).unwrap(), DiskSpace { total: 10, available: 2 });
        let full = file.write_at(&[Bytes::from_static(b"abcd")], 8).unwrap_err();
        assert_eq!((full.kind, full.action), (DiskErrorKind::NoSpace, "write"));
        assert_eq!(disk.read(Path::new("/f")).unwrap(), b"12345678ab");
        // What is there may be written again.
        file.write_at(&[Bytes::from_static(b"0000")], 6).unwrap();
        assert_eq!(file.allocate(11).unwrap_err().kind, DiskErrorKind::NoSpace);
        disk.remove_file(Path::new("/f")).unwrap();
        put(&disk, "/g", b"again");
        assert_eq!(disk.space(Path::new("/")).unwrap().available, 5);
    }

    #[test]
    fn a_lock_is_held_once() {
        let disk = MemoryDisk::new();
        let lock = disk.lock(Path::new("/.lock")).unwrap();
        assert_eq!(disk.lock(Path::new("/.lock")).unwrap_err().kind, DiskErrorKind::Locked);
        drop(lock);
        disk.lock(Path::new("/.lock")).unwrap();
    }

    /// A disk that has no syncing of volumes of its own.
    #[derive(Debug)]
    struct Plain(MemoryDisk);

    impl Disk for Plain {
        fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
            self.0.open(path, mode)
        }
        fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
            self.0.create_dir(path)
        }
        fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
            self.0.rename(from, to)
        }
        fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
            self.0.remove_file(path)
        }
        fn remove_dir_all(&self, path: &Path) -> Result<(), DiskError> {
            self.0.remove_dir_all(path)
        }
        fn list(&self, dir: &Path) -> Result<Vec<Entry>, DiskError> {
            self.0.list(dir)
        }
        fn exists(&self, path: &Path) -> Result<bool, DiskError> {
            self.0.exists(path)
        }
        fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
            self.0.sync_dir(dir)
        }
        fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, DiskError> {
            self.0.lock(path)
        }
        fn space(&self, path: &Path) -> Result<DiskSpace, DiskError> {
            self.0.space(path)
        }
    }

    #[test]
    fn a_synced_volume_survives_whole() {
        for own in [true, false] {
            let memory = MemoryDisk::new();
            let disk: Box<dyn Disk> =
                if own { Box::new(memory.clone()) } else { Box::new(Plain(memory.clone())) };
            disk.create_dir(Path::new("/d/a/b")).unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
            for path in ["/d/x", "/d/a/b/y"] {
                let file = disk.open(Path::new(path), OpenMode::Create).unwrap();
                file.write_at(&[Bytes::from_static(b"kept")], 0).unwrap();
            }
            disk.sync_volume(Path::new("/d")).unwrap();
            let late = disk.open(Path::new("/d/z"), OpenMode::Create).unwrap();
            late.write_at(&[Bytes::from_static(b"lost")], 0).unwrap();
            memory.crash(|_| Survival::Nothing);
            let left: Vec<_> = memory.files().into_iter().collect();
            let kept = |path: &str| (PathBuf::from(path), b"kept".to_vec());
            assert_eq!(left, [kept("/d/a/b/y"), kept("/d/x")], "{own}");
            memory.set_fault(Some(Box::new(|action, _| {
                (action == "sync").then_some(DiskErrorKind::Io)
            })));
            disk.sync_volume(Path::new("/d")).unwrap_err();
        }
    }
}
