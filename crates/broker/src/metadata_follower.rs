//! Brings what this broker hosts in line with each published image, before the controller's
//! reply to whoever asked for the change. Must not know requests.

use std::sync::Arc;

use ottla_controller::Published;
use ottla_log::{LoadPoints, LogDir, LogError};
use ottla_metadata::ResourceKind;
use ottla_protocol::{Millis, StrBytes, TopicId};
use tracing::{error, warn};

use crate::admission::AdmissionLimits;
use crate::group_config;
use crate::registration;
use crate::replica::Changes;
use crate::shared::Shared;
use crate::topics::OFFSETS_TOPIC;

/// Applies images to the partitions and coordinators of this broker.
pub(crate) struct MetadataFollower {
    shared: Arc<Shared>,
}

impl MetadataFollower {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Begins to open the logs that the image has for this broker. Gives the broker epoch of the
    /// last clean stop; −1 when the last stop was not clean.
    pub(crate) fn open_logs(&self, dirs: &[Arc<LogDir>]) -> Result<i64, LogError> {
        let mut points = Vec::with_capacity(dirs.len());
        for dir in dirs {
            let loaded = match dir.failure() {
                Some(failure) => Err(failure),
                None => dir.begin_load(),
            };
            // As in Kafka the others serve.
            let loaded: LoadPoints = loaded.unwrap_or_else(|error| {
                let path = dir.path().display();
                error!(%path, %error, "the log directory is out of service: its partitions are offline");
                dir.fail(&error);
                LoadPoints::default()
            });
            for warning in &loaded.warnings {
                warn!("{warning}");
            }
            points.push(loaded);
        }
        let epochs = points.iter().map(|p| p.clean.and_then(|clean| clean.broker_epoch));
        let previous = epochs.min().flatten().unwrap_or(-1);
        self.apply_group_config();
        let image = self.shared.image.load_full();
        // The partitions belong to what is told of them.
        let broker = Arc::downgrade(&self.shared);
        let on_changes = Box::new(move |changes| {
            if let Some(shared) = broker.upgrade() {
                Self { shared }.coordinate(changes);
            }
        });
        self.shared.partitions.open_all(&image, points, self.shared.now(), on_changes)?;
        Ok(previous)
    }

    /// Follows the images from now on; returns when the present one has been taken in.
    pub(crate) fn subscribe(self) {
        let controller = self.shared.controller.clone();
        let (taken_in, wait) = std::sync::mpsc::sync_channel(1);
        // The controller keeps its followers for ever; the broker is not kept by that.
        let broker = Arc::downgrade(&self.shared);
        let mut first = true;
        controller.subscribe(move |published: &Published| {
            if let Some(shared) = broker.upgrade() {
                Self { shared }.on_published(published, std::mem::take(&mut first));
            }
            // Only the first time is waited for.
            let _nobody_waits = taken_in.try_send(());
        });
        // A controller that has stopped publishes nothing; whoever asks it next hears of that.
        let _stopped = wait.recv();
    }

    fn on_published(&self, published: &Published, first: bool) {
        let shared = &self.shared;
        if shared.is_stopping() {
            return;
        }
        shared.image.store(Arc::clone(&published.image));
        let (image, now) = (&published.image, shared.now());
        if first {
            shared.partitions.reconcile(image, now);
        } else {
            shared.partitions.on_metadata(image, &published.delta, now);
        }
        let gone = published.delta.topics.iter().filter(|(_, topic)| topic.deleted);
        let gone: Vec<(StrBytes, TopicId)> =
            gone.map(|(id, topic)| (topic.name.clone(), *id)).collect();
        if !gone.is_empty() {
            shared.groups.topics_deleted(&gone);
        }
        let broker_config = |r: &ottla_metadata::ConfigResource| r.kind == ResourceKind::Broker;
        if published.delta.configs.iter().any(broker_config) {
            self.apply_group_config();
            shared.admission.set(shared.with_effective(AdmissionLimits::read));
            if !first && shared.partitions.cordon(image) {
                registration::send_heartbeat(shared);
            }
        }
    }

    fn apply_group_config(&self) {
        let config = self.shared.with_effective(group_config::read);
        self.shared.groups.set_config(config);
    }

    /// Loads and unloads coordinators, and lets go of what was deleted.
    fn coordinate(&self, changes: Changes) {
        let Changes { announced, led, resigned, aside } = changes;
        for name in resigned.iter().filter(|name| &*name.topic == OFFSETS_TOPIC) {
            self.shared.groups.on_resign(name.partition);
        }
        for name in announced.iter().filter(|name| &*name.topic == OFFSETS_TOPIC) {
            self.shared.groups.expect(name.partition);
        }
        for partition in led {
            if &*partition.name.topic == OFFSETS_TOPIC {
                self.shared.groups.on_leader(partition);
            }
        }
        if !aside.is_empty() {
            self.shared.partitions.remove_later(aside, self.delete_delay());
        }
    }

    /// As in Kafka, directories wait as long as the default of all topics says.
    fn delete_delay(&self) -> Millis {
        self.shared.with_effective(|effective| Millis(effective.topic("").file_delete_delay_ms))
    }
}
