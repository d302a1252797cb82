//! Consumer groups and their offsets: plan gives records, apply changes state.
//!
//! One [`Shard`] is the coordinator of one partition of `__consumer_offsets`. It knows no log, no
//! socket, no clock and no randomness: what it needs of them comes in with each call.
//!
//! ```text
//! pub fn partition_for(group_id: &str, partitions: i32) -> i32;   // Java's String.hashCode
//!
//! pub struct Now { pub wall: Millis /* since the epoch, for timestamps */, pub mono: Millis /* never goes back, for time-outs */ }
//! pub struct Token(pub u64);                    // names one waiting request; the host chooses it
//! pub struct Config { … }  Config::default();   // Kafka's defaults, but no initial delay; fields named as the settings
//!
//! impl Shard {
//!     pub fn new(config: Config) -> Shard;
//!     pub fn set_config(&mut self, config: Config);
//!
//!     // Loading: every record from the log start to the log end, in order.
//!     pub fn apply(&mut self, offset: Offset, key: &Bytes, value: Option<&Bytes>) -> Result<(), LoadError>;
//!     pub fn apply_transactional(&mut self, offset: Offset, producer: ProducerId, key: &Bytes, value: Option<&Bytes>) -> Result<(), LoadError>;
//!     pub fn end_transaction(&mut self, producer: ProducerId, committed: bool);
//!     pub fn loaded(&mut self, now: Now) -> Outcome;
//!
//!     // Serving. The host: 1. appends `records` (one batch, when not empty); 2. at once, before any
//!     // other call, `apply`s each with its offset; 3. gives out `replies` when the log is committed up
//!     // to the log end offset after 1 (also when there were no records); 4. arms its timer anew.
//!     pub fn handle(&mut self, now: Now, token: Token, command: Command) -> Outcome;
//!     pub fn tick(&mut self, now: Now) -> Outcome;
//!     pub fn next_deadline(&self) -> Option<Millis>;           // on the scale of Now::mono
//!     pub fn partitions_deleted(&mut self, now: Now, partitions: &[(StrBytes, i32)]) -> Outcome;
//!
//!     // Append failed or leadership lost: every waiter gets its answer; drop the shard afterwards.
//!     pub fn unload(&mut self) -> Vec<(Token, Reply)>;
//! }
//!
//! pub struct Outcome { pub records: Vec<Record>, pub replies: Vec<(Token, Reply)> }
//! pub struct Record { pub key: Bytes, pub value: Option<Bytes> }
//!
//! pub enum Command {
//!     JoinGroup { request: JoinGroupRequest, version: i16, client_id: StrBytes, client_host: StrBytes /* "/127.0.0.1" */, random: [u8; 16] },
//!     SyncGroup { request: SyncGroupRequest, version: i16 },
//!     Heartbeat { request: HeartbeatRequest },
//!     LeaveGroup { request: LeaveGroupRequest, version: i16 },
//!     OffsetCommit { request: OffsetCommitRequest, version: i16 },   // names and ids filled in by the host
//!     OffsetFetch { group: OffsetFetchRequestGroup, require_stable: bool },
//!     OffsetDelete { request: OffsetDeleteRequest },
//!     DescribeGroups { group_ids: Vec<StrBytes>, version: i16 },
//!     ListGroups { states: Vec<StrBytes>, types: Vec<StrBytes> },
//!     DeleteGroups { group_ids: Vec<StrBytes> },
//! }
//! impl Command { pub fn refuse(&self, error: ErrorCode) -> Reply; }   // e.g. NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS
//!
//! pub enum Reply {
//!     JoinGroup(JoinGroupResponse), SyncGroup(SyncGroupResponse), Heartbeat(HeartbeatResponse),
//!     LeaveGroup(LeaveGroupResponse), OffsetCommit(OffsetCommitResponse),
//!     OffsetFetch(OffsetFetchResponseGroup), OffsetDelete(OffsetDeleteResponse),
//!     DescribeGroups(Vec<DescribedGroup>), ListGroups(Vec<ListedGroup>),
//!     DeleteGroups(Vec<DeletableGroupResult>),
//! }
//! ```
