//! The shards of this broker and the way to them: a command goes to its shard, a partition that
//! is led or lost brings or ends one. Must not know groups.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ottla_env::Clock;
use ottla_groups::{Command, Config, Now, Reply, Shard, Token};
use ottla_protocol::{ErrorCode, Millis, StrBytes, TopicId};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, oneshot};
use tracing::error;

use super::loader;
use super::shard_host::{Phase, ShardHost};
use crate::replica::HostedPartition;

/// Shards that are loaded at a time: each reads its partition through a buffer of megabytes.
const LOADERS_MAX: usize = 4;

/// All shards of this broker, by partition of the offsets topic.
pub(crate) struct GroupCoordinator {
    shards: RwLock<BTreeMap<i32, Arc<ShardHost>>>,
    /// Partitions of the offsets topic whose logs are not open yet.
    expected: RwLock<BTreeSet<i32>>,
    config: RwLock<Config>,
    clock: Arc<dyn Clock>,
    next_token: AtomicU64,
    loads: Mutex<Loads>,
    /// Told when a deadline may have come nearer.
    pub(super) wake: Arc<Notify>,
}

/// Shards to be loaded, and the threads that do so.
#[derive(Default)]
struct Loads {
    queue: VecDeque<Arc<ShardHost>>,
    running: usize,
}

impl GroupCoordinator {
    pub(crate) fn new(config: Config, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            shards: RwLock::default(),
            expected: RwLock::default(),
            config: RwLock::new(config),
            clock,
            next_token: AtomicU64::new(0),
            loads: Mutex::default(),
            wake: Arc::default(),
        })
    }

    /// From now on other settings hold.
    pub(crate) fn set_config(&self, config: Config) {
        // First for those that are loaded meanwhile, which take them when they are.
        *self.config.write() = config.clone();
        for host in self.hosts() {
            if let Phase::Serving(shard) = &mut host.state.lock().phase {
                shard.set_config(config.clone());
            }
        }
    }

    /// A partition of the offsets topic is about to be opened here: who asks for its groups
    /// meanwhile is told to wait.
    pub(crate) fn expect(&self, index: i32) {
        self.expected.write().insert(index);
    }

    /// This broker leads a partition of the offsets topic: its shard is loaded.
    pub(crate) fn on_leader(self: &Arc<Self>, partition: Arc<HostedPartition>) {
        let index = partition.name.partition;
        let host = ShardHost::new(partition, Arc::clone(&self.wake));
        let old = self.shards.write().insert(index, Arc::clone(&host));
        if let Some(old) = old {
            old.resign();
        }
        self.expected.write().remove(&index);
        self.load(host);
    }

    /// This broker leads a partition no longer, or will not.
    pub(crate) fn on_resign(&self, index: i32) {
        self.expected.write().remove(&index);
        let old = self.shards.write().remove(&index);
        if let Some(old) = old {
            old.resign();
        }
    }

    /// Replays the shard's partition; at once when it is empty, else on another thread.
    fn load(self: &Arc<Self>, host: Arc<ShardHost>) {
        host.begin_load();
        let (ends, _) = host.partition.ends();
        if ends.log_start == ends.log_end {
            let shard = Shard::new(self.config.read().clone());
            return host.finish_load(Some(shard), self.now());
        }
        let start = {
            let mut loads = self.loads.lock();
            loads.queue.push_back(host);
            let start = loads.running < LOADERS_MAX;
            loads.running += usize::from(start);
            start
        };
        if !start {
            return;
        }
        let this = Arc::clone(self);
        let thread = std::thread::Builder::new().name("ottla-group-load".to_owned());
        if let Err(error) = thread.spawn(move || this.load_queued()) {
            error!(%error, "no thread to load a group coordinator");
            let unloaded = {
                let mut loads = self.loads.lock();
                loads.running -= 1;
                // The threads that there are go on; without any, it is tried again later.
                if loads.running == 0 { std::mem::take(&mut loads.queue) } else { VecDeque::new() }
            };
            for host in unloaded {
                host.finish_load(None, self.now());
            }
        }
    }

    /// A loading thread's work: until none is left.
    fn load_queued(self: &Arc<Self>) {
        loop {
            let host = {
                let mut loads = self.loads.lock();
                let Some(host) = loads.queue.pop_front() else {
                    loads.running -= 1;
                    return;
                };
                host
            };
            let config = self.config.read().clone();
            let replay = || loader::load(&host.partition, Shard::new(config));
            // Not unwind-safe things are dropped with the shard that was being loaded.
            let loaded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(replay));
            let shard = match loaded {
                Ok(Ok(mut shard)) => {
                    shard.set_config(self.config.read().clone());
                    Some(shard)
                }
                Ok(Err(failure)) => {
                    let partition = &host.partition.name;
                    error!(%partition, %failure, "the groups cannot be loaded");
                    None
                }
                Err(_panic) => None,
            };
            host.finish_load(shard, self.now());
        }
    }

    /// Sends a command to the shard of partition `index` of the offsets topic.
    pub(crate) async fn submit(self: &Arc<Self>, index: i32, command: Command) -> Reply {
        let host = self.shards.read().get(&index).map(Arc::clone);
        let Some(host) = host else {
            return command.refuse(match self.expected.read().contains(&index) {
                true => ErrorCode::CoordinatorLoadInProgress,
                false => ErrorCode::NotCoordinator,
            });
        };
        let (sender, receiver) = oneshot::channel();
        let token = Token(self.next_token.fetch_add(1, Ordering::Relaxed));
        let (now, given) = (self.now(), command.clone());
        if let Err(error) =
            host.command(now, token, sender, |shard| shard.handle(now, token, given))
        {
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
        for host in self.hosts() {
            host.topics_deleted(topics, self.now());
        }
    }

    /// Lets every shard do what is due, and loads those again that had failed; gives the next
    /// deadline, on the monotonic clock.
    pub(super) fn tick(self: &Arc<Self>) -> Option<Millis> {
        let mut next: Option<Millis> = None;
        for host in self.hosts() {
            let (deadline, reload) = self.tick_one(&host);
            if reload {
                self.load(host);
            }
            next = next.into_iter().chain(deadline).min();
        }
        next
    }

    fn tick_one(&self, host: &Arc<ShardHost>) -> (Option<Millis>, bool) {
        let now = self.now();
        let mut state = host.state.lock();
        host.look(&mut state, now);
        if let Phase::Serving(shard) = &state.phase
            && shard.next_deadline().is_some_and(|at| at <= now.mono)
        {
            host.handle(&mut state, now, |shard| shard.tick(now));
        }
        match &state.phase {
            Phase::Loading => (None, false),
            Phase::Serving(shard) => (shard.next_deadline(), false),
            Phase::Unloaded { retry_at, .. } => match *retry_at {
                Some(at) if at <= now.mono && host.partition.is_leader() => {
                    state.phase = Phase::Loading;
                    (None, true)
                }
                Some(at) if at > now.mono => (Some(at), false),
                // The partition is led no longer, or has failed for good.
                Some(_) | None => (None, false),
            },
        }
    }

    fn hosts(&self) -> Vec<Arc<ShardHost>> {
        self.shards.read().values().map(Arc::clone).collect()
    }

    pub(super) fn now(&self) -> Now {
        let mono = i64::try_from(self.clock.monotonic_ns() / 1_000_000).unwrap_or(i64::MAX);
        Now { wall: Millis(self.clock.wall_ms()), mono: Millis(mono) }
    }
}
