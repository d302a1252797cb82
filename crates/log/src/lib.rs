//! The log: segments, indexes, recovery, group commit, over `env::Disk`, in Apache Kafka's file
//! formats. Must not know requests, replication, or who waits for what.
//!
//! A [`PartitionLog`] lives behind one short lock of its host. Under it there is no I/O: an append
//! is kept in the in-memory tail and queued; the [`Committer`] of the log directory takes what is
//! queued, writes and syncs it, and tells the partition. What is not in the tail is read through a
//! [`LogView`], without the lock.
//!
//! ```text
//! // A log directory, locked for this process:
//! LogDir::open(disk: Arc<dyn Disk>, path: &Path, limits: LogDirLimits) -> Result<Arc<LogDir>, LogError>
//!   .read_meta_properties() -> Result<Option<MetaProperties>, LogError>
//!   .write_meta_properties(&MetaProperties) -> Result<(), LogError>
//!   .take_clean_shutdown() -> Result<Option<CleanShutdown{broker_epoch: Option<i64>}>, LogError>  // removes it durably
//!   .write_clean_shutdown(broker_epoch: i64) -> Result<(), LogError>
//!   .list() -> Result<Vec<LogDirEntry{partition: TopicPartition, name: String, state: Live|Delete|Future|Stray}>, LogError>
//!   .read_offsets(OffsetCheckpoint::{RecoveryPoint, LogStart, HighWatermark}) -> Result<BTreeMap<TopicPartition, Offset>, LogError>
//!   .write_offsets(OffsetCheckpoint, &BTreeMap<TopicPartition, Offset>) -> Result<(), LogError>
//!   .mark_for_deletion(&TopicPartition, unique: Uuid) -> Result<String, LogError>   // renames to `-delete`, returns the new name
//!   .remove(name: &str) -> Result<(), LogError>                                    // a `-delete` folder
//!   .path(), .disk(), .failure() -> Option<LogError>
//!
//! // A partition:
//! PartitionLog::open(&Arc<LogDir>, &TopicPartition, OpenOptions) -> Result<(PartitionLog, LoadReport), LogError>
//!   .append(BytesMut /* one validated batch */, &AppendContext{leader_epoch, now, origin}) -> Result<Appended, AppendError>
//!   .append_as_replica(Bytes /* batches that have their offsets */, now: Millis) -> Result<Appended, AppendError>
//!   .read(&ReadRequest{from, up_to, max_bytes, at_least_one}) -> Result<Answer<Fetched>, ReadError>
//!   .list_offset(timestamp: i64 /* or −1 … −6 */) -> Answer<Option<TimestampOffset>>
//!   .offset_for_leader_epoch(LeaderEpoch) -> (LeaderEpoch, Offset)
//!   .view() -> LogView
//!   .log_start(), .log_end(), .written_end(), .durable_end(), .committed_end() -> Offset
//!   .take_pending() -> Option<WriteSet>, .on_commit(&CommitEvent)
//!   .assign_epoch(LeaderEpoch) -> needs_commit: bool
//!   .advance_log_start(Offset) -> bool, .delete_old_segments() -> usize (then needs a commit)
//!   .truncate_to(Offset) -> Result<..>, .truncate_fully_and_start_at(Offset)
//!   .flush_now() -> Result<(), LogError>      // blocking: for an owner without a committer
//!   .close(self) -> Result<Offset /* recovery point */, LogError>
//!   .epochs() -> &EpochCache, .producers() -> &ProducerStates, .expire_producers(now), .evict_idle_tail()
//!
//! // Answer<T> = Ready(T) | Lookup(LogView): look it up without the lock:
//! LogView.read(&ReadRequest) -> Result<Fetched{batches: Vec<Bytes>, ..}, ReadError>
//! LogView.list_offset(timestamp) -> Result<Option<TimestampOffset>, LogError>
//! LogView.aborted_transactions(from, up_to) -> Result<Vec<AbortedTransaction>, LogError>
//!
//! // Group commit: one thread a log directory
//! trait CommitTarget { fn take(&self) -> Option<WriteSet>; fn on_commit(&self, &CommitEvent) }
//! enum CommitEvent { Written{end}, Durable{end}, Failed(LogError) }
//! Committer::new(Arc<LogDir>) : .enqueue(Arc<T>), .run(after_stage: FnMut(Stage)), .stop()
//!   and its three steps for a single-threaded driver: .gather() -> Option<Group<T>>, .execute(&mut Group<T>), .complete(Group<T>)
//! ```
