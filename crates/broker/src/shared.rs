//! What all workers share: configuration, the metadata image, the partitions and coordinators
//! hosted here, the way to the controller. Must not know connections.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use ottla_controller::ControllerHandle;
use ottla_env::{Clock, Rng};
use ottla_metadata::Image;
use ottla_metadata::configs::{BrokerProperties, Effective};
use ottla_protocol::{Millis, NodeId, Uuid};

use crate::admission::Admission;
use crate::coordinator::GroupCoordinator;
use crate::fetch_sessions::FetchSessions;
use crate::listener::ListenerConfig;
use crate::replica::Partitions;
use crate::settings::Settings;
use crate::space::Space;
use crate::storage_upkeep::StorageRequests;

/// What the broker is started with, besides its limits and where it listens.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) node: NodeId,
    pub(crate) cluster_id: String,
}

/// State and services that every worker uses.
pub(crate) struct Shared {
    pub(crate) identity: Identity,
    pub(crate) listeners: Vec<ListenerConfig>,
    pub(crate) properties: BrokerProperties,
    pub(crate) settings: Settings,
    pub(crate) admission: Arc<Admission>,
    pub(crate) image: ArcSwap<Image>,
    pub(crate) controller: ControllerHandle,
    pub(crate) partitions: Arc<Partitions>,
    /// Free space, by log directory.
    pub(crate) space: Vec<Space>,
    pub(crate) storage: Arc<StorageRequests>,
    /// The log directories' ids, once the broker has registered with them; none for one that was
    /// out of service then.
    pub(crate) log_dir_ids: OnceLock<Vec<Option<Uuid>>>,
    pub(crate) groups: Arc<GroupCoordinator>,
    pub(crate) sessions: FetchSessions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) producer_ids: crate::producer_ids::ProducerIds,
    pub(crate) stopping: AtomicBool,
}

impl Shared {
    /// Milliseconds since the Unix epoch.
    pub(crate) fn now(&self) -> Millis {
        Millis(self.clock.wall_ms())
    }

    /// The settings as they are in force now.
    pub(crate) fn with_effective<T>(&self, read: impl FnOnce(&Effective<'_>) -> T) -> T {
        let image = self.image.load();
        read(&Effective { image: &image, node: self.identity.node, properties: &self.properties })
    }

    /// Why no records and no partitions are taken: every log directory is full. A sentence for
    /// clients.
    pub(crate) fn no_space(&self) -> Option<String> {
        let mut refusals = self.space.iter().filter(|s| !s.has_failed()).map(Space::refusal);
        let first = refusals.next()??;
        refusals.all(|refusal| refusal.is_some()).then_some(first)
    }

    /// The epoch under which this broker is registered; −1 before.
    pub(crate) fn broker_epoch(&self) -> i64 {
        self.image.load().broker(self.identity.node).map_or(-1, |broker| broker.epoch)
    }

    /// Whether the broker has begun to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}
