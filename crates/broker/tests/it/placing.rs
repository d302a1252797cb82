//! A large batch lies in memory, within a block of it, as it will lie in its file: it can be written
//! from where it was received.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ottla_env::{Disk, DiskError, DiskFile};
use ottla_protocol::{ApiVersionsRequest, ErrorCode};
use ottla_records::BatchOptions;
use parking_lot::Mutex;

use crate::data::{batch, fetch, fetched, produce, produced, values};
use crate::fixture::{Running, World, create};
use crate::hooked::{Hook, Hooked};

const BLOCK: u64 = 4096;
/// A frame that arrives whole with the first read, of at most 64 KiB, lies as it came: its batch is
/// copied when it is written.
const LARGE: usize = 69_000;

/// For each large slice that was written its length, and whether it lies in memory as in the file.
type Written = Arc<Mutex<Vec<(usize, bool)>>>;

/// Notes where the memory lies that is written.
struct Watch(Written);

impl Hook for Watch {
    fn opened(&self, file: Arc<dyn DiskFile>, path: &Path) -> Arc<dyn DiskFile> {
        Arc::new(WatchedFile { file, path: path.to_owned(), written: Arc::clone(&self.0) })
    }
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

#[test]
fn large_batches_lie_in_memory_as_in_their_file() {
    let world = World::new();
    let written = Written::default();
    let watch = Arc::new(Watch(Arc::clone(&written)));
    let disk: Arc<dyn Disk> = Arc::new(Hooked((*world.disk).clone(), watch));
    let running = Running::start(world.broker_start_on(&disk, &[])).unwrap();
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
