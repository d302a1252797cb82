//! Starting and stopping the broker: listeners, workers, partitions, coordinators, the
//! registration with the controller. Must not know requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use ottla_controller::ControllerHandle;
use ottla_env::{Clock, Rng};
use ottla_log::{LogDir, LogError};
use ottla_metadata::configs::BrokerProperties;
use ottla_protocol::{Millis, NodeId};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

use crate::coordinator::{self, GroupCoordinator};
use crate::fetch_sessions::FetchSessions;
use crate::limits::{ConnectionCounts, Limits, QueuedBytes};
use crate::listener::{self, BindError, ListenerConfig};
use crate::metadata_follower::MetadataFollower;
use crate::producer_ids::ProducerIds;
use crate::registration::{self, RegistrationError};
use crate::replica::{Partitions, PartitionsStart};
use crate::shared::{Identity, Shared};
use crate::worker::{self, WorkerStart};

/// What a broker is started with.
pub struct BrokerStart {
    /// This node.
    pub node: NodeId,
    /// The cluster's id.
    pub cluster_id: String,
    /// Where to listen.
    pub listeners: Vec<ListenerConfig>,
    /// Worker threads; at least one.
    pub workers: usize,
    /// Limits of the network side.
    pub limits: Limits,
    /// The settings the node was started with.
    pub properties: BrokerProperties,
    /// The log directories, locked for this process.
    pub log_dirs: Vec<Arc<LogDir>>,
    /// The controller of this cluster.
    pub controller: ControllerHandle,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
}

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A log directory cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A thread or an event loop cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
    /// The controller refuses this broker.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
}

/// A running broker.
pub struct Broker {
    shared: Arc<Shared>,
    addresses: Vec<(String, SocketAddr)>,
    stopped: watch::Sender<bool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Broker {
    /// Binds the listeners, opens the logs, registers with the controller, and serves. When it
    /// returns, clients are answered.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub fn start(start: BrokerStart) -> Result<Self, StartError> {
        let mut bound = Vec::with_capacity(start.listeners.len());
        for listener in &start.listeners {
            bound.push(listener::bind(listener)?);
        }
        let addresses: Vec<(String, SocketAddr)> =
            bound.iter().map(|b| (b.config.name.clone(), b.address)).collect();
        let shared = build_shared(&start)?;
        let follower = MetadataFollower::new(Arc::clone(&shared));
        let previous_epoch = follower.open_logs(&start.log_dirs)?;
        registration::register(&shared, &addresses, &start.log_dirs, previous_epoch)?;
        follower.subscribe();

        let (stopped, stop_seen) = watch::channel(false);
        let counts = ConnectionCounts::new(&start.limits);
        let queued = QueuedBytes::new(&start.limits);
        let mut senders = Vec::new();
        let mut receivers = Vec::new();
        for _ in 0..start.workers.max(1) {
            let (sender, receiver) = mpsc::unbounded_channel();
            senders.push(sender);
            receivers.push(receiver);
        }
        let accept = {
            let (stopped, shared) = (stop_seen.clone(), Arc::clone(&shared));
            Box::new(move || {
                for listener in bound {
                    let accepting = listener::accept(
                        listener,
                        Arc::clone(&counts),
                        senders.clone(),
                        stopped.clone(),
                    );
                    tokio::task::spawn_local(accepting);
                }
                tokio::task::spawn_local(coordinator::run_timer(Arc::clone(&shared.groups)));
                tokio::task::spawn_local(registration::heartbeat(Arc::clone(&shared)));
            })
        };
        let mut also: Option<Box<dyn FnOnce() + Send>> = Some(accept);
        let mut threads = Vec::new();
        for (index, accepted) in receivers.into_iter().enumerate() {
            threads.push(worker::start(WorkerStart {
                index,
                shared: Arc::clone(&shared),
                limits: start.limits.clone(),
                queued: queued.clone(),
                accepted,
                stopped: stop_seen.clone(),
                also: also.take(),
            })?);
        }
        threads.push(start_upkeep(Arc::clone(&shared))?);
        Ok(Self { shared, addresses, stopped, threads: Mutex::new(threads) })
    }

    /// The listeners' names and the addresses they are bound to.
    #[must_use]
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.addresses
    }

    /// Stops: no connection is served any more, what was appended is on disk, and the next start
    /// need not look at the logs. The controller must still be running.
    ///
    /// # Errors
    /// What a log directory failed with; the others are stopped cleanly all the same.
    pub fn stop(&self) -> Result<(), LogError> {
        self.shared.stopping.store(true, Ordering::Release);
        let _no_workers_left = self.stopped.send(true);
        for thread in self.threads.lock().drain(..) {
            thread.thread().unpark();
            if thread.join().is_err() {
                warn!("a thread of the broker has panicked");
            }
        }
        let epoch = self.shared.broker_epoch();
        registration::leave(&self.shared);
        let failures = self.shared.partitions.stop(epoch);
        match failures.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }
}

fn build_shared(start: &BrokerStart) -> Result<Arc<Shared>, StartError> {
    let partitions = Partitions::start(PartitionsStart {
        node: start.node,
        properties: start.properties.clone(),
        dirs: start.log_dirs.clone(),
        rng: Arc::clone(&start.rng),
    })?;
    let image = start.controller.image();
    let shared = Shared {
        identity: Identity { node: start.node, cluster_id: start.cluster_id.clone() },
        listeners: start.listeners.clone(),
        properties: start.properties.clone(),
        image: ArcSwap::from(image),
        controller: start.controller.clone(),
        partitions,
        groups: GroupCoordinator::new(ottla_groups::Config::default(), Arc::clone(&start.clock)),
        sessions: FetchSessions::new(1000, Millis(120_000)),
        clock: Arc::clone(&start.clock),
        rng: Arc::clone(&start.rng),
        producer_ids: ProducerIds::default(),
        stopping: AtomicBool::new(false),
    };
    Ok(Arc::new(shared))
}

/// How often checkpoints are written (`replica.high.watermark.checkpoint.interval.ms`).
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);
/// How often idle partitions are looked at.
const TICK_INTERVAL: Duration = Duration::from_secs(60);

/// The thread that writes checkpoints and lets idle partitions give memory back.
fn start_upkeep(shared: Arc<Shared>) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("ottla-upkeep".to_owned()).spawn(move || {
        let mut passes = 0_u32;
        loop {
            std::thread::park_timeout(CHECKPOINT_INTERVAL);
            if shared.is_stopping() {
                return;
            }
            shared.partitions.checkpoint();
            shared.partitions.remove_due();
            passes = passes.wrapping_add(1);
            if passes.is_multiple_of(12) {
                debug!(interval = ?TICK_INTERVAL, "idle partitions are looked at");
                shared.partitions.tick(shared.now());
            }
        }
    })
}
