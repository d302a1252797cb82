//! Up to where each log of a directory is on stable storage, in a file of Ottla's own that follows
//! at most some milliseconds behind: a start goes by it when it tells what a crash can have torn
//! from what it cannot. Written beside the commits, never in their way. Must not know what becomes
//! of bytes that are no batch.
//!
//! The file: eight bytes that name it, then records, each a length and a CRC-32C (of length and
//! content) of four bytes and 32 bytes for each log: topic id, partition, leader epoch, end; −1 for
//! an end that is not known any more. Later entries replace earlier ones. It is written anew when
//! it has grown, and a record that is not whole ends it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ottla_env::{Disk, DiskFile, OpenMode, mark};
use ottla_protocol::{LeaderEpoch, Offset, TopicId, Uuid};
use ottla_records::crc32c;
use parking_lot::{Condvar, Mutex};

use crate::error::LogError;
use crate::log_dir::LogDir;

const FILE: &str = ".ottla-durable-ends";
const MAGIC: [u8; 8] = *b"OTTLADE1";
const ENTRY: usize = 32;
const HEAD: usize = 8;
/// The least time between two writes: what a start does not know is about what was committed in it.
/// More often would put a sync of its own in the way of one commit in fifty at a thousand a second.
const REST: Duration = Duration::from_millis(200);
/// The same when there was no space.
const REST_WITHOUT_SPACE: Duration = Duration::from_secs(1);
/// The file is written anew when it has more bytes than these and eight times what it would have.
const LOOSE_BYTES: u64 = 1 << 20;
const LOOSE_FACTOR: u64 = 8;

/// A log, for as long as its topic lives.
pub(crate) type Key = (TopicId, i32);

/// What is known of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DurableEnd {
    /// The newest leader epoch then.
    pub(crate) epoch: LeaderEpoch,
    /// Everything below was on stable storage.
    pub(crate) end: Offset,
}

/// Those of a log directory.
#[derive(Debug, Default)]
pub(crate) struct DurableEnds {
    state: Mutex<State>,
    wake: Condvar,
    file: Mutex<Option<Open>>,
}

#[derive(Debug, Default)]
struct State {
    ends: BTreeMap<Key, DurableEnd>,
    /// What the file does not say yet.
    changed: BTreeSet<Key>,
    stopping: bool,
}

/// The file, since it was written anew by this process.
#[derive(Debug)]
struct Open {
    file: Arc<dyn DiskFile>,
    len: u64,
}

impl DurableEnds {
    /// What is known of a log.
    pub(crate) fn of(&self, key: Key) -> Option<DurableEnd> {
        self.state.lock().ends.get(&key).copied()
    }

    /// Notes how far a log is; [`DurableEnds::write`] writes it down.
    pub(crate) fn note(&self, key: Key, known: DurableEnd) {
        let mut state = self.state.lock();
        if state.ends.insert(key, known) == Some(known) {
            return;
        }
        self.changed(&mut state, key);
    }

    /// Nothing is known of a log any more.
    pub(crate) fn forget(&self, key: Key) {
        let mut state = self.state.lock();
        if state.ends.remove(&key).is_some() {
            self.changed(&mut state, key);
        }
    }

    fn changed(&self, state: &mut State, key: Key) {
        let was_idle = state.changed.is_empty();
        state.changed.insert(key);
        if was_idle {
            self.wake.notify_one();
        }
    }

    /// Reads the file of the last run. One that is damaged counts up to there: who is not in it is
    /// judged without it.
    fn load(&self, disk: &dyn Disk, path: &Path) -> Result<(), LogError> {
        let content = match disk.read(path) {
            Ok(content) => content,
            Err(error) if error.is_not_found() => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let mut state = self.state.lock();
        state.ends = decode(&content);
        state.changed.clear();
        drop(state);
        *self.file.lock() = None;
        Ok(())
    }

    /// Writes down what has changed. On stable storage when it returns; whether it was anything.
    fn write(&self, disk: &dyn Disk, path: &Path) -> Result<bool, LogError> {
        // One at a time, in order.
        let mut file = self.file.lock();
        let mut state = self.state.lock();
        if state.changed.is_empty() {
            return Ok(false);
        }
        let changed = std::mem::take(&mut state.changed);
        let bytes = |entries: usize| (HEAD + ENTRY * entries) as u64;
        let limit = LOOSE_BYTES.max(LOOSE_FACTOR * bytes(state.ends.len()));
        let has_room = |open: &&mut Open| open.len + bytes(changed.len()) <= limit;
        let written = match file.as_mut().filter(has_room) {
            Some(open) => {
                let more = record(changed.iter(), &state.ends);
                drop(state);
                append(open, more)
            }
            None => {
                let anew = [&MAGIC[..], &record(state.ends.keys(), &state.ends)].concat();
                drop(state);
                replace(disk, path, anew).map(|open| *file = Some(open))
            }
        };
        if let Err(error) = written {
            // What the file is like now is not known.
            *file = None;
            self.state.lock().changed.extend(changed);
            return Err(error);
        }
        Ok(true)
    }

    /// Removes the file. It is gone for good when the directory's names are synced.
    fn remove(&self, disk: &dyn Disk, path: &Path) -> Result<(), LogError> {
        let mut file = self.file.lock();
        self.state.lock().changed.clear();
        *file = None;
        match disk.remove_file(path) {
            Err(error) if !error.is_not_found() => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Lets [`LogDir::keep_durable_ends`] return.
    pub(crate) fn stop(&self) {
        self.state.lock().stopping = true;
        self.wake.notify_all();
    }

    /// Waits until there is something to write; `false` when it is time to end.
    fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while state.changed.is_empty() && !state.stopping {
            self.wake.wait(&mut state);
        }
        !state.stopping
    }

    fn rest(&self, time: Duration) {
        let mut state = self.state.lock();
        if !state.stopping {
            self.wake.wait_while_for(&mut state, |state| !state.stopping, time);
        }
    }
}

fn append(open: &mut Open, more: Vec<u8>) -> Result<(), LogError> {
    let len = more.len() as u64;
    open.file.write_at(&[Bytes::from(more)], open.len)?;
    open.file.sync_data()?;
    open.len += len;
    Ok(())
}

fn replace(disk: &dyn Disk, path: &Path, content: Vec<u8>) -> Result<Open, LogError> {
    let len = content.len() as u64;
    disk.write_atomically(path, Bytes::from(content))?;
    Ok(Open { file: disk.open(path, OpenMode::Write)?, len })
}

impl LogDir {
    fn durable_ends_path(&self) -> PathBuf {
        self.path().join(FILE)
    }

    /// What the last run has left. After a clean stop all of it is said by the recovery points.
    pub(crate) fn load_durable_ends(&self, clean: bool) -> Result<(), LogError> {
        if clean {
            return self.durable_ends.remove(&**self.disk(), &self.durable_ends_path());
        }
        self.durable_ends.load(&**self.disk(), &self.durable_ends_path())
    }

    /// Writes down up to where the logs are on stable storage, as far as that has changed; whether
    /// it has. Blocks. Nothing waits for it, and [`crate::Committer::run`] has a thread that does
    /// nothing else: for who drives the committer by hand.
    ///
    /// # Errors
    /// Without space nothing is lost; after any other failure the directory is out of service.
    pub fn write_durable_ends(&self) -> Result<bool, LogError> {
        self.check()?;
        let written = self.durable_ends.write(&**self.disk(), &self.durable_ends_path());
        written.inspect_err(|error| {
            if error.is_no_space() {
                mark!("durable-ends-without-space");
            } else {
                self.fail(error);
            }
        })
    }

    /// At a clean stop: the recovery points say it all.
    pub(crate) fn drop_durable_ends(&self) -> Result<(), LogError> {
        self.durable_ends.remove(&**self.disk(), &self.durable_ends_path())
    }

    /// A thread's work: writes down what has changed, soon after it has, until
    /// [`DurableEnds::stop`], or until the directory fails.
    pub(crate) fn keep_durable_ends(&self) {
        while self.durable_ends.wait() {
            match self.write_durable_ends() {
                Ok(_) => self.durable_ends.rest(REST),
                Err(error) if error.is_no_space() => self.durable_ends.rest(REST_WITHOUT_SPACE),
                // It was told.
                Err(_) => return,
            }
        }
    }
}

fn record<'a>(keys: impl Iterator<Item = &'a Key>, ends: &BTreeMap<Key, DurableEnd>) -> Vec<u8> {
    let mut content = Vec::new();
    for key in keys {
        let gone = DurableEnd { epoch: LeaderEpoch::NONE, end: Offset::NONE };
        let known = ends.get(key).copied().unwrap_or(gone);
        content.extend(key.0.0);
        content.extend(key.1.to_be_bytes());
        content.extend(known.epoch.0.to_be_bytes());
        content.extend(known.end.0.to_be_bytes());
    }
    // 2^27 logs do not fit into a directory.
    let len = u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes();
    let crc = crc32c(&[&len[..], &content].concat()).to_be_bytes();
    [&len[..], &crc, &content].concat()
}

fn decode(content: &[u8]) -> BTreeMap<Key, DurableEnd> {
    let mut ends = BTreeMap::new();
    let mut rest = content.strip_prefix(&MAGIC).unwrap_or_default();
    while let Some((entries, after)) = next_record(rest) {
        for entry in entries.as_chunks::<ENTRY>().0 {
            let Some((key, known)) = decode_entry(entry) else { continue };
            if known.end < Offset::ZERO {
                ends.remove(&key);
            } else {
                ends.insert(key, known);
            }
        }
        rest = after;
    }
    ends
}

/// The content of the record that `bytes` begin with, and what is behind it.
fn next_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, _) = rest.split_first_chunk::<4>()?;
    let size = usize::try_from(u32::from_be_bytes(*len)).ok()?;
    let end = HEAD.checked_add(size)?;
    let content = bytes.get(HEAD..end)?;
    let whole =
        size % ENTRY == 0 && crc32c(&[&len[..], content].concat()) == u32::from_be_bytes(*crc);
    whole.then_some((content, bytes.get(end..)?))
}

fn decode_entry(entry: &[u8; ENTRY]) -> Option<(Key, DurableEnd)> {
    let (topic, rest) = entry.split_first_chunk::<16>()?;
    let (partition, rest) = rest.split_first_chunk::<4>()?;
    let (epoch, rest) = rest.split_first_chunk::<4>()?;
    let (end, _) = rest.split_first_chunk::<8>()?;
    let known = DurableEnd {
        epoch: LeaderEpoch(i32::from_be_bytes(*epoch)),
        end: Offset(i64::from_be_bytes(*end)),
    };
    Some(((Uuid(*topic), i32::from_be_bytes(*partition)), known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CommitEvent, LogConfig, LogDirLimits, OpenOptions, PartitionLog, TopicPartition};
    use bytes::BytesMut;
    use ottla_env::DiskErrorKind;
    use ottla_env::memory::{MemoryDisk, Survival};
    use ottla_partition::AppendContext;
    use ottla_protocol::Millis;
    use ottla_records::{BatchBuilder, BatchOptions};

    const PATH: &str = "/d/.ottla-durable-ends";

    fn key(topic: u8, partition: i32) -> Key {
        (Uuid([topic; 16]), partition)
    }

    fn end(epoch: i32, end: i64) -> DurableEnd {
        DurableEnd { epoch: LeaderEpoch(epoch), end: Offset(end) }
    }

    fn disk() -> MemoryDisk {
        let disk = MemoryDisk::new();
        disk.create_dir(Path::new("/d")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        disk
    }

    fn loaded(disk: &MemoryDisk) -> DurableEnds {
        let ends = DurableEnds::default();
        ends.load(disk, Path::new(PATH)).unwrap();
        ends
    }

    fn write(ends: &DurableEnds, disk: &MemoryDisk) -> bool {
        ends.write(disk, Path::new(PATH)).unwrap()
    }

    #[test]
    fn what_was_written_survives_and_later_replaces_earlier() {
        let disk = disk();
        let ends = DurableEnds::default();
        assert!(!write(&ends, &disk));
        ends.note(key(1, 0), end(3, 10));
        ends.note(key(1, 1), end(3, 20));
        assert!(write(&ends, &disk));
        ends.note(key(1, 0), end(4, 30));
        ends.forget(key(1, 1));
        ends.note(key(2, 0), end(0, 0));
        assert!(write(&ends, &disk) && !write(&ends, &disk));
        ends.note(key(2, 0), end(0, 5));
        disk.crash(|_| Survival::Nothing);
        let found = loaded(&disk);
        assert_eq!(found.of(key(1, 0)), Some(end(4, 30)));
        assert_eq!(found.of(key(1, 1)), None);
        assert_eq!(found.of(key(2, 0)), Some(end(0, 0)), "the last was not written down");
        // The next run goes on with what it found.
        found.note(key(9, 9), end(1, 1));
        assert!(write(&found, &disk));
        assert_eq!(loaded(&disk).of(key(1, 0)), Some(end(4, 30)));
    }

    #[test]
    fn a_file_that_is_cut_or_damaged_counts_up_to_there() {
        let disk = disk();
        let ends = DurableEnds::default();
        let mut lengths = vec![0];
        for i in 0..4 {
            ends.note(key(1, i), end(0, 1));
            write(&ends, &disk);
            lengths.push(disk.files()[Path::new(PATH)].len());
        }
        let whole = disk.files()[Path::new(PATH)].clone();
        for at in 0..whole.len() {
            let records = lengths.iter().filter(|len| **len <= at).count() - 1;
            assert_eq!(decode(&whole[..at]).len(), records, "cut at {at}");
            let mut damaged = whole.clone();
            damaged[at] ^= 0x41;
            assert_eq!(decode(&damaged).len(), records, "damaged at {at}");
        }
    }

    #[test]
    fn a_file_that_grows_is_written_anew() {
        let disk = disk();
        let ends = DurableEnds::default();
        let mut most = 0;
        for round in 0..6_000 {
            for partition in 0..10 {
                ends.note(key(1, partition), end(0, round));
            }
            write(&ends, &disk);
            most = most.max(disk.open(Path::new(PATH), OpenMode::Read).unwrap().len().unwrap());
        }
        assert!(most > LOOSE_BYTES - 400 && most <= LOOSE_BYTES, "{most}");
        assert_eq!(loaded(&disk).of(key(1, 9)), Some(end(0, 5_999)));
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let disk = disk();
        let ends = DurableEnds::default();
        ends.note(key(1, 0), end(0, 1));
        write(&ends, &disk);
        ends.note(key(1, 0), end(0, 2));
        disk.set_fault(Some(Box::new(|did, _| (did == "write").then_some(DiskErrorKind::NoSpace))));
        assert!(ends.write(&disk, Path::new(PATH)).unwrap_err().is_no_space());
        disk.set_fault(None);
        assert!(write(&ends, &disk));
        assert_eq!(loaded(&disk).of(key(1, 0)), Some(end(0, 2)));
    }

    #[test]
    fn a_commit_that_ends_after_the_log_was_given_up_notes_nothing() {
        let dir = LogDir::open(Arc::new(disk()), Path::new("/d"), LogDirLimits::default()).unwrap();
        let (key, name) = (key(1, 0), TopicPartition::new("t", 0));
        let options = OpenOptions::new(Some(key.0), LogConfig::default(), Millis(0));
        let (mut log, _) = PartitionLog::open(&dir, &name, options).unwrap();
        let mut builder = BatchBuilder::new(BatchOptions::default()).unwrap();
        builder.append(Millis(0), None, Some(b"x"), &[]).unwrap();
        let batch = BytesMut::from(builder.build().unwrap().as_slice());
        log.append(batch, LeaderEpoch(0), Millis(0), &AppendContext::CLIENT).unwrap();
        log.take_pending().unwrap().run().unwrap();
        log.on_commit(&CommitEvent::Written { end: Offset(1) });
        log.retire();
        log.on_commit(&CommitEvent::Durable { end: Offset(1) });
        assert_eq!((log.durable_end(), dir.durable_ends.of(key)), (Offset(1), None));
    }
}
