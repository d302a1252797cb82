//! Registered brokers and controllers. Must not know sessions or heartbeats.

use std::collections::BTreeMap;

use ottla_protocol::{NodeId, StrBytes, Uuid};

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Listener name.
    pub name: StrBytes,
    /// Host to dial.
    pub host: StrBytes,
    /// Port to dial.
    pub port: u16,
    /// Number of the security protocol; 0 is PLAINTEXT.
    pub security_protocol: i16,
}

/// Lowest and highest level of a feature that a node supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionRange {
    /// Lowest.
    pub min: i16,
    /// Highest.
    pub max: i16,
}

impl VersionRange {
    /// Whether the level is in the range.
    #[must_use]
    pub const fn contains(self, level: i16) -> bool {
        self.min <= level && level <= self.max
    }
}

/// A broker as it registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Node id.
    pub id: NodeId,
    /// Epoch of this registration: the offset of its record.
    pub epoch: i64,
    /// Drawn anew by each start of the process.
    pub incarnation_id: Uuid,
    /// Where it listens.
    pub listeners: Vec<Listener>,
    /// Features it supports.
    pub features: BTreeMap<StrBytes, VersionRange>,
    /// Its rack.
    pub rack: Option<StrBytes>,
    /// Whether it may not lead.
    pub fenced: bool,
    /// Whether it is about to stop.
    pub in_controlled_shutdown: bool,
    /// Ids of its log directories.
    pub log_dirs: Vec<Uuid>,
    /// Those that get no new partitions (KIP-1066).
    pub cordoned_log_dirs: Vec<Uuid>,
    /// Whether the record said it migrates from ZooKeeper: kept for its next record.
    pub(crate) is_migrating_zk_broker: bool,
}

impl Broker {
    /// Whether it may lead: neither fenced nor about to stop.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    /// Whether a replica in this log directory can be served; one that was not placed yet can.
    #[must_use]
    pub fn has_online(&self, directory: Uuid) -> bool {
        const LOST: u128 = 2;
        match u128::from_be_bytes(directory.0) {
            LOST => false,
            // MIGRATING and UNASSIGNED.
            0 | 1 => true,
            _ => self.log_dirs.is_empty() || self.log_dirs.contains(&directory),
        }
    }
}

/// A controller as it registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// Node id.
    pub id: NodeId,
    /// Drawn anew by each start of the process.
    pub incarnation_id: Uuid,
    /// Where it listens.
    pub listeners: Vec<Listener>,
    /// Features it supports.
    pub features: BTreeMap<StrBytes, VersionRange>,
    /// Kept for its next record.
    pub(crate) zk_migration_ready: bool,
}
