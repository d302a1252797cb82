//! One shard over its partition: its phases, the records that it appends, and the replies that
//! wait for their commit. Must not know groups, nor how it is found.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use hashbrown::HashMap;
use ottla_groups::{Now, Outcome, Record, Reply, Shard, Token, append_error};
use ottla_partition::AppendContext;
use ottla_protocol::{ErrorCode, Millis, StrBytes, TopicId};
use ottla_records::{BatchBuilder, BatchOptions, BuildError};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tracing::error;

use crate::errors;
use crate::replica::{HostedPartition, Refused};

/// How long after a failure the shard is loaded again, at first and at most.
const RELOAD_FIRST_MS: i64 = 100;
const RELOAD_MAX_MS: i64 = 60_000;

/// One shard, over its partition.
pub(super) struct ShardHost {
    pub(super) partition: Arc<HostedPartition>,
    pub(super) state: Mutex<ShardState>,
    /// A commit failed. Set by the committer, which must not wait for the state's lock.
    broken: AtomicBool,
    /// The partition's count of what it took back, when loading began.
    rollbacks: AtomicU64,
    /// Told when there is something to do for the timer.
    wake: Arc<Notify>,
}

pub(super) struct ShardState {
    pub(super) phase: Phase,
    waiting: HashMap<Token, Waiting, foldhash::fast::FixedState>,
    /// Topics that were deleted while the shard could not be told.
    deleted: Vec<(StrBytes, TopicId)>,
    /// Failures in a row.
    failures: u32,
    serving_since: Millis,
    /// An event is being handled; still set at the next one, it ended in a panic.
    busy: bool,
}

pub(super) enum Phase {
    Loading,
    Serving(Box<Shard>),
    /// An append failed, or the leadership is lost: until it is loaded again nobody is served.
    Unloaded {
        error: ErrorCode,
        /// When to load it again, on the monotonic clock.
        retry_at: Option<Millis>,
    },
}

type Waiting = oneshot::Sender<Reply>;

impl ShardHost {
    /// A shard that is about to be loaded.
    pub(super) fn new(partition: Arc<HostedPartition>, wake: Arc<Notify>) -> Arc<Self> {
        let state = ShardState {
            phase: Phase::Loading,
            waiting: HashMap::default(),
            deleted: Vec::new(),
            failures: 0,
            serving_since: Millis(0),
            busy: false,
        };
        Arc::new(Self {
            partition,
            state: Mutex::new(state),
            broken: AtomicBool::new(false),
            rollbacks: AtomicU64::new(0),
            wake,
        })
    }

    /// The shard is about to be replayed.
    pub(super) fn begin_load(&self) {
        self.rollbacks.store(self.partition.rollbacks(), Ordering::Release);
    }

    /// What was replayed may hold records that are not written yet: should they be taken back, the
    /// shard is loaded again.
    fn watch_load(self: &Arc<Self>) {
        let host = Arc::downgrade(self);
        self.partition.when_committed(move |outcome| {
            if outcome.is_err()
                && let Some(host) = host.upgrade()
            {
                host.broken.store(true, Ordering::Release);
                host.wake.notify_one();
            }
        });
        if self.rollbacks.load(Ordering::Acquire) != self.partition.rollbacks() {
            self.broken.store(true, Ordering::Release);
        }
    }

    /// The shard has been replayed, or could not be.
    pub(super) fn finish_load(self: &Arc<Self>, loaded: Option<Shard>, now: Now) {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Loading) {
            return;
        }
        match loaded {
            Some(shard) => {
                state.phase = Phase::Serving(Box::new(shard));
                state.serving_since = now.mono;
                self.watch_load();
                self.handle(&mut state, now, |shard| shard.loaded(now));
                let deleted = std::mem::take(&mut state.deleted);
                if !deleted.is_empty() {
                    self.handle(&mut state, now, |shard| shard.topics_deleted(&deleted));
                }
            }
            None => state.fail(now),
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Lets an event happen to the shard, when it serves, and does what it asks.
    pub(super) fn handle(
        self: &Arc<Self>,
        state: &mut ShardState,
        now: Now,
        event: impl FnOnce(&mut Shard) -> Outcome,
    ) {
        self.look(state, now);
        let Phase::Serving(shard) = &mut state.phase else { return };
        state.busy = true;
        let before = shard.next_deadline();
        let outcome = event(shard);
        let sooner = shard.next_deadline() != before;
        self.settle(state, outcome, now);
        state.busy = false;
        if sooner {
            self.wake.notify_one();
        }
    }

    /// As [`ShardHost::handle`], for a command whose reply goes to `waiting`. The error when the
    /// shard does not serve.
    pub(super) fn command(
        self: &Arc<Self>,
        now: Now,
        token: Token,
        waiting: Waiting,
        event: impl FnOnce(&mut Shard) -> Outcome,
    ) -> Result<(), ErrorCode> {
        let mut state = self.state.lock();
        self.look(&mut state, now);
        match &state.phase {
            Phase::Loading => return Err(ErrorCode::CoordinatorLoadInProgress),
            Phase::Unloaded { error, .. } => return Err(*error),
            Phase::Serving(_) => {}
        }
        state.waiting.insert(token, waiting);
        self.handle(&mut state, now, event);
        Ok(())
    }

    /// Topics are gone.
    pub(super) fn topics_deleted(self: &Arc<Self>, topics: &[(StrBytes, TopicId)], now: Now) {
        let mut state = self.state.lock();
        self.handle(&mut state, now, |shard| shard.topics_deleted(topics));
        if !matches!(state.phase, Phase::Serving(_)) {
            state.deleted.extend_from_slice(topics);
        }
    }

    /// This broker coordinates the shard no longer.
    pub(super) fn resign(&self) {
        self.state.lock().unload(None);
    }

    /// Ends a shard whose records did not get into the log, or that is in the middle of something:
    /// it is not what its log says.
    pub(super) fn look(&self, state: &mut ShardState, now: Now) {
        if self.broken.swap(false, Ordering::AcqRel) || state.busy {
            state.fail(now);
        }
    }

    /// Does what an outcome asks: appends, applies, and holds the replies until the log is
    /// committed as far as it reaches now.
    fn settle(self: &Arc<Self>, state: &mut ShardState, outcome: Outcome, now: Now) {
        let Outcome { records, replies } = outcome;
        if !records.is_empty()
            && let Err(error) = self.append_all(state, &records, now.wall)
        {
            error!(partition = %self.partition.name, %error, "a group's records were not written");
            for (token, reply) in replies {
                tell(state.waiting.remove(&token), reply.into_refusal(append_error(error)));
            }
            state.fail(now);
            self.wake.notify_one();
            return;
        }
        if replies.is_empty() {
            return;
        }
        let held: Vec<(Option<Waiting>, Reply)> = replies
            .into_iter()
            .map(|(token, reply)| (state.waiting.remove(&token), reply))
            .collect();
        let host = Arc::downgrade(self);
        self.partition.when_committed(move |outcome| {
            let failed = outcome.err().map(errors::replica);
            for (waiting, reply) in held {
                let reply = match failed {
                    None => reply,
                    Some(error) => reply.into_refusal(append_error(error)),
                };
                tell(waiting, reply);
            }
            if failed.is_some()
                && let Some(host) = host.upgrade()
            {
                host.broken.store(true, Ordering::Release);
                host.wake.notify_one();
            }
        });
    }

    /// In as few batches as hold them: one, but for masses of tombstones.
    fn append_all(
        &self,
        state: &mut ShardState,
        records: &[Record],
        now: Millis,
    ) -> Result<(), ErrorCode> {
        let max = self.partition.config().max_message_bytes();
        Record::batches(records, max).try_for_each(|batch| self.append(state, batch, max, now))
    }

    fn append(
        &self,
        state: &mut ShardState,
        records: &[Record],
        max: usize,
        now: Millis,
    ) -> Result<(), ErrorCode> {
        let batch = build(records, now).map_err(|_| ErrorCode::UnknownServerError)?;
        if batch.len() > max {
            return Err(ErrorCode::RecordListTooLarge);
        }
        let batch = BytesMut::from(&batch[..]);
        let appended = self.partition.append(batch, &AppendContext::COORDINATOR, now, None);
        let (appended, _) = appended.map_err(|refused| match refused {
            Refused::Replica(error) => errors::replica(error),
            Refused::Log(error) => errors::append(&error),
        })?;
        let Phase::Serving(shard) = &mut state.phase else { return Ok(()) };
        for (delta, record) in (0..).zip(records) {
            let offset = appended.base_offset.plus(delta);
            shard
                .apply(offset, &record.key, record.value.as_ref())
                .map_err(|_| ErrorCode::UnknownServerError)?;
        }
        Ok(())
    }
}

impl ShardState {
    /// The shard cannot go on; it is loaded again after a while, which grows with each failure.
    fn fail(&mut self, now: Now) {
        let served = now.mono.get().saturating_sub(self.serving_since.get());
        if matches!(self.phase, Phase::Serving(_)) && served > RELOAD_MAX_MS {
            self.failures = 0;
        }
        let wait = RELOAD_FIRST_MS << self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        self.unload(Some(Millis(now.mono.get().saturating_add(wait.min(RELOAD_MAX_MS)))));
    }

    fn unload(&mut self, retry_at: Option<Millis>) {
        let unloaded = Phase::Unloaded { error: ErrorCode::NotCoordinator, retry_at };
        let phase = std::mem::replace(&mut self.phase, unloaded);
        // After a panic the shard is not asked anything any more.
        if let Phase::Serving(mut shard) = phase
            && !std::mem::take(&mut self.busy)
        {
            for (token, reply) in shard.unload() {
                tell(self.waiting.remove(&token), reply);
            }
        }
        self.busy = false;
        // Whoever still waits sees that nobody will answer.
        self.waiting.clear();
    }
}

/// A client that has gone is not told.
fn tell(waiting: Option<Waiting>, reply: Reply) {
    if let Some(waiting) = waiting {
        let _gone = waiting.send(reply);
    }
}

fn build(records: &[Record], now: Millis) -> Result<Vec<u8>, BuildError> {
    let mut builder = BatchBuilder::new(BatchOptions::default())?;
    for record in records {
        let value: Option<&Bytes> = record.value.as_ref();
        builder.append(now, Some(&record.key), value.map(AsRef::as_ref), &[])?;
    }
    builder.build()
}
