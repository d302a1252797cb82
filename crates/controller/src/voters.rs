//! Voters with where they listen, in the forms of the log's control records. Must not know how
//! votes are counted.

use ottla_protocol::voters_record::{self, KRaftVersionFeature};
use ottla_protocol::{
    LeaderChangeMessage, NodeId, StrBytes, Uuid, VotersRecord, leader_change_message,
};
use ottla_raft::{ReplicaKey, VoterSet};

/// A listener of a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Listener name.
    pub listener: String,
    /// Host to dial.
    pub host: String,
    /// Port to dial.
    pub port: u16,
}

/// A voter and where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Voter {
    pub(crate) key: ReplicaKey,
    pub(crate) endpoints: Vec<Endpoint>,
}

/// Versions of `kraft.version` that a voter supports.
const KRAFT_VERSION: (i16, i16) = (0, 1);

pub(crate) fn to_record(voters: &[Voter]) -> VotersRecord {
    let voter = |voter: &Voter| voters_record::Voter {
        voter_id: voter.key.id.get(),
        voter_directory_id: voter.key.directory_id,
        endpoints: voter
            .endpoints
            .iter()
            .map(|endpoint| voters_record::Endpoint {
                name: StrBytes::from(&endpoint.listener),
                host: StrBytes::from(&endpoint.host),
                port: endpoint.port,
                ..voters_record::Endpoint::default()
            })
            .collect(),
        kraft_version_feature: KRaftVersionFeature {
            min_supported_version: KRAFT_VERSION.0,
            max_supported_version: KRAFT_VERSION.1,
            ..KRaftVersionFeature::default()
        },
        ..voters_record::Voter::default()
    };
    VotersRecord { voters: voters.iter().map(voter).collect(), ..VotersRecord::default() }
}

pub(crate) fn from_record(record: &VotersRecord) -> Vec<Voter> {
    let endpoint = |endpoint: &voters_record::Endpoint| Endpoint {
        listener: endpoint.name.to_string(),
        host: endpoint.host.to_string(),
        port: endpoint.port,
    };
    let voter = |voter: &voters_record::Voter| Voter {
        key: ReplicaKey { id: NodeId(voter.voter_id), directory_id: voter.voter_directory_id },
        endpoints: voter.endpoints.iter().map(endpoint).collect(),
    };
    record.voters.iter().map(voter).collect()
}

pub(crate) fn set_of(voters: &[Voter]) -> VoterSet {
    voters.iter().map(|voter| voter.key).collect()
}

/// The message that begins an epoch. Version 0, as Kafka 4.4 writes it, has no directory ids.
pub(crate) fn leader_change(
    leader: NodeId,
    voters: &VoterSet,
    granting: &[ReplicaKey],
) -> LeaderChangeMessage {
    let voter = |replica: ReplicaKey| leader_change_message::Voter {
        voter_id: replica.id.get(),
        voter_directory_id: Uuid::ZERO,
        ..leader_change_message::Voter::default()
    };
    LeaderChangeMessage {
        leader_id: leader.get(),
        voters: voters.iter().map(voter).collect(),
        granting_voters: granting.iter().copied().map(voter).collect(),
        ..LeaderChangeMessage::default()
    }
}
