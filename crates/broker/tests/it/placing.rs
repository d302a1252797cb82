//! A large batch lies in memory, within a block of it, as it will lie in its file: it can be written
//! from where it was received.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ottla_broker::Broker;
use ottla_env::memory::MemoryDisk;
use ottla_env::{Disk, DiskError, DiskFile, DiskLock, DiskSpace, Entry, OpenMode};
use ottla_log::{LogDir, LogDirLimits};
use ottla_protocol::{ApiVersionsRequest, ErrorCode};
use ottla_records::BatchOptions;
use parking_lot::Mutex;

use crate::data::{batch, fetch, fetched, produce, produced, values};
use crate::fixture::{LIMIT, Running, World, create};

const BLOCK: u64 = 4096;
/// A frame that arrives whole with the first read, of at most 64 KiB, lies as it came: its batch is
/// copied when it is written.
const LARGE: usize = 69_000;

/// For each large slice that was written its length, and whether it lies in memory as in the file.
type Written = Arc<Mutex<Vec<(usize, bool)>>>;

/// Notes where the memory lies that is written.
#[derive(Clone, Debug)]
struct Watched {
    disk: MemoryDisk,
    written: Written,
}

#[derive(Debug)]
struct WatchedFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    written: Written,
}

impl DiskFile for WatchedFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, DiskError> {
        self.file.read_at(buffer, position)
    }
    fn write_at(&self, slices: &[Bytes], position: u64) -> Result<(), DiskError> {
        self.file.write_at(slices, position)
    }
    fn write_bulk_at(&self, slices: &[Bytes], position: u64) -> Result<(), DiskError> {
        let mut at = position;
        for slice in slices {
            if slice.len() >= LARGE {
                let right = slice.as_ptr().addr() as u64 % BLOCK == at % BLOCK;
                self.written.lock().push((slice.len(), right));
            }
            at += slice.len() as u64;
        }
        self.file.write_bulk_at(slices, position)
    }
    fn sync_data(&self) -> Result<(), DiskError> {
        self.file.sync_data()
    }
    fn set_len(&self, len: u64) -> Result<(), DiskError> {
        self.file.set_len(len)
    }
    fn len(&self) -> Result<u64, DiskError> {
        self.file.len()
    }
    fn path(&self) -> &Path {
        &self.path
    }
}

impl Disk for Watched {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
        let (file, path) = (self.disk.open(path, mode)?, path.to_owned());
        Ok(Arc::new(WatchedFile { file, path, written: Arc::clone(&self.written) }))
    }
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.disk.create_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.disk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        self.disk.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> Result<(), DiskError> {
        self.disk.remove_dir_all(path)
    }
    fn list(&self, dir: &Path) -> Result<Vec<Entry>, DiskError> {
        self.disk.list(dir)
    }
    fn exists(&self, path: &Path) -> Result<bool, DiskError> {
        self.disk.exists(path)
    }
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.disk.sync_dir(dir)
    }
    fn sync_volume(&self, dir: &Path) -> Result<(), DiskError> {
        self.disk.sync_volume(dir)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, DiskError> {
        self.disk.lock(path)
    }
    fn space(&self, path: &Path) -> Result<DiskSpace, DiskError> {
        self.disk.space(path)
    }
}

#[test]
fn large_batches_lie_in_memory_as_in_their_file() {
    let world = World::new();
    let written = Written::default();
    let watched = Watched { disk: (*world.disk).clone(), written: Arc::clone(&written) };
    let mut start = world.broker_start(&[]);
    start.log_dirs.clear();
    start
        .log_dirs
        .push(LogDir::open(Arc::new(watched), &World::dir(), LogDirLimits::default()).unwrap());
    let controller = start.controller.clone();
    let broker = Broker::start(start).unwrap();
    assert!(broker.wait_until_open(Some(LIMIT)), "the logs are not all open");
    let running = Running { controller, broker };
    let mut client = running.client();
    create(&mut client, "orders", 1);
    // A connection that has said nothing yet may send less.
    client.ask(3, &ApiVersionsRequest::default()).unwrap();
    let sizes = [100, 99_999, 200_001, 70_000, 50_001, 333, 700_007, 80_001];
    for (offset, size) in sizes.into_iter().enumerate() {
        let value = vec![b'v'; size];
        let request = produce(-1, "orders", batch(BatchOptions::default(), &value));
        let answer = produced(&mut client, &request);
        assert_eq!(ErrorCode::from(answer.error_code), ErrorCode::None);
        let offset = i64::try_from(offset).unwrap();
        assert_eq!(answer.base_offset, offset);
        let found = values(&fetched(&mut client, &fetch("orders", &[offset]))[0]);
        assert!(found == [value], "record {offset}");
    }
    let written = written.lock().clone();
    assert_eq!(written.len(), sizes.iter().filter(|size| **size >= LARGE).count());
    assert!(written.iter().all(|(_, right)| *right), "{written:?}");
    running.stop();
}
