//! Scenarios as text: a line that starts with `>` is a step, the lines after it are what must
//! come of it. [`check`] runs the steps and compares the whole text, so a failure shows what came
//! instead and can be pasted in.
//!
//! Steps: `join G [id=@1] [v=9] [instance=i] [session=10000] [rebalance=30000] [type=consumer]
//! [protocols=range,sticky] [topics=t]`, `sync G @1 gen=1 [v=5] [instance=i] [@1=x @2=y]
//! [type=consumer] [protocol=range]`, `beat G @1 gen=1 [instance=i]`, `leave G [v=5] @1 instance=i @2/i`, `commit G
//! [@1] [gen=1] [v=9] [instance=i] [retention=ms] t-0=5[/meta]…`, `fetch G [stable] [member=@1]
//! t-0 …` or `*`, `forget G t-0 …` (OffsetDelete), `describe G [v=5]`, `list [state=..]
//! [type=..]`, `delete G…`, `deleted-topic t [id=n]`, `at MS`, `config key=value…`, `reload`.
//! A member is called `@N`, after the number of the request that its id was made for.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};
use ottla_groups::{Command, Config, Record, Reply, Token};
use ottla_protocol::k08_offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use ottla_protocol::k09_offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use ottla_protocol::k11_join_group::JoinGroupRequestProtocol;
use ottla_protocol::k13_leave_group::MemberIdentity;
use ottla_protocol::k14_sync_group::SyncGroupRequestAssignment;
use ottla_protocol::k47_offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use ottla_protocol::{
    ErrorCode, GroupMetadataKey, GroupMetadataValue, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, Millis, OffsetCommitKey, OffsetCommitRequest,
    OffsetCommitValue, OffsetDeleteRequest, Reader, StrBytes, SyncGroupRequest, Uuid,
};

use crate::world::{Did, WALL, World, number};

/// Runs a scenario and compares what came of it.
pub(crate) fn check(scenario: &str) {
    let scenario: Vec<&str> =
        scenario.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut script = Script::new();
    for line in scenario.iter().filter_map(|line| line.strip_prefix('>')) {
        script.step(line.trim());
    }
    let came: Vec<&str> = script.text.lines().collect();
    assert!(came == scenario, "this came of the scenario:\n\n{}\n", script.text);
}

pub(crate) struct Script {
    pub(crate) world: World,
    /// Member ids and what they are called.
    names: BTreeMap<String, String>,
    text: String,
}

/// A step's words: a verb, plain ones, and `key=value`.
struct Words<'a> {
    plain: Vec<&'a str>,
    named: Vec<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    fn new(line: &'a str) -> Self {
        let (named, plain): (Vec<&str>, Vec<&str>) =
            line.split_whitespace().partition(|word| word.contains('='));
        Self { plain, named: named.iter().map(|word| word.split_once('=').unwrap()).collect() }
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.named.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    fn number<N: std::str::FromStr<Err: std::fmt::Debug>>(&self, name: &str, default: N) -> N {
        self.get(name).map_or(default, |value| value.parse().expect("a number"))
    }

    /// With a default; `-` stands for null.
    fn text_or(&self, name: &str, default: &str) -> Option<StrBytes> {
        Some(StrBytes::from(self.get(name).unwrap_or(default))).filter(|text| *text != "-")
    }

    fn text(&self, name: &str) -> Option<StrBytes> {
        self.get(name).map(StrBytes::from)
    }
}

impl Script {
    pub(crate) fn new() -> Self {
        Self { world: World::new(Config::default()), names: BTreeMap::new(), text: String::new() }
    }

    fn step(&mut self, line: &str) {
        writeln!(self.text, "> {line}").unwrap();
        let words = Words::new(line);
        let did = match words.plain[0] {
            "at" => return self.at(words.plain[1].parse().unwrap()),
            "config" => return self.config(&words),
            "reload" => self.world.reload(),
            "deleted-topic" => {
                let id = topic_id(words.number("id", 0));
                self.world.topics_deleted(&[(StrBytes::from(words.plain[1]), id)])
            }
            _ => {
                let command = self.command(&words);
                self.world.command(command)
            }
        };
        self.show("", &did);
    }

    fn at(&mut self, until: i64) {
        let mut shown = Vec::new();
        self.world.pass(until, |time, did| shown.push((time, did)));
        for (time, did) in shown {
            self.show(&format!("{time} "), &did);
        }
    }

    fn config(&mut self, words: &Words<'_>) {
        let config = &mut self.world.config;
        config.group_max_size = words.number("max_size", config.group_max_size);
        config.offset_metadata_max = words.number("metadata", config.offset_metadata_max);
        config.batch_max = words.number("batch", config.batch_max);
        for (name, setting) in [
            ("delay", &mut config.group_initial_rebalance_delay),
            ("retention", &mut config.offsets_retention),
            ("check", &mut config.offsets_retention_check_interval),
        ] {
            *setting = Millis(words.number(name, setting.0));
        }
        self.world.shard.set_config(config.clone());
    }

    /// The member id that a name stands for; other words stand for themselves.
    fn id(&self, name: &str) -> StrBytes {
        let known = self.names.iter().find(|(_, known)| *known == name).map(|(id, _)| id.as_str());
        StrBytes::from(known.unwrap_or(if name == "-" { "" } else { name }))
    }

    fn command(&mut self, words: &Words<'_>) -> Command {
        let group = StrBytes::from(words.plain.get(1).copied().filter(|g| *g != "-").unwrap_or(""));
        match words.plain[0] {
            "join" => self.join(group, words),
            "sync" => self.sync(group, words),
            "beat" => Command::Heartbeat {
                request: HeartbeatRequest {
                    group_id: group,
                    generation_id: words.number("gen", -1),
                    member_id: self.id(words.plain[2]),
                    group_instance_id: words.text("instance"),
                    ..HeartbeatRequest::default()
                },
            },
            "leave" => self.leave(group, words),
            "commit" => self.commit(group, words),
            "fetch" => Command::OffsetFetch {
                require_stable: words.plain.contains(&"stable"),
                group: OffsetFetchRequestGroup {
                    group_id: group,
                    member_id: words.get("member").map(|name| self.id(name)),
                    topics: (!words.plain.contains(&"*")).then(|| fetch_topics(words)),
                    ..OffsetFetchRequestGroup::default()
                },
            },
            "forget" => Command::OffsetDelete {
                request: OffsetDeleteRequest { group_id: group, topics: forget_topics(words) },
            },
            "describe" => Command::DescribeGroups {
                group_ids: words.plain[1..].iter().map(|id| StrBytes::from(*id)).collect(),
                version: words.number("v", 6),
            },
            "list" => Command::ListGroups {
                states: words.text("state").into_iter().collect(),
                types: words.text("type").into_iter().collect(),
            },
            "delete" => Command::DeleteGroups {
                group_ids: words.plain[1..].iter().map(|id| StrBytes::from(*id)).collect(),
            },
            verb => panic!("no step is called {verb}"),
        }
    }

    fn join(&mut self, group: StrBytes, words: &Words<'_>) -> Command {
        let Token(token) = self.world.next_token();
        let random = [u8::try_from(token).unwrap(); 16];
        let prefix = words.get("instance").unwrap_or("client");
        let hex = format!("{:032x}", u128::from_be_bytes(Uuid::from_random(random).0));
        let id = format!(
            "{prefix}-{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        );
        self.names.insert(id, format!("@{token}"));
        let metadata = subscription(words.get("topics").unwrap_or("t"));
        let names = words.get("protocols").unwrap_or("range").split(',').filter(|n| !n.is_empty());
        let protocols = names.map(|name| JoinGroupRequestProtocol {
            name: StrBytes::from(name),
            metadata: metadata.clone(),
            ..JoinGroupRequestProtocol::default()
        });
        Command::JoinGroup {
            request: JoinGroupRequest {
                group_id: group,
                session_timeout_ms: words.number("session", 10_000),
                rebalance_timeout_ms: words.number("rebalance", 30_000),
                member_id: self.id(words.get("id").unwrap_or("-")),
                group_instance_id: words.text("instance"),
                protocol_type: StrBytes::from(words.get("type").unwrap_or("consumer")),
                protocols: protocols.collect(),
                ..JoinGroupRequest::default()
            },
            version: words.number("v", 9),
            client_id: StrBytes::from("client"),
            client_host: StrBytes::from("/127.0.0.1"),
            random,
        }
    }

    fn sync(&mut self, group: StrBytes, words: &Words<'_>) -> Command {
        let assigned = words.named.iter().filter(|(name, _)| name.starts_with('@'));
        let assignments = assigned.map(|(name, assignment)| SyncGroupRequestAssignment {
            member_id: self.id(name),
            assignment: Bytes::copy_from_slice(assignment.as_bytes()),
            ..SyncGroupRequestAssignment::default()
        });
        Command::SyncGroup {
            request: SyncGroupRequest {
                group_id: group,
                generation_id: words.number("gen", -1),
                member_id: self.id(words.plain[2]),
                group_instance_id: words.text("instance"),
                protocol_type: words.text_or("type", "consumer"),
                protocol_name: words.text_or("protocol", "range"),
                assignments: assignments.collect(),
                ..SyncGroupRequest::default()
            },
            version: words.number("v", 5),
        }
    }

    fn leave(&mut self, group: StrBytes, words: &Words<'_>) -> Command {
        let version = words.number("v", 5);
        let mut request = LeaveGroupRequest { group_id: group, ..LeaveGroupRequest::default() };
        if version < 3 {
            request.member_id = self.id(words.plain[2]);
        } else {
            let by_id = words.plain[2..].iter().map(|name| {
                let (name, instance) = name.split_once('/').unwrap_or((name, ""));
                let instance = (!instance.is_empty()).then(|| StrBytes::from(instance));
                (self.id(name), instance)
            });
            let by_instance = words.named.iter().filter(|(name, _)| *name == "instance");
            let by_instance =
                by_instance.map(|(_, id)| (StrBytes::new(), Some(StrBytes::from(*id))));
            let members = by_id.chain(by_instance).map(|(member_id, group_instance_id)| {
                MemberIdentity { member_id, group_instance_id, ..MemberIdentity::default() }
            });
            request.members = members.collect();
        }
        Command::LeaveGroup { request, version }
    }

    fn commit(&mut self, group: StrBytes, words: &Words<'_>) -> Command {
        let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
        for (name, value) in &words.named {
            let Some((topic, partition)) = name.rsplit_once('-') else { continue };
            let (offset, metadata) = value.split_once('/').unwrap_or((value, ""));
            let partition = OffsetCommitRequestPartition {
                partition_index: partition.parse().unwrap(),
                committed_offset: offset.parse().unwrap(),
                committed_metadata: Some(StrBytes::from(metadata)),
                ..OffsetCommitRequestPartition::default()
            };
            topics.push(OffsetCommitRequestTopic {
                name: StrBytes::from(topic),
                topic_id: topic_id(words.number("topic", 0)),
                partitions: vec![partition],
                ..OffsetCommitRequestTopic::default()
            });
        }
        Command::OffsetCommit {
            request: OffsetCommitRequest {
                group_id: group,
                generation_id_or_member_epoch: words.number("gen", -1),
                member_id: self.id(words.plain.get(2).copied().unwrap_or("-")),
                group_instance_id: words.text("instance"),
                retention_time_ms: words.number("retention", -1),
                topics,
                ..OffsetCommitRequest::default()
            },
            version: words.number("v", 9),
        }
    }

    fn show(&mut self, prefix: &str, did: &Did) {
        for record in &did.records {
            let shown = self.show_record(record);
            writeln!(self.text, "{prefix}log {shown}").unwrap();
        }
        for (Token(token), reply) in &did.replies {
            let shown = self.show_reply(reply);
            let shown = shown.trim_end();
            writeln!(self.text, "{prefix}#{token} {shown}").unwrap();
        }
    }

    fn name(&self, id: &str) -> String {
        let name = self.names.get(id).map_or(id, String::as_str);
        if name.is_empty() { "-".to_owned() } else { name.to_owned() }
    }

    fn show_record(&self, record: &Record) -> String {
        let mut key = Reader::new(record.key.slice(2..));
        match number(&record.key) {
            1 => {
                let key = OffsetCommitKey::decode(&mut key, 0).unwrap();
                let what = format!("{} {}-{}", key.group, key.topic, key.partition);
                let Some(value) = &record.value else { return format!("no offset {what}") };
                let version = number(value);
                let value =
                    OffsetCommitValue::decode(&mut Reader::new(value.slice(2..)), version).unwrap();
                format!("offset {what} {}{} v{version}", value.offset, note(&value.metadata))
            }
            2 => {
                let group = GroupMetadataKey::decode(&mut key, 0).unwrap().group;
                let Some(value) = &record.value else { return format!("no group {group}") };
                let version = number(value);
                let value = GroupMetadataValue::decode(&mut Reader::new(value.slice(2..)), version)
                    .unwrap();
                let members = value.members.iter().map(|member| {
                    let assignment = String::from_utf8_lossy(&member.assignment).into_owned();
                    format!(" {}={assignment}", self.name(&member.member_id))
                });
                format!(
                    "group {group} gen={} type={} protocol={} leader={} since={}{}",
                    value.generation,
                    or_dash(&value.protocol_type),
                    value.protocol.as_deref().unwrap_or("null"),
                    value.leader.map_or("null".to_owned(), |leader| self.name(&leader)),
                    value.current_state_timestamp - WALL,
                    members.collect::<String>()
                )
            }
            kind => format!("record of type {kind}: {:?}", record.value),
        }
    }

    fn show_join(&self, response: &JoinGroupResponse) -> String {
        let error = ErrorCode::from_code(response.error_code);
        let id = self.name(&response.member_id);
        if error != ErrorCode::None {
            let protocol = response.protocol_name.as_deref().map_or("", |_| " protocol=");
            return format!("join {} {id}{protocol}", error.name());
        }
        let members = response.members.iter().map(|member| {
            let instance = member.group_instance_id.as_deref();
            format!(" {}{}", self.name(&member.member_id), note(instance.unwrap_or("")))
        });
        let skip = if response.skip_assignment { " skip" } else { "" };
        format!(
            "join {id} gen={} {}/{} leader={}{skip}{}",
            response.generation_id,
            response.protocol_type.as_deref().unwrap_or("null"),
            response.protocol_name.as_deref().unwrap_or("null"),
            self.name(&response.leader),
            members.collect::<String>()
        )
    }

    fn show_reply(&self, reply: &Reply) -> String {
        let code = |code: i16| ErrorCode::from_code(code).name();
        match reply {
            Reply::JoinGroup(response) => self.show_join(response),
            Reply::SyncGroup(response) => format!(
                "sync {} {}",
                code(response.error_code),
                String::from_utf8_lossy(&response.assignment)
            ),
            Reply::Heartbeat(response) => format!("beat {}", code(response.error_code)),
            Reply::LeaveGroup(response) => {
                let members = response.members.iter().map(|member| {
                    let instance = note(member.group_instance_id.as_deref().unwrap_or(""));
                    let id = self.name(&member.member_id);
                    format!(" {id}{instance}={}", code(member.error_code))
                });
                format!("leave {}{}", code(response.error_code), members.collect::<String>())
            }
            Reply::OffsetCommit(response) => {
                let topics = response.topics.iter().map(|topic| {
                    let partition = &topic.partitions[0];
                    let index = partition.partition_index;
                    format!(" {}-{index}={}", topic.name, code(partition.error_code))
                });
                format!("commit{}", topics.collect::<String>())
            }
            Reply::OffsetFetch(response) => {
                let topics = response.topics.iter().flat_map(|topic| {
                    topic.partitions.iter().map(|partition| {
                        let metadata = note(partition.metadata.as_deref().unwrap_or("null"));
                        let error = match partition.error_code {
                            0 => String::new(),
                            other => format!(" {}", code(other)),
                        };
                        let (index, offset) =
                            (partition.partition_index, partition.committed_offset);
                        format!(" {}-{index}={offset}{metadata}{error}", topic.name)
                    })
                });
                format!("fetch {}{}", code(response.error_code), topics.collect::<String>())
            }
            Reply::OffsetDelete(response) => {
                let topics = response.topics.iter().map(|topic| {
                    let partition = &topic.partitions[0];
                    let index = partition.partition_index;
                    format!(" {}-{index}={}", topic.name, code(partition.error_code))
                });
                format!("forget {}{}", code(response.error_code), topics.collect::<String>())
            }
            Reply::DescribeGroups(groups) => {
                let groups = groups.iter().map(|group| {
                    let members = group.members.iter().map(|member| {
                        let assignment = String::from_utf8_lossy(&member.member_assignment);
                        format!(" {}={assignment}", self.name(&member.member_id))
                    });
                    format!(
                        " {} {} {}/{} {}{}",
                        group.group_id,
                        group.group_state,
                        or_dash(&group.protocol_type),
                        or_dash(&group.protocol_data),
                        group.error_message.as_deref().unwrap_or(code(group.error_code)),
                        members.collect::<String>()
                    )
                });
                format!("describe{}", groups.collect::<String>())
            }
            Reply::ListGroups(response) => {
                let groups = response.groups.iter().map(|group| {
                    format!(
                        " {}({},{},{})",
                        group.group_id,
                        or_dash(&group.protocol_type),
                        group.group_state,
                        group.group_type
                    )
                });
                format!("list{}", groups.collect::<String>())
            }
            Reply::DeleteGroups(groups) => {
                let groups =
                    groups.iter().map(|g| format!(" {}={}", g.group_id, code(g.error_code)));
                format!("delete{}", groups.collect::<String>())
            }
        }
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn note(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("/{text}") }
}

fn topic_id(number: u8) -> Uuid {
    Uuid([number; 16])
}

/// The partitions among a step's plain words.
fn partitions<'a>(words: &'a Words<'_>) -> impl Iterator<Item = (StrBytes, i32)> + 'a {
    let of = |word: &&str| {
        let (topic, partition) = word.rsplit_once('-')?;
        Some((StrBytes::from(topic), partition.parse().ok()?))
    };
    words.plain.iter().skip(2).filter_map(of)
}

fn fetch_topics(words: &Words<'_>) -> Vec<OffsetFetchRequestTopics> {
    let topics = partitions(words).map(|(name, partition)| OffsetFetchRequestTopics {
        name,
        topic_id: topic_id(words.number("topic", 0)),
        partition_indexes: vec![partition],
        ..OffsetFetchRequestTopics::default()
    });
    topics.collect()
}

fn forget_topics(words: &Words<'_>) -> Vec<OffsetDeleteRequestTopic> {
    let topics = partitions(words).map(|(name, partition_index)| OffsetDeleteRequestTopic {
        name,
        partitions: vec![OffsetDeleteRequestPartition { partition_index }],
    });
    topics.collect()
}

/// A consumer's subscription, version 0, to topics separated by commas.
pub(crate) fn subscription(topics: &str) -> Bytes {
    let topics: Vec<&str> = topics.split(',').collect();
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    bytes.put_i32(i32::try_from(topics.len()).unwrap());
    for topic in topics {
        bytes.put_i16(i16::try_from(topic.len()).unwrap());
        bytes.put_slice(topic.as_bytes());
    }
    bytes.put_i32(-1);
    bytes.freeze()
}
