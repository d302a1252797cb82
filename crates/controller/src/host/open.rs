//! From the disk to an active controller: load, elect, begin. Must not know requests.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use ottla_metadata::{Command, Settings, VersionedRecord, draw_id, feature_table};
use ottla_protocol::k70_controller_registration::{Feature, Listener};
use ottla_protocol::{ControllerRegistrationRequest, Millis, Offset, StrBytes};
use ottla_raft::{Input, Raft, RaftConfig, ReplicaKey, Role};
use tracing::info;

use super::quorum::quorum_info;
use super::{Host, monotonic};
use crate::error::ControllerError;
use crate::format::Draw;
use crate::handle::{Message, Shared};
use crate::load::{Loaded, load};
use crate::metadata_log::DIRECTORY;
use crate::options::ControllerOptions;
use crate::reserve::Reserve;
use crate::voters;
use crate::voters::{Endpoint, Voter};

impl Host {
    pub(super) fn load(
        options: ControllerOptions,
        sender: Sender<Message>,
    ) -> Result<Self, ControllerError> {
        let ControllerOptions {
            disk,
            clock,
            rng,
            metadata_dir,
            meta,
            endpoints,
            properties,
            log: settings,
        } = options;
        let machine_settings =
            Settings { node: meta.node_id, cluster_id: meta.cluster_id.clone(), properties };
        let reserve = Reserve::find(&disk, &metadata_dir.join(DIRECTORY), settings.reserve_bytes)?;
        let loaded = load(&disk, &metadata_dir, machine_settings)?;
        let Loaded {
            log, machine, quorum, bootstrap, kraft_version, voters, voters_in_log, ..
        } = loaded;
        let me = ReplicaKey { id: meta.node_id, directory_id: meta.directory_id };
        let (mut voters, mut voters_to_log) = match voters {
            Some(voters) => (voters, !voters_in_log),
            // A quorum given by settings does not know directories.
            None => {
                let key = ReplicaKey { id: meta.node_id, directory_id: ottla_protocol::Uuid::ZERO };
                (vec![Voter { key, endpoints: endpoints.clone() }], false)
            }
        };
        check_voters(&voters, me)?;
        if !endpoints.is_empty() && voters.iter().any(|voter| voter.endpoints != endpoints) {
            voters.iter_mut().for_each(|voter| voter.endpoints.clone_from(&endpoints));
            voters_to_log = kraft_version > 0;
        }
        let now = monotonic(clock.as_ref());
        let config = RaftConfig {
            me,
            voters: voters::set_of(&voters),
            election_timeout: Millis(1000),
            fetch_timeout: Millis(2000),
            seed: rng.next_u64(),
        };
        let raft = Raft::new(config, quorum, log.end(), now);
        let (end, committed) = (log.end(), Offset::NONE);
        let image = Arc::new(machine.visible().clone());
        let shared =
            Arc::new(Shared::new(image, quorum_info(&raft, &voters, kraft_version, committed)));
        let mut host = Self {
            disk,
            clock,
            rng,
            dir: metadata_dir.join(DIRECTORY),
            log,
            machine,
            raft,
            kraft_version,
            voters,
            voters_to_log,
            settings,
            shared,
            sender,
            subscribers: Vec::new(),
            unwritten: Vec::new(),
            append_time: None,
            end,
            owed: Vec::new(),
            committed,
            bytes_after_snapshot: loaded.bytes_after_snapshot,
            snapshot_at: now,
            snapshots_by_hand: None,
            snapshot_thread: None,
            snapshots: loaded.snapshots,
            reserve,
            reserve_at: now,
            stalled: false,
        };
        host.elect(&bootstrap)?;
        Ok(host)
    }

    /// Becomes the leader of a new epoch and begins it.
    pub(super) fn elect(&mut self, bootstrap: &[VersionedRecord]) -> Result<(), ControllerError> {
        self.drive(Input::Tick)?;
        if self.raft.role() != Role::Leader {
            return Err(ControllerError::Unsupported(
                "this node did not win the election of the metadata quorum".to_owned(),
            ));
        }
        let records = self.machine.activate(self.now(), bootstrap);
        self.append(&records)
    }

    /// Registers the controller, and publishes the first image.
    pub(super) fn lead(&mut self) -> Result<(), ControllerError> {
        if self.machine.latest().features().metadata_version() == 0 {
            return Err(ControllerError::Damaged(format!(
                "the metadata log in {} is empty, and there are no records to begin a cluster with",
                self.dir.display()
            )));
        }
        let request = self.registration();
        let (now, next) = (self.now(), self.end.offset);
        let rng = Arc::clone(&self.rng);
        let command = Command::RegisterController(request);
        // A level too old for registrations refuses it, and needs none.
        if let Ok(plan) = self.machine.plan(now, next, &command, &mut Draw(rng.as_ref())) {
            self.append(&plan.records)?;
        }
        self.flush()?;
        self.publish();
        info!(
            epoch = self.raft.epoch().get(),
            offset = self.end.offset.get(),
            topics = self.machine.latest().topic_count(),
            "the controller is active"
        );
        Ok(())
    }

    pub(super) fn registration(&self) -> ControllerRegistrationRequest {
        let me = self.raft.me();
        let endpoints = self
            .voters
            .iter()
            .filter(|voter| voter.key.id == me.id)
            .flat_map(|voter| &voter.endpoints);
        let listener = |endpoint: &Endpoint| Listener {
            name: StrBytes::from(&endpoint.listener),
            host: StrBytes::from(&endpoint.host),
            port: endpoint.port,
            ..Listener::default()
        };
        let features = feature_table::supported(self.machine.latest().features());
        let feature = |(name, range): (StrBytes, ottla_metadata::VersionRange)| Feature {
            name,
            min_supported_version: range.min,
            max_supported_version: range.max,
            ..Feature::default()
        };
        ControllerRegistrationRequest {
            controller_id: me.id.get(),
            incarnation_id: draw_id(&mut Draw(self.rng.as_ref())),
            listeners: endpoints.map(listener).collect(),
            features: features.map(feature).collect(),
            ..ControllerRegistrationRequest::default()
        }
    }
}

/// This version runs quorums of one voter: this one.
fn check_voters(voters: &[Voter], me: ReplicaKey) -> Result<(), ControllerError> {
    let set = voters::set_of(voters);
    if !set.contains(me) {
        let known: Vec<String> = voters.iter().map(|voter| voter.key.to_string()).collect();
        return Err(ControllerError::Unsupported(format!(
            "the metadata quorum's voters are {}; this is {me}",
            known.join(", ")
        )));
    }
    if set.len() > 1 {
        return Err(ControllerError::Unsupported(format!(
            "the metadata quorum has {} voters; this version runs quorums of one",
            set.len()
        )));
    }
    Ok(())
}
