//! Partitions that move to another log directory (AlterReplicaLogDirs), and what the controller is
//! told of where they are (KIP-858). A copy is filled beside the log, which is served meanwhile;
//! when it has everything, the controller hears of it, and the copy takes the log's place. One
//! thread does it. Must not know requests or connections.

mod copy;
mod found;
mod report;
mod switch;
mod thread;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

use ottla_log::{PartitionLog, TopicPartition, future_dir};
use ottla_protocol::{ErrorCode, Uuid};
use parking_lot::Mutex;

pub(super) use self::found::{Found, Place, Places};
pub(crate) use self::thread::start;
use super::volume::{Key, Volume};
use super::{HostedPartition, Partitions};

/// Places that are remembered for partitions which are not there: a request costs its sender
/// little, and memory is not.
const PREFERRED_MAX: usize = 100_000;

/// What is to move, and what the thread is to tell.
#[derive(Default)]
pub(super) struct Moves {
    state: Mutex<State>,
    thread: OnceLock<Thread>,
}

#[derive(Default)]
struct State {
    /// Where partitions are to be created that are not here yet.
    preferred: HashMap<TopicPartition, usize>,
    /// Copies that were found at start.
    begun: BTreeMap<Key, Begun>,
    moves: BTreeMap<Key, Arc<Move>>,
    /// The one whose copy takes the log's place right now. Nothing can stop it any more, and
    /// checkpoints know its partition in both log directories.
    arriving: Option<(Key, Arc<Move>)>,
    /// Copies that were found at start, and that were not wanted before they were taken up.
    unwanted: Vec<Begun>,
    /// The metadata has these elsewhere, or nowhere.
    reports: BTreeSet<Key>,
}

/// A copy that an earlier run began.
#[derive(Clone, Debug)]
struct Begun {
    volume: usize,
    name: String,
}

/// A partition on its way.
pub(super) struct Move {
    hosted: Arc<HostedPartition>,
    /// Index of the log directory.
    target: usize,
    /// Until the thread takes it up.
    begun: Mutex<Option<Begun>>,
    /// How far the copy is.
    end: AtomicI64,
    bytes: AtomicU64,
}

/// A copy, as DescribeLogDirs shows it.
pub(crate) struct FutureReplica {
    pub(crate) name: TopicPartition,
    pub(crate) bytes: u64,
    /// Offsets that it lacks.
    pub(crate) lag: i64,
}

impl Move {
    fn new(hosted: Arc<HostedPartition>, target: usize, begun: Option<Begun>) -> Arc<Self> {
        Arc::new(Self {
            hosted,
            target,
            begun: Mutex::new(begun),
            end: AtomicI64::new(0),
            bytes: AtomicU64::new(0),
        })
    }

    fn set_progress(&self, end: i64, bytes: u64) {
        self.end.store(end, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    fn lag(&self) -> i64 {
        let end = self.hosted.with_log(PartitionLog::log_end).get();
        end.saturating_sub(self.end.load(Ordering::Relaxed)).max(0)
    }
}

impl State {
    /// Nobody wants this move any more. What the thread has of it, it removes.
    fn end(&mut self, key: Key) {
        let ended = self.moves.remove(&key);
        self.unwanted.extend(ended.and_then(|one| one.begun.lock().take()));
    }

    fn is_arriving(&self, key: Key) -> bool {
        self.arriving.as_ref().is_some_and(|(arriving, _)| *arriving == key)
    }
}

/// A copy takes the log's place until this is dropped.
struct Arriving<'a>(&'a Moves);

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        self.0.state.lock().arriving = None;
    }
}

impl Moves {
    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    fn is_wanted(&self, key: Key, one: &Arc<Move>) -> bool {
        self.state.lock().moves.get(&key).is_some_and(|wanted| Arc::ptr_eq(wanted, one))
    }

    fn forget(&self, key: Key, one: &Arc<Move>) {
        let mut state = self.state.lock();
        if state.moves.get(&key).is_some_and(|wanted| Arc::ptr_eq(wanted, one)) {
            state.end(key);
        }
    }

    /// From here on the move cannot be called off; `None`: it was.
    fn arrive(&self, key: Key, one: &Arc<Move>) -> Option<Arriving<'_>> {
        let mut state = self.state.lock();
        let wanted = state.moves.get(&key).filter(|wanted| Arc::ptr_eq(wanted, one));
        state.arriving = Some((key, Arc::clone(wanted?)));
        Some(Arriving(self))
    }

    /// What is about to arrive in a log directory, and up to where it is there.
    pub(super) fn arriving_in(&self, volume: usize) -> Option<(Arc<HostedPartition>, i64)> {
        let state = self.state.lock();
        let (_, one) = state.arriving.as_ref().filter(|(_, one)| one.target == volume)?;
        Some((Arc::clone(&one.hosted), one.end.load(Ordering::Relaxed)))
    }
}

impl Partitions {
    /// Moves a partition to the log directory with this path. The order of the checks is Kafka's
    /// (`ReplicaManager.alterReplicaLogDirs`).
    pub(crate) fn move_to(&self, name: &TopicPartition, path: &str) -> Result<(), ErrorCode> {
        if future_dir(name, Uuid::ZERO).is_none() {
            return Err(ErrorCode::InvalidTopicException);
        }
        let target = self.volume_at(path).ok_or(ErrorCode::LogDirNotFound)?;
        if self.has_failed(target) {
            return Err(ErrorCode::KafkaStorageError);
        }
        if self.volumes.get(target).is_some_and(Volume::is_cordoned) {
            return Err(ErrorCode::InvalidReplicaAssignment);
        }
        let image = self.image.load();
        let topic = image.topic(&name.topic);
        let Some(topic) = topic.filter(|topic| topic.partition(name.partition).is_some()) else {
            self.prefer(name, target);
            return Err(ErrorCode::UnknownTopicOrPartition);
        };
        let key = (topic.id, name.partition);
        let Some(hosted) = self.by_id(key.0, key.1) else {
            if self.why_absent(key.0, key.1) == ErrorCode::KafkaStorageError {
                return Err(ErrorCode::KafkaStorageError);
            }
            self.prefer(name, target);
            return Err(ErrorCode::ReplicaNotAvailable);
        };
        if hosted.with_log(|log| log.failure().is_some()) {
            return Err(ErrorCode::KafkaStorageError);
        }
        let one_failed = (0..self.volumes.len()).any(|volume| self.has_failed(volume));
        let outcome = {
            let mut state = self.moves.state.lock();
            match state.moves.get(&key) {
                Some(under_way) if under_way.target == target => return Ok(()),
                Some(_) | None => {}
            }
            // Another move of it ends here, unless its copy takes the log's place already: then
            // where the log will be is not known yet, and the thread looks when it has done that.
            state.end(key);
            if hosted.dir() == target && !state.is_arriving(key) {
                Ok(())
            } else if one_failed {
                // The partition may be there too.
                Err(ErrorCode::KafkaStorageError)
            } else {
                state.moves.insert(key, Move::new(hosted, target, None));
                Ok(())
            }
        };
        self.moves.wake();
        outcome
    }

    fn has_failed(&self, volume: usize) -> bool {
        self.volumes.get(volume).is_none_or(|volume| volume.dir.failure().is_some())
    }

    fn prefer(&self, name: &TopicPartition, volume: usize) {
        let mut state = self.moves.state.lock();
        if state.preferred.len() < PREFERRED_MAX || state.preferred.contains_key(name) {
            state.preferred.insert(name.clone(), volume);
        }
    }

    /// Where someone wanted a partition that is about to be created.
    pub(super) fn take_preferred(&self, name: &TopicPartition) -> Option<usize> {
        let wanted = self.moves.state.lock().preferred.remove(name)?;
        (!self.has_failed(wanted)).then_some(wanted)
    }

    /// As in Kafka the path must be written as DescribeLogDirs shows it.
    fn volume_at(&self, path: &str) -> Option<usize> {
        self.volumes.iter().position(|volume| volume.shown_path() == path)
    }

    /// The copies in a log directory.
    pub(crate) fn futures_in(&self, volume: usize) -> Vec<FutureReplica> {
        let moves: Vec<_> = {
            let state = self.moves.state.lock();
            state.moves.values().filter(|one| one.target == volume).map(Arc::clone).collect()
        };
        let shown = moves.iter().filter(|one| one.hosted.dir() != volume);
        shown
            .map(|one| FutureReplica {
                name: one.hosted.name.clone(),
                bytes: one.bytes.load(Ordering::Relaxed),
                lag: one.lag(),
            })
            .collect()
    }

    /// A copy that was found at start. A second one of the same partition is not wanted: `false`.
    pub(super) fn found_future(&self, key: Key, volume: usize, name: &str) -> bool {
        let mut state = self.moves.state.lock();
        if state.begun.contains_key(&key) {
            return false;
        }
        state.begun.insert(key, Begun { volume, name: name.to_owned() });
        true
    }

    /// The partition is not here any more: nor is a copy of it wanted that was found at start.
    pub(super) fn drop_found_future(&self, key: Key) {
        let mut state = self.moves.state.lock();
        if let Some(begun) = state.begun.remove(&key) {
            state.unwanted.push(begun);
            drop(state);
            self.moves.wake();
        }
    }

    /// A partition was opened: its move goes on, if the last run began one.
    pub(super) fn resume_move(&self, hosted: &Arc<HostedPartition>) {
        let mut state = self.moves.state.lock();
        let key = (hosted.topic_id, hosted.name.partition);
        let Some(begun) = state.begun.remove(&key) else { return };
        let (target, mut begun) = (begun.volume, Some(begun));
        let resumed = || Move::new(Arc::clone(hosted), target, begun.take());
        state.moves.entry(key).or_insert_with(resumed);
        // A request that came first counts.
        state.unwanted.extend(begun);
        drop(state);
        self.moves.wake();
    }

    /// The metadata does not know where this partition is.
    pub(super) fn report_place(&self, key: Key) {
        self.moves.state.lock().reports.insert(key);
        self.moves.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Changes;
    use super::super::fixture::{World, key};
    use super::*;

    #[test]
    fn a_copy_of_a_deleted_partition_moves_no_namesake() {
        let world = World::new(&["/d", "/e"]);
        let partitions = &world.partitions;
        let found = |topic: u8| partitions.found_future(key(topic), 1, "t-0.1-future");
        assert!(found(1) && !found(1));
        partitions.announce(key(1), TopicPartition::new("t", 0), 0);
        let other = world.host(key(2), "t", 0);
        partitions.resume_move(&other);
        assert!(partitions.moves.state.lock().moves.is_empty());
        partitions.let_go(key(1), &mut Changes::default());
        let state = partitions.moves.state.lock();
        assert!(state.begun.is_empty());
        let unwanted: Vec<&str> = state.unwanted.iter().map(|begun| &*begun.name).collect();
        assert_eq!(unwanted, ["t-0.1-future"]);
    }
}
