//! The broker's place in the cluster: registers with the controller, keeps its session alive,
//! leaves in order. Must not know what the controller decides.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ottla_log::{LogDir, LogError};
use ottla_metadata::{Command, Reply, feature_table};
use ottla_protocol::k62_broker_registration::{Feature, Listener};
use ottla_protocol::{
    BrokerHeartbeatRequest, BrokerRegistrationRequest, ErrorCode, StrBytes, Uuid,
};
use tracing::warn;

use crate::shared::Shared;
use crate::thread::keep_running;

/// How often a stopping broker asks whether it may go, and how long it pauses between.
const LEAVE_TRIES: u32 = 12;
const LEAVE_PAUSE: Duration = Duration::from_millis(20);

/// Why the controller does not take this broker in.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// It refused.
    #[error("the controller refuses this broker: {code}: {message}")]
    Refused {
        /// Kafka's error.
        code: ErrorCode,
        /// Its words.
        message: String,
    },
    /// A log directory does not say who it is.
    #[error("{path} has no meta.properties with a directory.id")]
    NoDirectoryId {
        /// The log directory.
        path: String,
    },
    /// A log directory cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Registers and waits until the broker is unfenced.
pub(crate) fn register(
    shared: &Arc<Shared>,
    addresses: &[(String, SocketAddr)],
    dirs: &[Arc<LogDir>],
    previous_epoch: i64,
) -> Result<(), RegistrationError> {
    let mut known = Vec::new();
    for dir in dirs {
        // As in Kafka the broker registers without what is out of service.
        if dir.failure().is_some() {
            known.push(None);
            continue;
        }
        let id = dir.read_meta_properties()?.and_then(|properties| properties.directory_id);
        let path = dir.path().display().to_string();
        known.push(Some(id.ok_or(RegistrationError::NoDirectoryId { path })?));
    }
    let ids = shared.log_dir_ids.get_or_init(|| known.clone());
    assert!(*ids == known, "a broker registers with the directories that it has");
    let log_dirs = known.into_iter().flatten().collect();
    let listeners = shared.listeners.iter().zip(addresses).map(|(config, (name, address))| {
        let (host, port) = match &config.advertised {
            Some((host, port)) => (host.clone(), *port),
            None => (address.ip().to_string(), address.port()),
        };
        Listener {
            name: StrBytes::from(name.as_str()),
            host: StrBytes::from(host),
            port,
            security_protocol: 0,
            ..Default::default()
        }
    });
    let features = feature_table::FEATURES.iter().map(|feature| Feature {
        name: StrBytes::from_static(feature.name),
        min_supported_version: feature.min,
        max_supported_version: feature.max_known,
        ..Default::default()
    });
    let rack = shared.with_effective(|e| e.broker("broker.rack").as_str().map(StrBytes::from));
    let request = BrokerRegistrationRequest {
        broker_id: shared.identity.node.get(),
        cluster_id: StrBytes::from(shared.identity.cluster_id.as_str()),
        incarnation_id: Uuid::from_random(shared.rng.bytes16()),
        listeners: listeners.collect(),
        features: features.collect(),
        rack,
        log_dirs,
        previous_broker_epoch: previous_epoch,
        ..Default::default()
    };
    call(shared, Command::RegisterBroker(request))?;
    call(shared, Command::BrokerHeartbeat(beat(shared, false)))?;
    Ok(())
}

fn call(shared: &Shared, command: Command) -> Result<Reply, RegistrationError> {
    shared.controller.call(command).map_err(|refusal| RegistrationError::Refused {
        code: refusal.code,
        message: refusal.to_string(),
    })
}

fn beat(shared: &Shared, want_shut_down: bool) -> BrokerHeartbeatRequest {
    let image = shared.controller.image();
    let node = shared.identity.node;
    let ids = shared.log_dir_ids.get().map_or(&[][..], Vec::as_slice);
    let volumes = || ids.iter().zip(&shared.partitions.volumes);
    let failed = volumes().filter(|(_, volume)| volume.dir.failure().is_some());
    let cordoned = volumes().filter(|(_, volume)| volume.is_cordoned());
    BrokerHeartbeatRequest {
        broker_id: node.get(),
        broker_epoch: image.broker(node).map_or(-1, |broker| broker.epoch),
        current_metadata_offset: image.position().offset.get(),
        want_fence: false,
        want_shut_down,
        offline_log_dirs: failed.filter_map(|(id, _)| *id).collect(),
        cordoned_log_dirs: Some(cordoned.filter_map(|(id, _)| *id).collect()),
        ..Default::default()
    }
}

/// Sends a heartbeat, with what the controller should know, and waits for nothing: the controller's
/// own thread calls it too.
pub(crate) fn send_heartbeat(shared: &Shared) {
    let command = Command::BrokerHeartbeat(beat(shared, false));
    shared.controller.submit(command, |reply| {
        if let Err(refusal) = reply {
            warn!(%refusal, "the controller did not take the heartbeat");
        }
    });
}

/// Starts the thread that says that the broker is alive: one of its own, so that nothing that
/// others wait for, a disk for example, makes it late. It ends when it is unparked while the broker
/// stops.
pub(crate) fn start_heartbeat(shared: Arc<Shared>) -> std::io::Result<JoinHandle<()>> {
    keep_running("ottla-heartbeat", move || {
        loop {
            std::thread::park_timeout(shared.settings.heartbeat_interval);
            if shared.is_stopping() {
                return;
            }
            send_heartbeat(&shared);
        }
    })
}

/// Tells the controller that the broker stops (controlled shutdown), until it says that the
/// broker may go: it has then been fenced, and whoever reads the metadata next sees it gone.
pub(crate) fn leave(shared: &Shared) {
    for attempt in 0..LEAVE_TRIES {
        // The first reply moves the leaders, the second one lets go; the rest is patience.
        if attempt > 1 {
            std::thread::sleep(LEAVE_PAUSE);
        }
        match shared.controller.call(Command::BrokerHeartbeat(beat(shared, true))) {
            Ok(Reply::BrokerHeartbeat(reply)) if reply.should_shut_down => return,
            Ok(_) => {}
            Err(refusal) => {
                warn!(code = %refusal.code, %refusal, "controlled shutdown refused");
                return;
            }
        }
    }
    warn!("the controller does not let go: stopping without its word");
}
