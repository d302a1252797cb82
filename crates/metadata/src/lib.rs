//! The cluster metadata image and the controller's decisions: plan gives records, apply changes state.
//!
//! Must not know raft's inside, sockets, files, clocks.
//!
//! Surface that broker, controller and node code against (being filled in):
//!
//! ```ignore
//! // image/: what a reader sees. `Clone` is cheap (persistent maps); readers hold `Arc<Image>`.
//! impl Image {
//!     fn position(&self) -> Position;                    // { offset, epoch, timestamp } of the last applied record
//!     fn features(&self) -> &Features;                   // metadata_version() -> i16, level(name) -> i16, iter()
//!     fn broker(&self, id: NodeId) -> Option<&Broker>;   fn brokers(&self) -> impl Iterator<Item = &Broker>;
//!     fn controllers(&self) -> impl Iterator<Item = &Controller>;
//!     fn topic(&self, name: &str) -> Option<&Topic>;     fn topic_by_id(&self, id: TopicId) -> Option<&Topic>;
//!     fn topics(&self) -> impl Iterator<Item = &Topic>;  // by name
//!     fn topics_from(&self, name: &str) -> impl Iterator<Item = &Topic>;  // by name, from `name` on
//!     fn partition(&self, id: TopicId, index: i32) -> Option<&Partition>;
//!     fn config(&self, resource: &ConfigResource) -> Option<&BTreeMap<StrBytes, StrBytes>>;
//! }
//! struct Broker { id, epoch: i64, incarnation_id: Uuid, listeners: Vec<Listener { name, host, port: u16, security_protocol: i16 }>,
//!     features: BTreeMap<StrBytes, (i16, i16)>, rack: Option<StrBytes>, fenced: bool, in_controlled_shutdown: bool,
//!     log_dirs: Vec<Uuid>, cordoned_log_dirs: Vec<Uuid> }
//! struct Topic { name: StrBytes, id: TopicId, .. }       // partition(i32), partitions() -> (i32, &Partition), partition_count()
//! struct Partition { replicas: Vec<NodeId>, directories: Vec<Uuid>, isr, removing_replicas, adding_replicas,
//!     elr, last_known_elr: Vec<NodeId>, leader: NodeId, leader_recovery_state: i8, leader_epoch: LeaderEpoch, partition_epoch: i32 }
//! struct ConfigResource { kind: ResourceKind /* Topic = 2, Broker = 4, BrokerLogger = 8, ClientMetrics = 16, Group = 32 */, name: StrBytes }
//! struct Delta { topics: BTreeMap<TopicId, TopicDelta { name, deleted: bool, partitions: BTreeSet<i32> }>, configs: BTreeSet<ConfigResource>,
//!     brokers: BTreeSet<NodeId>, features: bool, .. }    // what changed between two published images
//!
//! // command.rs: requests in, responses out, as the protocol crate generates them
//! enum Command { RegisterBroker(BrokerRegistrationRequest), BrokerHeartbeat(BrokerHeartbeatRequest), UnregisterBroker(..),
//!     RegisterController(ControllerRegistrationRequest), CreateTopics(CreateTopicsRequest), DeleteTopics(DeleteTopicsRequest),
//!     CreatePartitions(CreatePartitionsRequest), AlterConfigs(AlterConfigsRequest),
//!     IncrementalAlterConfigs(IncrementalAlterConfigsRequest), UpdateFeatures(UpdateFeaturesRequest, i16 /* version */),
//!     AllocateProducerIds(AllocateProducerIdsRequest) }
//! enum Reply { RegisterBroker(BrokerRegistrationResponse), .. }   // same names
//! struct Refusal { code: ErrorCode, message: String }    // the whole command was refused
//!
//! // configs/: the table of settings
//! struct ConfigDef { name, kind: ConfigKind /* Broker, Topic, Group, ClientMetrics */, value_type: ValueType, default: DefaultValue, allowed: Allowed,
//!     importance: Importance, update_mode: UpdateMode, synonyms: &'static [Synonym], support: Support }
//! fn configs::find(kind: ConfigKind, name: &str) -> Option<&'static ConfigDef>;   fn configs::all(kind) -> &'static [ConfigDef];
//! impl ConfigDef { fn parse(&self, raw: Option<&str>) -> Result<Value, InvalidValue>; fn is_sensitive(&self) -> bool; }
//! enum Value { Null, Boolean(bool), Int(i32), Short(i16), Long(i64), Double(f64), String(String), List(Vec<String>) }
//! enum Support { Yes, NoEffect(&'static str) /* what happens instead */ }
//! struct BrokerProperties { .. }                         // raw static settings of this node: get/set/iter, name -> value text
//! struct Effective<'a> { image: &'a Image, node: NodeId, properties: &'a BrokerProperties }   // resolves, with sources
//! impl Effective<'_> { fn broker(&self, name) -> Value; fn topic(&self, topic: &str) -> TopicConfig; fn group(&self, group) -> ..;
//!     fn describe(&self, resource: &ConfigResource, keys: Option<&[StrBytes]>) -> Result<Vec<DescribedConfig>, Refusal>; }
//! struct TopicConfig { segment_bytes: i32, segment_ms: i64, segment_jitter_ms: i64, segment_index_bytes: i32, index_interval_bytes: i32,
//!     retention_bytes: i64, retention_ms: i64, max_message_bytes: i32, compact: bool, delete: bool, compression: Compression, .. ,
//!     min_insync_replicas: i32, timestamp_type, timestamp_before_max_ms: i64, timestamp_after_max_ms: i64, flush_mode: FlushMode { Durable, Os } }
//! struct DescribedConfig { name, value: Option<String>, read_only, source: ConfigSource, sensitive, config_type: i8, synonyms: Vec<(name, Option<value>, ConfigSource)>, .. }
//! ```
