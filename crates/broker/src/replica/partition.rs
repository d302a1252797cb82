//! A partition that this broker hosts: its log and its replica machine behind one short lock,
//! and whoever waits on them. Under the lock there is no I/O. Must not know requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use ottla_log::{
    Answer, AppendError, Appended, CommitEvent, CommitTarget, Committer, Fetched, LogDir, LogView,
    Maintenance, PartitionLog, ReadError, ReadRequest, SyncOn, TimestampOffset, TopicPartition,
    WriteSet,
};
use ottla_partition::{
    Acks, AppendContext, Ends, EpochEnd, Leadership, Replica, ReplicaEffect, ReplicaError, Role,
};
use ottla_protocol::{LeaderEpoch, Millis, Offset, TopicId};
use parking_lot::{Condvar, Mutex};
use tracing::warn;

use super::attention::{Attention, Due, Noted};
use super::config::PartitionConfig;
use super::waits::{AckToken, FetchWait};
use crate::turn;

/// Waits end with the partition; who waits for a client counts the time itself.
const NO_DEADLINE: Millis = Millis(i64::MAX);

/// The longest that a deletion waits for the committer to be done with the files.
const COMMIT_WAIT: Duration = Duration::from_secs(60);

/// How many were made.
static PARTITIONS_MADE: AtomicU32 = AtomicU32::new(0);

/// A partition on this broker.
pub(crate) struct HostedPartition {
    pub(crate) name: TopicPartition,
    pub(crate) topic_id: TopicId,
    /// Index of its log directory; changed under the lock.
    dir: AtomicUsize,
    /// Of that directory.
    committer: ArcSwap<Committer<Self>>,
    /// Who may remove, replace or cut segments of its log; never waited for under the lock.
    pub(crate) maintenance: Arc<Maintenance>,
    pub(super) state: Mutex<State>,
    /// Told when the committer is done with what it took.
    pub(super) committed: Condvar,
    next_wait: AtomicU64,
    /// How often records were taken back for lack of space.
    pub(super) rollbacks: AtomicU64,
    attention: Arc<Attention<Self>>,
    noted: Noted,
}

pub(super) struct State {
    pub(super) log: PartitionLog,
    pub(super) replica: Replica<AckToken>,
    pub(super) config: Arc<PartitionConfig>,
    /// Who waits for more to read: an id, the fetch, and the partition's place in it.
    fetches: Vec<(u64, Arc<FetchWait>, usize)>,
    /// Changes when a reader may find something else.
    version: u64,
}

/// Why an append did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    #[error(transparent)]
    Log(#[from] AppendError),
}

/// What a fetch finds.
pub(crate) struct FetchRead {
    /// Number of the log directory in which it is.
    pub(crate) dir: usize,
    pub(crate) ends: Ends,
    pub(crate) last_stable: Offset,
    pub(crate) request: ReadRequest,
    pub(crate) batches: Answer<Fetched>,
    /// For the transactions that a read_committed fetch must leave out.
    pub(crate) view: Option<LogView>,
    /// Of what can be read; for [`HostedPartition::wait_for_data`].
    pub(crate) version: u64,
}

/// Which records a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// Up to the log end: followers, and the broker itself.
    LogEnd,
    /// Up to the high watermark.
    ReadUncommitted,
    /// Up to the last stable offset.
    ReadCommitted,
}

/// Where a fetch begins, and what it believes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchFrom {
    pub(crate) offset: Offset,
    pub(crate) current_leader_epoch: Option<LeaderEpoch>,
    pub(crate) last_fetched_epoch: Option<LeaderEpoch>,
    pub(crate) max_bytes: usize,
    pub(crate) at_least_one: bool,
    pub(crate) isolation: Isolation,
}

/// What a fetch is told instead of records.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchRefused {
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the reader's log diverges: epoch {epoch} ends at {end}")]
    Diverging { epoch: LeaderEpoch, end: Offset, ends: Ends },
}

impl HostedPartition {
    pub(super) fn new(
        name: TopicPartition,
        topic_id: TopicId,
        dir: usize,
        committer: Arc<Committer<Self>>,
        parts: (PartitionLog, Replica<AckToken>),
        config: Arc<PartitionConfig>,
        attention: Arc<Attention<Self>>,
    ) -> Arc<Self> {
        let (log, replica) = parts;
        let maintenance = Arc::clone(log.maintenance());
        // No two partitions have one in common, also not those of one name.
        let version = u64::from(PARTITIONS_MADE.fetch_add(1, Ordering::Relaxed)) << 32;
        let state = Mutex::new(State { log, replica, config, fetches: Vec::new(), version });
        let (committed, next_wait) = (Condvar::new(), AtomicU64::new(0));
        let (dir, committer) = (AtomicUsize::new(dir), ArcSwap::new(committer));
        Arc::new(Self {
            name,
            topic_id,
            dir,
            committer,
            maintenance,
            state,
            committed,
            next_wait,
            rollbacks: AtomicU64::new(0),
            attention,
            noted: Noted::default(),
        })
    }

    /// There is something to do that comes back; called after the change that it is about.
    pub(super) fn note(self: &Arc<Self>, due: Due) {
        self.attention.note(due, &self.noted, self);
    }

    /// As it was created: there is nothing that could go.
    pub(super) fn is_blank(&self) -> bool {
        self.with_log(|log| log.segment_count() == 1 && log.size_bytes() == 0)
    }

    /// What it was noted for.
    pub(super) fn noted(&self) -> &Noted {
        &self.noted
    }

    /// Index of its log directory.
    pub(crate) fn dir(&self) -> usize {
        self.dir.load(Ordering::Acquire)
    }

    /// It is in another log directory now. The caller has the lock on its state.
    pub(super) fn set_dir(&self, dir: usize, committer: Arc<Committer<Self>>) {
        self.dir.store(dir, Ordering::Release);
        self.committer.store(committer);
    }

    /// The log has queued something. Should it have moved since, then the committer of the
    /// directory it was in gets nothing ([`CommitTarget::take_for`]), and that of the other was
    /// told by who moved it.
    pub(super) fn commit_soon(self: &Arc<Self>) {
        turn::commit_soon(&self.committer.load(), Arc::clone(self));
    }

    /// The settings in force.
    pub(crate) fn config(&self) -> Arc<PartitionConfig> {
        Arc::clone(&self.state.lock().config)
    }

    /// Where the log stands, and the leader epoch.
    pub(crate) fn ends(&self) -> (Ends, LeaderEpoch) {
        let state = self.state.lock();
        (state.replica.ends(), state.replica.leader_epoch())
    }

    /// Whether this broker leads the partition, in the epoch that a request believes in.
    pub(crate) fn check_leader(&self, current: Option<LeaderEpoch>) -> Result<(), ReplicaError> {
        self.state.lock().replica.check_leader(current)
    }

    /// Appends a validated batch as leader. `token` is answered when `acks` is satisfied; with
    /// acks=0 there is none.
    pub(crate) fn append(
        self: &Arc<Self>,
        batch: BytesMut,
        context: &AppendContext,
        now: Millis,
        wait: Option<(Acks, AckToken)>,
    ) -> Result<(Appended, Offset), Refused> {
        let mut effects = Vec::new();
        let (appended, log_start) = {
            let mut state = self.state.lock();
            let state = &mut *state;
            state.replica.check_append(wait.as_ref().map(|(acks, ..)| *acks))?;
            let epoch = state.replica.leader_epoch();
            let appended = state.log.append(batch, epoch, now, context)?;
            state.replica.on_append(state.log.log_end());
            if let Some((acks, token)) = wait {
                let end = appended.last_offset.plus(1);
                state.replica.wait(acks, end, NO_DEADLINE, token, &mut effects);
            }
            (appended, state.log.log_start())
        };
        if appended.needs_commit {
            self.commit_soon();
        }
        self.note(Due::Tail);
        self.note(Due::Retention);
        deliver(effects);
        Ok((appended, log_start))
    }

    /// Calls `then` when everything that is in the log now is committed: at once, or from the
    /// committer's thread. It must not take a lock that the caller of this holds.
    pub(crate) fn when_committed(
        &self,
        then: impl FnOnce(Result<(), ReplicaError>) + Send + 'static,
    ) {
        let mut effects = Vec::new();
        {
            let mut state = self.state.lock();
            let end = state.log.log_end();
            let token = AckToken::Call(Box::new(then));
            state.replica.wait(Acks::All, end, NO_DEADLINE, token, &mut effects);
        }
        deliver(effects);
    }

    /// Reads for a fetch: from memory, or what is needed to look it up without the lock.
    pub(crate) fn fetch(&self, from: &FetchFrom) -> Result<FetchRead, FetchRefused> {
        let state = self.state.lock();
        state.replica.check_leader(from.current_leader_epoch)?;
        let ends = state.replica.ends();
        let out_of_range = FetchRefused::Read(ReadError::OutOfRange {
            offset: from.offset,
            log_start: ends.log_start,
            log_end: ends.log_end,
        });
        if from.offset < ends.log_start {
            return Err(out_of_range);
        }
        if let Some(last) = from.last_fetched_epoch {
            let EpochEnd { epoch, end_offset: end } = state.log.offset_for_leader_epoch(last);
            if epoch < last || end < from.offset {
                return Err(FetchRefused::Diverging { epoch, end, ends });
            }
        }
        let last_stable = state.last_stable();
        let up_to = match from.isolation {
            Isolation::LogEnd => ends.log_end,
            Isolation::ReadUncommitted => ends.high_watermark,
            Isolation::ReadCommitted => last_stable,
        };
        if from.offset > ends.log_end {
            return Err(out_of_range);
        }
        let request = ReadRequest {
            from: from.offset,
            up_to,
            max_bytes: from.max_bytes,
            at_least_one: from.at_least_one,
        };
        let batches = state.log.read(&request)?;
        let committed_only = from.isolation == Isolation::ReadCommitted;
        let view = committed_only.then(|| state.log.view());
        let (dir, version) = (self.dir(), state.version);
        Ok(FetchRead { dir, ends, last_stable, request, batches, view, version })
    }

    /// The offset for a timestamp, or for one of the special ones (−1 to −6).
    pub(crate) fn list_offset(
        &self,
        timestamp: i64,
        current: Option<LeaderEpoch>,
        isolation: Isolation,
    ) -> Result<(Answer<Option<TimestampOffset>>, Offset, LeaderEpoch), ReplicaError> {
        let state = self.state.lock();
        state.replica.check_leader(current)?;
        let up_to = match isolation {
            Isolation::LogEnd => state.log.log_end(),
            Isolation::ReadUncommitted => state.replica.high_watermark(),
            Isolation::ReadCommitted => state.last_stable(),
        };
        Ok((state.log.list_offset(timestamp), up_to, state.replica.leader_epoch()))
    }

    /// The end of a leader epoch.
    pub(crate) fn offset_for_leader_epoch(
        &self,
        epoch: LeaderEpoch,
        current: Option<LeaderEpoch>,
    ) -> Result<EpochEnd, ReplicaError> {
        let state = self.state.lock();
        state.replica.check_leader(current)?;
        Ok(state.log.offset_for_leader_epoch(epoch))
    }

    /// Reads from `from` to the log end, also what is not written yet; for loading a coordinator.
    /// Files are read without the lock.
    pub(crate) fn read_own(&self, from: Offset, max_bytes: usize) -> Result<Vec<Bytes>, ReadError> {
        loop {
            let (request, answer) = {
                let state = self.state.lock();
                let up_to = state.log.log_end();
                let request = ReadRequest { from, up_to, max_bytes, at_least_one: true };
                (request, state.log.read(&request)?)
            };
            match answer {
                Answer::Ready(fetched) => return Ok(fetched.batches),
                Answer::Lookup(view) => match view.read(&request) {
                    Err(error) if error.is_replaced() => {}
                    read => return Ok(read?.batches),
                },
            }
        }
    }

    /// Moves the log start forward (DeleteRecords); −1 means the high watermark. Gives the new
    /// log start, or `None` when `offset` is beyond the high watermark. What lies below is removed
    /// later ([`super::Partitions::remove_old_segments`]).
    pub(crate) fn delete_records(
        self: &Arc<Self>,
        offset: i64,
    ) -> Result<Option<Offset>, ReplicaError> {
        let mut effects = Vec::new();
        let (start, moved) = {
            let mut state = self.state.lock();
            let state = &mut *state;
            state.replica.check_leader(None)?;
            let high_watermark = state.replica.high_watermark();
            let to = if offset == -1 { high_watermark } else { Offset(offset) };
            if to > high_watermark || to.get() < 0 {
                return Ok(None);
            }
            let moved = state.log.advance_log_start(to);
            if moved {
                state.replica.on_log_start(state.log.log_start(), &mut effects);
                state.heed(&effects);
            }
            (state.log.log_start(), moved)
        };
        if moved {
            self.note(Due::Start);
        }
        self.deliver(effects);
        Ok(Some(start))
    }

    /// How often records that were not written were taken back: who had read them must know.
    pub(crate) fn rollbacks(&self) -> u64 {
        self.rollbacks.load(Ordering::Acquire)
    }

    /// Reads what is known of producers.
    pub(crate) fn with_log<T>(&self, read: impl FnOnce(&PartitionLog) -> T) -> T {
        read(&self.state.lock().log)
    }

    /// The metadata says that this broker leads.
    pub(crate) fn on_leader(&self, leadership: &Leadership) -> bool {
        let mut effects = Vec::new();
        let new_epoch = {
            let mut state = self.state.lock();
            let state = &mut *state;
            let new_epoch = state.replica.on_leader(leadership, &mut effects);
            state.heed(&effects);
            if new_epoch {
                state.log.assign_epoch(leadership.leader_epoch);
            }
            new_epoch
        };
        self.deliver(effects);
        new_epoch
    }

    /// The metadata says that another broker leads, or none.
    pub(crate) fn on_follower(
        &self,
        leader_epoch: LeaderEpoch,
        partition_epoch: i32,
        leader: Option<ottla_protocol::NodeId>,
    ) {
        let mut effects = Vec::new();
        self.state.lock().replica.on_follower(leader_epoch, partition_epoch, leader, &mut effects);
        self.deliver(effects);
        self.wake_fetches();
    }

    /// The settings changed.
    pub(crate) fn on_config(&self, config: Arc<PartitionConfig>) {
        let mut effects = Vec::new();
        {
            let mut state = self.state.lock();
            state.log.set_config(config.log.clone());
            state.log.producers_mut().set_rules(config.producers);
            state.replica.on_config(config.replica, &mut effects);
            state.heed(&effects);
            state.config = config;
        }
        self.deliver(effects);
    }

    /// Whether this broker leads it.
    pub(crate) fn is_leader(&self) -> bool {
        self.state.lock().replica.role() == Role::Leader
    }

    /// Gives memory back, and answers what has waited too long.
    pub(crate) fn on_tick(&self, now: Millis) {
        let mut effects = Vec::new();
        {
            let mut state = self.state.lock();
            state.replica.on_tick(now, &mut effects);
            state.log.evict_tail();
        }
        self.deliver(effects);
    }

    /// The broker stops, or the log directory has failed: nobody waits any longer.
    pub(crate) fn retire(&self) {
        let mut effects = Vec::new();
        self.state.lock().replica.on_failure(&mut effects);
        self.deliver(effects);
        self.wake_fetches();
    }

    /// The partition is no longer here: who waits is told so. When this returns, nothing writes
    /// to the partition's paths any more, and they may become another's.
    pub(crate) fn give_up(&self) {
        let mut effects = Vec::new();
        {
            let mut state = self.state.lock();
            let (epoch, version) = (state.replica.leader_epoch(), state.replica.partition_epoch());
            state.replica.on_follower(epoch, version, None, &mut effects);
            state.log.retire();
        }
        self.deliver(effects);
        self.wake_fetches();
        // Compaction gives up as soon as it sees this.
        self.maintenance.close();
        let mut state = self.state.lock();
        let busy = |state: &mut State| state.log.is_committing();
        if self.committed.wait_while_for(&mut state, busy, COMMIT_WAIT).timed_out() {
            warn!(partition = %self.name, "its last commit does not end");
        }
    }

    /// Closes the log; whether anything was written for that, to be synced as `sync` says.
    pub(crate) fn close(&self, sync: SyncOn) -> Result<bool, ottla_log::LogError> {
        self.state.lock().log.shut(sync)
    }

    /// Registers a fetch that is to be told when there is something else to read, of its partition
    /// at `index`: at once when there is since it read `version`.
    pub(crate) fn wait_for_data(&self, wait: &Arc<FetchWait>, index: usize, version: u64) -> u64 {
        let id = self.next_wait.fetch_add(1, Ordering::Relaxed);
        let changed = {
            let mut state = self.state.lock();
            state.fetches.push((id, Arc::clone(wait), index));
            state.version != version
        };
        if changed {
            wait.note(index);
        }
        id
    }

    /// Forgets a fetch.
    pub(crate) fn stop_waiting(&self, id: u64) {
        let mut state = self.state.lock();
        if let Some(index) = state.fetches.iter().position(|(waiting, ..)| *waiting == id) {
            state.fetches.swap_remove(index);
        }
        if state.fetches.is_empty() {
            state.fetches = Vec::new();
        }
    }

    pub(super) fn wake_fetches(&self) {
        let mut state = self.state.lock();
        state.version = state.version.wrapping_add(1);
        for (_, wait, index) in &state.fetches {
            wait.note(*index);
        }
    }

    pub(super) fn deliver(&self, effects: Vec<ReplicaEffect<AckToken>>) {
        if effects.iter().any(|e| matches!(e, ReplicaEffect::HighWatermark(_))) {
            self.wake_fetches();
        }
        deliver(effects);
    }
}

impl State {
    /// Tells the producers' states of a new high watermark.
    pub(super) fn heed(&mut self, effects: &[ReplicaEffect<AckToken>]) {
        for effect in effects {
            if let ReplicaEffect::HighWatermark(offset) = effect {
                self.log.producers_mut().on_high_watermark(*offset);
            }
        }
    }

    /// Readers of committed transactions read below it.
    pub(super) fn last_stable(&self) -> Offset {
        let high_watermark = self.replica.high_watermark();
        self.log.producers().last_stable_offset(high_watermark, self.log.log_start())
    }
}

impl CommitTarget for HostedPartition {
    fn take(&self) -> Option<WriteSet> {
        self.state.lock().log.take_pending()
    }

    fn take_for(&self, log_dir: &Arc<LogDir>) -> Option<WriteSet> {
        let mut state = self.state.lock();
        if !Arc::ptr_eq(state.log.log_dir(), log_dir) {
            return None;
        }
        state.log.take_pending()
    }

    fn on_commit(&self, event: &CommitEvent) {
        let mut effects = Vec::new();
        if let CommitEvent::NoSpace(error) = event {
            return self.roll_back(error);
        }
        {
            let mut state = self.state.lock();
            let state = &mut *state;
            state.log.on_commit(event);
            match event {
                CommitEvent::Written { .. } => {
                    state.replica.on_written(state.log.written_end(), &mut effects);
                }
                CommitEvent::Durable { .. } => {
                    state.replica.on_durable(state.log.durable_end(), &mut effects);
                }
                CommitEvent::Failed(_) => state.replica.on_failure(&mut effects),
                CommitEvent::NoSpace(_) => {}
            }
            state.heed(&effects);
        }
        match event {
            CommitEvent::Written { .. } | CommitEvent::NoSpace(_) => {}
            CommitEvent::Durable { .. } => {
                self.committed.notify_all();
            }
            CommitEvent::Failed(_) => {
                self.committed.notify_all();
                self.wake_fetches();
            }
        }
        self.deliver(effects);
    }
}

/// Tells everyone whose wait is over.
fn deliver(effects: Vec<ReplicaEffect<AckToken>>) {
    for effect in effects {
        match effect {
            ReplicaEffect::HighWatermark(_) => {}
            ReplicaEffect::Answer(token, outcome) => token.deliver(outcome),
        }
    }
}
