//! Owns the parts of a running node and the order in which they start and stop.
//! Must not know what the parts do.

use crate::config::{Config, Listener, ListenerRole};
use crate::directories::{Directory, FormatRequest, Unusable, prepare};
use crate::error::NodeError;
use crate::failure::{failed, of_broker, of_controller, of_log, while_running};
use crate::world::World;
use ottla_broker::{Broker, BrokerStart, ListenerConfig};
use ottla_controller::{ControllerHandle, ControllerOptions, Endpoint};
use ottla_log::LogDir;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Notify;
use tracing::{info, warn};

/// What a node says of itself when it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The addresses its listeners are bound to, in the order of the settings.
    pub addresses: Vec<SocketAddr>,
    /// The data directories as the settings name them.
    pub log_dirs: Vec<PathBuf>,
    /// Its id.
    pub node_id: i32,
    /// The cluster's id.
    pub cluster_id: String,
}

/// A running node.
pub struct Node {
    broker: Broker,
    controller: ControllerHandle,
    log_dirs: Vec<Arc<LogDir>>,
    metadata_dir: PathBuf,
    ready: Ready,
    /// Told when one of them fails.
    watch: Arc<Notify>,
}

impl Node {
    /// Starts everything; blocks until clients are answered.
    ///
    /// # Errors
    /// Every [`NodeError`]; nothing is left running then.
    pub fn start(config: Config) -> Result<Self, NodeError> {
        let world = World::real();
        let request = FormatRequest { ignore_formatted: true, ..FormatRequest::default() };
        let directories = prepare(&world, &config, &request, Unusable::Offline)?;
        let metadata = directories.iter().find(|one| one.log_dir.path() == config.metadata_log_dir);
        let Some(meta) = metadata.and_then(|one| one.meta.clone()) else {
            return Err(failed("starting", "there is no metadata directory"));
        };
        let mut properties = config.properties.clone();
        properties.set("node.id", &meta.node_id.to_string());
        let controller = ottla_controller::start(ControllerOptions {
            disk: Arc::clone(&world.disk),
            clock: Arc::clone(&world.clock),
            rng: Arc::clone(&world.rng),
            metadata_dir: config.metadata_log_dir.clone(),
            meta: meta.clone(),
            endpoints: controller_endpoints(&config),
            properties: properties.clone(),
            log: config.metadata_log,
        })
        .map_err(|error| of_controller(&config.metadata_log_dir, error))?;
        let log_dirs: Vec<Arc<LogDir>> =
            directories.into_iter().map(|Directory { log_dir, .. }| log_dir).collect();
        let started = Broker::start(BrokerStart {
            node: meta.node_id,
            cluster_id: meta.cluster_id.clone(),
            listeners: client_listeners(&config),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            limits: config.limits,
            properties,
            log_dirs: log_dirs.clone(),
            controller: controller.clone(),
            clock: world.clock,
            rng: world.rng,
        });
        let broker = match started {
            Ok(broker) => broker,
            Err(error) => {
                controller.stop();
                return Err(of_broker(&config.metadata_log_dir, error));
            }
        };
        let ready = Ready {
            addresses: broker.addresses().iter().map(|(_, address)| *address).collect(),
            log_dirs: config.log_dirs,
            node_id: meta.node_id.get(),
            cluster_id: meta.cluster_id,
        };
        info!(node = ready.node_id, cluster = ready.cluster_id, "serving");
        let watch = watch(&controller, &log_dirs);
        let metadata_dir = config.metadata_log_dir;
        Ok(Self { broker, controller, log_dirs, metadata_dir, ready, watch })
    }

    /// What it says of itself.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Waits until the node can serve no more: the controller, the directory with the metadata or
    /// every data directory has failed.
    pub async fn failed(&self) -> NodeError {
        loop {
            if let Some(error) = self.failure() {
                return error;
            }
            self.watch.notified().await;
        }
    }

    fn failure(&self) -> Option<NodeError> {
        if let Some(why) = self.controller.failure() {
            return Some(while_running(&self.metadata_dir, why.to_string()));
        }
        // As in Kafka the directory with the metadata takes the node with it.
        let metadata = self.log_dirs.iter().find(|dir| dir.path() == self.metadata_dir);
        if let Some(why) = metadata.and_then(|dir| dir.failure()) {
            return Some(while_running(&self.metadata_dir, why.to_string()));
        }
        let first = self.log_dirs.first()?;
        let failed = |dir: &Arc<LogDir>| dir.failure().is_some();
        let why = first.failure().filter(|_| self.log_dirs.iter().all(failed))?;
        Some(while_running(first.path(), why.to_string()))
    }

    /// Stops everything; blocks until the data is at rest.
    ///
    /// # Errors
    /// What failed on the way; as much as possible is stopped cleanly all the same.
    pub fn stop(self) -> Result<(), NodeError> {
        let dir = self.ready.log_dirs.first().cloned().unwrap_or_default();
        let stopped = self.broker.stop().map_err(|error| of_log(&dir, error));
        self.controller.stop();
        stopped
    }
}

/// What is told of each failure.
fn watch(controller: &ControllerHandle, log_dirs: &[Arc<LogDir>]) -> Arc<Notify> {
    let watch = Arc::new(Notify::new());
    let tell = || {
        let watch = Arc::clone(&watch);
        move |_: &str| watch.notify_one()
    };
    controller.on_failure(tell());
    log_dirs.iter().for_each(|dir| dir.on_failure(tell()));
    watch
}

/// Where the settings say that the controller listens.
fn controller_endpoints(config: &Config) -> Vec<Endpoint> {
    let of_controller = |listener: &&Listener| listener.role == ListenerRole::Controller;
    let listeners = config.listeners.iter().filter(of_controller);
    listeners
        .map(|Listener { endpoint, advertised, .. }| {
            let (host, port) =
                advertised.clone().unwrap_or_else(|| (endpoint.host.clone(), endpoint.port));
            Endpoint { listener: endpoint.listener.clone(), host, port }
        })
        .collect()
}

/// The listeners that the broker opens. Controller listeners are named in settings and in the
/// quorum's records, but a quorum inside one process needs none.
fn client_listeners(config: &Config) -> Vec<ListenerConfig> {
    let mut listeners = Vec::new();
    for listener in &config.listeners {
        match listener.role {
            ListenerRole::Broker => listeners.push(ListenerConfig {
                name: listener.endpoint.listener.clone(),
                host: listener.endpoint.host.clone(),
                port: listener.endpoint.port,
                advertised: listener.advertised.clone(),
            }),
            ListenerRole::Controller => warn!(
                "controller listener {} is not opened: the quorum is inside this process",
                listener.endpoint
            ),
        }
    }
    listeners
}
