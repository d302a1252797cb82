//! The controller as a machine: `plan` turns a command into records and a reply, `apply` is the
//! only thing that changes what it decides on. Sessions are soft state beside it. Must not know
//! logs, threads or clocks.

use std::collections::BTreeMap;

use ottla_protocol::{LeaderEpoch, MetadataRecord, Millis, NodeId, Offset};

use crate::command::{Command, Reply};
use crate::configs::{BrokerProperties, Effective};
use crate::image::{ApplyError, Delta, Image, Position, Replay};
use crate::plan;
use crate::random::Random;
use crate::record::VersionedRecord;
use crate::refusal::Refusal;
use crate::sessions::Sessions;

/// What a controller was started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its node id.
    pub node: NodeId,
    /// The cluster's id.
    pub cluster_id: String,
    /// The settings of its process.
    pub properties: BrokerProperties,
}

/// A decision: records to append as one batch, and what to answer once they are committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The records, to be appended all or none.
    pub records: Vec<VersionedRecord>,
    /// The answer.
    pub reply: Reply,
}

/// The controller.
#[derive(Clone, Debug)]
pub struct Machine {
    replay: Replay,
    sessions: Sessions,
    /// Where in the log each broker registered; of those in the first image it is not known, and
    /// is no later than where that stands.
    registered_at: BTreeMap<NodeId, Offset>,
    settings: Settings,
    active: bool,
}

impl Machine {
    /// A controller that goes on from an image.
    #[must_use]
    pub fn new(settings: Settings, image: Image) -> Self {
        Self {
            replay: Replay::from_image(image),
            sessions: Sessions::default(),
            registered_at: BTreeMap::new(),
            settings,
            active: false,
        }
    }

    /// The image with everything that was applied.
    #[must_use]
    pub fn latest(&self) -> &Image {
        self.replay.latest()
    }

    /// The image that others may see: without an open transaction.
    #[must_use]
    pub fn visible(&self) -> &Image {
        self.replay.visible()
    }

    /// What changed in the visible image since the last call.
    pub fn take_delta(&mut self) -> Delta {
        self.replay.take_delta()
    }

    /// Whether a metadata transaction is open.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.replay.in_transaction()
    }

    /// Becomes the active controller: each registered broker gets a whole session from `now`.
    /// Returns what is to be appended before any other record.
    pub fn activate(&mut self, now: Millis, bootstrap: &[VersionedRecord]) -> Vec<VersionedRecord> {
        self.active = true;
        self.sessions.clear();
        let ids: Vec<NodeId> = self.latest().brokers().map(|broker| broker.id).collect();
        for id in ids {
            self.sessions.expect(id, now);
        }
        plan::activation::records(&self.replay, bootstrap)
    }

    /// Decides on a command. `next_offset` is the offset its first record will get.
    ///
    /// # Errors
    /// When the command as a whole is refused. What is refused of a part stands in the reply.
    pub fn plan(
        &mut self,
        now: Millis,
        next_offset: Offset,
        command: &Command,
        random: &mut dyn Random,
    ) -> Result<Plan, Refusal> {
        let mut context = plan::Context {
            image: self.replay.latest(),
            settings: &self.settings,
            registered_at: &self.registered_at,
            sessions: &mut self.sessions,
            now,
            next_offset,
            random,
        };
        plan::command(&mut context, command)
    }

    /// Fences brokers whose session has ended; none when there is nothing to do.
    #[must_use]
    pub fn tick(&self, now: Millis) -> Vec<VersionedRecord> {
        if !self.active {
            return Vec::new();
        }
        let image = self.latest();
        let effective = self.effective();
        let timeout = plan::brokers::session_timeout(&effective);
        let ended = |id| self.sessions.ends_at(id, timeout).is_some_and(|end| end < now);
        let mut stale = image.brokers().filter(|broker| !broker.fenced && ended(broker.id));
        // One at a time, as the next decision depends on the first one's effect.
        stale.next().map(|broker| plan::brokers::fence(&effective, broker)).unwrap_or_default()
    }

    /// When [`Machine::tick`] has something to do at the earliest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        if !self.active {
            return None;
        }
        let timeout = plan::brokers::session_timeout(&self.effective());
        let unfenced = self.latest().brokers().filter(|broker| !broker.fenced);
        let end = unfenced.filter_map(|broker| self.sessions.ends_at(broker.id, timeout)).min()?;
        Some(Millis(end.get().saturating_add(1)))
    }

    /// Applies the next record of the log.
    ///
    /// # Errors
    /// When the record is impossible. The machine is then unusable.
    pub fn apply(&mut self, position: Position, record: &MetadataRecord) -> Result<(), ApplyError> {
        self.replay.apply(position, record)?;
        #[expect(clippy::wildcard_enum_match_arm, reason = "no other record touches a session")]
        match record {
            MetadataRecord::RegisterBroker(record) => {
                self.sessions.registered(NodeId(record.broker_id));
                self.registered_at.insert(NodeId(record.broker_id), position.offset);
            }
            MetadataRecord::UnregisterBroker(record) => {
                self.sessions.remove(NodeId(record.broker_id))
            }
            MetadataRecord::FenceBroker(record) => self.sessions.fenced(NodeId(record.id)),
            MetadataRecord::BrokerRegistrationChange(record) => {
                let id = NodeId(record.broker_id);
                if record.in_controlled_shutdown == 1 {
                    self.sessions.shut_down_at(id, position.offset.get());
                }
                if record.fenced == 1 {
                    self.sessions.fenced(id);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Notes that the log went on with records that are not metadata.
    pub fn pass(&mut self, offset: Offset, epoch: LeaderEpoch, timestamp: Millis) {
        self.replay.pass(Position { offset, epoch, timestamp });
    }

    fn effective(&self) -> Effective<'_> {
        Effective {
            image: self.latest(),
            node: self.settings.node,
            properties: &self.settings.properties,
        }
    }
}
