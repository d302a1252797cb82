//! Random histories of two groups: members that join, sync, beat, leave, come back as static
//! ones, commit, and vanish; coordinators that are lost. [`World`] checks after every step that the
//! log says what the shard is; here it is checked that every request is answered once, that no
//! partition has two owners in one generation, and that groups whose members vanish empty.

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla_groups::{Command, Config, Reply, Token};
use ottla_protocol::k08_offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use ottla_protocol::k11_join_group::JoinGroupRequestProtocol;
use ottla_protocol::k13_leave_group::MemberIdentity;
use ottla_protocol::k14_sync_group::SyncGroupRequestAssignment;
use ottla_protocol::{
    ErrorCode, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, Millis,
    OffsetCommitRequest, StrBytes, SyncGroupRequest,
};
use proptest::prelude::*;

use crate::script::subscription;
use crate::world::{Did, World};

/// One client of one of the groups.
#[derive(Clone, Debug, Default)]
struct Client {
    member_id: StrBytes,
    generation: i32,
    /// What to bring as leader.
    members: Vec<StrBytes>,
}

impl Client {
    fn joined(&mut self, response: &JoinGroupResponse) {
        let error = ErrorCode::from_code(response.error_code);
        assert_ne!(error, ErrorCode::UnknownServerError);
        if error == ErrorCode::None {
            self.member_id = response.member_id.clone();
            self.generation = response.generation_id;
            self.members = response.members.iter().map(|m| m.member_id.clone()).collect();
        } else if error == ErrorCode::MemberIdRequired {
            self.member_id = response.member_id.clone();
        } else if error != ErrorCode::RebalanceInProgress {
            // Told to begin anew.
            *self = Self::default();
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Join { client: usize, version: i16, protocols: u8 },
    Sync { client: usize },
    Beat { client: usize },
    Leave { client: usize },
    Forget { client: usize },
    Commit { client: usize, partition: i32 },
    Bare { group: usize, partition: i32 },
    Delete { group: usize },
    TopicDeleted,
    Wait { ms: i64 },
    Reload,
}

/// Clients 0 to 3 are of the one group, 4 to 7 of the other; the last of each is static.
const CLIENTS: usize = 8;

fn group_of(client: usize) -> StrBytes {
    StrBytes::from(["g", "h"][client / 4])
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    prop_oneof![
        10 => (client.clone(), prop_oneof![Just(3_i16), Just(8), Just(9)], 1..4_u8)
            .prop_map(|(client, version, protocols)| Step::Join { client, version, protocols }),
        10 => client.clone().prop_map(|client| Step::Sync { client }),
        4 => client.clone().prop_map(|client| Step::Beat { client }),
        2 => client.clone().prop_map(|client| Step::Leave { client }),
        2 => client.clone().prop_map(|client| Step::Forget { client }),
        3 => (client, 0..3).prop_map(|(client, partition)| Step::Commit { client, partition }),
        1 => (0..2_usize, 0..3).prop_map(|(group, partition)| Step::Bare { group, partition }),
        1 => (0..2_usize).prop_map(|group| Step::Delete { group }),
        1 => Just(Step::TopicDeleted),
        3 => prop_oneof![0..3_000_i64, 5_000..40_000_i64].prop_map(|ms| Step::Wait { ms }),
        1 => Just(Step::Reload),
    ]
}

struct History {
    world: World,
    clients: Vec<Client>,
    /// Whose request a token is.
    asked: BTreeMap<Token, usize>,
    /// Who has which partition, by group and generation; told by the assignments given out.
    owners: BTreeMap<(StrBytes, i32, Bytes), StrBytes>,
}

impl History {
    fn new(delay: i64) -> Self {
        let config = Config {
            group_initial_rebalance_delay: Millis(delay),
            group_max_size: 3,
            offsets_retention: Millis(60_000),
            offsets_retention_check_interval: Millis(30_000),
            ..Config::default()
        };
        Self {
            world: World::new(config),
            clients: vec![Client::default(); CLIENTS],
            asked: BTreeMap::new(),
            owners: BTreeMap::new(),
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Wait { ms } => return self.wait(ms),
            Step::Reload => {
                let did = self.world.reload();
                return self.took(&did);
            }
            Step::TopicDeleted => {
                let topic = (StrBytes::from("t"), ottla_protocol::Uuid::ZERO);
                let did = self.world.topics_deleted(&[topic]);
                return self.took(&did);
            }
            Step::Forget { client } => return self.clients[client] = Client::default(),
            Step::Join { .. }
            | Step::Sync { .. }
            | Step::Beat { .. }
            | Step::Leave { .. }
            | Step::Commit { .. }
            | Step::Bare { .. }
            | Step::Delete { .. } => {}
        }
        let token = self.world.next_token();
        let (client, command) = self.command(step, token);
        self.asked.insert(token, client);
        let did = self.world.command(command);
        self.took(&did);
    }

    fn wait(&mut self, ms: i64) {
        let mut all = Vec::new();
        self.world.pass(self.world.time + ms, |_, did| all.push(did));
        for did in all {
            self.took(&did);
        }
    }

    fn command(&self, step: Step, Token(token): Token) -> (usize, Command) {
        let group_id = |client| group_of(client);
        let of = |client: usize| self.clients[client].clone();
        match step {
            Step::Join { client, version, protocols } => {
                (client, self.join(client, version, protocols, token))
            }
            Step::Sync { client } => (client, self.sync(client)),
            Step::Beat { client } => {
                let Client { member_id, generation, .. } = of(client);
                let request = HeartbeatRequest {
                    group_id: group_id(client),
                    generation_id: generation,
                    member_id,
                    ..HeartbeatRequest::default()
                };
                (client, Command::Heartbeat { request })
            }
            Step::Leave { client } => {
                let member =
                    MemberIdentity { member_id: of(client).member_id, ..MemberIdentity::default() };
                let request = LeaveGroupRequest {
                    group_id: group_id(client),
                    members: vec![member],
                    ..LeaveGroupRequest::default()
                };
                (client, Command::LeaveGroup { request, version: 5 })
            }
            Step::Commit { client, partition } => {
                let Client { member_id, generation, .. } = of(client);
                (client, commit(group_id(client), member_id, generation, partition))
            }
            Step::Bare { group, partition } => {
                (group * 4, commit(group_id(group * 4), StrBytes::new(), -1, partition))
            }
            Step::Delete { group } => {
                (group * 4, Command::DeleteGroups { group_ids: vec![group_id(group * 4)] })
            }
            Step::Forget { .. } | Step::TopicDeleted | Step::Wait { .. } | Step::Reload => {
                unreachable!("no commands")
            }
        }
    }

    fn join(&self, client: usize, version: i16, protocols: u8, token: u64) -> Command {
        let names = ["range", "sticky"].iter().enumerate();
        let protocols = names.filter(|(bit, _)| protocols & (1 << bit) != 0).map(|(_, name)| {
            JoinGroupRequestProtocol {
                name: StrBytes::from(*name),
                metadata: subscription("t"),
                ..JoinGroupRequestProtocol::default()
            }
        });
        let mut random = [0; 16];
        random[8..].copy_from_slice(&token.to_be_bytes());
        Command::JoinGroup {
            request: JoinGroupRequest {
                group_id: group_of(client),
                session_timeout_ms: 10_000,
                rebalance_timeout_ms: 20_000,
                member_id: self.clients[client].member_id.clone(),
                group_instance_id: (client % 4 == 3).then(|| StrBytes::from("i")),
                protocol_type: StrBytes::from("consumer"),
                protocols: protocols.collect(),
                ..JoinGroupRequest::default()
            },
            version,
            client_id: StrBytes::from("c"),
            client_host: StrBytes::from("/127.0.0.1"),
            random,
        }
    }

    /// A leader gives each member a partition named after it and nobody else.
    fn sync(&self, client: usize) -> Command {
        let Client { member_id, generation, members } = self.clients[client].clone();
        let assignments = members.iter().enumerate().map(|(at, id)| SyncGroupRequestAssignment {
            member_id: id.clone(),
            assignment: Bytes::from(format!("p{at}")),
            ..SyncGroupRequestAssignment::default()
        });
        Command::SyncGroup {
            request: SyncGroupRequest {
                group_id: group_of(client),
                generation_id: generation,
                member_id,
                assignments: assignments.collect(),
                ..SyncGroupRequest::default()
            },
            version: 4,
        }
    }

    /// What a client makes of its answer.
    fn took(&mut self, did: &Did) {
        for (token, reply) in &did.replies {
            let at = self.asked.remove(token).expect("a request of a client");
            let client = &mut self.clients[at];
            match reply {
                Reply::JoinGroup(response) => client.joined(response),
                Reply::SyncGroup(response)
                    if response.error_code == 0 && !response.assignment.is_empty() =>
                {
                    let partition = response.assignment.clone();
                    let key = (group_of(at), client.generation, partition);
                    let id = client.member_id.clone();
                    let owner = self.owners.entry(key).or_insert_with(|| id.clone());
                    // A static member keeps its partitions under a new id.
                    assert!(*owner == id || at % 4 == 3, "{owner} and {id} own one partition");
                    *owner = id;
                }
                Reply::DeleteGroups(results) if results[0].error_code == 0 => {
                    // Generations begin anew.
                    let group = group_of(at);
                    self.owners.retain(|(of, ..), _| *of != group);
                }
                Reply::SyncGroup(_)
                | Reply::Heartbeat(_)
                | Reply::LeaveGroup(_)
                | Reply::OffsetCommit(_)
                | Reply::OffsetFetch(_)
                | Reply::OffsetDelete(_)
                | Reply::DescribeGroups(_)
                | Reply::ListGroups(_)
                | Reply::DeleteGroups(_) => {}
            }
        }
        if did.records.iter().any(|record| record.value.is_none()) {
            // A group may have expired and begin its generations anew.
            self.owners.clear();
        }
    }
}

fn commit(group_id: StrBytes, member_id: StrBytes, generation: i32, partition: i32) -> Command {
    let topics = vec![OffsetCommitRequestTopic {
        name: StrBytes::from("t"),
        partitions: vec![OffsetCommitRequestPartition {
            partition_index: partition,
            committed_offset: 1,
            ..OffsetCommitRequestPartition::default()
        }],
        ..OffsetCommitRequestTopic::default()
    }];
    Command::OffsetCommit {
        request: OffsetCommitRequest {
            group_id,
            generation_id_or_member_epoch: generation,
            member_id,
            topics,
            ..OffsetCommitRequest::default()
        },
        version: 9,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn histories(
        delay in prop_oneof![Just(0_i64), Just(3_000)],
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut history = History::new(delay);
        for step in steps {
            history.run(step);
        }
        // Everyone vanishes: sessions, rebalances and the waits of new members end one after the
        // other, then what is left of the offsets expires. Nobody may be left waiting.
        history.wait(1_000_000);
        prop_assert_eq!(history.world.waiting(), 0);
        let token = history.world.next_token();
        history.asked.insert(token, 0);
        let list = Command::ListGroups { states: vec![], types: vec![] };
        let did = history.world.command(list);
        prop_assert_eq!(did.replies.len(), 1);
        let Some((_, Reply::ListGroups(list))) = did.replies.first() else {
            return Err(TestCaseError::fail("no list"));
        };
        prop_assert!(list.groups.is_empty(), "groups without members or offsets go: {:?}", list);
    }
}
