//! A disk that pretends: it reads from the real one, keeps what is written, cut, renamed and
//! removed in memory, and remembers each change. Recovery runs over it as over a real disk, so
//! what it would do is known without it being done. Must not know what the files mean.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ottla_env::{
    Disk, DiskError, DiskErrorKind, DiskFile, DiskLock, DiskSpace, Entry, EntryKind, OpenMode,
};

/// Something that would have been done to a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A file that was not there, or was replaced by an empty one.
    Created { path: PathBuf, replaced: bool },
    /// Bytes were written.
    Written { path: PathBuf },
    /// The length was set.
    Resized { path: PathBuf, from: u64, to: u64 },
    /// A file got another name.
    Renamed { from: PathBuf, to: PathBuf },
    /// A file was removed.
    Removed { path: PathBuf, len: u64 },
}

/// Bytes up to which a file is compared with the one it replaces.
const SMALL: usize = 1 << 20;

/// The disk that pretends. Clones are the same disk.
#[derive(Clone)]
pub struct Rehearsal {
    real: Arc<dyn Disk>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// What differs from the real disk.
    nodes: BTreeMap<PathBuf, Node>,
    changes: Vec<Change>,
    reads: BTreeMap<PathBuf, Reads>,
}

enum Node {
    File(Arc<Mutex<Content>>),
    Directory,
    Gone,
}

/// What was read of a file: ranges in the order they were first asked for, joined where they
/// touch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    pub(crate) ranges: Vec<(u64, u64)>,
}

impl Reads {
    fn add(&mut self, from: u64, to: u64) {
        if from >= to {
            return;
        }
        let (mut from, mut to) = (from, to);
        self.ranges.retain(|(a, b)| {
            let touches = *a <= to && from <= *b;
            if touches {
                from = from.min(*a);
                to = to.max(*b);
            }
            !touches
        });
        self.ranges.push((from, to));
    }
}

/// A file: what is left of the real one, and what was written over it.
struct Content {
    real: Option<Arc<dyn DiskFile>>,
    /// Bytes of the real file that still count.
    real_len: u64,
    len: u64,
    /// Later ones lie over earlier ones.
    patches: Vec<(u64, Vec<u8>)>,
}

impl Content {
    fn read(&self, buffer: &mut [u8], position: u64) -> Result<usize, DiskError> {
        let left = usize::try_from(self.len.saturating_sub(position)).unwrap_or(usize::MAX);
        let n = left.min(buffer.len());
        let Some(buffer) = buffer.get_mut(..n) else { return Ok(0) };
        buffer.fill(0);
        if let Some(real) = &self.real {
            let there = usize::try_from(self.real_len.saturating_sub(position));
            let there = there.unwrap_or(usize::MAX).min(n);
            if let Some(part) = buffer.get_mut(..there).filter(|part| !part.is_empty()) {
                real.read_at(part, position)?;
            }
        }
        let end = position + n as u64;
        for (at, bytes) in &self.patches {
            let (from, to) = ((*at).max(position), (at + bytes.len() as u64).min(end));
            if from >= to {
                continue;
            }
            let place = |base: u64| {
                let index = |at: u64| usize::try_from(at - base).unwrap_or(usize::MAX);
                index(from)..index(to)
            };
            if let (Some(target), Some(source)) =
                (buffer.get_mut(place(position)), bytes.get(place(*at)))
            {
                target.copy_from_slice(source);
            }
        }
        Ok(n)
    }

    fn write(&mut self, slices: &[Bytes], position: u64) {
        let appends =
            self.patches.last().is_some_and(|(at, bytes)| at + bytes.len() as u64 == position);
        if !appends {
            self.patches.push((position, Vec::new()));
        }
        let Some((at, patch)) = self.patches.last_mut() else { return };
        for slice in slices {
            patch.extend_from_slice(slice);
        }
        self.len = self.len.max(*at + patch.len() as u64);
    }

    fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.real_len = self.real_len.min(len);
            self.patches.retain_mut(|(at, bytes)| {
                let keep = usize::try_from(len.saturating_sub(*at)).unwrap_or(usize::MAX);
                bytes.truncate(keep);
                !bytes.is_empty()
            });
        }
        self.len = len;
    }
}

/// An open file of the pretended disk.
struct PretendedFile {
    path: PathBuf,
    content: Arc<Mutex<Content>>,
    disk: Rehearsal,
}

impl fmt::Debug for PretendedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PretendedFile").field(&self.path).finish()
    }
}

/// Nobody else could have it.
#[derive(Debug)]
struct NoLock;

impl DiskLock for NoLock {}

impl fmt::Debug for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rehearsal")
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rehearsal {
    /// Pretends on top of `real`, which is only read.
    #[must_use]
    pub fn new(real: Arc<dyn Disk>) -> Self {
        Self { real, state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// What was done since the last call, and what was read; both are forgotten.
    pub(crate) fn take(&self) -> (Vec<Change>, BTreeMap<PathBuf, Reads>) {
        let mut state = self.state();
        (std::mem::take(&mut state.changes), std::mem::take(&mut state.reads))
    }

    /// Forgets what is pretended of a directory, once it was looked at.
    pub(crate) fn forget(&self, dir: &Path) {
        self.state().nodes.retain(|path, _| !path.starts_with(dir));
    }

    fn not_found(action: &'static str, path: &Path) -> DiskError {
        DiskError::new(DiskErrorKind::NotFound, action, path)
    }

    /// The file as it is pretended to be.
    fn content(&self, path: &Path, action: &'static str) -> Result<Arc<Mutex<Content>>, DiskError> {
        match self.state().nodes.get(path) {
            Some(Node::File(content)) => return Ok(Arc::clone(content)),
            Some(Node::Gone) => return Err(Self::not_found(action, path)),
            Some(Node::Directory) => {
                return Err(DiskError::new(DiskErrorKind::Io, action, path));
            }
            None => {}
        }
        let real = self.real.open(path, OpenMode::Read)?;
        let len = real.len()?;
        Ok(Arc::new(Mutex::new(Content {
            real: Some(real),
            real_len: len,
            len,
            patches: Vec::new(),
        })))
    }

    /// Whether the file at `path` has this content already; a large one is not looked at.
    fn is_same(&self, content: &Mutex<Content>, path: &Path) -> Result<bool, DiskError> {
        let there = match self.content(path, "rename") {
            Ok(there) => there,
            Err(error) if error.is_not_found() => return Ok(false),
            Err(error) => return Err(error),
        };
        let read = |content: &Mutex<Content>| -> Result<Option<Vec<u8>>, DiskError> {
            let content = locked(content);
            let Some(len) = usize::try_from(content.len).ok().filter(|len| *len <= SMALL) else {
                return Ok(None);
            };
            let mut bytes = vec![0; len];
            content.read(&mut bytes, 0)?;
            Ok(Some(bytes))
        };
        let (new, old) = (read(content)?, read(&there)?);
        Ok(new.is_some() && new == old)
    }

    fn empty() -> Arc<Mutex<Content>> {
        Arc::new(Mutex::new(Content { real: None, real_len: 0, len: 0, patches: Vec::new() }))
    }

    /// From here on the file differs from the real one.
    fn keep(&self, path: &Path, content: &Arc<Mutex<Content>>, change: Change) {
        let mut state = self.state();
        // A file that was renamed or removed while it was open is no longer at its path.
        let elsewhere = match state.nodes.get(path) {
            Some(Node::Gone | Node::Directory) => true,
            Some(Node::File(kept)) => !Arc::ptr_eq(kept, content),
            None => false,
        };
        if !elsewhere {
            state.nodes.insert(path.to_owned(), Node::File(Arc::clone(content)));
        }
        let again =
            matches!(change, Change::Written { .. }) && state.changes.last() == Some(&change);
        if !again {
            state.changes.push(change);
        }
    }
}

impl DiskFile for PretendedFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, DiskError> {
        let n = locked(&self.content).read(buffer, position)?;
        let mut state = self.disk.state();
        state.reads.entry(self.path.clone()).or_default().add(position, position + n as u64);
        Ok(n)
    }

    fn write_at(&self, slices: &[Bytes], position: u64) -> Result<(), DiskError> {
        locked(&self.content).write(slices, position);
        self.disk.keep(&self.path, &self.content, Change::Written { path: self.path.clone() });
        Ok(())
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), DiskError> {
        let from = {
            let mut content = locked(&self.content);
            let from = content.len;
            content.set_len(len);
            from
        };
        if from != len {
            let change = Change::Resized { path: self.path.clone(), from, to: len };
            self.disk.keep(&self.path, &self.content, change);
        }
        Ok(())
    }

    fn len(&self) -> Result<u64, DiskError> {
        Ok(locked(&self.content).len)
    }

    fn modified_ms(&self) -> Result<Option<i64>, DiskError> {
        match &locked(&self.content).real {
            Some(real) => real.modified_ms(),
            None => Ok(None),
        }
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Disk for Rehearsal {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
        let content = match (self.content(path, "open"), mode) {
            (Ok(content), OpenMode::Read | OpenMode::Write | OpenMode::Create) => content,
            (Ok(_), OpenMode::CreateEmpty) => {
                let content = Self::empty();
                let mut state = self.state();
                state.nodes.insert(path.to_owned(), Node::File(Arc::clone(&content)));
                let change = Change::Created { path: path.to_owned(), replaced: true };
                state.changes.push(change);
                drop(state);
                content
            }
            (Err(error), OpenMode::Create | OpenMode::CreateEmpty) if error.is_not_found() => {
                let content = Self::empty();
                let mut state = self.state();
                state.nodes.insert(path.to_owned(), Node::File(Arc::clone(&content)));
                let change = Change::Created { path: path.to_owned(), replaced: false };
                state.changes.push(change);
                drop(state);
                content
            }
            (Err(error), _) => return Err(error),
        };
        Ok(Arc::new(PretendedFile { path: path.to_owned(), content, disk: self.clone() }))
    }

    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        if !self.exists(path)? {
            self.state().nodes.insert(path.to_owned(), Node::Directory);
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        // Recovery renames files alone.
        let content = self.content(from, "rename")?;
        let same = self.is_same(&content, to)?;
        let mut state = self.state();
        state.nodes.insert(from.to_owned(), Node::Gone);
        state.nodes.insert(to.to_owned(), Node::File(content));
        // What is replaced by its own content is not changed.
        if !same {
            state.changes.push(Change::Renamed { from: from.to_owned(), to: to.to_owned() });
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        let len = locked(&*self.content(path, "remove")?).len;
        let mut state = self.state();
        state.nodes.insert(path.to_owned(), Node::Gone);
        state.changes.push(Change::Removed { path: path.to_owned(), len });
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> Result<(), DiskError> {
        if !self.exists(path)? {
            return Err(Self::not_found("remove", path));
        }
        for entry in self.list(path)? {
            let inner = path.join(entry.name);
            match entry.kind {
                EntryKind::Directory => self.remove_dir_all(&inner)?,
                EntryKind::File | EntryKind::Other => self.remove_file(&inner)?,
            }
        }
        self.state().nodes.insert(path.to_owned(), Node::Gone);
        Ok(())
    }

    fn list(&self, dir: &Path) -> Result<Vec<Entry>, DiskError> {
        let pretended = match self.state().nodes.get(dir) {
            Some(Node::Directory) => true,
            Some(Node::Gone | Node::File(_)) => return Err(Self::not_found("list", dir)),
            None => false,
        };
        let real = if pretended { Vec::new() } else { self.real.list(dir)? };
        let state = self.state();
        let mut entries: BTreeSet<Entry> = real
            .into_iter()
            .filter(|entry| !state.nodes.contains_key(&dir.join(&entry.name)))
            .collect();
        for (path, node) in &state.nodes {
            let Some(name) = path.file_name().filter(|_| path.parent() == Some(dir)) else {
                continue;
            };
            let (kind, len) = match node {
                Node::File(content) => (EntryKind::File, locked(content).len),
                Node::Directory => (EntryKind::Directory, 0),
                Node::Gone => continue,
            };
            entries.insert(Entry { name: name.to_string_lossy().into_owned(), kind, len });
        }
        Ok(entries.into_iter().collect())
    }

    fn exists(&self, path: &Path) -> Result<bool, DiskError> {
        match self.state().nodes.get(path) {
            Some(Node::File(_) | Node::Directory) => Ok(true),
            Some(Node::Gone) => Ok(false),
            None => self.real.exists(path),
        }
    }

    fn sync_dir(&self, _dir: &Path) -> Result<(), DiskError> {
        Ok(())
    }

    fn sync_volume(&self, _dir: &Path) -> Result<(), DiskError> {
        Ok(())
    }

    fn lock(&self, _path: &Path) -> Result<Box<dyn DiskLock>, DiskError> {
        Ok(Box::new(NoLock))
    }

    fn space(&self, path: &Path) -> Result<DiskSpace, DiskError> {
        self.real.space(path)
    }
}

#[cfg(test)]
mod tests {
    use ottla_env::memory::MemoryDisk;

    use super::*;

    fn real() -> (MemoryDisk, Rehearsal) {
        let disk = MemoryDisk::new();
        disk.create_dir(Path::new("/d")).unwrap();
        let file = disk.open(Path::new("/d/a"), OpenMode::Create).unwrap();
        file.write_at(&[Bytes::from_static(b"0123456789")], 0).unwrap();
        let pretended = Rehearsal::new(Arc::new(disk.clone()));
        (disk, pretended)
    }

    #[test]
    fn nothing_reaches_the_real_disk() {
        let (disk, pretended) = real();
        let before = disk.files();
        let file = pretended.open(Path::new("/d/a"), OpenMode::Write).unwrap();
        file.set_len(4).unwrap();
        file.write_at(&[Bytes::from_static(b"xy")], 6).unwrap();
        file.write_at(&[Bytes::from_static(b"z")], 1).unwrap();
        assert_eq!(pretended.read(Path::new("/d/a")).unwrap(), b"0z23\0\0xy");
        pretended.rename(Path::new("/d/a"), Path::new("/d/b")).unwrap();
        assert!(!pretended.exists(Path::new("/d/a")).unwrap());
        assert_eq!(pretended.read(Path::new("/d/b")).unwrap(), b"0z23\0\0xy");
        pretended.write_atomically(Path::new("/d/c"), Bytes::from_static(b"new")).unwrap();
        let names: Vec<_> =
            pretended.list(Path::new("/d")).unwrap().into_iter().map(|e| (e.name, e.len)).collect();
        assert_eq!(names, [("b".to_owned(), 8), ("c".to_owned(), 3)]);
        pretended.remove_file(Path::new("/d/b")).unwrap();
        assert!(pretended.open(Path::new("/d/b"), OpenMode::Write).is_err());
        assert_eq!(disk.files(), before);
    }

    #[test]
    fn changes_and_reads_are_remembered() {
        let (_, pretended) = real();
        let file = pretended.open(Path::new("/d/a"), OpenMode::Write).unwrap();
        let mut buffer = [0; 4];
        file.read_at(&mut buffer, 0).unwrap();
        file.read_at(&mut buffer, 4).unwrap();
        file.set_len(8).unwrap();
        file.set_len(8).unwrap();
        pretended.write_atomically(Path::new("/d/a"), Bytes::from_static(b"01234567")).unwrap();
        let (mut changes, reads) = pretended.take();
        // That the same stands there again is no change.
        changes.retain(|change| !matches!(change, Change::Created { .. } | Change::Written { .. }));
        let path = PathBuf::from("/d/a");
        assert_eq!(changes, [Change::Resized { path: path.clone(), from: 10, to: 8 }]);
        assert_eq!(reads[&path].ranges, [(0, 8)]);
        assert_eq!(pretended.take().0, []);
    }
}
