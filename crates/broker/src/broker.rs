//! Starting and stopping the broker: listeners, workers, partitions, coordinators, the
//! registration with the controller. Must not know requests.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use ottla_controller::ControllerHandle;
use ottla_env::{Clock, Rng};
use ottla_log::{LogDir, LogError};
use ottla_metadata::configs::{BrokerProperties, Effective};
use ottla_protocol::{Millis, NodeId};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tracing::{error, warn};

use crate::admission::{Admission, AdmissionLimits};
use crate::cleaner;
use crate::coordinator::{self, GroupCoordinator};
use crate::fetch_sessions::FetchSessions;
use crate::limits::{Limits, QueuedBytes};
use crate::listener::{self, Accepted, Accepting, BindError, BoundListener, ListenerConfig};
use crate::metadata_follower::MetadataFollower;
use crate::producer_ids::ProducerIds;
use crate::registration::{self, RegistrationError};
use crate::replica::{Partitions, PartitionsStart, start_moving};
use crate::settings::{self, Settings};
use crate::shared::{Identity, Shared};
use crate::space::{Space, SpaceSettings};
use crate::storage_upkeep::{self, StorageRequests};
use crate::upkeep;
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

/// How long a start waits for the logs: a broker with few of them has all when it says that it is
/// ready, and one with many is not held up.
const OPEN_PATIENCE: Duration = Duration::from_millis(500);

/// How far a broker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was looked at.
    Starting,
    /// Its logs are being opened; the epoch of the last clean stop.
    Opened(i64),
    /// It is registered.
    Registered,
    Stopped,
}

/// A running broker. Stops when it is dropped.
pub struct Broker {
    shared: Arc<Shared>,
    addresses: Vec<(String, SocketAddr)>,
    stopped: watch::Sender<bool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    stage: Mutex<Stage>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Broker {
    /// Binds the listeners, begins to open the logs, registers with the controller, and serves.
    /// When it returns, clients are answered; partitions whose logs take longer to open than a
    /// moment follow ([`Broker::wait_until_open`]).
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub fn start(start: BrokerStart) -> Result<Self, StartError> {
        let image = start.controller.image();
        let effective =
            Effective { image: &image, node: start.node, properties: &start.properties };
        let backlog = settings::listen_backlog(&effective);
        let mut bound = Vec::with_capacity(start.listeners.len());
        for listener in &start.listeners {
            bound.push(listener::bind(listener, backlog)?);
        }
        let addresses = bound.iter().map(|b| (b.config.name.clone(), b.address)).collect();
        let broker = Self {
            shared: build_shared(&start, &effective)?,
            addresses,
            stopped: watch::Sender::new(false),
            threads: Mutex::default(),
            stage: Mutex::new(Stage::Starting),
        };
        // When it fails, the broker is dropped, and with that stopped.
        broker.join_cluster(&start.log_dirs)?;
        broker.serve(&start, bound)?;
        broker.wait_until_open(Some(OPEN_PATIENCE));
        Ok(broker)
    }

    /// Waits until every partition that this broker has now is open, or cannot be; at most
    /// `limit`. Whether it is so.
    pub fn wait_until_open(&self, limit: Option<Duration>) -> bool {
        self.shared.partitions.wait_until_open(limit)
    }

    /// Opens the logs and registers.
    fn join_cluster(&self, log_dirs: &[Arc<LogDir>]) -> Result<(), StartError> {
        let follower = MetadataFollower::new(Arc::clone(&self.shared));
        let previous_epoch = follower.open_logs(log_dirs)?;
        *self.stage.lock() = Stage::Opened(previous_epoch);
        registration::register(&self.shared, &self.addresses, log_dirs, previous_epoch)?;
        *self.stage.lock() = Stage::Registered;
        follower.subscribe();
        Ok(())
    }

    /// Starts the threads.
    fn serve(&self, start: &BrokerStart, bound: Vec<BoundListener>) -> std::io::Result<()> {
        let queued = QueuedBytes::new(&start.limits);
        let mut senders = Vec::new();
        let mut receivers = Vec::new();
        for _ in 0..start.workers.max(1) {
            let (sender, receiver) = mpsc::unbounded_channel();
            senders.push(sender);
            receivers.push(receiver);
        }
        let mut also = Some(self.broker_tasks(bound, senders));
        for (index, accepted) in receivers.into_iter().enumerate() {
            let thread = worker::start(WorkerStart {
                index,
                shared: Arc::clone(&self.shared),
                limits: start.limits.clone(),
                queued: queued.clone(),
                accepted,
                stopped: self.stopped.subscribe(),
                also: also.take(),
            })?;
            self.threads.lock().push(thread);
        }
        self.threads.lock().push(registration::start_heartbeat(Arc::clone(&self.shared))?);
        self.threads.lock().push(upkeep::start(Arc::clone(&self.shared))?);
        self.threads.lock().push(cleaner::start(Arc::clone(&self.shared))?);
        self.threads.lock().push(start_moving(Arc::clone(&self.shared))?);
        self.threads.lock().push(storage_upkeep::start(Arc::clone(&self.shared))?);
        Ok(())
    }

    /// The tasks that belong to the whole broker.
    fn broker_tasks(
        &self,
        bound: Vec<BoundListener>,
        workers: Vec<mpsc::UnboundedSender<Accepted>>,
    ) -> Box<dyn FnOnce() + Send> {
        let (stopped, shared) = (self.stopped.subscribe(), Arc::clone(&self.shared));
        Box::new(move || {
            for listener in bound {
                let name = listener.config.name.clone();
                let admission = Arc::clone(&shared.admission);
                match Accepting::new(listener, admission, workers.clone(), stopped.clone()) {
                    Ok(accepting) => worker::keep_running("accepting connections", move || {
                        Rc::clone(&accepting).run()
                    }),
                    Err(error) => error!(listener = name, %error, "it cannot be watched"),
                }
            }
            let groups = Arc::clone(&shared.groups);
            worker::keep_running("the groups' timer", move || {
                coordinator::run_timer(Arc::clone(&groups))
            });
        })
    }

    /// The listeners' names and the addresses they are bound to.
    #[must_use]
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.addresses
    }

    /// Stops: no connection is served any more, what was appended is on disk, and the next start
    /// need not look at the logs. The controller must still be running. A broker that has stopped
    /// stays stopped.
    ///
    /// # Errors
    /// What a log directory failed with; the others are stopped cleanly all the same.
    pub fn stop(&self) -> Result<(), LogError> {
        let mut stage = self.stage.lock();
        let reached = std::mem::replace(&mut *stage, Stage::Stopped);
        if reached == Stage::Stopped {
            return Ok(());
        }
        self.shared.stopping.store(true, Ordering::Release);
        self.stopped.send_replace(true);
        for thread in self.threads.lock().drain(..) {
            thread.thread().unpark();
            if thread.join().is_err() {
                warn!("a thread of the broker has panicked");
            }
        }
        let clean = match reached {
            Stage::Starting | Stage::Stopped => None,
            Stage::Opened(previous_epoch) => Some(previous_epoch),
            Stage::Registered => {
                let epoch = self.shared.broker_epoch();
                registration::leave(&self.shared);
                Some(epoch)
            }
        };
        let failures = self.shared.partitions.stop(clean);
        match failures.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            warn!(%error, "the broker did not stop cleanly");
        }
    }
}

fn build_shared(start: &BrokerStart, effective: &Effective<'_>) -> Result<Arc<Shared>, StartError> {
    let settings = Settings::read(effective);
    let partitions = Partitions::start(PartitionsStart {
        node: start.node,
        properties: start.properties.clone(),
        dirs: start.log_dirs.clone(),
        rng: Arc::clone(&start.rng),
        recovery_threads: settings.recovery_threads,
        whole_from: settings.whole_from,
    })?;
    let space = SpaceSettings::read(effective);
    let storage: Arc<StorageRequests> = Arc::default();
    storage.watch(&start.log_dirs);
    let shared = Shared {
        identity: Identity { node: start.node, cluster_id: start.cluster_id.clone() },
        listeners: start.listeners.clone(),
        properties: start.properties.clone(),
        admission: Admission::new(AdmissionLimits::read(effective)),
        image: ArcSwap::from(start.controller.image()),
        controller: start.controller.clone(),
        partitions,
        space: start.log_dirs.iter().map(|dir| Space::new(Arc::clone(dir), space)).collect(),
        storage,
        log_dir_ids: OnceLock::new(),
        groups: GroupCoordinator::new(ottla_groups::Config::default(), Arc::clone(&start.clock)),
        sessions: FetchSessions::new(settings.fetch_session_slots, Millis(120_000)),
        settings,
        clock: Arc::clone(&start.clock),
        rng: Arc::clone(&start.rng),
        producer_ids: ProducerIds::default(),
        stopping: AtomicBool::new(false),
    };
    Ok(Arc::new(shared))
}
