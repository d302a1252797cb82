//! The shards of this broker and the way to them: a command goes to its shard, the shard's
//! records to its partition, and its replies out when those are committed. Must not know groups.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use hashbrown::HashMap;
use ottla_env::Clock;
use ottla_groups::{Command, Config, Now, Outcome, Record, Reply, Shard, Token, append_error};
use ottla_partition::AppendContext;
use ottla_protocol::{ErrorCode, Millis, StrBytes, TopicId};
use ottla_records::{BatchBuilder, BatchOptions, BuildError};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, oneshot};
use tracing::error;

use super::loader;
use crate::errors;
use crate::replica::{HostedPartition, Refused};

/// All shards of this broker, by partition of the offsets topic.
pub(crate) struct GroupCoordinator {
    shards: RwLock<BTreeMap<i32, Arc<ShardHost>>>,
    config: RwLock<Config>,
    clock: Arc<dyn Clock>,
    next_token: AtomicU64,
    /// Told when a deadline may have come nearer.
    pub(super) deadline_changed: Notify,
}

/// One shard, over its partition.
pub(crate) struct ShardHost {
    pub(super) partition: Arc<HostedPartition>,
    pub(super) state: Mutex<ShardState>,
}

pub(super) struct ShardState {
    phase: Phase,
    waiting: HashMap<Token, Waiting, foldhash::fast::FixedState>,
}

enum Phase {
    Loading,
    Serving(Box<Shard>),
    /// An append failed, or the leadership is lost: until it is loaded again nobody is served.
    Unloaded(ErrorCode),
}

type Waiting = oneshot::Sender<Reply>;

impl GroupCoordinator {
    pub(crate) fn new(config: Config, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            shards: RwLock::default(),
            config: RwLock::new(config),
            clock,
            next_token: AtomicU64::new(0),
            deadline_changed: Notify::new(),
        })
    }

    /// From now on other settings hold.
    pub(crate) fn set_config(&self, config: Config) {
        for host in self.hosts() {
            if let Phase::Serving(shard) = &mut host.state.lock().phase {
                shard.set_config(config.clone());
            }
        }
        *self.config.write() = config;
    }

    /// This broker leads a partition of the offsets topic: its shard is loaded.
    pub(crate) fn on_leader(self: &Arc<Self>, partition: Arc<HostedPartition>) {
        let index = partition.name.partition;
        let state = ShardState { phase: Phase::Loading, waiting: HashMap::default() };
        let host = Arc::new(ShardHost { partition, state: Mutex::new(state) });
        if let Some(old) = self.shards.write().insert(index, Arc::clone(&host)) {
            old.unload(ErrorCode::NotCoordinator);
        }
        self.load(&host);
    }

    /// This broker leads a partition no longer.
    pub(crate) fn on_resign(&self, index: i32) {
        if let Some(old) = self.shards.write().remove(&index) {
            old.unload(ErrorCode::NotCoordinator);
        }
    }

    /// Replays the shard's partition; at once when it is empty, else on a thread of its own.
    fn load(self: &Arc<Self>, host: &Arc<ShardHost>) {
        let (ends, _) = host.partition.ends();
        let config = self.config.read().clone();
        if ends.log_start == ends.log_end {
            return self.finish_load(host, Ok(Shard::new(config)));
        }
        let (this, host) = (Arc::clone(self), Arc::clone(host));
        let thread = std::thread::Builder::new().name("ottla-group-load".to_owned());
        let spawned = thread.spawn(move || {
            let loaded = loader::load(&host.partition, Shard::new(config));
            this.finish_load(&host, loaded);
        });
        if let Err(error) = spawned {
            error!(%error, "no thread to load a group coordinator");
        }
    }

    fn finish_load(&self, host: &Arc<ShardHost>, loaded: Result<Shard, loader::LoadFailure>) {
        let mut state = host.state.lock();
        if !matches!(state.phase, Phase::Loading) {
            return;
        }
        match loaded {
            Ok(mut shard) => {
                let outcome = shard.loaded(self.now());
                state.phase = Phase::Serving(Box::new(shard));
                host.settle(&mut state, outcome, self.now().wall);
            }
            Err(failure) => {
                error!(partition = %host.partition.name, %failure, "the groups cannot be loaded");
                state.phase = Phase::Unloaded(ErrorCode::NotCoordinator);
            }
        }
        drop(state);
        self.deadline_changed.notify_one();
    }

    /// Sends a command to the shard of partition `index` of the offsets topic.
    pub(crate) async fn submit(self: &Arc<Self>, index: i32, command: Command) -> Reply {
        let host = self.shards.read().get(&index).map(Arc::clone);
        let Some(host) = host else { return command.refuse(ErrorCode::NotCoordinator) };
        let (sender, receiver) = oneshot::channel();
        let refusal = {
            let mut state = host.state.lock();
            match &mut state.phase {
                Phase::Loading => Some(ErrorCode::CoordinatorLoadInProgress),
                Phase::Unloaded(error) => Some(*error),
                Phase::Serving(shard) => {
                    let token = Token(self.next_token.fetch_add(1, Ordering::Relaxed));
                    let before = shard.next_deadline();
                    let outcome = shard.handle(self.now(), token, command.clone());
                    let after = shard.next_deadline();
                    state.waiting.insert(token, sender);
                    host.settle(&mut state, outcome, self.now().wall);
                    if after != before {
                        self.deadline_changed.notify_one();
                    }
                    None
                }
            }
        };
        if let Some(error) = refusal {
            return command.refuse(error);
        }
        match receiver.await {
            Ok(reply) => reply,
            Err(_) => command.refuse(ErrorCode::NotCoordinator),
        }
    }

    /// The shards that are served here, by partition of the offsets topic.
    pub(crate) fn indexes(&self) -> Vec<i32> {
        self.shards.read().keys().copied().collect()
    }

    /// Topics are gone: so are their offsets.
    pub(crate) fn topics_deleted(&self, topics: &[(StrBytes, TopicId)]) {
        let now = self.now();
        for host in self.hosts() {
            let mut state = host.state.lock();
            if let Phase::Serving(shard) = &mut state.phase {
                let outcome = shard.topics_deleted(topics);
                host.settle(&mut state, outcome, now.wall);
            }
        }
    }

    /// Lets every shard do what is due; gives the next deadline, on the monotonic clock.
    pub(super) fn tick(&self) -> Option<Millis> {
        let now = self.now();
        let mut next: Option<Millis> = None;
        for host in self.hosts() {
            let mut state = host.state.lock();
            let Phase::Serving(shard) = &mut state.phase else { continue };
            if shard.next_deadline().is_some_and(|at| at <= now.mono) {
                let outcome = shard.tick(now);
                host.settle(&mut state, outcome, now.wall);
            }
            if let Phase::Serving(shard) = &state.phase {
                let deadline = shard.next_deadline();
                next = match (next, deadline) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            }
        }
        next
    }

    fn hosts(&self) -> Vec<Arc<ShardHost>> {
        self.shards.read().values().map(Arc::clone).collect()
    }

    pub(super) fn now(&self) -> Now {
        let mono = i64::try_from(self.clock.monotonic_ns() / 1_000_000).unwrap_or(i64::MAX);
        Now { wall: Millis(self.clock.wall_ms()), mono: Millis(mono) }
    }
}

impl ShardHost {
    /// Does what an outcome asks: appends, applies, and holds the replies until the log is
    /// committed as far as it reaches now.
    fn settle(self: &Arc<Self>, state: &mut ShardState, outcome: Outcome, now: Millis) {
        let Outcome { records, replies } = outcome;
        if !records.is_empty()
            && let Err(error) = self.append_all(state, &records, now)
        {
            error!(partition = %self.partition.name, %error, "a group's records were not written");
            let replies = replies
                .into_iter()
                .map(|(token, reply)| (token, reply.into_refusal(append_error(error))));
            state.answer(replies.collect());
            state.unload(ErrorCode::NotCoordinator);
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
                && let Some(mut state) = host.state.try_lock()
            {
                state.unload(ErrorCode::NotCoordinator);
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
        Record::batches(records, max).try_for_each(|batch| self.append(state, batch, now))
    }

    fn append(
        &self,
        state: &mut ShardState,
        records: &[Record],
        now: Millis,
    ) -> Result<(), ErrorCode> {
        let batch = build(records, now).map_err(|_| ErrorCode::UnknownServerError)?;
        let max = self.partition.config().max_message_bytes();
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

    fn unload(&self, error: ErrorCode) {
        self.state.lock().unload(error);
    }
}

impl ShardState {
    fn answer(&mut self, replies: Vec<(Token, Reply)>) {
        for (token, reply) in replies {
            tell(self.waiting.remove(&token), reply);
        }
    }

    fn unload(&mut self, error: ErrorCode) {
        let phase = std::mem::replace(&mut self.phase, Phase::Unloaded(error));
        if let Phase::Serving(mut shard) = phase {
            let replies = shard.unload();
            self.answer(replies);
        }
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
