//! The real file system: positioned vectored writes, `fdatasync`, synced directories, `flock`.
//! Must not know what the files mean.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use ottla_env::{
    Disk, DiskError, DiskErrorKind, DiskFile, DiskLock, DiskSpace, Entry, EntryKind, OpenMode,
};

use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags};

use crate::{direct, whole};

/// Slices that one `pwritev` takes (`IOV_MAX`).
const SLICES_MAX: usize = 1024;

/// Nice value of threads that work in the background: a tenth of the processor when others want
/// all of it.
const BACKGROUND_NICE: i32 = 10;

/// The file system of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

#[derive(Debug)]
struct OsFile {
    file: File,
    path: PathBuf,
    /// The same file for direct writes, opened by the first; none where there is no such thing.
    direct: OnceLock<Option<File>>,
    /// What the system was told of reads.
    read_ahead: AtomicBool,
    file_system: OnceLock<Option<u64>>,
}

#[derive(Debug)]
struct OsLock {
    _file: File,
}

impl DiskLock for OsLock {}

fn failed<T>(result: io::Result<T>, action: &'static str, path: &Path) -> Result<T, DiskError> {
    result.map_err(|e| DiskError::from_io(&e, action, path))
}

impl Disk for OsDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::Write => {
                options.write(true);
            }
            OpenMode::Create => {
                options.write(true).create(true).truncate(false);
            }
            OpenMode::CreateEmpty => {
                options.write(true).create(true).truncate(true);
            }
        }
        let file = failed(options.open(path), "open", path)?;
        Ok(Arc::new(OsFile {
            file,
            path: path.to_owned(),
            direct: OnceLock::new(),
            read_ahead: AtomicBool::new(true),
            file_system: OnceLock::new(),
        }))
    }

    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        failed(std::fs::create_dir_all(path), "create", path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        failed(std::fs::rename(from, to), "rename", from)
    }

    fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        failed(std::fs::remove_file(path), "remove", path)
    }

    fn remove_dir_all(&self, path: &Path) -> Result<(), DiskError> {
        failed(std::fs::remove_dir_all(path), "remove", path)
    }

    fn list(&self, dir: &Path) -> Result<Vec<Entry>, DiskError> {
        let mut entries = Vec::new();
        for entry in failed(std::fs::read_dir(dir), "list", dir)? {
            let entry = failed(entry, "list", dir)?;
            // Most often the directory itself says what it is; only files are asked for more.
            let found = entry.file_type().and_then(|found| {
                let len = if found.is_file() { entry.metadata()?.len() } else { 0 };
                Ok((found, len))
            });
            let (found, len) = match found {
                // It went away while the directory was read.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => failed(other, "list", dir)?,
            };
            let kind = if found.is_file() {
                EntryKind::File
            } else if found.is_dir() {
                EntryKind::Directory
            } else {
                EntryKind::Other
            };
            entries.push(Entry {
                name: entry.file_name().to_string_lossy().into_owned(),
                kind,
                len,
            });
        }
        entries.sort();
        Ok(entries)
    }

    fn exists(&self, path: &Path) -> Result<bool, DiskError> {
        failed(std::fs::exists(path), "look for", path)
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        let file = failed(File::open(dir), "open", dir)?;
        failed(file.sync_all(), "sync", dir)
    }

    /// One `syncfs`: everything that is dirty on the file system, whoever wrote it. Linux tells
    /// of failed write-backs since 5.8.
    fn work_in_background(&self) {
        // On Linux "this process" is the calling thread. One that may not stays as it is.
        let _ = rustix::process::setpriority_process(None, BACKGROUND_NICE);
    }

    fn sync_volume(&self, dir: &Path) -> Result<(), DiskError> {
        let file = failed(File::open(dir), "open", dir)?;
        failed(rustix::fs::syncfs(&file).map_err(io::Error::from), "sync", dir)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, DiskError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = failed(options.open(path), "open", path)?;
        // POSIX record locks, as the JVM's FileChannel.tryLock takes them, so that Apache Kafka
        // and this process see each other; and `flock`, which also works within one process.
        let locked = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .and_then(|()| {
                rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            });
        match locked {
            Ok(()) => Ok(Box::new(OsLock { _file: file })),
            Err(e) if e == rustix::io::Errno::AGAIN || e == rustix::io::Errno::ACCESS => {
                Err(DiskError::new(DiskErrorKind::Locked, "lock", path))
            }
            Err(e) => Err(DiskError::from_io(&e.into(), "lock", path)),
        }
    }

    fn space(&self, path: &Path) -> Result<DiskSpace, DiskError> {
        let found = failed(rustix::fs::statvfs(path).map_err(io::Error::from), "measure", path)?;
        Ok(DiskSpace {
            total: found.f_blocks.saturating_mul(found.f_frsize),
            available: found.f_bavail.saturating_mul(found.f_frsize),
        })
    }
}

impl OsFile {
    /// One `pwritev` of at most [`SLICES_MAX`] slices; returns the bytes written, never 0.
    fn write_some(&self, slices: &[IoSlice<'_>], position: u64) -> Result<usize, DiskError> {
        loop {
            match rustix::io::pwritev(&self.file, slices, position) {
                Ok(0) => return Err(DiskError::new(DiskErrorKind::NoSpace, "write", &self.path)),
                Ok(n) => return Ok(n),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(DiskError::from_io(&e.into(), "write", &self.path)),
            }
        }
    }
}

impl DiskFile for OsFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, DiskError> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, position.saturating_add(done as u64)) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(DiskError::from_io(&e, "read", &self.path)),
            }
        }
        Ok(done)
    }

    fn read_ahead(&self, allowed: bool) {
        // Without it the system fetches page by page. Where it is not understood, more is read than
        // needed.
        if self.read_ahead.load(Ordering::Relaxed) != allowed {
            self.read_ahead.store(allowed, Ordering::Relaxed);
            let advice = if allowed { Advice::Normal } else { Advice::Random };
            let _hint = fadvise(&self.file, 0, None, advice);
        }
    }

    fn fetch_ahead(&self, position: u64, len: u64) {
        let _hint = fadvise(&self.file, position, NonZeroU64::new(len), Advice::WillNeed);
    }

    fn read_cached_at(&self, buffer: &mut [u8], position: u64) -> Result<Option<usize>, DiskError> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = position.saturating_add(done as u64);
            let slices = &mut [IoSliceMut::new(rest)];
            match rustix::io::preadv2(&self.file, slices, at, ReadWriteFlags::NOWAIT) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                // The rest is not in memory, or this file system cannot say.
                Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                    return Ok((done > 0).then_some(done));
                }
                Err(e) => return Err(DiskError::from_io(&e.into(), "read", &self.path)),
            }
        }
        Ok(Some(done))
    }

    fn read_in_passing(&self) {
        self.read_ahead(false);
        let _hint = fadvise(&self.file, 0, None, Advice::NoReuse);
    }

    fn write_at(&self, slices: &[Bytes], mut position: u64) -> Result<(), DiskError> {
        for group in slices.chunks(SLICES_MAX) {
            let mut list: Vec<IoSlice<'_>> =
                group.iter().filter(|s| !s.is_empty()).map(|s| IoSlice::new(s)).collect();
            let mut rest = list.as_mut_slice();
            while !rest.is_empty() {
                let n = self.write_some(rest, position)?;
                position = position.saturating_add(n as u64);
                IoSlice::advance_slices(&mut rest, n);
            }
        }
        Ok(())
    }

    fn write_bulk_at(&self, slices: &[Bytes], position: u64) -> Result<(), DiskError> {
        let len = slices.iter().map(Bytes::len).sum();
        let Some(cut) = direct::cut(len, position) else { return self.write_at(slices, position) };
        let Some(file) = self.direct.get_or_init(|| direct::open(&self.path).ok()) else {
            return self.write_at(slices, position);
        };
        let (head, rest) = split(slices, cut.head);
        let (blocks, tail) = split(&rest, cut.blocks);
        let blocks_at = position.saturating_add(cut.head as u64);
        let tail_at = blocks_at.saturating_add(cut.blocks as u64);
        self.write_at(&head, position)?;
        match direct::write(file, &blocks, blocks_at) {
            // A device that wants another alignment: nothing was written.
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => self.write_at(&blocks, blocks_at),
            other => failed(other, "write", &self.path),
        }?;
        self.write_at(&tail, tail_at)
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        failed(self.file.sync_data(), "sync", &self.path)
    }

    fn file_system(&self) -> Option<u64> {
        *self.file_system.get_or_init(|| whole::file_system(&self.file))
    }

    fn sync_file_system(&self) -> Result<(), DiskError> {
        let synced = rustix::fs::syncfs(&self.file).map_err(io::Error::from);
        failed(synced, "sync the file system of", &self.path)?;
        // What it wrote last need not have left the device's cache: one flush more.
        self.sync_data()
    }

    fn set_len(&self, len: u64) -> Result<(), DiskError> {
        failed(self.file.set_len(len), "truncate", &self.path)
    }

    fn len(&self) -> Result<u64, DiskError> {
        Ok(failed(self.file.metadata(), "measure", &self.path)?.len())
    }

    fn modified_ms(&self) -> Result<Option<i64>, DiskError> {
        let found = failed(self.file.metadata().and_then(|m| m.modified()), "measure", &self.path)?;
        // Before 1970: that is no time to go by.
        let since = found.duration_since(std::time::UNIX_EPOCH).ok();
        Ok(since.and_then(|since| i64::try_from(since.as_millis()).ok()))
    }

    fn set_modified_ms(&self, ms: i64) -> Result<(), DiskError> {
        let Ok(ms) = u64::try_from(ms) else { return Ok(()) };
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(ms);
        failed(self.file.set_modified(at), "date", &self.path)
    }

    fn allocate(&self, len: u64) -> Result<(), DiskError> {
        use rustix::io::Errno;
        let flags = rustix::fs::FallocateFlags::empty();
        match rustix::fs::fallocate(&self.file, flags, 0, len) {
            Ok(()) => Ok(()),
            // A file system without it: zeros take the space as well.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                let mut at = self.len()?;
                while at < len {
                    let size = usize::try_from((len - at).min(1 << 20)).unwrap_or(0);
                    self.write_at(&[Bytes::from(vec![0; size])], at)?;
                    at = at.saturating_add(size as u64);
                }
                Ok(())
            }
            Err(e) => Err(DiskError::from_io(&e.into(), "write", &self.path)),
        }
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// The first `at` bytes of `slices`, and the others; nothing is copied.
fn split(slices: &[Bytes], at: usize) -> (Vec<Bytes>, Vec<Bytes>) {
    let (mut first, mut rest, mut left) = (Vec::new(), Vec::new(), at);
    for slice in slices {
        let cut = left.min(slice.len());
        left -= cut;
        if cut > 0 {
            first.push(slice.slice(..cut));
        }
        if cut < slice.len() {
            rest.push(slice.slice(cut..));
        }
    }
    (first, rest)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ottla_env::{Disk, DiskErrorKind, EntryKind, OpenMode};

    use super::OsDisk;

    #[test]
    fn many_slices_arrive_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let file = OsDisk.open(&dir.path().join("f"), OpenMode::Create).unwrap();
        let slices: Vec<Bytes> = (0..3000_u32)
            .map(|i| Bytes::from(i.to_be_bytes()[..(i % 5) as usize % 5].to_vec()))
            .collect();
        file.write_at(&slices, 7).unwrap();
        file.sync_data().unwrap();
        let expected: Vec<u8> = slices.iter().flat_map(|s| s.iter().copied()).collect();
        let content = OsDisk.read(&dir.path().join("f")).unwrap();
        assert_eq!(content[..7], [0; 7]);
        assert_eq!(content[7..], expected);
        let mut over = [9; 4];
        assert_eq!(file.read_at(&mut over, content.len() as u64 - 1).unwrap(), 1);
        let past = file.read_exact_at(&mut over, content.len() as u64 - 1).unwrap_err();
        assert_eq!(past.kind, DiskErrorKind::UnexpectedEnd);
    }

    #[test]
    fn files_of_a_folder_are_synced_with_their_file_system() {
        let dir = tempfile::tempdir().unwrap();
        let files = ["a", "b"].map(|name| {
            let file = OsDisk.open(&dir.path().join(name), OpenMode::Create).unwrap();
            file.write_at(&[Bytes::from_static(b"content")], 0).unwrap();
            file
        });
        // Nothing, where it could not be relied on.
        assert_eq!(files[0].file_system(), files[1].file_system());
        files[0].sync_file_system().unwrap();
    }

    #[test]
    fn bulk_arrives_as_anything_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let file = OsDisk.open(&dir.path().join("f"), OpenMode::Create).unwrap();
        let mut expected = Vec::new();
        for (round, len) in [10, 200_000, 4096, 3_000_001, 131_072, 1_048_576, 7].iter().enumerate()
        {
            let bytes: Vec<u8> =
                (0..*len).map(|i: usize| (i * 31 + round).to_le_bytes()[0]).collect();
            let (a, b) = bytes.split_at(len / 3);
            let slices = [a, b].map(Bytes::copy_from_slice);
            file.write_bulk_at(&slices, expected.len() as u64).unwrap();
            expected.extend(bytes);
            // Readers find it at once.
            assert!(OsDisk.read(&dir.path().join("f")).unwrap() == expected, "after {len}");
        }
        file.sync_data().unwrap();
    }

    #[test]
    fn names_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        OsDisk.create_dir(&at("a/b")).unwrap();
        OsDisk.write_atomically(&at("a/x"), Bytes::from_static(b"1")).unwrap();
        OsDisk.write_atomically(&at("a/x"), Bytes::from_static(b"22")).unwrap();
        let found = OsDisk.list(&at("a")).unwrap();
        let found: Vec<_> = found.iter().map(|e| (e.name.as_str(), e.kind, e.len)).collect();
        assert_eq!(found, [("b", EntryKind::Directory, 0), ("x", EntryKind::File, 2)]);
        OsDisk.rename(&at("a"), &at("c")).unwrap();
        assert_eq!(
            OsDisk.open(&at("a/x"), OpenMode::Read).unwrap_err().kind,
            DiskErrorKind::NotFound
        );
        OsDisk.remove_dir_all(&at("c")).unwrap();
        assert!(!OsDisk.exists(&at("c")).unwrap());
        assert!(OsDisk.space(dir.path()).unwrap().total > 0);
    }

    #[test]
    fn a_volume_is_synced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        OsDisk.create_dir(&dir.path().join("a/b")).unwrap();
        let path = dir.path().join("a/b/x");
        let file = OsDisk.open(&path, OpenMode::Create).unwrap();
        file.write_at(&[Bytes::from_static(b"1")], 0).unwrap();
        OsDisk.sync_volume(dir.path()).unwrap();
        assert_eq!(OsDisk.read(&path).unwrap(), b"1");
        let missing = OsDisk.sync_volume(&dir.path().join("c")).unwrap_err();
        assert_eq!(missing.kind, DiskErrorKind::NotFound);
    }

    #[test]
    fn a_lock_is_held_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".lock");
        let lock = OsDisk.lock(&path).unwrap();
        assert_eq!(OsDisk.lock(&path).unwrap_err().kind, DiskErrorKind::Locked);
        drop(lock);
        OsDisk.lock(&path).unwrap();
    }
}
